"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """MuZero."""
    return [
        PolicySpec(
            name="muzero",
            policy="lz_muzero.policy:MuZeroPolicy",
            config="lz_muzero.config:MuZeroConfig",
            summary="Plans with PUCT in learned latent states.",
            default_model="MuZeroModel",
            presets="lz_muzero.presets",
            paper="arXiv:1911.08265",
        )
    ]


@hookimpl
def lz_register_models() -> list[ModelSpec]:
    """MuZero's networks for images and for vectors."""
    return [
        ModelSpec(
            name="MuZeroModel",
            model="lz_muzero.model:MuZeroModel",
            summary="Convolutions over images and boards (model_type conv).",
        ),
        ModelSpec(
            name="MuZeroModelMLP",
            model="lz_muzero.model_mlp:MuZeroModelMLP",
            summary="Fully connected layers over vectors (model_type mlp).",
        ),
    ]
