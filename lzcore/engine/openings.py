"""How games of a match begin: lines of random moves, or every line there is.

Shape letters: n games or lines of one call.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from lzcore.base.env import Array
from lzcore.base.errors import ConfigError
from lzcore.base.seeding import derive_seed, uniform
from lzcore.base.simulator import Simulator, State
from lzcore.envs.games import drawn

# positions of one game in which a player moves, from the first to that which the match begins with
Line: TypeAlias = tuple[State, ...]

TRIES = 100  # to find a line that does not end the game
MOST_LINES = 200_000  # that are played in one match
_BEGIN, _MOVE, _CHANCE = range(3)  # what the seed of an opening decides


def settled(
    simulator: Simulator, states: Sequence[State], seeds: Array
) -> tuple[list[State], Array]:
    """Let chance move until it is a player's turn, or the game is over.

    Args:
        simulator: of the game.
        states: n positions.
        seeds: (n,) uint64, each of one position, from which the outcomes follow.
    Returns:
        The positions then, and (n,) int64 the last outcome that led to each; 0 where there is none.
    """
    found, outcome = list(states), np.zeros(len(states), np.int64)
    rows, draws = np.arange(len(found)), 0
    while simulator.num_outcomes and len(rows):
        chance = simulator.look([found[row] for row in rows.tolist()]).chance
        assert chance is not None  # of a simulator with outcomes
        moving = (chance > 0).any(axis=1)
        rows, chance = rows[moving], chance[moving]
        if len(rows):
            outcome[rows] = drawn(chance, uniform(seeds[rows], draws))
            after = simulator.play([found[row] for row in rows.tolist()], outcome[rows])
            for row, state in zip(rows.tolist(), after, strict=True):
                found[row] = state
        draws += 1
    return found, outcome


def random_openings(simulator: Simulator, plies: int, seeds: Array) -> list[Line]:
    """Draw lines of uniformly random moves after which the game goes on.

    Args:
        simulator: of the game.
        plies: moves of each line.
        seeds: (n,) uint64, one for each line.
    Raises:
        ConfigError: no such line was found.
    """
    lines: list[Line] = [()] * len(seeds)
    missing = np.arange(len(seeds))
    for attempt in range(TRIES):
        found, goes_on = _drawn(simulator, plies, derive_seed(seeds[missing], attempt))
        for row, line, good in zip(missing.tolist(), found, goes_on.tolist(), strict=True):
            lines[row] = line if good else ()
        missing = missing[~goes_on]
        if not len(missing):
            return lines
    raise ConfigError(
        f"opening_plies = {plies}: of {TRIES} random lines of so many plies, every one ended the "
        "game. Choose a smaller number."
    )


def _drawn(simulator: Simulator, plies: int, seeds: Array) -> tuple[list[Line], Array]:
    """Return n lines, and (n,) bool where the game goes on; lines of others are cut short."""
    states = simulator.begin(derive_seed(seeds, _BEGIN))
    lines = [[state] for state in states]
    rows = np.arange(len(lines))  # of games that go on
    for ply in range(plies):
        here = [lines[row][-1] for row in rows.tolist()]
        legal = simulator.look(here).legal_actions
        action = drawn(legal, uniform(seeds[rows], _MOVE, ply))
        after, _ = settled(
            simulator, simulator.play(here, action), derive_seed(seeds[rows], _CHANCE, ply)
        )
        on = ~simulator.look(after).terminal
        for row, state in zip(rows[on].tolist(), np.flatnonzero(on).tolist(), strict=True):
            lines[row].append(after[state])
        rows = rows[on]
        if not len(rows):
            break
    goes_on = np.zeros(len(lines), bool)
    goes_on[rows] = True
    return [tuple(line) for line in lines], goes_on


def all_openings(simulator: Simulator, plies: int) -> list[Line]:
    """Return every line of so many moves after which the game goes on, in order of the actions.

    Raises:
        ConfigError: chance has a part in the game, so that there is no end of lines; no line leaves
            the game open; there are too many.
    """
    if simulator.num_outcomes:
        raise ConfigError("Chance has a part in this game; draw random openings of it instead.")
    lines: list[Line] = [(state,) for state in simulator.begin(np.zeros(1, np.uint64))]
    for _ in range(plies):
        rows, actions = np.nonzero(simulator.look([line[-1] for line in lines]).legal_actions)
        before = [lines[row] for row in rows.tolist()]
        after = simulator.play([line[-1] for line in before], actions)
        over = simulator.look(after).terminal.tolist()
        lines = [
            (*line, state)
            for line, state, done in zip(before, after, over, strict=True)
            if not done
        ]
        if not lines:
            raise ConfigError(f"No line of {plies} plies leaves the game open; take fewer plies.")
        if len(lines) > MOST_LINES:
            raise ConfigError(
                f"opening_plies = {plies}: there are more than {MOST_LINES:,} openings of so many "
                "plies. Take fewer plies, or random openings."
            )
    return lines
