"""Every setting of MuZero, with its default, bounds, unit and meaning.

Names and defaults are those of the documented interface; what we add is marked as an extension.
The order is: the network (`model`), exploration (`eps`), then the policy itself in the order in
which data meets it: environment, collection, search, replay, targets, losses, optimiser.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import attrs
from attrs import validators as v

from lz_muzero.config_rnd import RndSettings
from lzcore.base import ConfigError, ModelSettings, PolicySettings, Settings, setting
from lzcore.base.config import Only
from lzcore.base.toml import show
from lzcore.base.treespec import Fpu, QTransform, TieBreak

COUNT = v.ge(1)
MAYBE_COUNT = v.optional(v.ge(1))
WEIGHT = v.ge(0.0)
POSITIVE = v.gt(0.0)
SHARE = [v.ge(0.0), v.le(1.0)]

BY_NAME = Only("the policy's name decides this")


def _support_scale(given: Any) -> dict[str, Any]:
    """Read a range (-S, S + 1, 1) as the scale S."""
    match given:
        case (int() | float() as low, int() | float() as high, 1) if low == 1 - high:
            return {"support_scale": int(high) - 1}
    raise ConfigError("expected [-S, S + 1, 1], the bins -S to S in steps of 1.")


@attrs.frozen(kw_only=True)
class MuZeroModelSettings(ModelSettings):
    """The network: the `model` table."""

    aliases: ClassVar[Mapping[str, str | Callable[[Any], dict[str, Any]]]] = {
        "reward_support_range": _support_scale,
        "value_support_range": _support_scale,
    }

    model_type: Literal["conv", "mlp", "conv_context", "mlp_context"] = setting(
        "conv",
        "Family of networks: conv for images and boards, mlp for vectors; with _context the root "
        "of a search follows from the last one, as imagined, and not from its observation.",
    )
    context_length_init: int = setting(
        5,
        "With such a context: an observation is encoded every so many moves.",
        unit="moves",
        check=COUNT,
        extension=True,
    )
    continuous_action_space: bool = setting(
        False,
        "Whether actions are vectors.",
        check=Only("muzero chooses among numbered actions, sampled_muzero takes vectors"),
    )
    observation_shape: int | tuple[int, ...] = setting(
        (4, 96, 96),
        "Shape of what the network sees: (C * S, H, W) with S stacked frames, or the width of one "
        "vector.",
        check=v.or_(COUNT, v.deep_iterable(COUNT)),
        spaces=True,
    )
    self_supervised_learning_loss: bool = setting(
        False, "Build the projector and predictor that ssl_loss_weight needs."
    )
    categorical_distribution: bool = setting(
        True, "Predict value and reward over bins; false: as plain numbers with squared errors."
    )
    image_channel: int = setting(1, "Channels of one frame.", check=COUNT, spaces=True)
    frame_stack_num: int = setting(
        1, "Frames that the network sees together.", unit="frames", check=COUNT
    )
    num_res_blocks: int = setting(1, "Residual blocks of each part (conv).", check=COUNT)
    num_channels: int = setting(64, "Channels of the latent state (conv).", check=COUNT)
    support_scale: int = setting(
        300, "Value and reward are predicted over bins -S to S of the squashed scale.", check=COUNT
    )
    bias: bool = setting(True, "No effect: layers have the bias they need.", noop=True)
    discrete_action_encoding_type: Literal["one_hot", "not_one_hot"] = setting(
        "one_hot", "How an action enters the dynamics: A indicators, or one number a / A."
    )
    res_connection_in_dynamics: bool = setting(
        True, "Add the latent state to what the dynamics makes of it (mlp; conv always does)."
    )
    norm_type: Literal["BN", "LN", "GN"] = setting(
        "BN", "Norm of the hidden layers: over the batch, the layer, or groups of channels."
    )
    analysis_sim_norm: bool = setting(False, "Log the norms of latents around SimNorm.")
    analysis_dormant_ratio: bool = setting(False, "Another name of cal_dormant_ratio.")
    harmony_balance: bool = setting(
        False, "Learn a factor on the weight of each loss, so that none outweighs the others."
    )

    name: str = setting(
        "", "A registered model that replaces the policy's own; empty: none.", extension=True
    )
    action_space_size: int | None = setting(
        None,
        "Number of actions; a run takes it from the environment.",
        check=MAYBE_COUNT,
        extension=True,
        spaces=True,
    )
    reward_support_size: int | None = setting(
        None, "Bins of the reward; if given, 2 * support_scale + 1.", extension=True
    )
    value_support_size: int | None = setting(
        None, "Bins of the value; if given, 2 * support_scale + 1.", extension=True
    )
    latent_state_dim: int = setting(
        256, "Width of the latent state (mlp).", check=COUNT, extension=True
    )
    downsample: bool | None = setting(
        None, "Shrink the picture first (conv); none: from 64 x 64 on.", extension=True
    )
    state_norm: bool = setting(
        False, "Scale each latent state to [0, 1] by its own range.", extension=True
    )
    use_sim_norm: bool | None = setting(
        None, "SimNorm after the representation; none: in mlp, not in conv.", extension=True
    )
    simnorm_dynamics: bool = setting(
        False, "SimNorm after the dynamics too, where the representation has it.", extension=True
    )
    proj_hid: int = setting(1024, "Hidden width of the projector.", check=COUNT, extension=True)
    proj_out: int = setting(1024, "Width of a projection.", check=COUNT, extension=True)
    pred_hid: int = setting(512, "Hidden width of the predictor.", check=COUNT, extension=True)
    pred_out: int = setting(
        1024, "Width of a prediction, as wide as a projection.", check=COUNT, extension=True
    )

    def conflicts(self) -> Iterator[str]:
        """The supports are as wide as their scale; predictions as wide as projections."""
        yield from super().conflicts()
        if self.context_length_init != 5 and not self.model_type.endswith("_context"):
            yield (
                f"context_length_init is {self.context_length_init}, and model_type "
                f"{self.model_type} has no context; leave it out."
            )
        bins = 2 * self.support_scale + 1
        for name in ("reward_support_size", "value_support_size"):
            if self[name] not in (None, bins):
                yield (
                    f"{name} is {self[name]}, but support_scale {self.support_scale} makes {bins} "
                    f"bins; leave {name} out."
                )
        if self.pred_out != self.proj_out:
            yield (
                f"pred_out is {self.pred_out} and proj_out {self.proj_out}; the two are compared, "
                "so give them one width."
            )


@attrs.frozen(kw_only=True)
class EpsilonSettings(Settings):
    """Epsilon-greedy exploration on top of the search: the `eps` table."""

    eps_greedy_exploration_in_collect: bool = setting(
        False, "Collect with the most visited action, and with probability epsilon a uniform one."
    )
    type: Literal["linear", "exp"] = setting("linear", "How epsilon falls from start to end.")
    start: float = setting(1.0, "Epsilon at the beginning.", unit="probability", check=SHARE)
    end: float = setting(0.05, "Epsilon at last.", unit="probability", check=SHARE)
    decay: int = setting(
        100_000,
        "Where linear reaches the end; time constant of exp.",
        unit="env steps",
        check=COUNT,
    )


@attrs.frozen(kw_only=True)
class MuZeroConfig(PolicySettings):
    """MuZero: plans in learned states (arXiv:1911.08265)."""

    aliases: ClassVar[Mapping[str, str | Callable[[Any], dict[str, Any]]]] = {
        "use_true_chance_label_in_chance_encoder": "use_ture_chance_label_in_chance_encoder",
        "piecewise_decay_lr_scheduler": "lr_piecewise_constant_decay",
        "calculate_dormant_ratio": "cal_dormant_ratio",
        "policy_entropy_weight": "policy_entropy_loss_weight",
    }

    model: MuZeroModelSettings = setting(attrs.Factory(MuZeroModelSettings), "The network.")
    eps: EpsilonSettings = setting(attrs.Factory(EpsilonSettings), "Epsilon-greedy exploration.")

    # --- device and search tree -----------------------------------------------------------------

    cuda: bool = setting(True, "Use the GPU if there is one.")
    record_network: bool = setting(
        True,
        "Record what the network computes for a search once, and replay it: as a trace on a CPU, "
        "as a CUDA graph on a GPU.",
        extension=True,
    )
    multi_gpu: bool = setting(
        False,
        "Average gradients over the ranks that torchrun has started. Each has these environments, "
        "episodes and this replay for itself, and its own BatchNorm statistics; batch_size, "
        "replay_ratio and env steps are of all together.",
    )
    bp_update_sync: bool = setting(
        True,
        "With multi_gpu: exchange gradients in one message after backward; false: one by one while "
        "it goes on.",
    )
    gumbel_algo: bool = setting(False, "Whether search is Gumbel's.", check=BY_NAME)
    sampled_algo: bool = setting(False, "Whether actions are sampled.", check=BY_NAME)
    mcts_ctree: bool = setting(True, "With tree auto: prefer a compiled tree.")
    tree: str = setting("auto", "The registered tree to search with, or auto.", extension=True)
    tree_threads: int = setting(
        1,
        "Threads that a compiled tree shares its roots among, from 512 on; results are the same.",
        check=COUNT,
        extension=True,
    )

    # --- environment ----------------------------------------------------------------------------

    collector_env_num: int = setting(8, "Environments that collect side by side.", check=COUNT)
    evaluator_env_num: int = setting(3, "Environments that evaluate side by side.", check=COUNT)
    env_type: Literal["not_board_games", "board_games"] = setting(
        "not_board_games",
        "Whether two players move in turn, and one wins what the other loses (board_games); a run "
        "takes it from the environment.",
        spaces=True,
    )
    action_type: Literal["fixed_action_space", "varied_action_space"] = setting(
        "fixed_action_space", "No effect: what is stored covers all actions.", noop=True
    )
    battle_mode: Literal["play_with_bot_mode", "self_play_mode", "eval_mode"] = setting(
        "play_with_bot_mode", "No effect: the environment's settings decide.", noop=True
    )
    ignore_done: bool = setting(
        False, "Take every end of an episode for a time limit, after which the value goes on."
    )
    use_ture_chance_label_in_chance_encoder: bool = setting(
        False,
        "Learn from the environment's chance outcomes (documented spelling).",
        check=Only("stochastic_muzero alone thinks of chance"),
    )

    # --- collection -----------------------------------------------------------------------------

    n_episode: int = setting(8, "Episodes of each iteration.", unit="episodes", check=COUNT)
    num_segments: int | None = setting(
        None,
        "An iteration ends after so many finished segments, not n_episode episodes, and episodes "
        "go on in the next one; none: by episodes.",
        unit="segments",
        check=MAYBE_COUNT,
        extension=True,
    )
    game_segment_length: int = setting(
        200,
        "Longest part in which an episode is handed to replay, which joins the parts again.",
        unit="steps",
        check=COUNT,
    )
    random_collect_episode_num: int = setting(
        0, "Episodes by uniform random actions before training.", unit="episodes", check=v.ge(0)
    )
    collect_with_pure_policy: bool = setting(
        False, "Collect by drawing from the network's policy, without search."
    )
    manual_temperature_decay: bool = setting(
        False, "Collection temperature 1.0, then 0.5, then 0.25, instead of a fixed one."
    )
    threshold_training_steps_for_final_temperature: int = setting(
        100_000,
        "0.5 from a half of it on, 0.25 from three quarters.",
        unit="learn steps",
        check=COUNT,
    )
    fixed_temperature_value: float = setting(
        0.25, "Collection temperature: the exponent 1 / t on visit counts.", check=POSITIVE
    )
    transform2string: bool = setting(
        False, "Keep frames in replay as JPEG: less memory, slower batches, a small loss (conv)."
    )
    gray_scale: bool = setting(
        False,
        "Whether frames kept as JPEG have one channel, not three; a run takes it from the "
        "environment.",
    )

    # --- search ---------------------------------------------------------------------------------

    num_simulations: int = setting(50, "Simulations per move.", unit="simulations", check=COUNT)
    eval_num_simulations: int | None = setting(
        None,
        "Simulations per move in evaluation; none: num_simulations.",
        unit="simulations",
        check=MAYBE_COUNT,
        extension=True,
    )
    reuse_search: bool = setting(
        False,
        "Reanalyze replay now and then, each search reusing what the next step's found (ReZero).",
    )
    root_dirichlet_alpha: float = setting(
        0.3, "Concentration of the noise on the root's prior when collecting.", check=POSITIVE
    )
    root_noise_weight: float = setting(
        0.25, "Share of that noise in the prior.", unit="share", check=SHARE
    )
    pb_c_base: float = setting(
        19652.0, "Visits at which exploration begins to grow.", check=POSITIVE, extension=True
    )
    pb_c_init: float = setting(
        1.25, "Weight of exploration at few visits.", check=WEIGHT, extension=True
    )
    q_transform: QTransform = setting(
        "parent_and_siblings",
        "How q-values are scaled before exploration is added; min_max goes by q_bounds.",
        extension=True,
    )
    q_bounds: tuple[float, float] = setting(
        (-1.0, 1.0), "Least and largest q-value, with q_transform min_max.", extension=True
    )
    value_delta_max: float = setting(
        0.01,
        "Least range of q-values that scaling stretches to [0, 1].",
        check=POSITIVE,
        extension=True,
    )
    fpu: Fpu = setting(
        "parent_value", "What an action that was never tried counts as.", extension=True
    )
    tie_break: TieBreak = setting("lowest", "Which of equal scores wins.", extension=True)
    max_depth: int | None = setting(
        None,
        "Longest path from the root; none: num_simulations.",
        check=MAYBE_COUNT,
        extension=True,
    )

    # --- replay ---------------------------------------------------------------------------------

    update_per_collect: int | None = setting(
        None, "Learn steps of each iteration; none: by replay_ratio.", check=MAYBE_COUNT
    )
    replay_ratio: float = setting(
        0.25, "Learn steps for each collected environment step.", check=POSITIVE
    )
    batch_size: int = setting(256, "Samples of a learn step.", unit="samples", check=COUNT)
    replay_buffer_size: int = setting(
        1_000_000, "Transitions that replay keeps.", unit="transitions", check=COUNT, extension=True
    )
    max_replay_bytes: int | None = setting(
        None,
        "Memory that replay keeps to; none: no limit.",
        unit="bytes",
        check=MAYBE_COUNT,
        extension=True,
    )
    sample_type: Literal["transition", "episode"] = setting(
        "transition", "Draw among transitions, or an episode first.", extension=True
    )
    use_priority: bool = setting(False, "Draw samples by the error of their value.")
    priority_prob_alpha: float = setting(0.6, "Exponent of priorities when drawing.", check=WEIGHT)
    priority_prob_beta: float = setting(
        0.4, "Exponent of the weights that make up for it.", check=WEIGHT
    )
    use_max_priority_for_new_data: bool = setting(
        True,
        "New transitions get the highest priority there is; false: the error of their value.",
        extension=True,
    )

    # --- targets --------------------------------------------------------------------------------

    num_unroll_steps: int = setting(5, "Model steps of a sample.", unit="steps", check=COUNT)
    td_steps: int = setting(5, "Rewards before the bootstrapped value.", unit="steps", check=COUNT)
    discount_factor: float = setting(
        0.997, "What the next step's value counts for.", check=[v.gt(0.0), v.le(1.0)]
    )
    use_root_value: bool = setting(
        False, "Bootstrap with stored values of roots, not the target network's.", extension=True
    )
    mini_infer_size: int = setting(
        10_240, "Observations that making targets evaluates at once.", check=COUNT, extension=True
    )
    target_update_freq: int = setting(
        100, "Learn steps between copies to the target network.", unit="learn steps", check=COUNT
    )
    reanalyze_ratio: float = setting(
        0.0, "Share of a batch whose searches are run anew.", check=SHARE, extension=True
    )
    reanalyze_outdated: bool = setting(
        True, "Reanalyze the oldest of the batch; false: any.", extension=True
    )
    reanalyze_noise: bool = setting(True, "Noise at the roots of reanalysis.")
    buffer_reanalyze_freq: float = setting(
        1.0,
        "How often reuse_search reanalyzes in an iteration; 0.5: in every other one.",
        check=POSITIVE,
        extension=True,
    )
    reanalyze_batch_size: int = setting(
        160,
        "Windows of num_unroll_steps + 1 positions that it searches each time.",
        unit="windows",
        check=COUNT,
        extension=True,
    )
    reanalyze_partition: float = setting(
        0.75,
        "Oldest share of the stored segments that these are drawn from.",
        check=[v.gt(0.0), v.le(1.0)],
        extension=True,
    )
    reanalyze_start_after_transitions: int = setting(
        2000,
        "It begins once replay holds more transitions than this.",
        unit="transitions",
        check=v.ge(0),
        extension=True,
    )
    use_rnd_model: bool = setting(False, "Reward novelty too (RND); the table rnd says how.")
    intrinsic_reward_weight: float = setting(
        0.01, "Weight of novelty (0 to 1) beside the reward.", check=WEIGHT, extension=True
    )
    target_update_freq_for_intrinsic_reward: int = setting(
        1000,
        "Learn steps between copies to the model whose latent states RND sees.",
        unit="learn steps",
        check=COUNT,
    )
    target_model_for_intrinsic_reward_update_type: Literal["assign", "momentum"] = setting(
        "assign", "Whether that model is copied, or follows a little each step.", extension=True
    )
    target_update_theta_for_intrinsic_reward: float = setting(
        0.005,
        "How far it follows with momentum.",
        unit="share of the way",
        check=SHARE,
        extension=True,
    )

    # --- losses ---------------------------------------------------------------------------------

    use_augmentation: bool = setting(False, "Change pictures at random before learning (conv).")
    augmentation: tuple[Literal["shift", "intensity"], ...] = setting(
        ("shift", "intensity"), "Which changes, in this order."
    )
    latent_grad_scale: float = setting(
        0.5, "Factor on the gradient into each model step.", check=SHARE, extension=True
    )
    reward_loss_weight: float = setting(1.0, "Weight of the reward loss.", check=WEIGHT)
    value_loss_weight: float = setting(0.25, "Weight of the value loss.", check=WEIGHT)
    policy_loss_weight: float = setting(1.0, "Weight of the policy loss.", check=WEIGHT)
    policy_entropy_loss_weight: float = setting(
        0.0, "Weight of the policy's entropy, which is to stay high.", check=WEIGHT
    )
    ssl_loss_weight: float = setting(
        0.0, "Weight of the consistency of imagined with observed latents.", check=WEIGHT
    )

    # --- optimiser ------------------------------------------------------------------------------

    optim_type: Literal["SGD", "Adam", "AdamW"] = setting("SGD", "The optimiser.")
    learning_rate: float = setting(0.2, "Step size.", check=WEIGHT)
    momentum: float = setting(0.9, "Momentum of SGD.", check=WEIGHT)
    weight_decay: float = setting(1e-4, "Decay of weights.", check=WEIGHT)
    grad_clip_value: float = setting(
        10.0, "Longest gradient, as the Euclidean norm over all parameters.", check=POSITIVE
    )
    lr_piecewise_constant_decay: bool = setting(True, "Learning rate times 1, then 0.1, then 0.01.")
    threshold_training_steps_for_final_lr: int = setting(
        50_000, "0.1 from a half of it on, 0.01 after it.", unit="learn steps", check=COUNT
    )

    # --- evaluation and what is logged ------------------------------------------------------------

    eval_offline: bool = setting(
        False, "Evaluate the saved checkpoints after training instead of during it."
    )
    eval_freq: int = setting(
        2000, "Learn steps between evaluations.", unit="learn steps", check=COUNT, extension=True
    )
    monitor_extra_statistics: bool = setting(True, "Log predicted and target rewards and values.")
    cal_dormant_ratio: bool = setting(False, "Log the share of neurons that are dormant.")
    analysis_dormant_ratio: bool = setting(False, "Another name of cal_dormant_ratio.")
    dormant_threshold: float = setting(
        0.025,
        "Activity up to which a neuron is dormant.",
        unit="mean of its layer",
        check=WEIGHT,
        extension=True,
    )
    analysis_sim_norm: bool = setting(False, "Log the norms of latents around SimNorm.")

    rnd: RndSettings = setting(
        attrs.Factory(RndSettings), "Random network distillation.", extension=True
    )

    def conflicts(self) -> Iterator[str]:
        """A segment holds an unroll; what needs pictures, SSL heads or transitions has them."""
        yield from super().conflicts()
        if self.game_segment_length < self.num_unroll_steps:
            yield (
                f"game_segment_length is {self.game_segment_length}, less than num_unroll_steps "
                f"{self.num_unroll_steps}; a segment holds at least one unroll."
            )
        model_type = self.model.model_type
        if self.use_augmentation and model_type.startswith("mlp"):
            yield (
                f"use_augmentation changes pictures, and model.model_type {model_type} sees "
                "vectors; "
                "set use_augmentation to false."
            )
        if self.transform2string and model_type.startswith("mlp"):
            yield (
                f"transform2string keeps pictures as JPEG, and model.model_type {model_type} sees "
                "vectors; "
                "set transform2string to false."
            )
        if self.ssl_loss_weight > 0.0 and not self.model.self_supervised_learning_loss:
            yield (
                f"ssl_loss_weight is {show(self.ssl_loss_weight)}, but "
                "model.self_supervised_learning_loss is false, so there is no such loss; "
                "set it to true, or the weight to 0."
            )
        if self.reuse_search and self.reanalyze_ratio > 0.0:
            yield (
                "reuse_search reanalyzes replay now and then, and reanalyze_ratio is "
                f"{show(self.reanalyze_ratio)}, a share of every batch; set one of them back."
            )
        if self.use_priority and self.sample_type == "episode":
            yield (
                "use_priority draws transitions, and sample_type is episode; "
                "set sample_type to transition, or use_priority to false."
            )
