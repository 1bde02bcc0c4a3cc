"""The game of chance keeps its rules, and who plans over outcomes gets more out of it."""

from functools import cache

import gymnasium
import numpy as np
import pytest
from lz_muzero.games import BANKED, GOOD, STEPS, WORTH, TakeOrLeave

from lzcore.envs.check import examine
from lzcore.envs.gym import GymEnv

MODULE_ID = "lz_muzero.games:TakeOrLeave-v0"
NONE, GOOD_1, BAD_1, GOOD_2, BAD_2 = CARDS = range(5)
LEAVE, DRAW_1, DRAW_2 = ACTIONS = range(3)


def rules(card, action):
    """What may come of an action: (probability, reward, next card) each."""
    if card:
        return [(1.0, (0.0, 3.0, -6.0, 10.0, -1.5)[card] * (action > 0), NONE)]
    if action == DRAW_1:
        return [(2 / 3, 0.0, GOOD_1), (1 / 3, 0.0, BAD_1)]
    if action == DRAW_2:
        return [(0.1, 0.0, GOOD_2), (0.9, 0.0, BAD_2)]
    return [(1.0, 0.6, NONE)]


# --- what the game is worth -----------------------------------------------------------------------


@cache
def planned_over_outcomes(card, left):
    """The best expected return, by expectimax."""
    return max(worth(card, action, left, planned_over_outcomes) for action in ACTIONS)


def worth(card, action, left, value):
    """The expected return of an action and of `value` from then on."""
    if not left:
        return 0.0
    after = value if left > 1 else lambda *_: 0.0
    return sum(p * (r + after(shown, left - 1)) for p, r, shown in rules(card, action))


@cache
def by_chance(card, left):
    """The expected return of uniform actions."""
    return sum(worth(card, action, left, by_chance) for action in ACTIONS) / len(ACTIONS)


@cache
def without_looking(belief, left):
    """The best expected return of a sequence of actions that is fixed beforehand."""
    if not left:
        return 0.0
    return max(reward + without_looking(after, left - 1) for reward, after in imagined(belief))


def imagined(belief):
    """For each action the mean reward and the mixture of cards after it: one state, not many."""
    for action in ACTIONS:
        reward, after = 0.0, [0.0] * len(CARDS)
        for card, share in zip(CARDS, belief, strict=True):
            for p, r, shown in rules(card, action):
                reward += share * p * r
                after[shown] += share * p
        yield reward, tuple(round(share, 12) for share in after)


@cache
def replanned(card, left):
    """The return of a planner who sees each card, but plans on as if it would not look again."""
    if not left:
        return 0.0
    sure = tuple(float(it == card) for it in CARDS)
    plans = [reward + without_looking(after, left - 1) for reward, after in imagined(sure)]
    return worth(card, int(np.argmax(np.round(plans, 9))), left, replanned)


@cache
def misled(card, left):
    """The return of who knows of each card what to do, and holds all that are drawn to be good."""
    if card:
        return worth(card, int(card in (GOOD_1, GOOD_2)), left, misled)
    pair = {LEAVE: 2 * 0.6, DRAW_1: 3.0, DRAW_2: 10.0}  # what two steps seem to earn
    return worth(card, max(pair, key=pair.get) if left > 1 else LEAVE, left, misled)


def test_the_rules_are_those_of_the_game():
    assert (BANKED, GOOD) == (0.6, (2 / 3, 0.1))
    assert [rules(card, DRAW_1)[0][1] for card in CARDS[1:]] == list(WORTH[1:])


def test_who_plans_over_outcomes_draws_and_takes_the_good_cards_alone():
    assert planned_over_outcomes(NONE, STEPS) == pytest.approx(20.0)
    assert worth(NONE, DRAW_1, STEPS, planned_over_outcomes) == pytest.approx(20.0)
    assert worth(NONE, LEAVE, STEPS, planned_over_outcomes) == pytest.approx(18.0 + 2 * 0.6)
    assert worth(NONE, DRAW_2, STEPS, planned_over_outcomes) == pytest.approx(18.0 + 1.0)


def test_who_plans_one_sequence_for_all_outcomes_banks_to_the_end():
    assert without_looking((1.0, 0.0, 0.0, 0.0, 0.0), STEPS) == pytest.approx(12.0)
    assert replanned(NONE, STEPS) == pytest.approx(12.0)


def test_who_expects_only_good_cards_draws_from_the_wrong_deck():
    assert misled(NONE, STEPS) == pytest.approx(10.0)


def test_uniform_actions_lose():
    # in the long run three steps in five show no card, and a third of these bank: 0.12 a step;
    # in two thirds of the others, half of either deck, a card is taken: -0.047 a step
    assert by_chance(NONE, STEPS) == pytest.approx(20 * (0.12 - 0.047), abs=0.1)


# --- the game itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_step_is_what_the_rules_say(card, action):
    game, met = TakeOrLeave(), {}
    game.reset(seed=0)
    for _ in range(400):
        game._card, game._left = card, 7
        observation, reward, *ends, info = game.step(action)
        shown = info["chance"]
        assert observation.tolist() == [*np.eye(5)[shown], np.float32(0.3)]
        assert ends == [False, False]
        met[reward, shown] = met.get((reward, shown), 0) + 1 / 400

    assert met == pytest.approx({(r, shown): p for p, r, shown in rules(card, action)}, abs=0.08)


def test_the_game_ends_with_its_last_step():
    game = gymnasium.make(MODULE_ID)
    game.reset(seed=3)
    ends = [game.step(0)[2:4] for _ in range(STEPS)]

    assert ends == [(False, False)] * (STEPS - 1) + [(True, False)]


def test_a_run_finds_the_game_and_its_outcomes_by_its_id():
    env = GymEnv(MODULE_ID, 1)
    seen = env.reset(np.zeros(1, np.int64), np.ones(1, np.uint64))
    after = env.step(np.zeros(1, np.int64), np.ones(1, np.int64)).observed

    assert seen.chance.tolist() == [0]
    assert after.chance[0] in (GOOD_1, BAD_1)
    assert after.observation[0, after.chance[0]] == 1.0


def test_check_env_finds_nothing_wrong_with_it():
    assert examine(lambda: GymEnv(MODULE_ID, 1)).wrong == 0
