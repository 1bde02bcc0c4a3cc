"""What decides how a search selects, scores and backs up: one record for every algorithm.

Shape letters: S simulations, A discrete actions, D numbers of a continuous action, K sampled
actions, C chance outcomes, E edges of a decision node (A, or K where actions are sampled).
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs

from lzcore.base.errors import ConfigError

Rule: TypeAlias = Literal["puct", "gumbel"]
QTransform: TypeAlias = Literal["parent_and_siblings", "min_max", "tree_min_max", "none"]
Fpu: TypeAlias = Literal["mctx", "parent_value", "muzero_paper", "ez_mean_q", "zero", "minizero"]
TieBreak: TypeAlias = Literal["lowest", "prior", "random"]
ChanceSelect: TypeAlias = Literal["quasi_random", "sample"]
SampleMode: TypeAlias = Literal["without_replacement", "with_replacement"]
PriorMode: TypeAlias = Literal["empirical", "density"]


def _field(default: Any, is_right: Callable[[Any], bool], expected: str) -> Any:
    """Declare a setting that is refused with what was expected."""

    def check(_: Any, attribute: Any, value: Any) -> None:
        if not is_right(value):
            raise ConfigError(f"{attribute.name} is {value!r}; expected {expected}.")

    return attrs.field(default=default, validator=check)


def _count(default: Any = attrs.NOTHING, least: int = 1) -> Any:
    return _field(
        default,
        lambda value: isinstance(value, int) and type(value) is not bool and value >= least,
        f"a whole number, {least} or more",
    )


def _number(default: float, least: float, most: float = math.inf, *, above: bool = False) -> Any:
    """Declare a finite number from `least`, or above it, to `most`."""
    start = f"above {least:g}" if above else f"{least:g} or more"
    return _field(
        default,
        lambda value: (
            isinstance(value, (int, float))
            and type(value) is not bool
            and (value > least if above else value >= least)
            and value <= most
            and value < math.inf
        ),
        f"a number {start}" if most == math.inf else f"a number from {least:g} to {most:g}",
    )


def _flag(default: Any = attrs.NOTHING) -> Any:
    return _field(default, lambda value: type(value) is bool, "True or False")


def _one_of(kind: Any, default: str) -> Any:
    return _field(default, lambda value: value in kind.__args__, f"one of {kind.__args__}")


@attrs.frozen(kw_only=True)
class TreeSpec:
    """Everything that decides what a search finds. `docs/search.md` tells what each name means.

    `num_actions` or `action_dim` is given, not both: actions are discrete or vectors.
    """

    num_simulations: int = _count()  # S
    num_actions: int = _count(0, least=0)  # A; 0: actions are vectors
    rule: Rule = _one_of(Rule, "puct")
    discount: float = _number(1.0, 0.0, 1.0)  # unsigned
    max_depth: int | None = _field(
        None,
        lambda value: value is None or (type(value) is int and value >= 1),
        "1 or more, or None",
    )  # edges
    range_floor: float = _number(0.01, 0.0, above=True)  # of max - min
    num_threads: int = _count(1)  # at most; results do not depend on it

    # rule "puct"
    pb_c_base: float = _number(19652.0, 0.0, above=True)
    pb_c_init: float = _number(1.25, 0.0)
    q_transform: QTransform = _one_of(QTransform, "parent_and_siblings")
    q_bounds: tuple[float, float] = (-1.0, 1.0)  # lo, hi of q_transform "min_max"
    fpu: Fpu = _one_of(Fpu, "parent_value")
    tie_break: TieBreak = _one_of(TieBreak, "lowest")
    root_noise_weight: float = _number(0.25, 0.0, 1.0)

    # rule "gumbel"
    max_num_considered_actions: int = _count(16)
    maxvisit_init: float = _number(50.0, 0.0)
    value_scale: float = _number(0.1, 0.0)
    rescale_values: bool = _flag(True)
    # edges not allowed count as unvisited in the range of values; never with sampled actions
    rescale_illegal: bool = _flag(True)
    use_mixed_value: bool = _flag(True)

    # the model tells sums of rewards (EfficientZero)
    value_prefix: bool = _flag(False)
    lstm_horizon_len: int = _count(5)  # edges

    # chance nodes (Stochastic MuZero)
    num_chance_outcomes: int = _count(0, least=0)  # C; 0: no chance nodes
    chance_select: ChanceSelect = _one_of(ChanceSelect, "quasi_random")

    # edges are drawn from the policy (Sampled MuZero)
    num_sampled_actions: int = _count(0, least=0)  # K; 0: all actions
    action_dim: int = _count(0, least=0)  # D; 0: actions are discrete
    sample_mode: SampleMode = _one_of(SampleMode, "without_replacement")
    sample_temperature: float = _number(1.0, 0.01, 100.0)  # with replacement
    prior_mode: PriorMode = _one_of(PriorMode, "empirical")
    root_expand_all: bool = _flag()

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

    @property
    def draws(self) -> bool:
        """Whether the tree itself draws at random, and so needs seeds."""
        random_ties = self.rule == "puct" and self.tie_break == "random"
        random_outcomes = self.num_chance_outcomes > 0 and self.chance_select == "sample"
        return self.is_sampled or random_ties or random_outcomes

    def __attrs_post_init__(self) -> None:
        bounds = self.q_bounds
        if (
            not isinstance(bounds, tuple)
            or len(bounds) != 2
            or not -math.inf < bounds[0] < bounds[1] < math.inf
        ):
            raise ConfigError(
                f"q_bounds is {bounds!r}; expected a tuple of two numbers, the lower one first."
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
