"""What every policy promises of learning: what a step tells, states that go on, reanalysis.

Shape letters: B sampled positions.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lzcore.base.env import Observed
from lzcore.base.policy import Policy
from lzcore.engine.answers import PRIORITY
from lzcore.testing.promises import promise, require, short
from lzcore.testing.subject import Subject
from lzcore.testing.trial import Trial, same, saved

MODES = ("learn", "collect", "eval")


@promise("policy")
def check_a_learn_step_tells_its_metrics(subject: Subject) -> None:
    """A finite number under every name of `monitor_vars`, and priorities if rows have them."""
    trial = Trial.of(subject)
    policy = trial.make()
    told = trial.learn(policy, trial.batch(policy))[0]
    named = policy.learn_mode.monitor_vars()
    missing = [name for name in named if name not in told]
    require(
        not missing,
        f"a learn step told nothing of {missing}, which monitor_vars names; expected numbers.",
    )
    for name, value in told.items():
        if name != PRIORITY:
            require(
                np.ndim(value) == 0 and math.isfinite(value),
                f"a learn step told {name!r} as {short(value)}; expected a finite number.",
            )
    require(any(name.endswith("loss") for name in told), f"no loss among {list(told)}.")
    if policy.replay_settings().use_priority:
        _require_priorities(told, trial.batch_size(policy))


def _require_priorities(told: Mapping[str, Any], size: int) -> None:
    require(
        PRIORITY in told,
        f"it draws by priority, and a learn step told only {list(told)}; expected {PRIORITY!r}.",
    )
    found = np.asarray(told[PRIORITY])
    require(
        found.shape == (size,) and np.isfinite(found).all() and (found > 0).all(),
        f"a learn step told {PRIORITY!r} as {short(found.tolist())}; expected {size} finite "
        "numbers above 0.",
    )


@promise("policy")
def check_learning_changes_the_weights(subject: Subject) -> None:
    """After a few learn steps some parameter is another."""
    trial = Trial.of(subject)
    policy = trial.make()
    before = [p.detach().clone() for p in policy._model.parameters()]
    trial.learn(policy, trial.batch(policy), steps=4)
    after = policy._model.parameters()
    require(
        any((old != new).any() for old, new in zip(before, after, strict=True)),
        "four learn steps changed no parameter of its model; expected another one.",
    )


@promise("policy")
def check_states_are_plain_data_that_come_back(subject: Subject) -> None:
    """Each mode's state is of plain data, and a policy that loads it has the same state."""
    trial = Trial.of(subject)
    one, other = trial.make(), trial.make()
    trial.iterate(one, trial.batch(one))
    for mode in MODES:
        state = saved(getattr(one, f"{mode}_mode").state_dict())
        getattr(other, f"{mode}_mode").load_state_dict(state)
        again = saved(getattr(other, f"{mode}_mode").state_dict())
        where = _difference(state, again)
        require(
            not where,
            f"the state of its {mode} mode is another at {where} once it was loaded; expected "
            "the same.",
        )


def _difference(one: Any, other: Any, path: str = "state") -> str:
    """Return where two nests of plain data differ; "" if nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return f"{path} (keys)"
        parts = [(one[key], other[key], f"{path}[{key!r}]") for key in one]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return f"{path} (length)"
        parts = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return "" if _is_same(one, other) else path
    return next((found for part in parts if (found := _difference(*part))), "")


def _is_same(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    floats = a.dtype.kind == b.dtype.kind == "f"
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=floats)


@promise("policy")
def check_learning_goes_on_exactly_from_its_states(subject: Subject) -> None:
    """A policy that loads another's states learns and decides like it, bit for bit."""
    trial = Trial.of(subject)
    one, other = trial.make(), trial.make()
    data = trial.batch(one)
    seen = trial.iterate(one, data)
    _load(other, one)
    if len(seen.env_id):
        _require_same_decisions(trial, "collect", seen, one, other)
    ours, theirs = (trial.learn(policy, data, steps=2) for policy in (one, other))
    for expected, told in zip(ours, theirs, strict=True):
        for name in expected:
            require(
                np.array_equal(expected[name], told[name]),
                f"after its states were loaded a learn step told {name!r} as {short(told[name])}; "
                f"expected {short(expected[name])}, as without a break.",
            )
    _require_same_decisions(trial, "eval", trial.seen(one), one, other)


def _require_same_decisions(
    trial: Trial, mode: str, seen: Observed, one: Policy, other: Policy
) -> None:
    """Compare what two policies decide in the next iteration."""
    for policy in (one, other):
        policy.begin_iteration(1)
    name = same(*(trial.decide(policy, mode, seen) for policy in (one, other)))
    require(not name, f"after its states were loaded {mode} differs in {name!r}; expected no bit.")


def _load(other: Policy, one: Policy) -> None:
    for mode in MODES:
        state = saved(getattr(one, f"{mode}_mode").state_dict())
        getattr(other, f"{mode}_mode").load_state_dict(state)


@promise("policy")
def check_what_was_learned_can_be_played_alone(subject: Subject) -> None:
    """A policy with eval alone, and the eval state of a learner, decides like the learner."""
    trial = Trial.of(subject)
    one, other = trial.make(), trial.make(enable_field=["eval"])
    trial.iterate(one, trial.batch(one))
    other.eval_mode.load_state_dict(saved(one.eval_mode.state_dict()))
    name = same(*(trial.decide(p, "eval", trial.seen(p)) for p in (one, other)))
    require(not name, f"a policy that loaded the eval state differs in {name!r}; expected no bit.")


def _does_not_reanalyze(subject: Subject) -> str | None:
    if subject.cls.reanalyze is Policy.reanalyze:
        return "it has nothing to reanalyze"
    if not Trial.of(subject).make().loop_settings().buffer_reanalyze_freq:
        return "with these settings it asks for no reanalysis"
    return None


@promise("policy", left_out=_does_not_reanalyze)
def check_old_positions_can_be_reanalyzed(subject: Subject) -> None:
    """Under settings that ask for it, `reanalyze` takes what `revisit` draws and tells numbers."""
    trial = Trial.of(subject)
    policy = trial.make()
    told = trial.buffer(policy).revisit(4, 1.0, policy)
    for name, value in told.items():
        require(
            np.ndim(value) == 0 and math.isfinite(value),
            f"reanalyze told {name!r} as {short(value)}; expected a finite number.",
        )
