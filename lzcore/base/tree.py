"""What a tree search is asked for and what it answers.

A tree is a batch of B independent searches over E edges a node. It never calls the model: the
search loop (`lzcore.search`) evaluates the leaves that `select` names and hands the answers to
`backup`. The rules are those of `docs/search.md`.

Shape letters: B roots searched together, E edges of a node (the actions), S simulations.
Node 0 is the root and simulation i (from 0) owns node i + 1, in every tree of the batch.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import attrs
import numpy.typing as npt
from attrs import validators as v

from lzcore.base.errors import ConfigError

Array: TypeAlias = npt.NDArray[Any]
QTransform: TypeAlias = Literal["parent_and_siblings", "min_max", "tree_min_max", "none"]
Fpu: TypeAlias = Literal["mctx", "parent_value", "muzero_paper", "ez_mean_q", "zero", "minizero"]
TieBreak: TypeAlias = Literal["lowest", "prior", "random"]


@attrs.frozen(kw_only=True)
class TreeSpec:
    """Everything that decides how a search selects, scores and backs up."""

    num_simulations: int = attrs.field(validator=v.ge(1))  # S
    num_actions: int = attrs.field(validator=v.ge(1))  # E
    rule: Literal["puct"] = attrs.field(default="puct", validator=v.in_(("puct",)))
    discount: float = attrs.field(default=1.0, validator=[v.ge(0.0), v.le(1.0)])  # unsigned
    max_depth: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))  # edges
    pb_c_base: float = attrs.field(default=19652.0, validator=v.gt(0.0))
    pb_c_init: float = attrs.field(default=1.25, validator=v.ge(0.0))
    q_transform: QTransform = attrs.field(
        default="parent_and_siblings",
        validator=v.in_(("parent_and_siblings", "min_max", "tree_min_max", "none")),
    )
    q_bounds: tuple[float, float] = (-1.0, 1.0)  # lo, hi of q_transform "min_max"
    range_floor: float = attrs.field(default=0.01, validator=v.gt(0.0))  # of max - min
    fpu: Fpu = attrs.field(
        default="parent_value",
        validator=v.in_(("mctx", "parent_value", "muzero_paper", "ez_mean_q", "zero", "minizero")),
    )
    tie_break: TieBreak = attrs.field(
        default="lowest", validator=v.in_(("lowest", "prior", "random"))
    )
    root_noise_weight: float = attrs.field(default=0.25, validator=[v.ge(0.0), v.le(1.0)])

    def __attrs_post_init__(self) -> None:
        lo, hi = self.q_bounds
        if not -math.inf < lo < hi < math.inf:
            raise ConfigError(
                f"q_bounds is ({lo}, {hi}); expected two numbers, the lower one first."
            )


class Evaluation(NamedTuple):
    """What is known of B states: float32 or float64 arrays in host memory.

    `reward` is that of the step into the state, for the player who made it (ignored at a root).
    `value` is for the player to move at the state. None means: as the spec says, or all legal.
    """

    value: Array  # (B,)
    logits: Array  # (B, E)  prior logits over the edges, unnormalised
    reward: Array | None = None  # (B,)
    legal_actions: Array | None = None  # (B, E) bool, interior nodes of a simulator
    to_play: Array | None = None  # (B,) int8, -1, 1 or 2; None: players alternate
    discount: Array | None = None  # (B,) signed, overrides spec.discount and the sign rule


class Leaves(NamedTuple):
    """Where simulation i stopped in each tree: views of arrays that the next select overwrites."""

    parent: Array  # (B,) int64 node whose latent the model starts from
    action: Array  # (B,) int64 edge taken from the parent
    node: Array  # (B,) int64 node to evaluate: i + 1, or an older one at max_depth
    depth: Array  # (B,) int32 edges between root and node


class SearchResult(NamedTuple):
    """What B finished searches found out, in arrays of their own."""

    visit_count: Array  # (B, E) int32, sums to S in each row
    value: Array  # (B,) float64 mean of all returns seen at the root, its own value included
    q_value: Array  # (B, E) float64; 0 where the edge was never visited
    raw_value: Array  # (B,) float64 the network's own value of the root
    prior_logits: Array  # (B, E) float64 as given to start, before masking and noise


class Tree(Protocol):
    """A batch of searches that reuses its memory from one search to the next.

    One search, in calls: start, then S times (select, backup), then result.
    """

    def __init__(self, spec: TreeSpec) -> None:
        """Prepare searches of this kind; ValueError if `supports(spec)` says why not."""

    @staticmethod
    def supports(spec: TreeSpec) -> str | None:
        """Return None if this tree can run `spec`, else one line that says what it lacks."""

    def start(
        self,
        evaluation: Evaluation,
        legal_actions: Array | None = None,
        to_play: Array | None = None,
        seeds: Array | None = None,
        noise: Array | None = None,
    ) -> None:
        """Begin B new searches at evaluated roots.

        Args:
            evaluation: of the roots; reward, discount and legal_actions are ignored.
            legal_actions: (B, E) bool, True = allowed; None: all.
            to_play: (B,) int8 in {-1, 1, 2}; None: -1, one player.
            seeds: (B,) uint64 counter-stream seeds, needed where the spec draws (tie_break
                "random"); None: 0.
            noise: (B, E) float64, rows over the legal actions summing to 1, mixed into the root
                prior with weight `root_noise_weight`; None: no noise.
        Raises:
            ValueError: a shape or dtype is off, a number is not finite, or a root has no legal
                action; the message names the argument and the root.
        """

    def select(self) -> Leaves:
        """Descend once in every tree and say which edge to evaluate.

        Raises:
            RuntimeError: before start, after S simulations, or twice without a backup.
        """

    def backup(self, evaluation: Evaluation) -> None:
        """Store the evaluations of the selected leaves and carry them up to the roots."""

    def result(self) -> SearchResult:
        """Return the root statistics so far."""

    def snapshot(self) -> Mapping[str, Array]:
        """Return the whole trees for inspection and tests; arrays of their own.

        Keys: node_visits (B, S+1) int32, node_values, raw_values (B, S+1) float64,
        parents, action_from_parent (B, S+1) int32 (-1 at the root and at unused numbers),
        edge_visits (B, S+1, E) int32, edge_rewards, edge_discounts, logits (B, S+1, E) float64.
        """
