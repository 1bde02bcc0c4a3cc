"""Plugins of others that misbehave in a run: one line that names them, and the run goes on after.

Each fault is one of `wild_plugin`, a distribution on the path of the process that `lz` is.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import attrs
import pytest

sys.path.append(str(Path(__file__).parent))

from lz_process import Shell

HERE = Path(__file__).parent
WILD = r"of lz-wild 2\.5"
FAST = "-o run.tensorboard=false -o run.eval_episodes=2 --quiet"
NEW = f"run --policy wild --env engine_fakes:Walk --max-env-steps 60 {FAST}"
TREE = (
    "run --policy muzero --env faulty_envs:Countdown -o tree=wild-tree -o num_simulations=2 "
    "-o batch_size=8 -o model.latent_state_dim=16 -o n_episode=2 -o collector_env_num=2 "
    f"-o evaluator_env_num=1 --max-env-steps 24 {FAST}"
)
OUTDOORS = f"run --policy wild --env wild/wood --max-env-steps 60 {FAST}"
MATCH = (
    "run --policy scripted --env toys/noughts -o run.opponent=wild-player --max-env-steps 30 "
    f"-o run.opening_plies=0 {FAST}"
)


@pytest.fixture(scope="module")
def shell():
    with Shell() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Where Python looks first: a folder with two distributions, and the modules they name."""
    site = tmp_path_factory.mktemp("site")
    for name, version, module in (
        ("lz_wild", "2.5", "wild_plugin"),
        ("lz_toys", "1", "match_fakes"),
    ):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        (info / "METADATA").write_text(about)
        (info / "entry_points.txt").write_text(f"[lzcore]\n{name} = {module}\n")
    (site / "wild_presets").mkdir()
    (site / "wild_presets" / "default.toml").write_text("[lz]\nenvironment = engine_fakes:Walk\n")
    return [site, HERE, HERE / "core"]


@pytest.fixture
def lz(shell, path, tmp_path):
    """Run a command line with something going wrong."""

    def lz(line, fault="", **given):
        return shell.lz(tmp_path, *line.split(), path=path, FAULT=fault, **given)

    return lz


@pytest.fixture(scope="module")
def begun(shell, path, tmp_path_factory):
    """Runs that went well so far, by command line; tests take copies."""
    made = {}

    def begun(line):
        if line not in made:
            folder = tmp_path_factory.mktemp("begun")
            done = shell.lz(folder, *f"{line} --out run".split(), path=path)
            assert done == (0, "", ""), done.err
            made[line] = folder / "run"
        return made[line]

    return begun


def refused(done, message):
    """Check that a command ended with status 1 and one line."""
    [line] = done.err.splitlines()
    assert (done.status, line[:7]) == (1, "Error: "), done.err
    assert re.search(message, line), line
    return line


# --- what is broken from the start ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-config", r"lz-wild 2\.5 has the config NoConfig, which is no .*\.PolicySettings\."),
        ("no-policy", r"'no-policy' {} is no lzcore\.base\.Policy; derive its class from that"),
        ("half-policy", r"'half-policy' {} lacks _forward_eval; define them in its class"),
        ("wrong-arguments", r"'wrong-arguments' {} cannot be made: .* takes 1 positional argument"),
        ("no-model", r"'no-model' {} failed: RuntimeError: None of .* defines the model 'Nowhere'"),
        (
            "raises-at-once",
            r"'raises-at-once' {} failed: AttributeError: spaces of vector \(wild_p",
        ),
        ("no-presets", r"'no-presets' {} has presets in wild_plugin_presets, which cannot be imp"),
        (
            "torn-presets",
            r"'torn-presets' {} cannot be configured: the preset wild_presets:.* TOML",
        ),
        ("half-buffer", r"The buffer 'half-buffer' {} lacks sample, .*; define what its protocol"),
        ("no-buffer", r"No installed plugin provides the buffer 'nowhere'\. Installed: .*replay"),
    ],
)
def test_a_policy_that_cannot_begin_is_named_and_leaves_nothing(lz, tmp_path, name, message):
    env = "" if name in ("no-presets", "torn-presets") else "--env engine_fakes:Walk"
    refused(lz(f"run --policy {name} {env} --out out {FAST}"), message.format(WILD))

    assert not (tmp_path / "out").exists()


def test_what_raised_before_there_is_a_run_can_be_seen_in_full(lz):
    line = f"run --policy raises-at-once --env engine_fakes:Walk {FAST}"
    assert "LZ_TRACEBACK=1 shows its traceback." in lz(line).err

    done = lz(line, LZ_TRACEBACK="1")

    assert done.err.startswith("Traceback (most recent call last):")
    assert 'raise AttributeError(f"spaces of {spaces.kind}")' in done.err
    assert done.err.splitlines()[-1].startswith("Error: The policy 'raises-at-once' of lz-wild")


# --- what breaks on the way -----------------------------------------------------------------------

POLICY = {
    "collect raises": r"{} failed: KeyError: 'no such .*' \(wild_plugin\.py line \d+\)\. Its tr",
    "collect exits": r"{} failed: SystemExit: 3 \(wild_plugin\.py line \d+\)\. Its traceback is in",
    "collect none": r"{} decided a NoneType; expected a dict for each environment\.",
    "an environment left out": r"{} decided nothing for the environments \[0\]\.",
    "environments in another order": r"{} decided for the environments \[2, 1, 0\]; expected \[0,",
    "no action": r"{} decided nothing as the action; expected whole numbers of shape \(3,\)\.",
    "action out of range": r"{} decided the action [78] in environment 0; expected one of 0 to 1\.",
    "action as float": r"{} decided float32 of shape \(3,\) as the action; expected whole numbers",
    "action not a number": r"{} decided float64 of shape \(3,\) as the action; expected whole num",
    "an action too many": r"{} decided int64 of shape \(4,\) as the action; expected .* \(3,\)\.",
    "batch raises": r"{} failed: ValueError: no target at all \(wild_plugin\.py line \d+\)\. Its",
    "learn raises": r"{} failed: KeyError: 'loss' \(wild_plugin\.py line \d+\)\. Its traceback is",
    "learn none": r"{} returned NoneType from _forward_learn; expected numbers by name\.",
    "learn list": r"{} returned list from _forward_learn; expected numbers by name\.",
    "learn text": r"{} returned a str as 'mood' from _forward_learn; expected a number\.",
    "learn array": r"{} returned float64 of shape \(3,\) as 'grad' from _forward_learn; expected a",
    "no priorities": r"{} draws by priority, but returns no 'value_priority_orig' .* \(4,\) errors",
    "few priorities": r"{} returned float32 of shape \(3,\) as 'value_priority_orig'; .* \(4,\)\.",
    "negative priorities": r"{} returned a 'value_priority_orig' that is not above 0 or not fin",
}
ENV = {
    "env raises": r"{} failed in step of one .* \[0, 1, 2\]: ConnectionError: no daylight \(wild",
    "env none": r"{} returned NoneType from step; expected Stepped\.",
    "env reward": r"{} returned float32 of shape \(3, 1\) as reward from step; expected shape \(3,",
    "env frames": r"{} returned float32 of shape \(3, 2\) as observation from step; expected shape",
    "env mask": r"{} returned nothing as action_mask from step; expected shape \(3, 2\)\.",
    "env no action": r"{} allows no action in environment 0 .* but its episode goes on\.",
}
SEARCH = {
    "tree raises": r"{} failed: IndexError: no branch \(wild_plugin\.py line \d+\)\. Its traceback",
    "tree leaves": r"{} returned parent of shape \(1,\) from select; expected \(2,\)\.",
    "tree none": r"{} returned NoneType from result; expected SearchResult\.",
    "tree shape": r"{} returned visit_count of shape \(2, 1\) from result; expected \(2, 2\)\.",
}
GAMES = {
    "opponent raises": r"{} failed: RuntimeError: I resign \(wild_plugin\.py line \d+\)\. Its trac",
    "opponent illegal": r"{} chose the illegal action \d+; legal in that position are \[.*\]\.",
    "opponent floats": r"{} chose actions of float64, shape \(\d+,\), in \d+ positions; expected a",
}
FAULTS = {
    **{fault: (NEW, POLICY[fault].format(f"The policy 'wild' {WILD}")) for fault in POLICY},
    **{
        fault: (OUTDOORS, ENV[fault].format(f"The environment kind 'wild' {WILD}")) for fault in ENV
    },
    **{fault: (TREE, SEARCH[fault].format(f"The tree 'wild-tree' {WILD}")) for fault in SEARCH},
    **{
        fault: (MATCH, GAMES[fault].format(f"The opponent 'wild-player' {WILD}")) for fault in GAMES
    },
}
GO_ON = "run --resume run --max-env-steps 90"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_plugin_is_its_own(lz, begun, tmp_path, fault):
    line, message = FAULTS[fault]
    run = Path(shutil.copytree(begun(line), tmp_path / "run"))

    done = lz(GO_ON, fault)
    told = refused(done, message)

    assert "ended: failed" in done.out
    if "traceback is in" in told:
        assert told.endswith("Its traceback is in run/failure.txt.")
        assert "wild_plugin.py" in (run / "failure.txt").read_text()


@pytest.mark.parametrize("fault", ["learn raises", "collect exits", "env raises", "tree raises"])
def test_a_run_goes_on_once_the_plugin_is_mended(lz, begun, tmp_path, fault):
    run = Path(shutil.copytree(begun(FAULTS[fault][0]), tmp_path / "run"))
    refused(lz(GO_ON, fault), "Its traceback is in run/failure.txt")

    assert lz(f"{GO_ON} --quiet") == (0, "", "")
    assert not (run / "failure.txt").exists()


def test_a_state_that_is_no_plain_data_says_where_and_the_run_goes_on(lz, begun, tmp_path):
    shutil.copytree(begun(NEW), tmp_path / "run")

    done = lz("run --resume run --max-env-steps 200 --quiet", "state")
    refused(done, r"\['learn'\]\['extra'\] is a builtins\.object; a checkpoint holds only tensors")

    assert lz("run --resume run --max-env-steps 200 --quiet") == (0, "", "")


def test_a_bug_of_ours_keeps_its_traceback_whoever_else_takes_part(shell, path, tmp_path):
    bug = "from lzcore.engine import learner\nlearner._require_finite = lambda told: told[0]\n"
    (tmp_path / "buggy.py").write_text(f"{bug}from engine_fakes import Walk\n")
    line = NEW.replace("engine_fakes:", "buggy:")

    done = shell.lz(tmp_path, *f"{line} --out run".split(), path=[tmp_path, *path])

    assert done.status == 1
    assert done.err.startswith("Traceback (most recent call last):")
    assert done.err.splitlines()[-1] == "KeyError: 0"


# --- runners, commands ----------------------------------------------------------------------------


@pytest.fixture
def registry(path, monkeypatch):
    """What is installed, in this process."""
    from lzcore.registry import get_registry

    for folder in path:
        monkeypatch.syspath_prepend(folder)
    yield get_registry(reload=True)
    monkeypatch.undo()
    get_registry(reload=True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", r"returned NoneType; expected a lzcore\.engine\.plan\.Outcome\."),
        (
            "runner raises",
            r"lz-wild 2\.5 failed: OSError: no machine is free \(wild_plugin\.py line",
        ),
    ],
)
def test_a_runner_that_fails_or_returns_no_outcome_is_named(
    registry, tmp_path, monkeypatch, fault, message
):
    import wild_plugin

    from lzcore.base import PluginError
    from lzcore.engine.starting import carry_out, plan_run

    monkeypatch.setattr(wild_plugin, "FAULT", fault)
    plan = plan_run("wild", "engine_fakes:Walk", out=tmp_path / "run")
    with pytest.raises(PluginError, match=message):
        carry_out(attrs.evolve(plan, runner="wild-runner"))


def test_a_command_of_a_plugin_that_fails_is_one_line_and_its_own_endings_are_its_own(lz):
    told = refused(
        lz("wild"), r"lz-wild 2\.5 failed: KeyError: 'loss' \(wild_plugin\.py line \d+\)"
    )
    assert told.endswith("LZ_TRACEBACK=1 shows its traceback.")

    assert lz("wild --how exit") == (4, "", "")
    usage = lz("wild --how usage")
    assert (usage.status, usage.err.splitlines()[-1]) == (2, "Error: not like this")


# --- observers ------------------------------------------------------------------------------------


def test_an_observer_that_modifies_what_it_is_given_changes_nothing(lz, tmp_path):
    logs = []
    for fault in ("", "observer modifies"):
        assert lz(f"{NEW} --out {fault[:3] or 'run'}", fault) == (0, "", "")
        logs.append((tmp_path / (fault[:3] or "run") / "metrics.jsonl").read_bytes())

    assert logs[0] == logs[1]


def test_what_an_observer_prints_does_not_get_between_json(lz):
    done = lz(NEW.replace("--quiet", "--json") + " --out run", "observer prints")

    assert [json.loads(line)["kind"] for line in done.out.splitlines()][-1] == "finished"
    assert set(done.err.splitlines()) == {"{ look at me"}


def test_an_observer_that_slows_a_run_down_is_named_once(lz):
    done = lz(f"{NEW} --out run", "observer slow")

    [line] = done.err.splitlines()
    assert done.status == 0
    assert re.fullmatch(
        r"lz: lz-wild 2\.5 is slow: its hooks took 1\.\d of the last \d+\.\d s, lz_learned among "
        r"them\. LZ_PLUGINS can leave it out\.",
        line,
    )
