"""Every setting of AlphaZero and its variants, with its default, bounds, unit and meaning.

Names and defaults are those of the documented interface; what we add is marked as an extension.
The order is: the network (`model`), the search (`mcts`), replay (`other`), then the policies.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import attrs
from attrs import validators as v

from lzcore.base import ModelSettings, PolicySettings, Settings, setting
from lzcore.base.config import Only
from lzcore.base.toml import show
from lzcore.base.treespec import ChanceSelect, Fpu, QTransform, SampleMode, TieBreak

COUNT = v.ge(1)
MAYBE_COUNT = v.optional(v.ge(1))
WEIGHT = v.ge(0.0)
POSITIVE = v.gt(0.0)
SHARE = [v.ge(0.0), v.le(1.0)]
WIDTHS = v.deep_iterable(COUNT)

BY_NAME = Only("the policy's name decides this")


# --- the network ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AlphaZeroModelSettings(ModelSettings):
    """The network: the `model` table."""

    observation_shape: int | tuple[int, ...] = setting(
        (3, 6, 6),
        "Shape of what the network sees: planes (C, H, W), or the width of a vector.",
        check=v.or_(COUNT, WIDTHS),
        spaces=True,
    )
    num_res_blocks: int = setting(
        1, "Residual blocks of the trunk, and again before the heads (conv).", check=COUNT
    )
    num_channels: int = setting(32, "Channels of the trunk (conv).", check=COUNT)
    model_type: Literal["conv", "mlp"] = setting(
        "conv", "Family of networks: conv for planes, mlp for vectors.", extension=True
    )
    name: str = setting(
        "", "A registered model that replaces the policy's own; empty: none.", extension=True
    )
    action_space_size: int | None = setting(
        None,
        "Number of actions; a run takes it from the game.",
        check=MAYBE_COUNT,
        extension=True,
        spaces=True,
    )
    norm_type: Literal["BN", "LN", "GN"] = setting(
        "BN",
        "Norm of the hidden layers: over the batch, the layer, or groups of channels.",
        extension=True,
    )
    downsample: bool = setting(False, "Shrink the planes first (conv).", extension=True)
    latent_state_dim: int = setting(
        128, "Width of the hidden layers (mlp).", check=COUNT, extension=True
    )
    value_head_channels: int = setting(
        16, "Channels of the value head (conv).", check=COUNT, extension=True
    )
    policy_head_channels: int = setting(
        16, "Channels of the policy head (conv).", check=COUNT, extension=True
    )
    fc_value_layers: tuple[int, ...] = setting(
        (32,), "Widths of the value head's hidden layers.", check=WIDTHS, extension=True
    )
    fc_policy_layers: tuple[int, ...] = setting(
        (32,), "Widths of the policy head's hidden layers.", check=WIDTHS, extension=True
    )
    value_activation: Literal["tanh", "none"] = setting(
        "tanh",
        "What the value passes last: tanh for games that end between -1 and 1; none for sums of "
        "rewards, which a run sets for games of one player.",
        extension=True,
    )


# --- the search -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class MctsSettings(Settings):
    """The search: the `mcts` table."""

    num_simulations: int = setting(50, "Simulations per move.", unit="simulations", check=COUNT)
    eval_num_simulations: int | None = setting(
        None,
        "Simulations per move in evaluation; none: num_simulations.",
        unit="simulations",
        check=MAYBE_COUNT,
        extension=True,
    )
    max_moves: int = setting(
        512, "Moves from the start of a game on which the search calls it a draw.", check=COUNT
    )
    root_dirichlet_alpha: float = setting(
        0.3, "Concentration of the noise on the root's prior when collecting.", check=POSITIVE
    )
    root_noise_weight: float = setting(
        0.25, "Share of that noise in the prior.", unit="share", check=SHARE
    )
    pb_c_base: float = setting(19652, "Visits at which exploration begins to grow.", check=POSITIVE)
    pb_c_init: float = setting(1.25, "Weight of exploration at few visits.", check=WEIGHT)
    q_transform: Literal["auto"] | QTransform = setting(
        "auto",
        "How q-values are scaled before exploration is added; auto: min_max, by q_bounds, in games "
        "of two players, else parent_and_siblings.",
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
    chance_select: ChanceSelect = setting(
        "quasi_random",
        "Which outcome of chance a simulation follows: in proportion to its chance, or drawn.",
        extension=True,
    )
    legal_actions: tuple[int, ...] | None = setting(
        None, "No effect: the game says which actions are legal.", noop=True, extension=True
    )


@attrs.frozen(kw_only=True)
class VariantMctsSettings(MctsSettings):
    """What the variants' `mcts` tables document besides."""

    legal_actions: tuple[int, ...] | None = setting(
        None, "No effect: the game says which actions are legal.", noop=True
    )
    action_space_size: int = setting(
        9, "Number of actions; a run takes it from the game.", check=COUNT, spaces=True
    )


@attrs.frozen(kw_only=True)
class GumbelMctsSettings(VariantMctsSettings):
    """The search: the `mcts` table."""

    num_of_sampled_actions: int = setting(
        2, "No effect: no actions are drawn.", check=COUNT, noop=True
    )
    continuous_action_space: bool = setting(
        False, "No effect: the actions of games are numbered.", noop=True
    )
    gumbel_scale: float = setting(
        10.0,
        "Scale of the Gumbel noise when collecting; the documented 10 explores almost at random, "
        "the paper's is 1.",
        check=WEIGHT,
    )
    gumbel_rng: float = setting(
        0.0,
        "Number of the stream of Gumbel noise, which goes on from search to search.",
        check=WEIGHT,
    )
    maxvisit_init: float = setting(
        50, "Visits added to the largest count where q-values are weighed.", check=WEIGHT
    )
    value_scale: float = setting(
        0.1, "Weight of q-values against logits, for each such visit.", check=WEIGHT
    )
    max_num_considered_actions: int = setting(
        6, "Actions of the root that sequential halving begins with.", check=COUNT
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

    def conflicts(self) -> Iterator[str]:
        """Settings of the rule that is not Gumbel's stay as they are."""
        yield from super().conflicts()
        if not self.gumbel_rng.is_integer():
            yield f"gumbel_rng is {show(self.gumbel_rng)}; expected a whole number."
        for name in _PUCT:
            default = getattr(attrs.fields(type(self)), name).default
            if self[name] != default:
                yield (
                    f"{name} is {show(self[name])}, but it belongs to the search of alphazero, and "
                    "gumbel_alphazero neither scores by PUCT nor mixes noise into the prior; leave "
                    f"it at {show(default)}."
                )


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
class SampledMctsSettings(VariantMctsSettings):
    """The search: the `mcts` table."""

    num_of_sampled_actions: int = setting(
        2, "Actions drawn at each node, at most all there are.", check=COUNT
    )
    continuous_action_space: bool = setting(
        False,
        "Whether actions are vectors.",
        check=Only("games have numbered actions, and no other are in this version"),
    )
    sample_mode: SampleMode = setting(
        "without_replacement", "How actions are drawn.", extension=True
    )
    sample_temperature: float = setting(
        1.0,
        "Exponent 1 / t on the policy that draws with replacement.",
        check=[v.ge(0.01), v.le(100.0)],
        extension=True,
    )


# --- replay ---------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ReplayBufferSettings(Settings):
    """The `other.replay_buffer` table."""

    replay_buffer_size: int = setting(
        1_000_000, "Transitions that replay keeps.", unit="transitions", check=COUNT
    )
    save_episode: bool = setting(False, "No effect: whole games are stored.", noop=True)
    max_replay_bytes: int | None = setting(
        None,
        "Memory that replay keeps to; none: no limit.",
        unit="bytes",
        check=MAYBE_COUNT,
        extension=True,
    )


@attrs.frozen(kw_only=True)
class OtherSettings(Settings):
    """The `other` table."""

    replay_buffer: ReplayBufferSettings = setting(attrs.Factory(ReplayBufferSettings), "Replay.")


# --- the policies ---------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AlphaZeroConfig(PolicySettings):
    """AlphaZero: plans with the rules of a game (arXiv:1712.01815)."""

    aliases: ClassVar[Mapping[str, str | Callable[[Any], dict[str, Any]]]] = {
        "piecewise_decay_lr_scheduler": "lr_piecewise_constant_decay",
        "policy_entropy_weight": "entropy_weight",
    }

    model: AlphaZeroModelSettings = setting(attrs.Factory(AlphaZeroModelSettings), "The network.")
    mcts: MctsSettings = setting(attrs.Factory(MctsSettings), "The search.")
    other: OtherSettings = setting(attrs.Factory(OtherSettings), "Replay.")

    # --- device and search tree -----------------------------------------------------------------

    record_network: bool = setting(
        True,
        "Record what the network computes for a search once, and replay it: as a trace on a CPU, "
        "as a CUDA graph on a GPU.",
        extension=True,
    )
    torch_compile: bool = setting(
        False, "Compile the network; where that is not possible, it runs as it is."
    )
    tensor_float_32: bool = setting(
        False, "Let GPUs multiply with fewer digits (TF32), in the whole process."
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32",
        "What the network multiplies in, learning included; weights and losses stay float32. "
        "bfloat16 is fast where there are units for it, as on CPUs with AMX.",
        extension=True,
    )
    multi_gpu: bool = setting(
        False,
        "Average gradients over the ranks that torchrun has started. Each has these environments, "
        "games and this replay for itself, and its own BatchNorm statistics; batch_size, "
        "replay_ratio and env steps are of all together.",
    )
    bp_update_sync: bool = setting(
        True,
        "With multi_gpu: exchange gradients in one message after backward; false: one by one while "
        "it goes on.",
    )
    sampled_algo: bool = setting(False, "Whether actions are sampled.", check=BY_NAME)
    gumbel_algo: bool = setting(False, "Whether search is Gumbel's.", check=BY_NAME)
    mcts_ctree: bool = setting(True, "With tree auto: prefer a compiled tree.", extension=True)
    tree: str = setting("auto", "The registered tree to search with, or auto.", extension=True)
    tree_threads: int = setting(
        1,
        "Threads that a compiled tree shares its roots among, from 512 on; results are the same.",
        check=COUNT,
        extension=True,
    )
    simulation_env_id: str = setting(
        "",
        "The game that is searched where the policy is used without a run, such as "
        "open_spiel/tic_tac_toe; a run takes it from the environment.",
        extension=True,
    )
    simulation_env_config_type: str = setting(
        "", "No effect: the environment's settings decide.", noop=True, extension=True
    )

    # --- collection -----------------------------------------------------------------------------

    collector_env_num: int = setting(8, "Environments that collect side by side.", check=COUNT)
    evaluator_env_num: int = setting(3, "Environments that evaluate side by side.", check=COUNT)
    n_episode: int = setting(
        8, "Games of each iteration.", unit="episodes", check=COUNT, extension=True
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
    target_temperature: float | None = setting(
        None,
        "Temperature of the visits that are learned; none: that of collection.",
        check=v.optional(POSITIVE),
        extension=True,
    )
    resign_below: float | None = setting(
        None,
        "In games against itself who moves resigns where the search values root and best action "
        "below this; none: never.",
        check=v.optional([v.ge(-1.0), v.lt(0.0)]),
        extension=True,
    )
    resign_played_on: float = setting(
        0.1,
        "Share of the games that are played to the end all the same, which tell how often "
        "resigning is wrong.",
        unit="share",
        check=SHARE,
        extension=True,
    )
    battle_mode: Literal["self_play_mode", "play_with_bot_mode", "eval_mode"] = setting(
        "self_play_mode", "No effect: env.bot decides.", noop=True, extension=True
    )

    # --- learning -------------------------------------------------------------------------------

    update_per_collect: int | None = setting(
        None, "Learn steps of each iteration; none: by replay_ratio.", check=MAYBE_COUNT
    )
    replay_ratio: float = setting(
        0.25, "Learn steps for each collected environment step.", check=POSITIVE
    )
    train_start_after_envsteps: int = setting(
        0, "Env steps before learning begins.", unit="env steps", check=v.ge(0), extension=True
    )
    batch_size: int = setting(256, "Samples of a learn step.", unit="samples", check=COUNT)
    value_weight: float = setting(1.0, "Weight of the value loss.", check=WEIGHT)
    entropy_weight: float = setting(
        0.0, "Weight of the policy's entropy, which is to stay high.", check=WEIGHT, extension=True
    )
    mask_illegal_actions: bool = setting(
        False,
        "Learn the policy over the legal actions alone, as the search reads it; false: over all.",
        extension=True,
    )
    search_value_weight: float = setting(
        0.0,
        "Share of what the search thought of a position in what the value learns; the rest is "
        "what the game came to.",
        check=SHARE,
        extension=True,
    )
    symmetry: Literal["none", "mirror", "square"] = setting(
        "none",
        "Learn from positions as they look to a game that does not care: mirror swaps left and "
        "right, square turns and mirrors. Actions are cells, row by row, or columns (mirror).",
        extension=True,
    )
    optim_type: Literal["SGD", "Adam", "AdamW"] = setting("SGD", "The optimiser.")
    learning_rate: float = setting(0.2, "Step size.", check=WEIGHT)
    momentum: float = setting(0.9, "Momentum of SGD.", check=WEIGHT)
    weight_decay: float = setting(1e-4, "Decay of weights.", check=WEIGHT)
    grad_clip_value: float = setting(
        10, "Longest gradient, as the Euclidean norm over all parameters.", check=POSITIVE
    )
    lr_piecewise_constant_decay: bool = setting(True, "Learning rate times 1, then 0.1, then 0.01.")
    threshold_training_steps_for_final_lr: int = setting(
        500_000, "0.1 from a half of it on, 0.01 after it.", unit="learn steps", check=COUNT
    )
    eval_freq: int = setting(
        2000, "Learn steps between evaluations.", unit="learn steps", check=COUNT, extension=True
    )
    eval_offline: bool = setting(
        False,
        "Evaluate the saved checkpoints after training instead of during it.",
        extension=True,
    )

    def conflicts(self) -> Iterator[str]:
        """The network has as many actions as the search."""
        yield from super().conflicts()
        network, search = self.model.action_space_size, self.mcts.get("action_space_size")
        if None not in (network, search) and network != search:
            yield (
                f"model.action_space_size is {network} and mcts.action_space_size {search}; both "
                "are the number of the game's actions, so give them one value."
            )

    @property
    def num_actions(self) -> int | None:
        """A, however it is told; None: it is not."""
        told: int | None = self.mcts.get("action_space_size")
        return self.model.action_space_size or told


@attrs.frozen(kw_only=True)
class GumbelAlphaZeroConfig(AlphaZeroConfig):
    """Gumbel AlphaZero: considers a few actions and improves the policy with few simulations."""

    mcts: GumbelMctsSettings = setting(attrs.Factory(GumbelMctsSettings), "The search.")
    type: Literal["gumbel_alphazero"] = setting(
        "gumbel_alphazero", "No effect: the policy's documented name.", noop=True
    )
    gumbel_algo: bool = setting(True, "Whether search is Gumbel's.", check=BY_NAME, extension=True)
    mcts_ctree: bool = setting(True, "With tree auto: prefer a compiled tree.")
    target_temperature: float | None = setting(
        None,
        "Temperature of the visits that are stored beside the improved policy, which is learned.",
        check=Only("what is learned is the improved policy"),
        extension=True,
    )


@attrs.frozen(kw_only=True)
class SampledAlphaZeroConfig(AlphaZeroConfig):
    """Sampled AlphaZero: searches among actions that it draws from its policy."""

    mcts: SampledMctsSettings = setting(attrs.Factory(SampledMctsSettings), "The search.")
    type: Literal["alphazero", "sampled_alphazero"] = setting(
        "alphazero", "No effect: the policy's documented name.", noop=True
    )
    sampled_algo: bool = setting(False, "No effect: the policy's name decides.", noop=True)
    gumbel_algo: bool = setting(False, "Whether search is Gumbel's.", check=BY_NAME, extension=True)
    mcts_ctree: bool = setting(True, "With tree auto: prefer a compiled tree.")
    normalize_prob_of_sampled_actions: bool = setting(
        False, "Learn the policy's share among the drawn actions rather than its probability."
    )
    policy_loss_type: Literal["cross_entropy", "KL"] = setting(
        "cross_entropy", "How the policy is compared with the visits; KL is always of shares."
    )
