"""Looking at what policies and environments answer, before anything is made of it.

Each check is a few comparisons: it is made in every step of a run.

Shape letters: n environments of a call, F one frame's shape, A actions, D action width, B samples.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lzcore.base.env import ActionSpace, Array, Env, Observed, Stepped
from lzcore.base.errors import ContractError
from lzcore.base.policy import Decisions, Policy

PRIORITY = "value_priority_orig"  # (B,) in what learning returns: what the buffer is told

# --- policies -------------------------------------------------------------------------------------


def decided(policy: Policy, found: Any, env_id: Array, space: ActionSpace) -> Array:
    """Return the actions that a policy decided for the environments of `env_id`.

    Args:
        policy: that decided.
        found: its answer.
        env_id: (n,) int64.
        space: what the environments take.
    Returns:
        (n,) whole numbers in [0, A), or (n, D) floats in [-1, 1].
    Raises:
        ContractError: it is not a decision for each of them.
    """
    columns = getattr(found, "columns", None)
    if not isinstance(columns, Mapping):
        raise ContractError(policy, f"decided a {type(found).__name__}; expected Decisions.")
    if isinstance(found, Decisions) and not np.array_equal(found.env_id, env_id):
        raise ContractError(
            policy,
            f"decided for the environments {np.asarray(found.env_id).tolist()}; expected "
            f"{env_id.tolist()}, in this order.",
        )
    action: Array | None = columns.get("action")
    discrete = space.kind == "discrete"
    kinds, wanted = ("iu", "whole numbers") if discrete else ("f", "floats")
    shape = (len(env_id),) if discrete else (len(env_id), space.size)
    if action is None or getattr(action, "shape", 0) != shape or action.dtype.kind not in kinds:
        raise ContractError(
            policy, f"decided {_form(action)} as the action; expected {wanted} of shape {shape}."
        )
    _require_in_range(policy, action, env_id, space)
    return action


def _require_in_range(policy: Policy, action: Array, env_id: Array, space: ActionSpace) -> None:
    if space.kind == "continuous":
        right: Array = np.all(np.abs(action) <= 1.0, axis=1)  # not where it is no number
        wanted = "numbers in [-1, 1]"
    else:
        right = (action >= 0) & (action < space.size)
        wanted = f"one of 0 to {space.size - 1}"
    if np.count_nonzero(right) < len(right):
        row = int(right.argmin())
        raise ContractError(
            policy,
            f"decided the action {action[row].tolist()} in environment {env_id[row]}; expected "
            f"{wanted}.",
        )


def resigns(policy: Policy, found: Decisions) -> Array:
    """Return where a policy that may resign does so, (n,) bool.

    Raises:
        ContractError: its decisions do not say.
    """
    told: Array | None = found.columns.get("resigns")
    if getattr(told, "shape", 0) != (len(found),) or getattr(told, "dtype", "") != "bool":
        raise ContractError(
            policy,
            f"decided {_form(told)} as resigns; expected bool of shape ({len(found)},), or None as "
            "its resign_played_on.",
        )
    assert told is not None
    return told


def learned(policy: Policy, call: str, told: Any) -> dict[str, Any]:
    """Return what a policy tells of its learning, as floats by name.

    Each number is read here once and never again: it may have to come from a GPU.

    Args:
        policy: that learned.
        call: the method that returned it.
        told: what it returned; the priorities in it are left to `priorities`.
    Raises:
        ContractError: it is something else than numbers by name.
    """
    if not isinstance(told, Mapping):
        raise ContractError(
            policy, f"returned {type(told).__name__} from {call}; expected numbers by name."
        )
    read: dict[str, Any] = {}
    for name, value in told.items():
        try:
            read[name] = value if name == PRIORITY else float(value)
        except (TypeError, ValueError):
            raise ContractError(
                policy, f"returned {_form(value)} as {name!r} from {call}; expected a number."
            ) from None
    return read


def priorities(policy: Policy, told: Mapping[str, Any], count: int) -> Array:
    """Return the (B,) priorities in what a policy tells of a learn step.

    Args:
        policy: that learned.
        told: what it returned.
        count: B.
    Raises:
        ContractError: there are none, or they are no finite numbers above 0.
    """
    if PRIORITY not in told:
        raise ContractError(
            policy,
            f"draws by priority, but returns no {PRIORITY!r} from _forward_learn. Return ({count},)"
            " errors by that name, or set use_priority to false.",
        )
    found = np.asarray(told[PRIORITY])
    if found.shape != (count,) or found.dtype.kind not in "iuf":
        raise ContractError(
            policy, f"returned {_form(found)} as {PRIORITY!r}; expected shape ({count},)."
        )
    if not (math.isfinite(float(found.sum())) and float(found.min()) > 0.0):
        raise ContractError(
            policy,
            f"returned a {PRIORITY!r} that is not above 0 or not finite; expected errors, with a "
            "small constant added.",
        )
    return found


def _form(value: Any) -> str:
    if value is None:
        return "nothing"
    if not hasattr(value, "shape"):
        return f"a {type(value).__name__}"
    return f"{getattr(value, 'dtype', type(value).__name__)} of shape {tuple(value.shape)}"


# --- environments ---------------------------------------------------------------------------------


def shown(env: Env, call: str, seen: Any, env_id: Array, over: Array | None = None) -> Observed:
    """Return what environments show, if it has the form that `env.spaces` promise.

    Args:
        env: that shows it.
        call: the method that returned it.
        seen: its answer.
        env_id: (n,) int64, who was asked.
        over: (n,) bool, where no action is needed; None: nowhere.
    Raises:
        ContractError: it has not.
    """
    if not isinstance(seen, Observed):
        raise ContractError(env, f"returned {type(seen).__name__} from {call}; expected Observed.")
    count, spaces = len(env_id), env.spaces
    shapes = {"observation": (count, *spaces.frame_shape), "to_play": (count,)}
    if spaces.action.kind == "discrete":
        shapes["action_mask"] = (count, spaces.action.size)
    _require_shapes(env, call, seen, {**shapes, "timestep": (count,)})
    if spaces.action.kind == "discrete":
        assert seen.action_mask is not None
        acts: Array = np.any(seen.action_mask, axis=1)
        acts = acts if over is None else acts | over
        if np.count_nonzero(acts) < count:
            raise ContractError(
                env,
                f"allows no action in environment {env_id[acts.argmin()]} (action_mask from "
                f"{call} is all zero), but its episode goes on.",
            )
    return seen


def stepped(env: Env, found: Any, env_id: Array) -> Stepped:
    """Return what a step did, if it has the form that `env.spaces` promise; see `shown`."""
    if not isinstance(found, Stepped):
        raise ContractError(env, f"returned {type(found).__name__} from step; expected Stepped.")
    names = ("reward", "terminated", "truncated", "episode_return")
    _require_shapes(env, "step", found, dict.fromkeys(names, (len(env_id),)))
    shown(env, "step", found.observed, env_id, found.terminated | found.truncated)
    return found


def _require_shapes(env: Env, call: str, found: Any, wanted: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in wanted.items():
        value = getattr(found, name)
        if getattr(value, "shape", None) != shape:
            raise ContractError(
                env, f"returned {_form(value)} as {name} from {call}; expected shape {shape}."
            )
