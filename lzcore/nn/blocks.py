"""The layers that networks are stacked from.

A layer is a product, a norm and an activation in one module: with few states at a time a module
call costs as much as its arithmetic. `Style` says which norm and activation; everything takes one.

Shape letters: B states, C channels, H, W picture, h, w map, F features.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import attrs
import torch
from attrs import validators as v
from torch import Tensor, nn
from torch.nn import functional

from lzcore.base.errors import ShapeError

Size = tuple[int, int]  # height, width
Activation = Callable[[Tensor], Tensor]


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


_POOLED_TWICE = (84, 96)  # picture heights whose maps are pooled once more
_ACTIVATIONS: dict[str, Activation] = {"relu": torch.relu_, "gelu": _gelu}


@attrs.frozen
class Style:
    """Which norm and activation the hidden layers of a network use."""

    norm_type: str = attrs.field(default="BN", validator=v.in_(("BN", "LN", "GN")))
    activation: str = attrs.field(default="relu", validator=v.in_(tuple(_ACTIVATIONS)))

    def norm(self, channels: int, size: Size | None = None) -> nn.Module:
        """Make a norm for vectors (B, channels), or for maps (B, channels, *size).

        BN is over the batch, LN over all of one state, GN over groups of 8 channels of it (over
        all channels where 8 does not divide them).
        """
        if self.norm_type == "LN":
            return nn.LayerNorm((channels, *(size or ())))
        if self.norm_type == "GN":
            return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
        return nn.BatchNorm1d(channels) if size is None else nn.BatchNorm2d(channels)

    def act(self) -> Activation:
        """Return the activation; it may overwrite its argument, so give it a fresh tensor."""
        return _ACTIVATIONS[self.activation]


class Dense(nn.Linear):
    """act(norm(Linear(x))) of vectors."""

    def __init__(self, in_features: int, out_features: int, style: Style) -> None:
        super().__init__(in_features, out_features)
        self.norm = style.norm(out_features)
        self.act = style.act()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_features) -> (B, out_features)."""
        return self.act(self.norm(functional.linear(x, self.weight, self.bias)))


def mlp(
    in_features: int,
    hidden: Sequence[int],
    out_features: int | None,
    style: Style,
    *,
    zero_last: bool = False,
) -> nn.Sequential:
    """Stack Dense layers of the given widths, and a plain Linear unless `out_features` is None.

    Args:
        in_features: F of the input (B, F).
        hidden: widths of the Dense layers.
        out_features: width of the last, plain Linear.
        style: norm and activation of the Dense layers.
        zero_last: start the plain Linear at weight and bias 0, so that its output is 0.
    """
    widths = [in_features, *hidden]
    layers: list[nn.Module] = [Dense(before, after, style) for before, after in pairwise(widths)]
    if out_features is not None:
        layers.append(nn.Linear(widths[-1], out_features))
        if zero_last:
            for parameter in layers[-1].parameters():
                nn.init.zeros_(parameter)
    return nn.Sequential(*layers)


class ConvLayer(nn.Conv2d):
    """act(norm(conv(x))) of maps; the convolution is padded to keep the size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        out_size: Size,
        style: Style,
        *,
        kernel: int = 3,
        stride: int = 1,
    ) -> None:
        """Make a layer whose output maps have `out_size`; only 1x1 convolutions have a bias."""
        bias = kernel == 1
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
        self.norm = style.norm(out_channels, out_size)
        self.act = style.act()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, *out_size)."""
        return self.act(self.norm(super().forward(x)))


class ResBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried: act(norm(conv(layer(x))) + x).

    Where channels or size change, x is carried by a plain convolution instead.

    Source:
        arXiv:1512.03385.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: Size, style: Style, *, stride: int = 1
    ) -> None:
        """Make a block whose output maps have `size`."""
        super().__init__()
        self.first = ConvLayer(in_channels, out_channels, size, style, stride=stride)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm = style.norm(out_channels, size)
        self.act = style.act()
        plain = stride == 1 and in_channels == out_channels
        self.skip = (
            nn.Identity()
            if plain
            else nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h', w') -> (B, out_channels, *size)."""
        return self.act(self.norm(self.second(self.first(x))) + self.skip(x))


def res_blocks(count: int, channels: int, size: Size, style: Style) -> list[nn.Module]:
    """Make `count` blocks that keep channels and size."""
    return [ResBlock(channels, channels, size, style) for _ in range(count)]


def downsampled(image: Size) -> Size:
    """Return the size of the maps that `DownSample` makes of pictures (H, W).

    Raises:
        ShapeError: it is less than 3x3.
    """
    times = 4 if image[0] in _POOLED_TWICE else 3
    height, width = _halved(image, times)
    if min(height, width) < 3:
        raise ShapeError(
            f"Pictures of {image[0]}x{image[1]} shrink to maps of {height}x{width}; expected at "
            "least 3x3. Enlarge them, or set model.downsample to false."
        )
    return height, width


class DownSample(nn.Sequential):
    """Shrinks pictures to small maps: 96x96 and 84x84 to 6x6, 64x64 to 8x8.

    Source:
        arXiv:1911.08265, App. F, with fewer blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, image: Size, style: Style) -> None:
        """Take pictures (B, in_channels, *image) to (B, out_channels, *downsampled(image))."""
        half, quarter, eighth = (_halved(image, times) for times in (1, 2, 3))
        narrow = out_channels // 2
        layers = [
            ConvLayer(in_channels, narrow, half, style, stride=2),
            ResBlock(narrow, narrow, half, style),
            ResBlock(narrow, out_channels, quarter, style, stride=2),
            ResBlock(out_channels, out_channels, quarter, style),
            nn.AvgPool2d(3, stride=2, padding=1),
            ResBlock(out_channels, out_channels, eighth, style),
        ]
        if image[0] in _POOLED_TWICE:
            layers.append(nn.AvgPool2d(3, stride=2, padding=1))
        super().__init__(*layers)


def _halved(size: Size, times: int) -> Size:
    height, width = (-(-n // 2**times) for n in size)  # each stride of 2 rounds up
    return height, width
