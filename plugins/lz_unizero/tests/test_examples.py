"""The task that needs memory: what it shows, what it pays, and what forgetting costs."""

import gymnasium
import numpy as np
import pytest
from lz_unizero.examples import MatchToCue

from lzcore.envs.check import examine
from lzcore.envs.gym import GymEnv

MODULE_ID = "lz_unizero.examples:MatchToCue-v0"


def played(act, seed=0, cue=None, **settings):
    """Play one episode; `act` tells an action from what is shown, and `cue` replaces the one drawn.

    Returns:
        Observations (T + 1, 2 K + 1), rewards (T,) and whether the episode ended, (T,).
    """
    task = MatchToCue(**settings)
    seen, rewards, ends = [task.reset(seed=seed)[0]], [], []
    task.cue = task.cue if cue is None else cue
    while not any(ends):
        observation, reward, terminated, truncated, _ = task.step(act(seen[-1]))
        assert not truncated
        seen, rewards, ends = [*seen, observation], [*rewards, reward], [*ends, terminated]
    return np.array(seen), rewards, ends


def at_random(seed):
    """Act without memory: a fixed random function of what is shown."""
    rng = np.random.default_rng(seed)
    answer = {}
    return lambda seen: answer.setdefault(seen.tobytes(), int(rng.integers(3)))


@pytest.mark.parametrize("delay", [1, 10, 25])
def test_the_question_comes_after_the_delay_and_its_answer_ends_the_episode(delay):
    seen, rewards, ends = played(lambda _: 2, cue=2, delay=delay)

    assert seen[:-1, -1].tolist() == [0.0] * (delay + 1) + [1.0]
    assert ends == [False] * (delay + 1) + [True]
    assert rewards == [0.0] * (delay + 1) + [1.0]


def test_the_first_observation_shows_the_cue_and_its_number_is_the_answer():
    for seed in range(10):
        seen, *_ = played(lambda _: 0, seed)
        cue = int(seen[0].argmax())
        assert seen[0].tolist() == np.eye(7)[cue].tolist()
        assert [played(lambda _, a=a: a, seed)[1][-1] for a in range(3)] == list(np.eye(3)[cue])


def test_nothing_after_the_first_observation_depends_on_the_cue_or_on_what_is_done():
    first, *_ = played(at_random(1), cue=0)
    other, *_ = played(at_random(2), cue=2)

    assert (first[1:] == other[1:]).all()
    assert (first[1:, :3] == 0.0).all()
    assert (first[1:, 3:6].sum(axis=1) == 1.0).all()  # a symbol each


def test_whoever_forgets_the_cue_earns_a_third():
    """Of worlds that differ in the cue alone, a policy without memory is paid in exactly one."""
    for seed in range(20):
        earned = [sum(played(at_random(seed), seed, cue)[1]) for cue in range(3)]
        assert sorted(earned) == [0.0, 0.0, 1.0]


def test_each_cue_and_each_symbol_comes_as_often_as_the_others():
    shown = [played(lambda _: 0, seed)[0] for seed in range(600)]

    assert np.mean([seen[0, :3] for seen in shown], axis=0) == pytest.approx([1 / 3] * 3, abs=0.06)
    symbols = np.mean([seen[1:, 3:6] for seen in shown], axis=(0, 1))
    assert symbols == pytest.approx([1 / 3] * 3, abs=0.02)


def test_equal_seeds_show_the_same():
    assert (played(lambda _: 0, 5)[0] == played(lambda _: 0, 5)[0]).all()
    assert (played(lambda _: 0, 5)[0] != played(lambda _: 0, 6)[0]).any()


@pytest.mark.parametrize("settings", [{"delay": 0}, {"cues": 1}])
def test_a_task_without_anything_to_remember_is_refused(settings):
    with pytest.raises(ValueError, match=r"expected 1 step or more between cue and question"):
        MatchToCue(**settings)


def test_its_parameters_are_keyword_arguments_of_its_id():
    task = gymnasium.make(MODULE_ID, delay=4, cues=2)

    assert task.observation_space.shape == (5,)
    assert task.action_space.n == 2


def test_check_env_finds_nothing_wrong_with_it():
    assert examine(lambda: GymEnv(MODULE_ID, 1)).wrong == 0
