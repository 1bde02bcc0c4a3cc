"""Every setting of Sampled UniZero: UniZero's, and those of searches that draw their actions."""

from typing import ClassVar, Literal

import attrs
from lz_muzero.config import BY_NAME
from lz_muzero.config_variants import SampledSettings

from lz_unizero.config import UniZeroConfig
from lzcore.base.config import setting


@attrs.frozen(kw_only=True)
class SampledUniZeroConfig(SampledSettings, UniZeroConfig):
    """Sampled UniZero: plans with a transformer among actions that it draws, vectors too."""

    takes_vectors: ClassVar[bool] = True

    type: Literal["sampled_unizero"] = setting(
        "sampled_unizero", "The policy's name.", check=BY_NAME
    )
