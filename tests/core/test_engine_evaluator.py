"""Greedy evaluation: fair, repeatable, and without a trace in training."""

import numpy as np
import pytest
from engine_fakes import Scripted, tiny

from lzcore.base import derive_seed
from lzcore.engine.collector import Collector
from lzcore.engine.evaluator import EvaluationResult, Evaluator

KEY = 31


def test_every_environment_plays_its_fair_share_with_seeds_of_this_evaluation():
    env = Scripted([3, 1, 2])

    Evaluator(lambda: env, tiny(), KEY).evaluate(9, 7)

    assert [len(seeds) for seeds in env.seeds.values()] == [3, 2, 2]
    assert env.seeds[2] == [int(derive_seed(KEY, 9, 2, n)) for n in range(2)]


def test_results_stand_in_order_of_environment_and_episode():
    result = Evaluator(lambda: Scripted([3, 1]), tiny(), KEY).evaluate(0, 3)

    assert result.returns == (3.0, 3.0, 1.0)  # Scripted pays the episode's length
    assert result.lengths == (3, 3, 1)


def test_mean_and_spread_are_those_of_the_returns():
    result = EvaluationResult(returns=(1.0, 2.0, 6.0), lengths=(1, 2, 3), at={"learn_step": 5})

    assert result.mean == 3.0
    assert result.std == pytest.approx(np.sqrt(14 / 3))  # ((-2)^2 + (-1)^2 + 3^2) / 3
    assert result.to_dict() == {
        "learn_step": 5,
        "episodes": 3,
        "return_mean": 3.0,
        "return_std": result.std,
        "return_min": 1.0,
        "return_max": 6.0,
        "length_mean": 2.0,
        "returns": [1.0, 2.0, 6.0],
        "lengths": [1, 2, 3],
    }


def test_play_is_greedy():
    env, policy = Scripted([6]), tiny()

    Evaluator(lambda: env, policy, KEY).evaluate(0, 1)
    first = env.actions[0]
    env.forget()
    Evaluator(lambda: env, policy, KEY).evaluate(1, 1)

    assert env.actions[0] == first


def test_environments_are_made_once_and_let_go():
    made = []

    def make():
        made.append(Scripted([1]))
        return made[-1]

    evaluator = Evaluator(make, tiny(), KEY)
    assert made == []
    evaluator.evaluate(0, 1)
    evaluator.evaluate(1, 1)
    evaluator.close()

    assert [env.closed for env in made] == [True]


def test_what_is_collected_after_an_evaluation_is_what_would_have_been_collected_without():
    def actions(evaluate):
        env, policy = Scripted([15, 15]), tiny()
        collector = Collector(env, policy, policy.columns(policy.cfg, env.spaces), 3)
        if evaluate:
            Evaluator(lambda: Scripted([4]), policy, KEY).evaluate(0, 2)
        collector.collect(2, 2, schedule={"temperature": 1.0})
        return env.actions

    assert actions(evaluate=True) == actions(evaluate=False)
