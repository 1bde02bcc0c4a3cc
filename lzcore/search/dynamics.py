"""What a search plans in. Today: the latent states of a learned model.

Shape letters: B roots, S simulations, L latent state, A actions.
"""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lzcore.base.tree import Array, Evaluation, Leaves
from lzcore.search.inference import Inference


class Dynamics(Protocol):
    """Evaluates the roots and the leaves of one search after another."""

    def root(self, observation: Any) -> Evaluation:
        """Evaluate B observed states and remember them as node 0."""

    def expand(self, leaves: Leaves) -> Evaluation:
        """Evaluate the B edges of simulation i and remember where they lead as node i + 1."""


class LearnedDynamics:
    """Steps a model through its latent states, which stay on the model's device.

    The pool holds one latent for each node, as (S + 1, B, *L): simulation i owns node i + 1, so a
    new latent is written as one slice, and parents are gathered by one index of rows.
    """

    def __init__(self, inference: Inference, num_simulations: int) -> None:
        """Serve searches of up to `num_simulations` with the given model."""
        self._inference = inference
        self._num_nodes = num_simulations + 1
        self._pool = torch.empty(0)
        self._rows = torch.empty(0)  # the pool as (nodes * B, *L)
        self._next = 1

    @torch.inference_mode()
    def root(self, observation: Tensor) -> Evaluation:
        """Evaluate (B, *O) float32 observations on the model's device."""
        evaluation, latent = self._inference.initial(observation)
        self._make_room(latent)
        self._pool[0].copy_(latent)
        self._next = 1
        return evaluation

    @torch.inference_mode()
    def expand(self, leaves: Leaves) -> Evaluation:
        """Evaluate one step from each leaf's parent: one gather, one model call, one write."""
        rows = self._row_index(leaves.parent)
        evaluation, latent = self._inference.recurrent(
            self._rows.index_select(0, rows), self._on_device(leaves.action)
        )
        self._pool[self._next].copy_(latent)
        self._next += 1
        return evaluation

    def _make_room(self, latent: Tensor) -> None:
        wanted = (self._num_nodes, *latent.shape)
        if self._pool.shape == wanted and self._pool.device == latent.device:
            return
        self._pool = torch.empty(wanted, dtype=latent.dtype, device=latent.device)
        self._rows = self._pool.flatten(0, 1)
        self._column = np.arange(latent.shape[0], dtype=np.int64)

    def _row_index(self, parent: Array) -> Tensor:
        return self._on_device(parent * len(self._column) + self._column)

    def _on_device(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._pool.device, non_blocking=True)
