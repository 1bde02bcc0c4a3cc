"""What a person sees while a run goes on."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from lzcore.engine.config import RunSettings
from lzcore.engine.evaluator import EvaluationResult
from lzcore.engine.plan import Counters
from lzcore.engine.progress import Progress, shares
from lzcore.engine.rundir import RunDirectory

RESOLVED = SimpleNamespace(
    in_force=lambda: ["tiny on Walk: no preset", "batch_size = 2  [-o]"], run=RunSettings(seed=4)
)


def run(*, elapsed=10.0, total=None, counters=None, players=1, **settings):
    return SimpleNamespace(
        plan=SimpleNamespace(resolved=RESOLVED),
        directory=RunDirectory(Path("runs/x")),
        counters=Counters(**(counters or {})),
        clock=SimpleNamespace(elapsed=elapsed, total=total or {}),
        settings=RunSettings(**settings),
        facts={"tree": "oak"},
        seconds=elapsed,
        players=players,
    )


def shown(live, *calls):
    out = io.StringIO()
    progress = Progress(out, live=live)
    for name, *given in calls:
        getattr(progress, name)(*given)
    return out.getvalue()


def test_time_is_shown_as_shares_of_which_small_ones_are_left_out():
    spent = {"env": 1.0, "search": 6.0, "learn": 2.0, "glue": 0.99, "save": 0.0, "eval": 0.01}

    assert shares(spent) == "env 10% search 60% learn 20% other 10%"
    assert shares({}) == "no time yet"


def test_a_run_begins_with_what_is_in_force():
    assert shown(False, ("lz_run_started", run())).splitlines() == [
        "tiny on Walk: no preset, seed 4",
        "  batch_size = 2  [-o]",
        "  tree: oak",
        "  directory: runs/x",
    ]


def test_a_resumed_run_says_from_where():
    counters = {"iteration": 7, "env_step": 1200, "learn_step": 300}

    text = shown(False, ("lz_run_started", run(counters=counters)))

    assert "  resumed before iteration 7, at 1,200 env steps and 300 learn steps\n" in text


def test_each_iteration_is_a_line_on_paper():
    now = run(counters={"env_step": 500, "learn_step": 20}, max_env_steps=2000, total={"env": 1.0})

    text = shown(False, ("lz_collected", now, {"return_mean": 21.54}))

    assert text == "env 500/2,000  learn 20  return 21.5  50 steps/s  env 100%  left -\n"


def test_the_latest_return_stays_until_another_episode_ends():
    now = run(total={"env": 1.0})
    nothing, three = {"return_mean": None}, {"return_mean": 3.0}

    lines = shown(False, *(("lz_collected", now, s) for s in (nothing, three, nothing)))

    assert re.findall(r"return \S+", lines) == ["return -", "return 3.0", "return 3.0"]


def test_in_a_game_for_two_the_return_is_said_to_be_the_first_players():
    text = shown(False, ("lz_collected", run(players=2), {"return_mean": 0.84}))

    assert "  first player 0.8  " in text
    assert "return" not in text


def test_on_paper_lines_are_as_sparse_as_the_log():
    calls = [
        ("lz_collected", run(counters={"iteration": i}, log_every=3), {"return_mean": 1.0})
        for i in range(7)
    ]

    assert len(shown(False, *calls, ("lz_learned", run())).splitlines()) == 3


def test_a_terminal_has_one_line_that_is_rewritten_and_cut_to_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "31")
    now = run(counters={"env_step": 1})

    text = shown(True, ("lz_collected", now, {"return_mean": 2.0}), ("lz_learned", now))

    assert text == "\r\x1b[Kenv 1  learn 0  return 2.0  0 " * 2


def test_an_evaluation_stays_on_a_line_of_its_own():
    now = run(counters={"evaluation": 3, "env_step": 9000, "learn_step": 50}, elapsed=3700.0)
    result = EvaluationResult(returns=(1.0, 2.0, 6.0), lengths=(1, 1, 1))

    text = shown(True, ("lz_evaluated", now, result))

    assert text == (
        "\r\x1b[Kevaluation 3: 3.0 +- 2.2 (1 to 6) over 3 episodes, "
        "after 9,000 env steps and 50 learn steps in 01:01:40\n"
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(59.9, "00:59"), (3599.0, "59:59"), (3600.0, "01:00:00"), (90_061.0, "25:01:01")],
)
def test_a_day_of_training_is_more_than_none(seconds, told):
    result = EvaluationResult(returns=(1.0,), lengths=(1,))

    text = shown(False, ("lz_evaluated", run(elapsed=seconds), result))

    assert text.endswith(f" in {told}\n")


def outcome(ended_by, **given):
    return SimpleNamespace(
        ended_by=ended_by,
        env_steps=10,
        learn_steps=2,
        seconds=5.0,
        best_return=None,
        directory="runs/x",
        **{"idle": "", **given},
    )


@pytest.mark.parametrize(
    ("ended_by", "how", "hint"),
    [
        ("stop_value", "the stop value is reached", False),
        ("interrupted", "interrupted", True),
        ("failed", "failed", True),
    ],
)
def test_the_end_says_why_and_how_to_go_on(ended_by, how, hint):
    text = shown(False, ("lz_run_finished", run(), outcome(ended_by)))

    assert text.startswith(f"ended: {how}, after 10 env steps and 2 learn steps in 00:05\n")
    assert ("  go on with: lz run --resume runs/x\n" in text) is hint


@pytest.mark.parametrize(
    ("ended_by", "limit"),
    [
        ("max_env_steps", "--max-env-steps N"),
        ("max_minutes", "--max-minutes N"),
        ("stop_value", "--stop-value X"),
    ],
)
def test_a_run_that_is_resumed_after_its_end_says_how_to_go_further(ended_by, limit):
    ended = run(counters={"iteration": 4})
    command = f"go further: lz run --resume runs/x {limit}\n"

    def told(then):
        finished = ("lz_run_finished", then, outcome(ended_by))
        return shown(False, ("lz_run_started", ended), finished)

    assert command in told(ended)
    assert "go further" not in told(run(counters={"iteration": 5}))
    assert "go further" not in shown(False, ("lz_run_finished", ended, outcome(ended_by)))


def test_a_run_that_has_not_learned_says_why():
    idle = outcome("max_env_steps", idle="there was nothing")

    assert "\n  no learn steps: there was nothing\n" in shown(
        False, ("lz_run_finished", run(), idle)
    )
    assert "no learn" not in shown(False, ("lz_run_finished", run(), outcome("max_env_steps")))


# --- inside an iteration --------------------------------------------------------------------------


def test_a_terminal_shows_what_an_iteration_is_at(monkeypatch):
    monkeypatch.setenv("COLUMNS", "35")
    now = run(counters={"env_step": 1})

    text = shown(
        True, ("lz_working", now, "learning", 120, 1400), ("lz_working", now, "x", 0, None)
    )

    first, second = text.split("\r\x1b[K")[1:]
    assert (first, second) == (
        "learning 120/1,400  env 1  learn 0",
        "x  env 1  learn 0  return -  0 ste",
    )


def test_on_paper_a_long_iteration_has_a_line_each_half_minute():
    calls = [("lz_working", run(elapsed=t), "learning", t, 99) for t in (1, 29, 30, 31, 59, 61)]

    lines = shown(False, *calls).splitlines()

    assert [line.split("  ")[0] for line in lines] == ["learning 30/99", "learning 61/99"]


def test_on_paper_nothing_is_told_just_after_another_line():
    at = {number: run(elapsed=number) for number in (20, 45, 50)}
    result = EvaluationResult(returns=(1.0,), lengths=(1,))

    text = shown(
        False,
        ("lz_collected", at[20], {"return_mean": 1.0}),
        ("lz_working", at[45], "learning", 1, 2),
        ("lz_evaluated", at[45], result),
        ("lz_working", at[50], "evaluating", 0, None),
    )

    assert len(text.splitlines()) == 2


# --- how much is left -----------------------------------------------------------------------------


def left(*begun, now, **settings):
    """What is said to be left when iterations began at (second, env step, learn step)."""
    out = io.StringIO()
    progress = Progress(out, live=False)
    for number, (second, env_step, learn_step) in enumerate(begun):
        counters = {"iteration": number, "env_step": env_step, "learn_step": learn_step}
        at = run(elapsed=second, counters=counters, **settings)
        progress.lz_working(at, "collecting", 0, 9)
    second, env_step, learn_step = now
    counters = {"env_step": env_step, "learn_step": learn_step}
    found = re.search(
        r"left (\S+)$", progress.line(run(elapsed=second, counters=counters, **settings))
    )
    return found and found[1]


def test_what_is_left_is_told_by_the_limit_that_comes_first_and_by_this_session_alone():
    # resumed at half of max_learn_steps; in 10 seconds from 50 to 75 of 100: 10 more
    limits = {"max_learn_steps": 100, "max_env_steps": 10_000}

    assert left((0, 900, 50), (10, 1000, 75), now=(10, 1000, 75), **limits) == "00:10"
    assert left((0, 900, 50), (10, 1000, 75), now=(13, 1100, 75), **limits) == "00:07"


def test_before_an_iteration_is_complete_nobody_knows_what_is_left():
    assert left((0, 0, 0), now=(99, 50, 0), max_env_steps=100) == "-"
    assert left((0, 0, 0), (5, 10, 0), now=(9, 20, 0), max_learn_steps=100) == "-"
    assert left((0, 0, 0), (5, 10, 0), now=(9, 20, 0)) is None  # no limit


def test_while_an_iteration_goes_on_something_is_left():
    begun = (0, 0, 0), (60, 50, 10)

    assert left(*begun, now=(70, 100, 10), max_env_steps=100) == "00:50"  # it still learns
    assert left(*begun, now=(500, 100, 10), max_env_steps=100) == "00:01"
    assert left(*begun, now=(70, 60, 10), max_env_steps=101) == "01:50"  # two iterations more


def test_an_iteration_begins_once_however_often_it_is_told_of():
    progress = Progress(io.StringIO(), live=False)
    for second, iteration in ((0, 0), (4, 0), (10, 1), (15, 1)):
        counters = {"iteration": iteration, "env_step": 10 * iteration}
        at = run(elapsed=second, counters=counters, max_env_steps=20)
        progress.lz_working(at, "collecting", 0, 9)

    assert progress.line(at).endswith("left 00:05")


def test_late_iterations_say_how_long_the_others_take():
    # the first five learn nothing and take a second each, the next five a minute each
    seconds = [0, 1, 2, 3, 4, 5, 65, 125, 185, 245, 305]
    begun = [(second, 10 * number, 0) for number, second in enumerate(seconds)]

    assert left(*begun, now=(305, 100, 0), max_env_steps=120) == "02:00"
