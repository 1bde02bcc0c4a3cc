"""From what is observed and done to the tokens that a transformer reads.

An observation becomes a latent state: E numbers in groups of V that sum to 1. It is both a token
and what the transformer foretells. An action becomes a token beside it.

Shape letters: M observations or actions, O one observation, E width of a token, V group width,
D numbers of a continuous action; in maps C and c channels, H, W and h, w sizes.
"""

import math

from lz_muzero.model import ConvParts
from torch import Tensor, nn

from lz_unizero.config import UniZeroModelSettings
from lzcore.base.errors import ConfigError
from lzcore.nn import SimNorm, Style, mlp


def representation(cfg: UniZeroModelSettings) -> nn.Module:
    """Make the layers from observations (M, *O) float32 to latents before SimNorm, (M, E).

    Raises:
        ConfigError: observations of that shape are none of model_type.
        ShapeError: pictures are too small to be shrunk.
    """
    style = Style(cfg.norm_type, "gelu")
    return _of_maps(cfg, style) if cfg.model_type == "conv" else _of_vectors(cfg, style)


def _of_maps(cfg: UniZeroModelSettings, style: Style) -> nn.Module:
    """(M, C, H, W) -> (M, c, h, w) -> (M, E)."""
    parts = ConvParts(cfg, style)  # type: ignore[arg-type]  # it reads what both tables have
    width = math.prod(parts.latent_shape)
    last = nn.Linear(width, cfg.world_model_cfg.embed_dim, bias=False)
    return nn.Sequential(parts.representation(), nn.Flatten(), last)


def _of_vectors(cfg: UniZeroModelSettings, style: Style) -> nn.Module:
    """(M, O) -> (M, E)."""
    shape = cfg.observation_shape
    frame = shape if isinstance(shape, int) else math.prod(shape)
    width = cfg.world_model_cfg.embed_dim
    return nn.Sequential(nn.Flatten(), *mlp(frame * cfg.frame_stack_num, [width], width, style))


class ActionTokens(nn.Module):
    """Tokens of actions: a learned vector for each, or groups of probabilities made of numbers."""

    def __init__(self, cfg: UniZeroModelSettings) -> None:
        super().__init__()
        size, width = cfg.action_size, cfg.world_model_cfg.embed_dim
        self.continuous = cfg.continuous_action_space
        if self.continuous:
            self.layers: nn.Module = nn.Sequential(
                nn.Linear(size, width, bias=False), SimNorm(width, cfg.world_model_cfg.group_size)
            )
        else:
            self.layers = nn.Embedding(size, width)

    def draw_weights(self) -> None:
        """Draw the layer of vectors such that tokens of different actions differ from the start.

        N(0, 0.02), as elsewhere, makes them all alike under SimNorm, and it takes hundreds of
        learn steps until what an action does is seen at all.
        """
        for layer in self.layers.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, action: Tensor) -> Tensor:
        """(M,) int64, or (M, D) float32 -> (M, E).

        Raises:
            ConfigError: actions are numbers where vectors are expected, or the other way.
        """
        if action.is_floating_point() != self.continuous:
            raise ConfigError(
                f"Actions are {action.dtype}, but model.continuous_action_space is "
                f"{self.continuous}; pass {'float32 vectors' if self.continuous else 'int64'}."
            )
        return self.layers(action)  # type: ignore[no-any-return]


def init_weights(model: nn.Module, norm_type: str, std: float) -> None:
    """Draw first weights: N(0, std) and no biases; of convolutions as suits the norm.

    Source:
        arXiv:2406.10667, whose code draws them so, with a std of 0.02.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.Conv2d):
            draw = nn.init.kaiming_normal_ if norm_type == "BN" else nn.init.xavier_uniform_
            draw(module.weight)
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
