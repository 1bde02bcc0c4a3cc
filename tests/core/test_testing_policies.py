"""Each check of policies is kept by a right one, and broken by one that is wrong in just that."""

import itertools

import attrs
import numpy as np
import pytest
import torch
from engine_fakes import Line, TinyConfig, TinyPolicy
from kit_fakes import MODULE, GoodPolicy, registry_of

from lzcore.base import Column, Decisions, Policy, setting
from lzcore.base.errors import ReplayError
from lzcore.registry import BufferSpec, ModelSpec, PolicySpec
from lzcore.replay import ReplayBuffer
from lzcore.testing import policies, policies_learning
from lzcore.testing.kit import all_checks, checks_for, left_out
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, policy, config=TinyConfig, model=None, **given):
    """The policy as the component `fake` of a distribution."""
    given = {"name": "fake", "summary": "Fakes.", **given}
    spec = PolicySpec(policy=f"{MODULE}:Fake", config=f"{MODULE}:Config", **given)
    specs = [spec]
    if model is not None:
        specs.append(ModelSpec(name="Line", model=f"{MODULE}:Model", summary="A line."))
    registry = registry_of(monkeypatch, *specs, Fake=policy, Config=config, Model=model)
    return Subject("fake", registry=registry)


@pytest.mark.parametrize("check", all_checks("policy"), ids=lambda check: check.name)
def test_a_right_policy_keeps_every_promise(monkeypatch, check):
    subject = subject_of(monkeypatch, GoodPolicy, model=Line, default_model="Line")
    check.function(subject.with_settings(buffer_reanalyze_freq=1.0))


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        (
            "learn",
            "forward reset info monitor_vars get_attribute set_attribute state_dict "
            "load_state_dict",
        ),
        (
            "collect",
            "forward process_transition get_train_sample reset get_attribute set_attribute "
            "state_dict load_state_dict",
        ),
        ("eval", "forward reset get_attribute set_attribute state_dict load_state_dict"),
    ],
)
def test_the_modes_that_policies_are_held_to_are_the_documented_ones(mode, fields):
    assert getattr(Policy, f"{mode}_function")._fields == tuple(fields.split())


# --- policies that are wrong in one thing ---------------------------------------------------------


class OtherConfig(TinyConfig):
    """Not the one that the spec names."""


class WrongSpaces(GoodPolicy):
    @classmethod
    def check_spaces(cls, spaces):
        return "it sees\nnothing" if spaces.kind == "image" else None


class NoTuple(GoodPolicy):
    @property
    def learn_mode(self):
        return tuple(super().learn_mode)


class NothingRefused(GoodPolicy):
    def _guarded(self, field, method):
        return lambda *_, **__: None if field not in self._enabled else method(*_, **__)


class AllFields(GoodPolicy):
    def __init__(self, cfg, model=None, enable_field=None):
        super().__init__(cfg, model, set(enable_field or self.total_field) & self.total_field)


class OwnModel(GoodPolicy):
    def _create_model(self, cfg, model):
        return Line(cfg.width)

    def default_model(self):
        return "Curve", ["engine_fakes"]


class Twice(GoodPolicy):
    @classmethod
    def columns(cls, cfg, spaces):
        return (*super().columns(cfg, spaces), Column("odds", (), np.float32))


class Forgetful(GoodPolicy):
    def _forward_collect(self, data, **given):
        found = super()._forward_collect(data, **given)
        return Decisions(found.env_id, {"action": found.columns["action"]})


class Crowded(GoodPolicy):
    def _odds(self, data):
        odds = super()._odds(data)
        return odds + odds.mean()


class Counting(GoodPolicy):
    counter = itertools.count()

    def _odds(self, data):
        return super()._odds(data) + 1e-3 * next(self.counter)


class Global(GoodPolicy):
    def _odds(self, data):
        np.random.random()
        return super()._odds(data)


class Worthless(GoodPolicy):
    def initial_priority(self, segment):
        return np.zeros(segment.length)


class Endless(GoodPolicy):
    def begin_iteration(self, iteration):
        """The stream goes on."""


class Speechless(GoodPolicy):
    def decide_at_random(self, seen):
        return Decisions(seen.env_id, {"action": np.zeros(len(seen.env_id), np.int64)})


class Silent(GoodPolicy):
    def _monitor_vars_learn(self):
        return ["total_loss", "entropy"]


class NoPriorities(GoodPolicy):
    def _forward_learn(self, data):
        told = super()._forward_learn(data)
        del told["value_priority_orig"]
        return told


class Certain(GoodPolicy):
    """Thinks that some rows need never be drawn again."""

    def _forward_learn(self, data):
        told = super()._forward_learn(data)
        return {**told, "value_priority_orig": 0.0 * told["value_priority_orig"]}


class Stubborn(GoodPolicy):
    def _init_learn(self):
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.0)


class Objects(GoodPolicy):
    def _state_dict_learn(self):
        return {**super()._state_dict_learn(), "stream": self._stream}


class Uncounted(GoodPolicy):
    def _load_state_dict_learn(self, state_dict):
        super()._load_state_dict_learn({**state_dict, "steps": 0})


class Oblivious(GoodPolicy):
    """Decides by how long an episode goes on, and keeps that to itself."""

    def _init_collect(self):
        self._turns = np.zeros(9)

    def _reset_collect(self, data_id=None):
        self._turns[slice(None) if data_id is None else data_id] = 0.0

    def _forward_collect(self, data, ready_env_id, **given):
        found = super()._forward_collect(data, ready_env_id=ready_env_id, **given).columns
        self._turns[ready_env_id] += 1.0
        return Decisions(ready_env_id, {**found, "odds": found["odds"] + self._turns[ready_env_id]})


class Clingy(Oblivious):
    """Wants what it remembers of running episodes to be kept as it is."""

    def _state_dict_collect(self):
        return {**super()._state_dict_collect(), **({"turns": self} if self._turns.any() else {})}


class NoMomentum(GoodPolicy):
    def _load_state_dict_learn(self, state_dict):
        self._model.load_state_dict(state_dict["model"])


class Unloaded(GoodPolicy):
    def _load_state_dict_eval(self, state_dict):
        """Plays with the first weights."""


class NotANumber(GoodPolicy):
    def reanalyze(self, windows):
        return {"evaluations": np.nan}

    def loop_settings(self):
        return attrs.evolve(super().loop_settings(), buffer_reanalyze_freq=1.0)


first, later = policies, policies_learning
WRONG = [
    (first.check_the_config_class_is_the_specs, OtherConfig, "the config TinyConfig, and its conf"),
    (first.check_spaces_are_judged_in_one_line, WrongSpaces, r"'it sees\\nnothing' of image obs"),
    (first.check_modes_are_the_documented_tuples, NoTuple, "learn_mode has tuple; expected"),
    (first.check_any_modes_work_without_the_others, NothingRefused, "collect mode answered with"),
    (first.check_what_is_no_mode_or_no_model_is_refused, AllFields, r"'play'\]} was taken; expect"),
    (first.check_a_given_model_is_used, OwnModel, "a model that was given is not the one it uses"),
    (first.check_columns_are_declared_once_each, Twice, "'odds'.* for 8 entries; expected Columns"),
    (first.check_decisions_have_the_declared_columns, Forgetful, "declares the column 'odds', and"),
    (first.check_actions_that_are_not_allowed_are_never_taken, TinyPolicy, r"where only \[[01]\]"),
    (
        first.check_a_decision_depends_on_no_other_environment,
        Crowded,
        "'odds' for the environments",
    ),
    (first.check_decisions_are_a_function_of_seed_and_weights, Counting, "'odds' at decision 0 of"),
    (first.check_deciding_draws_from_no_shared_generator, Global, "the global generator of NumPy"),
    (first.check_what_is_collected_fits_the_columns, Worthless, "expected as many finite numbers"),
    (first.check_an_iteration_is_collected_alike_whatever_came_before, Endless, "iteration 1 diff"),
    (first.check_random_episodes_fit_the_columns, Speechless, "declares the column 'odds', but"),
    (later.check_a_learn_step_tells_its_metrics, Silent, r"told nothing of \['entropy'\], which"),
    (later.check_a_learn_step_tells_its_metrics, NoPriorities, "it draws by priority, and a learn"),
    (later.check_a_learn_step_tells_its_metrics, Certain, r"as \[0\.0, .*; expected \d finite num"),
    (later.check_learning_changes_the_weights, Stubborn, "four learn steps changed no parameter"),
    (later.check_states_are_plain_data_that_come_back, Objects, r"\['stream'\] is a lzcore.base"),
    (later.check_states_are_plain_data_that_come_back, Clingy, r"\['turns'\] is a .*Clingy"),
    (later.check_learning_goes_on_exactly_from_its_states, Oblivious, "collect differs in 'odds'"),
    (later.check_states_are_plain_data_that_come_back, Uncounted, r"another at state\['steps'\]"),
    (later.check_learning_goes_on_exactly_from_its_states, NoMomentum, "were loaded a learn step"),
    (later.check_what_was_learned_can_be_played_alone, Unloaded, "loaded the eval state differs"),
    (
        later.check_old_positions_can_be_reanalyzed,
        NotANumber,
        "reanalyze told 'evaluations' as nan",
    ),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_policy_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    if wrong is OtherConfig:
        wrong = type("Elsewhere", (GoodPolicy,), {"config_class": OtherConfig})
    subject = subject_of(monkeypatch, wrong)

    with pytest.raises(AssertionError, match=rf"^policy 'fake' on CartPole-v1: .*{message}"):
        check(subject)


@attrs.frozen(kw_only=True)
class Rounded(TinyConfig):
    def to_dict(self, *, documented=False):
        return {**super().to_dict(documented=documented), "learning_rate": 0.5}


@attrs.frozen(kw_only=True)
class Unexplained(TinyConfig):
    depth: int = setting(3, " ")


@pytest.mark.parametrize(
    ("check", "config", "message"),
    [
        (
            first.check_settings_come_back_from_what_is_kept_of_them,
            Rounded,
            r"its setting learning_rate is 0\.5 after to_dict and of; expected 0\.1",
        ),
        (first.check_every_setting_says_what_it_is, Unexplained, "its setting depth has no help"),
    ],
)
def test_wrong_settings_are_named(monkeypatch, check, config, message):
    policy = type("Configured", (GoodPolicy,), {"config_class": config})

    with pytest.raises(AssertionError, match=message):
        check(subject_of(monkeypatch, policy, config))


@pytest.mark.parametrize(
    ("policy", "model", "message"),
    [
        (OwnModel, Line, "'Curve', which none of .* defines; expected one"),
        (GoodPolicy, TinyPolicy, "another class is registered under that name"),
        (GoodPolicy, None, "default_model 'Line' is not registered"),
    ],
)
def test_a_default_model_that_cannot_be_found_is_named(monkeypatch, policy, model, message):
    subject = subject_of(monkeypatch, policy, model=model, default_model="Line")

    with pytest.raises(AssertionError, match=message):
        first.check_the_default_model_can_be_found(subject)


def test_a_preset_that_cannot_be_used_is_named_with_its_key(monkeypatch, tmp_path):
    package = tmp_path / "wrong_presets"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "vector.toml").write_text("batch_sise = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    subject = subject_of(monkeypatch, GoodPolicy, presets="wrong_presets")

    with pytest.raises(
        AssertionError, match=r"vector\.toml cannot be used: batch_sise.*batch_size"
    ):
        first.check_every_preset_can_be_used(subject)


class Miserly(ReplayBuffer):
    def sample(self, batch_size, policy):
        raise ReplayError("nothing is handed out.")


def test_a_policy_is_tried_with_the_buffer_that_its_preset_names(monkeypatch, tmp_path):
    package = tmp_path / "miserly_presets"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "vector.toml").write_text('[run]\nbuffer = "miserly"\n')
    monkeypatch.syspath_prepend(tmp_path)
    where = {"policy": f"{MODULE}:Fake", "config": f"{MODULE}:TinyConfig"}
    registry = registry_of(
        monkeypatch,
        PolicySpec(name="fake", summary="Fakes.", presets="miserly_presets", **where),
        BufferSpec(name="miserly", summary="Keeps all.", buffer=f"{MODULE}:Miserly"),
        Fake=GoodPolicy,
        Miserly=Miserly,
    )

    with pytest.raises(AssertionError, match=r"by ReplayError: nothing is handed out\. "):
        later.check_learning_changes_the_weights(Subject("fake", registry=registry))


def test_every_check_of_policies_has_a_policy_that_fails_it():
    tested = {check.__name__ for check, *_ in WRONG} | {
        "check_settings_come_back_from_what_is_kept_of_them",
        "check_every_setting_says_what_it_is",
        "check_the_default_model_can_be_found",
        "check_every_preset_can_be_used",
    }

    assert tested == {check.name for check in all_checks("policy")}


def test_checks_that_do_not_concern_a_policy_are_left_out(monkeypatch):
    class Plain(GoodPolicy):
        reanalyze = TinyPolicy.__mro__[1].reanalyze

    names = {check.name for check in checks_for(subject_of(monkeypatch, Plain))}

    assert not names & {
        "check_the_default_model_can_be_found",
        "check_old_positions_can_be_reanalyzed",
    }
    assert len(names) == len(list(all_checks("policy"))) - 2
    asking_for_none = subject_of(monkeypatch, GoodPolicy)
    assert "check_old_positions_can_be_reanalyzed" in left_out(asking_for_none)
