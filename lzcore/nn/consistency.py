"""The heads through which imagined and observed latent states are compared.

Shape letters: B states, L latent state.
"""

import torch
from torch import Tensor, nn


class ConsistencyHeads(nn.Module):
    """A projector for both sides and a predictor for the imagined side, as in SimSiam.

    BatchNorm is part of the method (it keeps the projections from collapsing), whatever norm the
    rest of the model uses.

    Source:
        arXiv:2111.00210 (EfficientZero), sec. 4.1; arXiv:2011.10566.
    """

    def __init__(
        self, features: int, *, proj_hid: int, proj_out: int, pred_hid: int, pred_out: int
    ) -> None:
        """Compare latents of `features` numbers; pred_out must equal proj_out."""
        super().__init__()
        self.projector = nn.Sequential(
            nn.Flatten(),
            *_layer(features, proj_hid),
            *_layer(proj_hid, proj_hid),
            nn.Linear(proj_hid, proj_out),
            nn.BatchNorm1d(proj_out),
        )
        self.predictor = nn.Sequential(*_layer(proj_out, pred_hid), nn.Linear(pred_hid, pred_out))

    def forward(self, latent_state: Tensor, with_grad: bool) -> Tensor:
        """Project latents, and predict from the projection where a gradient is wanted.

        Args:
            latent_state: (B, *L).
            with_grad: True for the imagined side; False for the observed side, a fixed target.
        Returns:
            (B, pred_out), or (B, proj_out) without gradient.
        """
        if with_grad:
            return self.predictor(self.projector(latent_state))  # type: ignore[no-any-return]
        with torch.no_grad():
            return self.projector(latent_state)  # type: ignore[no-any-return]


def _layer(features: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)
