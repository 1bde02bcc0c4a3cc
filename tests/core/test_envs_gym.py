"""A batch of Gymnasium environments: what a step tells, and when it says no."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from lzcore.base.errors import EnvError, ShapeError
from lzcore.envs.config import GymSettings
from lzcore.envs.gym import GymEnv


class Counting(gymnasium.Env):
    """Counts its steps; step k is worth k and the episode ends after `length` of them."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, length=3, masks=None, scale=1.0, render_mode=None, outcomes=None):
        self.observation_space = spaces.Box(-1, 1000, (2,))
        self.action_space = spaces.Discrete(3)
        self.render_mode = render_mode
        self.length, self.masks, self.scale, self.count = length, masks, scale, 0
        self.outcomes = outcomes
        self.actions = []

    def _shown(self):
        info = {} if self.masks is None else {"action_mask": self.masks[self.count]}
        if self.outcomes is not None and self.outcomes[self.count] is not None:
            info["chance"] = self.outcomes[self.count]
        return np.array([self.count, self.start], np.float32), info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.start = 0, float(self.np_random.integers(100))
        return self._shown()

    def step(self, action):
        self.actions.append(action)
        self.count += 1
        observation, info = self._shown()
        return observation, self.scale * self.count, self.count == self.length, False, info

    def render(self):
        return np.full((2, 4, 3), self.count, np.uint8)


def ids(*values):
    return np.array(values, np.int64)


def seeds(*values):
    return np.array(values, np.uint64) << np.uint64(40)


def act(env, *env_id, action=0):
    return env.step(ids(*env_id), np.full(len(env_id), action))


def begun(make=Counting, num_envs=2, **settings):
    env = GymEnv(make, num_envs, GymSettings(**settings))
    everyone = range(num_envs)
    return env, env.reset(ids(*everyone), seeds(*everyone))


class TestAStep:
    def test_says_what_it_did_in_the_agreed_shapes_and_types(self):
        env, seen = begun()
        stepped = act(env, 0, 1)
        after = stepped.observed

        assert (env.spaces.frame_shape, env.spaces.kind, env.spaces.players) == ((2,), "vector", 1)
        assert (env.spaces.action.kind, env.spaces.action.size) == ("discrete", 3)
        for observed in (seen, after):
            assert (observed.observation.shape, observed.observation.dtype) == ((2, 2), np.float32)
            assert (observed.action_mask.shape, observed.action_mask.dtype) == ((2, 3), bool)
            assert (observed.to_play.tolist(), observed.to_play.dtype) == ([-1, -1], np.int8)
            assert observed.timestep.dtype == np.int64
        assert (seen.timestep.tolist(), after.timestep.tolist()) == ([0, 0], [1, 1])
        assert (stepped.reward.tolist(), stepped.reward.dtype) == ([1, 1], np.float32)
        assert (stepped.terminated.dtype, stepped.truncated.dtype) == (bool, bool)
        assert stepped.episode_return.dtype == np.float64

    def test_moves_only_the_environments_it_names_in_the_order_it_names_them(self):
        env, _ = begun(num_envs=3)
        act(env, 1)
        stepped = act(env, 2, 1)

        assert stepped.observed.env_id.tolist() == [2, 1]
        assert stepped.observed.observation[:, 0].tolist() == [1, 2]
        assert stepped.observed.timestep.tolist() == [1, 2]
        assert stepped.episode_return.tolist() == [1, 3]
        assert env.envs[0].actions == []

    def test_hands_each_environment_its_own_action(self):
        env, _ = begun()
        env.step(ids(1, 0), np.array([2, 1]))

        assert [one.actions for one in env.envs] == [[1], [2]]

    def test_leaves_what_was_handed_out_before_as_it_was(self):
        env, first = begun()
        second = act(env, 0, 1).observed
        act(env, 0, 1)

        assert first.observation[:, 0].tolist() == [0, 0]
        assert (second.observation[:, 0].tolist(), second.timestep.tolist()) == ([1, 1], [1, 1])


class TestEnds:
    def test_an_ended_episode_shows_its_final_observation_and_waits(self):
        env, _ = begun(lambda: Counting(length=2))
        act(env, 0)
        stepped = act(env, 0, 1)

        assert stepped.terminated.tolist() == [True, False]
        assert stepped.observed.observation[:, 0].tolist() == [2, 1]
        with pytest.raises(EnvError, match=r"Environments \[0\] of .* wait for a reset"):
            act(env, 0, 1)

    def test_an_environment_that_was_never_reset_cannot_be_stepped(self):
        env = GymEnv(Counting, 2, GymSettings())
        env.reset(ids(1), seeds(1))

        with pytest.raises(EnvError, match=r"Environments \[0\] of Counting wait for a reset"):
            act(env, 0, 1)

    def test_a_reset_starts_the_counters_of_its_environment_alone(self):
        env, _ = begun()
        act(env, 0, 1)
        seen = env.reset(ids(0), seeds(9))
        stepped = act(env, 0, 1)

        assert seen.timestep.tolist() == [0]
        assert stepped.observed.timestep.tolist() == [1, 2]
        assert stepped.episode_return.tolist() == [1, 3]

    def test_our_own_limit_truncates(self):
        env, _ = begun(max_episode_steps=2)
        act(env, 0, 1)
        stepped = act(env, 0, 1)

        assert (stepped.terminated.tolist(), stepped.truncated.tolist()) == (
            [False] * 2,
            [True] * 2,
        )

    def test_the_limit_of_the_id_truncates_and_can_be_overridden(self):
        longer, _ = begun("MountainCar-v0", num_envs=1, max_episode_steps=201)
        usual, _ = begun("MountainCar-v0", num_envs=1)
        for _ in range(199):
            assert not act(usual, 0).truncated[0]
        for _ in range(200):
            assert not act(longer, 0).truncated[0]

        assert act(usual, 0).truncated.tolist() == [True]
        assert act(longer, 0).truncated.tolist() == [True]
        assert usual.describe()["episode_limit"] == 200

    def test_who_ends_at_the_limit_has_terminated(self):
        env, _ = begun(lambda: Counting(length=2), max_episode_steps=2)
        act(env, 0, 1)
        stepped = act(env, 0, 1)

        assert (stepped.terminated.tolist(), stepped.truncated.tolist()) == (
            [True] * 2,
            [False] * 2,
        )


class TestSeeds:
    def test_an_episode_is_a_function_of_its_seed(self):
        env, _ = begun(num_envs=3)
        first = env.reset(ids(0, 1, 2), seeds(5, 6, 5)).observation[:, 1]
        act(env, 0, 1, 2)
        again = env.reset(ids(2), seeds(6)).observation[:, 1]

        assert first[0] == first[2] != first[1]
        assert again[0] == first[1]

    def test_the_largest_seed_is_taken(self):
        env, _ = begun(num_envs=1)

        seen = env.reset(ids(0), np.array([2**64 - 1], np.uint64))

        assert seen.env_id.tolist() == [0]
        assert seen.timestep.tolist() == [0]


class TestActionMasks:
    def test_come_from_info(self):
        env, seen = begun(lambda: Counting(masks=[[1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 1]]))

        assert seen.action_mask.tolist() == [[True, False, True]] * 2
        assert act(env, 0).observed.action_mask.tolist() == [[False, True, False]]

    def test_allow_everything_where_none_is_given(self):
        assert begun()[1].action_mask.all()

    def test_may_allow_nothing_once_the_episode_is_over(self):
        env, _ = begun(lambda: Counting(length=1, masks=[[1, 0, 0], [0, 0, 0]]))

        assert act(env, 0, 1).observed.action_mask.all()

    def test_that_allow_nothing_earlier_are_refused(self):
        env, _ = begun(lambda: Counting(masks=[[1, 0, 0], [0, 0, 0]]))

        with pytest.raises(EnvError, match=r"environment 1, after step 1\) allows no action"):
            act(env, 1)

    def test_that_are_missing_later_in_an_episode_are_refused(self):
        env, _ = begun(lambda: Counting(masks=[[1, 0, 0], None]))

        with pytest.raises(
            EnvError, match=r"after step 1\) gave no info\['action_mask'\], but did"
        ):
            act(env, 1)

    def test_may_be_missing_once_the_episode_is_over_and_in_the_next(self):
        env, _ = begun(lambda: Counting(length=2, masks=[[1, 0, 0], [1, 0, 0], None]))
        act(env, 0)
        act(env, 0)
        env.envs[0].masks = None
        env.reset(ids(0), seeds(3))

        assert act(env, 0).observed.action_mask.all()

    def test_of_another_size_are_refused(self):
        with pytest.raises(
            EnvError, match=r"action_mask'\] of shape \(2,\); expected \(3,\), one en"
        ):
            begun(lambda: Counting(masks=[[1, 1]]))

    def test_are_left_out_with_continuous_actions(self):
        env, seen = begun("Pendulum-v1")
        stepped = env.step(ids(0, 1), np.zeros((2, 1), np.float32))

        assert seen.action_mask is None
        assert stepped.observed.action_mask is None


class TestOutcomesOfChance:
    def test_come_from_the_info_of_resets_and_steps(self):
        env, seen = begun(lambda: Counting(outcomes=[3, np.int8(1), 0, 2]))
        stepped = act(env, 1)

        assert (seen.chance.tolist(), seen.chance.dtype) == ([3, 3], np.int64)
        assert stepped.observed.chance.tolist() == [1]
        assert act(env, 0, 1).observed.chance.tolist() == [1, 0]

    def test_are_none_where_nobody_tells_them(self):
        env, seen = begun()

        assert seen.chance is None
        assert act(env, 0).observed.chance is None

    @pytest.mark.parametrize("wrong", [1.0, -1, True, "heads", [1, 2]])
    def test_are_whole_numbers(self, wrong):
        env, _ = begun(lambda: Counting(outcomes=[0, wrong, 0]))

        with pytest.raises(EnvError, match=r"environment 1, .*\['chance'\]; expected a whole"):
            act(env, 1)

    def test_are_told_by_all_environments_or_by_none(self):
        made = iter([Counting(outcomes=[0, 0]), Counting()])

        with pytest.raises(EnvError, match=r"environment 1, .* gave None as info\['chance'\]"):
            begun(lambda: next(made))


class TestRewards:
    def test_learning_may_see_signs_while_the_return_stays_true(self):
        env, _ = begun(lambda: Counting(scale=-2.5), reward_clip=True)
        act(env, 0, 1)
        stepped = act(env, 0, 1)

        assert stepped.reward.tolist() == [-1, -1]
        assert stepped.episode_return.tolist() == [-7.5, -7.5]  # -2.5 and -5

    def test_are_not_clipped_unless_asked(self):
        env, _ = begun(lambda: Counting(scale=-2.5))

        assert act(env, 0).reward.tolist() == [-2.5]


class TestFrameSkip:
    def test_applies_an_action_exactly_that_often_and_adds_the_rewards(self):
        env, _ = begun(lambda: Counting(length=100), frame_skip=4)
        stepped = act(env, 0, action=2)

        assert env.envs[0].unwrapped.actions == [2, 2, 2, 2]
        assert stepped.reward.tolist() == [1 + 2 + 3 + 4]
        assert stepped.observed.observation[0, 0] == 4
        assert stepped.observed.timestep.tolist() == [1]

    def test_stops_where_the_episode_ends(self):
        env, _ = begun(lambda: Counting(length=3), frame_skip=4)
        stepped = act(env, 0)

        assert (stepped.reward.tolist(), stepped.terminated.tolist()) == ([6], [True])

    def test_is_off_unless_asked(self):
        env, _ = begun()
        act(env, 0)

        assert env.envs[0].actions == [0]

    def test_keeps_the_limit_of_the_id_in_frames(self):
        env, _ = begun("MountainCar-v0", num_envs=1, frame_skip=3)  # 200 frames: 67 steps
        for _ in range(66):
            assert not act(env, 0).truncated[0]

        assert act(env, 0).truncated.tolist() == [True]
        assert "time limit: 200 frames, kept by the environment" in env.describe()["adapters"]

    def test_our_own_limit_counts_steps(self):
        env, _ = begun("MountainCar-v0", num_envs=1, frame_skip=3, max_episode_steps=2)
        act(env, 0)

        assert act(env, 0).truncated.tolist() == [True]


class Lives(Counting):
    """Has three lives and loses one with every second step."""

    def _shown(self):
        observation, info = super()._shown()
        return observation, info | {"lives": 3 - self.count // 2}


class TestLives:
    def test_losing_one_ends_the_episode_if_so_set(self):
        env, _ = begun(lambda: Lives(length=6), episodic_life=True)
        ends = [act(env, 0).terminated[0], act(env, 0).terminated[0]]
        seen = env.reset(ids(0), seeds(3))

        assert ends == [False, True]
        assert seen.observation[0, 0] == 0  # a new game

    def test_losing_one_goes_on_otherwise(self):
        env, _ = begun(lambda: Lives(length=6))
        ends = [act(env, 0).terminated[0] for _ in range(6)]

        assert ends == [False] * 5 + [True]


class Failing(Counting):
    """Fails in a way that its test chooses."""

    def step(self, action):
        return self.outcome(*super().step(action))


def failing(outcome):
    env, _ = begun(Failing)
    for one in env.envs:
        one.outcome = outcome
    return env


class TestBrokenEnvironments:
    @pytest.mark.parametrize(
        ("outcome", "told"),
        [
            (lambda o, *_: 1 / 0, "failed in step: ZeroDivisionError: division by zero"),
            (lambda o, r, e, t, i: (o, r, e, i), "returned 4 values from step; expected"),
            (lambda *told: (*told[:-1], None), "returned the info None from step; expected a dict"),
            (lambda o, r, *rest: (o, None, *rest), "returned the reward None; expected a number"),
            (lambda o, r, *rest: (o * np.nan, r, *rest), "returned an observation that is not fin"),
            (
                lambda o, r, *rest: (o.astype(float) * 1e300, r, *rest),
                "returned an observation that is not",
            ),
            (lambda o, r, *rest: (o, np.inf, *rest), "returned a reward that is not finite"),
        ],
    )
    def test_are_named_with_what_they_did_and_where(self, outcome, told):
        with pytest.raises(EnvError, match=rf"^Failing \(environment 1, after step \d\) {told}"):
            act(failing(outcome), 1)

    def test_that_show_another_shape_are_refused(self):
        env = failing(lambda o, *rest: (o[:1], *rest))
        with pytest.raises(
            EnvError, match=r"declares observations of shape \(2,\), but returned \(1"
        ):
            act(env, 0)

    def test_that_fail_at_their_reset_are_named(self):
        env = GymEnv(Counting, 1)
        env.envs[0].reset = lambda: (np.zeros(2), {})
        with pytest.raises(EnvError, match=r"failed in reset: TypeError: .* 'seed'"):
            env.reset(ids(0), seeds(0))

    def test_whose_reset_is_of_the_older_gym_are_told_what_it_returns(self):
        env = GymEnv(Counting, 1)
        env.envs[0].reset = lambda **_: np.zeros(2)
        with pytest.raises(
            EnvError, match=r"returned ndarray from reset; expected \(observation, info\), as of"
        ):
            env.reset(ids(0), seeds(0))

    def test_whose_reset_gives_no_info_are_told_so(self):
        env = GymEnv(Counting, 1)
        env.envs[0].reset = lambda **_: (np.zeros(2), None)
        with pytest.raises(EnvError, match=r"info None from reset; expected a dict\. .* return {}"):
            env.reset(ids(0), seeds(0))

    @pytest.mark.parametrize("reward", [np.ones(2), "much"])
    def test_whose_reward_is_no_number_are_told_so(self, reward):
        env, _ = begun(num_envs=1)
        env.envs[0].step = lambda _: (np.zeros(2), reward, False, False, {})
        with pytest.raises(EnvError, match=r"returned the reward .*; expected a number\."):
            act(env, 0)


class TestPictures:
    def test_are_drawn_on_request(self):
        env, _ = begun(lambda: Counting(render_mode="rgb_array"))
        act(env, 1)

        assert env.render(1).shape == (2, 4, 3)
        assert env.render(1)[0, 0].tolist() == [1, 1, 1]

    def test_a_registered_environment_is_built_so_that_it_can_draw(self):
        env, _ = begun("FrozenLake-v1", num_envs=1)
        pytest.importorskip("pygame", reason='drawing needs pip install "lzcore[box2d]"')

        assert env.render(0).dtype == np.uint8

    def test_an_environment_that_cannot_draw_says_how_it_might(self):
        env, _ = begun()
        with pytest.raises(
            EnvError, match=r"draws no pictures .*None.*env\.kwargs\.render_mode = "
        ):
            env.render(0)

    def test_what_is_no_picture_is_refused(self):
        env, _ = begun(lambda: Counting(render_mode="rgb_array"))
        env.envs[0].render = lambda: np.zeros((2, 2))
        with pytest.raises(
            EnvError, match=r"drew an array of float64, shape \(2, 2\); expected uint8"
        ):
            env.render(0)


class TestTheAdaptersAlone:
    """For who plays in an environment of their own with what a run has learned."""

    def test_turn_a_raw_observation_into_a_frame(self):
        lake = GymEnv("FrozenLake-v1", 1)

        assert lake.frame(2).tolist() == [0, 0, 1] + [0] * 13

    def test_turn_decisions_into_raw_actions(self):
        pendulum = GymEnv("Pendulum-v1", 1)

        [action] = pendulum.raw_action(np.array([[0.5]], np.float32))

        assert action.tolist() == [1.0]

    def test_refuse_what_is_no_observation_of_the_environment(self):
        with pytest.raises(
            ShapeError, match=r"This is no observation of CartPole-v1: \w+.*; expected one of Box\("
        ):
            GymEnv("CartPole-v1", 1).frame(np.zeros(3))


@pytest.mark.parametrize(
    ("name", "size", "num_actions"),
    [
        ("CartPole-v1", 4, 2),
        ("Acrobot-v1", 6, 3),
        ("MountainCar-v0", 2, 3),
        ("FrozenLake-v1", 16, 4),
        ("LunarLander-v3", 8, 4),
    ],
)
def test_environments_work_by_name_and_repeat_their_episodes(name, size, num_actions):
    if name == "LunarLander-v3":
        pytest.importorskip("Box2D", reason='needs pip install "lzcore[box2d]"')
    env, _ = begun(name)
    drawn = np.random.default_rng(0).integers(num_actions, size=60)

    def episode():
        seen, told = env.reset(ids(0, 1), seeds(4, 4)), []
        for action in drawn:
            stepped = act(env, 0, 1, action=action)
            told.append((stepped.observed.observation.tolist(), stepped.reward.tolist()))
            if (stepped.terminated | stepped.truncated).any():
                break
        return seen.observation.tolist(), told

    first = episode()

    assert env.spaces.frame_shape == (size,)
    assert env.spaces.action.size == num_actions
    assert first[0][0] == first[0][1]  # two environments, one seed
    assert episode() == first
    env.close()


def test_what_is_in_force_is_told():
    env = GymEnv(
        "FrozenLake-v1", 1, GymSettings(frame_skip=2, episodic_life=True, reward_clip=True)
    )

    assert env.describe() == {
        "environment": f"FrozenLake-v1 (Gymnasium {gymnasium.__version__})",
        "observation_space": "Discrete(16)",
        "action_space": "Discrete(4)",
        "adapters": (
            "frame skip: each action is applied 2 times, rewards added",
            "lives: losing one ends the episode",
            "time limit: 100 frames, kept by the environment",
            "observations: Discrete(16) as 16 numbers of 0 or 1",
        ),
        "reward": "its sign",
        "episode_limit": None,
    }
