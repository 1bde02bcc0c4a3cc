"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """AlphaZero and its variants."""
    return [
        PolicySpec(
            name="alphazero",
            policy="lz_alphazero.policy:AlphaZeroPolicy",
            config="lz_alphazero.config:AlphaZeroConfig",
            summary="Plans with PUCT by the rules of a game, and learns from itself.",
            default_model="AlphaZeroModel",
            presets="lz_alphazero.presets",
            paper="arXiv:1712.01815",
        ),
        PolicySpec(
            name="gumbel_alphazero",
            policy="lz_alphazero.policy_gumbel:GumbelAlphaZeroPolicy",
            config="lz_alphazero.config:GumbelAlphaZeroConfig",
            summary="AlphaZero by Sequential Halving; learns even from a few simulations.",
            default_model="AlphaZeroModel",
            presets="lz_alphazero.presets.gumbel_alphazero",
            paper="https://openreview.net/forum?id=bERaNdoegnO",
        ),
        PolicySpec(
            name="sampled_alphazero",
            policy="lz_alphazero.policy_sampled:SampledAlphaZeroPolicy",
            config="lz_alphazero.config:SampledAlphaZeroConfig",
            summary="AlphaZero among actions that it draws, for games with very many.",
            default_model="AlphaZeroModel",
            presets="lz_alphazero.presets.sampled_alphazero",
            paper="arXiv:2104.06303",
        ),
    ]


@hookimpl
def lz_register_models() -> list[ModelSpec]:
    """The networks, for boards and for vectors."""
    return [
        ModelSpec(
            name="AlphaZeroModel",
            model="lz_alphazero.model:AlphaZeroModel",
            summary="Convolutions over the planes of a board (model_type conv).",
        ),
        ModelSpec(
            name="AlphaZeroModelMLP",
            model="lz_alphazero.model:AlphaZeroModelMLP",
            summary="Fully connected layers over a vector (model_type mlp).",
        ),
    ]
