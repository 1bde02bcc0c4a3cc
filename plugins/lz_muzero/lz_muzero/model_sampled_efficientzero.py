"""Sampled EfficientZero's networks: Sampled MuZero's with EfficientZero's value prefix."""

from typing import ClassVar

from lz_muzero.config import MuZeroModelSettings
from lz_muzero.config_variants import SampledEfficientZeroModelSettings
from lz_muzero.model_efficientzero import EfficientZeroModel, EfficientZeroModelMLP
from lz_muzero.model_sampled import SampledMuZeroNetwork


class SampledEfficientZeroModel(SampledMuZeroNetwork, EfficientZeroModel):
    """Sampled EfficientZero for images and boards."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = SampledEfficientZeroModelSettings


class SampledEfficientZeroModelMLP(SampledMuZeroNetwork, EfficientZeroModelMLP):
    """Sampled EfficientZero for vectors."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = SampledEfficientZeroModelSettings
