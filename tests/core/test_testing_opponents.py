"""Each check of opponents is kept by right ones, and broken by one that is wrong in just that."""

import itertools
import sys
import types

import numpy as np
import pytest
from kit_fakes import MODULE, registry_of

from lzcore.base.errors import ConfigError
from lzcore.envs.opponents import RandomOpponent
from lzcore.registry import OpponentSpec
from lzcore.testing import opponents as o
from lzcore.testing.kit import all_checks, checks_for, left_out
from lzcore.testing.noughts import Noughts
from lzcore.testing.subject import Subject


class Tablets(Noughts):
    """Keeps positions as lists, which can be written into."""

    def begin(self, seeds):
        return [list(board) for board in super().begin(seeds)]

    def play(self, states, action):
        return [list(board) for board in super().play([tuple(b) for b in states], action)]

    def look(self, states):
        return super().look([tuple(board) for board in states])


def subject_of(monkeypatch, opponent, **given):
    """The opponent as the component `rival`."""
    spec = OpponentSpec(name="rival", opponent=f"{MODULE}:Rival", summary="Plays.")
    return Subject("rival", registry=registry_of(monkeypatch, spec, Rival=opponent), **given)


@pytest.fixture
def tablets(monkeypatch):
    """The id of a game whose positions are lists."""
    module = types.ModuleType("tablet_games")
    module.Tablets = Tablets
    monkeypatch.setitem(sys.modules, "tablet_games", module)
    return "game/tablet_games:Tablets"


@pytest.mark.parametrize("check", all_checks("opponent"), ids=lambda check: check.name)
@pytest.mark.parametrize("name", ["random", "minimax"])
def test_the_cores_own_opponents_keep_every_promise(name, check):
    check.function(Subject(name))


@pytest.mark.parametrize("check", all_checks("opponent"), ids=lambda check: check.name)
def test_positions_that_could_be_changed_are_no_matter_to_a_right_one(monkeypatch, tablets, check):
    check.function(subject_of(monkeypatch, RandomOpponent, env=tablets))


class OneColour(RandomOpponent):
    """Believes that it is always the first player."""

    def act(self, states, seeds):
        mover = self._simulator.look(states).to_play
        return np.where(mover == 1, super().act(states, seeds), 9)


class Unsure(RandomOpponent):
    def act(self, states, seeds):
        return super().act(states, seeds) + 0.0


class Summing(RandomOpponent):
    def act(self, states, seeds):
        return super().act(states, seeds)[:1]


class Moody(RandomOpponent):
    turns = itertools.count()

    def act(self, states, seeds):
        return super().act(states, seeds + np.uint64(next(self.turns)))


class Crowded(RandomOpponent):
    def act(self, states, seeds):
        return super().act(states, seeds + np.uint64(len(seeds)))


class Ranked(RandomOpponent):
    def act(self, states, seeds):
        return super().act(states, seeds + np.arange(len(seeds), dtype=np.uint64))


class Born(RandomOpponent):
    births = itertools.count()

    def __init__(self, simulator, argument):
        super().__init__(simulator, argument)
        self._number = np.uint64(next(self.births))

    def act(self, states, seeds):
        return super().act(states, seeds + self._number)


class Scribbling(RandomOpponent):
    def act(self, states, seeds):
        action = super().act(states, seeds)
        states[0][action[0]] = 1
        return action


class Hoarding(RandomOpponent):
    def act(self, states, seeds):
        action = super().act(states, seeds)
        states.clear()
        return action


class Reseeding(RandomOpponent):
    def act(self, states, seeds):
        seeds += np.uint64(1)
        return super().act(states, seeds)


legal, follows = o.check_it_chooses_legal_actions, o.check_its_choice_follows_from_position_and_seed
nothing = o.check_it_changes_nothing_that_it_is_shown
WRONG = [
    (legal, OneColour, r"the action 9 as player 2, where \[.*\] are legal; expected one of these"),
    (legal, Unsure, r"it chose float64 of shape \(24,\) in 24 positions; expected a whole number"),
    (legal, Summing, r"it chose int64 of shape \(1,\) in 24 positions"),
    (follows, Moody, "when it is asked again, before"),
    (follows, Ranked, "when positions come in another order, before"),
    (follows, Crowded, "when a position comes alone, before"),
    (follows, Born, "when another such opponent is asked, before"),
    (nothing, Scribbling, "a position shows another .* after an opponent was asked what to do"),
    (nothing, Hoarding, "it wrote into the list of positions or into the seeds"),
    (nothing, Reseeding, "it wrote into the list of positions or into the seeds"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_opponent_is_named_with_what_is_wrong(monkeypatch, tablets, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^opponent 'rival' on {tablets}: .*{message}"):
        check(subject_of(monkeypatch, wrong, env=tablets))


def test_every_check_of_opponents_has_one_that_fails_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("opponent")}


# --- which game it is tried on --------------------------------------------------------------------


class Choosy(RandomOpponent):
    """Needs an argument."""

    def __init__(self, simulator, argument):
        if argument != "gently":
            raise ConfigError(f"Say how: gently; got {argument!r}.")
        super().__init__(simulator, "")


def test_one_that_takes_no_game_without_an_argument_is_left_out_with_its_reason(monkeypatch):
    subject = subject_of(monkeypatch, Choosy)

    assert not checks_for(subject)
    assert set(left_out(subject).values()) == {
        "without an argument it plays no game at hand: Say how: gently; got ''"
    }


def test_its_argument_is_a_setting_and_one_that_it_refuses_is_a_fault(monkeypatch):
    legal(subject_of(monkeypatch, Choosy, settings={"argument": "gently"}))
    wrong = subject_of(monkeypatch, Choosy, settings={"argument": "hard"})

    assert len(checks_for(wrong)) == len(list(all_checks("opponent")))
    with pytest.raises(AssertionError, match=r"argument=hard: Say how: gently; got 'hard'\. Expec"):
        legal(wrong)


def test_a_setting_that_it_does_not_have_is_a_fault(monkeypatch):
    subject = subject_of(monkeypatch, RandomOpponent, settings={"argumnt": "x"})

    assert left_out(subject) == {}
    with pytest.raises(AssertionError, match="has no setting 'argumnt'; its one is 'argument'"):
        o.check_it_chooses_legal_actions(subject)


def test_one_that_cannot_be_imported_is_not_left_out(monkeypatch):
    spec = OpponentSpec(name="gone", opponent=f"{MODULE}:Gone", summary="Plays.")
    subject = Subject("gone", registry=registry_of(monkeypatch, spec))

    assert not left_out(subject)
    with pytest.raises(AssertionError, match=r"it was stopped by PluginError: .*Gone"):
        legal(subject)
