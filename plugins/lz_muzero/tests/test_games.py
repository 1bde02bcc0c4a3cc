"""The game of chance keeps its rules, and who plans over outcomes gets more out of it."""

from functools import cache

import gymnasium
import numpy as np
import pytest
from lz_muzero.games import FACES, STEPS, MatchTheDie

from lzcore.envs.check import examine
from lzcore.envs.gym import GymEnv

MODULE_ID = "lz_muzero.games:MatchTheDie-v0"
DICE = range(FACES + 1)  # 0: none on the table
ACTIONS = range(FACES + 1)


def rules(face, action):
    """What may come of an action: (probability, reward, next face) each."""
    if face:
        return [(1.0, 2.0 * (action == face), 0)]
    if action == 0:
        return [(1.0, 0.6, 0)]
    return [(1 / FACES, 0.0, shown) for shown in range(1, FACES + 1)]


# --- what the game is worth -----------------------------------------------------------------------


@cache
def planned_over_outcomes(face, left):
    """The best expected return, by expectimax."""
    return max(worth(face, action, left, planned_over_outcomes) for action in ACTIONS)


def worth(face, action, left, value):
    """The expected return of an action and of `value` from then on."""
    if not left:
        return 0.0
    after = value if left > 1 else lambda *_: 0.0
    return sum(p * (r + after(shown, left - 1)) for p, r, shown in rules(face, action))


@cache
def by_chance(face, left):
    """The expected return of uniform actions."""
    return sum(worth(face, action, left, by_chance) for action in ACTIONS) / len(ACTIONS)


@cache
def without_looking(belief, left):
    """The best expected return of a sequence of actions that is fixed beforehand."""
    if not left:
        return 0.0
    return max(reward + without_looking(after, left - 1) for reward, after in imagined(belief))


def imagined(belief):
    """For each action the mean reward and the mixture of faces after it: one state, not many."""
    for action in ACTIONS:
        reward, after = 0.0, [0.0] * len(DICE)
        for face, share in zip(DICE, belief, strict=True):
            for p, r, shown in rules(face, action):
                reward += share * p * r
                after[shown] += share * p
        yield reward, tuple(round(share, 12) for share in after)


@cache
def replanned(face, left):
    """The return of a planner who sees each face, but plans on as if it would not look again."""
    if not left:
        return 0.0
    sure = tuple(float(die == face) for die in DICE)
    plans = [reward + without_looking(after, left - 1) for reward, after in imagined(sure)]
    return worth(face, int(np.argmax(np.round(plans, 9))), left, replanned)


def test_who_plans_over_outcomes_throws_and_matches_ten_times():
    assert planned_over_outcomes(0, STEPS) == pytest.approx(20.0)
    assert worth(0, 1, STEPS, planned_over_outcomes) == pytest.approx(20.0)
    assert worth(0, 0, STEPS, planned_over_outcomes) == pytest.approx(18.0 + 2 * 0.6)


def test_who_plans_one_sequence_for_all_outcomes_banks_to_the_end():
    assert without_looking((1.0, *[0.0] * FACES), STEPS) == pytest.approx(12.0)
    assert replanned(0, STEPS) == pytest.approx(12.0)


def test_uniform_actions_are_worth_far_less_than_either():
    assert by_chance(0, STEPS) == pytest.approx(4.82, abs=0.01)


# --- the game itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("face", DICE)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_step_is_what_the_rules_say(face, action):
    game, met = MatchTheDie(), {}
    game.reset(seed=0)
    for _ in range(400):
        game._face, game._left = face, 7
        observation, reward, *ends, info = game.step(action)
        shown = info["chance"]
        assert observation.tolist() == [*np.eye(FACES + 1)[shown], np.float32(0.3)]
        assert ends == [False, False]
        met[reward, shown] = met.get((reward, shown), 0) + 1 / 400

    assert met == pytest.approx({(r, shown): p for p, r, shown in rules(face, action)}, abs=0.08)


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
    assert after.chance[0] in range(1, FACES + 1)
    assert after.observation[0, after.chance[0]] == 1.0


def test_check_env_finds_nothing_wrong_with_it():
    assert examine(lambda: GymEnv(MODULE_ID, 1)).wrong == 0
