"""UniZero's network: observations and actions to tokens, a transformer over them, four heads.

A step of a window is two tokens: what was observed, then what was done. What follows the first of
them says which action is good and what the state is worth; what follows the second, which reward
came of it and what will be observed next, as a latent state.

The keyword arguments of the model are the `model` table of the policy's settings, all of it.

Shape letters: B windows, H steps of a window, T = 2 H tokens, R rows of a step, O one observation,
E width of a token and of a latent state, V width of its groups, A actions, D numbers of a
continuous action, P numbers of a policy (A, or 2 D), Z bins of a value or reward, L blocks.
"""

from typing import Any, NamedTuple

import torch
from lz_muzero.model_sampled import ReparameterizationHead
from torch import Tensor, nn

from lz_unizero.config import UniZeroModelSettings
from lz_unizero.tokenizer import ActionTokens, init_weights, representation
from lz_unizero.transformer import Transformer
from lzcore.base.errors import ShapeError
from lzcore.base.model import NetworkOutput
from lzcore.nn import CategoricalSupport, NormProbe, ScalarSupport, SimNorm


class WindowOutput(NamedTuple):
    """What the model says of each step of B windows; float32, with gradients if on."""

    latent_state: Tensor  # (B, H, E)  of the observations
    reward: Tensor  # (B, H, Z)  logits, of the action of the step
    next_latent: Tensor  # (B, H, E)  foretold: groups of V probabilities
    policy_logits: Tensor  # (B, H, P)
    value: Tensor  # (B, H, Z)  logits


class UniZeroModel(nn.Module):
    """Reads windows to learn, and one token after another to search.

    Source:
        arXiv:2406.10667, sec. 3 and App. B.
    """

    def __init__(self, **settings: Any) -> None:
        """Draw the weights of a network with torch's generator.

        Args:
            settings: of the `model` table, by keyword; the others keep their defaults.
        Raises:
            ConfigError: a setting is unknown, out of range or does not go with another.
            ShapeError: shapes that do not fit each other.
        """
        super().__init__()
        self.cfg = cfg = UniZeroModelSettings.of(settings)
        inner = cfg.world_model_cfg
        self.value_support = self.reward_support = (
            CategoricalSupport(cfg.support_scale)
            if cfg.categorical_distribution
            else ScalarSupport()
        )
        self.representation = representation(cfg)
        self.root_norm = SimNorm(inner.embed_dim, inner.group_size)
        self.next_norm = SimNorm(inner.embed_dim, inner.group_size)
        self.action_tokens = ActionTokens(cfg)
        self.transformer = Transformer(inner)
        self.policy = _policy(cfg)
        self.value = _head(inner.embed_dim, self.value_support.size)
        self.reward = _head(inner.embed_dim, self.reward_support.size)
        self.next_latent = _head(inner.embed_dim, inner.embed_dim)
        self._draw_weights()
        self.probe = NormProbe(self.root_norm) if cfg.analysis_sim_norm else None

    # --- to learn: whole windows ------------------------------------------------------------------

    def forward(self, observation: Tensor, action: Tensor) -> WindowOutput:
        """Evaluate every step of windows.

        Args:
            observation: (B, H, *O) float32.
            action: (B, H) int64, or (B, H, D) float32, taken at each of them.
        Raises:
            ShapeError: H is more than world_model_cfg.max_blocks.
        """
        self._check_window(observation.shape[1])
        latent = self.encode(observation.flatten(0, 1)).view(*observation.shape[:2], -1)
        x = self.transformer(self.tokens(latent, action))  # (B, T, E)
        policy_logits, value = self.evaluate(x[:, 0::2])
        reward, next_latent = self.foretell(x[:, 1::2])
        return WindowOutput(latent, reward, next_latent, policy_logits, value)

    def _check_window(self, steps: int) -> None:
        longest = self.cfg.world_model_cfg.max_blocks
        if steps > longest:
            raise ShapeError(
                f"A window of {steps} steps is longer than world_model_cfg.max_blocks, {longest}. "
                "Shorten it, or raise max_blocks and with it max_tokens."
            )

    def tokens(self, latent_state: Tensor, action: Tensor) -> Tensor:
        """Put latents (B, H, E) and the actions taken there in turns: (B, T, E)."""
        taken = self.action_tokens(action.flatten(0, 1)).view_as(latent_state)
        return torch.stack((latent_state, taken), dim=2).flatten(1, 2)

    # --- the parts, each of any number of rows ----------------------------------------------------

    def encode(self, observation: Tensor) -> Tensor:
        """Observations (B, *O) float32 -> latents (B, E)."""
        return self.root_norm(self.representation(observation))  # type: ignore[no-any-return]

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What follows tokens of observations, (..., E) -> policy (..., P), value (..., Z)."""
        policy_logits = self.policy(x.flatten(0, -2))
        return policy_logits.view(*x.shape[:-1], -1), self.value(x)

    def foretell(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What follows tokens of actions, (..., E) -> reward (..., Z), next latent (..., E)."""
        raw = self.next_latent(x)
        return self.reward(x), self.next_norm(raw.flatten(0, -2)).view_as(raw)

    # --- a state without a history ----------------------------------------------------------------

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Evaluate observations (B, *O) float32 as if nothing came before; their reward is 0."""
        latent = self.encode(observation)
        policy_logits, value = self.evaluate(self.transformer(latent[:, None])[:, 0])
        return NetworkOutput(latent, torch.zeros_like(value), value, policy_logits)

    # --- first weights ----------------------------------------------------------------------------

    def _draw_weights(self) -> None:
        init_weights(self, self.cfg.norm_type, self.cfg.world_model_cfg.init_std)
        self.action_tokens.draw_weights()
        for head in (self.policy, self.value, self.reward, self.next_latent):
            if isinstance(head, ReparameterizationHead):
                head.set_init_range(3e-3)
            elif isinstance(head, nn.Sequential):
                nn.init.zeros_(head[-1].weight)  # type: ignore[arg-type]


def _head(width: int, out_features: int) -> nn.Sequential:
    """(..., E) -> (..., out_features)."""
    return nn.Sequential(
        nn.Linear(width, width), nn.GELU(approximate="tanh"), nn.Linear(width, out_features)
    )


def _policy(cfg: UniZeroModelSettings) -> nn.Module:
    width = cfg.world_model_cfg.embed_dim
    if not cfg.continuous_action_space:
        return _head(width, cfg.action_size)
    return ReparameterizationHead([], width, cfg.action_size, cfg)  # type: ignore[arg-type]
