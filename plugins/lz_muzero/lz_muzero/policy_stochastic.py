"""Stochastic MuZero: plans with chance between an action and what comes of it.

Where MuZero imagines one state after an action, this imagines the afterstate, what chance may do
there and how likely that is, and the state after each outcome. Which outcome there was in a stored
step is told by the environment, or found by an encoder that sees the observations around it.

Shape letters: B samples of a batch, K unroll steps, M outcomes of chance, Z bins.
"""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lz_muzero import losses
from lz_muzero.config_variants import StochasticMuZeroConfig
from lz_muzero.losses import Unrolled
from lz_muzero.model_stochastic import code_of
from lz_muzero.monitor import ANALYSIS
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.targets import CurrentBatch, TargetBatch, Values
from lzcore.base import Column, ConfigError, ShapeError, Spaces, Tree, TreeSpec, Windows
from lzcore.search import ChanceDynamics, Dynamics, Inference


class ChanceBatch(NamedTuple):
    """What the model is unrolled on, and what chance did meanwhile."""

    obs: Values  # the first six as in `CurrentBatch`
    action: Values
    mask: Values
    index: Values
    weights: Values
    make_time: Values
    chance: Values = None  # (B, K) int64, column k = outcome of action k; None: nobody told


class Afterstates(NamedTuple):
    """K afterstates of an unroll, and what chance made of them."""

    outcome_logits: Tensor  # (K, B, M)
    value: Tensor  # (K, B, Z) logits
    scores: Tensor  # (K, B, M) of the encoder
    code: Tensor  # (K, B, M) float32 one-hot: of the largest score, or of the outcome told


class StochasticMuZeroPolicy(MuZeroPolicy):
    """Stochastic MuZero (Antonoglou et al., ICLR 2022)."""

    config_class = StochasticMuZeroConfig
    models: ClassVar[Mapping[str, tuple[str, str]]] = {
        "conv": ("StochasticMuZeroModel", "lz_muzero.model_stochastic"),
        "mlp": ("StochasticMuZeroModelMLP", "lz_muzero.model_stochastic"),
    }
    current_class = ChanceBatch
    untold = frozenset({*ANALYSIS, "policy_entropy", "target_policy_entropy"})

    # --- the search -----------------------------------------------------------------------------

    def _tree_spec(self, num_simulations: int) -> TreeSpec:
        return attrs.evolve(
            super()._tree_spec(num_simulations),
            num_chance_outcomes=self._cfg.model.chance_space_size,
            chance_select=self._cfg.chance_select,
        )

    def _dynamics(self, inference: Inference, tree: Tree) -> Dynamics:
        return ChanceDynamics(inference, tree)

    # --- the batch ------------------------------------------------------------------------------

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return MuZero's columns, and the environment's outcomes if it is to tell them."""
        columns = super().columns(cfg, spaces)
        if not cfg.use_ture_chance_label_in_chance_encoder:
            return columns
        return (*columns, Column("chance", (), np.int64))

    def _current_batch(self, windows: Windows) -> CurrentBatch | ChanceBatch:
        batch = super()._current_batch(windows)
        if not self._cfg.use_ture_chance_label_in_chance_encoder:
            return batch
        # row t holds the outcome that led to observation t, so the one of action t is in row t + 1
        chance = windows.take("chance", 1, self._cfg.num_unroll_steps + 1)
        size = self._cfg.model.chance_space_size
        if chance.max() >= size:
            raise ConfigError(
                f'The environment told the outcome {chance.max()} by info["chance"], and '
                f"model.chance_space_size is {size}: outcomes are counted from 0. Set it to the "
                "number of outcomes."
            )
        return ChanceBatch(*batch, chance=chance)

    def _moved(self, name: str, values: Any) -> Any:
        return None if values is None else super()._moved(name, values)

    # --- the loss -------------------------------------------------------------------------------

    def _init_learn(self) -> None:
        super()._init_learn()
        if not self._cfg.learning_rate:
            warnings.warn(
                "learning_rate is 0, the documented default of stochastic_muzero: nothing is "
                "learned. Set it, to 0.003 for instance.",
                stacklevel=2,
            )

    def _unroll(self, batch: ChanceBatch) -> Unrolled:
        """Take K steps of two halves each: the action that was taken, what chance did then."""
        scores = self._scores(batch.obs)
        code = self._code(scores, batch)
        now = self._model.initial_inference(self._observation(batch.obs, 0))
        steps, afterstates = [now], []
        for k in range(self._cfg.num_unroll_steps):
            latent = losses.scale_gradient(now.latent_state, self._cfg.latent_grad_scale)
            after = self._model.recurrent_inference(latent, batch.action[:, k], afterstate=False)
            now = self._model.recurrent_inference(after.latent_state, code[k], afterstate=True)
            steps.append(now)
            afterstates.append(after)
        outcome_logits = torch.stack([after.policy_logits for after in afterstates])
        value = torch.stack([after.value for after in afterstates])
        return Unrolled.of(steps)._replace(more=Afterstates(outcome_logits, value, scores, code))

    def _scores(self, obs: Tensor) -> Tensor:
        """Return what the encoder makes of each pair of observations, (K, B, M)."""
        seen = [self._as_seen(obs, k) for k in range(self._cfg.num_unroll_steps + 1)]
        scores = self._model.encode_chance(torch.cat(seen[:-1]), torch.cat(seen[1:]))
        return scores.unflatten(0, (self._cfg.num_unroll_steps, -1))

    def _code(self, scores: Tensor, batch: ChanceBatch) -> Tensor:
        """Return the codes (K, B, M) that the dynamics go on with."""
        if not self._cfg.use_ture_chance_label_in_chance_encoder:
            return code_of(scores, batch.mask.T[:-1] if self._cfg.center_codes else None)
        if batch.chance is None:
            raise ShapeError(
                "The batch has no chance, and use_ture_chance_label_in_chance_encoder is on; "
                "expected (B, K) int64 outcomes as its last entry."
            )
        return F.one_hot(batch.chance.T, scores.shape[-1]).to(scores.dtype)

    def _losses(
        self, unrolled: Unrolled, batch: ChanceBatch, target: TargetBatch
    ) -> dict[str, Tensor]:
        """Return MuZero's parts and three of afterstates and codes, (B,) each."""
        after: Afterstates = unrolled.more
        # the value before chance is that of the position in which the action was taken
        value = self._head_loss(after.value, target.target_value.T[:-1], self._model.value_support)
        outcome = losses.cross_entropy(after.outcome_logits, after.code.detach())
        parts = {
            "afterstate_policy_loss": outcome,
            "afterstate_value_loss": value,
            "commitment_loss": self._commitment_loss(after),
        }
        happened = batch.mask.T[:-1]  # (K, B)
        masked = {name: (part * happened).sum(0) for name, part in parts.items()}
        return {**super()._losses(unrolled, batch, target), **masked}

    def _commitment_loss(self, after: Afterstates) -> Tensor:
        """Return how far the encoder is from its own codes, or from the outcomes told, (K, B)."""
        code = after.code.detach()
        if self._cfg.use_ture_chance_label_in_chance_encoder:
            return losses.cross_entropy(after.scores, code)
        return (code - after.scores).square().mean(dim=-1)

    def _loss_weights(self) -> dict[str, float]:
        cfg = self._cfg
        return {
            **super()._loss_weights(),
            "afterstate_policy_loss": cfg.afterstate_policy_loss_weight,
            "afterstate_value_loss": cfg.afterstate_value_loss_weight,
            "commitment_loss": cfg.commitment_loss_weight,
        }

    # --- what is told of it ---------------------------------------------------------------------

    @torch.no_grad()
    def _statistics_of_chance(self, unrolled: Unrolled, batch: ChanceBatch) -> dict[str, Tensor]:
        """Return the share of each outcome among the steps of the batch."""
        happened = batch.mask.T[:-1, :, None]  # (K, B, 1)
        share = (unrolled.more.code * happened).sum((0, 1)) / happened.sum().clamp_min(1.0)
        return dict(zip(self._share_names(), share, strict=True))

    def _share_names(self) -> list[str]:
        if not self._cfg.analyze_chance_distribution:
            return []
        return [f"chance_share/{m}" for m in range(self._cfg.model.chance_space_size)]

    def _metrics(
        self,
        unrolled: Unrolled,
        parts: Mapping[str, Tensor],
        batch: ChanceBatch,
        target: TargetBatch,
    ) -> dict[str, Any]:
        told = super()._metrics(unrolled, parts, batch, target)
        if self._cfg.analyze_chance_distribution:
            told |= self._statistics_of_chance(unrolled, batch)
        return told

    def _monitor_vars_learn(self) -> list[str]:
        return [*super()._monitor_vars_learn(), *self._share_names()]
