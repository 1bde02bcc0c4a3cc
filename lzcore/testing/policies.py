"""What every policy promises before it learns: settings, modes, decisions, what it collects.

Shape letters: N environments, A actions, D numbers of a continuous action, L transitions.
"""

import random
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np
import torch

from lzcore.base.config import PolicySettings
from lzcore.base.env import Observed
from lzcore.base.errors import ConfigError
from lzcore.base.policy import Decisions, Policy
from lzcore.base.replay import Column, Segment
from lzcore.base.structure import paths_of
from lzcore.engine.layers import Layer, Stack, read_preset, whole_class
from lzcore.engine.settings import Resolved
from lzcore.registry import load
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.subject import Subject
from lzcore.testing.trial import NUM_ENVS, Trial, odd_spaces, same, same_segments

FIELDS = ("learn", "collect", "eval")
SHOWN = ("observation", "action_mask", "to_play", "timestep", "chance", "reward")


# --- what it says of itself -----------------------------------------------------------------------


@promise("policy")
def check_the_config_class_is_the_specs(subject: Subject) -> None:
    """The spec names `Policy.config_class`, and `default_config` makes one."""
    ours, named = subject.cls.config_class, load(subject.spec.config)  # type: ignore[union-attr]
    require(
        ours is named,
        f"its spec names the config {named.__name__}, and its config_class is {ours.__name__}; "
        "expected the same class.",
    )
    made = subject.cls.default_config()
    require(
        type(made) is ours,
        f"default_config() returned {type(made).__name__}; expected {ours.__name__}.",
    )


@promise("policy")
def check_settings_come_back_from_what_is_kept_of_them(subject: Subject) -> None:
    """Settings are the same after `to_dict` and `of`, and after the file of a run directory."""
    resolved = Trial.of(subject).resolved
    again = type(resolved.policy).of(resolved.policy.to_dict())
    _require_equal(resolved.policy, again, "to_dict and of")
    file = Resolved.from_toml(resolved.to_toml(), subject.registry)
    _require_equal(resolved.policy, file.policy, "config.toml")


def _require_equal(one: PolicySettings, other: PolicySettings, way: str) -> None:
    for name in one.keys():  # noqa: SIM118 (settings have keys and no iterator)
        require(
            one[name] == other[name],
            f"its setting {name} is {other[name]!r} after {way}; expected {one[name]!r}.",
        )


@promise("policy")
def check_every_setting_says_what_it_is(subject: Subject) -> None:
    """Each setting has a sentence of help."""
    for path, field in paths_of(subject.cls.config_class).items():
        text = field.metadata.get("help", "").strip()
        require(text, f"its setting {path} has no help; expected a sentence, see setting().")


@promise("policy")
def check_every_preset_can_be_used(subject: Subject) -> None:
    """Each preset has settings that exist, of the right type and range."""
    spec: Any = subject.spec
    if not spec.presets:
        return
    names = sorted(file.name for file in files(spec.presets).iterdir())
    for name in names:
        if name.endswith(".toml"):
            wrong = _wrong_preset(subject, name.removesuffix(".toml"))
            require(not wrong, f"its preset {name} cannot be used: {wrong}")


def _wrong_preset(subject: Subject, name: str) -> str:
    """Return what is wrong with a preset under every kind of environments; "" if nothing."""
    spec: Any = subject.spec
    wrong = ""
    for component in subject.registry.components("envs"):
        whole = whole_class(subject.cls.config_class, load(component.spec.config))
        try:
            _, values = read_preset(spec, name)  # type: ignore[misc]
            Stack.of(whole, [Layer(f"preset {name}", values)]).check()
        except ConfigError as err:
            wrong = wrong or in_one_line(err)
        else:
            return ""
    return wrong


@promise("policy")
def check_spaces_are_judged_in_one_line(subject: Subject) -> None:
    """`check_spaces` takes the environment's, and answers of any others with None or one line."""
    spaces = Trial.of(subject).spaces
    reason = subject.cls.check_spaces(spaces)
    require(reason is None, f"check_spaces refuses its environment ({reason}); expected None.")
    for odd in odd_spaces():
        reason = subject.cls.check_spaces(odd)
        is_line = isinstance(reason, str) and reason and "\n" not in reason
        require(
            reason is None or is_line,
            f"check_spaces answered {reason!r} of {odd.kind} observations and "
            f"{odd.action.kind} actions; expected None or one line of text.",
        )


# --- what it is made of ---------------------------------------------------------------------------


@promise("policy")
def check_modes_are_the_documented_tuples(subject: Subject) -> None:
    """Each mode is a namedtuple of the documented functions, which can be reset and described."""
    policy = Trial.of(subject).make()
    for field in FIELDS:
        found, wanted = getattr(policy, f"{field}_mode"), getattr(Policy, f"{field}_function")
        fields = getattr(type(found), "_fields", type(found).__name__)
        require(
            fields == wanted._fields,
            f"{field}_mode has {fields}; expected {wanted._fields}.",
        )
        found.reset(None)
        found.reset([0])
        require(
            found.get_attribute("cfg") is policy.cfg,
            f"{field}_mode.get_attribute('cfg') is not the policy's config; expected it.",
        )
    told = policy.learn_mode.info()
    require(isinstance(told, str), f"learn_mode.info() is a {type(told).__name__}; expected text.")


@promise("policy")
def check_any_modes_work_without_the_others(subject: Subject) -> None:
    """Under each choice of enable_field its modes work, and the others say what they are."""
    trial = Trial.of(subject)
    for count in (1, 2):
        for fields in combinations(FIELDS, count):
            policy = trial.make(enable_field=fields)
            for field in FIELDS:
                if field not in fields:
                    _require_refused(policy, field, fields)
                elif field != "learn":
                    trial.decide(policy, field, trial.seen(policy))


def _require_refused(policy: Policy, field: str, fields: tuple[str, ...]) -> None:
    try:
        getattr(policy, f"{field}_mode").forward({})
    except RuntimeError as err:
        require(
            field in str(err),
            f"its {field} mode, not enabled, raised {in_one_line(err)} Expected it to be named.",
        )
    else:
        raise AssertionError(
            f"its {field} mode answered with enable_field={fields}; expected a RuntimeError."
        )


@promise("policy")
def check_what_is_no_mode_or_no_model_is_refused(subject: Subject) -> None:
    """The error contract of the constructor."""
    trial = Trial.of(subject)
    wrong: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
        ({"enable_field": ["learn", "play"]}, ValueError),
        ({"model": "a network"}, RuntimeError),
    )
    for given, expected in wrong:
        try:
            trial.make(**given)
        except expected:
            continue
        raise AssertionError(f"{given} was taken; expected a {expected.__name__}.")


@promise("policy")
def check_a_given_model_is_used(subject: Subject) -> None:
    """A model that is handed over is the policy's, and no copy of it."""
    trial = Trial.of(subject)
    model = trial.make()._model
    require(
        trial.make(model=model)._model is model,
        "a model that was given is not the one it uses; expected that very module.",
    )


@promise("policy", left_out=lambda s: None if s.spec.default_model else "makes its own model")  # type: ignore[union-attr]
def check_the_default_model_can_be_found(subject: Subject) -> None:
    """`default_model` names a class that its modules define; a registered one is the same."""
    name, paths = Trial.of(subject).make().default_model()
    homes = [getattr(import_module(path), name, None) for path in paths]
    defined = next((home for home in homes if home is not None), None)
    require(defined, f"default_model() is {name!r}, which none of {paths} defines; expected one.")
    known = {c.name for c in subject.registry.components("models")}
    for wanted in {subject.spec.default_model, name} & known:  # type: ignore[union-attr]
        found = subject.registry.resolve("models", wanted)
        require(
            wanted != name or found is defined,
            f"default_model() is {name!r} of {paths}, and another class is registered under that "
            "name; expected the same.",
        )
    default = subject.spec.default_model  # type: ignore[union-attr]
    require(default in known, f"its spec's default_model {default!r} is not registered.")


@promise("policy")
def check_columns_are_declared_once_each(subject: Subject) -> None:
    """`columns` returns Columns of different names, the action among them."""
    columns = Trial.of(subject).columns(Trial.of(subject).make())
    names = [column.name for column in columns if isinstance(column, Column)]
    require(
        len(names) == len(columns) == len(set(names)),
        f"columns() has {names} for {len(columns)} entries; expected Columns of different names.",
    )
    for name in ("observation", "action", "reward"):
        require(name in names, f"columns() has no {name!r} among {names}; expected it.")


# --- what it decides ------------------------------------------------------------------------------


@promise("policy")
def check_decisions_have_the_declared_columns(subject: Subject) -> None:
    """For every environment one row, and in it each column that `columns` declares."""
    trial = Trial.of(subject)
    policy = trial.make()
    for mode in ("collect", "eval"):
        seen = trial.seen(policy, [2, 0, 3])
        found = trial.decide(policy, mode, seen)
        require(
            list(found) == [2, 0, 3],
            f"decisions of {mode} are for the environments {list(found)}; expected [2, 0, 3].",
        )
        _require_action(trial, mode, found)
        if mode == "collect":
            for column in trial.columns(policy):
                if column.name not in SHOWN and not column.in_hindsight:
                    _require_column(column, found)


def _require_action(trial: Trial, mode: str, found: Decisions) -> None:
    require("action" in found.columns, f"decisions of {mode} have no column 'action'.")
    action, size = found.columns["action"], trial.spaces.action.size
    shape: tuple[int, ...] = (len(found), size) if trial.is_continuous else (len(found),)
    kinds = "f" if trial.is_continuous else "i"
    require(
        action.shape == shape and action.dtype.kind in kinds,
        f"actions of {mode} are {action.dtype} of shape {action.shape}; expected "
        f"{'float32' if trial.is_continuous else 'int64'} of shape {shape}.",
    )
    low, high = (-1.0, 1.0) if trial.is_continuous else (0, size - 1)
    require(
        ((action >= low) & (action <= high)).all(),
        f"actions of {mode} are {short(action.tolist())}; expected numbers from {low} to {high}.",
    )
    for env_id, told in found.items():
        require(
            isinstance(told, Mapping) and "action" in told,
            f"the decision of environment {env_id} is {type(told).__name__}; expected a dict with "
            "'action'.",
        )


def _require_column(column: Column, found: Decisions) -> None:
    require(
        column.name in found.columns,
        f"it declares the column {column.name!r}, and decisions of collect have "
        f"{sorted(found.columns)}; expected it among them.",
    )
    shape = found.columns[column.name].shape
    require(
        shape == (len(found), *column.shape),
        f"it decides {column.name!r} of shape {shape}; expected {(len(found), *column.shape)}.",
    )


@promise("policy")
def check_actions_that_are_not_allowed_are_never_taken(subject: Subject) -> None:
    """In no mode, whatever little is allowed; checked in whole episodes and under narrow masks."""
    trial = Trial.of(subject)
    policy = trial.make()
    for mode in ("collect", "eval", "random"):
        for seen in _situations(trial, policy):
            try:
                found = trial.decide(policy, mode, seen)
            except NotImplementedError:  # a policy may have nothing to say at random
                continue
            _require_allowed(mode, seen, found.columns["action"])


def _situations(trial: Trial, policy: Policy) -> list[Observed]:
    """Return what may be seen, with narrow masks where the rules do not say what is allowed."""
    seen = trial.seen(policy)
    if seen.action_mask is None:
        return [seen]
    if policy.plans_with_rules:
        return [seen, *_later(trial, policy)]
    width = seen.action_mask.shape[1]
    rows = np.arange(NUM_ENVS)
    masks = np.zeros((width, NUM_ENVS, width), bool)
    for only, mask in enumerate(masks):
        mask[rows, (only + rows) % width] = True
    return [seen, *(seen._replace(action_mask=mask) for mask in masks)]


def _later(trial: Trial, policy: Policy) -> list[Observed]:
    """Return what games show after one, two and three random moves, as far as they go."""
    env, latest = trial.begun(policy)
    rng, found, playing = np.random.default_rng(0), [], np.arange(NUM_ENVS)
    for _ in range(3):
        mask = latest.observed(playing).action_mask
        assert mask is not None
        action = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
        stepped = env.step(playing, action)
        latest.follow(stepped.observed)
        playing = playing[~(stepped.terminated | stepped.truncated)]
        found += [latest.observed(playing)] if len(playing) else []
    return found


def _require_allowed(mode: str, seen: Observed, action: Any) -> None:
    if seen.action_mask is None:
        require((np.abs(action) <= 1).all(), f"{mode} decides {action}; expected -1 to 1.")
        return
    for row, allowed in enumerate(seen.action_mask):
        require(
            allowed[action[row]],
            f"{mode} took action {int(action[row])} where only "
            f"{np.flatnonzero(allowed).tolist()} are allowed; expected one of these.",
        )


@promise("policy")
def check_a_decision_depends_on_no_other_environment(subject: Subject) -> None:
    """The same decisions, whichever environments are ready and in whatever order."""
    trial = Trial.of(subject)
    for mode in ("collect", "eval"):
        whole, part = trial.make(), trial.make()
        together = trial.decide(whole, mode, _varied(trial, trial.seen(whole)))
        alone = trial.decide(part, mode, _varied(trial, trial.seen(part, [3, 1])))
        for name, values in alone.columns.items():
            expected = together.columns[name][[3, 1]]
            require(
                values.shape == expected.shape
                and np.allclose(values, expected, rtol=1e-3, atol=1e-4, equal_nan=True),
                f"{mode} decides {name!r} for the environments 3 and 1 alone as "
                f"{short(values.tolist())}, among all as {short(expected.tolist())}; expected the "
                "same.",
            )


def _varied(trial: Trial, seen: Observed) -> Observed:
    """Show vectors that differ more than first observations do; else what is there."""
    if trial.spaces.kind != "vector" or seen.states is not None:
        return seen
    rows = [
        np.random.default_rng(env_id).normal(size=seen.observation[0].shape)
        for env_id in seen.env_id.tolist()
    ]
    return seen._replace(observation=np.stack(rows).astype(seen.observation.dtype))


@promise("policy")
def check_decisions_are_a_function_of_seed_and_weights(subject: Subject) -> None:
    """Two policies of one seed decide the same, bit for bit, again and again."""
    trial = Trial.of(subject)
    for mode in ("collect", "eval"):
        one, other = trial.make(), trial.make()
        for turn in range(3):
            name = same(*(trial.decide(p, mode, trial.seen(p)) for p in (one, other)))
            require(
                not name,
                f"two policies of one seed differ in {name!r} at decision {turn} of {mode}; "
                "expected the same bits. Draw from streams of cfg.seed, from nothing else.",
            )


@promise("policy")
def check_deciding_draws_from_no_shared_generator(subject: Subject) -> None:
    """The global generators of Python, NumPy and torch stay where they were."""
    trial = Trial.of(subject)
    policy = trial.make()
    seen = trial.seen(policy)
    before = _generators()
    for mode in ("collect", "eval"):
        trial.decide(policy, mode, seen)
    for name, state in _generators().items():
        require(
            state == before[name],
            f"deciding drew from the global generator of {name}; expected streams of cfg.seed.",
        )


def _generators() -> dict[str, Any]:
    drawn = np.random.get_state(legacy=False)
    return {
        "Python": random.getstate(),
        "NumPy": repr(drawn),
        "torch": torch.get_rng_state().tolist(),
    }


# --- what it collects -----------------------------------------------------------------------------


@promise("policy")
def check_what_is_collected_fits_the_columns(subject: Subject) -> None:
    """Rows of whole episodes have the declared shapes and dtypes, in hindsight too."""
    trial = Trial.of(subject)
    policy = trial.make()
    for segment in trial.segments:
        for column in trial.columns(policy):
            found = segment.columns[column.name]
            expected = (segment.length + 1, *column.shape)
            require(
                found.shape == expected and found.dtype == column.dtype,
                f"its column {column.name!r} holds {found.dtype} of shape {found.shape}; expected "
                f"{column.dtype} of shape {expected}.",
            )
        _require_priority(segment)


def _require_priority(segment: Segment) -> None:
    given = segment.priority
    if given is not None:
        require(
            given.shape == (segment.length,) and np.isfinite(given).all() and (given > 0).all(),
            f"initial_priority returned {short(given.tolist())} for {segment.length} rows; "
            "expected as many finite numbers above 0.",
        )


@promise("policy")
def check_an_iteration_is_collected_alike_whatever_came_before(subject: Subject) -> None:
    """With equal weights, iteration 1 is the same with and without iteration 0 before it."""
    trial = Trial.of(subject)
    one, other = trial.make(), trial.make()
    trial.collect(one, 0)
    name = same_segments(trial.collect(one, 1), trial.collect(other, 1))
    require(
        not name,
        f"iteration 1 differs in {name!r} after an iteration 0; expected the same bits, or no run "
        "can be resumed. Begin every stream anew in begin_iteration, forget in reset.",
    )


@promise("policy")
def check_random_episodes_fit_the_columns(subject: Subject) -> None:
    """`decide_at_random` fills the columns too, or says that there is none."""
    trial = Trial.of(subject)
    policy = trial.make()
    try:
        segments = trial.collect(policy, mode="random")
    except NotImplementedError:
        wanted = policy.loop_settings().random_collect_episode_num
        require(wanted == 0, "random_collect_episode_num is above 0; expected decide_at_random.")
        return
    require(len(segments) >= NUM_ENVS, f"{len(segments)} random episodes; expected {NUM_ENVS}.")
