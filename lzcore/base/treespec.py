"""What decides how a search selects, scores and backs up: one record for every algorithm.

Shape letters: S simulations, A discrete actions, D numbers of a continuous action, K sampled
actions, C chance outcomes, E edges of a decision node (A, or K where actions are sampled).
"""

import math
from typing import Any, Literal, TypeAlias

import attrs
from attrs import validators as v

from lzcore.base.errors import ConfigError

Rule: TypeAlias = Literal["puct", "gumbel"]
QTransform: TypeAlias = Literal["parent_and_siblings", "min_max", "tree_min_max", "none"]
Fpu: TypeAlias = Literal["mctx", "parent_value", "muzero_paper", "ez_mean_q", "zero", "minizero"]
TieBreak: TypeAlias = Literal["lowest", "prior", "random"]
ChanceSelect: TypeAlias = Literal["quasi_random", "sample"]
SampleMode: TypeAlias = Literal["without_replacement", "with_replacement"]
PriorMode: TypeAlias = Literal["empirical", "density"]


def _one_of(kind: Any) -> Any:
    return v.in_(kind.__args__)


@attrs.frozen(kw_only=True)
class TreeSpec:
    """Everything that decides what a search finds. `docs/search.md` tells what each name means.

    `num_actions` or `action_dim` is given, not both: actions are discrete or vectors.
    """

    num_simulations: int = attrs.field(validator=v.ge(1))  # S
    num_actions: int = attrs.field(default=0, validator=v.ge(0))  # A; 0: actions are vectors
    rule: Rule = attrs.field(default="puct", validator=_one_of(Rule))
    discount: float = attrs.field(default=1.0, validator=[v.ge(0.0), v.le(1.0)])  # unsigned
    max_depth: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))  # edges
    range_floor: float = attrs.field(default=0.01, validator=v.gt(0.0))  # of max - min
    num_threads: int = attrs.field(default=1, validator=v.ge(1))  # a hint; results do not change

    # rule "puct"
    pb_c_base: float = attrs.field(default=19652.0, validator=v.gt(0.0))
    pb_c_init: float = attrs.field(default=1.25, validator=v.ge(0.0))
    q_transform: QTransform = attrs.field(
        default="parent_and_siblings", validator=_one_of(QTransform)
    )
    q_bounds: tuple[float, float] = (-1.0, 1.0)  # lo, hi of q_transform "min_max"
    fpu: Fpu = attrs.field(default="parent_value", validator=_one_of(Fpu))
    tie_break: TieBreak = attrs.field(default="lowest", validator=_one_of(TieBreak))
    root_noise_weight: float = attrs.field(default=0.25, validator=[v.ge(0.0), v.le(1.0)])

    # rule "gumbel"
    max_num_considered_actions: int = attrs.field(default=16, validator=v.ge(1))
    maxvisit_init: float = attrs.field(default=50.0, validator=v.ge(0.0))
    value_scale: float = attrs.field(default=0.1, validator=v.ge(0.0))
    rescale_values: bool = True
    rescale_illegal: bool = True  # edges not allowed count as unvisited in the range of values
    use_mixed_value: bool = True

    # the model tells sums of rewards (EfficientZero)
    value_prefix: bool = False
    lstm_horizon_len: int = attrs.field(default=5, validator=v.ge(1))  # edges

    # chance nodes (Stochastic MuZero)
    num_chance_outcomes: int = attrs.field(default=0, validator=v.ge(0))  # C; 0: no chance nodes
    chance_select: ChanceSelect = attrs.field(
        default="quasi_random", validator=_one_of(ChanceSelect)
    )

    # edges are drawn from the policy (Sampled MuZero)
    num_sampled_actions: int = attrs.field(default=0, validator=v.ge(0))  # K; 0: all actions
    action_dim: int = attrs.field(default=0, validator=v.ge(0))  # D; 0: actions are discrete
    sample_mode: SampleMode = attrs.field(
        default="without_replacement", validator=_one_of(SampleMode)
    )
    sample_temperature: float = attrs.field(default=1.0, validator=v.gt(0.0))
    prior_mode: PriorMode = attrs.field(default="empirical", validator=_one_of(PriorMode))
    root_expand_all: bool = attrs.field()

    @root_expand_all.default
    def _expand_all_vectors(self) -> bool:
        return self.is_continuous and self.rule == "puct"

    @property
    def is_continuous(self) -> bool:
        """Whether actions are vectors of D numbers."""
        return self.action_dim > 0

    @property
    def is_sampled(self) -> bool:
        """Whether the edges of a node are K sampled actions."""
        return self.num_sampled_actions > 0

    @property
    def num_edges(self) -> int:
        """E: A, or K where actions are sampled."""
        return self.num_sampled_actions or self.num_actions

    @property
    def num_choices(self) -> int:
        """The longer of A and C: how many edges a mask of a leaf speaks of."""
        return max(self.num_actions, self.num_chance_outcomes)

    @property
    def num_logits(self) -> int:
        """W: numbers in a row of `Evaluation.logits`: 2 * D, or the longer of A and C."""
        return 2 * self.action_dim or self.num_choices

    @property
    def num_root_nodes(self) -> int:
        """Nodes made before the first simulation: the root, and its edges if all are expanded."""
        return 1 + self.num_edges * self.root_expand_all

    @property
    def num_nodes(self) -> int:
        """M: the most nodes a tree can have."""
        return self.num_root_nodes + self.num_simulations

    @property
    def depth_limit(self) -> int:
        """`max_depth`, or a depth that no search can reach: all nodes in one line."""
        return self.max_depth or self.num_simulations + self.root_expand_all

    def __attrs_post_init__(self) -> None:
        lo, hi = self.q_bounds
        if not -math.inf < lo < hi < math.inf:
            raise ConfigError(
                f"q_bounds is ({lo}, {hi}); expected two numbers, the lower one first."
            )
        for is_wrong, message in self._contradictions():
            if is_wrong:
                raise ConfigError(message)

    def _contradictions(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                (self.num_actions > 0) == self.is_continuous,
                f"num_actions is {self.num_actions} and action_dim {self.action_dim}; expected one "
                "of them above 0. Give num_actions where actions are discrete, action_dim where "
                "they are vectors.",
            ),
            (
                self.is_continuous and not self.is_sampled,
                "action_dim is given without num_sampled_actions. Vectors have to be sampled: say "
                "how many.",
            ),
            (
                self.is_continuous and self.num_chance_outcomes > 0,
                "num_chance_outcomes is given with action_dim. Chance nodes need discrete actions.",
            ),
            (
                self.value_prefix and self.num_chance_outcomes > 0,
                "num_chance_outcomes is given with value_prefix. A value prefix sums rewards over "
                "steps, and a chance node is only half of one.",
            ),
            (
                self.root_expand_all and self.rule == "gumbel",
                "root_expand_all is given with rule 'gumbel', which visits every considered action "
                "of the root by itself. Leave it out.",
            ),
        )
