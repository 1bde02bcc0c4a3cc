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
            name="efficientzero",
            policy="lz_muzero.policy_efficientzero:EfficientZeroPolicy",
            config="lz_muzero.config_variants:EfficientZeroConfig",
            summary="MuZero that predicts sums of rewards and checks its imagination.",
            default_model="EfficientZeroModel",
            presets="lz_muzero.presets.efficientzero",
            paper="arXiv:2111.00210",
        ),
        PolicySpec(
            name="gumbel_muzero",
            policy="lz_muzero.policy_gumbel_muzero:GumbelMuZeroPolicy",
            config="lz_muzero.config_variants:GumbelMuZeroConfig",
            summary="Plans by Sequential Halving; learns even from a few simulations.",
            default_model="MuZeroModel",
            presets="lz_muzero.presets.gumbel_muzero",
            paper="https://openreview.net/forum?id=bERaNdoegnO",
        ),
        PolicySpec(
            name="sampled_muzero",
            policy="lz_muzero.policy_sampled:SampledMuZeroPolicy",
            config="lz_muzero.config_variants:SampledMuZeroConfig",
            summary="Plans among sampled actions, vectors of numbers too.",
            default_model="SampledMuZeroModel",
            presets="lz_muzero.presets.sampled_muzero",
            paper="arXiv:2104.06303",
        ),
        PolicySpec(
            name="sampled_efficientzero",
            policy="lz_muzero.policy_sampled_efficientzero:SampledEfficientZeroPolicy",
            config="lz_muzero.config_variants:SampledEfficientZeroConfig",
            summary="Sampled actions and sums of rewards together.",
            default_model="SampledEfficientZeroModel",
            presets="lz_muzero.presets.sampled_efficientzero",
            paper="arXiv:2104.06303",
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
            name="EfficientZeroModel",
            model="lz_muzero.model_efficientzero:EfficientZeroModel",
            summary="MuZeroModel whose reward head is an LSTM over steps.",
        ),
        ModelSpec(
            name="EfficientZeroModelMLP",
            model="lz_muzero.model_efficientzero:EfficientZeroModelMLP",
            summary="MuZeroModelMLP whose reward head is an LSTM over steps.",
        ),
        ModelSpec(
            name="MuZeroContextModel",
            model="lz_muzero.model:MuZeroContextModel",
            summary="The convolutions, with roots carried on (model_type conv_context).",
        ),
        ModelSpec(
            name="MuZeroContextModelMLP",
            model="lz_muzero.model_mlp:MuZeroContextModelMLP",
            summary="The layers over vectors, with roots carried on (model_type mlp_context).",
        ),
        ModelSpec(
            name="SampledMuZeroModel",
            model="lz_muzero.model_sampled:SampledMuZeroModel",
            summary="Sampled MuZero's convolutions, with Gaussian policies over vectors.",
        ),
        ModelSpec(
            name="SampledMuZeroModelMLP",
            model="lz_muzero.model_sampled:SampledMuZeroModelMLP",
            summary="Sampled MuZero's fully connected layers, with Gaussian policies over vectors.",
        ),
        ModelSpec(
            name="SampledEfficientZeroModel",
            model="lz_muzero.model_sampled_efficientzero:SampledEfficientZeroModel",
            summary="SampledMuZeroModel whose reward head is an LSTM over steps.",
        ),
        ModelSpec(
            name="SampledEfficientZeroModelMLP",
            model="lz_muzero.model_sampled_efficientzero:SampledEfficientZeroModelMLP",
            summary="SampledMuZeroModelMLP whose reward head is an LSTM over steps.",
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
