"""Run many small searches of changing sizes and rules; resident memory may not grow.

    python plugins/lz_ctree/tools/memory.py [--searches 100000] [--tree lz_ctree]

A few trees of every rule are made at first and used again and again, each time with another number
of roots; now and then one of them is made anew, takes a call that it refuses, is asked for its
whole snapshot, or is left in the middle of a search. Memory is read from /proc (Linux) after the
first fifth of the searches, when every tree has had its largest batch, and at the end. Exit status
1 if it grew by more than the allowance. malloc gives no piece under 32 bytes, so one piece lost in
each search of one rule would be 250 KiB.

Shape letters: B roots, A actions, C outcomes, K sampled actions, D numbers of a continuous action.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import TreeSpec
from lzcore.registry import get_registry

Trees: TypeAlias = list[tuple[Any, TreeSpec]]

MOST_ROOTS = 12
WARM_UP = 0.2  # of the searches

SPECS = [
    TreeSpec(num_simulations=4, num_actions=3),
    TreeSpec(num_simulations=4, num_actions=3, num_threads=2),
    TreeSpec(num_simulations=3, num_actions=20, tie_break="random", q_transform="none"),
    TreeSpec(num_simulations=6, num_actions=2, q_transform="tree_min_max", fpu="ez_mean_q"),
    TreeSpec(num_simulations=4, num_actions=4, value_prefix=True, lstm_horizon_len=2),
    TreeSpec(num_simulations=5, num_actions=5, rule="gumbel", max_num_considered_actions=3),
    TreeSpec(num_simulations=6, num_actions=3, num_chance_outcomes=2),
    TreeSpec(num_simulations=6, num_actions=2, num_chance_outcomes=5, chance_select="sample"),
    TreeSpec(num_simulations=4, num_actions=9, num_sampled_actions=3),
    TreeSpec(num_simulations=4, action_dim=2, num_sampled_actions=3),
]


def main() -> None:
    """Parse, search, print one JSON object; exit status 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", default="lz_ctree", help="a registered tree")
    parser.add_argument("--searches", type=int, default=100_000)
    parser.add_argument("--allowed-kib", type=int, default=200, help="growth after the warm-up")
    asked = parser.parse_args()
    tree_class = get_registry().resolve("trees", asked.tree)
    rng = np.random.default_rng(0)
    trees = [(tree_class(spec), spec) for spec in SPECS]
    warm = int(asked.searches * WARM_UP)
    search_often(tree_class, trees, warm, rng)
    before = resident_kib()
    search_often(tree_class, trees, asked.searches - warm, rng)
    grown = resident_kib() - before
    told = {
        "check": "memory",
        "settings": vars(asked),
        "figures": {"after_warm_up_kib": before, "grown_kib": grown},
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    print(json.dumps(told, indent=2))
    sys.exit(grown > asked.allowed_kib)


def resident_kib() -> int:
    """Return the resident memory of this process in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def search_often(tree_class: Any, trees: Trees, searches: int, rng: np.random.Generator) -> None:
    """Search with one tree after another."""
    for number in range(searches):
        slot = number % len(trees)
        tree, spec = trees[slot]
        if number % 29 == 0:
            trees[slot] = tree, spec = tree_class(spec), spec
        if number % 5 == 0:
            refuse(tree, spec)
        roots = int(rng.integers(1, MOST_ROOTS + 1))
        simulations = spec.num_simulations if number % 7 else spec.num_simulations // 2
        search(tree, spec, roots, simulations, rng)
        if number % 13 == 0:
            tree.snapshot()


def search(
    tree: Any, spec: TreeSpec, roots: int, simulations: int, rng: np.random.Generator
) -> None:
    """Search B roots, moving latents where the tree can."""
    given = {"seeds": rng.integers(2**60, size=roots).astype(np.uint64)}
    if spec.rule == "gumbel":
        given["noise"] = rng.normal(size=(roots, spec.num_edges))
    if spec.tie_break == "random":
        given["reuse"] = Reuse(rng.integers(-1, 1, size=roots), rng.random(roots))
    if spec.num_actions:
        given["legal_actions"] = rng.random((roots, spec.num_actions)) < 0.5
        given["legal_actions"][:, 0] = True
    tree.start(evaluation(spec, roots, rng), **given)
    pool, rows = np.zeros((spec.num_nodes, roots, 3), np.float32), np.zeros((roots, 3), np.float32)
    for _ in range(simulations + spec.root_expand_all):
        leaves = tree.select()
        if hasattr(tree, "take") and len(leaves.parent) == roots:
            tree.take(pool, rows)
            tree.put(pool, rows)
        tree.backup(evaluation(spec, len(leaves.parent), rng))
    tree.result()


def evaluation(spec: TreeSpec, rows: int, rng: np.random.Generator) -> Evaluation:
    """Draw what is known of some states."""
    logits = rng.random((rows, spec.num_logits)) + 0.1  # > 0, so that it may be a deviation
    return Evaluation(value=logits[:, 0], logits=logits, reward=logits[:, -1])


def refuse(tree: Any, spec: TreeSpec) -> None:
    """Make calls that a tree answers with an error."""
    wrong = np.full((2, spec.num_logits), np.nan)
    for call in (tree.backup, tree.start):  # no leaves were selected; nan
        try:
            call(Evaluation(wrong[:, 0], wrong))
        except (RuntimeError, ValueError):
            continue
        raise SystemExit("A tree took a call that it has to refuse.")


if __name__ == "__main__":
    main()
