"""`lz run`, `lz eval` and `lz watch`: what they print, and with which status they exit."""

import json
import re

import pytest
from click.testing import CliRunner
from PIL import Image

from lzcore.cli.main import main

pytestmark = pytest.mark.usefixtures("tiny_installed")
WALK = ["--policy", "tiny", "--env", "engine_fakes:Walk", "-o", "run.tensorboard=false"]


def lz(*given):
    return CliRunner().invoke(main, [str(part) for part in given], catch_exceptions=False)


@pytest.fixture(scope="module")
def trained(fake_site, tmp_path_factory):
    """The directory of a run that has ended, and what `lz run` printed."""
    from lzcore.registry import get_registry

    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(fake_site)
        get_registry(reload=True)
        done = lz("run", *WALK, "--out", out, "--max-env-steps", 60, "--seed", 3)
    assert done.exit_code == 0, done.output
    return out, done.stdout


# --- run ------------------------------------------------------------------------------------------


def test_a_run_prints_what_is_in_force_how_it_goes_and_how_it_ended(trained):
    out, text = trained

    lines = text.splitlines()
    assert lines[0] == "tiny on engine_fakes:Walk: no preset, seed 3"
    assert "  run.tensorboard = false  [-o]" in lines
    assert "  run.max_env_steps = 60  [options]" in lines
    assert "  tree: none at all" in lines
    assert f"  directory: {out}" in lines
    assert re.search(r"^env \d+/60  learn \d+  return \S+  \d+ steps/s  .*%.*  left", text, re.M)
    assert re.search(
        r"^evaluation 1: \S+ \+- \S+ \(\S+ to \S+\) over 20 episodes, after", text, re.M
    )
    assert re.search(r"^ended: all env steps are taken, after \d+ env steps and", text, re.M)
    assert "\r" not in text  # no live line where there is no terminal


def test_quiet_prints_nothing(tmp_path):
    done = lz("run", *WALK, "--out", tmp_path / "run", "--max-env-steps", 20, "--quiet")

    assert (done.exit_code, done.output) == (0, "")


def test_json_prints_one_object_a_line(tmp_path):
    done = lz("run", *WALK, "--out", tmp_path / "run", "--max-env-steps", 20, "--json")

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["kind"] == "started"
    assert told[0]["facts"] == {"tree": "none at all"}
    assert {line["kind"] for line in told[1:-1]} == {"collected", "learned", "evaluated"}
    assert told[-1]["kind"] == "finished"
    assert told[-1]["ended_by"] == "max_env_steps"
    assert told[-1]["directory"] == str(tmp_path / "run")


def test_without_out_the_directory_is_named_after_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    for _ in range(2):
        lz("run", *WALK, "--max-env-steps", 5)

    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["tiny_engine-fakes-Walk_s0", "tiny_engine-fakes-Walk_s0_2"]


def test_a_config_file_may_name_the_policy_and_the_environment(trained, tmp_path):
    config = trained[0] / "config.toml"

    done = lz("run", "--config", config, "--max-env-steps", 5, "--out", tmp_path / "run")

    assert done.stdout.startswith("tiny on engine_fakes:Walk: ")


def test_a_config_file_that_names_no_policy_leaves_it_to_be_said(tmp_path):
    (tmp_path / "my.toml").write_text("learning_rate = 0.1\n")

    done = lz("run", "--config", tmp_path / "my.toml")

    assert done.exit_code == 2
    assert "Say what to train: --policy NAME" in done.stderr


def test_resume_takes_everything_from_the_run_but_its_budget(trained):
    out, _ = trained

    done = lz("run", "--resume", out, "--max-env-steps", 90)

    assert done.exit_code == 0
    assert "resumed before iteration" in done.stdout
    assert re.search(r"^ended: .* after (9|1\d)\d+ env steps", done.stdout, re.M)
    assert "max_env_steps = 90" in (out / "config.toml").read_text()


def test_a_resumed_run_begins_with_the_budgets_that_are_in_force_now(trained):
    out, _ = trained

    lines = lz("run", "--resume", out, "--max-env-steps", 95, "--max-minutes", 30).stdout

    told = [line for line in lines.splitlines() if line.startswith("  run.")]
    assert told == [
        "  run.tensorboard = false  [-o]",
        "  run.max_env_steps = 95  [options]",
        "  run.seed = 3  [options]",
        "  run.max_minutes = 30.0  [options]",
    ]
    assert "run.max_env_steps = 95 " in (out / "config.toml").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Say what to train: --policy NAME; or go on: --resume DIR."),
        (["--resume", "x", "--seed", "1", "-o", "a=1"], "so --seed, -o cannot go with it"),
        (["--policy", "tiny", "--quiet", "--json"], "--quiet and --json exclude each other"),
        (["--policy", "tiny", "--max-env-steps", "0"], "0 is not in the range x>=1"),
        (["--policy", "tiny", "--config", "nowhere.toml"], "File 'nowhere.toml' does not exist"),
        (["--polcy", "tiny"], "No such option '--polcy'"),
    ],
)
def test_wrong_usage_exits_with_2(given, message):
    done = lz("run", *given)

    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--policy", "tinny"], r"'tinny'.*'tiny'"),
        (["--policy", "tiny"], r"names no environment of its own to start with"),
        (["--policy", "tiny", "--env", "Walk-v9"], r"no Gymnasium environment 'Walk-v9'"),
        ([*WALK, "-o", "learning_rat=1"], r"learning_rat.*learning_rate"),
        ([*WALK, "-o", "batch_size=many"], r"batch_size"),
        (["--resume", "nowhere"], r"nowhere is no run directory"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exits_with_1(given, message):
    done = lz("run", *given)

    assert done.exit_code == 1
    assert re.search(f"^Error: .*{message}", done.stderr, re.S)
    assert "Traceback" not in done.stderr


def test_the_help_says_when_budgets_are_looked_at_and_that_they_can_be_raised():
    told = " ".join(lz("run", "--help").stdout.split())

    assert "End after the iteration that reaches so many; with --resume, go further." in told
    assert "End after the iteration that takes the run beyond so long; with --resume, go" in told


def test_a_run_that_diverges_says_so_and_not_to_go_on(tmp_path):
    done = lz("run", *WALK, "-o", "diverges_at=1", "--out", tmp_path / "run")

    assert done.exit_code == 1
    assert "ended: a loss is not a number" in done.stdout
    assert "--resume" not in done.stdout
    assert done.stderr.startswith("Error: The loss is nan at learn step 1. The batch")


# --- eval -----------------------------------------------------------------------------------------


def test_eval_prints_mean_deviation_and_every_return_of_the_best_checkpoint(trained):
    out, _ = trained

    done = lz("eval", out, "--episodes", 5)

    where, summary, returns = done.stdout.splitlines()
    numbers = [float(number) for number in returns.split()[1:]]
    mean = sum(numbers) / 5
    std = (sum((number - mean) ** 2 for number in numbers) / 5) ** 0.5
    between = f"{min(numbers):g} to {max(numbers):g}"
    assert where == f"{out}/checkpoints/best.pt, seed 3"
    assert len(numbers) == 5
    assert summary == f"return {mean:.1f} +- {std:.1f} ({between}) over 5 episodes"  # as in the log


def test_eval_as_json_is_repeatable_and_its_seed_decides_the_episodes(trained):
    out, _ = trained

    def told(*given):
        return json.loads(lz("eval", out, "--episodes", 4, "--json", *given).stdout)

    assert told() == told("--seed", 3) != told("--seed", 4)
    assert told()["returns"] == told()["returns"]
    assert told()["checkpoint"].endswith("best.pt")
    assert told().keys() >= {"seed", "return_mean", "return_std", "returns", "lengths"}


def test_eval_plays_other_episodes_than_the_run_did(trained):
    out, _ = trained

    played = json.loads(lz("eval", out, "--json").stdout)["lengths"]

    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert played not in [line["lengths"] for line in lines if line["kind"] == "evaluated"]


def test_eval_takes_any_checkpoint_of_the_run(trained):
    out, _ = trained
    first = min((out / "checkpoints").glob("0*.pt"))

    done = lz("eval", out, "--checkpoint", first, "--episodes", 2)

    assert done.stdout.startswith(f"{first}, seed")


def test_eval_of_a_damaged_best_checkpoint_names_another(trained, tmp_path):
    out, _ = trained
    bad = out / "checkpoints" / "best.pt"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-10])

    done = lz("eval", out)
    bad.write_bytes(whole)

    assert done.exit_code == 1
    assert re.search(r"^Error: .*best\.pt is damaged .* use it with --checkpoint\.$", done.stderr)


def test_eval_of_a_checkpoint_of_another_network_is_refused(trained, tmp_path):
    import torch

    out, _ = trained
    torch.save({"format": 1, "policy": {"eval": {"model": {}}}}, tmp_path / "other.pt")

    done = lz("eval", out, "--checkpoint", tmp_path / "other.pt")

    assert done.exit_code == 1
    assert "does not fit the policy that" in done.stderr
    assert "Use a checkpoint with the settings of its own run" in done.stderr


def test_eval_without_a_directory_is_wrong_usage():
    assert lz("eval").exit_code == 2


# --- watch ----------------------------------------------------------------------------------------


def test_watch_writes_a_moving_picture_of_the_first_episode_that_eval_plays(trained, tmp_path):
    out, _ = trained
    gif = tmp_path / "walk.gif"

    done = lz("watch", out, "--gif", gif)

    played = json.loads(lz("eval", out, "--json", "--episodes", 1).stdout)
    length = played["lengths"][0]
    assert (
        done.stdout
        == f"return {played['returns'][0]:g} after {length} steps; {length} pictures in {gif}\n"
    )
    with Image.open(gif) as picture:
        assert (picture.format, picture.size, picture.n_frames) == ("GIF", (32, 8), length)


def test_watch_can_leave_steps_out_but_not_the_last(trained, tmp_path):
    out, _ = trained

    lz("watch", out, "--gif", tmp_path / "walk.gif", "--every", 100)

    with Image.open(tmp_path / "walk.gif") as picture:
        assert picture.n_frames == 2


def test_watch_without_a_file_is_wrong_usage(trained):
    done = lz("watch", trained[0])

    assert done.exit_code == 2
    assert "Missing option '--gif'" in done.stderr


def test_watch_into_a_place_that_cannot_be_written_is_one_line(trained, tmp_path):
    done = lz("watch", trained[0], "--gif", tmp_path / "nowhere" / "walk.gif")

    assert done.exit_code == 1
    assert re.search(r"^Error: Cannot write .*walk\.gif: No such file", done.stderr)
