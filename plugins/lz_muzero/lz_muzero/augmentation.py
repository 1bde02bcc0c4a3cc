"""Random shifts and intensities of images (arXiv:2004.13649), as EfficientZero uses them.

Shape letters: B samples, C stacked channels, H and W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4  # pixels that an image may move each way
STRENGTH = 0.05  # standard deviation of the brightness factor


def augment(images: Tensor, kinds: Sequence[str], generator: torch.Generator) -> Tensor:
    """Apply the named augmentations in order.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        kinds: of "shift" and "intensity".
        generator: on the images' device; every sample draws its own numbers from it.
    """
    for kind in kinds:
        images = _KINDS[kind](images, generator)
    return images


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each sample by up to 4 pixels each way, its channels together; edges are repeated."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4, mode="replicate")
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 9, 9, H, W), a view
    at = torch.randint(0, 2 * PADDING + 1, (2, batch), generator=generator, device=images.device)
    return crops[torch.arange(batch, device=images.device), :, at[0], at[1]]


def intensity(images: Tensor, generator: torch.Generator) -> Tensor:
    """Make each sample brighter or darker by a factor 1 + 0.05 z, z normal and within +-2."""
    z = torch.randn(len(images), generator=generator, device=images.device).clamp(-2.0, 2.0)
    return images * (1.0 + STRENGTH * z)[:, None, None, None]


_KINDS = {"shift": shift, "intensity": intensity}
