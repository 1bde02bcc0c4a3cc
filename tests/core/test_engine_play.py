"""How episodes are divided over environments and played side by side."""

import re

import numpy as np
import pytest
from engine_fakes import Scripted, tiny

from lzcore.base import ContractError, EnvError, derive_seed
from lzcore.engine.clock import Clock
from lzcore.engine.play import fair_shares, play

KEY = 99


def test_shares_differ_by_one_at_most_and_begin_with_the_first_environment():
    assert fair_shares(5, 3).tolist() == [2, 2, 1]
    assert fair_shares(5, 3, first=2).tolist() == [2, 1, 2]
    assert fair_shares(2, 4).tolist() == [1, 1, 0, 0]


def test_with_fewer_episodes_than_environments_all_take_turns():
    rounds = [fair_shares(3, 8, first=3 * i).tolist() for i in range(8)]

    assert np.sum(rounds, axis=0).tolist() == [3] * 8


def steps(env, policy=None, shares=None, mode="eval", **given):
    shares = np.ones(env.num_envs, np.int64) if shares is None else np.array(shares)
    return list(play(env, policy or tiny(), mode, shares, KEY, 5, **given))


def test_every_environment_plays_its_share_and_no_more():
    env = Scripted([2, 3, 1])

    played = steps(env, shares=[1, 2, 3])

    ended = [
        (int(i), int(k))
        for step in played
        for i, k, over in zip(step.seen.env_id, step.number, step.ended, strict=True)
        if over
    ]
    assert sorted(ended) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    # after 3 steps environments 0 and 2 are through, so environment 1 plays on alone
    assert [step.seen.env_id.tolist() for step in played[2:]] == [[1, 2], [1], [1], [1]]


def test_an_episode_s_seed_is_made_of_key_counters_environment_and_number():
    env = Scripted([1, 1])

    steps(env, shares=[2, 1])

    assert env.seeds[0] == [int(derive_seed(KEY, 5, 0, 0)), int(derive_seed(KEY, 5, 0, 1))]
    assert env.seeds[1] == [int(derive_seed(KEY, 5, 1, 0))]


def test_what_one_environment_plays_does_not_depend_on_the_others():
    alone, together = Scripted([4, 4, 4]), Scripted([1, 4, 2])

    steps(alone, shares=[0, 3, 0], mode="collect", schedule={"temperature": 1.0})
    steps(together, shares=[5, 3, 4], mode="collect", schedule={"temperature": 1.0})

    assert alone.seeds[1] == together.seeds[1]
    assert alone.actions[1] == together.actions[1]
    assert len(set(alone.actions[1])) == 2


def test_a_decision_sees_what_the_last_step_showed():
    played = steps(Scripted([3, 1]), shares=[1, 2])

    seen = [(step.frame.tolist(), step.seen.timestep.tolist()) for step in played]
    assert seen == [
        ([[0, 0, 0], [1, 0, 0]], [0, 0]),
        ([[0, 0, 1], [1, 1, 0]], [1, 0]),
        ([[0, 0, 2]], [2]),
    ]
    assert played[1].seen.action_mask.tolist() == [[True, False], [True, True]]
    assert played[1].seen.to_play.tolist() == [-1, -1]


def test_stacked_frames_begin_with_copies_of_an_episode_s_first():
    policy = tiny(width=6)
    policy.frame_stack = 2

    played = steps(Scripted([2, 1]), policy, shares=[1, 2])

    assert played[0].seen.observation.tolist() == [[0, 0, 0] * 2, [1, 0, 0] * 2]
    assert played[1].seen.observation.tolist() == [[0, 0, 0, 0, 0, 1], [1, 1, 0] * 2]
    assert played[1].frame.tolist() == [[0, 0, 1], [1, 1, 0]]


def test_the_policy_forgets_an_environment_when_its_episode_ends(monkeypatch):
    policy, forgotten = tiny(), []
    monkeypatch.setattr(policy, "_reset_collect", forgotten.append)

    steps(Scripted([1, 2]), policy, shares=[2, 1], mode="random")

    assert forgotten == [None, [0], [0, 1]]


def test_time_is_divided_without_gaps():
    clock = Clock()

    steps(Scripted([3, 2]), clock=clock)

    assert set(clock.total) == {"env", "search", "glue"}
    assert clock.total["env"] > 0
    assert sum(clock.total.values()) <= clock.elapsed


@pytest.mark.parametrize("call", ["reset", "step"])
def test_an_environment_that_raises_is_named_in_one_line(call, monkeypatch):
    env = Scripted([2])

    def broken(*_):
        raise OSError("no\nkey")

    monkeypatch.setattr(env, call, broken)

    with pytest.raises(ContractError) as err:
        steps(env)
    assert re.match(
        rf"engine_fakes\.Scripted failed in {call} of one of the environments \[0\]: "
        r"OSError: no key \(test_engine_play\.py line \d+\)\. Try it alone with `lz check-env`\.$",
        str(err.value),
    )


def test_an_environment_s_own_explanation_goes_through(monkeypatch):
    env = Scripted([2])

    def broken(*_):
        raise EnvError("The wheel came off.")

    monkeypatch.setattr(env, "step", broken)

    with pytest.raises(EnvError, match=r"^The wheel came off\.$"):
        steps(env)
