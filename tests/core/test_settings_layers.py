"""How the settings of a run are settled: layers, presets, what the spaces decide, and the file."""

import sys
import tomllib
import types

import attrs
import numpy as np
import pytest
from attrs import validators as v

from lzcore.base import (
    ActionSpace,
    ConfigError,
    EnvError,
    ModelSettings,
    PluginError,
    PolicySettings,
    Settings,
    Spaces,
    UnknownNameError,
    setting,
)
from lzcore.engine.settings import Resolved, resolve
from lzcore.registry import EnvSpec, PolicySpec, Registry, hookimpl


@attrs.frozen(kw_only=True)
class ToyModel(ModelSettings):
    aliases = {"size": "width"}

    width: int = setting(64, "Width.", check=v.ge(1))
    observation_shape: int | tuple[int, ...] = setting((4, 8, 8), "Shape.", spaces=True)
    actions: int | None = setting(None, "Actions.", extension=True, spaces=True)


@attrs.frozen(kw_only=True)
class ToyConfig(PolicySettings):
    aliases = {"simulations": "num_simulations"}

    model: ToyModel = setting(attrs.Factory(ToyModel), "The network.")
    num_simulations: int = setting(50, "Simulations.", check=v.ge(1))
    rate: float = setting(0.2, "Rate.", check=v.gt(0.0))
    unroll: int = setting(5, "Unroll.")
    segment: int = setting(200, "Segment.")
    limit: int | None = setting(None, "Limit.")

    def conflicts(self):
        if self.segment < self.unroll:
            yield f"segment is {self.segment}, less than unroll {self.unroll}; raise it."


@attrs.frozen(kw_only=True)
class ToyEnv(Settings):
    size: int = setting(4, "Numbers shown.", check=v.ge(1))
    pixels: int | None = setting(None, "Side of the picture.")
    bot: str | None = setting(None, "Who plays the other side.")
    kwargs: dict[str, object] = setting(attrs.Factory(dict), "Constructor arguments.")


class ToyPolicy:
    given = None  # what settings_for was shown last
    reason = "its actions are continuous"

    @classmethod
    def check_spaces(cls, spaces):
        return cls.reason if spaces.action.kind == "continuous" else None

    @classmethod
    def settings_for(cls, spaces, given):
        cls.given = given
        return {
            "model": {"observation_shape": spaces.frame_shape, "actions": spaces.action.size},
            "num_simulations": 7,
        }


PRESETS = {
    "default": '[lz]\nenvironment = "toy/Line-v0"\n',
    "toy__Line-v0": "rate = 0.5\nsimulations = 20\n[model]\nwidth = 32\n[run]\nstop_value = 9.0\n",
    "toy__Wrong-v0": "rat = 1\nrate = -1.0\n",
    "toy__Game-v0": '[run]\nopponent = "minimax"\nstop_value = 0.0\nmax_env_steps = 100\n',
    "vector": "rate = 0.25\n",
    "image": "rate = 0.125\n[env]\npixels = 16\n",
}
VARIANT = {
    "default": '[lz]\nextends = "toy_presets:default"\n',
    "toy__Line-v0": 'rate = 0.75\n[lz]\nextends = "toy_presets:toy__Line-v0"\n',
    "vector": '[lz]\nextends = "toy_presets:nowhere"\n',
    "continuous": "rate = 0.0625\n",
}


def spaces(shape=(4,), kind="vector", action="discrete"):
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(np.float32),
        kind=kind,
        action=ActionSpace(action, 2),
    )


def look(env_id, env):
    """The spaces of the toy environments, as a function of their settings."""
    if env_id == "toy/Picture-v0":
        side = env.pixels or 96
        return spaces((3, side, side), "image")
    if env_id == "toy/Board-v0":
        return spaces((2, 3, 3), "board")
    return spaces((env.size,), action="continuous" if "Cont" in env_id else "discrete")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package = tmp_path / "toy_presets"
    package.mkdir()
    for name, text in PRESETS.items():
        (package / f"{name}.toml").write_text(text)
    variant = package / "variant"
    variant.mkdir()
    for name, text in VARIANT.items():
        (variant / f"{name}.toml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("toy_presets", "toy_presets.variant"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    module = types.ModuleType("toys")
    vars(module).update(LZ_API=1, ToyPolicy=ToyPolicy, ToyConfig=ToyConfig, ToyEnv=ToyEnv)
    bare = {"policy": "toys:ToyPolicy", "config": "toys:ToyConfig", "summary": ""}
    specs = [
        PolicySpec(name="toy", presets="toy_presets", **bare),
        PolicySpec(name="bare", **bare),
        PolicySpec(name="variant", presets="toy_presets.variant", **bare),
        PolicySpec(name="lost", presets="no_such_package", **bare),
    ]
    kind = EnvSpec(name="toys", env="toys:Env", config="toys:ToyEnv", summary="", prefix="toy")
    module.lz_register_policies = hookimpl(lambda: specs)
    module.lz_register_envs = hookimpl(lambda: [kind])
    monkeypatch.setitem(sys.modules, "toys", module)
    found = types.SimpleNamespace(name="toys", version="1.0")
    point = types.SimpleNamespace(name="toys", value="toys", dist=found, load=lambda: module)
    return Registry([point], limit="")


@pytest.fixture
def settle(registry):
    def settle(env_id="toy/Line-v0", policy="toy", **given):
        spec = registry.spec("policies", policy)
        return resolve(spec, env_id, registry=registry, **{"spaces_of": look, **given})

    return settle


# --- layers ---------------------------------------------------------------------------------------


def test_layers_stand_in_their_order_and_the_highest_that_speaks_wins(settle, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("rate = 0.6\nunroll = 6\n[model]\nwidth = 16\n[env]\nsize = 5\n")

    found = settle(config_file=file, overrides=["unroll=7", "segment=70"], named={"segment": 71})

    assert [layer.name for layer in found.layers] == [
        "spaces", "preset toy__Line-v0", "mine.toml", "-o", "options",
    ]  # fmt: skip
    assert found.policy.cuda is False  # class default
    assert found.policy.model.actions == 2  # spaces
    assert found.policy.num_simulations == 20  # preset over spaces
    assert found.policy.rate == 0.6  # file over preset
    assert found.policy.model.width == 16
    assert found.policy.unroll == 7  # -o over file
    assert found.policy.segment == 71  # options over -o
    assert found.env.size == 5
    assert found.run.stop_value == 9.0


def test_spaces_are_those_of_the_environment_with_its_settings(settle):
    assert settle(overrides=["env.size=9"]).policy.model.observation_shape == (9,)


def test_the_policy_sees_what_preset_and_user_gave_but_no_tables_of_others(settle):
    settle(overrides=["model.width=3", "env.size=5", "run.seed=1"])
    assert ToyPolicy.given == {"rate": 0.5, "num_simulations": 20, "model": {"width": 3}}


def test_another_name_in_a_higher_layer_overrides_the_documented_one_below(settle):
    found = settle(overrides=["simulations=8", "model.size=4"])
    assert (found.policy.num_simulations, found.policy.model.width) == (8, 4)


@pytest.mark.parametrize("given", [{"overrides": ["seed=3"]}, {"named": {"run.seed": 3}}])
def test_the_policys_seed_is_the_runs(settle, given):
    found = settle(**given)
    assert found.run.seed == found.policy.seed == 3


def test_two_seeds_in_one_layer_contradict_each_other(settle):
    with pytest.raises(
        ConfigError, match=r"seed = 1: means run\.seed = 1, but run\.seed says 2; .*-o"
    ):
        settle(overrides=["run.seed=2", "seed=1"])

    found = settle(overrides=["run.seed=2", "seed=2"], named={"seed": 3})
    assert found.run.seed == found.policy.seed == 3  # a higher layer decides


# --- presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "preset", "rate"),
    [
        ("toy/Line-v0", "toy__Line-v0", 0.5),
        ("toy/Other-v0", "vector", 0.25),
        ("toy/Picture-v0", "image", 0.125),
        ("toy/Board-v0", "", 0.2),
    ],
)
def test_a_preset_goes_by_the_environments_id_else_by_what_it_shows(settle, env_id, preset, rate):
    found = settle(env_id)
    assert (found.preset, found.policy.rate) == (preset, rate)


def test_where_actions_are_vectors_a_preset_for_that_goes_before_the_observations(
    settle, monkeypatch
):
    monkeypatch.setattr(ToyPolicy, "reason", None)
    found = settle("toy/Cont-v0", policy="variant")
    assert (found.preset, found.policy.rate) == ("continuous", 0.0625)
    assert settle("toy/Cont-v0").preset == "vector"  # toy has none for vectors


def test_a_preset_is_laid_over_the_one_that_it_extends(settle):
    found = settle(policy="variant")
    assert (found.preset, found.policy.rate) == ("toy__Line-v0", 0.75)
    assert (found.policy.num_simulations, found.policy.model.width) == (20, 32)
    assert settle(None, policy="variant").env_id == "toy/Line-v0"  # as the extended default says


@pytest.mark.parametrize(
    ("given", "goal"),
    [
        ([], 0.0),
        (["run.opponent=minimax", "env.bot=none", "run.openings=all"], 0.0),
        (["run.opponent=random"], None),
        (["env.bot=random"], None),
        (["env.bot=random", "run.stop_value=0.5"], 0.5),
    ],
)
def test_what_is_enough_against_a_presets_opponent_is_nobody_elses_goal(settle, given, goal):
    run = settle("toy/Game-v0", overrides=given).run

    assert (run.stop_value, run.max_env_steps) == (goal, 100)


@pytest.mark.parametrize("table", ["run", "env"])
def test_a_table_that_is_none_is_refused_where_there_is_a_preset(settle, table):
    with pytest.raises(ConfigError, match=rf"{table} = 3: expected a table"):
        settle("toy/Game-v0", overrides=[f"{table}=3"])


def test_a_preset_that_extends_nothing_there_is_says_so(settle):
    with pytest.raises(
        PluginError,
        match=r"'variant' .* preset .*:vector extends toy_presets:nowhere, which does not exist",
    ):
        settle("toy/Other-v0", policy="variant")


def test_a_preset_for_a_kind_may_change_the_environment_and_so_the_spaces(settle):
    asked = []

    def watched(env_id, env):
        asked.append(env.pixels)
        return look(env_id, env)

    found = settle("toy/Picture-v0", spaces_of=watched)

    assert asked == [None, 16]  # once to see that it is a picture, once as the preset wants it
    assert found.policy.model.observation_shape == (3, 16, 16)
    assert settle("toy/Picture-v0", overrides=["env.pixels=64"]).env.pixels == 64


def test_an_environment_is_built_once_where_the_preset_does_not_touch_it(settle):
    asked = []
    settle("toy/Other-v0", spaces_of=lambda i, e: asked.append(e) or look(i, e))
    assert len(asked) == 1


def test_without_an_id_the_policys_default_preset_names_one(settle):
    assert settle(None).env_id == "toy/Line-v0"


def test_a_policy_without_a_default_environment_asks_for_one(settle):
    with pytest.raises(ConfigError, match=r"'bare' names no environment .*--env CartPole-v1"):
        settle(None, policy="bare")


def test_a_policy_without_presets_starts_from_its_defaults(settle):
    found = settle(policy="bare")
    assert (found.preset, found.policy.rate, found.policy.num_simulations) == ("", 0.2, 7)


def test_what_is_wrong_in_a_preset_names_the_distribution_that_ships_it(settle):
    mark = r"\[preset toy__Wrong-v0 of toys 1\.0\]"
    with pytest.raises(ConfigError, match=f"rate = -1.0: .* {mark}\n  rat = 1: .* {mark}$"):
        settle("toy/Wrong-v0")
    # what the user lays over it is the user's
    with pytest.raises(ConfigError, match=rf"rate = -2: .* \[-o\]\n  rat = 1: .* {mark}$"):
        settle("toy/Wrong-v0", overrides=["rate=-2"])


def test_a_missing_presets_package_is_named(settle):
    with pytest.raises(
        PluginError, match=r"'lost' has presets in no_such_package, which cannot be im"
    ):
        settle(policy="lost")


# --- mistakes -------------------------------------------------------------------------------------


def told(settle, *args, error=ConfigError, **given):
    with pytest.raises(error) as caught:
        settle(*args, **given)
    return str(caught.value)


def test_mistakes_of_all_tables_are_told_at_once_with_their_layer(settle, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("rate = 0\n[run]\nsead = 3\n")

    found = told(settle, config_file=file, overrides=["env.size=0", "pixels=3"], named={"rat": 1})

    assert sorted(found.split("\n")) == [
        "  env.size = 0: expected an integer, at least 1. [-o]",
        "  pixels = 3: there is no such setting. Did you mean 'env.pixels'? [-o]",
        "  rat = 1: there is no such setting. Did you mean 'rate'? [options]",
        "  rate = 0: expected a number, above 0. [mine.toml]",
        "  run.sead = 3: there is no such setting. Did you mean 'run.seed'? [mine.toml]",
        "5 settings cannot be used:",
    ]


def test_mistakes_are_told_before_any_environment_is_built(settle):
    def build(env_id, env):
        raise AssertionError("built")

    assert "rate = 0" in told(settle, overrides=["rate=0"], spaces_of=build)


def test_settings_that_do_not_go_together_are_told_once_everything_is_known(settle):
    assert told(settle, overrides=["segment=3"]) == "segment is 3, less than unroll 5; raise it."


def test_what_contradicts_the_spaces_gets_a_line(settle):
    assert told(settle, overrides=["model.observation_shape=[9]", "model.actions=5"]) == (
        "2 settings cannot be used:\n"
        "  model.observation_shape = [9]: toy/Line-v0 makes it [4]; leave it out. [-o]\n"
        "  model.actions = 5: toy/Line-v0 makes it 2; leave it out. [-o]"
    )


@pytest.mark.parametrize("same", ["4", "[4]"])
def test_what_repeats_the_spaces_in_other_words_is_accepted(settle, same):
    assert settle(overrides=[f"model.observation_shape={same}"]).policy.model.actions == 2


def test_what_the_spaces_merely_suggest_may_be_overridden(settle):
    assert settle(policy="bare", overrides=["num_simulations=3"]).policy.num_simulations == 3


def test_an_environment_that_the_policy_cannot_act_in_is_refused(settle):
    assert told(settle, "toy/Cont-v0", error=EnvError) == (
        "The policy 'toy' cannot act in toy/Cont-v0: its actions are continuous."
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rate = ", r"mine\.toml is not valid TOML: "),
        ("[lz]\nformat = 99\n", r"mine\.toml has format 99, .* up to 1\. Install a newer lzcore"),
        ("[lz]\nfromat = 1\n", r"mine\.toml, table lz: fromat = 1: .* Did you mean 'format'"),
        ("lz = 3\n", r"mine\.toml, table lz: The settings are 3; expected a table"),
        ('[lz]\npolicy = "other"\n', r"mine\.toml is for the policy 'other', not 'toy'"),
    ],
)
def test_a_settings_file_that_cannot_be_used_says_why(settle, tmp_path, text, line):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=line):
        settle(config_file=file)


def test_a_settings_file_that_is_not_there_is_named(settle, tmp_path):
    with pytest.raises(ConfigError, match=r"settings file .*none\.toml cannot be read"):
        settle(config_file=tmp_path / "none.toml")


# --- the file -------------------------------------------------------------------------------------


def test_the_file_of_a_run_brings_back_the_same_settings_to_the_letter(settle, registry):
    found = settle(overrides=["run.max_minutes=1.5", "limit=none", "env.kwargs.a=[1]", "seed=5"])
    again = Resolved.from_toml(found.to_toml(), registry)

    assert again.to_toml() == found.to_toml()
    for part in ("policy", "env", "run", "env_id", "env_kind", "preset", "policy_name"):
        assert getattr(again, part) == getattr(found, part)
    assert again.policy.seed == 5


def test_the_file_is_complete_and_says_what_it_is_for(settle):
    found = settle(overrides=["unroll=6"])
    data = tomllib.loads(found.to_toml())

    assert data.pop("lz") == {
        "format": 1, "policy": "toy", "environment": "toy/Line-v0", "kind": "toys",
        "preset": "toy__Line-v0", "overrides": ["unroll = 6  [-o]"],
    }  # fmt: skip
    assert data.keys() == (found.policy.to_dict().keys() - {"seed"}) | {"env", "run"}
    assert data["run"].keys() == found.run.to_dict().keys()


def test_the_file_of_a_run_can_be_given_to_the_next_one(settle, tmp_path):
    file = tmp_path / "config.toml"
    first = settle("toy/Other-v0", overrides=["rate=0.75", "env.size=6"])
    file.write_text(first.to_toml())

    again = settle(None, config_file=file, overrides=["seed=1"])

    assert again.env_id == "toy/Other-v0"
    assert again.policy == attrs.evolve(first.policy, seed=1)
    assert again.in_force() == [
        "toy on toy/Other-v0: preset vector",
        "rate = 0.75  [config.toml]",
        "env.size = 6  [config.toml]",
        "run.seed = 1  [-o]",
    ]


def test_what_is_in_force_is_the_preset_and_what_the_user_changed(settle, registry):
    found = settle(overrides=["rate=0.5", "model.width=8"])  # the preset says 0.5 already

    assert found.in_force() == ["toy on toy/Line-v0: preset toy__Line-v0", "model.width = 8  [-o]"]
    assert Resolved.from_toml(found.to_toml(), registry).in_force() == found.in_force()
    assert settle("toy/Board-v0").in_force() == ["toy on toy/Board-v0: no preset"]


def test_settings_that_no_file_can_hold_are_refused(settle):
    found = settle(named={"env": {"kwargs": {"fn": print}}})
    with pytest.raises(ConfigError, match=r"env\.kwargs\.fn: .*settings must be plain data"):
        found.to_toml()


def test_a_file_of_something_else_is_refused(registry):
    with pytest.raises(ConfigError, match=r"does not say lz\.policy; it was not written by lz"):
        Resolved.from_toml("rate = 1.0\n", registry)


def test_a_file_for_what_is_not_installed_is_refused(settle, registry):
    text = settle().to_toml().replace('policy = "toy"', 'policy = "toi"')
    with pytest.raises(UnknownNameError, match="toi"):
        Resolved.from_toml(text, registry)


def test_a_file_with_a_setting_that_is_gone_is_refused(settle, registry):
    text = settle().to_toml().replace("unroll =", "unrol =")
    with pytest.raises(
        ConfigError, match=r"unrol = 5: .* Did you mean 'unroll'\? \[config\.toml\]"
    ):
        Resolved.from_toml(text, registry)
