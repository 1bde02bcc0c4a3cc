"""Sampled AlphaZero: searches among actions that it draws from its policy.

Shape letters: N environments that are ready, B samples of a batch, A actions, K slots of sampled
actions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor

from lz_alphazero import losses, shapes
from lz_alphazero.asked import Asked
from lz_alphazero.config import SampledAlphaZeroConfig
from lz_alphazero.policy import AlphaZeroPolicy
from lzcore.base import Column, SearchResult, Simulator, Spaces, State, TreeSpec, Windows
from lzcore.base.tree import Array
from lzcore.search import dirichlet_noise

NO_ACTION = -1  # an empty slot


class SampledAlphaZeroPolicy(AlphaZeroPolicy):
    """Sampled AlphaZero (arXiv:2104.06303): AlphaZero whose nodes have K drawn actions."""

    config_class: ClassVar[type[SampledAlphaZeroConfig]] = SampledAlphaZeroConfig
    target_names: ClassVar[tuple[str, ...]] = ("probs", "root_sampled_actions")
    entropy_name: ClassVar[str] = "policy_entropy_loss"

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        return shapes.counted(super().settings_for(spaces, given), spaces)

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step: visits are of slots, which are stored with them."""
        slots = min(cfg.mcts.num_of_sampled_actions, spaces.action.size)
        stored = cls._stored_columns(cfg, spaces, slots)
        return (*stored, Column("root_sampled_actions", (slots,), np.int64, pad=NO_ACTION))

    def _init_shared(self) -> None:
        super()._init_shared()
        self._num_slots = min(self._cfg.mcts.num_of_sampled_actions, self._num_actions)

    # --- positions to decisions -------------------------------------------------------------------

    def _tree_spec(self, num_simulations: int, simulator: Simulator | None = None) -> TreeSpec:
        mcts = self._cfg.mcts
        return attrs.evolve(
            super()._tree_spec(num_simulations, simulator),
            num_sampled_actions=self._num_slots,
            sample_mode=mcts.sample_mode,
            sample_temperature=mcts.sample_temperature,
        )

    def _root_noise(self, asked: Asked, seeds: Array) -> Array | None:
        """Return (N, K) noise over the slots that may hold an action; None: none."""
        mcts = self._cfg.mcts
        if not mcts.root_noise_weight:
            return None
        fillable = np.arange(self._num_slots) < asked.legal.sum(axis=1, keepdims=True)
        return dirichlet_noise(seeds, fillable, mcts.root_dirichlet_alpha)

    def _actions(self, found: SearchResult, edge: Array) -> Array:
        """Return the (N,) actions in these slots (N,)."""
        chosen: Array = _slots(found)[np.arange(len(edge)), edge]
        return chosen

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        return {"root_sampled_actions": _slots(found)}

    def _describe(
        self, told: Mapping[str, Array], columns: Mapping[str, Array], row: int
    ) -> dict[str, Any]:
        slots = columns["root_sampled_actions"][row]
        filled = slots != NO_ACTION
        known = super()._describe(told, columns, row)
        return {**known, "probs": known["probs"][filled], "root_sampled_actions": slots[filled]}

    def _policy_value_func(self, environment: State) -> tuple[dict[int, float], float]:
        """Return what the network alone thinks of a position, as `_policy_value_fn` does."""
        return self._policy_value_fn(environment)

    # --- replay to better weights -----------------------------------------------------------------

    def make_batch(self, windows: Windows) -> dict[str, Any]:
        """Gather sampled positions as AlphaZero does, with how many slots hold an action (B,)."""
        batch = super().make_batch(windows)
        filled = batch["root_sampled_actions"] != NO_ACTION
        return {**batch, "valid_action_lengths": filled.sum(axis=1)}

    def _turned(self, name: str, values: Array, which: Array) -> Array:
        """Return a column under symmetries `which` (B,): slots keep their place, actions do not."""
        if name == "probs":
            return values
        if name == "root_sampled_actions":
            return self._symmetry.actions(values, which)
        return super()._turned(name, values, which)

    def _targets(self, inputs: Mapping[str, Any], size: int) -> dict[str, Tensor]:
        """Return probs and actions of slots (B, K), and which slots hold an action."""
        probs = self._moved(_padded(inputs["probs"], 0.0))
        actions = self._moved(_padded(inputs["root_sampled_actions"], NO_ACTION), torch.int64)
        filled = actions != NO_ACTION
        if "valid_action_lengths" in inputs:
            lengths = self._moved(inputs["valid_action_lengths"], torch.int64)
            filled = _first(lengths, actions.shape[1])
        return {"probs": probs, "actions": actions, "filled": filled}

    def _losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = super()._losses(batch)
        return {**parts, self.entropy_name: parts["entropy_loss"]}

    def _policy_loss(self, log_prob: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return self._slot_loss(log_prob, batch["probs"], batch["actions"], batch["filled"])

    def _calculate_policy_loss_disc(
        self,
        policy_probs: Tensor,
        target_policy: Tensor,
        target_sampled_actions: Tensor,
        valid_action_lengths: Tensor,
    ) -> Tensor:
        """Return the mean policy loss of a batch, a scalar.

        Args:
            policy_probs: (B, A) of the network.
            target_policy: (B, K) shares of visits.
            target_sampled_actions: (B, K) the actions in the slots.
            valid_action_lengths: (B,) how many slots hold one; the others count for nothing.
        """
        log_prob = policy_probs.clamp_min(torch.finfo(policy_probs.dtype).tiny).log()
        filled = _first(valid_action_lengths, target_policy.shape[1])
        actions = target_sampled_actions.long()
        return self._slot_loss(log_prob, target_policy, actions, filled).mean()

    def _slot_loss(
        self, log_prob: Tensor, target: Tensor, actions: Tensor, filled: Tensor
    ) -> Tensor:
        return losses.slot_loss(
            log_prob,
            target,
            actions,
            filled,
            kind=self._cfg.policy_loss_type,
            normalized=self._cfg.normalize_prob_of_sampled_actions,
        )


def _slots(found: SearchResult) -> Array:
    """Return the (N, K) int64 actions of the roots' slots, rising, -1 behind the last."""
    assert found.sampled_actions is not None
    return found.sampled_actions[..., 0]


def _first(lengths: Tensor, slots: int) -> Tensor:
    """Return (B, K) bool: whether a slot is among the first `lengths` (B,) ones."""
    return torch.arange(slots, device=lengths.device) < lengths[:, None]


def _padded(rows: Any, pad: float) -> Any:
    """Return (B, K): as it is, or a list of B rows of several lengths, filled up with `pad`."""
    if not isinstance(rows, Sequence):
        return rows
    known = [torch.as_tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(known, batch_first=True, padding_value=pad)
