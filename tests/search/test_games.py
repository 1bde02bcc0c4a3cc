"""Searches find the best move of games that a reader can solve, in every tree, by either rule.

Where nothing else is said the network knows nothing: it says 0 for every value and prefers no move.
A mean over few visits still holds those zeros, and the visits to bad moves; the numbers below leave
room for that. The rule `gumbel` divides the visits of the root among its moves, and below the root
trusts a network more than `puct` does: its root value is no estimate of the best move, and games of
several throws of dice take a network that knows something.
"""

import numpy as np
import pytest
from toy_dynamics import chosen, look
from toy_games import DICE, Catch, Dice, Nim, Pig, TicTacToe, best_moves, boards, solve, worth_of

from lzcore.base.treespec import TreeSpec

RULES = {
    "puct": {},
    "puct, unvisited as in mctx": {"fpu": "mctx"},
    "gumbel": {"rule": "gumbel", "rescale_illegal": False},
}
by_every_rule = pytest.mark.parametrize("rule", RULES)


def spec(rule, num_actions, num_simulations, **more):
    return TreeSpec(num_actions=num_actions, num_simulations=num_simulations, **RULES[rule], **more)


def q_of_choice(result):
    return result.q_value[np.arange(len(result.value)), chosen(result)]


def played(games, result):
    """The exact worth of each game, and of the move chosen there."""
    pairs = [(solve(g), worth_of(g, int(m))) for g, m in zip(games, chosen(result), strict=True)]
    return np.array(pairs).T


# --- one player -----------------------------------------------------------------------------------


@by_every_rule
def test_in_two_row_catch_the_paddle_goes_under_the_ball(make, rule):
    games = [Catch(ball, paddle) for paddle in (1, 2, 3) for ball in range(paddle - 1, paddle + 2)]
    result, _ = look(make, spec(rule, 3, 12), games)

    assert chosen(result).tolist() == [0, 1, 2] * 3  # left, stay, right
    assert q_of_choice(result).tolist() == [1.0] * 9


@by_every_rule
def test_a_ball_that_is_still_high_is_approached_if_it_takes_all_moves(make, rule):
    games = [Catch(ball=0, paddle=3, height=3), Catch(ball=4, paddle=1, height=3)]
    result, _ = look(make, spec(rule, 3, 200), games)

    assert chosen(result).tolist() == [0, 2]
    assert (q_of_choice(result) > 0.7).all()


# --- two players ----------------------------------------------------------------------------------


@by_every_rule
def test_nim_with_one_heap_is_won_by_leaving_a_multiple_of_four(make, rule):
    games = [Nim((heap,), player) for heap in (1, 2, 3, 5, 6, 7, 9) for player in (1, 2)]
    result, _ = look(make, spec(rule, 3, 300), games)

    assert [game.heaps[0] % 4 for game in games] == (chosen(result) + 1).tolist()
    assert (q_of_choice(result) > 0.5).all()


@by_every_rule
def test_nim_with_two_heaps_is_won_by_making_them_alike(make, rule):
    games = [Nim((a, b)) for a in range(4) for b in range(4) if a != b]
    result, _ = look(make, spec(rule, 6, 300), games)

    after = [game.play(move)[0].heaps for game, move in zip(games, chosen(result), strict=True)]
    assert all(a == b for a, b in after)
    assert (q_of_choice(result) > 0.5).all()


@by_every_rule
def test_a_lost_game_of_nim_is_worth_a_loss_to_the_player_to_move_whoever_it_is(make, rule):
    for heaps, num_actions in (((4,), 3), ((2, 2), 6)):
        games = [Nim(heaps, 1), Nim(heaps, 2)]
        result, _ = look(make, spec(rule, num_actions, 300), games)

        assert [solve(game) for game in games] == [-1, -1]
        assert (result.value < -0.8).all()


TACTICS = {  # X moves if there are as many O, and the one square that will do
    "X wins at once": ("XX. OO. ...", 2),
    "O wins at once, rather than block": ("XX. OO. X..", 5),
    "X blocks a column": ("O.. .X. O.X", 3),
    "O blocks a diagonal": ("X.. .X. O..", 8),
    "X makes two threats at once": ("X.. .O. O.X", 2),
}


@by_every_rule
@pytest.mark.parametrize("name", TACTICS)
def test_in_tictactoe_the_one_square_that_will_do_is_taken(make, rule, name):
    picture, square = TACTICS[name]
    game = TicTacToe.drawn(picture)
    assert best_moves(game) == {square}, "the picture is wrong"
    result, _ = look(make, spec(rule, 9, 400), [game])

    assert chosen(result)[0] == square


@by_every_rule
def test_no_losing_move_is_chosen_near_the_end_of_tictactoe_where_another_draws(make, rule):
    """All positions with up to four empty squares, against exhaustive minimax."""
    for empty in (1, 2, 3, 4):
        games = boards(empty)
        exact, worth = played(games, look(make, spec(rule, 9, 200), games)[0])

        assert (exact > -1).sum() > 100
        assert not ((worth == -1) & (exact > -1)).any()


@pytest.mark.parametrize("empty", [2, 3, 4])
def test_on_a_fixed_scale_of_values_the_end_of_tictactoe_is_played_without_a_fault(make, empty):
    """A win must look better than a draw also where no move loses: hence not by siblings."""
    games = boards(empty)
    result, _ = look(make, spec("puct", 9, 200, q_transform="min_max"), games)
    exact, worth = played(games, result)

    assert (worth == exact).all()
    assert q_of_choice(result) == pytest.approx(exact, abs=0.3)
    decided = exact != 0
    assert (np.sign(result.value) == exact)[decided].all()


def test_the_value_of_a_tictactoe_position_approaches_its_minimax_value(make):
    games = boards(3)[::5]
    exact = np.array([solve(game) for game in games])
    errors = []
    for num_simulations in (10, 100, 1000):
        fixed = spec("puct", 9, num_simulations, q_transform="min_max")
        errors.append(np.abs(look(make, fixed, games)[0].value - exact).max())

    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.1


# --- chance ---------------------------------------------------------------------------------------


def payment(game):
    """A network that knows what a die pays on average, and nothing of later turns."""
    return (0.0 if game.die is None else sum(p * pay for p, pay in DICE[game.die])), ()


@by_every_rule
def test_the_die_that_pays_most_on_average_is_rolled_and_all_averages_are_found(make, rule):
    games = [Dice(1), Dice(1, to_play=1), Dice(1, to_play=2)]
    result, _ = look(make, spec(rule, 3, 1000, num_chance_outcomes=3), games)

    assert [solve(game) for game in games] == [3, 3, 3]
    assert chosen(result).tolist() == [1, 1, 1]
    assert q_of_choice(result) == pytest.approx([3, 3, 3], rel=0.01)
    assert result.q_value == pytest.approx(np.tile([2, 3, 2.5], (3, 1)), rel=0.15)


def test_two_players_roll_in_turn_and_each_is_paid_by_the_other(make):
    games = [Dice(1, 1), Dice(2, 1), Dice(3, 2)]
    result, _ = look(make, spec("puct", 3, 2000, num_chance_outcomes=3), games)

    assert [solve(game) for game in games] == [3, 0, 3]
    assert chosen(result).tolist() == [1, 1, 1]
    assert q_of_choice(result) == pytest.approx([3, 0, 3], abs=0.3)


@pytest.mark.parametrize("game", [Dice(2), Dice(2, to_play=1)])
def test_the_value_of_some_turns_of_dice_approaches_its_exact_expectation(make, game):
    errors = []
    for num_simulations in (50, 500, 4000):
        of_dice = spec("puct", 3, num_simulations, num_chance_outcomes=3)
        result, _ = look(make, of_dice, [game], guess=payment)
        errors.append(abs(result.value[0] - solve(game)))

    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.1


def test_a_turn_is_discounted_once_and_not_between_the_choice_and_the_roll(make):
    """3 on average in each of two turns: 3 + 0.5 * 3 for one player, 3 - 0.5 * 3 for two."""
    halved = spec("puct", 3, 2000, num_chance_outcomes=3, discount=0.5)
    result, tree = look(make, halved, [Dice(2), Dice(2, to_play=1)], guess=payment)
    nodes = tree.snapshot()

    assert q_of_choice(result) == pytest.approx([4.5, 1.5], abs=0.05)
    used = nodes["edge_visits"] > 0
    for b, onwards in ((0, 0.5), (1, -0.5)):
        chance = nodes["is_chance"][b]
        assert set(nodes["edge_discounts"][b, chance][used[b, chance]]) == {onwards}
        assert set(nodes["edge_discounts"][b, ~chance][used[b, ~chance]]) == {1.0}


def test_where_chance_always_follows_a_decision_it_need_not_be_told_nor_who_plays(make):
    fields = {"legal_actions", "to_play", "terminal", "is_chance"}
    of_dice, first = spec("puct", 3, 300, num_chance_outcomes=3), np.array([1], np.int8)
    told, silent = (
        look(make, of_dice, [Dice(3, 1)], tells=tells, to_play=first)[1].snapshot()
        for tells in (fields, fields - {"is_chance", "to_play"})
    )

    assert told["is_chance"].any()
    assert set(told["to_play"].ravel().tolist()) == {1, 2, -1}
    assert all(told[name].tobytes() == silent[name].tobytes() for name in told)


def pot(game):
    """A network that sees what could be taken now."""
    return float(game.pot), ()


@by_every_rule
def test_a_pot_is_taken_once_rolling_on_would_lose_more_than_it_wins(make, rule):
    """Half of all rolls lose the pot, and a roll adds 1 on average: from 2 on, stop."""
    games = [Pig(size, rolls=1) for size in (0, 1, 3, 4)]
    result, tree = look(make, spec(rule, 2, 600, num_chance_outcomes=3), games, guess=pot)

    assert chosen(result).tolist() == [1, 1, 0, 0]
    assert [solve(game) for game in games] == [1, 1.5, 3, 4]
    assert q_of_choice(result) == pytest.approx([1, 1.5, 3, 4], rel=0.02)
    nodes = tree.snapshot()
    assert nodes["is_chance"].any()
    assert not nodes["is_chance"][nodes["terminal"]].any()


def test_longer_games_of_pig_are_valued_as_expectimax_values_them(make):
    games = [Pig(size, rolls) for size in (0, 1, 3, 4) for rolls in (2, 3)]
    result, _ = look(make, spec("puct", 2, 2000, num_chance_outcomes=3), games, guess=pot)
    exact, worth = played(games, result)

    assert worth.tolist() == exact.tolist()
    assert q_of_choice(result) == pytest.approx(exact, rel=0.03)


def test_quasi_random_visits_never_give_an_outcome_less_than_its_share_rounded_down(make):
    _, tree = look(make, spec("puct", 3, 1000, num_chance_outcomes=3), [Dice(3)])
    nodes = tree.snapshot()
    chance = nodes["is_chance"][0]
    visits = nodes["edge_visits"][0, chance]
    share = nodes["prior"][0, chance] * visits.sum(axis=1, keepdims=True)

    assert (visits.sum(axis=1) > 10).sum() > 10
    assert (visits >= np.floor(share - 1e-9)).all()


def test_sampled_outcomes_come_as_often_as_they_are_likely(make):
    rolled = spec("puct", 3, 1000, num_chance_outcomes=3, chance_select="sample")
    seeds = np.arange(20, dtype=np.uint64)
    _, tree = look(make, rolled, [Dice(1)] * 20, seeds=seeds)
    nodes = tree.snapshot()
    best_die = (nodes["parents"] == 0) & (nodes["action_from_parent"] == 1)
    visits = nodes["edge_visits"][best_die]

    assert visits.shape == (20, 3)
    assert visits.sum() > 10_000
    assert visits.sum(axis=0) / visits.sum() == pytest.approx([0.5, 0.5, 0], abs=0.015)
    assert len({tuple(row) for row in visits.tolist()}) > 10  # each root draws its own
