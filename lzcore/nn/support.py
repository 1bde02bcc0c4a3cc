"""Scalars as categorical distributions over integer bins, and back.

A value or reward head has one logit for each of the bins -S..S of h(x), a squashed scale on which
large returns stay distinguishable. A support owns that scale: it decodes logits and encodes
targets.

Shape letters: `...` any leading axes, S scale, Z = 2 S + 1 bins.
"""

import torch
from torch import Tensor, nn

EPSILON = 0.001  # slope that keeps h invertible far from 0


def scalar_transform(x: Tensor) -> Tensor:
    """Squash scalars: h(x) = sign(x) (sqrt(|x| + 1) - 1) + EPSILON x.

    The root is written as x / (sqrt(|x| + 1) + 1), which loses no digits near 0.

    Args:
        x: (...) float32 or float64, environment units.
    Returns:
        (...) of the same dtype, units of bins.
    Source:
        arXiv:1911.08265, App. F, after arXiv:1805.11593.
    """
    return x / ((x.abs() + 1).sqrt() + 1) + EPSILON * x


def inverse_scalar_transform(y: Tensor) -> Tensor:
    """Undo `scalar_transform`.

    With r = sqrt(|x| + 1) - 1, h says that |y| = r + EPSILON r (r + 2). Its positive root, in the
    form without a difference of near numbers and with the sign carried along, is
    r = 2 y / (k + sqrt(k^2 + 4 EPSILON |y|)) where k = 1 + 2 EPSILON; then x = r (|r| + 2).

    Args:
        y: (...) float32 or float64, units of bins.
    Returns:
        (...) of the same dtype, environment units; exactly 0 at 0.
    """
    half = 0.5 + EPSILON  # k / 2: numerator and denominator are both halved
    r = y / (y.abs().mul_(EPSILON).add_(half * half).sqrt_() + half)
    return r.abs().add_(2) * r


class CategoricalSupport(nn.Module):
    """Bins -S..S of h(x). A module only so that its constants follow the model's device."""

    bins: Tensor  # (Z,) -S..S

    def __init__(self, scale: int) -> None:
        """Make 2 * scale + 1 bins; they can express |x| up to `limit`."""
        super().__init__()
        self.scale = scale
        self.size = 2 * scale + 1
        bins = torch.arange(-scale, scale + 1, dtype=torch.get_default_dtype())
        self.register_buffer("bins", bins, persistent=False)

    @property
    def limit(self) -> float:
        """The largest scalar that can be told from its neighbours; beyond it targets saturate."""
        return float(inverse_scalar_transform(torch.tensor(float(self.scale), dtype=torch.float64)))

    def decode(self, logits: Tensor) -> Tensor:
        """(..., Z) logits -> (...,) scalars: the mean bin, with h undone."""
        return inverse_scalar_transform(logits.softmax(-1) @ self.bins.to(logits.dtype))

    def encode(self, scalars: Tensor) -> Tensor:
        """(...,) scalars -> (..., Z) targets: the two bins around h(x), weighted to its place.

        Scalars beyond `limit` are taken as the limit.
        """
        y = scalar_transform(scalars).clamp_(-self.scale, self.scale)
        low = y.floor().clamp_(max=self.scale - 1)  # so that there is a bin above
        part = y - low  # in [0, 1]
        bins = low.long() + self.scale
        target = scalars.new_zeros(*scalars.shape, self.size)
        return target.scatter_(
            -1, torch.stack((bins, bins + 1), -1), torch.stack((1 - part, part), -1)
        )

    def extra_repr(self) -> str:
        """Shown when the model is printed."""
        return f"scale={self.scale}"


class ScalarSupport(nn.Module):
    """A head that is the number itself: one output, no squashing, squared error."""

    size = 1

    def decode(self, logits: Tensor) -> Tensor:
        """(..., 1) outputs -> (...,) scalars."""
        return logits.squeeze(-1)

    def encode(self, scalars: Tensor) -> Tensor:
        """(...,) scalars -> (..., 1) targets."""
        return scalars.unsqueeze(-1)
