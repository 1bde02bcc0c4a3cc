"""Small torch parts that more than one plugin needs.

`support` turns scalars into bins and back, `blocks` holds the layers that networks are stacked
from, `latent` keeps latent states in range, `consistency` compares them, `activity` looks for
silent neurons. `optim` makes optimisers, `schedules` says what changes with progress, `state`
keeps state dicts on the CPU.
"""

from lzcore.nn.activity import ActivityProbe
from lzcore.nn.blocks import (
    ConvLayer,
    Dense,
    DownSample,
    ResBlock,
    Size,
    Style,
    downsampled,
    mlp,
    res_blocks,
)
from lzcore.nn.consistency import ConsistencyHeads
from lzcore.nn.latent import NormProbe, Renormalize, SimNorm
from lzcore.nn.support import (
    CategoricalSupport,
    ScalarSupport,
    inverse_scalar_transform,
    scalar_transform,
)

__all__ = [
    "ActivityProbe",
    "CategoricalSupport",
    "ConsistencyHeads",
    "ConvLayer",
    "Dense",
    "DownSample",
    "NormProbe",
    "Renormalize",
    "ResBlock",
    "ScalarSupport",
    "SimNorm",
    "Size",
    "Style",
    "downsampled",
    "inverse_scalar_transform",
    "mlp",
    "res_blocks",
    "scalar_transform",
]
