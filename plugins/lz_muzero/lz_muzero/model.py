"""MuZero's network: a representation h, dynamics g and a prediction f.

`MuZeroNetwork` puts them together and is the same for every kind of observation; a family of
layers makes the parts: `ConvParts` below for images and boards, `MLPParts` in `model_mlp` for
vectors. A variant of MuZero derives from the network once and names its two families.

The keyword arguments of a model are the `model` table of the policy's settings, all of it. What
no network reads: model_type, context_length_init, name, image_channel, analysis_dormant_ratio and
harmony_balance (for the policy), reward_support_size and value_support_size (they repeat
support_scale), and bias. What maps do not read: frame_stack_num (observation_shape counts stacked
channels), latent_state_dim and res_connection_in_dynamics (always on). What vectors do not read:
num_res_blocks, num_channels and downsample.

Shape letters: B states, O observation, L latent state, A actions, d width of an encoded action,
D width of a continuous action, Z bins of a value or reward, F features that a head reads;
in maps C and c channels, H, W and h, w sizes.
"""

import math
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lz_muzero.config import MuZeroModelSettings
from lzcore.base.errors import ConfigError
from lzcore.base.model import NetworkOutput
from lzcore.nn import (
    CategoricalSupport,
    ConsistencyHeads,
    ConvLayer,
    DownSample,
    NormProbe,
    Renormalize,
    ScalarSupport,
    SimNorm,
    Size,
    Style,
    downsampled,
    mlp,
    res_blocks,
)


class Parts(Protocol):
    """A family of layers: makes the parts of a network that depend on the kind of observation."""

    sim_norm: ClassVar[bool]  # whether latents get SimNorm where use_sim_norm leaves it open
    latent_shape: tuple[int, ...]  # L
    features: int  # F

    def __init__(self, cfg: MuZeroModelSettings, style: Style) -> None:
        """Work out the shapes.

        Raises:
            ConfigError: the family cannot take observations of the set shape.
        """

    def representation(self) -> nn.Module:
        """Observation (B, *O) -> latent (B, *L)."""

    def dynamics(self, code_width: int) -> nn.Module:
        """Latent (B, *L) and encoded action (B, d) -> next latent (B, *L)."""

    def reward_trunk(self) -> list[nn.Module]:
        """Layers from the next latent (B, *L) to the features (B, F) of the reward head."""

    def prediction_trunk(self) -> nn.Module:
        """Latent (B, *L) -> what the heads of a prediction share."""

    def head_trunk(self) -> list[nn.Module]:
        """Layers from what the heads share to the features (B, F) of one of them."""


class MuZeroNetwork(nn.Module):
    """h, g and f behind the interface of `lzcore.base.model.Model`.

    Source:
        arXiv:1911.08265, sec. 3 and App. F.
    """

    settings_class: ClassVar[type[MuZeroModelSettings]] = MuZeroModelSettings
    parts_class: ClassVar[type[Parts]]
    activation: ClassVar[str] = "relu"
    head_hidden: ClassVar[tuple[int, ...]] = (32,)

    def __init__(self, **settings: Any) -> None:
        """Draw the weights of a network with torch's generator.

        Args:
            settings: of the `model` table, by keyword; the others keep their defaults.
        Raises:
            ConfigError: a setting is unknown, out of range or not for this family.
            ShapeError: shapes that do not fit each other.
        """
        super().__init__()
        cfg = self.settings_class.of(settings)
        self._cfg: Any = cfg  # of settings_class
        self._style = Style(cfg.norm_type, self.activation)
        self._parts = parts = self.parts_class(cfg, self._style)
        self.action_encoding = _action_encoding(cfg)
        self.value_support = self.reward_support = _support(cfg)
        self.root_norm, self.next_norm = _latent_norms(cfg, parts)
        self.representation = parts.representation()
        self.dynamics = parts.dynamics(self.action_encoding.width)
        self.reward = self._make_reward()
        self.prediction = self._make_prediction(cfg.action_space_size)
        self.consistency = _consistency(cfg, parts) if cfg.self_supervised_learning_loss else None
        self.probe = NormProbe(self.root_norm) if cfg.analysis_sim_norm else None

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Evaluate observations (B, *O) float32 as roots, whose reward is 0."""
        latent = self.represent(observation)
        policy_logits, value = self.prediction(latent)
        reward = torch.zeros_like(value)
        return NetworkOutput(latent, reward, value, policy_logits)

    def recurrent_inference(self, latent_state: Tensor, action: Tensor) -> NetworkOutput:
        """Imagine one step from each of B states and evaluate where it leads.

        Args:
            latent_state: (B, *L) float32, from an earlier output.
            action: (B,) or (B, 1) int64, each in [0, A), or (B, D) float32.
        """
        latent = self.dynamics(latent_state, self.action_encoding(action))
        return self._evaluated(latent, self.reward(latent))

    def _evaluated(
        self, latent_state: Tensor, reward: Tensor, memory: Tensor | None = None
    ) -> NetworkOutput:
        """Evaluate what the dynamics made, (B, *L), whose reward is read off before the norm."""
        latent = self.next_norm(latent_state)
        policy_logits, value = self.prediction(latent)
        return NetworkOutput(latent, reward, value, policy_logits, memory)

    def represent(self, observation: Tensor) -> Tensor:
        """Observations (B, *O) float32 -> latents (B, *L), without evaluating them."""
        return self.root_norm(self.representation(observation))

    def project(self, latent_state: Tensor, with_grad: bool) -> Tensor:
        """Latents (B, *L) -> what the consistency loss compares; see `ConsistencyHeads`."""
        assert self.consistency is not None, "self_supervised_learning_loss is off"
        return self.consistency(latent_state, with_grad)

    def _make_reward(self) -> nn.Module:
        return self._head(self._parts.reward_trunk(), self.reward_support.size)

    def _make_prediction(self, num_actions: int) -> nn.Module:
        return Prediction(
            self._parts.prediction_trunk(),
            policy=self._make_policy(num_actions),
            value=self._head(self._parts.head_trunk(), self.value_support.size),
        )

    def _make_policy(self, num_actions: int) -> nn.Module:
        return self._head(self._parts.head_trunk(), num_actions)

    def _head(
        self, trunk: list[nn.Module], out_features: int, features: int | None = None
    ) -> nn.Module:
        """A trunk and an MLP whose last layer, and with it the output, starts at 0.

        `features` is the width of what the trunk makes; None: F.
        """
        widths = (features or self._parts.features, self.head_hidden, out_features)
        return nn.Sequential(*trunk, *mlp(*widths, self._style, zero_last=True))


class Prediction(nn.Module):
    """f: a policy head and a value head on a common trunk."""

    def __init__(self, trunk: nn.Module, policy: nn.Module, value: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.policy = policy
        self.value = value

    def forward(self, latent_state: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, *L) -> policy logits (B, A), value logits (B, Z)."""
        x = self.trunk(latent_state)
        return self.policy(x), self.value(x)


class ActionEncoding(nn.Module):
    """Actions as d numbers: a row of the table for each discrete action, others as they are."""

    table: Tensor  # (A, d)

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.width = table.shape[1]
        self.register_buffer("table", table, persistent=False)

    def forward(self, action: Tensor) -> Tensor:
        """(B,) or (B, 1) int64, or (B, d) float32 -> (B, d)."""
        if action.is_floating_point():
            return action
        return self.table.index_select(0, action.flatten())


def _action_encoding(cfg: MuZeroModelSettings) -> ActionEncoding:
    size = cfg.action_space_size
    if size is None:
        raise ConfigError(
            "model.action_space_size is not set; a run takes it from the environment, "
            "without one give the number of actions."
        )
    if cfg.continuous_action_space or cfg.discrete_action_encoding_type == "one_hot":
        return ActionEncoding(torch.eye(size))
    return ActionEncoding(torch.arange(size).unsqueeze(1) / size)


def _support(cfg: MuZeroModelSettings) -> CategoricalSupport | ScalarSupport:
    return (
        CategoricalSupport(cfg.support_scale) if cfg.categorical_distribution else ScalarSupport()
    )


def _latent_norms(cfg: MuZeroModelSettings, parts: Parts) -> tuple[nn.Module, nn.Module]:
    """What follows the representation, and what follows the dynamics (the reward reads before)."""
    with_sim_norm = parts.sim_norm if cfg.use_sim_norm is None else cfg.use_sim_norm
    sim_norm = [SimNorm(parts.latent_shape[0])] if with_sim_norm else []
    scale = [Renormalize()] if cfg.state_norm else []
    after_dynamics = sim_norm if cfg.simnorm_dynamics else []
    return nn.Sequential(*sim_norm, *scale), nn.Sequential(*after_dynamics, *scale)


def _consistency(cfg: MuZeroModelSettings, parts: Parts) -> ConsistencyHeads:
    return ConsistencyHeads(
        math.prod(parts.latent_shape),
        proj_hid=cfg.proj_hid,
        proj_out=cfg.proj_out,
        pred_hid=cfg.pred_hid,
        pred_out=cfg.pred_out,
    )


# --- the convolutional family -------------------------------------------------------------------


class ConvParts:
    """Residual blocks over maps: images, which are shrunk first, and boards."""

    sim_norm: ClassVar[bool] = False

    def __init__(self, cfg: MuZeroModelSettings, style: Style) -> None:
        shape = cfg.observation_shape
        if isinstance(shape, int) or len(shape) != 3:
            raise ConfigError(
                f"model.observation_shape is {shape}; maps need (channels, height, width). "
                "For vectors set model.model_type to mlp."
            )
        self._in_channels, *image = shape
        self._image = (image[0], image[1])
        self._shrink = min(image) >= 64 if cfg.downsample is None else cfg.downsample
        self._size = downsampled(self._image) if self._shrink else self._image
        self._channels = cfg.num_channels
        self._num_blocks = cfg.num_res_blocks
        self._style = style
        self.latent_shape: tuple[int, ...] = (self._channels, *self._size)
        self.features = 16 * math.prod(self._size)

    def representation(self) -> nn.Module:
        """(B, C, H, W) -> (B, c, h, w)."""
        c, style = self._channels, self._style
        if self._shrink:
            stem: nn.Module = DownSample(self._in_channels, c, self._image, style)
        else:
            stem = ConvLayer(self._in_channels, c, self._size, style)
        return nn.Sequential(stem, *self._blocks())

    def dynamics(self, code_width: int) -> nn.Module:
        """(B, c, h, w), (B, d) -> (B, c, h, w)."""
        return ConvDynamics(self._channels, code_width, self._size, self._style, self._blocks())

    def reward_trunk(self) -> list[nn.Module]:
        """(B, c, h, w) -> (B, 16 h w)."""
        return [ConvLayer(self._channels, 16, self._size, self._style, kernel=1), nn.Flatten()]

    def prediction_trunk(self) -> nn.Module:
        """(B, c, h, w) -> (B, c, h, w)."""
        return nn.Sequential(*self._blocks())

    def head_trunk(self) -> list[nn.Module]:
        """(B, c, h, w) -> (B, 16 h w)."""
        return self.reward_trunk()

    def _blocks(self) -> list[nn.Module]:
        return res_blocks(self._num_blocks, self._channels, self._size, self._style)


class ConvDynamics(nn.Module):
    """Lays the encoded action over the map as constant planes and carries the latent around."""

    def __init__(
        self, channels: int, code_width: int, size: Size, style: Style, blocks: list[nn.Module]
    ) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels + code_width, channels, 3, padding=1, bias=False)
        self.norm = style.norm(channels, size)
        self.act = style.act()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, latent_state: Tensor, code: Tensor) -> Tensor:
        """(B, c, h, w), (B, d) -> (B, c, h, w)."""
        planes = code[:, :, None, None].expand(-1, -1, *latent_state.shape[2:])
        x = self.norm(self.mix(torch.cat((latent_state, planes), dim=1)))
        return self.blocks(self.act(x + latent_state))


class MuZeroModel(MuZeroNetwork):
    """MuZero for images and boards."""

    parts_class = ConvParts


class MuZeroContextModel(MuZeroModel):
    """The same network, of which the policy observes only some roots: model_type conv_context."""
