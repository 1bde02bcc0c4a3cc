"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """UniZero."""
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
