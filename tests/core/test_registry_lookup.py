"""How names are looked up: whose they are, what is said of those that are missing."""

import re
import types

import pytest

from lzcore.base import PluginError, UnknownNameError
from lzcore.registry import EnvSpec, ModelSpec, PolicySpec, Registry, hookimpl
from lzcore.registry.hints import installable, known_distributions


def plugin(dist, version="1.0", error=None, **hooks):
    """The entry point of a distribution whose hooks return these lists."""
    module = types.ModuleType(dist)
    module.LZ_API = 1
    for hook, answer in hooks.items():
        setattr(module, hook, hookimpl(lambda answer=answer: answer))

    def load():
        if error:
            raise error
        return module

    found = types.SimpleNamespace(name=dist, version=version)
    return types.SimpleNamespace(name=dist, value=f"{dist}.plugin", dist=found, load=load)


def policy(name, **given):
    fields = {"policy": "collections:Counter", "config": "collections:OrderedDict", "summary": ""}
    return PolicySpec(name=name, **fields | given)


def policies(dist, *names, **given):
    return plugin(dist, lz_register_policies=[policy(name) for name in names], **given)


def env(name, prefix):
    return EnvSpec(name=name, env="pkg:E", config="pkg:C", summary="", prefix=prefix)


def missing(registry, kind, name):
    """The message of asking for a name that is not to be had."""
    with pytest.raises(UnknownNameError) as caught:
        registry.spec(kind, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- names that are there ------------------------------------------------------------------------


def test_a_component_is_found_by_its_name_and_by_its_distributions_spelling_of_it():
    registry = Registry([policies("lz-a", "one", "two")])

    assert registry.spec("policies", "one").name == "one"
    assert registry.component("policies", "lz-a:two").distribution == "lz-a"
    assert registry.component("policies", "LZ_A:two").distribution == "lz-a"


def test_components_are_ordered_by_kind_and_name():
    registry = Registry([policies("lz-a", "b", "a"), policies("lz-b", "c")])

    assert [c.name for c in registry.components()] == [
        "a",
        "b",
        "c",
        "replay",
        "game",
        "gymnasium",
        "checkpoint",
        "minimax",
        "random",
        "local",
    ]
    assert [c.name for c in registry.components("buffers")] == ["replay"]


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="kind is 'policy'; expected one of policies, models, "):
        Registry([]).components("policy")


def test_a_class_is_imported_when_it_is_asked_for():
    registry = Registry([policies("lz-a", "one")])

    assert registry.resolve("policies", "one").__name__ == "Counter"
    assert registry.resolve("policies", "one", "config").__name__ == "OrderedDict"


def test_a_class_that_cannot_be_imported_is_told_with_its_distribution():
    registry = Registry([plugin("lz-a", lz_register_policies=[policy("one", config="nope:C")])])

    message = (
        r"The policy 'one' of lz-a 1\.0 cannot be used: nope:C cannot be imported: "
        r"ModuleNotFoundError: No module named 'nope'\."
    )
    with pytest.raises(PluginError, match=message):
        registry.resolve("policies", "one", "config")


# --- names that two claim ------------------------------------------------------------------------


def test_a_name_that_two_claim_is_neithers_until_the_distribution_is_named():
    registry = Registry([policies("lz-a", "x", "mine"), policies("lz-b", "x", version="2.1")])

    assert missing(registry, "policies", "x") == (
        "The policy 'x' is claimed by lz-a 1.0 and lz-b 2.1, so the name alone picks none. "
        "Write 'lz-a:x' or 'lz-b:x'."
    )
    assert registry.component("policies", "lz-b:x").version == "2.1"
    assert registry.component("policies", "mine").state == "ok"
    assert [(c.state, c.cause) for c in registry.components("policies") if c.name == "x"] == [
        ("conflict", "lz-b 2.1 claims this name too; write 'lz-a:x'"),
        ("conflict", "lz-a 1.0 claims this name too; write 'lz-b:x'"),
    ]


def test_the_same_name_for_two_kinds_is_no_conflict():
    model = ModelSpec(name="x", model="pkg:M", summary="")
    registry = Registry([policies("lz-a", "x"), plugin("lz-b", lz_register_models=[model])])

    assert {c.state for c in registry.components()} == {"ok"}


def test_a_plugin_cannot_take_a_name_of_the_core():
    registry = Registry([plugin("lz-a", lz_register_envs=[env("gymnasium", "mine")])])

    assert registry.component("envs", "gymnasium").distribution == "lzcore"
    theirs = registry.component("envs", "lz-a:gymnasium")
    assert theirs.state == "conflict"
    assert theirs.cause == "the core has this name too; write 'lz-a:gymnasium'"


def test_a_name_that_one_distribution_uses_twice_keeps_its_first_meaning():
    twice = [policy("x", summary="first"), policy("x", summary="second")]
    registry = Registry([plugin("lz-a", lz_register_policies=twice)])

    assert registry.spec("policies", "x").summary == "first"
    assert [(c.state, c.cause) for c in registry.components("policies")] == [
        ("ok", ""),
        ("broken", "its distribution names it twice"),
    ]


# --- names that are not there --------------------------------------------------------------------


def test_a_typo_is_answered_with_what_is_installed_and_the_nearest_name():
    registry = Registry([policies("lz-a", "planner", "actor")])

    assert missing(registry, "policies", "plannr") == (
        "No installed plugin provides the policy 'plannr'. Installed: actor, planner. "
        "Did you mean 'planner'?"
    )


def test_what_another_distribution_provides_is_answered_with_how_to_install_it():
    assert missing(Registry([]), "policies", "muzero") == (
        "No installed plugin provides the policy 'muzero'. "
        "`pip install lz-muzero` brings it. Installed: none."
    )
    assert missing(Registry([]), "trees", "lz-ptree:lz_ptree").startswith(
        "No installed plugin provides the tree 'lz-ptree:lz_ptree'. `pip install lz-ptree` brings"
    )


def test_a_typo_of_what_is_not_installed_is_answered_with_both():
    assert missing(Registry([]), "policies", "muzro") == (
        "No installed plugin provides the policy 'muzro'. Installed: none. "
        "Did you mean 'muzero'? `pip install lz-muzero` brings it."
    )


def test_what_a_broken_plugin_would_have_provided_is_explained():
    broken = policies("lz-muzero", "muzero", version="0.9", error=ImportError("no libtree.so"))
    message = missing(Registry([broken]), "policies", "muzero")

    assert re.fullmatch(
        r"No installed plugin provides the policy 'muzero'\. lz-muzero 0\.9 would, but it is "
        r"broken: ImportError: no libtree\.so \(.*\)\. Installed: none\.",
        message,
    )


def test_one_broken_entry_point_of_two_explains_what_is_missing():
    half = [policies("lz-muzero", "other"), policies("lz-muzero", error=OSError("torn"))]

    for order in (half, half[::-1]):
        message = missing(Registry(order), "policies", "muzero")
        assert "lz-muzero 1.0 would, but it is broken: OSError: torn" in message


def test_any_broken_plugin_is_named_as_a_possible_home():
    strangers = policies("their-plugin", "theirs", error=RuntimeError("boom"))
    message = missing(Registry([strangers]), "policies", "theirs")

    assert "Installed: none. their-plugin 1.0 is broken: RuntimeError: boom" in message


def test_what_the_limit_leaves_out_is_explained():
    registry = Registry([policies("lz-muzero", "muzero"), policies("lz-b", "b")], limit="lz-b")

    assert missing(registry, "policies", "muzero") == (
        "No installed plugin provides the policy 'muzero'. lz-muzero 1.0 would, but it is left "
        "out: LZ_PLUGINS does not name it. Installed: b."
    )


def test_an_installed_distribution_that_is_too_old_for_a_name_is_to_be_upgraded():
    assert (
        "lz-muzero 1.0 is installed without it; try `pip install --upgrade lz-muzero`."
        in missing(Registry([policies("lz-muzero", "older")]), "policies", "muzero")
    )


def test_a_distribution_that_does_not_have_the_name_is_answered_with_full_names():
    registry = Registry([policies("lz-a", "one")])

    assert missing(registry, "policies", "lz-b:one") == (
        "No installed plugin provides the policy 'lz-b:one'. Installed: lz-a:one. "
        "Did you mean 'lz-a:one'?"
    )


def test_the_known_distributions_are_this_projects_and_each_provides_something():
    known = {entry.distribution: entry for entry in known_distributions()}

    assert list(known) == [
        "lz-ctree",
        "lz-ptree",
        "lz-openspiel",
        "lz-alphazero",
        "lz-muzero",
        "lz-unizero",
    ]
    assert all(entry.summary and any(entry.provides.values()) for entry in known.values())
    plugins = Registry([policies("lz-muzero"), policies("lz-ptree", error=OSError())]).plugins
    assert [entry.distribution for entry in installable(plugins)] == [
        "lz-ctree",
        "lz-openspiel",
        "lz-alphazero",
        "lz-unizero",
    ]


# --- which kind of environments an id belongs to -------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "kind"),
    [
        ("CartPole-v1", "gymnasium"),
        ("ALE/Pong-v5", "gymnasium"),
        ("my_module:mine/Env-v0", "gymnasium"),
        ("go", "gymnasium"),
        ("go/9x9", "go"),
        ("go/9x9/handicap", "go"),
    ],
)
def test_an_environment_id_belongs_to_the_kind_that_claims_its_prefix(env_id, kind):
    registry = Registry([plugin("lz-go", lz_register_envs=[env("go", "go")])])

    assert registry.env_for(env_id).name == kind


def test_a_prefix_that_two_claim_names_both():
    registry = Registry([plugin(d, lz_register_envs=[env(d, "go")]) for d in ("lz-a", "lz-b")])

    with pytest.raises(UnknownNameError, match=r"begin with 'go/' are claimed by lz-a 1\.0 and lz"):
        registry.env_for("go/9x9")
    assert registry.env_for("CartPole-v1").name == "gymnasium"


def test_only_the_core_answers_ids_without_a_prefix():
    registry = Registry([plugin("lz-a", lz_register_envs=[env("all", "")])])

    assert registry.env_for("CartPole-v1").name == "gymnasium"
    with pytest.raises(
        PluginError, match=r"The environment kind 'all' of lz-a 1\.0 cannot be used"
    ):
        registry.spec("envs", "all")


# --- checking that everything resolves -----------------------------------------------------------


def test_a_check_imports_every_class_and_looks_up_every_name():
    model = policy("model", default_model="lz-a:t")
    lost = policy("lost", policy="nope:P", config="math:pi", default_model="net", buffer="replai")
    registry = Registry([plugin("lz-a", lz_register_policies=[model, lost])])

    checked = {c.name: c for c in registry.check() if c.kind == "policies"}

    assert "'lz-a:t'" in checked["model"].cause
    assert checked["lost"].state == "broken"
    for part in (
        "policy: nope:P cannot be imported: ModuleNotFoundError: No module named 'nope'; ",
        "config: math:pi is of type float; expected a class or function; ",
        "No installed plugin provides the model 'net'. ",
        "Did you mean 'replay'?",
    ):
        assert part in checked["lost"].cause


def test_a_check_of_what_resolves_finds_nothing():
    registry = Registry([policies("lz-a", "one")])

    assert [c.state for c in registry.check() if c.kind == "policies"] == ["ok"]


def test_a_check_may_be_of_one_distribution():
    registry = Registry([policies("lz-a", "one"), policies("lz-b", "two")])

    assert [c.name for c in registry.check("lz-b")] == ["two"]
