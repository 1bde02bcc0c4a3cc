"""A run that was killed at any instant and resumed ends with the same bytes as one that was not."""

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_fakes import TinyPolicy, Walk
from engine_killing import assert_same, run_and_kill, whole

from lzcore.base import CheckpointError, EnvError, ReplayError
from lzcore.engine.checkpoint import load_file, numbered
from lzcore.engine.metrics import read_lines
from lzcore.engine.starting import carry_out, plan_resume, plan_run, train

pytestmark = pytest.mark.slow

RUN = {
    "run.max_env_steps": 120,
    "run.eval_episodes": 2,
    "run.tensorboard": False,
    "eval_freq": 8,
    "buffer_reanalyze_freq": 0.5,
}


def settled(out, **named):
    return plan_run("tiny", "engine_fakes:Walk", out=out, named={**RUN, **named})


KILLS = {  # where a process kills itself: a call that it makes, and the how manieth
    "before the first checkpoint": ("os.replace", 3),
    "while an episode is played": ("engine_fakes.Walk.step", 31),
    "while it learns": ("engine_fakes.TinyPolicy._forward_learn", 6),
    "while it reanalyzes": ("engine_fakes.TinyPolicy.reanalyze", 2),
    "while the replay is written": ("numpy.savez", 2),
    "between a checkpoint and its name": ("os.replace", 6),
    "while old checkpoints are deleted": ("pathlib.Path.unlink", 3),
    "while it evaluates": ("engine_fakes.TinyPolicy._forward_eval", 9),
}


def test_a_run_killed_anywhere_and_resumed_equals_one_that_was_not(tiny_installed, tmp_path):
    run_and_kill("tiny", "engine_fakes:Walk", RUN, KILLS.values(), tmp_path, tiny_installed)
    expected = whole(tmp_path / "never")

    for number, where in enumerate(KILLS):
        resumed = train(resume=tmp_path / str(number), quiet=True)

        assert resumed.ended_by == "max_env_steps", where
        assert_same(whole(resumed.directory), expected, where)


SEGMENTS = {**RUN, "num_segments": 2, "game_segment_length": 3, "random_collect_episode_num": 2}
KILLS_BETWEEN = {  # the walks are probed first, which takes up to 24 steps
    "while random episodes are played": ("engine_fakes.Walk.step", 28),
    "while episodes go on": ("engine_fakes.Walk.step", 80),
    "while it learns": ("engine_fakes.TinyPolicy._forward_learn", 6),
    "between a checkpoint and its name": ("os.replace", 16),
}


def test_a_run_killed_in_the_middle_of_episodes_and_resumed_equals_one_that_was_not(
    tiny_installed, tmp_path
):
    kills = KILLS_BETWEEN.values()
    run_and_kill("tiny", "engine_fakes:Walk", SEGMENTS, kills, tmp_path, tiny_installed)
    expected = whole(tmp_path / "never")

    for number, where in enumerate(KILLS_BETWEEN):
        resumed = train(resume=tmp_path / str(number), quiet=True)

        assert resumed.ended_by == "max_env_steps", where
        assert_same(whole(resumed.directory), expected, where)


def test_a_run_by_segments_in_many_parts_collects_as_one_in_one(tiny_installed, tmp_path):
    parts = carry_out(settled(tmp_path / "parts", **{**SEGMENTS, "run.max_env_steps": 30}))
    for steps in (31, 60, 90, 120):
        parts = train(resume=parts.directory, quiet=True, max_env_steps=steps)
    one = carry_out(settled(tmp_path / "one", **SEGMENTS))

    def told(directory):
        lines = read_lines(directory / "metrics.jsonl")
        return [line for line in lines if line["kind"] != "evaluated"]  # every end has one

    assert told(parts.directory) == told(one.directory)
    assert any(line.get("episodes") == 0 for line in told(one.directory))


class Moved(Walk):
    """A Walk that repeats itself until somebody moves it."""

    by = 0.0

    def _seen(self):
        return super()._seen() + np.float32(Moved.by)


def test_an_environment_that_does_not_repeat_itself_after_a_resume_says_so(
    tiny_installed, tmp_path, monkeypatch
):
    plan = plan_run("tiny", Moved, out=tmp_path / "run", named=SEGMENTS)
    run = carry_out(plan)
    monkeypatch.setattr(Moved, "by", 1.0)

    with pytest.raises(EnvError, match=r"^Environment 0 does not repeat itself: ") as err:
        train(resume=run.directory, env=Moved, quiet=True)
    assert "\n" not in str(err.value)


def test_a_run_by_segments_can_go_on_with_whole_episodes_and_back(tiny_installed, tmp_path):
    run = carry_out(settled(tmp_path / "run", **SEGMENTS))
    config = run.directory / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("\nnum_segments = 2\n", '\nnum_segments = "none"\n'))
    train(resume=run.directory, quiet=True, max_env_steps=200)
    config.write_text(text)
    train(resume=run.directory, quiet=True, max_env_steps=300)

    lines = [
        line for line in read_lines(run.directory / "metrics.jsonl") if line["kind"] == "collected"
    ]
    by_segments = ["segments" in line for line in lines[1:]]  # the first is random
    assert [more for more, _ in groupby(by_segments)] == [True, False, True]


@pytest.fixture
def ended(tiny_installed, tmp_path):
    return carry_out(settled(tmp_path / "run"))


def test_a_run_in_two_parts_learns_and_collects_as_one_in_one(ended, tmp_path):
    train(resume=ended.directory, quiet=True, max_env_steps=200)
    one = carry_out(settled(tmp_path / "one", **{"run.max_env_steps": 200}))

    def told(directory):
        lines = read_lines(directory / "metrics.jsonl")
        return [line for line in lines if line["kind"] != "evaluated"]  # the first end had one

    assert told(ended.directory) == told(one.directory)


def test_resuming_a_run_that_has_ended_changes_nothing(ended):
    before = whole(ended.directory)

    again = train(resume=ended.directory, quiet=True)

    assert again.ended_by == "max_env_steps"
    assert_same(whole(ended.directory), before)


def test_a_run_that_is_killed_twice_in_a_row_goes_on(ended):
    whole_run = whole(ended.directory)
    metrics = ended.directory / "metrics.jsonl"
    for _ in range(2):  # lines behind the checkpoint, as a killed run leaves them
        metrics.write_bytes(metrics.read_bytes() + b'{"kind": "collected"}\n')
        train(resume=ended.directory, quiet=True)

    assert_same(whole(ended.directory), whole_run)


def test_every_mode_of_the_policy_goes_on_where_it_stood(ended, monkeypatch):
    loaded = []
    for mode in ("learn", "collect", "eval"):
        name = f"_load_state_dict_{mode}"
        real = getattr(TinyPolicy, name)

        def spy(policy, state, mode=mode, real=real):
            loaded.append(mode)
            real(policy, state)

        monkeypatch.setattr(TinyPolicy, name, spy)

    train(resume=ended.directory, quiet=True)

    assert set(loaded) == {"learn", "collect", "eval"}


def test_settings_that_were_changed_by_hand_are_told_from_a_bug(ended):
    config = ended.directory / "config.toml"
    config.write_text(config.read_text().replace("width = 2", "width = 3"))

    with pytest.raises(
        CheckpointError, match=r"\.pt does not fit the policy that .*config\.toml"
    ) as err:
        train(resume=ended.directory, quiet=True)
    assert "\n" not in str(err.value)


def test_event_files_that_cannot_be_written_stop_the_run_in_one_line(ended, capsys):
    (ended.directory / "tensorboard").write_text("in the way")
    config = ended.directory / "config.toml"
    config.write_text(config.read_text().replace("tensorboard = false", "tensorboard = true"))

    with pytest.raises(CheckpointError, match=r"Cannot write .*tensorboard: File exists"):
        train(resume=ended.directory, quiet=True)
    assert capsys.readouterr().err == ""


def test_a_run_that_reached_its_stop_value_stays_ended(ended):
    train(resume=ended.directory, quiet=True, stop_value=-100.0, max_env_steps=900)

    assert train(resume=ended.directory, quiet=True).ended_by == "stop_value"


def test_time_spent_in_earlier_sessions_counts(ended):
    *_, latest = numbered(ended.directory / "checkpoints")
    spent = load_file(latest)["counters"]["seconds"]  # before it was written

    again = train(resume=ended.directory, quiet=True, max_env_steps=900, max_minutes=1e-6)

    assert again.ended_by == "max_minutes"
    assert ended.seconds > spent > 0.05
    assert again.seconds > spent


def test_a_damaged_checkpoint_stops_the_resume_and_moving_it_away_mends_it(ended):
    *_, older, latest = numbered(ended.directory / "checkpoints")
    before = whole(ended.directory)
    latest.write_bytes(latest.read_bytes()[:-500])

    with pytest.raises(CheckpointError, match=f"{latest.name} is damaged.*{older.name}"):
        train(resume=ended.directory, quiet=True)
    latest.unlink()
    train(resume=ended.directory, quiet=True)

    assert_same(whole(ended.directory), before)


def test_a_truncated_replay_file_stops_the_resume(ended):
    path = max((ended.directory / "replay").iterdir())
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(ReplayError, match=f"{path.name}") as err:
        train(resume=ended.directory, quiet=True)
    assert "\n" not in str(err.value)


def test_a_missing_replay_file_stops_the_resume(ended):
    min((ended.directory / "replay").iterdir()).unlink()

    with pytest.raises(ReplayError, match="is missing"):
        train(resume=ended.directory, quiet=True)


def test_a_log_that_was_cut_stops_the_resume(ended):
    (ended.directory / "metrics.jsonl").write_text("")

    with pytest.raises(CheckpointError, match=r"metrics\.jsonl has 0 bytes, but had"):
        train(resume=ended.directory, quiet=True)


def test_the_weights_alone_are_no_run_to_resume(ended):
    best = ended.directory / "checkpoints" / "best.pt"
    best.rename(best.with_name("999999.pt"))

    with pytest.raises(CheckpointError, match=r"999999\.pt holds weights, not a whole run"):
        train(resume=ended.directory, quiet=True)


def test_other_versions_than_before_are_told(ended, capsys):
    facts = json.loads((ended.directory / "run.json").read_text())
    facts["sessions"][-1]["versions"]["torch"] = "1.0"
    (ended.directory / "run.json").write_text(json.dumps(facts))

    train(resume=ended.directory, quiet=True)

    assert (
        f"other versions than before: torch 1.0 -> {torch.__version__}" in capsys.readouterr().err
    )
    assert len(json.loads((ended.directory / "run.json").read_text())["sessions"]) == 2


def test_event_files_are_written_anew_from_the_metrics(tiny_installed, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    outcome = carry_out(settled(tmp_path / "run", **{"run.tensorboard": True}))
    carry_out(plan_resume(outcome.directory, budgets={"max_env_steps": 160}))

    events = EventAccumulator(str(outcome.directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    lines = list(read_lines(outcome.directory / "metrics.jsonl"))
    for kind, name, axis in (
        ("collected", "return_mean", "env_step"),
        ("learned", "total_loss", "learn_step"),
        ("evaluated", "return_std", "env_step"),
    ):
        logged = [(line[axis], line[name]) for line in lines if line["kind"] == kind]
        shown = [(event.step, event.value) for event in events.Scalars(f"{kind}/{name}")]
        assert [step for step, _ in shown] == [step for step, _ in logged]
        np.testing.assert_allclose([v for _, v in shown], [v for _, v in logged], rtol=1e-6)
    assert len(list(Path(outcome.directory / "tensorboard").iterdir())) == 1
