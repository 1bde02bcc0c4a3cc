"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, hookimpl

LZ_API = 1


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
