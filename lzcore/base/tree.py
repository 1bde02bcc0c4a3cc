"""What a tree search is asked for and what it answers.

A tree is a batch of B independent searches over E edges a node. It never calls the model: the
search loop (`lzcore.search`) evaluates the leaves that `select` names and hands the answers to
`backup`. The rules are those of `docs/search.md`.

Shape letters: B roots searched together, R leaves evaluated together (B, or B * E where all edges
of the roots are), E edges of a decision node (A actions, or K sampled ones), S simulations, M nodes
of a tree, W numbers a row of logits (`TreeSpec.num_logits`), C chance outcomes, X the longer of E
and C, D numbers of a continuous action.
Node 0 is the root; simulation i (from 0) owns node `TreeSpec.num_root_nodes` + i in every tree.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy.typing as npt

from lzcore.base.treespec import TreeSpec

Array: TypeAlias = npt.NDArray[Any]

TREE_PARTS = ("spec", "start", "select", "backup", "result")  # of a Tree, that a search needs


class Evaluation(NamedTuple):
    """What is known of R states: arrays in host memory, numbers float32 or float64.

    None means: as the spec says, or all legal, none terminal. Numbers lie within the range of
    float32. Rows of leaves that need no evaluation are not read.
    """

    value: Array  # (R,)  for the player to move there; of a finished game, its outcome for him
    # (R, W): prior logits over actions, unnormalised; at chance nodes over outcomes; with
    # continuous actions D means, then D standard deviations > 0, before tanh
    logits: Array
    # (R,) of the step into the state, for the player who made it; with `value_prefix` the sum
    # since the last reset, and then not None. Ignored at a root
    reward: Array | None = None
    legal_actions: Array | None = None  # (R, max(A, C)) bool, where rules are known
    to_play: Array | None = None  # (R,) int8, -1, 1 or 2; None: players alternate
    discount: Array | None = None  # (R,) signed, overrides spec.discount and the sign rule
    terminal: Array | None = None  # (R,) bool, the game is over: no edges
    is_chance: Array | None = None  # (R,) bool; None: chance follows each decision if C > 0
    # what the caller sampled, (R, K, D) float32 or (R, K) int64 rising ids, -1 behind the last;
    # None: the tree samples
    actions: Array | None = None


class Leaves(NamedTuple):
    """Where a simulation stopped in each tree: views of arrays that the next select overwrites.

    With `root_expand_all` the first select names all edges of all roots instead: row k * B + b is
    edge k of root b, and leads to node 1 + k.
    """

    parent: Array  # (R,) int64 node whose latent the model starts from
    action: Array  # (R,) int64 the action taken there; the edge, if actions are vectors
    node: Array  # (R,) int64 node to evaluate: the simulation's own, or an older one
    depth: Array  # (R,) int32 edges between root and node
    is_outcome: Array  # (R,) bool, the parent is a chance node and `action` its outcome
    needs_evaluation: Array  # (R,) bool, False: the tree knows this leaf; its row is not read
    vector: Array | None  # (R, D) float32 in (-1, 1), if actions are vectors


class Reuse(NamedTuple):
    """What an earlier search found one step ahead of each root (ReZero)."""

    action: Array  # (B,) int64 taken at the root; -1: nothing is known
    value: Array  # (B,) of the state it led to, for the player to move there


class SearchResult(NamedTuple):
    """What B finished searches found out, in arrays of their own. None: not asked for."""

    visit_count: Array  # (B, E) int32, sums to S in each row
    value: Array  # (B,) float64 mean of all returns seen at the root, its own value included
    q_value: Array  # (B, E) float64; 0 where the edge leads nowhere yet
    raw_value: Array  # (B,) float64 the network's own value of the root
    prior_logits: Array  # (B, A or 2 * D) float64 as given to start, before masking and noise
    num_evaluations: Array | None = None  # (B,) int32 leaves evaluated, the root not counted
    improved_policy: Array | None = None  # (B, E) float64, rule "gumbel": the policy target
    completed_q: Array | None = None  # (B, E) float64, rule "gumbel": q, or the mixed value
    best_edge: Array | None = None  # (B,) int64, rule "gumbel": the winner of the halving
    # (B, K, D) float32, or (B, K, 1) int64 with -1 behind the last: the root's sampled actions
    sampled_actions: Array | None = None


class Tree(Protocol):
    """A batch of searches that reuses its memory from one search to the next.

    One search, in calls: start, then `select` and `backup` in turns, S times or once more with
    `root_expand_all`, then result.
    """

    spec: TreeSpec

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
        reuse: Reuse | None = None,
    ) -> None:
        """Begin B new searches at evaluated roots.

        Args:
            evaluation: of the roots; only value, logits and actions count here (`search` also
                takes legal_actions and to_play from it).
            legal_actions: (B, A) bool, True = allowed; None: all.
            to_play: (B,) int8 in {-1, 1, 2}; None: -1, one player.
            seeds: (B,) uint64 counter-stream seeds, new ones for every search; None only where the
                tree draws nothing (`TreeSpec.draws`).
            noise: (B, E) float64. Rule "puct": rows over the legal actions summing to 1, mixed
                into the root prior with weight `root_noise_weight`. Rule "gumbel": finite numbers,
                added to the root's logits. None: no noise.
            reuse: rule "puct" without chance or sampled actions; None: plain searches.
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

        Keys: node_visits (B, M) int32 (0: number unused), node_values, raw_values (B, M) float64,
        to_play (B, M) int8, is_chance, terminal (B, M) bool, parents, action_from_parent (B, M)
        int32 (the edge taken; -1 at the root and at unused numbers), edge_visits (B, M, X) int32,
        edge_rewards, edge_discounts, prior (B, M, X) float64 (0 where an edge is not allowed; the
        root's with its noise). With `value_prefix` also value_prefix (B, M) float64 and is_reset
        (B, M) bool; with sampled actions also sampled_actions (B, M, K, D) float32 or (B, M, K, 1)
        int64, 0 or -1 where there is none.
        """
