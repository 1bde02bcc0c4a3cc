"""`lz config`: what it shows, explains and compares, and what it says to mistakes."""

import sys
import tomllib
import types
from typing import ClassVar

import attrs
import numpy as np
import pytest
from attrs import validators as v
from click.testing import CliRunner

from lzcore.base import ActionSpace, ModelSettings, PolicySettings, Settings, Spaces, setting
from lzcore.base.config import Only
from lzcore.cli import config as command
from lzcore.cli.main import main
from lzcore.engine import settings as engine_settings
from lzcore.engine.settings import resolve
from lzcore.registry import EnvSpec, PolicySpec, Registry, hookimpl


@attrs.frozen(kw_only=True)
class ToyModel(ModelSettings):
    width: int = setting(64, "Width of the latent state.", check=v.ge(1))
    inputs: int = setting(1, "What it reads.", spaces=True, extension=True)


@attrs.frozen(kw_only=True)
class ToyConfig(PolicySettings):
    aliases: ClassVar = {"sims": "num_simulations", "half": lambda given: {"rate": given * 2}}

    model: ToyModel = setting(attrs.Factory(ToyModel), "The network.")
    num_simulations: int = setting(50, "Simulations per move.", unit="simulations", check=v.ge(1))
    rate: float = setting(0.2, "Step size.", extension=True)
    old: bool = setting(True, "No effect.", noop=True)
    later: bool = setting(False, "Something new.", check=Only("not in this version"))


@attrs.frozen(kw_only=True)
class OtherConfig(ToyConfig):
    num_simulations: int = setting(8, "Simulations per move.", check=v.ge(1))
    extra: int = setting(1, "Only here.")


@attrs.frozen(kw_only=True)
class ToyEnv(Settings):
    size: int = setting(4, "Numbers shown.")


class Env:
    closed: ClassVar[list[str]] = []

    def __init__(self, env_id, num_envs, settings):
        shape, action = (settings.size,), ActionSpace("discrete", 2)
        self.name = env_id
        self.spaces = Spaces(
            frame_shape=shape, frame_dtype=np.dtype(np.float32), kind="vector", action=action
        )

    def close(self):
        self.closed.append(self.name)


class ToyPolicy:
    @classmethod
    def check_spaces(cls, spaces):
        return None

    @classmethod
    def settings_for(cls, spaces, given):
        return {"model": {"inputs": spaces.frame_shape[0]}}


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package = tmp_path / "toy_presets"
    package.mkdir()
    (package / "toy__Line-v0.toml").write_text("num_simulations = 20\n")
    (package / "default.toml").write_text('[lz]\nenvironment = "toy/Line-v0"\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_presets", raising=False)
    module = types.ModuleType("toys")
    for thing in (ToyPolicy, ToyConfig, OtherConfig, ToyEnv, Env):
        setattr(module, thing.__name__, thing)
    module.LZ_API = 1
    given = {"policy": "toys:ToyPolicy", "summary": "", "presets": "toy_presets"}
    specs = [
        PolicySpec(name="toy", config="toys:ToyConfig", **given),
        PolicySpec(name="other", config="toys:OtherConfig", **given),
        PolicySpec(name="nowhere", config="toys:ToyConfig", **{**given, "presets": ""}),
    ]
    kind = EnvSpec(name="toys", env="toys:Env", config="toys:ToyEnv", summary="", prefix="toy")
    module.lz_register_policies = hookimpl(lambda: specs)
    module.lz_register_envs = hookimpl(lambda: [kind])
    monkeypatch.setitem(sys.modules, "toys", module)
    found = types.SimpleNamespace(name="toys", version="1.0")
    point = types.SimpleNamespace(name="toys", value="toys", dist=found, load=lambda: module)
    made = Registry([point], limit="")
    monkeypatch.setattr(command, "get_registry", lambda: made)
    monkeypatch.setattr(engine_settings, "get_registry", lambda: made)
    return made


@pytest.fixture
def lz(registry):
    def lz(*words, status=0):
        done = CliRunner().invoke(main, ["config", *words])
        assert done.exit_code == status, done.output
        return done.output

    return lz


# --- show -----------------------------------------------------------------------------------------


def test_show_prints_the_class_defaults_as_toml_where_no_environment_is_named(lz):
    text = lz("show", "--policy", "toy", "-o", "rate=0.5")
    data = tomllib.loads(text)

    assert text.startswith("# No environment is named: class defaults, ")
    assert data["num_simulations"] == 50
    assert data["rate"] == 0.5
    assert data["lz"] == {"format": 1, "policy": "toy"}
    assert data["run"]["eval_episodes"] == 20
    assert "seed" not in data


def test_show_prints_what_a_run_would_use_and_where_it_comes_from(lz):
    named = ("--policy", "toy", "--env", "toy/Line-v0", "-o", "env.size=6")
    text = lz("show", *named)

    assert not any(
        "# No environment" in lz("show", *named, *more) for more in ((), ["--documented"])
    )
    assert "num_simulations = 20  # preset toy__Line-v0\n" in text
    assert "size = 6  # -o\n" in text
    assert "inputs = 6  # spaces\n" in text
    assert "rate = 0.2\n" in text
    assert Env.closed[-1] == "toy/Line-v0"


def test_show_leaves_out_what_cannot_be_changed_unless_all_is_asked_for(lz):
    fixed = {"old", "later", "learn"}
    assert not fixed & tomllib.loads(lz("show", "--policy", "toy")).keys()
    assert fixed <= tomllib.loads(lz("show", "--policy", "toy", "--all")).keys()


def test_show_documented_leaves_out_extensions_and_tables_of_others(lz):
    data = tomllib.loads(lz("show", "--policy", "toy", "--documented"))

    assert data == ToyConfig().to_dict(documented=True)


def test_what_show_prints_can_be_given_back(lz, tmp_path, registry):
    file = tmp_path / "mine.toml"
    file.write_text(lz("show", "--policy", "toy", "--env", "toy/Line-v0", "-o", "seed=3"))

    again = resolve(registry.spec("policies", "toy"), config_file=file, registry=registry)

    assert (again.env_id, again.run.seed, again.policy.num_simulations) == ("toy/Line-v0", 3, 20)
    assert "num_simulations = 20  # mine.toml\n" in lz("show", "--config", str(file))


def test_show_needs_a_policy_and_names_those_there_are(lz):
    assert "--policy NAME. Installed: nowhere, other, toy." in lz("show", status=2)


def test_show_tells_all_mistakes_in_one_error(lz):
    text = lz("show", "--policy", "toy", "-o", "rate=x", "-o", "num_simulations=0", status=1)

    assert text == (
        "Error: 2 settings cannot be used:\n"
        "  num_simulations = 0: expected an integer, at least 1. [-o]\n"
        '  rate = "x": expected a number. [-o]\n'
    )


# --- explain --------------------------------------------------------------------------------------


def test_explain_tells_meaning_bounds_and_which_layer_won(lz):
    told = lz(
        "explain", "num_simulations", "--policy", "toy", "--env", "toy/Line-v0", "-o", "sims=9"
    )

    assert told == (
        "num_simulations = 9\n"
        "  Simulations per move.\n"
        "  takes an integer, at least 1; unit: simulations\n"
        "  also called sims\n"
        "  layers for toy in toy/Line-v0, the last one wins:\n"
        "    class default: 50\n"
        "    preset toy__Line-v0: 20\n"
        "    -o: 9  <- in force\n"
    )


def test_explain_looks_where_a_run_would_play_if_no_environment_is_named(lz):
    named = lz("explain", "num_simulations", "--policy", "toy", "--env", "toy/Line-v0")

    assert named.startswith("num_simulations = 20\n")
    assert lz("explain", "num_simulations", "--policy", "toy") == named


def test_explain_tells_class_defaults_of_a_policy_that_names_no_environment(lz):
    told = lz("explain", "num_simulations", "--policy", "nowhere")

    assert told.startswith("num_simulations = 50\n")
    assert "  layers where no environment is named, the last one wins:\n" in told


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ("rate", "  an extension: not part of the documented interface\n"),
        ("old", "  accepted without effect\n"),
        ("later", "  takes true or false, the default only (not in this version)\n"),
        ("model.inputs", "  a fact of the environment: a run takes it from there\n"),
        ("sims", "num_simulations = 20\n"),
        ("seed", "run.seed = 0\n"),
        ("model", "[model]  The network.\n  model.width\n  model.inputs\n"),
    ],
)
def test_explain_remarks_on_what_is_special(lz, key, remark):
    assert remark in lz("explain", key, "--policy", "toy")


def test_explain_needs_no_policy_for_the_tables_of_the_run_and_the_environment(lz):
    assert lz("explain", "run.stop_value").startswith('run.stop_value = "none"\n')
    assert "env.frame_skip" in lz("explain", "env.frame_skip")
    assert "--policy NAME" in lz("explain", "num_simulations", status=2)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("num_simulation", "there is no such setting. Did you mean 'num_simulations'?"),
        ("width", "there is no such setting. Did you mean 'model.width'?"),
        ("model.widht", "there is no such setting. Did you mean 'model.width'?"),
        ("run.sead", "there is no such setting. Did you mean 'run.seed'?"),
        ("width.x", "there is no such setting."),
        ("half", "another way to give settings of the policy."),
    ],
)
def test_explain_answers_a_misspelt_name_with_the_nearest(lz, key, line):
    assert lz("explain", key, "--policy", "toy", status=1) == f"Error: {key}: {line}\n"


# --- diff -----------------------------------------------------------------------------------------


def test_diff_tells_what_a_run_would_change_in_the_defaults_and_why(lz):
    assert lz("diff", "--policy", "toy", "-o", "run.seed=4").splitlines() == [
        "model.inputs: 1 -> 4  [spaces]",
        "num_simulations: 50 -> 20  [preset toy__Line-v0]",
        "run.seed: 0 -> 4  [-o]",
    ]


def test_diff_compares_two_run_directories(lz, tmp_path, registry):
    for name, override in {"one": "rate=0.5", "two": "env.size=5"}.items():
        made = resolve(registry.spec("policies", "toy"), overrides=[override], registry=registry)
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(made.to_toml())
    one, two = str(tmp_path / "one"), str(tmp_path / "two" / "config.toml")

    assert lz("diff", one, two).splitlines() == [
        "model.inputs: 4 -> 5",
        "rate: 0.5 -> 0.2",
        "env.size: 4 -> 5",
    ]
    assert lz("diff", one, one) == "No differences.\n"
    assert "rate: 0.2 -> 0.5" in lz("diff", one)  # against the class defaults


def test_diff_compares_policies_as_runs_of_them_and_tells_what_one_of_them_lacks(lz):
    assert lz("diff", "toy", "other") == "extra: absent -> 1\n"  # the preset is the same
    assert lz("diff", "toy") == lz("diff", "--policy", "toy")
    assert "num_simulations: 50 -> 20  [preset toy__Line-v0]\n" in lz("diff", "toy")


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["absent", "toy"], 1, "absent is neither a run directory nor a settings file. "),
        (["toy", "--policy", "toy"], 2, "Give two sides at most, and no options with them."),
        (["a", "b", "c"], 2, "Give two sides at most, and no options with them."),
        ([], 2, "Say which policy: --policy NAME."),
    ],
)
def test_diff_refuses_sides_it_cannot_read(lz, words, status, line):
    assert line in lz("diff", *words, status=status)


def test_diff_refuses_a_settings_file_that_lz_did_not_write(lz, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("rate = 0.5\n")
    assert "does not say lz.policy" in lz("diff", str(file), "toy", status=1)
