"""Openings: random ones from seeds, and every one there is."""

from itertools import pairwise

import numpy as np
import pytest
from match_fakes import Race

from lzcore.base import ConfigError, derive_seed
from lzcore.engine.openings import all_openings, random_openings, settled
from lzcore.testing.noughts import Noughts, winner

GAME = Noughts()
SEEDS = derive_seed(5, np.arange(400))


def test_a_line_holds_every_position_on_the_way():
    [line] = random_openings(GAME, 3, SEEDS[:1])

    assert [sum(cell > 0 for cell in state) for state in line] == [0, 1, 2, 3]
    for before, after in pairwise(line):
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_random_lines_begin_with_every_move_alike():
    ends = [line[-1] for line in random_openings(GAME, 1, SEEDS)]

    counts = np.bincount([end.index(1) for end in ends], minlength=9)
    assert counts == pytest.approx(400 / 9, abs=25)


def test_a_line_follows_from_its_own_seed():
    assert random_openings(GAME, 4, SEEDS[7:9]) == random_openings(GAME, 4, SEEDS[:20])[7:9]


def test_lines_that_end_the_game_are_drawn_again():
    lines = random_openings(GAME, 7, SEEDS[:100])  # about half of all lines are over by then

    assert not any(winner(line[-1]) for line in lines)
    assert {len(line) for line in lines} == {8}


def test_too_many_plies_are_refused():
    with pytest.raises(ConfigError, match=r"opening_plies = 9: .*Choose a smaller number"):
        random_openings(GAME, 9, SEEDS[:2])
    with pytest.raises(ConfigError, match="opening_plies = 12"):
        random_openings(GAME, 12, SEEDS[:2])


def test_no_ply_leaves_the_first_position():
    assert random_openings(GAME, 0, SEEDS[:2]) == [((0,) * 9,)] * 2


@pytest.mark.parametrize(("plies", "number"), [(0, 1), (1, 9), (2, 72), (5, 15120 - 1440)])
def test_all_openings_are_all_lines_that_leave_the_game_open(plies, number):
    lines = all_openings(GAME, plies)  # of 15120 lines of five plies player 1 has won 1440

    assert len(set(lines)) == len(lines) == number
    assert {len(line) for line in lines} == {plies + 1}


def test_more_openings_than_a_match_can_have_are_refused(monkeypatch):
    monkeypatch.setattr("lzcore.engine.openings.MOST_LINES", 3000)

    assert len(all_openings(GAME, 3)) == 504
    with pytest.raises(ConfigError, match=r"opening_plies = 4: .*Take fewer plies, or random"):
        all_openings(GAME, 4)  # 3,024


@pytest.mark.slow
def test_openings_beyond_the_end_and_of_games_of_chance_are_refused():
    with pytest.raises(ConfigError, match="No line of 9 plies leaves the game open"):
        all_openings(GAME, 9)
    with pytest.raises(ConfigError, match="Chance has a part in this game"):
        all_openings(Race(), 1)


def test_chance_moves_by_its_odds_and_from_the_seeds():
    game = Race()
    thrown = [(0, 0, 0, True), (1, 1, 2, False)] * 200

    states, outcome = settled(game, thrown, SEEDS)

    assert set(states[::2]) == {(0, 0, 1, False), (3, 0, 1, False)}
    assert [state[0] == 3 for state in states[::2]] == outcome[::2].tolist()
    assert outcome[::2].sum() == pytest.approx(100, abs=30)
    assert states[1::2] == thrown[1::2]
    assert settled(game, thrown[6:8], SEEDS[6:8])[0] == states[6:8]


def test_random_lines_in_a_game_of_chance_end_where_a_player_moves():
    lines = random_openings(Race(), 2, SEEDS[:50])

    assert all(not waiting and plies == 2 for _, _, plies, waiting in (x[-1] for x in lines))
    assert len({line[-1] for line in lines}) > 4
