"""What the variants of MuZero set differently, and what they have to set besides.

Each class is MuZero's settings with its own defaults; names and defaults are those of the
documented interface, extensions are marked.
"""

from collections.abc import Iterator
from typing import Literal

import attrs
from attrs import validators as v

from lz_muzero.config import (
    BY_NAME,
    COUNT,
    MAYBE_COUNT,
    POSITIVE,
    WEIGHT,
    MuZeroConfig,
    MuZeroModelSettings,
)
from lzcore.base import setting
from lzcore.base.config import Only, Settings
from lzcore.base.toml import show
from lzcore.base.treespec import ChanceSelect, PriorMode, SampleMode


def _no_reuse(search: str) -> bool:
    """Declare reuse_search where a search cannot go on from a later one."""
    found: bool = setting(
        False,
        "No search is reused here (ReZero).",
        check=Only(f"ReZero reuses searches over all actions by PUCT, and this one {search}"),
    )
    return found


@attrs.frozen(kw_only=True)
class VariantModelSettings(MuZeroModelSettings):
    """The network of a variant, which knows no context."""

    model_type: Literal["conv", "mlp"] = setting(
        "conv", "Family of networks: conv for images and boards, mlp for vectors."
    )


# --- EfficientZero --------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class EfficientZeroModelSettings(VariantModelSettings):
    """The network: the `model` table."""

    self_supervised_learning_loss: bool = setting(
        True, "Build the projector and predictor that ssl_loss_weight needs."
    )
    lstm_hidden_size: int = setting(
        512, "Width of the LSTM that sums rewards to a value prefix.", check=COUNT
    )


@attrs.frozen(kw_only=True)
class EfficientZeroConfig(MuZeroConfig):
    """EfficientZero: predicts sums of rewards, and learns from its own pictures of the future."""

    model: EfficientZeroModelSettings = setting(
        attrs.Factory(EfficientZeroModelSettings), "The network."
    )
    lstm_horizon_len: int = setting(
        5, "Steps after which a value prefix begins anew.", unit="steps", check=COUNT
    )
    ssl_loss_weight: float = setting(
        2.0, "Weight of the consistency of imagined with observed latents.", check=WEIGHT
    )


# --- Gumbel MuZero --------------------------------------------------------------------------------

_PUCT = (  # settings of a search that Gumbel's replaces
    "root_dirichlet_alpha",
    "root_noise_weight",
    "pb_c_base",
    "pb_c_init",
    "q_transform",
    "q_bounds",
    "fpu",
    "tie_break",
)


@attrs.frozen(kw_only=True)
class GumbelMuZeroConfig(MuZeroConfig):
    """Gumbel MuZero: considers a few actions and improves the policy even with few simulations."""

    model: VariantModelSettings = setting(attrs.Factory(VariantModelSettings), "The network.")
    reuse_search: bool = _no_reuse("goes by Gumbel's rule")
    gumbel_algo: bool = setting(True, "Whether search is Gumbel's.", check=BY_NAME)
    max_num_considered_actions: int = setting(
        4, "Actions of the root that sequential halving begins with.", check=COUNT
    )
    gumbel_scale: float = setting(
        1.0, "Scale of the Gumbel noise when collecting.", check=WEIGHT, extension=True
    )
    maxvisit_init: float = setting(
        50.0,
        "Visits added to the largest count where q-values are weighed.",
        check=WEIGHT,
        extension=True,
    )
    value_scale: float = setting(
        0.1,
        "Weight of q-values against logits, for each such visit.",
        check=WEIGHT,
        extension=True,
    )
    gumbel_rescale_values: bool = setting(
        True, "Scale the q-values of a node to [0, 1].", extension=True
    )
    gumbel_use_mixed_value: bool = setting(
        True,
        "What was never tried counts as a mix of the node's value and what was; false: as its "
        "value.",
        extension=True,
    )
    gumbel_action: Literal["argmax", "visit_sample"] = setting(
        "argmax",
        "Collect with the winner of sequential halving; visit_sample: drawn from the visits.",
        extension=True,
    )
    use_priority: bool = setting(True, "Draw samples by the error of their value.")

    def conflicts(self) -> Iterator[str]:
        """Settings of the rule that is not Gumbel's stay as they are."""
        yield from super().conflicts()
        for name in _PUCT:
            default = getattr(attrs.fields(type(self)), name).default
            if self[name] != default:
                yield (
                    f"{name} is {show(self[name])}, but it belongs to the search of muzero, and "
                    f"gumbel_muzero neither scores by PUCT nor mixes noise into the prior; leave "
                    f"it at {show(default)}."
                )


# --- Sampled MuZero -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SampledMuZeroModelSettings(VariantModelSettings):
    """The network: the `model` table."""

    continuous_action_space: bool = setting(False, "Whether actions are vectors.", spaces=True)
    action_space_size: int = setting(
        6,
        "Number of actions, or of the numbers of one action; a run takes it from the environment.",
        check=COUNT,
        spaces=True,
    )
    num_of_sampled_actions: int | None = setting(
        None,
        "Actions drawn at each node, at most all there are; none: 20.",
        check=MAYBE_COUNT,
        extension=True,
    )
    self_supervised_learning_loss: bool = setting(
        True, "Build the projector and predictor that ssl_loss_weight needs."
    )
    norm_type: Literal["BN", "LN", "GN"] = setting(
        "LN", "Norm of the hidden layers: over the batch, the layer, or groups of channels."
    )
    sigma_type: Literal["conditioned", "fixed", "independent"] = setting(
        "conditioned",
        "Spread of continuous actions: by the network, fixed_sigma_value, or one learned number "
        "for each component.",
    )
    fixed_sigma_value: float = setting(0.3, "The spread, with sigma_type fixed.", check=POSITIVE)
    bound_type: Literal["tanh"] | None = setting(
        None, "Keep the means, before they are squashed, within (-1, 1) by tanh.", extension=True
    )
    log_sigma_min: float = setting(
        -20.0,
        "Least logarithm of a spread (conditioned, independent).",
        check=[v.ge(-80.0), v.le(2.0)],  # exp of less is 0 to float32
        extension=True,
    )
    lstm_hidden_size: int = setting(
        512, "No effect: there is no value prefix.", check=COUNT, noop=True
    )


@attrs.frozen(kw_only=True, slots=False)  # beside the settings of another policy
class SampledSettings(Settings):
    """What a policy whose searches draw their actions sets, whatever they plan in."""

    reuse_search: bool = _no_reuse("draws its actions")
    sampled_algo: bool = setting(True, "Whether actions are sampled.", check=BY_NAME)
    sample_mode: SampleMode = setting(
        "without_replacement", "How numbered actions are drawn.", extension=True
    )
    sample_temperature: float = setting(
        1.0,
        "Exponent 1 / t on the policy that draws with replacement.",
        check=[v.ge(0.01), v.le(100.0)],
        extension=True,
    )
    prior_mode: PriorMode = setting(
        "empirical",
        "Prior of drawn vectors: all alike, as they were drawn, or by their density.",
        extension=True,
    )
    root_expand_all: bool | None = setting(
        None,
        "Evaluate every drawn action of the root first; none: where actions are vectors.",
        extension=True,
    )
    normalize_prob_of_sampled_actions: bool = setting(
        False, "Learn the policy's share among the drawn actions rather than its density."
    )
    policy_loss_type: Literal["cross_entropy", "KL"] = setting(
        "cross_entropy", "How the policy is compared with the visits; KL is always of shares."
    )
    init_w: float = setting(
        3e-3, "Range of the first weights of means and spreads.", check=POSITIVE
    )
    lr_piecewise_constant_decay: bool = setting(
        False, "Learning rate times 1, then 0.1, then 0.01."
    )
    cos_lr_scheduler: bool = setting(
        False, "Learning rate along a half wave of the cosine, to 0 after max_train_iter steps."
    )
    max_train_iter: int = setting(
        1_000_000, "Where cos_lr_scheduler ends.", unit="learn steps", check=COUNT, extension=True
    )

    def conflicts(self) -> Iterator[str]:
        """There is one schedule of the learning rate."""
        yield from super().conflicts()
        if self.cos_lr_scheduler and self.lr_piecewise_constant_decay:
            yield (
                "cos_lr_scheduler and lr_piecewise_constant_decay both set the learning rate; "
                "set one of them to false."
            )


@attrs.frozen(kw_only=True)
class SampledMuZeroConfig(SampledSettings, MuZeroConfig):
    """Sampled MuZero: searches among actions that it draws, vectors too."""

    model: SampledMuZeroModelSettings = setting(
        attrs.Factory(SampledMuZeroModelSettings), "The network."
    )
    ssl_loss_weight: float = setting(
        2.0, "Weight of the consistency of imagined with observed latents.", check=WEIGHT
    )
    optim_type: Literal["SGD", "Adam", "AdamW"] = setting("AdamW", "The optimiser.")
    learning_rate: float = setting(1e-4, "Step size.", check=WEIGHT)
    lstm_horizon_len: int = setting(
        5, "No effect: there is no value prefix.", check=COUNT, noop=True
    )


# --- Sampled EfficientZero ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SampledEfficientZeroModelSettings(SampledMuZeroModelSettings):
    """The network: the `model` table."""

    lstm_hidden_size: int = setting(
        512, "Width of the LSTM that sums rewards to a value prefix.", check=COUNT
    )


@attrs.frozen(kw_only=True)
class SampledEfficientZeroConfig(SampledMuZeroConfig):
    """Sampled EfficientZero: drawn actions and value prefixes together."""

    model: SampledEfficientZeroModelSettings = setting(
        attrs.Factory(SampledEfficientZeroModelSettings), "The network."
    )
    lstm_horizon_len: int = setting(
        5, "Steps after which a value prefix begins anew.", unit="steps", check=COUNT
    )
    policy_entropy_loss_weight: float = setting(
        0.005, "Weight of the policy's entropy, which is to stay high.", check=WEIGHT
    )
    use_priority: bool = setting(True, "Draw samples by the error of their value.")


# --- Stochastic MuZero ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class StochasticMuZeroModelSettings(VariantModelSettings):
    """The network: the `model` table."""

    chance_space_size: int = setting(2, "Outcomes that chance may have.", check=COUNT)


@attrs.frozen(kw_only=True)
class StochasticMuZeroConfig(MuZeroConfig):
    """Stochastic MuZero: plans with chance between an action and what comes of it."""

    model: StochasticMuZeroModelSettings = setting(
        attrs.Factory(StochasticMuZeroModelSettings), "The network."
    )
    reuse_search: bool = _no_reuse("has chance nodes")
    use_ture_chance_label_in_chance_encoder: bool = setting(
        False, "Learn from the environment's chance outcomes (documented spelling)."
    )
    center_codes: bool = setting(
        True,
        "Where outcomes are not told, code each by the score that stands out against its mean in "
        "the batch; false: by the largest, with which one code may come to stand for all.",
        extension=True,
    )
    analyze_chance_distribution: bool = setting(False, "Log how often each outcome is met.")
    chance_select: ChanceSelect = setting(
        "quasi_random",
        "Which outcome a simulation follows: in proportion to its chance, or drawn.",
        extension=True,
    )
    update_per_collect: int | None = setting(
        100, "Learn steps of each iteration; none: by replay_ratio.", check=MAYBE_COUNT
    )
    use_priority: bool = setting(True, "Draw samples by the error of their value.")
    use_max_priority_for_new_data: bool = setting(
        True, "New transitions get the highest priority there is; false: the error of their value."
    )
    afterstate_policy_loss_weight: float = setting(
        1.0, "Weight of the loss of outcomes foretold.", check=WEIGHT
    )
    afterstate_value_loss_weight: float = setting(
        0.25, "Weight of the value loss of afterstates.", check=WEIGHT
    )
    commitment_loss_weight: float = setting(
        1.0, "Weight of the encoder's distance from its own code.", check=WEIGHT
    )
    optim_type: Literal["SGD", "Adam", "AdamW"] = setting("Adam", "The optimiser.")
    learning_rate: float = setting(
        0.0, "Step size; the documented 0 learns nothing: set it.", check=WEIGHT
    )
    lr_piecewise_constant_decay: bool = setting(
        False, "Learning rate times 1, then 0.1, then 0.01."
    )
