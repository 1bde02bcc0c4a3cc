"""What every opponent promises: legal moves that follow from positions and seeds alone.

It is tried on the game of `env`; without one on the first that it takes of the examples of what is
installed, of which the core's is noughts and crosses. Its `argument` is a setting.

Shape letters: n positions.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lzcore.base.env import Array
from lzcore.base.errors import ConfigError
from lzcore.base.opponent import Opponent
from lzcore.base.seeding import derive_seed
from lzcore.base.simulator import Simulator, State
from lzcore.registry import made
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.simulators import has_rules, require_same, rules_of, walk
from lzcore.testing.subject import Subject

_POSITIONS = 24
_ALONE = 6  # of them that are shown one by one


class Asked(NamedTuple):
    """An opponent, and what it is asked."""

    player: Opponent
    rules: Simulator
    states: list[State]  # n positions of random games in which a player moves, each by turns
    seeds: Array  # (n,) uint64


def _asked(subject: Subject) -> Asked:
    """Make the opponent; AssertionError if it takes no game."""
    found = _made(subject)
    if isinstance(found, str):
        raise AssertionError(f"{found} Expected it to play; see env= and settings=.")
    player, rules = found
    states = _positions(rules)
    return Asked(player, rules, states, derive_seed(11, np.arange(len(states))))


def _made(subject: Subject) -> tuple[Opponent, Simulator] | str:
    """Return the opponent and its game, or why it takes none."""
    unknown = sorted(set(subject.settings) - {"argument"})
    if unknown:
        return f"an opponent has no setting {unknown[0]!r}; its one is 'argument'."
    argument, reason = str(subject.settings.get("argument", "")), "there is no game to play."
    for rules in _games(subject):
        try:
            return made(subject.cls, ("act",), rules, argument), rules
        except ConfigError as err:
            reason = in_one_line(err)
    return reason


def _games(subject: Subject) -> Iterator[Simulator]:
    kinds = subject.registry.components("envs")
    examples = [c.spec.example for c in kinds if c.state == "ok" and c.spec.example]
    for env in [subject.env] if subject.env else examples:
        game = Subject(env, "simulator", registry=subject.registry)
        if has_rules(game):
            yield rules_of(game)


def _positions(rules: Simulator) -> list[State]:
    found: list[State] = []
    for states, seen in walk(rules):
        found += [states[row] for row in np.flatnonzero(seen.legal_actions.any(axis=1))]
    return found[:_POSITIONS]


def _takes_no_game(subject: Subject) -> str | None:
    found = _made(subject)
    if subject.env or subject.settings or not isinstance(found, str):
        return None
    return f"without an argument it plays no game at hand: {found.rstrip('.')}"


@promise("opponent", left_out=_takes_no_game)
def check_it_chooses_legal_actions(subject: Subject) -> None:
    """A whole number for each position, of an action that is legal, whoever moves."""
    asked = _asked(subject)
    found = np.asarray(asked.player.act(list(asked.states), asked.seeds.copy()))
    seen, n = asked.rules.look(asked.states), len(asked.states)
    require(
        found.shape == (n,) and found.dtype.kind in "iu",
        f"it chose {found.dtype} of shape {found.shape} in {n} positions; expected a whole number "
        "for each.",
    )
    for action, allowed, mover in zip(found, seen.legal_actions, seen.to_play, strict=True):
        legal = np.flatnonzero(allowed).tolist()
        require(
            action in legal,
            f"it chose the action {action} as player {mover}, where {legal} are legal; expected "
            "one of these.",
        )


@promise("opponent", left_out=_takes_no_game)
def check_its_choice_follows_from_position_and_seed(subject: Subject) -> None:
    """Equal positions with equal seeds get equal actions: again, in other company, by a new one."""
    player, _, states, seeds = _asked(subject)
    expected = _acted(player, states, seeds)
    _require_same_choice(_acted(player, states, seeds), expected, "when it is asked again")
    backwards = _acted(player, states[::-1], seeds[::-1].copy())[::-1]
    _require_same_choice(backwards, expected, "when positions come in another order")
    for row in range(min(_ALONE, len(states))):
        alone = _acted(player, states[row : row + 1], seeds[row : row + 1])
        _require_same_choice(alone, expected[row : row + 1], "when a position comes alone")
    new = _acted(_asked(subject).player, states, seeds)
    _require_same_choice(new, expected, "when another such opponent is asked")


def _acted(player: Opponent, states: list[State], seeds: Array) -> Array:
    return np.asarray(player.act(list(states), seeds.copy()))


def _require_same_choice(found: Array, expected: Array, when: str) -> None:
    require(
        np.array_equal(found, expected),
        f"it chooses {short(found.tolist())} {when}, before that {short(expected.tolist())}; "
        "expected the same. Draw from the seeds, from nothing else.",
    )


@promise("opponent", left_out=_takes_no_game)
def check_it_changes_nothing_that_it_is_shown(subject: Subject) -> None:
    """Positions look as before, and seeds and the list of positions are as they were."""
    player, rules, states, seeds = _asked(subject)
    before, given, shown = rules.look(states), seeds.copy(), list(states)
    player.act(shown, given)
    require_same(rules.look(states), before, "after an opponent was asked what to do there")
    kept = len(shown) == len(states) and all(a is b for a, b in zip(shown, states, strict=True))
    require(
        kept and np.array_equal(given, seeds),
        "it wrote into the list of positions or into the seeds; expected both as they were given.",
    )
