"""What people do wrong with `lz`, at every door: one clear line, the right status, nothing lost."""

import fcntl
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from textwrap import dedent

import pytest

sys.path.append(str(Path(__file__).parent))

from lz_process import Shell

HERE = Path(__file__).parent

TINY = (
    "-o num_simulations=2 -o batch_size=8 -o model.latent_state_dim=16 -o run.eval_episodes=1 "
    "-o n_episode=2 -o collector_env_num=2 -o evaluator_env_num=1 -o run.tensorboard=false"
)
NEW = f"run --policy muzero --env faulty_envs:Countdown --max-env-steps 48 --quiet {TINY}"
ON = "run --resume {run} --max-env-steps 72 --quiet"


@pytest.fixture(scope="module")
def shell():
    with Shell() as opened:
        yield opened


@pytest.fixture(scope="module")
def finished(shell, tmp_path_factory):
    """A run that has ended; tests take copies."""
    folder = tmp_path_factory.mktemp("finished")
    done = shell.lz(folder, *f"{NEW} --out run".split(), path=[HERE])
    assert done == (0, "", "")
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """The directory of a run of its own for a test."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def lz(shell, tmp_path):
    """Run a command line in which {run} is the test's run directory."""

    def lz(line, path=(HERE,), **given):
        return shell.lz(tmp_path, *shlex.split(line.format(run="run")), path=path, **given)

    return lz


def refused(done, message, status=1):
    """Check that a command refused in one line (below the usage, if that is what was wrong)."""
    *usage, line = done.err.splitlines()
    assert (done.status, line[:7]) == (status, "Error: "), done.err
    assert usage == [] or (status == 2 and usage[0].startswith("Usage: lz "))
    assert re.search(message, line), line


def latest(run):
    """The newest checkpoint of a run that it can be resumed from."""
    return max(path for path in (run / "checkpoints").glob("*.pt") if path.stem.isdigit())


def flip(path):
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


# --- what was asked for -----------------------------------------------------------------------

M = "run --policy muzero"
ASKED = {
    "run --policy muzer": r"No installed plugin provides the policy 'muzer'\. .*mean 'muzero'\?",
    "check-env CartPole-v1 --policy muzer": "the policy 'muzer'",
    "config show --policy muzer": "the policy 'muzer'",
    f"{M} --env Cartpole-v1": r"no Gymnasium environment 'Cartpole-v1'\. .*mean 'CartPole-v1'\?",
    f"{M} --env faulty_envs:Countdwn": r"Did you mean 'Countdown'\? The module 'faulty_envs' nei",
    f"{M} --env no_such_module:X": r"'no_such_module', which cannot be imported .* PYTHONPATH\.",
    f"{M} --env faulty_envs:Unmade": r"Unmade cannot be made \(FileNotFoundError: level_1\.map\)",
    f"{M} --env faulty_envs:NOT_AN_ENV": r"returned 'dict'; expected a gymnasium\.Env\.",
    f"{M} --env faulty_envs:Keyed": r"shows Dict observations; Box, .* can be read\. Flatten it",
    f"{M} --env Pendulum-v1": r"'muzero' cannot act in Pendulum-v1: the actions are 1 continuous",
    "check-env faulty_envs:Keyed": "shows Dict observations",
    f"{M} -o num_simulation=3": r"num_simulation = 3: there is .* mean 'num_simulations'\? \[-o\]",
    f"{M} -o model.num_chanels=3": r"Did you mean 'model\.num_channels'\?",
    f"{M} -o env.frame_skp=3": r"Did you mean 'env\.frame_skip'\?",
    f"{M} -o run.max_env_step=3": r"Did you mean 'run\.max_env_steps'\?",
    f"{M} -o action_space_size=2": r"Did you mean 'model\.action_space_size'\?",
    f"{M} -o batch_size=many": r'batch_size = "many": expected an integer, at least 1\. \[-o\]',
    f"{M} -o batch_size=0": r"batch_size = 0: expected an integer, at least 1\.",
    f"{M} -o model.model_type=mpl": r'model_type = "mpl": expected one of conv, mlp, conv_',
    f"{M} -o model=3": r"model = 3: expected a table\.",
    f"{M} -o num_simulations": r"-o num_simulations: expected KEY=VALUE",
    f"{M} -o env_type=board_games": r'CartPole-v1 makes it "not_board_games"; leave it out\.',
    "run --policy gumbel_muzero -o reuse_search=true": r"goes by Gumbel's rule; leave it at false",
    f"{M} -o model.action_space_size=7": r"CartPole-v1 makes it 2; leave it out\.",
    f"{M} -o tree=lz_cthree": r"the tree 'lz_cthree'\. .*Did you mean 'lz_ctree'\?",
    f"{M} --device cudaa": r'device = "cudaa": torch cannot compute on it here .* such as cpu',
    f"{M} --device meta": r'device = "meta": torch cannot compute on it here',
    "config explain num_simulation --policy muzero": r"Did you mean 'num_simulations'\?",
    "run --policy alphazero --env CartPole-v1": (
        r"alphazero plans with the rules of a game, and CartPole-v1 does not tell its rules\."
    ),
    "run --policy alphazero --env open_spiel/poker": r"no game 'poker'\. Did you mean 'kuhn_poker'",
    "run --policy alphazero -o env.bot=mtcs": r"the opponent 'mtcs'\. .*Did you mean 'mcts'\?",
    "run --policy alphazero -o run.opponent=mtcs": r"the opponent 'mtcs'\. .*Did you mean 'mcts'",
    "run --policy alphazero -o mcts.max_movs=3": r"Did you mean 'mcts\.max_moves'\?",
    "run --policy alphazero -o resign_below=0.5": r'a number, at least -1 and below 0, or "none"\.',
    "run --policy alphazero -o resign_below=-0.9 -o env.bot=random": (
        r"nobody can in open_spiel/tic_tac_toe: it has a bot \(env\.bot\) on the other side\. "
        r"Expected a game for two in self-play, or a policy .* not to resign\."
    ),
    f"{M} -o tree_threads=0": r"tree_threads = 0: expected an integer, at least 1\. \[-o\]",
    f"{M} -o record_network=maybe": r'record_network = "maybe": expected true or false\. \[-o\]',
    "play nowhere": r"nowhere is no run directory: there is no config\.toml in it\. Give the",
    "eval nowhere": r"nowhere is no run directory: there is no config\.toml in it\. Give the",
    "watch nowhere --gif a.gif": "nowhere is no run directory",
    "watch nowhere --gif no/a.gif": r"Cannot write no/a\.gif: No such file or directory",
    "run --resume .": r"\. is no run directory",
}
USAGE = {
    "rnu": r"No such command 'rnu'\. Did you mean 'run'\?",
    "run --polcy muzero": "No such option '--polcy'.* '--policy'",
    "run": r"Say what to train: --policy NAME; or go on: --resume DIR\.",
    f"{M} --seed -1": "-1 is not in the range x>=0",
    f"{M} --config none.toml": r"File 'none\.toml' does not exist",
    "run --resume x -o batch_size=8": "takes everything from the run, so -o cannot go with it",
    "config show": r"Say which policy: --policy NAME\. Installed: .*muzero",
}


@pytest.mark.parametrize("line", ASKED)
def test_what_cannot_be_had_is_refused_with_what_can_and_leaves_nothing(lz, tmp_path, line):
    refused(lz(line), ASKED[line])

    left = {path.name for path in tmp_path.rglob("*")} - {"stdout", "stderr"}
    assert left <= {"runs", "muzero_CartPole-v1_s0"}  # empty: a mended command takes the same
    assert not [path for path in tmp_path.rglob("*.toml")]


@pytest.mark.parametrize("line", USAGE)
def test_wrong_usage_is_told_with_status_2(lz, line):
    refused(lz(line), USAGE[line], status=2)


def test_all_wrong_settings_are_told_at_once_each_with_where_it_was_given(lz, tmp_path):
    (tmp_path / "my.toml").write_text("batch_size = 0\n[model]\nnum_chanels = 3\n")

    done = lz(f"{M} --config my.toml -o num_simulations=many -o env.frame_skip=0 -o run.threads=0")

    assert done.status == 1
    assert done.err.splitlines() == [
        "Error: 5 settings cannot be used:",
        "  model.num_chanels = 3: there is no such setting. Did you mean 'model.num_channels'? "
        "[my.toml]",
        '  num_simulations = "many": expected an integer, at least 1. [-o]',
        "  batch_size = 0: expected an integer, at least 1. [my.toml]",
        '  env.frame_skip = 0: expected an integer, at least 1, or "none". [-o]',
        "  run.threads = 0: expected an integer, at least 1. [-o]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"batch_size = = 3", r"my\.toml is not valid TOML: Invalid value \(at line 1, column 14"),
        (b"\xff\xfe", r"The settings file my\.toml cannot be read: 'utf-8'"),
        (b"[lz]\nformat = 9", r"my\.toml has format 9, .* up to 1\. Install a newer lzcore\."),
        (b"[lz]\npolicy = 'zero'", r"for the policy 'zero', not 'muzero'\. Choose that policy"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_named(lz, tmp_path, text, message):
    (tmp_path / "my.toml").write_bytes(text)

    refused(lz(f"{M} --config my.toml"), message)


# --- plugins ----------------------------------------------------------------------------------

POLICY = """
    from lzcore.registry import PolicySpec, hookimpl

    LZ_API = 1

    @hookimpl
    def lz_register_policies():
        policy, config = "lz_muzero.policy:MuZeroPolicy", "lz_muzero.config:MuZeroConfig"
        return [PolicySpec(name="twin", policy=policy, config=config, summary="Again.")]
"""
PLUGINS = {
    "lz_good": POLICY.replace("twin", "good"),
    "lz_raises": "raise RuntimeError('boom')",
    "lz_future": POLICY.replace("API = 1", "API = 9"),
    "lz_twin_a": POLICY,
    "lz_twin_b": POLICY,
    "lz_lost": POLICY.replace("twin", "lost").replace("lz_muzero.policy", "lz_lost.policy"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with plugins in every state, and packages that cannot be imported."""
    site = tmp_path_factory.mktemp("site")
    for module, source in PLUGINS.items():
        name = module.replace("_", "-")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lzcore]\nmain = {module}\n")
        (site / f"{module}.py").write_text(dedent(source))
    for absent in ("ale_py", "Box2D"):
        (site / f"{absent}.py").write_text(f"raise ModuleNotFoundError('No module {absent}')")
    return site


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run --policy raises", r"lz-raises 1\.0 is broken: RuntimeError: boom \(lz_raises\.py"),
        ("run --policy future", r"lz-future 1\.0 is broken: .* asks for hook API 9, .*; install"),
        ("run --policy twin", r"by lz-twin-a 1\.0 and lz-twin-b 1\.0, .* Write 'lz-twin-a:twin' o"),
        ("run --policy lost", r"names no environment of its own to start with; choose one, such"),
        ("run --policy lost --env CartPole-v1", r"'lost' of lz-lost 1\.0 cannot be used: .*lz_lo"),
        (f"{M} --env ALE/Pong-v5", r'not installed .* Install it with: pip install "lzcore\[atari'),
        (f"{M} --env LunarLander-v3", r'Install it with: pip install "lzcore\[box2d\]"'),
    ],
)
def test_what_a_plugin_or_package_would_provide_is_told_with_why_it_does_not(
    lz, site, line, message
):
    refused(lz(line, path=[site]), message)


def test_broken_plugins_leave_the_others_working_and_a_claimed_name_can_be_picked(lz, site):
    named = NEW.replace("muzero", "lz-twin-b:twin").replace(" 48 ", " 12 ")

    assert lz(f"{named} --out run", path=[site, HERE]) == (0, "", "")
    assert lz("eval run --episodes 1", path=[site, HERE]).status == 0


def test_a_name_in_lz_plugins_that_nothing_installed_has_is_told(lz):
    done = lz(M, LZ_PLUGINS="lz_muzer")

    refused(done, r"LZ_PLUGINS names 'lz_muzer', which is not installed\. Did you mean 'lz.muzero'")


def test_without_any_tree_the_error_says_what_to_install(lz):
    refused(lz(M, LZ_PLUGINS="lz-muzero"), "No installed tree .* `pip install lz-ctree`; `lz list`")


# --- the run directory ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("run", r"run is not empty\. Go on .* `lz run --resume run`, or .* with --out\."),
        ("run/checkpoints", r"checkpoints is not empty\. Choose another directory with --out\."),
        ("run/run.json", r"run\.json is a file; a run needs a directory that is new or empty"),
        ("/proc/run", "Cannot write /proc/run: No such file .* choose another directory"),
        ("run/run.json/x", "Cannot write run/run.json/x: Not a directory"),
    ],
)
def test_a_place_that_cannot_take_a_run_is_refused_and_keeps_what_it_has(lz, run, out, message):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    refused(lz(f"{NEW} --out {out}"), message)

    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_that_another_process_has_can_be_evaluated_but_not_resumed(lz, run):
    handle = os.open(run, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    refused(lz(ON), r"Another process is running in run\. Wait for it, or stop it\.")
    assert lz("eval {run} --episodes 1").status == 0

    os.close(handle)
    assert lz(ON).status == 0


@pytest.mark.parametrize("damage", [flip, halve, empty])
def test_a_damaged_checkpoint_is_named_with_the_one_to_go_on_from(lz, run, damage):
    newest = latest(run)
    damage(newest)

    refused(lz(ON), rf"{newest.name} is damaged \(.+\)\. Move it away to go on from 0\d+\.pt")

    newest.unlink()
    assert lz(ON).status == 0


@pytest.mark.parametrize("damage", [halve, Path.unlink])
def test_a_damaged_or_missing_replay_file_is_named_and_the_weights_still_play(lz, run, damage):
    newest = max((run / "replay").iterdir())
    damage(newest)

    refused(lz(ON), rf"replay file run/replay/{newest.name} is (damaged|missing).* from a copy, or")
    assert lz("eval {run} --episodes 1").status == 0

    latest(run).unlink()  # the one before does without the file
    assert lz(ON).status == 0


def test_a_damaged_best_checkpoint_names_another_that_plays(lz, run):
    halve(run / "checkpoints" / "best.pt")

    name = latest(run).name
    refused(lz("eval {run}"), rf"best\.pt is damaged .* {name} .*: use it with --checkpoint\.")
    assert lz(f"eval {{run}} --checkpoint run/checkpoints/{name}").status == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("run/checkpoints/7.pt", r"no checkpoint file .*7\.pt\. There are 0\d+\.pt, .*best\.pt\."),
        ("run", r"no checkpoint file run\. They are in the folder checkpoints of a run dir"),
        ("run/run.json", r"run\.json is damaged \(File is not a zip file\)"),
    ],
)
def test_what_is_no_checkpoint_is_refused(lz, run, given, message):
    refused(lz(f"eval {{run}} --checkpoint {given}"), message)


@pytest.mark.parametrize("line", ["eval {run}", "watch {run} --gif a.gif"])
def test_a_run_without_checkpoints_says_how_to_get_one(lz, run, line):
    shutil.rmtree(run / "checkpoints")

    refused(lz(line), r"no checkpoint in run/checkpoints\. Train it first: lz run --resume run")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("seed ="), r"run/config\.toml is not valid TOML"),
        (empty, r"run/config\.toml does not say lz\.policy; .* Bring it back from a copy\."),
        (Path.unlink, r"run is no run directory: there is no config\.toml in it\."),
    ],
)
def test_damaged_settings_of_a_run_are_named(lz, run, damage, message):
    damage(run / "config.toml")

    refused(lz(ON), message)
    refused(lz("eval {run}"), message)


@pytest.mark.parametrize("size", [2_000, 60_000])  # room for less than config.toml, a checkpoint
def test_a_full_disk_is_told_and_the_run_goes_on_where_there_is_room(lz, run, size):
    refused(lz(ON, largest_file=size), "Cannot write run/c.*: File too large. Make room")

    assert lz(ON).status == 0


# --- environments that break on the way --------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", r"\(environment 0, after step \d\) failed in step: RuntimeError: the motor has "),
        ("nan", r"after step \d\) returned an observation that is not finite"),
        ("reward nan", r"after step \d\) returned a reward that is not finite"),
        ("shape", r"observations of shape \(3,\), but returned \(4,\)\. Mend its observation or"),
        ("no action", r"allows no action \(info\['action_mask'\] is all zero\)"),
    ],
)
def test_a_run_goes_on_once_its_environment_is_mended(lz, run, fault, message):
    done = lz("run --resume {run} --max-env-steps 72", FAULT=fault)
    refused(done, message)
    assert "ended: failed" in done.out
    assert "go on with: lz run --resume run" in done.out

    assert lz(ON) == (0, "", "")
    assert lz("eval {run} --episodes 1").status == 0


def test_rewards_beyond_all_numbers_end_the_run_with_the_batch_and_the_checkpoints_kept(lz, run):
    done = lz("run --resume {run} --max-env-steps 400 --quiet", FAULT="huge")

    *warnings, line = done.err.splitlines()
    assert done.status == 1
    assert all(re.match("Warning: A (value|reward) target of size", told) for told in warnings)
    assert re.search(r"^Error: Value or reward targets of the replay rows .* not finite", line)
    assert "The batch that caused it is saved in run/diverged_batch.pt. Start again" in line
    assert (run / "diverged_batch.pt").exists()
    assert lz("eval {run} --episodes 1").status == 0
