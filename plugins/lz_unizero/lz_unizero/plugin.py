"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """UniZero, and UniZero with sampled actions."""
    return [
        PolicySpec(
            name="unizero",
            policy="lz_unizero.policy:UniZeroPolicy",
            config="lz_unizero.config:UniZeroConfig",
            summary="Plans with a transformer that remembers what was seen and done.",
            default_model="UniZeroModel",
            presets="lz_unizero.presets",
            paper="arXiv:2406.10667",
        ),
        PolicySpec(
            name="sampled_unizero",
            policy="lz_unizero.policy_sampled:SampledUniZeroPolicy",
            config="lz_unizero.config_sampled:SampledUniZeroConfig",
            summary="UniZero among sampled actions, vectors of numbers too.",
            default_model="UniZeroModel",
            presets="lz_unizero.presets.sampled_unizero",
            paper="arXiv:2406.10667, arXiv:2104.06303",
        ),
    ]


@hookimpl
def lz_register_models() -> list[ModelSpec]:
    """The world model, for images and for vectors."""
    return [
        ModelSpec(
            name="UniZeroModel",
            model="lz_unizero.model:UniZeroModel",
            summary="A transformer over observations and actions (model_type conv and mlp).",
        ),
    ]
