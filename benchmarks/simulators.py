"""Time the rules of games: what a search with known rules asks of them for each new leaf.

    python benchmarks/simulators.py [--games tic_tac_toe connect_four] [--leaves 64] [--plies 4]

"play" applies an action to each of 64 positions, "look" tells what those look like: observations,
legal actions, ends and chances. Microseconds of CPU of one thread for each leaf.
"""

import argparse

import harness
import numpy as np
from lz_openspiel.simulator import OpenSpielGame

GAMES = ("tic_tac_toe", "connect_four", "go(board_size=9)", "othello", "chess", "backgammon")


def some_moves(seen, draws):
    """For each position a legal action, or an outcome of chance, at random."""
    rows = range(len(seen.terminal))
    likely = seen.legal_actions if seen.chance is None else seen.chance > 0
    return np.array(
        [
            draws.choice(np.flatnonzero(legal if legal.any() else likely[row]))
            for row, legal in zip(rows, seen.legal_actions, strict=True)
        ]
    )


def measured(name, leaves, plies, seconds):
    """Figures of one game, some plies after its beginning."""
    game, draws = OpenSpielGame(name), np.random.default_rng(0)
    states = game.begin(np.arange(leaves, dtype=np.uint64))
    for _ in range(plies):
        before, action = states, some_moves(game.look(states), draws)
        states = game.play(before, action)
    found = harness.timed_in_turns(
        {"play": lambda: game.play(before, action), "look": lambda: game.look(states)}, seconds
    )
    return {f"{part}_us": round(1e3 * told["ms"] / leaves, 3) for part, told in found.items()}


def main():
    """Measure each game and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=GAMES)
    parser.add_argument("--leaves", type=int, default=64)
    parser.add_argument("--plies", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    figures = {
        name: measured(name, given.leaves, given.plies, given.seconds) for name in given.games
    }
    harness.report("simulators", vars(given), figures)


if __name__ == "__main__":
    main()
