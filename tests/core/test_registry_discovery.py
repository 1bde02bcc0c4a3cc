"""What becomes of a plugin that is in order, and of each way in which it can be broken."""

import re
from types import ModuleType, SimpleNamespace

import pytest

from lzcore.registry import BufferSpec, ModelSpec, Registry, hookimpl
from lzcore.registry.discovery import installed_points


def model(name="net"):
    return ModelSpec(name=name, model="pkg.model:Net", summary="A net.")


def plugin(dist="lz-foo", version="1.0", name="foo", api=1, load=None, **hooks):
    """An entry point whose module has these hooks, each given as what it returns or a function."""
    module = ModuleType(f"{name}_plugin")
    if api is not None:
        module.LZ_API = api
    for hook, answer in hooks.items():
        setattr(
            module, hook, hookimpl(answer if callable(answer) else lambda answer=answer: answer)
        )
    found = SimpleNamespace(name=dist, version=version)
    return SimpleNamespace(
        name=name, value=f"{name}.plugin", dist=found, load=load or (lambda: module)
    )


def registry(*points, limit=""):
    return Registry(points, limit=limit)


def only(found):
    """The one plugin that is not the core's."""
    return next(p for p in found.plugins if p.distribution != "lzcore")


def raising(err):
    def load():
        raise err

    return load


GOOD = plugin(dist="lz-good", name="good", lz_register_models=[model("good_net")])


def test_the_core_comes_first_and_needs_no_entry_point():
    core = registry().plugins[0]

    assert (core.distribution, core.value, core.state) == ("lzcore", "lzcore.plugin", "ok")
    named = {"replay", "game", "gymnasium", "local", "random", "minimax", "checkpoint"}
    assert {c.name for c in registry().components()} == named


def test_a_plugin_is_listed_with_what_it_provides_and_from_where():
    found = registry(plugin(dist="lz_Foo", lz_register_models=[model()], lz_register_trees=[]))

    component = found.component("models", "net")
    assert (component.distribution, component.version) == ("lz-foo", "1.0")
    assert (component.state, component.cause, component.kind) == ("ok", "", "models")
    assert only(found).state == "ok"
    assert only(found).seconds >= 0


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (plugin(load=raising(RuntimeError("boom"))), r"RuntimeError: boom \(.* line \d+\)"),
        (plugin(load=raising(SystemExit(3))), "SystemExit: 3"),
        (plugin(load=raising(ValueError("two\nlines"))), "ValueError: two lines"),
        (plugin(api=None), r"foo\.plugin does not state its hook API; write LZ_API = 1 in it"),
        (plugin(api="1"), r"foo\.plugin states LZ_API = '1'; write LZ_API = 1 in it"),
        (plugin(api=True), r"foo\.plugin states LZ_API = True; write LZ_API = 1 in it"),
        (
            plugin(api=2),
            r"asks for hook API 2, and lzcore [\d.]+ has hook API 1; "
            "install a newer lzcore or an older lz-foo",
        ),
        (
            plugin(api=0),
            r"asks for hook API 0, and lzcore [\d.]+ has hook API 1; "
            "install a newer lz-foo or an older lzcore",
        ),
        (
            plugin(lz_register_models=lambda: 1 / 0),
            r"lz_register_models raised ZeroDivisionError: .* \(test_registry_discovery\.py line",
        ),
        (
            plugin(lz_register_models=lambda: None),
            "returned NoneType; expected a list of ModelSpec",
        ),
        (plugin(lz_register_models=lambda: "net"), "returned str; expected a list of ModelSpec"),
        (plugin(lz_register_models=model), "returned ModelSpec; expected a list of ModelSpec"),
        (
            plugin(lz_register_models=lambda: [ModelSpec(name="x", model="pkg.Net", summary="")]),
            "raised PluginError: ModelSpec.model is 'pkg.Net'; expected a string like",
        ),
        (
            plugin(lz_registr_models=[model()]),
            r"lz_registr_models is not a hook of lzcore [\d.]+\. "
            "Did you mean 'lz_register_models'",
        ),
        (
            plugin(lz_cli=lambda groop: None),
            r"lz_cli asks for 'groop', which it is not given; expected some of group\. "
            r"Did you mean 'group'\?",
        ),
        (
            plugin(lz_register_models=lambda specs: []),
            r"lz_register_models asks for 'specs', which it is not given; expected no argument",
        ),
    ],
)
def test_a_broken_plugin_is_told_in_one_line_and_leaves_the_others_working(broken, cause):
    found = registry(broken, GOOD)

    assert only(found).state == "broken"
    assert re.search(cause, only(found).cause)
    assert "\n" not in only(found).cause
    assert found.component("models", "good_net").state == "ok"


def test_what_stands_beside_a_wrong_item_in_a_list_is_kept():
    buffer = BufferSpec(name="b", buffer="pkg:B", summary="")
    found = registry(plugin(lz_register_models=[model("one"), buffer, model("two")]))

    assert [c.name for c in found.components("models")] == ["one", "two"]
    assert only(found).cause == (
        "lz_register_models returned BufferSpec at place 1; expected ModelSpec"
    )


def test_hooks_beside_one_that_raises_are_still_called():
    def lz_register_policies():
        raise KeyError("missing")

    found = registry(
        plugin(lz_register_policies=lz_register_policies, lz_register_models=[model()])
    )

    assert found.component("models", "net").state == "ok"
    assert only(found).cause.startswith("lz_register_policies raised KeyError: 'missing'")


def test_hook_wrappers_are_refused():
    point = plugin()
    point.load().lz_cli = hookimpl(wrapper=True)(lambda group: (yield))

    assert only(registry(point)).cause == (
        "lz_cli is a hook wrapper; hooks are called one by one, unwrapped"
    )


def test_two_entry_points_for_one_module_load_it_once():
    first = plugin(name="foo", lz_register_models=[model()])
    second = plugin(name="again", load=first.load)
    found = registry(first, second)

    assert [c.name for c in found.components("models")] == ["net"]
    assert found.plugins[2].cause == (
        "another entry point already names again.plugin; remove one of them"
    )


def test_a_plugin_without_readable_metadata_is_named_after_its_module():
    class Damaged:
        name = None
        version = None

    point = plugin(lz_register_models=[model()])
    point.dist = Damaged()
    found = registry(point)

    assert found.component("models", "net").distribution == "foo"
    assert found.plugins[1].cause.startswith("its metadata cannot be read: TypeError")


def test_ctrl_c_during_an_import_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        registry(plugin(load=raising(KeyboardInterrupt())))


def test_what_a_plugin_prints_does_not_get_into_the_output(capsys):
    def lz_register_models():
        print("registering")
        return [model()]

    def load():
        print("importing")
        return chatty

    chatty = plugin(lz_register_models=lz_register_models).load()
    registry(plugin(load=load))

    assert capsys.readouterr() == ("", "importing\nregistering\n")


# --- LZ_PLUGINS and LZ_TRACE_HOOKS ---------------------------------------------------------------


@pytest.mark.parametrize("limit", ["good", "lz-good", "LZ_Good", " lz.good , other"])
def test_a_limit_picks_by_entry_point_or_distribution_and_keeps_the_core(limit):
    found = registry(plugin(load=raising(AssertionError("loaded"))), GOOD, limit=limit)

    assert [(p.distribution, p.state) for p in found.plugins] == [
        ("lzcore", "ok"),
        ("lz-foo", "left out"),
        ("lz-good", "ok"),
    ]
    assert only(found).cause == "LZ_PLUGINS does not name it"
    assert found.component("buffers", "replay").state == "ok"


def test_the_limit_comes_from_the_environment_and_names_that_fit_nothing_are_kept(monkeypatch):
    monkeypatch.setenv("LZ_PLUGINS", "lz-good,typo")
    found = Registry([plugin(), GOOD])

    assert only(found).state == "left out"
    assert found.unknown_in_limit == ["typo"]


def test_tracing_prints_each_hook_call_with_its_plugin(monkeypatch, capsys):
    monkeypatch.setenv("LZ_TRACE_HOOKS", "1")
    registry(GOOD)

    lines = capsys.readouterr().err.splitlines()
    assert any(
        re.fullmatch(r"\[hook\] lz-good 1\.0: lz_register_models\(\) = \[ModelSpec\(.* ms", line)
        for line in lines
    )
    monkeypatch.setenv("LZ_TRACE_HOOKS", "0")
    registry(GOOD)
    assert capsys.readouterr().err == ""


# --- reading what is installed -------------------------------------------------------------------


def distribution(folder, name, entry_points):
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(entry_points)


def test_a_damaged_list_of_entry_points_hides_no_other(tmp_path, monkeypatch):
    distribution(tmp_path, "lz-fine", b"[lzcore]\nfine = fine_plugin\n")
    distribution(tmp_path, "lz-torn", b"[lzcore]\ntorn \xff\xfe")
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    found = registry(*installed_points())

    causes = {p.distribution: p.cause for p in found.plugins}
    assert causes["lz-torn"].startswith("UnicodeDecodeError: ")
    assert causes["lz-fine"] == "ModuleNotFoundError: No module named 'fine_plugin'"


def test_of_two_copies_on_the_path_the_first_counts(tmp_path, monkeypatch):
    distribution(tmp_path / "first", "lz-twin", b"[lzcore]\none = first_plugin\n")
    distribution(tmp_path / "second", "lz_twin", b"[lzcore]\ntwo = second_plugin\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "first"), str(tmp_path / "second")])

    assert [point.value for point in installed_points()] == ["first_plugin"]
