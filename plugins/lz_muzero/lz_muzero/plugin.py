"""What this distribution registers; imports neither torch nor a model."""

from lzcore.registry import ModelSpec, PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """MuZero and its variants."""
    return [
        PolicySpec(
            name="muzero",
            policy="lz_muzero.policy:MuZeroPolicy",
            config="lz_muzero.config:MuZeroConfig",
            summary="Plans with PUCT in learned latent states.",
            default_model="MuZeroModel",
            presets="lz_muzero.presets",
            paper="arXiv:1911.08265",
        ),
        PolicySpec(
            name="stochastic_muzero",
            policy="lz_muzero.policy_stochastic:StochasticMuZeroPolicy",
            config="lz_muzero.config_variants:StochasticMuZeroConfig",
            summary="Plans with chance between an action and what comes of it.",
            default_model="StochasticMuZeroModel",
            presets="lz_muzero.presets.stochastic_muzero",
            paper="Antonoglou et al., ICLR 2022",
        ),
    ]


@hookimpl
def lz_register_models() -> list[ModelSpec]:
    """The networks of MuZero and its variants, for images and for vectors."""
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
        ModelSpec(
            name="StochasticMuZeroModel",
            model="lz_muzero.model_stochastic:StochasticMuZeroModel",
            summary="MuZeroModel with afterstates and outcomes of chance.",
        ),
        ModelSpec(
            name="StochasticMuZeroModelMLP",
            model="lz_muzero.model_stochastic:StochasticMuZeroModelMLP",
            summary="MuZeroModelMLP with afterstates and outcomes of chance.",
        ),
    ]
