"""What `lz check-env` finds in sound and in broken environments."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from lzcore.base.env import ActionSpace, Observed, Spaces, Stepped
from lzcore.envs.check import examine, play, unlike_from
from lzcore.envs.games import GameEnv
from lzcore.envs.gym import GymEnv
from lzcore.testing.noughts import Noughts


class Walk(gymnasium.Env):
    """A sound environment: random numbers from its seed, `length` steps, the reward is one."""

    def __init__(self, length=5, limit=None):
        self.observation_space = spaces.Box(0, 1, (3,))
        self.action_space = spaces.Discrete(2)
        self.length, self.limit = length, limit

    def shown(self):
        return self.np_random.random(3, np.float32), {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.shown()

    def reward(self):
        return 1.0

    def step(self, action):
        self.count += 1
        observation, info = self.shown()
        ends = self.count == self.length, self.count == self.limit
        return observation, self.reward(), *ends, info


def found(cls, level, **given):
    report = examine(lambda: GymEnv(cls, 1, {"kwargs": given}))
    return [text for at, text in report.findings if at == level]


def test_a_sound_environment_is_told_as_it_is():
    report = examine(lambda: GymEnv(Walk, 1))

    assert report.wrong == 0
    assert report.facts == {
        "environment": f"Walk (Gymnasium {gymnasium.__version__})",
        "observation_space": "Box(0.0, 1.0, (3,), float32)",
        "action_space": "Discrete(2)",
        "adapters": "none",
        "reward": "as given",
        "episode_limit": "none",
        "policy sees": "vector (3,) float32",
        "policy gives": "one of 2",
        "random episodes": "5 steps, 5 steps, 5 steps (the first seed again)",
        "returns": "5, 5, 5 (the first seed again)",
        "reward of a step": "always 1",
        "ends": "3 terminated, 0 truncated",
        "legal actions": "always 2",
    }
    assert [level for level, _ in report.findings] == ["ok", "ok", "note"]
    assert "Random episodes all returned 5" in report.findings[2].text


def test_games_for_two_that_end_alike_are_not_said_to_teach_nothing():
    alike = [seed for seed in range(20) if len(set(returns_of(Noughts(), seed))) == 1]
    assert alike

    report = examine(lambda: GameEnv(Noughts(), 1), alike[0])

    assert report.facts["returns"].startswith("of the first player: ")
    assert [level for level, _ in report.findings] == ["ok", "ok", "note"]
    assert report.findings[2].text == "Another seed starts in the same state."


def returns_of(simulator, seed):
    return [play(GameEnv(simulator, 1), s, 100).total for s in (seed, seed + 1)]


class Overpaid(Noughts):
    """Noughts whose values are `at_end` times as large, and `early` in running games."""

    def __init__(self, at_end=1.0, early=0.0):
        super().__init__()
        self.at_end, self.early = at_end, early

    def look(self, states):
        seen = super().look(states)
        early = np.where(seen.to_play == 1, self.early, -self.early)
        value = np.where(seen.terminal, self.at_end * seen.value, early)
        return seen._replace(value=value)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, []),
        ({"at_end": 2.0}, ["2 at the end of a game"]),
        ({"early": 0.5}, ["0.5 before the end of a game"]),
    ],
)
@pytest.mark.parametrize("bot", [None, "random"])
def test_a_game_for_two_whose_rewards_are_none_of_a_game_is_wrong(given, wrong, bot):
    report = examine(lambda: GameEnv(Overpaid(**given), 1, {"bot": bot} if bot else {}), 1)

    told = [text for level, text in report.findings if level == "wrong"]
    form = r"It gives a reward of -?(.*); expected 1, 0 or -1 at the end and 0 before\. Mend .*"
    assert [re.fullmatch(form, text)[1] for text in told] == wrong
    assert report.has_rules


def test_truncated_episodes_are_told_apart():
    report = examine(lambda: GymEnv(Walk, 1, {"kwargs": {"limit": 3}}))

    assert report.facts["ends"] == "0 terminated, 3 truncated"


def test_action_masks_are_counted():
    class Masked(Walk):
        def shown(self):
            return super().shown()[0], {"action_mask": np.array([1, self.count % 2], np.int8)}

    report = examine(lambda: GymEnv(Masked, 1))

    assert (report.wrong, report.facts["legal actions"]) == (0, "1 .. 2")


def test_continuous_actions_are_played_too():
    report = examine(lambda: GymEnv("Pendulum-v1", 1))

    assert report.wrong == 0
    assert (report.facts["legal actions"], report.facts["policy gives"]) == ("all", "(1,) float32")
    assert "actions: scaled from (-1, 1) to -2 .. 2" in report.facts["adapters"]


def test_an_environment_that_draws_from_elsewhere_is_found_out():
    drawn = np.random.default_rng(0)

    class Stray(Walk):
        def shown(self):
            noise = drawn.random(dtype=np.float32) if self.count == 2 else 0
            return super().shown()[0] * 0.5 + noise / 2, {}

    [wrong] = found(Stray, "wrong")
    assert wrong.startswith(
        "The same seed and actions differ in a second instance, from step 2 on."
    )
    assert "Draw from self.np_random" in wrong


def test_an_environment_that_remembers_earlier_episodes_is_found_out():
    class Remembers(Walk):
        episodes = 0

        def reset(self, **given):
            self.episodes += 1
            return super().reset(**given)

        def reward(self):
            return float(self.episodes)

    [wrong] = found(Remembers, "wrong")
    assert wrong.startswith(
        "The same seed and actions differ after another episode, from step 1 on"
    )


def test_an_environment_whose_episodes_differ_in_length_is_found_out():
    class Shrinks(Walk):
        made = 0

        def __init__(self):
            type(self).made += 1
            super().__init__(length=6 - self.made)

    [wrong] = found(Shrinks, "wrong")
    assert "differ in a second instance, from step 4 on" in wrong


def test_an_environment_that_ignores_its_seed_at_the_start_is_noted():
    class Alike(Walk):
        def shown(self):
            return np.zeros(3, np.float32), {}

    assert "Another seed starts in the same state." in found(Alike, "note")


def test_an_environment_that_never_ends_is_noted():
    report = examine(lambda: GymEnv(Walk, 1, {"kwargs": {"length": 0}}), max_steps=7)

    assert report.facts["ends"] == "0 terminated, 0 truncated"
    assert any(
        text.startswith("No episode ended within 7 steps.") and "env.max_episode_steps" in text
        for _, text in report.findings
    )


def test_a_failing_environment_is_reported_and_not_raised():
    class Fails(Walk):
        def reward(self):
            return {}["reward"]

    report = examine(lambda: GymEnv(Fails, 1))

    assert report.wrong == 1
    assert "Fails (environment 0, after step 0) failed in step: KeyError: 'reward'" in str(report)
    assert "returns" not in report.facts


def test_numbers_that_are_not_finite_are_reported():
    class Nan(Walk):
        def reward(self):
            return float("nan")

    assert "returned a reward that is not finite" in found(Nan, "wrong")[0]


@pytest.mark.parametrize(
    ("shown", "note"),
    [
        (
            lambda x: x.astype(np.float64),
            r"It shows an array of float64; it declares an array of float32\. It is conv",
        ),
        (lambda x: x.tolist(), r"It shows a list; it declares an array of float32\. It is conv"),
        (lambda x: x + 2, r"It shows 2\.\d+ at \(0,\), where it declares 0 \.\. 1\.$"),
    ],
)
def test_an_observation_that_is_not_as_declared_is_noted(shown, note):
    class Sloppy(Walk):
        def shown(self):
            return shown(super().shown()[0]), {}

    [told] = [text for text in found(Sloppy, "note") if text.startswith("It shows")]
    assert re.match(note, told)
    assert found(Sloppy, "wrong") == []


@pytest.mark.parametrize(
    ("step", "told"),
    [(1, "declares observations of Discrete(2), but returned [2]"), (-1, "It shows -1, which is")],
)
def test_an_observation_outside_a_discrete_space_is_reported(step, told):
    class Outside(Walk):
        def __init__(self):
            super().__init__(length=2)
            self.observation_space = spaces.Discrete(2)

        def shown(self):
            return self.count * step, {}

    [wrong] = found(Outside, "wrong")
    assert told in wrong


def test_returns_of_another_type_are_noted():
    class Typed(Walk):
        def reward(self):
            return "1"

        def step(self, action):
            observation, reward, terminated, truncated, info = super().step(action)
            return observation, reward, int(terminated), truncated, info

    notes = found(Typed, "note")
    assert "Its reward is a str; a float is expected." in notes
    assert "terminated and truncated are not both bool." in notes


class Liar:
    """An Env of a plugin whose observations are not what its spaces say."""

    num_envs = 1
    spaces = Spaces(
        frame_shape=(2,),
        frame_dtype=np.dtype(np.float32),
        kind="vector",
        action=ActionSpace("discrete", 2),
    )

    def __init__(self, observation, mask, timestep):
        one = np.zeros(1, np.int64)
        self.seen = Observed(one, observation, mask, np.full(1, -1, np.int8), one + timestep)

    def reset(self, env_id, seeds):
        return self.seen

    def step(self, env_id, action):
        yes = np.ones(1, bool)
        return Stepped(self.seen, np.ones(1, np.float32), yes, ~yes, np.ones(1))

    def describe(self):
        return {"environment": "liar", "adapters": ("a", "b")}

    def close(self):
        self.closed = True


GOOD = np.zeros((1, 2), np.float32)
ALL = np.ones((1, 2), bool)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (
            (GOOD.astype(float), ALL, 0),
            "It shows float64 of shape (1, 2); its spaces say float32 of",
        ),
        (
            (GOOD[:, :1], ALL, 0),
            "It shows float32 of shape (1, 1); its spaces say float32 of shape ",
        ),
        ((GOOD * np.nan, ALL, 0), "It shows numbers that are not finite."),
        ((GOOD, np.ones((1, 3), bool), 0), "Its action mask has shape (1, 3); expected (1, 2)."),
        ((GOOD, ~ALL, 0), "Its action mask allows nothing."),
        ((GOOD, ALL, 4), "Its timestep is 4 after 0 steps."),
    ],
)
def test_an_env_of_any_kind_is_held_to_its_spaces(given, wrong):
    env = Liar(*given)
    if "nothing" in wrong:
        env.seen = env.seen._replace(action_mask=ALL)
        env.step = lambda *_: Stepped(
            env.seen._replace(action_mask=~ALL), GOOD[0, :1], ALL[0, :1], ~ALL[0, :1], GOOD[0, :1]
        )
    report = examine(lambda: env)

    assert any(at == "wrong" and text.startswith(wrong) for at, text in report.findings)
    assert report.facts["adapters"] == "a; b"
    assert env.closed


# --- a short look ---------------------------------------------------------------------------------


class Tires(Walk):
    """Shows another number from its third step on, once it has played two episodes."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        return super().reset(seed=seed)

    def shown(self):
        seen, info = super().shown()
        return seen * (0.5 if self.resets > 2 and self.count >= 3 else 1.0), info


def test_the_step_is_told_from_which_on_the_same_episode_differs():
    assert unlike_from(GymEnv(Walk, 2)) is None
    assert unlike_from(GymEnv(Tires, 2)) == 3
    assert unlike_from(GymEnv(Tires, 2), max_steps=2) is None


def test_an_episode_that_ends_sooner_the_second_time_differs_from_its_end():
    class Shortens(Walk):
        def reset(self, *, seed=None, options=None):
            self.length -= 1
            return super().reset(seed=seed)

    assert unlike_from(GymEnv(Shortens, 1)) == 2  # they have 4, 3 and 2 steps
