"""Gumbel AlphaZero: considers a few actions, and learns a policy that is better even if few were.

Shape letters: N environments that are ready, B samples of a batch, A actions.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
from torch import Tensor

from lz_alphazero import losses, shapes
from lz_alphazero.asked import Asked
from lz_alphazero.config import GumbelAlphaZeroConfig
from lz_alphazero.policy import AlphaZeroPolicy
from lzcore.base import Column, SearchResult, Simulator, Spaces, TreeSpec, derive_seed
from lzcore.base.tree import Array
from lzcore.search import gumbel_noise


class GumbelAlphaZeroPolicy(AlphaZeroPolicy):
    """Gumbel AlphaZero (Danihelka et al., ICLR 2022, openreview.net/forum?id=bERaNdoegnO)."""

    config_class: ClassVar[type[GumbelAlphaZeroConfig]] = GumbelAlphaZeroConfig
    target_names: ClassVar[tuple[str, ...]] = ("improved_probs",)

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        return shapes.counted(super().settings_for(spaces, given), spaces)

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what AlphaZero stores of each step, and the improved policy."""
        improved = Column("improved_probs", (spaces.action.size,), np.float32)
        return (*super().columns(cfg, spaces), improved)

    def _tree_spec(self, num_simulations: int, simulator: Simulator | None = None) -> TreeSpec:
        mcts = self._cfg.mcts
        return attrs.evolve(
            super()._tree_spec(num_simulations, simulator),
            rule="gumbel",
            max_num_considered_actions=mcts.max_num_considered_actions,
            maxvisit_init=mcts.maxvisit_init,
            value_scale=mcts.value_scale,
            rescale_values=mcts.gumbel_rescale_values,
            use_mixed_value=mcts.gumbel_use_mixed_value,
            rescale_illegal=False,  # the edges are the legal actions
        )

    def _root_noise(self, asked: Asked, seeds: Array) -> Array:
        """Return (N, A) Gumbel numbers, which choose the actions that are considered."""
        mcts = self._cfg.mcts
        stream = derive_seed(seeds, int(mcts.gumbel_rng))
        return gumbel_noise(stream, self._num_actions, mcts.gumbel_scale)

    def _pick(self, found: SearchResult, probability: Array, u: Array) -> Array:
        if self._cfg.mcts.gumbel_action == "visit_sample":
            return super()._pick(found, probability, u)
        return self._best(found)

    def _best(self, found: SearchResult) -> Array:
        """Return the (N,) edges that win Sequential Halving."""
        assert found.best_edge is not None
        return found.best_edge

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        assert found.improved_policy is not None
        return {"improved_probs": found.improved_policy.astype(np.float32)}

    def _describe(
        self, told: Mapping[str, Array], columns: Mapping[str, Array], row: int
    ) -> dict[str, Any]:
        improved = columns["improved_probs"][row]
        return {**super()._describe(told, columns, row), "improved_probs": improved}

    def _policy_loss(self, log_prob: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return losses.kl_divergence(log_prob, batch["improved_probs"])
