"""Each check of environments is kept by right ones, and broken by one wrong in just that."""

import attrs
import numpy as np
import pytest
from kit_fakes import MODULE, registry_of

from lzcore.envs.config import GameSettings
from lzcore.envs.games import GameEnv
from lzcore.envs.gym import GymEnv
from lzcore.registry import EnvSpec, get_registry
from lzcore.testing import environments
from lzcore.testing.kit import all_checks, checks_for, left_out
from lzcore.testing.noughts import Noughts
from lzcore.testing.subject import Subject


class NoughtsEnv(GameEnv):
    def __init__(self, make_id, num_envs, settings):
        super().__init__(Noughts(), num_envs, settings, name=make_id)


def subject_of(monkeypatch, env, config=GameSettings, example="tables/noughts"):
    spec = EnvSpec(
        name="tables",
        env=f"{MODULE}:Tables",
        config=f"{MODULE}:Config",
        summary="Games.",
        prefix="tables",
        example=example,
    )
    return Subject("tables", registry=registry_of(monkeypatch, spec, Tables=env, Config=config))


@pytest.mark.parametrize("check", all_checks("env"), ids=lambda check: check.name)
@pytest.mark.parametrize("name", ["gymnasium", "game"])
def test_the_cores_own_environments_keep_every_promise(name, check):
    check.function(Subject(name, "env", registry=get_registry()))


@pytest.mark.parametrize("check", all_checks("env"), ids=lambda check: check.name)
def test_an_environment_with_vectors_as_actions_keeps_them_too(check):
    check.function(Subject("gymnasium", "env", env="Pendulum-v1"))


@pytest.mark.parametrize("check", all_checks("env"), ids=lambda check: check.name)
def test_games_against_a_bot_keep_them_though_one_player_is_shown(check):
    check.function(Subject("game", "env", settings={"bot": "random"}))


class Alone(NoughtsEnv):
    def __init__(self, make_id, num_envs, settings):
        super().__init__(make_id, 1 if num_envs == 2 else num_envs, settings)


class Doubled(NoughtsEnv):
    """Shows a wider frame than it declares."""

    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        return shown._replace(observation=shown.observation.astype(np.float64))


class Loose(NoughtsEnv):
    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        return shown._replace(to_play=shown.to_play.astype(np.int64))


class Lost(NoughtsEnv):
    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        return shown._replace(env_id=np.sort(shown.env_id))


class Priceless(NoughtsEnv):
    def step(self, env_id, action):
        stepped = super().step(env_id, action)
        return stepped._replace(reward=stepped.reward.astype(np.float64))


class Linked(NoughtsEnv):
    """Shows in each environment how many are played with it."""

    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        return shown._replace(observation=shown.observation + np.float32(len(env_id) == 3))


class Unlimited(NoughtsEnv):
    def __init__(self, make_id, num_envs, settings):
        super().__init__(make_id, num_envs, attrs.evolve(settings, max_moves=None))


class Mute(NoughtsEnv):
    def describe(self):
        return {}


class Hidden(NoughtsEnv):
    def _observed(self, env_id, seen, over):
        return super()._observed(env_id, seen, over)._replace(states=None)


class Turned(NoughtsEnv):
    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        return shown._replace(to_play=3 - shown.to_play)


class Stale(NoughtsEnv):
    """Tells of positions that are not those that it shows."""

    def _observed(self, env_id, seen, over):
        shown = super()._observed(env_id, seen, over)
        old = np.fromiter([(1, 2, 0, 0, 0, 0, 0, 0, 0)] * len(env_id), object, len(env_id))
        return shown._replace(states=old)


e = environments
WRONG = [
    (e.check_its_settings_are_settings, Alone, "num_envs is 1 of a batch of 2"),
    (e.check_random_episodes_are_in_order, Doubled, "It shows float64 of shape"),
    (e.check_records_have_the_documented_types, Loose, r"to_play is int64 \[1, 1\]; expected int8"),
    (e.check_records_have_the_documented_types, Lost, r"environments \[0, 2\]; expected \[2, 0\]"),
    (e.check_records_have_the_documented_types, Priceless, "reward is float64 of shape"),
    (e.check_environments_of_a_batch_are_apart, Linked, "something else among others than alone"),
    (e.check_a_limit_truncates, Unlimited, "truncated is False after step 3 with max_moves = 3"),
    (e.check_it_is_described_in_plain_facts, Mute, r"describe\(\) returned {}; expected facts"),
    (e.check_positions_are_those_that_are_shown, Hidden, "some are None; expected all or none"),
    (e.check_positions_are_those_that_are_shown, Turned, "or another mover, than it shows"),
    (e.check_positions_are_those_that_are_shown, Stale, "sees other legal actions, or another"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_environment_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^env 'tables' on tables/noughts: .*{message}"):
        check(subject_of(monkeypatch, wrong))


def test_every_check_of_environments_has_one_that_fails_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("env")}


def test_a_config_that_is_no_settings_class_is_named(monkeypatch):
    with pytest.raises(AssertionError, match=r"config is <class 'dict'>; expected a class"):
        e.check_its_settings_are_settings(subject_of(monkeypatch, NoughtsEnv, config=dict))


def test_a_kind_without_an_example_is_told_to_name_one(monkeypatch):
    subject = subject_of(monkeypatch, GymEnv, example="")

    with pytest.raises(AssertionError, match="its spec has no example; expected an id that is qui"):
        e.check_its_settings_are_settings(subject)


def test_a_kind_whose_settings_limit_nothing_is_asked_for_no_limit(monkeypatch):
    @attrs.frozen(kw_only=True)
    class Free(GameSettings.__mro__[1]):
        """No setting at all."""

    subject = subject_of(monkeypatch, NoughtsEnv, config=Free)

    reason = "none of max_episode_steps, max_moves is a setting of it"
    assert left_out(subject) == {"check_a_limit_truncates": reason}
    assert len(checks_for(subject)) == len(list(all_checks("env"))) - 1
