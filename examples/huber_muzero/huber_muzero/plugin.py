"""What this distribution brings: a policy, and the model that it plans in unless told otherwise."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """MuZero with another loss; it starts from MuZero's presets."""
    return [
        PolicySpec(
            name="huber_muzero",
            policy="huber_muzero.policy:HuberMuZeroPolicy",
            config="huber_muzero.policy:HuberMuZeroConfig",
            default_model="HuberMuZeroModel",
            presets="lz_muzero.presets",
            summary="MuZero whose value and reward are plain numbers under a Huber loss.",
        )
    ]


@hookimpl
def lz_register_models() -> list[ModelSpec]:
    """Its network."""
    return [
        ModelSpec(
            name="HuberMuZeroModel",
            model="huber_muzero.model:HuberMuZeroModel",
            summary="MuZeroModelMLP with wider heads.",
        )
    ]
