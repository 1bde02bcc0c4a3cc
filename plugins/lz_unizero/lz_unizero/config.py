"""Every setting of UniZero, with its default, bounds, unit and meaning.

Names and defaults are those of the documented interface; what we add is marked as an extension.
The order is: the transformer (`model.world_model_cfg`), what stands documented in the `model` table
but belongs to saving, then that table, and the policy's own settings: MuZero's with other defaults.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import attrs
from attrs import validators as v
from lz_muzero.config import (
    BY_NAME,
    COUNT,
    MAYBE_COUNT,
    POSITIVE,
    SHARE,
    WEIGHT,
    MuZeroConfig,
    MuZeroModelSettings,
)

from lzcore.base.config import ModelSettings, Only, Settings, setting
from lzcore.base.toml import show

NO_DECODER = Only("no decoder paints observations in this version of lz-unizero")
_OBS_TYPE = {"conv": "image", "mlp": "vector"}
_OF_SAMPLING = (  # settings of `model` for searches that draw their actions
    "num_of_sampled_actions",
    "sigma_type",
    "fixed_sigma_value",
    "bound_type",
    "log_sigma_min",
)


# --- the transformer ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class WorldModelSettings(Settings):
    """The transformer: the `model.world_model_cfg` table."""

    # --- what it reads ------------------------------------------------------------------------

    tokens_per_block: int = setting(
        2, "Tokens of a step.", check=Only("a step is an observation and an action")
    )
    max_blocks: int = setting(
        10, "Steps of the longest window, in learning as in search.", unit="steps", check=COUNT
    )
    max_tokens: int = setting(
        20, "Tokens of that window, 2 * max_blocks.", unit="tokens", check=COUNT
    )
    context_length: int = setting(
        8,
        "Tokens that a decision looks back on: the last observation, and the steps before it of "
        "which context_length / 2 - 1 fit.",
        unit="tokens",
        check=v.ge(2),
    )
    kv_slide: Literal["grow", "rebuild"] = setting(
        "grow",
        "What a search does at the end of a context: grow to max_tokens first, or keep to "
        "context_length; beyond, the oldest steps are left out and the rest is read anew.",
        extension=True,
    )
    obs_type: Literal["image", "vector"] = setting(
        "image", "What observations are: image with model_type conv, vector with mlp."
    )
    action_space_size: int = setting(
        6,
        "Number of actions, or of the numbers of one action; a run takes it from the environment.",
        check=COUNT,
        spaces=True,
    )
    continuous_action_space: bool = setting(False, "Whether actions are vectors.", spaces=True)
    device: str = setting("cpu", "No effect: it follows the policy's device.", noop=True)
    env_num: int = setting(
        8, "No effect: what is remembered belongs to a search.", check=COUNT, noop=True
    )
    max_cache_size: int = setting(
        5000,
        "No effect: keys and values are kept for the nodes of one search, and no longer.",
        check=COUNT,
        noop=True,
    )

    # --- what it is made of -------------------------------------------------------------------

    num_layers: int = setting(2, "Blocks.", check=COUNT)
    num_heads: int = setting(8, "Heads of the attention, which share embed_dim.", check=COUNT)
    embed_dim: int = setting(
        768, "Width of a token, and of a latent state: that of an observation.", check=COUNT
    )
    group_size: int = setting(
        8, "Numbers of a latent state that sum to 1 together (SimNorm).", check=COUNT
    )
    attention: Literal["causal"] = setting("causal", "A token sees itself and those before it.")
    positions: Literal["learned", "rotary"] = setting(
        "learned",
        "How a token knows its place: by a learned vector for each place of a window, or by turns "
        "that tell distances (arXiv:2104.09864), with which contexts slide without reading anew.",
        extension=True,
    )
    gru_gating: bool = setting(False, "Gates (GTrXL) where a block adds to what it was given.")
    embed_pdrop: float = setting(
        0.1, "Dropout of tokens, in learning.", unit="probability", check=[v.ge(0.0), v.lt(1.0)]
    )
    resid_pdrop: float = setting(
        0.1, "Dropout of what blocks add.", unit="probability", check=[v.ge(0.0), v.lt(1.0)]
    )
    attn_pdrop: float = setting(
        0.1, "Dropout of attention.", unit="probability", check=[v.ge(0.0), v.lt(1.0)]
    )
    init_std: float = setting(
        0.02,
        "Spread of the first weights of linear layers and of learned vectors. Narrow tokens start "
        "sooner with more: about 0.02 * sqrt(768 / embed_dim).",
        check=POSITIVE,
        extension=True,
    )
    support_size: int = setting(
        101, "Bins of value and reward, 2 * support_scale + 1.", unit="bins", check=COUNT
    )

    # --- how it learns ------------------------------------------------------------------------

    gamma: float = setting(
        1.0, "Weight of a step's losses against those of the step before.", check=SHARE
    )
    predict_latent_loss_type: Literal["group_kl", "mse"] = setting(
        "group_kl", "How the next latent state is compared with the one that was foretold."
    )
    policy_entropy_weight: float = setting(
        1e-4, "Weight of the policy's entropy, which is to stay high.", check=WEIGHT
    )
    latent_recon_loss_weight: float = setting(0.0, "Weight of painted pictures.", check=NO_DECODER)
    perceptual_loss_weight: float = setting(
        0.0, "Weight of what painted pictures look like.", check=NO_DECODER
    )
    analysis_sim_norm: bool = setting(False, "Another name of model.analysis_sim_norm.")
    analysis_dormant_ratio: bool = setting(False, "Another name of cal_dormant_ratio.")
    dormant_threshold: float = setting(
        0.025,
        "Activity up to which a neuron is dormant.",
        unit="mean of its layer",
        check=WEIGHT,
    )

    def conflicts(self) -> Iterator[str]:
        """A window is whole steps and holds a context; heads and groups share the width."""
        yield from super().conflicts()
        if self.max_tokens != 2 * self.max_blocks:
            yield (
                f"max_tokens is {self.max_tokens} and max_blocks {self.max_blocks}; a step has 2 "
                f"tokens, so set max_tokens to {2 * self.max_blocks}."
            )
        if self.context_length % 2 or self.context_length > self.max_tokens:
            yield (
                f"context_length is {self.context_length}; expected an even number of tokens, at "
                f"most max_tokens, {self.max_tokens}."
            )
        if self.window_steps < 2:
            name = "max_blocks" if self.kv_slide == "grow" else "context_length"
            yield (
                f"{name} is {self[name]}, and with kv_slide {self.kv_slide} no step of a search "
                f"fits behind another; set it to {2 if name == 'max_blocks' else 4} or more."
            )
        yield from self._indivisible()

    def _indivisible(self) -> Iterator[str]:
        for name in ("num_heads", "group_size"):
            if self.embed_dim % self[name]:
                yield (
                    f"embed_dim is {self.embed_dim}, which {name} {self[name]} does not divide; "
                    "change one of them."
                )
        if self.positions == "rotary" and self.embed_dim // self.num_heads % 2:
            yield (
                f"positions is rotary, which turns pairs of numbers, but embed_dim "
                f"{self.embed_dim} and num_heads {self.num_heads} make heads of an odd width; "
                "change one of them."
            )

    @property
    def context_steps(self) -> int:
        """H: the most steps of real history that a search starts from."""
        return self.context_length // 2

    @property
    def window_steps(self) -> int:
        """The most steps that a leaf of a search looks back on, its own included."""
        return (self.max_tokens if self.kv_slide == "grow" else self.context_length) // 2


# --- documented in the model table, but of saving -------------------------------------------------


@attrs.frozen(kw_only=True)
class HookSettings(Settings):
    """The `model.learn.learner.hook` table."""

    save_ckpt_after_iter: int = setting(
        10_000,
        "No effect: run.checkpoint_every says when a run is saved.",
        check=COUNT,
        noop=True,
    )


@attrs.frozen(kw_only=True)
class LearnerSettings(Settings):
    """The `model.learn.learner` table."""

    hook: HookSettings = setting(attrs.Factory(HookSettings), "When to save, documented part.")


@attrs.frozen(kw_only=True)
class ModelLearnSettings(Settings):
    """The `model.learn` table."""

    learner: LearnerSettings = setting(attrs.Factory(LearnerSettings), "Documented part.")


# --- the network ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class UniZeroModelSettings(ModelSettings):
    """The network: the `model` table."""

    aliases: ClassVar[Mapping[str, str | Callable[[Any], dict[str, Any]]]] = (
        MuZeroModelSettings.aliases
    )

    model_type: Literal["conv", "mlp"] = setting(
        "conv", "How observations are read: conv for images and boards, mlp for vectors."
    )
    continuous_action_space: bool = setting(False, "Whether actions are vectors.", spaces=True)
    observation_shape: int | tuple[int, ...] = setting(
        (3, 64, 64),
        "Shape of what the network sees: (C * S, H, W) with S stacked frames, or the width of one "
        "vector.",
        check=v.or_(COUNT, v.deep_iterable(COUNT)),
        spaces=True,
    )
    self_supervised_learning_loss: bool = setting(
        True, "No effect: to foretell the next latent state is a loss of its own.", noop=True
    )
    categorical_distribution: bool = setting(
        True, "Predict value and reward over bins; false: as plain numbers with squared errors."
    )
    image_channel: int = setting(3, "Channels of one frame.", check=COUNT, spaces=True)
    frame_stack_num: int = setting(
        1, "Frames that the network sees together.", unit="frames", check=COUNT
    )
    num_res_blocks: int = setting(1, "Residual blocks behind the first layers (conv).", check=COUNT)
    num_channels: int = setting(64, "Channels of these blocks (conv).", check=COUNT)
    support_scale: int = setting(
        50, "Value and reward are predicted over bins -S to S of the squashed scale.", check=COUNT
    )
    bias: bool = setting(True, "No effect: layers have the bias they need.", noop=True)
    discrete_action_encoding_type: Literal["one_hot", "not_one_hot"] = setting(
        "one_hot", "No effect: each action has a learned vector.", noop=True
    )
    res_connection_in_dynamics: bool = setting(
        True, "No effect: the blocks of the transformer always add.", noop=True
    )
    norm_type: Literal["BN", "LN", "GN"] = setting(
        "BN",
        "Norm of the layers that read observations: over the batch, the layer, or groups of "
        "channels.",
    )
    analysis_sim_norm: bool = setting(False, "Log the norms of latents around SimNorm.")
    analysis_dormant_ratio: bool = setting(False, "Another name of cal_dormant_ratio.")
    harmony_balance: bool = setting(
        False, "Learn a factor on the weight of each loss, so that none outweighs the others."
    )
    learn: ModelLearnSettings = setting(attrs.Factory(ModelLearnSettings), "Documented part.")
    world_model_cfg: WorldModelSettings = setting(
        attrs.Factory(WorldModelSettings), "The transformer."
    )

    name: str = setting(
        "", "A registered model that replaces the policy's own; empty: none.", extension=True
    )
    action_space_size: int | None = setting(
        None,
        "Number of actions, or of the numbers of one action; none: as world_model_cfg says.",
        check=MAYBE_COUNT,
        extension=True,
        spaces=True,
    )
    downsample: bool | None = setting(
        None, "Shrink the picture first (conv); none: from 64 x 64 on.", extension=True
    )
    num_of_sampled_actions: int | None = setting(
        None,
        "Vectors drawn at each node of a search; none: 20.",
        check=MAYBE_COUNT,
        extension=True,
    )
    sigma_type: Literal["conditioned", "fixed", "independent"] = setting(
        "conditioned",
        "Spread of continuous actions: by the network, fixed_sigma_value, or one learned number "
        "for each component.",
        extension=True,
    )
    fixed_sigma_value: float = setting(
        0.3, "The spread, with sigma_type fixed.", check=POSITIVE, extension=True
    )
    bound_type: Literal["tanh"] | None = setting(
        None, "Keep the means, before they are squashed, within (-1, 1) by tanh.", extension=True
    )
    log_sigma_min: float = setting(
        -20.0,
        "Least logarithm of a spread (conditioned, independent).",
        check=[v.ge(-80.0), v.le(2.0)],  # exp of less is 0 to float32
        extension=True,
    )

    def conflicts(self) -> Iterator[str]:
        """What the table and the one inside both say is the same; the support has its bins."""
        yield from super().conflicts()
        inner = self.world_model_cfg
        bins = 2 * self.support_scale + 1
        if inner.support_size != bins:
            yield (
                f"world_model_cfg.support_size is {inner.support_size}, but support_scale "
                f"{self.support_scale} makes {bins} bins; set it to {bins}."
            )
        expected = _OBS_TYPE[self.model_type]
        if inner.obs_type != expected:
            yield (
                f"world_model_cfg.obs_type is {inner.obs_type}, but model_type {self.model_type} "
                f"reads {expected}s; set obs_type to {expected}."
            )
        for name in ("action_space_size", "continuous_action_space"):
            if self[name] is not None and self[name] != inner[name]:
                yield (
                    f"{name} is {show(self[name])}, and world_model_cfg.{name} "
                    f"{show(inner[name])}; give both one value."
                )

    @property
    def action_size(self) -> int:
        """A, or D where actions are vectors."""
        return self.world_model_cfg.action_space_size

    @property
    def action_dim(self) -> int | None:
        """D; None: actions are numbered."""
        return self.action_size if self.continuous_action_space else None


# --- the policy -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class UniZeroConfig(MuZeroConfig):
    """UniZero: plans with a transformer that remembers what was seen and done."""

    takes_vectors: ClassVar[bool] = False  # as actions

    model: UniZeroModelSettings = setting(  # type: ignore[assignment]  # has what is read of it
        attrs.Factory(UniZeroModelSettings), "The network."
    )
    type: Literal["unizero"] = setting("unizero", "The policy's documented name.", check=BY_NAME)

    # --- collection and replay ------------------------------------------------------------------

    game_segment_length: int = setting(
        400,
        "Longest part in which an episode is handed to replay, which joins the parts again.",
        unit="steps",
        check=COUNT,
    )
    train_start_after_envsteps: int = setting(
        0, "Nothing is learned before.", unit="env steps", check=v.ge(0)
    )
    sample_type: Literal["transition", "episode"] = setting(
        "transition", "Draw among transitions, or an episode first."
    )
    num_unroll_steps: int = setting(10, "Steps of a window.", unit="steps", check=COUNT)

    # --- losses and targets ---------------------------------------------------------------------

    target_update_theta: float = setting(
        0.05,
        "How far the target network follows with each learn step.",
        unit="share of the way",
        check=[v.gt(0.0), v.le(1.0)],
    )
    target_update_freq: int = setting(
        100, "No effect: the target network follows with each learn step.", check=COUNT, noop=True
    )
    obs_loss_weight: float = setting(
        10.0, "Weight of the loss of latent states foretold.", check=WEIGHT, extension=True
    )
    obs_loss_all_steps: bool = setting(
        True, "Compare what follows the last step of a window too.", extension=True
    )
    absorbing_end: bool = setting(
        False,
        "Learn that nothing follows the end of a terminated episode: its last observation again, "
        "no reward, no value. False: of what a search tries beyond an end nothing is learned.",
        extension=True,
    )
    policy_entropy_loss_weight: float = setting(
        0.0, "No effect: world_model_cfg.policy_entropy_weight is.", check=WEIGHT, noop=True
    )
    ssl_loss_weight: float = setting(
        0.0,
        "No effect: to foretell the next latent state is a loss of its own.",
        check=WEIGHT,
        noop=True,
    )
    latent_grad_scale: float = setting(
        0.5,
        "No effect: gradients go through a window as they are.",
        check=SHARE,
        extension=True,
        noop=True,
    )

    # --- optimiser ------------------------------------------------------------------------------

    optim_type: Literal["SGD", "Adam", "AdamW"] = setting("AdamW", "The optimiser.")
    learning_rate: float = setting(1e-4, "Step size.", check=WEIGHT)
    grad_clip_value: float = setting(
        5.0, "Longest gradient, as the Euclidean norm over all parameters.", check=POSITIVE
    )
    lr_piecewise_constant_decay: bool = setting(
        False, "Learning rate times 1, then 0.1, then 0.01."
    )

    # --- evaluation and what is logged ------------------------------------------------------------

    eval_freq: int = setting(
        2000, "Learn steps between evaluations.", unit="learn steps", check=COUNT
    )
    monitor_extra_statistics: bool = setting(
        True, "No effect: the mean targets of value and reward are always logged.", noop=True
    )
    dormant_threshold: float = setting(
        0.025, "No effect: that of world_model_cfg is.", check=WEIGHT, extension=True, noop=True
    )

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return a config as `Settings.of` does, in which settings that have two homes agree."""
        cfg = super().of(given)
        model = cfg.model
        inner = model.world_model_cfg
        model = attrs.evolve(
            model,
            action_space_size=inner.action_space_size,
            analysis_sim_norm=model.analysis_sim_norm or inner.analysis_sim_norm,
            analysis_dormant_ratio=model.analysis_dormant_ratio or inner.analysis_dormant_ratio,
        )
        found: Self = attrs.evolve(cfg, model=model, dormant_threshold=inner.dormant_threshold)
        return found

    def conflicts(self) -> Iterator[str]:
        """A window of learning is one of the network; actions are of a kind that is taken."""
        yield from super().conflicts()
        longest = self.model.world_model_cfg.max_blocks
        if self.num_unroll_steps > longest:
            yield (
                f"num_unroll_steps is {self.num_unroll_steps}, and model.world_model_cfg."
                f"max_blocks {longest}: the network reads no longer window; lower the one, or "
                "raise the other and with it max_tokens."
            )
        if self.model.continuous_action_space and not self.takes_vectors:
            yield (
                "model.continuous_action_space is true, but unizero chooses among numbered "
                "actions, and sampled_unizero takes vectors; set it to false."
            )
        for name in () if self.takes_vectors else _OF_SAMPLING:
            default = attrs.fields_dict(type(self.model))[name].default
            if self.model[name] != default:
                yield (
                    f"model.{name} is {show(self.model[name])}, but unizero draws no actions, and "
                    f"sampled_unizero does; leave it at {show(default)}."
                )
