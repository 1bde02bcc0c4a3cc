"""A probe for neurons that stay silent.

Shape letters: B states, F features or channels (axis 1), h, w map.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lzcore.base.errors import ConfigError
from lzcore.nn.blocks import ConvLayer, Dense, ResBlock

_ACTIVE = (Dense, ConvLayer, ResBlock, nn.ReLU, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Tanh)


class ActivityProbe:
    """Tells the share of dormant neurons of a network, over the passes made for learning.

    A neuron is a feature or a channel that a layer with an activation puts out. It is dormant if
    the mean of its absolute values is at most `threshold` times that of its layer's neurons. It is
    a forward hook: a network that is not probed pays nothing, and passes without gradients leave
    it alone.

    Source:
        Sokar et al., arXiv:2302.12902, definition 3.1.
    """

    def __init__(self, network: nn.Module, threshold: float) -> None:
        """Watch every layer of `network` that ends in an activation.

        Raises:
            ConfigError: there is none.
        """
        self.threshold = threshold
        self._passes: dict[int, list[Tensor]] = {}  # layer -> mean activity (F,) of each pass
        layers = [module for module in network.modules() if isinstance(module, _ACTIVE)]
        if not layers:
            raise ConfigError(
                f"{type(network).__name__} has no layer that ends in an activation, so it has no "
                "dormant neurons; set cal_dormant_ratio to false."
            )
        for number, layer in enumerate(layers):
            layer.register_forward_hook(partial(self._note, number))

    def _note(self, number: int, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if torch.is_grad_enabled():
            states = (0, *range(2, output.dim()))  # (B, F) or (B, F, h, w)
            activity = output.detach().abs().mean(states)
            self._passes.setdefault(number, []).append(activity)

    def take(self) -> Tensor:
        """Return the share of dormant neurons, (), since the last call; 0 if nothing was seen."""
        layers = [torch.stack(passes).mean(0) for passes in self._passes.values()]
        self._passes.clear()
        if not layers:
            return torch.tensor(0.0)
        dormant = [activity <= self.threshold * activity.mean() for activity in layers]
        return torch.cat(dormant).float().mean()
