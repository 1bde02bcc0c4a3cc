"""Gumbel MuZero: considers a few actions, and learns a policy that is better even if few were.

Shape letters: N environments that are ready, B samples of a batch, K unroll steps, A actions.
"""

from typing import Any, ClassVar, NamedTuple

import attrs
import numpy as np
from torch import Tensor

from lz_muzero import decisions, losses
from lz_muzero.config_variants import GumbelMuZeroConfig
from lz_muzero.decisions import Array, Asked
from lz_muzero.losses import Unrolled
from lz_muzero.monitor import ANALYSIS
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.targets import TargetBatch, Values
from lzcore.base import Column, SearchResult, Spaces, TreeSpec, Windows
from lzcore.search import gumbel_noise


class GumbelBatch(NamedTuple):
    """What the model is unrolled on, with the policies that searches have improved."""

    obs: Values  # (B, (S + K) * F0, *F[1:]), see CurrentBatch
    action: Values  # (B, K) int64
    improved_policy: Values  # (B, K + 1, A) float32, rows sum to 1 or are all 0
    mask: Values  # (B, K + 1) float32, 1 = the position has an action
    index: Values  # (B,) int64 replay rows
    weights: Values  # (B,) float32 importance weights
    make_time: Values  # (B,) float64 insertion stamps


class GumbelMuZeroPolicy(MuZeroPolicy):
    """Gumbel MuZero (Danihelka et al., ICLR 2022, openreview.net/forum?id=bERaNdoegnO)."""

    config_class: ClassVar[type[GumbelMuZeroConfig]] = GumbelMuZeroConfig
    current_class: ClassVar[type[Any]] = GumbelBatch
    untold: ClassVar[frozenset[str]] = frozenset({*ANALYSIS, "target_policy_entropy"})

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what MuZero stores of each step, and the improved policy."""
        actions, reanalyzed = (spaces.action.size,), cfg.reanalyze_ratio > 0
        improved = Column("improved_policy", actions, np.float32, changing=reanalyzed)
        return (*super().columns(cfg, spaces), improved)

    # --- what is searched, and which action is taken ----------------------------------------------

    def _tree_spec(self, num_simulations: int) -> TreeSpec:
        cfg = self._cfg
        return attrs.evolve(
            super()._tree_spec(num_simulations),
            rule="gumbel",
            max_num_considered_actions=cfg.max_num_considered_actions,
            maxvisit_init=cfg.maxvisit_init,
            value_scale=cfg.value_scale,
            rescale_values=cfg.gumbel_rescale_values,
            use_mixed_value=cfg.gumbel_use_mixed_value,
        )

    def _root_noise(self, asked: Asked, seeds: Array) -> Array:
        """Return (N, A) Gumbel numbers, which choose the actions that are considered."""
        return gumbel_noise(seeds, asked.legal.shape[1], self._cfg.gumbel_scale)

    def _pick(self, found: SearchResult, asked: Asked, probability: Array, u: Array) -> Array:
        if found.best_edge is None or self._cfg.gumbel_action == "visit_sample":
            return super()._pick(found, asked, probability, u)
        return self._best(found, asked)

    def _best(self, found: SearchResult, asked: Asked) -> Array:
        """Return the (N,) edges that win Sequential Halving."""
        return super()._best(found, asked) if found.best_edge is None else found.best_edge

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        return super()._stored(found) | {"improved_policy": _improved(found)}

    def _told(self, found: SearchResult) -> dict[str, Array]:
        return {
            "roots_completed_value": _completed(found),
            "improved_policy_probs": _improved(found),
        }

    # --- what is learned --------------------------------------------------------------------------

    def _current_batch(self, windows: Windows) -> Any:
        improved = self._distributions(windows, "improved_policy")
        return GumbelBatch(**super()._current_batch(windows)._asdict(), improved_policy=improved)

    def _policy_loss(self, unrolled: Unrolled, batch: Any, target: TargetBatch) -> Tensor:
        improved, mask = (unrolled.aligned(x) for x in (batch.improved_policy, batch.mask))
        return losses.kl_divergence(unrolled.policy_logits, improved) * mask


def _improved(found: SearchResult) -> Array:
    """Return (N, A) policies that are better than the network's, or that acted without a search."""
    if found.improved_policy is None:
        return decisions.stored(found)["child_visit"]
    return found.improved_policy.astype(np.float32)


def _completed(found: SearchResult) -> Array:
    """Return (N, A) q-values, and values of the state where an action was never tried."""
    if found.completed_q is None:
        return np.repeat(found.raw_value[:, None], found.q_value.shape[1], 1).astype(np.float32)
    return found.completed_q.astype(np.float32)
