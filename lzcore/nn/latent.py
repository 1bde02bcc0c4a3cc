"""What keeps latent states in range, and a probe for their norms.

Shape letters: B states, L latent state, E features or channels of it (axis 1), V group width.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lzcore.base.errors import ShapeError


class SimNorm(nn.Module):
    """Softmax within groups of V features, so that a latent is a list of E / V distributions.

    Maps are grouped over their channels, separately at each cell.

    Source:
        arXiv:2310.16828 (TD-MPC2), sec. 3.1.
    """

    def __init__(self, features: int, group: int = 8) -> None:
        """Normalise (B, features) or (B, features, h, w).

        Raises:
            ShapeError: `group` does not divide `features`.
        """
        super().__init__()
        if features % group:
            raise ShapeError(
                f"SimNorm groups features by {group}, which does not divide {features}. "
                f"Use a multiple of {group} (model.latent_state_dim or model.num_channels), "
                "or set model.use_sim_norm to false."
            )
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(B, E, ...) -> the same shape, each group summing to 1."""
        count = x.shape[1] // self.group
        groups = x.view(x.shape[0], count, self.group, *x.shape[2:])  # (B, E / V, V, ...)
        if x.dim() > 2:
            return groups.softmax(2).view(x.shape)
        # on a CPU a softmax over 8 neighbours is ten times slower than over 8 rows
        return groups.transpose(1, 2).softmax(1).transpose(1, 2).reshape(x.shape)


class Renormalize(nn.Module):
    """Scales each latent state to [0, 1] by its own minimum and maximum.

    Source:
        arXiv:1911.08265, App. G.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, *L) -> (B, *L) in [0, 1]; a constant state becomes all 0."""
        low, high = x.flatten(1).aminmax(dim=1)  # (B,) each
        shape = (-1,) + (1,) * (x.dim() - 1)
        return (x - low.view(shape)) / (high - low).clamp_min(1e-5).view(shape)


class NormProbe:
    """Remembers mean L2 norms around a layer, of the last pass that was made for learning.

    `before` and `after` are of what went in and came out; `grad_before` and `grad_after` of the
    gradients there, once they were computed. It is a forward hook: a model that is not probed
    pays nothing, and passes without gradients leave it alone.
    """

    def __init__(self, layer: nn.Module) -> None:
        """Watch a layer that takes and gives (B, *L)."""
        self.before = self.after = self.grad_before = self.grad_after = torch.tensor(0.0)
        layer.register_forward_hook(self._note)

    def _note(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if not torch.is_grad_enabled():
            return
        self.before, self.after = _mean_norm(args[0]), _mean_norm(output)
        for name, x in (("grad_before", args[0]), ("grad_after", output)):
            if x.requires_grad:
                x.register_hook(partial(self._note_gradient, name))

    def _note_gradient(self, name: str, gradient: Tensor) -> None:
        setattr(self, name, _mean_norm(gradient))


def _mean_norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x.detach().flatten(1), dim=1)  # (B,)
    return norm.mean()
