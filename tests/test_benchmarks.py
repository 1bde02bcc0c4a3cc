"""Every script under benchmarks/ runs and prints one JSON object; how fast is not asked here."""

import json
import runpy
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import lzcore
from lzcore.search import traced

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
QUICK = {
    "collect": ["--episodes", "2", "--simulations", "2", "--seconds", "0.01"],
    "learn_step": ["--ssl", "preset", "off", "--transitions", "2000", "--seconds", "0.01"],
    "pictures": ["--roots", "2", "--batch-size", "4", "--transitions", "400", "--seconds", "0.01"],
    "replay": ["--transitions", "2000", "--repeat", "1"],
    "search": ["--simulations", "2", "--roots", "2", "--support-scale", "5", "--seconds", "0.01"],
    "selfplay": ["--games", "tic_tac_toe", "--in-flight", "2", "--seconds", "0.01"],
    "simulators": ["--games", "tic_tac_toe", "backgammon", "--seconds", "0.01"],
    "startup": ["--repeats", "1"],
    "tree": ["--grid", "--roots", "2", "--actions", "2", "--simulations", "2", "--seconds", "0.01"],
    "world_model": ["--widths", "32", "--simulations", "2", "--roots", "2", "--seconds", "0.01"],
}
RUNS = {"ablations", "kill_resume", "learning", "perfect_play", "tasks"}  # whole runs
NEEDS_MCTX = {"mctx_network", "mctx_ratio"}  # which these tests do not install


@pytest.fixture
def figures(monkeypatch, capsys):
    """Run a benchmark in this process and return its figures."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(traced, "WORTH", traced.WORTH)  # which benchmarks change
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def run(name, arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
        told = json.loads(capsys.readouterr().out)
        assert told["benchmark"] == name
        assert told.keys() == {"benchmark", "settings", "figures", "machine", "versions"}
        return told["figures"]

    yield run
    torch.set_num_threads(threads)
    for module in ("harness", "learn_step"):
        sys.modules.pop(module, None)
    forget_tasks()


def forget_tasks():
    """Take what `tasks` registers out again, as a new import of it registers it anew."""
    sys.modules.pop("tasks", None)
    for name in ("TicTacToe-v0", "Corner-v0", "Pictures-v0"):
        gymnasium.registry.pop(name, None)


def numbers(value):
    """All numbers of nested plain data."""
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers(inner)]
    if isinstance(value, list):
        return [n for inner in value for n in numbers(inner)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_and_tells_times(figures, name):
    assert max(numbers(figures(name, QUICK[name]))) > 0


def test_shares_sums_the_seconds_of_all_iterations(figures, tmp_path):
    lines = [
        {"iteration": 0, "env_step": 30, "seconds": {"env": 1.0, "search": 2.0}},
        {"iteration": 1, "env_step": 80, "seconds": {"env": 1.0, "learn": 4.0}},
    ]
    (tmp_path / "times.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = figures("shares", [str(tmp_path)])
    assert found["seconds"] == {"env": 2.0, "learn": 4.0, "search": 2.0}
    assert found["shares"] == {"env": 0.25, "learn": 0.5, "search": 0.25}
    assert found["env_steps_per_second"] == 10.0
    assert found["env_steps_per_second_collecting"] == 20.0


def test_every_benchmark_is_run_here_and_told_of_in_the_readme():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - {"harness"}
    assert scripts == {*QUICK, *RUNS, *NEEDS_MCTX, "shares"}
    readme = (BENCHMARKS / "README.md").read_text()
    assert [name for name in sorted(scripts) if f"`{name}.py`" not in readme] == []


@pytest.mark.slow
def test_perfect_play_finds_the_mistakes_of_an_agent_that_knows_nothing(figures, tmp_path):
    small = {"mcts.num_simulations": 2, "mcts.eval_num_simulations": 2, "model.num_channels": 8}
    given = {"max_env_steps": 10, "n_episode": 1, "run.eval_episodes": 2, "run.tensorboard": False}
    lzcore.train(
        "alphazero",
        out=tmp_path / "run",
        quiet=True,
        **small,
        **given,
        **{"run.openings": "random"},
    )

    found = figures("perfect_play", [str(tmp_path / "run"), "--plies", "4"])

    assert sum(found["perfect"]["mistakes"]) > 10
    assert sum(found["any"]["positions"]) > sum(found["perfect"]["positions"]) > 1000
    assert found["perfect"]["examples"][0].keys() == {"position", "move"}


@pytest.fixture
def game(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield gymnasium.make("tasks:TicTacToe-v0")
    forget_tasks()


def test_the_opponent_at_tictactoe_blocks_and_wins(game):
    board = game.unwrapped
    for _ in range(20):
        game.reset(seed=0)
        board._board[:] = [1, 0, 0, 0, 0, 0, 0, 0, -1]
        _, reward, over, _, info = game.step(1)  # two in a row: it has to block at 2
        assert (reward, over) == (0.0, False)
        assert info["action_mask"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0]
        assert game.step(3)[1:3] == (-1.0, True)  # and 5 completes 2, 5, 8


def test_a_line_at_tictactoe_is_won_and_a_full_board_drawn(game):
    board = game.unwrapped
    game.reset(seed=1)
    board._board[:] = [1, 1, 0, -1, -1, 0, 0, 0, 0]
    assert game.step(2)[1:3] == (1.0, True)

    game.reset(seed=1)
    board._board[:] = [1, -1, 1, 1, -1, -1, -1, 1, 0]
    observation, reward, over, _, _ = game.step(8)
    assert (reward, over) == (0.0, True)
    assert observation[0].sum() == 5


def test_random_play_at_tictactoe_mostly_loses(game):
    rng, outcomes = np.random.default_rng(0), []
    for seed in range(300):
        _, info = game.reset(seed=seed)
        over = False
        while not over:
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            _, reward, over, _, info = game.step(action)
        outcomes.append(reward)
    assert -0.85 < np.mean(outcomes) < -0.6


def test_the_shortest_way_into_the_corner_earns_what_it_says(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    corner, returns = gymnasium.make("tasks:Corner-v0"), []
    for seed in range(300):
        seen, _ = corner.reset(seed=seed)
        earned, over = 0.0, False
        while not over:
            column = int(seen.argmax()) % 5
            seen, reward, over, cut, _ = corner.step(2 if column < 4 else 3)
            assert not cut
            earned += reward
        returns.append(earned)
    forget_tasks()

    assert np.mean(returns) == pytest.approx(0.917, abs=0.01)
    corner.reset(seed=0)
    assert [corner.step(0)[3] for _ in range(20)] == [False] * 19 + [True]
