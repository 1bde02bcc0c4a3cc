"""What the rules of a game promise a search: positions that stay, and stand alone.

A simulator is named by an id of its environments, by "module:Class", or by their kind.

Shape letters: n positions, A actions, C outcomes of chance.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lzcore.base.env import Array
from lzcore.base.seeding import derive_seed
from lzcore.base.simulator import Positions, Simulator, State
from lzcore.registry import load
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.subject import Subject

_GAMES, _PLIES = 4, 40


def rules_of(subject: Subject) -> Simulator:
    """Return the simulator of the subject's environment."""
    spec: Any = subject.spec
    require(subject.env, "its kind names no example; expected env=, the id of a game.")
    env = subject.cls(subject.env, 1, load(spec.config)())
    found: Any = getattr(env, "simulator", None)
    env.close()
    require(found is not None, "its environment has no simulator; expected one.")
    return found  # type: ignore[no-any-return]


def has_rules(subject: Subject) -> bool:
    """Whether the subject's environment tells its rules, as far as it can be made."""
    try:
        rules_of(subject)
    except Exception:  # checks of the environment tell why it cannot be made
        return False
    return True


def _seeds(count: int = _GAMES) -> Array:
    return derive_seed(5, np.arange(count))


def walk(rules: Simulator, plies: int = _PLIES) -> Iterator[tuple[list[State], Positions]]:
    """Yield positions of random games, beginning with the first ones, ends included."""
    rng, states = np.random.default_rng(0), rules.begin(_seeds())
    for _ in range(plies):
        seen = rules.look(states)
        yield states, seen
        running = np.flatnonzero(~seen.terminal)
        if not len(running):
            return
        action = np.array([rng.choice(np.flatnonzero(row)) for row in _open(seen)[running]])
        states = rules.play([states[row] for row in running.tolist()], action)


def _open(seen: Positions) -> Array:
    """Return (n, max(A, C)) bool: what `play` takes in each position."""
    if seen.chance is None:
        return seen.legal_actions
    width = max(seen.legal_actions.shape[1], seen.chance.shape[1])
    found = np.zeros((len(seen.terminal), width), bool)
    found[:, : seen.legal_actions.shape[1]] |= seen.legal_actions
    found[:, : seen.chance.shape[1]] |= seen.chance > 0
    return found


@promise("simulator")
def check_positions_have_the_documented_types(subject: Subject) -> None:
    """Every array of what is seen, in shape, dtype and range, until the games are over."""
    rules = rules_of(subject)
    for states, seen in walk(rules):
        require(len(states) == len(seen.terminal), "look tells of another number of positions.")
        _require_types(rules, seen, len(states))
        _require_turns(rules, seen)


def _require_types(rules: Simulator, seen: Positions, n: int) -> None:
    spaces = rules.spaces
    wanted: dict[str, tuple[tuple[int, ...], Any]] = {
        "observation": ((n, *spaces.frame_shape), np.float32),
        "legal_actions": ((n, spaces.action.size), np.bool_),
        "to_play": ((n,), np.int8),
        "terminal": ((n,), np.bool_),
        "value": ((n,), np.float64),
        "reward": ((n,), np.float64),
        "ply": ((n,), np.int64),
    }
    if rules.num_outcomes and seen.chance is not None:
        wanted["chance"] = ((n, rules.num_outcomes), seen.chance.dtype)
    for name, (shape, dtype) in wanted.items():
        found = getattr(seen, name)
        require(
            found.shape == shape and found.dtype == dtype,
            f"{name} is {found.dtype} of shape {found.shape}; expected {np.dtype(dtype)} of shape "
            f"{shape}.",
        )


def _require_turns(rules: Simulator, seen: Positions) -> None:
    """Check who moves where, and what an end is worth."""
    players = (-1,) if rules.spaces.players == 1 else (1, 2)
    require(
        np.isin(seen.to_play, players).all(),
        f"to_play is {short(seen.to_play.tolist())}; expected some of {players}.",
    )
    at_chance = np.zeros(len(seen.terminal), bool)
    if seen.chance is not None:
        sums = seen.chance.sum(axis=1)
        at_chance = sums > 0
        require(
            np.allclose(sums[at_chance], 1.0),
            f"rows of chance sum to {short(sums.tolist())}; expected 1, or 0 where a player moves.",
        )
    moves = ~(seen.terminal | at_chance)
    require(
        np.array_equal(seen.legal_actions.any(axis=1), moves),
        "legal_actions allows something where the game is over or chance moves, or nothing where "
        "a player does; expected the opposite.",
    )
    ends = (1.0, 0.0, -1.0) if rules.spaces.players == 2 else (0.0,)
    require(
        np.isin(seen.value[seen.terminal], ends).all() and not seen.value[~seen.terminal].any(),
        f"value is {short(seen.value.tolist())} where terminal is "
        f"{short(seen.terminal.tolist())}; expected 0 in running games and one of "
        f"{ends} in finished ones.",
    )
    require(
        rules.spaces.players == 1 or not seen.reward.any(),
        f"reward is {short(seen.reward.tolist())} in a game for two; expected 0: value tells the "
        "result.",
    )


@promise("simulator")
def check_playing_changes_no_position(subject: Subject) -> None:
    """A position looks the same after each of its actions was played."""
    rules = rules_of(subject)
    for states, seen in walk(rules, plies=6):
        for row in np.flatnonzero(~seen.terminal).tolist():
            for action in np.flatnonzero(_open(seen)[row])[:6]:
                rules.play([states[row]], np.array([action]))
        require_same(rules.look(states), seen, "after actions were played from it")


def _rows(seen: Positions, rows: slice) -> Positions:
    parts: Any = (None if part is None else part[rows] for part in seen)
    return Positions(*parts)


def require_same(found: Positions, expected: Positions, when: str) -> None:
    """Compare what positions look like; AssertionError says what is another, and `when`."""
    for name, part in expected._asdict().items():
        require(
            np.array_equal(getattr(found, name), part),
            f"a position shows another {name} {when}; expected the same.",
        )


@promise("simulator")
def check_actions_that_are_not_legal_are_refused(subject: Subject) -> None:
    """`play` raises a ValueError that says which row."""
    rules = rules_of(subject)
    for states, seen in walk(rules):
        rows = np.flatnonzero(_open(seen).any(axis=1) & ~_open(seen).all(axis=1))
        if len(rows):
            _require_refused(rules, states, seen, int(rows[-1]))
            return


def _require_refused(rules: Simulator, states: Sequence[State], seen: Positions, row: int) -> None:
    action = _open(seen).argmax(axis=1)
    action[row] = (~_open(seen)[row]).argmax()
    kept = np.flatnonzero(~seen.terminal)
    place = kept.tolist().index(row)
    try:
        rules.play([states[k] for k in kept.tolist()], action[kept])
    except ValueError as err:
        require(
            str(place) in str(err),
            f"an action that is not legal in row {place} was refused with: {in_one_line(err)} "
            "Expected the row.",
        )
        return
    raise AssertionError(
        f"play took action {int(action[row])}, which is not legal; expected a ValueError."
    )


@promise("simulator")
def check_positions_do_not_depend_on_each_other(subject: Subject) -> None:
    """A position looks the same alone, and goes on alike alone."""
    rules = rules_of(subject)
    for states, seen in walk(rules):
        for row, state in enumerate(states):
            alone = rules.look([state])
            require_same(alone, _rows(seen, slice(row, row + 1)), "when it is looked at alone")
        running = [states[row] for row in np.flatnonzero(~seen.terminal)]
        action = _open(seen)[~seen.terminal].argmax(axis=1)
        after = rules.look(rules.play(running, action)) if running else seen
        for row, state in enumerate(running):
            alone = rules.look(rules.play([state], action[row : row + 1]))
            require_same(alone, _rows(after, slice(row, row + 1)), "when it was reached alone")


@promise("simulator")
def check_games_begin_as_their_seeds_say(subject: Subject) -> None:
    """The same seed, the same first position, in which a player moves; whatever the others."""
    rules, seeds = rules_of(subject), _seeds()
    first = rules.look(rules.begin(seeds))
    back = rules.look(rules.begin(seeds[::-1].copy()))
    require_same(
        _rows(back, slice(None, None, -1)),
        first,
        "when games begin in another order of the same seeds",
    )
    for row in range(len(seeds)):
        alone = rules.look(rules.begin(seeds[row : row + 1]))
        require_same(alone, _rows(first, slice(row, row + 1)), "when its game begins alone")
    require(
        first.legal_actions.any(axis=1).all(),
        "a first position has no legal action; expected one in which a player moves.",
    )


@promise("simulator")
def check_plies_count_actions(subject: Subject) -> None:
    """`ply` is 0 at first and grows by 1 with each action, and not with chance."""
    rules = rules_of(subject)
    states = rules.begin(_seeds(1))
    seen = rules.look(states)
    for count in range(8):
        require(
            int(seen.ply[0]) == count,
            f"ply is {int(seen.ply[0])} after {count} actions; expected their number.",
        )
        while True:
            if seen.terminal[0]:
                return
            moved = bool(seen.legal_actions[0].any())
            states = rules.play(states, _open(seen)[:1].argmax(axis=1))
            seen = rules.look(states)
            if moved:
                break


@promise("simulator")
def check_people_can_read_it(subject: Subject) -> None:
    """Positions are drawn as text; actions have names of one word, no two alike."""
    rules = rules_of(subject)
    states = rules.begin(_seeds(1))
    seen = rules.look(states)
    drawn = rules.draw(states[0])
    require(isinstance(drawn, str) and drawn.strip(), f"draw returned {drawn!r}; expected text.")
    legal = np.flatnonzero(seen.legal_actions[0]).tolist()
    names = [rules.name_of(states[0], action) for action in legal]
    require(
        all(isinstance(name, str) and len(name.split()) == 1 for name in names),
        f"actions are called {names}; expected one word each.",
    )
    require(len(set(names)) == len(names), f"actions are called {names}; expected unlike names.")
