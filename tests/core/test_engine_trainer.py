"""Whole runs of a tiny policy: when they end, what they tell, and what stops them."""

import errno
import json
import os
import signal
import threading
from copy import deepcopy
from itertools import cycle

import attrs
import numpy as np
import pytest
import torch
from engine_fakes import Breaks, TinyPolicy, Walk

from lzcore.base import CheckpointError, ConfigError, DivergedError, EnvError, LzError
from lzcore.engine.checkpoint import CheckpointStore, load_file, numbered, save_file
from lzcore.engine.metrics import JsonLines, read_lines
from lzcore.engine.observers import JsonDisplay
from lzcore.engine.progress import Progress
from lzcore.engine.pulse import Pulse
from lzcore.engine.starting import carry_out, plan_resume, plan_run, train
from lzcore.envs.gym import GymEnv
from lzcore.registry import hookimpl

pytestmark = pytest.mark.usefixtures("tiny_installed")
WALK = "engine_fakes:Walk"


@pytest.fixture
def start(tmp_path):
    """Run `tiny` on Walk: `start(max_env_steps=60)`; settings of `run` by their bare names."""
    places = iter(tmp_path / str(number) for number in range(9))

    def run(env=WALK, out=None, observers=(), **settings):
        settings = {"tensorboard": False, "eval_episodes": 4, **settings}
        return train(
            "tiny", env, out=out or next(places), quiet=True, observers=observers, **settings
        )

    return run


def records(outcome, kind=None):
    lines = read_lines(outcome.directory / "metrics.jsonl")
    return [line for line in lines if kind in (None, line["kind"])]


# --- when a run ends ------------------------------------------------------------------------------


def test_a_run_ends_after_the_iteration_that_used_the_env_steps_up(start):
    outcome = start(max_env_steps=40)

    steps = [line["env_steps"] for line in records(outcome, "collected")]
    assert outcome.ended_by == "max_env_steps"
    assert outcome.env_steps == sum(steps) >= 40
    assert sum(steps[:-1]) < 40


def test_a_run_ends_after_exactly_so_many_learn_steps(start):
    outcome = start(max_learn_steps=7, replay_ratio=1.0)

    assert (outcome.ended_by, outcome.learn_steps) == ("max_learn_steps", 7)


def test_a_run_ends_when_an_evaluation_reaches_the_stop_value(start):
    outcome = start(stop_value=1.2, max_env_steps=3000)

    *before, last = [line["return_mean"] for line in records(outcome, "evaluated")]
    assert outcome.ended_by == "stop_value"
    assert outcome.last_return == last >= 1.2
    assert all(mean < 1.2 for mean in before)


def test_a_run_ends_when_its_time_is_up(start):
    assert start(max_minutes=1e-6).ended_by == "max_minutes"


@pytest.mark.parametrize(
    ("given", "made"), [({"update_per_collect": 5}, [5, 7, 15]), ({"replay_ratio": 1.0}, None)]
)
def test_learn_steps_that_the_limit_cut_off_are_made_by_a_run_that_goes_on(start, given, made):
    first = start(max_learn_steps=7, **given)
    assert first.learn_steps == 7

    limit = 15 if made else 500
    second = train(resume=first.directory, quiet=True, max_learn_steps=limit, max_env_steps=60)

    if made:
        assert [line["learn_step"] for line in records(second, "learned")] == made
    else:
        assert second.learn_steps == second.env_steps > 50


def test_learn_steps_are_the_ratio_of_the_env_steps(start):
    outcome = start(max_env_steps=100, replay_ratio=0.3)

    assert outcome.learn_steps == int(0.3 * outcome.env_steps)


def test_a_late_start_is_not_followed_by_a_burst(start):
    outcome = start(max_env_steps=100, train_start_after_envsteps=50, replay_ratio=1.0)

    collected = records(outcome, "collected")
    counted = sum(line["env_steps"] for line in collected if line["env_step"] >= 50)
    assert outcome.learn_steps == counted < outcome.env_steps


def test_the_buffer_is_reanalyzed_as_often_as_asked_for_once_it_holds_enough(start):
    outcome = start(max_env_steps=120, buffer_reanalyze_freq=0.5)

    learned = records(outcome, "learned")
    enough = [line["env_step"] > 20 for line in learned]  # nothing is forgotten yet
    reanalyzed, turn = ["reanalyzed_odds" in line for line in learned], cycle([True, False])
    assert reanalyzed == [late and next(turn) for late in enough]
    assert reanalyzed.count(True) > 2
    assert "reanalyze" in (outcome.directory / "times.jsonl").read_text()


def test_without_enough_rows_for_a_batch_learning_is_skipped(start):
    outcome = start(max_env_steps=30, batch_size=100)

    assert outcome.learn_steps == 0
    assert records(outcome, "learned") == []
    held = outcome.env_steps
    assert outcome.idle == f"replay holds {held} transitions, too few for a batch of 100 positions"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"train_start_after_envsteps": 1000}, "learning begins after 1,000 env steps"),
        ({"random_collect_episode_num": 3}, "only random episodes were played"),
        ({"replay_ratio": 0.01}, "so few env steps owe none"),
        ({}, ""),
    ],
)
def test_a_run_that_has_not_learned_knows_why(start, given, why):
    assert start(max_env_steps=5, **given).idle == why


def test_random_episodes_come_first_and_owe_no_learn_steps(start):
    outcome = start(max_env_steps=80, random_collect_episode_num=5, update_per_collect=2)

    first, *rest = records(outcome, "collected")
    assert (first["mode"], first["episodes"]) == ("random", 5)
    assert {(line["mode"], line["episodes"]) for line in rest} == {("collect", 3)}
    assert records(outcome, "learned")[0]["iteration"] == 1
    assert outcome.learn_steps == 2 * len(rest)


def test_by_segments_an_iteration_may_end_no_episode_and_the_logs_say_so(start, capsys):
    given = {"num_segments": 1, "game_segment_length": 2, "max_env_steps": 60}
    outcome = start(tensorboard=True, observers=(Progress(), JsonDisplay()), **given)

    told = records(outcome, "collected")
    none = [line for line in told if line["episodes"] == 0]
    some = [line for line in told if line["episodes"]]
    assert {line["return_mean"] for line in none} == {None}
    assert all(isinstance(line["return_mean"], float) for line in some)
    assert all(line["segments"] >= 1 for line in told)
    assert len(none) > 3
    assert len(some) > 3
    printed = capsys.readouterr().out
    assert '"return_mean": null' in printed
    assert "return -" in printed
    assert sum(line["env_steps"] for line in told) == outcome.env_steps


def test_by_segments_random_episodes_come_first_and_are_whole(start):
    outcome = start(max_env_steps=80, random_collect_episode_num=5, num_segments=2)

    first, *rest = records(outcome, "collected")
    assert (first["mode"], first["episodes"], "segments" in first) == ("random", 5, False)
    assert {line["mode"] for line in rest} == {"collect"}
    assert all(line["segments"] >= 2 for line in rest)


class Drifts(Walk):
    """Shows another start after every reset."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        Drifts.resets += 1
        return super().reset(seed=seed)

    def _seen(self):
        return super()._seen() + np.float32(Drifts.resets)


def test_by_segments_an_environment_that_does_not_repeat_itself_is_refused_at_once(start, tmp_path):
    start(Drifts, max_env_steps=10)  # whole episodes need no repetition
    with pytest.raises(EnvError, match=r"Drifts does not repeat itself: .* from step 0 on") as err:
        start(Drifts, out=tmp_path / "refused", max_env_steps=10, num_segments=2)

    assert 'num_segments at "none"' in str(err.value)
    assert "\n" not in str(err.value)
    assert not (tmp_path / "refused").exists()


# --- evaluation -----------------------------------------------------------------------------------


def test_evaluations_are_eval_freq_learn_steps_apart_and_the_end_is_always_measured(start):
    outcome = start(max_learn_steps=23, update_per_collect=4, eval_freq=8)

    told = records(outcome, "evaluated")
    assert [line["learn_step"] for line in told] == [8, 16, 23]
    assert [line["episodes"] for line in told] == [4, 4, 4]


def test_eval_every_overrides_the_policy_and_the_start_is_measured_if_asked_for(start):
    outcome = start(max_learn_steps=8, update_per_collect=4, eval_every=4, eval_at_start=True)

    assert [line["learn_step"] for line in records(outcome, "evaluated")] == [0, 4, 8]


def test_the_best_weights_are_kept(start):
    outcome = start(max_env_steps=150)

    told = records(outcome, "evaluated")
    best = load_file(outcome.directory / "checkpoints" / "best.pt")
    assert outcome.best_return == max(line["return_mean"] for line in told)
    assert outcome.last_return == told[-1]["return_mean"]
    first = next(line for line in told if line["return_mean"] == outcome.best_return)
    assert best["evaluation"]["learn_step"] == first["learn_step"]
    assert set(best["policy"]) == {"eval"}


def test_a_checkpoint_holds_weights_that_modes_copy_once(start, monkeypatch):
    for mode in ("learn", "collect"):
        name = f"_state_dict_{mode}"
        real = getattr(TinyPolicy, name)
        monkeypatch.setattr(TinyPolicy, name, lambda policy, real=real: deepcopy(real(policy)))
    outcome = start(max_env_steps=10)

    states = load_file(numbered(outcome.directory / "checkpoints")[-1])["policy"]

    places = {state["model"]["line.weight"].data_ptr() for state in states.values()}
    assert (len(states), len(places)) == (3, 1)


def test_offline_evaluation_measures_the_same_weights_after_the_end(start):
    online = start(max_env_steps=100)
    offline = start(max_env_steps=100, eval_offline=True)

    def measured(outcome):
        return [(r["learn_step"], r["returns"]) for r in records(outcome, "evaluated")]

    assert measured(offline) == measured(online)
    assert offline.best_return == online.best_return
    kinds = [line["kind"] for line in records(offline)]
    assert "evaluated" not in kinds[: -len(measured(offline))]
    assert not list((offline.directory / "checkpoints").glob("aside*"))


def test_evaluation_leaves_no_trace_in_training(start):
    seldom = start(max_env_steps=100, eval_every=1000)
    often = start(max_env_steps=100, eval_every=1)

    for kind in ("collected", "learned"):
        assert records(seldom, kind) == records(often, kind)


# --- the same again -------------------------------------------------------------------------------


def test_equal_seeds_give_equal_metrics_byte_for_byte_and_others_do_not(start):
    def metrics(seed):
        return (start(max_env_steps=80, seed=seed).directory / "metrics.jsonl").read_bytes()

    assert metrics(1) == metrics(1) != metrics(2)


def test_the_caller_s_torch_is_left_as_it_was(start):
    torch.manual_seed(4)
    before, threads = torch.get_rng_state(), torch.get_num_threads()

    start(max_env_steps=30, threads=threads + 1)

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_torch_has_as_many_threads_as_the_run_says(start):
    found = []

    class Counting:
        @hookimpl
        def lz_learned(self, run):
            found.append(torch.get_num_threads())

    threads = torch.get_num_threads() + 1
    start(max_learn_steps=1, update_per_collect=1, threads=threads, observers=[Counting()])

    assert found == [threads]


def test_what_the_caller_s_torch_was_seeded_with_changes_nothing(start):
    torch.manual_seed(1)
    one = start(max_env_steps=40)
    torch.manual_seed(2)
    two = start(max_env_steps=40)

    assert records(one) == records(two)


# --- what is told ---------------------------------------------------------------------------------


class Observer:
    def __init__(self):
        self.calls = []

    @hookimpl
    def lz_run_started(self, run):
        self.calls.append(("started", run.counters.iteration))

    @hookimpl
    def lz_collected(self, run, stats):
        assert stats["seconds"].keys() >= {"env", "search", "glue"}
        self.calls.append(("collected", run.counters.iteration))

    @hookimpl
    def lz_learned(self, run, metrics):
        self.calls.append(("learned", sorted(metrics)))

    @hookimpl
    def lz_evaluated(self, run, result):
        self.calls.append(("evaluated", len(result.returns)))

    @hookimpl
    def lz_checkpoint_saved(self, run, path):
        assert path.exists()
        self.calls.append(("saved", path.name))

    @hookimpl
    def lz_run_finished(self, run, outcome):
        self.calls.append(("finished", outcome.ended_by))


def test_observers_hear_of_a_run_in_the_order_of_its_life(start):
    observer = Observer()

    start(max_learn_steps=2, update_per_collect=1, observers=[observer])

    learned = ("learned", ["cur_lr", "total_loss"])
    assert observer.calls == [
        ("started", 0),
        ("saved", "000000.pt"),
        ("collected", 0),
        learned,
        ("saved", "000001.pt"),
        ("collected", 1),
        learned,
        ("saved", "000002.pt"),
        ("evaluated", 4),
        ("saved", "000002.pt"),
        ("finished", "max_learn_steps"),
    ]


def test_observers_hear_of_each_part_of_an_iteration(start, monkeypatch):
    monkeypatch.setattr("lzcore.engine.pulse.SECONDS", 0.0)
    heard = []

    class Listener:
        @hookimpl
        def lz_working(self, run, doing, done, total):
            heard.append((run.counters.iteration, doing, done, total))

    start(max_learn_steps=3, update_per_collect=3, observers=[Listener()])

    learning = [(0, "learning", done, 3) for done in range(4)]
    assert heard[0] == (0, "collecting", 0, 3)
    assert [call for call in heard if call[1] == "learning"] == learning
    assert [call[2] for call in heard if call[1] == "collecting"][-1] == 3
    assert heard[-1] == (1, "evaluating", 0, None)


def test_parts_that_take_no_time_are_heard_of_when_they_begin(monkeypatch):
    monkeypatch.setattr("lzcore.engine.pulse.SECONDS", 100.0)
    heard = []
    pulse = Pulse(lambda *given: heard.append(given))

    for doing, total in (("collecting", 2), ("learning", None)):
        pulse.begin(doing, total)
        pulse.at(1)

    assert heard == [("collecting", 0, 2), ("learning", 0, None)]


def test_checkpoints_are_as_far_apart_and_as_many_as_asked_for(start):
    observer = Observer()

    outcome = start(
        max_learn_steps=7,
        update_per_collect=1,
        checkpoint_every=3,
        keep_checkpoints=2,
        observers=[observer],
    )

    saved = [name for kind, name in observer.calls if kind == "saved"]
    assert saved == ["000000.pt", "000003.pt", "000006.pt", "000007.pt"]
    kept = sorted(path.name for path in (outcome.directory / "checkpoints").iterdir())
    assert kept == ["000006.pt", "000007.pt", "best.pt"]


def test_replay_files_are_kept_as_long_as_a_kept_checkpoint_needs_them(start):
    outcome = start(max_env_steps=900)  # the replay holds 500 transitions

    on_disk = {path.name for path in (outcome.directory / "replay").iterdir()}
    kept = [load_file(p) for p in sorted((outcome.directory / "checkpoints").glob("0*.pt"))]
    assert on_disk == {entry["name"] for content in kept for entry in content["manifest"]}
    assert len(on_disk) < outcome.iterations


def test_the_log_is_as_sparse_as_asked_for_but_tells_every_evaluation(start):
    outcome = start(max_learn_steps=12, update_per_collect=2, eval_every=2, log_every=3)

    assert [line["iteration"] for line in records(outcome, "learned")] == [0, 3]
    assert len(records(outcome, "evaluated")) == 6


def test_times_are_kept_apart(start):
    outcome = start(max_env_steps=30, eval_every=1000)

    times = list(read_lines(outcome.directory / "times.jsonl"))
    assert len(times) == outcome.iterations + 1  # the end has its own
    assert times[0]["seconds"].keys() >= {"env", "search", "glue"}
    assert all(line["seconds"]["save"] > 0 for line in times)
    assert [line["iteration"] for line in times[-2:]] == [outcome.iterations - 1] * 2
    assert times[-1]["seconds"]["eval"] > 0
    assert times[-1]["seconds"]["env"] == 0
    assert "seconds" not in (outcome.directory / "metrics.jsonl").read_text()


def test_the_directory_tells_how_to_make_the_run_again(start):
    outcome = start(max_env_steps=30, seed=5, learning_rate=0.05)

    config = (outcome.directory / "config.toml").read_text()
    facts = json.loads((outcome.directory / "run.json").read_text())
    assert "learning_rate = 0.05" in config
    assert "seed = 5" in config
    assert (facts["policy"], facts["environment"], facts["seed"]) == ("tiny", WALK, 5)
    assert facts["sessions"][0]["versions"]["lz-tiny"] == "1.5"


# --- what stops a run -----------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_ends_the_run_and_leaves_its_batch(start, tmp_path):
    observer = Observer()

    with pytest.raises(DivergedError, match=r"learn step 3\. The batch that caused it is saved"):
        start(out=tmp_path / "run", max_env_steps=90, diverges_at=3, observers=[observer])

    assert (tmp_path / "run" / "diverged_batch.pt").exists()
    assert observer.calls[-1] == ("finished", "diverged")
    assert (tmp_path / "run" / "checkpoints" / "000000.pt").exists()


def test_an_environment_that_breaks_ends_the_run_in_one_line(start, monkeypatch):
    monkeypatch.setattr(Breaks, "steps", 0)

    with pytest.raises(EnvError, match="ZeroDivisionError: seven is too much") as err:
        start(env="engine_fakes:Breaks", max_env_steps=90)
    assert "\n" not in str(err.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_ends_the_run_and_the_last_checkpoint_stands(
    start, tmp_path, monkeypatch, number
):
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) > 6:
            raise OSError(number, os.strerror(number))
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(CheckpointError, match=f"Cannot write .*: {os.strerror(number)}"):
        start(out=tmp_path / "run", max_env_steps=90)
    monkeypatch.undo()
    outcome = train(resume=tmp_path / "run", quiet=True)

    assert outcome.ended_by == "max_env_steps"


def test_a_directory_with_a_run_in_it_is_not_taken(start):
    outcome = start(max_env_steps=10)

    with pytest.raises(CheckpointError, match="is not empty"):
        start(out=outcome.directory, max_env_steps=10)
    assert len(records(outcome, "collected")) == 1


def test_a_policy_that_cannot_act_there_says_so_before_anything_is_made(
    start, tmp_path, monkeypatch
):
    monkeypatch.setattr(TinyPolicy, "check_spaces", lambda _: "it is afraid of heights.")

    with pytest.raises(EnvError, match=r"cannot act in .*Walk: it is afraid of heights\."):
        start(out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_put_together_leaves_nothing_open_and_no_directory(
    start, tmp_path, monkeypatch
):
    made, closed = [], []
    monkeypatch.setattr(GymEnv, "close", lambda env: closed.append(env))

    def columns(cls, cfg, spaces):
        made.append((tmp_path / "run").exists())
        raise ConfigError("no columns today")

    monkeypatch.setattr(TinyPolicy, "columns", classmethod(columns))
    with pytest.raises(ConfigError, match="no columns today"):
        start(out=tmp_path / "run")
    assert made == [True]
    assert not (tmp_path / "run").exists()
    assert [env.num_envs for env in closed][-1] == 3  # those that collect

    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="no columns today"):
        start(out=tmp_path / "mine")
    assert (tmp_path / "mine").exists()


def test_logs_that_cannot_be_closed_do_not_hide_what_ended_the_run(start, monkeypatch):
    files, close = [], JsonLines.close

    def refuse(log):
        close(log)
        files.append(log.path.name)
        raise CheckpointError(f"Cannot write {log.path.name}: no space")

    monkeypatch.setattr(JsonLines, "close", refuse)
    with pytest.raises(DivergedError, match="learn step 3"):
        start(max_env_steps=90, diverges_at=3)
    assert sorted(files) == ["metrics.jsonl", "times.jsonl"]

    with pytest.raises(CheckpointError, match=r"Cannot write \w+\.jsonl: no space"):
        start(max_env_steps=10)
    assert len(files) == 4


def test_weights_put_aside_by_a_killed_run_are_deleted_unless_they_are_waited_for(start):
    given = {"max_env_steps": 60, "eval_offline": True, "eval_every": 5}
    outcome = start(**given)
    store = CheckpointStore(outcome.directory / "checkpoints", 2)
    latest = store.kept()[-1]
    content = load_file(latest)
    weights = {"kind": "weights", "policy": {"eval": content["policy"]["eval"]}}
    for name in ("aside_1.pt", "aside_2.pt"):
        store.save_as(name, weights)
    at = {"env_step": 1, "learn_step": 1}
    content["counters"]["pending"] = [{"file": "aside_1.pt", "at": at}]
    save_file(latest, content)

    train(resume=outcome.directory, quiet=True)

    assert [line["learn_step"] for line in records(outcome, "evaluated")][-1] == 1
    assert not list(store.path(".").glob("aside*"))


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Presses:
    """Presses Ctrl-C when iteration 1 has been collected, so many times."""

    def __init__(self, times):
        self.times = times

    @hookimpl
    def lz_collected(self, run):
        if run.counters.iteration == 1:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def test_ctrl_c_finishes_the_iteration_and_the_run_goes_on_as_if_it_had_not_been(start, capsys):
    before = signal.getsignal(signal.SIGINT)
    outcome = start(max_env_steps=60, observers=[Presses(1)])

    assert (outcome.ended_by, outcome.iterations) == ("interrupted", 2)
    assert "finishing this iteration" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    resumed = train(resume=outcome.directory, quiet=True)
    assert records(resumed) == records(start(max_env_steps=60))


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_stands(start, tmp_path):
    with pytest.raises(
        LzError, match=r"Stopped at once\. `lz run --resume .*` goes on from 000001"
    ):
        start(out=tmp_path / "run", max_env_steps=60, observers=[Presses(2)])

    resumed = train(resume=tmp_path / "run", quiet=True)
    assert records(resumed) == records(start(max_env_steps=60))


def test_a_run_in_another_thread_leaves_ctrl_c_alone(start):
    found = []
    thread = threading.Thread(target=lambda: found.append(start(max_env_steps=10)))
    thread.start()
    thread.join()

    assert found[0].ended_by == "max_env_steps"


# --- from Python ----------------------------------------------------------------------------------


def test_any_callable_that_returns_an_environment_is_one(start):
    by_id, by_class = start(max_env_steps=40), start(env=Walk, max_env_steps=40)

    assert records(by_class) == records(by_id)
    assert 'environment = "engine_fakes:Walk"' in (by_class.directory / "config.toml").read_text()


def test_a_callable_that_no_name_finds_again_is_given_again_to_resume(start):
    outcome = start(env=lambda: Walk(), max_env_steps=30)

    with pytest.raises(EnvError, match="lambda"):
        train(resume=outcome.directory, quiet=True, max_env_steps=60)
    resumed = train(resume=outcome.directory, env=lambda: Walk(), quiet=True, max_env_steps=60)
    assert resumed.env_steps >= 60


def test_settings_go_to_the_table_that_knows_them(start):
    outcome = start(max_env_steps=10, n_episode=2, **{"run.eval_episodes": 3})

    assert records(outcome, "collected")[0]["episodes"] == 2
    assert records(outcome, "evaluated")[0]["episodes"] == 3


def test_a_setting_nobody_knows_is_refused(start):
    with pytest.raises(ConfigError, match=r"max_env_step = 10: .*Did you mean 'max_env_steps'\?"):
        start(max_env_step=10)
    with pytest.raises(ConfigError, match=r"eval_ever = 1: .*Did you mean 'eval_every'\?"):
        start(eval_ever=1)  # not the policy's eval_freq
    with pytest.raises(ConfigError, match=r"eval_frec = 1: .*Did you mean 'eval_freq'\?"):
        start(eval_frec=1)


@pytest.mark.parametrize("given", [{"policy": "tiny"}, {"env": WALK}, {"out": "x"}])
def test_a_resumed_run_keeps_what_it_was_started_with(given, tmp_path):
    with pytest.raises(ConfigError, match="A resumed run keeps its policy"):
        train(resume=tmp_path, **given)


def test_no_policy_to_train_is_no_run():
    with pytest.raises(ConfigError, match="Say which policy to train"):
        train()


def test_only_budgets_change_on_resume(start):
    outcome = start(max_env_steps=20)

    with pytest.raises(
        ConfigError, match="learning_rate cannot change when a run is resumed; only"
    ):
        train(resume=outcome.directory, learning_rate=1.0)
    plan = plan_resume(outcome.directory, budgets={"max_env_steps": 50, "max_minutes": None})
    assert (
        attrs.evolve(plan.resolved.run, max_env_steps=20)
        == plan_run(
            "tiny",
            WALK,
            named={"run.max_env_steps": 20, "run.tensorboard": False, "run.eval_episodes": 4},
        ).resolved.run
    )
    carry_out(plan)
    assert "max_env_steps = 50" in (outcome.directory / "config.toml").read_text()
