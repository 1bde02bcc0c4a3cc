"""Loss weights that are learned along with the network.

Shape letters: B samples of a batch.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Harmony(nn.Module):
    """A scalar h for each part of a loss: L becomes L / e^h + ln(e^h + 1).

    At the best h, L / e^h is e^h / (e^h + 1), so below 1 however large L is: no part rules the
    gradient by its size alone. The parts have to be non-negative; one that is not would take its h,
    and the loss, to minus infinity.

    Source:
        HarmonyDream, arXiv:2310.00344, sec. 4.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with h = 0 for each of the named parts."""
        super().__init__()
        self.h = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in names})

    def forward(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts of a loss by name, (B,) each -> the same, those that have an h balanced by it."""
        return {
            name: part * (-self.h[name]).exp() + F.softplus(self.h[name])
            if name in self.h
            else part
            for name, part in parts.items()
        }

    def told(self) -> dict[str, Tensor]:
        """Return each h, (), under the name of its metric."""
        return {metric_of(name): h for name, h in self.h.items()}


def metric_of(part: str) -> str:
    """Return the name under which h of a part is logged: `harmony_policy` of `policy_loss`."""
    return f"harmony_{part.removesuffix('_loss')}"
