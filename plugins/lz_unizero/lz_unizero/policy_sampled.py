"""Sampled UniZero: what UniZero and Sampled MuZero change, both of it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lz_muzero.config import MuZeroConfig
from lz_muzero.policy_sampled import SampledMuZeroPolicy

from lz_unizero.batches import SampledUniZeroBatch
from lz_unizero.config_sampled import SampledUniZeroConfig
from lz_unizero.policy import UniZeroPolicy
from lzcore.base import Spaces


class SampledUniZeroPolicy(SampledMuZeroPolicy, UniZeroPolicy):
    """Drawn actions (arXiv:2104.06303) and a world model that looks back (arXiv:2406.10667)."""

    config_class: ClassVar[type[MuZeroConfig]] = SampledUniZeroConfig
    current_class: ClassVar[type[Any]] = SampledUniZeroBatch
    models: ClassVar[Mapping[str, tuple[str, str]]] = UniZeroPolicy.models

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        found = super().settings_for(spaces, given)
        model = found["model"]
        model["world_model_cfg"]["continuous_action_space"] = model["continuous_action_space"]
        return found
