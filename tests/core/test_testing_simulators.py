"""Each check of simulators is kept by right ones, and broken by one that is wrong in just that."""

import sys
import types

import numpy as np
import pytest

from lzcore.testing import simulators
from lzcore.testing.kit import all_checks
from lzcore.testing.noughts import FlatNoughts, Noughts
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, rules):
    """The rules under the name wrong_games:Game."""
    module = types.ModuleType("wrong_games")
    module.Game = rules
    monkeypatch.setitem(sys.modules, "wrong_games", module)
    return Subject("wrong_games:Game", "simulator")


@pytest.mark.parametrize("check", all_checks("simulator"), ids=lambda check: check.name)
@pytest.mark.parametrize("rules", [Noughts, FlatNoughts])
def test_right_rules_keep_every_promise(monkeypatch, rules, check):
    check.function(subject_of(monkeypatch, rules))


def looking(**changes):
    """Rules whose positions have these fields changed."""

    def look(self, states):
        seen = Noughts.look(self, states)
        return seen._replace(**{k: f(getattr(seen, k)) for k, f in changes.items()})

    return type("Looking", (Noughts,), {"look": look})


class Touching(Noughts):
    """Keeps positions as lists, and plays on in them."""

    def begin(self, seeds):
        return [list(board) for board in super().begin(seeds)]

    def play(self, states, action):
        after = super().play([tuple(board) for board in states], action)
        for board, new in zip(states, after, strict=True):
            board[:] = new
        return [list(board) for board in after]

    def look(self, states):
        return super().look([tuple(board) for board in states])


class Kind(Noughts):
    def play(self, states, action):
        seen = self.look(states).legal_actions
        taken = [a if row[a] else row.argmax() for row, a in zip(seen, action, strict=True)]
        return super().play(states, np.array(taken))


class Curt(Noughts):
    def play(self, states, action):
        try:
            return super().play(states, action)
        except ValueError:
            raise ValueError("not legal") from None


class Crowded(Noughts):
    def look(self, states):
        seen = super().look(states)
        return seen._replace(observation=seen.observation + np.float32(len(states)))


class Herding(Noughts):
    """Plays alike in all of a batch where it can."""

    def play(self, states, action):
        after = super().play(states, action)
        if len(set(states)) == 1 or not len(states):
            return after
        return [after[0]] * len(after)


class Company(Noughts):
    """Begins elsewhere where several games begin."""

    def begin(self, seeds):
        boards = super().begin(seeds)
        return self.play(boards, np.full(len(boards), 4)) if len(boards) > 1 else boards


class Ordered(Noughts):
    def begin(self, seeds):
        boards = super().begin(seeds)
        return [boards[0], *(self.play([b], np.array([i]))[0] for i, b in enumerate(boards[1:]))]


class Endless(Noughts):
    def look(self, states):
        seen = super().look(states)
        return seen._replace(legal_actions=seen.legal_actions | seen.terminal[:, None])


class Lines(Noughts):
    def name_of(self, state, action):
        return f"cell {action}"


class Namesakes(Noughts):
    def name_of(self, state, action):
        return "there"


class Blank(Noughts):
    def draw(self, state):
        return ""


s = simulators
WRONG = [
    (
        s.check_positions_have_the_documented_types,
        looking(to_play=lambda x: x.astype(np.int64)),
        r"to_play is int64 of shape \(4,\); expected int8",
    ),
    (
        s.check_positions_have_the_documented_types,
        looking(to_play=lambda x: 0 * x),
        r"to_play is \[0, 0, 0, 0\]; expected some of \(1, 2\)",
    ),
    (
        s.check_positions_have_the_documented_types,
        Endless,
        "legal_actions allows something where the game is over",
    ),
    (
        s.check_positions_have_the_documented_types,
        looking(value=lambda x: x + 0.5),
        "expected 0 in running games and one of",
    ),
    (
        s.check_positions_have_the_documented_types,
        looking(reward=lambda x: x + 1.0),
        "in a game for two; expected 0: value tells the result",
    ),
    (s.check_playing_changes_no_position, Touching, "shows another .* after actions were played"),
    (s.check_actions_that_are_not_legal_are_refused, Kind, "which is not legal; expected a Value"),
    (s.check_actions_that_are_not_legal_are_refused, Curt, r"not legal\. Expected the row"),
    (s.check_positions_do_not_depend_on_each_other, Crowded, "another observation when it is look"),
    (
        s.check_positions_do_not_depend_on_each_other,
        Herding,
        "another .* when it was reached alone",
    ),
    (s.check_games_begin_as_their_seeds_say, Company, "another .* when its game begins alone"),
    (s.check_games_begin_as_their_seeds_say, Ordered, "when games begin in another order of the"),
    (s.check_plies_count_actions, looking(ply=lambda x: 2 * x), "ply is 2 after 1 actions; exp"),
    (s.check_people_can_read_it, Lines, "expected one word each"),
    (s.check_people_can_read_it, Namesakes, "expected unlike names"),
    (s.check_people_can_read_it, Blank, "draw returned ''; expected text"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_wrong_rules_are_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^simulator 'wrong_games:Game' on .*{message}"):
        check(subject_of(monkeypatch, wrong))


def test_every_check_of_simulators_has_rules_that_fail_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("simulator")}


def test_an_environment_without_rules_is_named():
    subject = Subject("gymnasium", "simulator")

    with pytest.raises(AssertionError, match="its environment has no simulator; expected one"):
        s.check_people_can_read_it(subject)
    assert not s.has_rules(subject)
