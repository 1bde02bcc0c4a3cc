"""One search: evaluate the roots, then S times select, evaluate, back up."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lzcore.base.errors import ConfigError, ContractError
from lzcore.base.tree import Array, Evaluation, Leaves, Reuse, SearchResult, Tree
from lzcore.base.treespec import TreeSpec
from lzcore.search.dynamics import Dynamics


def search(
    tree: Tree,
    dynamics: Dynamics,
    observation: Any,
    *,
    num_simulations: int,
    legal_actions: Array | None = None,
    to_play: Array | None = None,
    seeds: Array | None = None,
    noise: Array | None = None,
    reuse: Reuse | None = None,
) -> SearchResult:
    """Search from B observed states at once.

    Args:
        tree: reused from search to search; its spec allows at least `num_simulations`.
        dynamics: evaluates roots and leaves.
        observation: whatever `dynamics.root` takes, such as (B, *O) float32.
        num_simulations: S, at most that of the tree's spec; with rule "gumbel", which plans ahead,
            the same.
        legal_actions: (B, A) bool, True = allowed at the root; None: as `dynamics.root` says, or
            all.
        to_play: (B,) int8 in {-1, 1, 2}; None: as `dynamics.root` says, or one player.
        seeds: (B,) uint64, new ones for every search; None only where the tree draws nothing.
        noise: (B, E) float64, what the rule of the tree mixes in at the root (`dirichlet_noise`,
            `gumbel_noise`); None: none.
        reuse: what an earlier search found one step ahead; None: nothing.
    Raises:
        ConfigError: the tree is not made for so many simulations.
        ContractError: what the tree answers is not of the form that `Tree` promises.
        ValueError: what the tree refuses, naming the argument and the root; a game that is over.
    """
    _check_simulations(tree.spec, num_simulations)
    evaluation = dynamics.root(observation)
    _check_unfinished(evaluation)
    if legal_actions is None and evaluation.legal_actions is not None:
        legal_actions = evaluation.legal_actions[:, : tree.spec.num_actions]
    if to_play is None:
        to_play = evaluation.to_play
    num_roots = len(evaluation.value)
    tree.start(evaluation, legal_actions, to_play, seeds, noise, reuse)
    for simulation in range(num_simulations + tree.spec.root_expand_all):
        leaves = tree.select()
        if not simulation:
            _check_leaves(tree, leaves, num_roots)
        if np.count_nonzero(leaves.needs_evaluation):
            evaluation = dynamics.expand(leaves)
        else:
            evaluation = _nothing(evaluation, len(leaves.needs_evaluation))
        tree.backup(evaluation)
    result = tree.result()
    _check_result(tree, result, num_roots)
    return result


def _check_simulations(spec: TreeSpec, asked: int) -> None:
    planned = spec.num_simulations
    if asked < 1 or asked > planned or (spec.rule == "gumbel" and asked != planned):
        raise ConfigError(
            f"num_simulations is {asked}, but the tree is made for {planned}"
            + (", and its rule 'gumbel' plans all of them" if spec.rule == "gumbel" else "")
            + ". Make a tree of that size."
        )


def _check_unfinished(roots: Evaluation) -> None:
    if roots.terminal is not None and roots.terminal.any():
        raise ValueError(
            f"The game is over at root {roots.terminal.argmax()}; expected a state with a move to "
            "make. Leave it out of the batch."
        )


def _check_leaves(tree: Tree, leaves: Any, num_roots: int) -> None:
    """Look at the form of the first leaves of a search; a tree does not change it on the way."""
    rows = num_roots * (tree.spec.num_edges if tree.spec.root_expand_all else 1)
    _check_form(tree, "select", leaves, Leaves, dict.fromkeys(Leaves._fields[:-1], (rows,)))


def _check_result(tree: Tree, result: Any, num_roots: int) -> None:
    each, all_edges = (num_roots,), (num_roots, tree.spec.num_edges)
    shapes = {"visit_count": all_edges, "value": each, "q_value": all_edges, "raw_value": each}
    _check_form(tree, "result", result, SearchResult, shapes)


def _check_form(
    tree: Tree, call: str, answer: Any, wanted: type, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    if not isinstance(answer, wanted):
        was = type(answer).__name__
        raise ContractError(tree, f"returned {was} from {call}; expected {wanted.__name__}.")
    for name, shape in shapes.items():
        found = getattr(getattr(answer, name), "shape", None)
        if found != shape:
            was = "no array" if found is None else f"shape {found}"
            raise ContractError(tree, f"returned {name} of {was} from {call}; expected {shape}.")


def _nothing(last: Evaluation, num_rows: int) -> Evaluation:
    """Make zeros in the form of the last evaluation: the tree reads no row of them."""

    def zeros(field: Array) -> Array:
        return np.zeros((num_rows, *field.shape[1:]), field.dtype)

    reward = None if last.reward is None else zeros(last.reward)
    return Evaluation(zeros(last.value), zeros(last.logits), reward)
