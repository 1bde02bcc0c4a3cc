"""From what was asked and what a search found to decisions: arrays only, no network.

Shape letters: N environments that are ready, A actions, O one stacked observation, E edges of a
root (A actions, or the sampled ones), D numbers of an action that is a vector.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lzcore.base import DecisionError, Decisions, Evaluation, SearchResult
from lzcore.search.choice import draw, entropy_bits

Array: TypeAlias = npt.NDArray[Any]

SPELLINGS = {  # the documented interface knows each of these under two names
    "visit_count_distributions": "distributions",
    "searched_value": "value",
    "predicted_value": "pred_value",
    "predicted_policy_logits": "policy_logits",
}


# --- what is asked --------------------------------------------------------------------------------


class Asked(NamedTuple):
    """N environments that wait for an action; row i belongs to env_id[i]."""

    env_id: Array  # (N,) int64
    observation: Tensor  # (N, *O), uint8 images or float32
    legal: Array | None  # (N, A) bool; None: actions are vectors
    to_play: Array  # (N,) int8
    noun: str = "environment"  # what messages call a row

    @classmethod
    def of(
        cls,
        data: Tensor | Array,
        action_mask: Sequence[Any] | Array | None,
        to_play: int | Sequence[int] | Array | None,
        ready_env_id: Iterable[int] | None,
        *,
        num_actions: int | None,
        observation_shape: tuple[int, ...],
    ) -> "Asked":
        """Check what a caller gave and bring it into arrays.

        Args:
            data: (N, *O) stacked observations.
            action_mask: N masks of A numbers, non-zero = allowed; None: everything is.
                Where actions are vectors: None, or N times None.
            to_play: -1, 1 or 2 for all, or one for each.
            ready_env_id: N ids in the order of the rows; None: 0..N-1.
            num_actions: A; None: actions are vectors.
            observation_shape: O.
        Raises:
            DecisionError: a shape does not fit, or an environment has no legal action.
        """
        observation = torch.as_tensor(data)
        env_id = _env_ids(ready_env_id, len(observation))
        if len(env_id) and tuple(observation.shape[1:]) != observation_shape:
            raise DecisionError(
                f"The observation of environment {env_id[0]} has shape "
                f"{tuple(observation.shape[1:])}; expected {observation_shape}: "
                "model.observation_shape, with the frames stacked."
            )
        legal = _legal(action_mask, env_id, num_actions)
        return cls(env_id, observation, legal, _players(to_play, env_id))


def _env_ids(given: Iterable[int] | None, rows: int) -> Array:
    if given is None:
        return np.arange(rows, dtype=np.int64)
    env_id = np.array(list(given), dtype=np.int64)
    if len(env_id) != rows:
        raise DecisionError(
            f"There are {rows} observations for {len(env_id)} environments "
            f"({env_id.tolist()}); expected one row for each."
        )
    return env_id


def _legal(
    given: Sequence[Any] | Array | None, env_id: Array, num_actions: int | None
) -> Array | None:
    if num_actions is None:
        return _no_masks(given, env_id)
    if given is None:
        return np.ones((len(env_id), num_actions), dtype=bool)
    if len(given) != len(env_id):
        raise DecisionError(
            f"There are {len(given)} action masks for the environments {env_id.tolist()}; "
            "expected one for each."
        )
    for env, mask in zip(env_id, given, strict=True):
        if len(mask) != num_actions:
            raise DecisionError(
                f"The action mask of environment {env} has {len(mask)} entries; "
                f"expected {num_actions}, which is model.action_space_size."
            )
    legal = np.asarray(given, dtype=bool).reshape(len(env_id), num_actions)
    for env in env_id[~legal.any(axis=1)][:1]:
        raise DecisionError(
            f"The action mask of environment {env} allows no action; expected at least one."
        )
    return legal


def _no_masks(given: Sequence[Any] | Array | None, env_id: Array) -> None:
    for env, mask in zip(env_id, () if given is None else given, strict=False):
        if mask is not None:
            raise DecisionError(
                f"The action mask of environment {env} is given, but actions are vectors, which "
                "no mask speaks of; expected None."
            )


def _players(given: int | Sequence[int] | Array | None, env_id: Array) -> Array:
    to_play = np.atleast_1d(np.asarray(-1 if given is None else given, dtype=np.int8)).reshape(-1)
    if len(to_play) not in (1, len(env_id)):
        raise DecisionError(
            f"to_play has {len(to_play)} entries for the environments {env_id.tolist()}; "
            "expected one for each, or one for all."
        )
    return np.ascontiguousarray(np.broadcast_to(to_play, env_id.shape))


def check_players(asked: Asked, *, two: bool) -> None:
    """Make sure that who moves is said where two players do, and nowhere else.

    Raises:
        DecisionError: it is not; the message names the environment.
    """
    fine = (asked.to_play == 1) | (asked.to_play == 2) if two else asked.to_play == -1
    for row in np.flatnonzero(~fine)[:1]:
        raise DecisionError(
            f"to_play of environment {asked.env_id[row]} is {asked.to_play[row]}; expected "
            + ("1 or 2, as env_type is" if two else "-1, as env_type is not")
            + " board_games."
        )


def check_finite(evaluation: Evaluation, asked: Asked) -> None:
    """Make sure that the network's answer to each environment is made of numbers.

    Raises:
        DecisionError: one is not; the message names the environment.
    """
    fine = np.isfinite(evaluation.value) & np.isfinite(evaluation.logits).all(axis=1)
    for row in np.flatnonzero(~fine)[:1]:
        clean = bool(asked.observation[row].float().isfinite().all())
        raise DecisionError(
            f"The network's value or policy for {asked.noun} {asked.env_id[row]} is not finite; "
            + (
                "expected numbers. Training has diverged: lower learning_rate or grad_clip_value, "
                "or go on from an earlier checkpoint."
                if clean
                else "nor is its observation. Mend the environment."
            )
        )


# --- which action ---------------------------------------------------------------------------------


def explore(greedy: Array, legal: Array, epsilon: float, coin: Array, pick: Array) -> Array:
    """Replace greedy actions by uniform legal ones with probability epsilon.

    Args:
        greedy: (N,) actions.
        legal: (N, A) bool.
        epsilon: in [0, 1].
        coin: (N,) uniforms that decide whether to explore.
        pick: (N,) uniforms that decide where to.
    """
    return np.where(coin < epsilon, draw(legal, pick), greedy)


# --- what is answered -----------------------------------------------------------------------------


def unsearched(policy: Array, raw_value: Array, prior_logits: Array) -> SearchResult:
    """Make a result of N roots that no search was run from; its value is NaN.

    Args:
        policy: (N, E) what stands for the visits: counts, or a distribution.
        raw_value: (N,) the network's own value.
        prior_logits: (N, W) the network's own policy.
    """
    return SearchResult(
        visit_count=policy,
        value=np.full(len(policy), np.nan),  # so that no target takes it for a searched value
        q_value=np.zeros(policy.shape),
        raw_value=raw_value,
        prior_logits=prior_logits,
    )


def stored(found: SearchResult) -> dict[str, Array]:
    """Return what replay keeps of N searches: `child_visit` (N, E), `root_value` (N,), float32."""
    visits = found.visit_count
    return {
        "child_visit": (visits / visits.sum(axis=1, keepdims=True)).astype(np.float32),
        "root_value": found.value.astype(np.float32),
    }


def answer(
    asked: Asked,
    found: SearchResult,
    kept: Mapping[str, Array],
    action: Array,
    tempered_visits: Array,
    besides: Mapping[str, Array] | None = None,
) -> Decisions:
    """Wrap decisions: columns to store, and the documented dict of an environment on demand.

    Args:
        asked: N environments.
        found: of them; where no search was run, `visit_count` may be a distribution, and `value`
            is NaN: then the network's own value is told, and no root value is stored. Visits are
            told of the legal actions, or of all slots where actions are sampled.
        kept: columns to store of it.
        action: (N,) int64, or (N, D) float32.
        tempered_visits: (N, E) what the action was drawn from.
        besides: what else is told, by its documented name, (N, ...) each; None: nothing.
    """
    visits = found.visit_count
    entropy = entropy_bits(tempered_visits).astype(np.float32)
    value = np.where(np.isnan(found.value), found.raw_value, found.value)
    columns = {
        "action": action,
        **kept,
        "predicted_value": found.raw_value.astype(np.float32),
        "visit_count_distribution_entropy": entropy,
    }

    def describe(row: int) -> dict[str, Any]:
        told = {
            "action": action[row].item() if action.ndim == 1 else action[row],
            "visit_count_distributions": visits[row, _told(asked, found, row)].tolist(),
            "visit_count_distribution_entropy": float(entropy[row]),
            "searched_value": float(value[row]),
            "predicted_value": columns["predicted_value"][row : row + 1],
            "predicted_policy_logits": found.prior_logits[row].tolist(),
        }
        told |= {short: told[name] for name, short in SPELLINGS.items()}
        return told | {name: rows[row] for name, rows in (besides or {}).items()}

    return Decisions(asked.env_id, columns, describe, found)


def _told(asked: Asked, found: SearchResult, row: int) -> Any:
    """Return which edges of a root an answer speaks of, as an index."""
    sampled = found.sampled_actions is not None
    return slice(None) if sampled or asked.legal is None else asked.legal[row]
