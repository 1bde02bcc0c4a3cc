"""Sampled MuZero: searches among actions that it draws from its policy, numbered ones or vectors.

Shape letters: N environments, B samples of a batch, K unroll steps, A actions, D numbers of an
action (1 where actions are numbered), Ks slots of sampled actions.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from lz_muzero import decisions, losses, losses_sampled, sampling, shapes
from lz_muzero.acting import COIN, PICK, SLOTS, Planner
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import SampledMuZeroConfig
from lz_muzero.decisions import Array, Asked
from lz_muzero.losses import Unrolled
from lz_muzero.model_sampled import ReparameterizationHead
from lz_muzero.monitor import ANALYSIS
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.sampling import Slots
from lz_muzero.targets import TargetBatch, Values
from lzcore.base import (
    Column,
    Decisions,
    SearchResult,
    Spaces,
    TreeSpec,
    Windows,
    derive_seed,
    stream_key,
    uniform,
)
from lzcore.search import dirichlet_noise, masked_softmax

_OF_VECTORS = ("policy_mu", "policy_sigma", "target_sampled_actions")
STATISTICS = tuple(f"{name}_{kind}" for name in _OF_VECTORS for kind in ("max", "min", "mean"))


class SampledBatch(NamedTuple):
    """What the model is unrolled on, and which actions the searches had drawn."""

    obs: Values  # (B, (S + K) * F0, *F[1:]) frames t-S+1 .. t+K, oldest first, in their own dtype
    action: Values  # (B, K) int64, or (B, K, D) float32
    root_sampled_actions: Values  # (B, K + 1, Ks, 1) int64, -1 behind the last; or (.., D) float32
    mask: Values  # (B, K + 1) float32, 1 = the position has an action
    index: Values  # (B,) int64 replay rows
    weights: Values  # (B,) float32 importance weights
    make_time: Values  # (B,) float64 insertion stamps


class SampledMuZeroPolicy(MuZeroPolicy):
    """Sampled MuZero (arXiv:2104.06303): MuZero whose nodes have K drawn actions."""

    config_class: ClassVar[type[MuZeroConfig]] = SampledMuZeroConfig
    current_class: ClassVar[type[Any]] = SampledBatch
    untold: ClassVar[frozenset[str]] = frozenset(ANALYSIS)
    models: ClassVar[Mapping[str, tuple[str, str]]] = {
        "conv": ("SampledMuZeroModel", "lz_muzero.model_sampled"),
        "mlp": ("SampledMuZeroModelMLP", "lz_muzero.model_sampled"),
    }

    # --- what the environment decides -----------------------------------------------------------

    @classmethod
    def check_spaces(cls, spaces: Spaces) -> str | None:
        """Return None if the policy can act in these spaces, else one line that says why not."""
        return shapes.reason_against(spaces, takes_vectors=True)

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        found = super().settings_for(spaces, given)
        found["model"]["continuous_action_space"] = spaces.action.kind == "continuous"
        return found

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step: visits are of slots, which are stored with them."""
        slots = shapes.num_slots(cfg.model)
        vectors = cfg.model.continuous_action_space
        shape = (slots, cfg.model.action_space_size if vectors else 1)
        dtype = np.float32 if vectors else np.int64
        found = {column.name: column for column in super().columns(cfg, spaces)}
        visits = attrs.evolve(found["child_visit"], shape=(slots,))
        sampled = Column("root_sampled_actions", shape, dtype, changing=visits.changing)
        return (*(found | {"child_visit": visits}).values(), sampled)

    # --- construction ---------------------------------------------------------------------------

    def _create_model(self, cfg: Any, model: nn.Module | None) -> nn.Module:
        made = super()._create_model(cfg, model)
        if model is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream_key(cfg.seed, "policy head"))
                for part in made.modules():
                    if isinstance(part, ReparameterizationHead):
                        part.set_init_range(cfg.init_w)
        return made

    def _init_shared(self) -> None:
        super()._init_shared()
        model = self._cfg.model
        self._vectors: bool = model.continuous_action_space
        self._num_slots = shapes.num_slots(model)
        self._action_dim: int = model.action_space_size if self._vectors else 1

    def _init_learn(self) -> None:
        super()._init_learn()
        reason = drift(self._cfg)
        if reason is not None:
            warnings.warn(reason, stacklevel=2)

    def _tree_spec(self, num_simulations: int) -> TreeSpec:
        cfg, vectors = self._cfg, self._cfg.model.continuous_action_space
        kind = {"num_actions": 0, "action_dim": cfg.model.action_space_size} if vectors else {}
        return attrs.evolve(
            super()._tree_spec(num_simulations),
            num_sampled_actions=shapes.num_slots(cfg.model),
            sample_mode=cfg.sample_mode,
            sample_temperature=cfg.sample_temperature,
            prior_mode=cfg.prior_mode,
            root_expand_all=vectors if cfg.root_expand_all is None else cfg.root_expand_all,
            **kind,
        )

    # --- observations to decisions --------------------------------------------------------------

    def _forward_collect(
        self,
        data: Tensor,
        action_mask: Sequence[Any] | Array | None = None,
        temperature: float = 1,
        to_play: int | Sequence[int] | Array = -1,
        epsilon: float = 0.25,
        ready_env_id: Iterable[int] | None = None,
    ) -> Decisions:
        """Search with root noise and draw slots from the visits, as `MuZeroPolicy` does."""
        return super()._forward_collect(
            data, action_mask, temperature, to_play, epsilon, ready_env_id
        )

    def _root_noise(self, asked: Asked, seeds: Array) -> Array | None:
        """Return (N, Ks) noise over the slots that may hold an action; None: none."""
        if not self._cfg.root_noise_weight:
            return None
        fillable = np.ones((len(seeds), self._num_slots), bool)
        if asked.legal is not None:
            fillable = np.arange(self._num_slots) < asked.legal.sum(axis=1, keepdims=True)
        return dirichlet_noise(seeds, fillable, self._cfg.root_dirichlet_alpha)

    def _without_search(self, planner: Planner, asked: Asked, seeds: Array) -> SearchResult:
        """Draw slots from the network's own policy; a root value there is none."""
        self._refresh()
        seen = self._evaluated(planner, asked)
        decisions.check_finite(seen, asked)
        seeds = derive_seed(seeds, SLOTS)
        if self._vectors:
            slots = sampling.gaussian_slots(seen.logits, self._num_slots, seeds)
        else:
            policy = masked_softmax(seen.logits, asked.legal)
            slots = sampling.discrete_slots(policy, asked.legal, self._num_slots, seeds)
        return _unsearched(slots, seen.value, seen.logits)

    def _at_random(self, asked: Asked, seeds: Array) -> SearchResult:
        """Draw slots from no policy at all: uniform over legal actions, or over (-1, 1)^D."""
        seeds = derive_seed(seeds, SLOTS)
        if self._vectors:
            slots = sampling.uniform_slots(self._num_slots, self._action_dim, seeds)
            logits = np.tile(np.repeat([0.0, 1.0], self._action_dim), (len(seeds), 1))
        else:
            policy = asked.legal / asked.legal.sum(axis=1, keepdims=True)
            slots = sampling.discrete_slots(policy, asked.legal, self._num_slots, seeds)
            logits = np.zeros(policy.shape)
        return _unsearched(slots, np.zeros(len(seeds)), logits)

    def _actions(self, found: SearchResult, edge: Array) -> Array:
        """Return the actions in these slots (N,): (N,) int64, or (N, D) float32."""
        chosen = found.sampled_actions[np.arange(len(edge)), edge]
        return chosen if self._vectors else chosen[:, 0]

    def _explore(self, best: Array, asked: Asked, epsilon: float, seeds: Array) -> Array:
        """Replace the best actions by any with probability epsilon, drawn or not.

        Vectors are uniform in (-1, 1)^D.
        """
        if not self._vectors:
            return super()._explore(best, asked, epsilon, seeds)
        anything = sampling.uniform_vectors(self._action_dim, derive_seed(seeds, PICK))
        return np.where(uniform(seeds, COIN)[:, None] < epsilon, anything, best)

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        return super()._stored(found) | self._told(found)

    def _told(self, found: SearchResult) -> dict[str, Array]:
        return {"root_sampled_actions": found.sampled_actions}

    # --- replay to batches ----------------------------------------------------------------------

    def _current_batch(self, windows: Windows) -> Any:
        plain = super()._current_batch(windows)._asdict()
        drawn = windows.take("root_sampled_actions", 0, self._cfg.num_unroll_steps + 1)
        known = plain["mask"].astype(bool)[..., None, None]
        return self.current_class(**plain, root_sampled_actions=np.where(known, drawn, 0))

    # --- batches to losses ----------------------------------------------------------------------

    def _policy_loss(self, unrolled: Unrolled, batch: Any, target: TargetBatch) -> Tensor:
        visits, actions, mask = (
            unrolled.aligned(x)
            for x in (target.target_policy, batch.root_sampled_actions, batch.mask)
        )
        return self._slot_loss(unrolled.policy_logits, visits, actions) * mask

    def _slot_loss(self, policy_logits: Tensor, visits: Tensor, actions: Tensor) -> Tensor:
        """Compare policies (..., A) or (..., 2 D) with visits (..., Ks) of actions (..., Ks, D)."""
        if self._vectors:
            log_prob, filled = losses_sampled.gaussian_log_prob(policy_logits, actions), None
        else:
            log_prob = losses_sampled.categorical_log_prob(policy_logits, actions)
            filled = actions.squeeze(-1) >= 0
        return losses_sampled.slot_loss(
            log_prob,
            visits,
            filled,
            kind=self._cfg.policy_loss_type,
            normalized=self._cfg.normalize_prob_of_sampled_actions,
        )

    def _entropy(self, policy_logits: Tensor) -> Tensor:
        if not self._vectors:
            return super()._entropy(policy_logits)
        return losses_sampled.gaussian_entropy(policy_logits)

    def _calculate_policy_loss_cont(
        self,
        policy_loss: Tensor,
        policy_logits: Tensor,
        target_policy: Tensor,
        mask_batch: Tensor,
        child_sampled_actions_batch: Tensor,
        unroll_step: int,
    ) -> tuple[Tensor, ...]:
        """Add the policy loss of one unroll step, where actions are vectors.

        Args:
            policy_loss: (B,) of the steps before.
            policy_logits: (B, 2 D) of this step.
            target_policy: (B, K + 1, Ks) visits.
            mask_batch: (B, K + 1).
            child_sampled_actions_batch: (B, K + 1, Ks, D).
            unroll_step: 0..K.
        Returns:
            The loss (B,), the policy's entropy and minus it (B,), the entropy of the visits (B,),
            the sampled actions (B, Ks, D), means and standard deviations (B, D) each.
        """
        told = self._calculate_policy_loss_disc(
            policy_loss,
            policy_logits,
            target_policy,
            mask_batch,
            child_sampled_actions_batch,
            unroll_step,
        )
        return (*told, *policy_logits.chunk(2, dim=-1))

    def _calculate_policy_loss_disc(
        self,
        policy_loss: Tensor,
        policy_logits: Tensor,
        target_policy: Tensor,
        mask_batch: Tensor,
        child_sampled_actions_batch: Tensor,
        unroll_step: int,
    ) -> tuple[Tensor, ...]:
        """Add the policy loss of one unroll step, where actions are numbered.

        Arguments and result are those of `_calculate_policy_loss_cont`, with policy_logits (B, A)
        and D = 1, and without means and deviations.
        """
        visits, mask = target_policy[:, unroll_step], mask_batch[:, unroll_step]
        actions = child_sampled_actions_batch[:, unroll_step]
        loss = self._slot_loss(policy_logits, visits, actions)
        entropy = self._entropy(policy_logits) * mask
        return (
            policy_loss + loss * mask,
            entropy,
            -entropy,
            losses.target_entropy(visits) * mask,
            actions,
        )

    @torch.no_grad()
    def _metrics(
        self,
        unrolled: Unrolled,
        parts: Mapping[str, Tensor],
        batch: Any,
        target: TargetBatch,
    ) -> dict[str, Any]:
        told = super()._metrics(unrolled, parts, batch, target)
        if not self._vectors:
            return told
        known = unrolled.aligned(batch.mask).bool()
        mu, sigma = unrolled.policy_logits[known].chunk(2, dim=-1)
        drawn = unrolled.aligned(batch.root_sampled_actions)[known]
        for name, x in zip(_OF_VECTORS, (mu, sigma, drawn), strict=True):
            told |= {f"{name}_max": x.max(), f"{name}_min": x.min(), f"{name}_mean": x.mean()}
        return told

    def _monitor_vars_learn(self) -> list[str]:
        return [*super()._monitor_vars_learn(), *(STATISTICS if self._vectors else ())]


def _unsearched(slots: Slots, value: Array, logits: Array) -> SearchResult:
    found = decisions.unsearched(slots.share, value, logits)
    return found._replace(sampled_actions=slots.actions)


def drift(cfg: Any) -> str | None:
    """Return how the policy would move although all actions are worth the same; None: it stays.

    Where values are equal, visits follow the prior, and the loss should leave such a policy as it
    is. Densities go with a prior that is alike for all draws, shares with one that is in proportion
    to the policy.
    """
    shares = cfg.normalize_prob_of_sampled_actions or cfg.policy_loss_type == "KL"
    if cfg.model.continuous_action_space:
        if shares == (cfg.prior_mode == "density"):
            return None
        if shares:
            return (
                'prior_mode is "empirical", and the policy loss compares shares: the policy moves '
                "towards an even density. Set prior_mode to density, or compare densities "
                '(policy_loss_type = "cross_entropy", normalize_prob_of_sampled_actions = false).'
            )
        return (
            'prior_mode is "density", and the policy loss compares densities too: the policy '
            "contracts to where it is densest. Set prior_mode to empirical."
        )
    alike = cfg.sample_mode == "without_replacement"
    if shapes.num_slots(cfg.model) == cfg.model.action_space_size and alike:
        return None  # all actions are there
    if shares == alike:
        return None
    if shares:
        return (
            'sample_mode is "with_replacement", and the policy loss compares shares: the policy '
            "moves towards the uniform one. Set sample_mode to without_replacement."
        )
    return (
        f"Of {cfg.model.action_space_size} actions {shapes.num_slots(cfg.model)} are drawn without "
        "replacement, and the policy loss does not compare shares: one action takes over. "
        'Set normalize_prob_of_sampled_actions to true, or policy_loss_type to "KL".'
    )
