"""Time a tree with a null model, under every rule.

    python benchmarks/tree.py [--tree lz_ctree] [--cases puct gumbel ...]
    python benchmarks/tree.py --grid [--cases ...] [--roots 1 8 --actions 6 --simulations 50]

Evaluations are drawn beforehand, so what is timed is what Python must do to drive the tree: start,
then S times select and backup, then result. Times are microseconds of CPU for each simulation and
root, median and least over repeated searches. "latents" counts also moving the row of each leaf's
parent out of a pool of float32 rows and its successor back in, 16 numbers each.

Without --grid the cases are those that docs/results.md compares with other programs.

Shape letters: B roots searched together, A actions (chance outcomes, too), S simulations, L numbers
of a latent.
"""

import argparse
import statistics
import time
from itertools import product

import harness
import numpy as np

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec
from lzcore.registry import get_registry
from lzcore.search import gumbel_noise

LATENT = 16  # L
SAMPLED = 20  # slots a node, where actions are sampled
CASES = {  # name: what makes the spec, from A
    "puct": lambda a: {"num_actions": a},
    "value_prefix": lambda a: {"num_actions": a, "value_prefix": True},
    "gumbel": lambda a: {"num_actions": a, "rule": "gumbel"},
    "sampled_vectors": lambda a: {"action_dim": a, "num_sampled_actions": SAMPLED},
    "sampled_discrete": lambda a: {"num_actions": a, "num_sampled_actions": min(SAMPLED, a)},
    "stochastic": lambda a: {"num_actions": a, "num_chance_outcomes": a},
    "alphazero": lambda a: {"num_actions": a, "q_transform": "min_max"},
}
COMPARED = [  # case, B, A (or D), S
    ("puct", 1, 6, 50),
    ("puct", 8, 6, 50),
    ("puct", 256, 18, 50),
    ("puct", 8, 18, 50),
    ("puct", 8, 362, 50),
    ("value_prefix", 8, 6, 50),
    ("gumbel", 8, 6, 50),
    ("gumbel", 256, 18, 50),
    ("gumbel", 8, 18, 50),
    ("gumbel", 8, 362, 50),
    ("sampled_vectors", 8, 6, 50),
    ("sampled_discrete", 8, 362, 50),
    ("stochastic", 8, 6, 50),
    ("alphazero", 8, 9, 50),
]
GRID = ((1, 8, 64, 256), (2, 6, 18, 362), (16, 50, 200, 800))  # B, A, S


class NullModel:
    """Evaluations of the roots and of every simulation's leaves, drawn beforehand."""

    def __init__(self, case: str, spec: TreeSpec, num_roots: int) -> None:
        """Draw for searches of this kind; AlphaZero's games also have rules and ends."""
        rng = np.random.default_rng(0)
        self.is_game = case == "alphazero"
        self.num_roots = num_roots
        self.seeds = np.arange(num_roots, dtype=np.uint64)
        self.roots = self._drawn(rng, spec, num_roots)
        self.root_edges = self._drawn(rng, spec, num_roots * spec.num_edges)
        self.leaves = [self._drawn(rng, spec, num_roots) for _ in range(spec.num_simulations)]

    def _drawn(self, rng, spec, rows):
        logits = rng.normal(size=(rows, spec.num_logits)).astype(np.float32)
        if spec.is_continuous:
            logits[:, spec.action_dim :] = 0.3 + rng.random((rows, spec.action_dim))
        evaluation = Evaluation(
            value=rng.normal(size=rows).astype(np.float32),
            logits=logits,
            reward=0.1 * rng.normal(size=rows).astype(np.float32),
        )
        if not self.is_game:
            return evaluation
        legal = rng.random((rows, spec.num_actions)) < 0.7
        legal[:, 0] = True
        over = rng.random(rows) < 0.1
        return evaluation._replace(reward=None, legal_actions=legal, terminal=over)


def searching(tree, model, noise):
    """A whole search that moves no latents."""
    rounds = [*[model.root_edges] * tree.spec.root_expand_all, *model.leaves]

    def run():
        tree.start(model.roots, seeds=model.seeds, noise=noise)
        for evaluation in rounds:
            tree.select()
            tree.backup(evaluation)
        return tree.result()

    return run


def searching_with_latents(tree, model, noise):
    """A whole search that also gathers and scatters the latents of the leaves."""
    num_roots, first = model.num_roots, tree.spec.num_root_nodes
    pool = np.zeros((tree.spec.num_nodes, num_roots, LATENT), np.float32)
    rows = np.zeros((num_roots, LATENT), np.float32)
    column = np.arange(num_roots)

    def expand_root():
        leaves = tree.select()
        pool[1:first] = pool[leaves.parent.reshape(-1, num_roots), column]
        tree.backup(model.root_edges)

    def run_moving():
        tree.start(model.roots, seeds=model.seeds, noise=noise)
        if first > 1:
            expand_root()
        for evaluation in model.leaves:
            tree.select()
            tree.take(pool, rows)
            tree.put(pool, rows)
            tree.backup(evaluation)
        return tree.result()

    def run_indexing():
        tree.start(model.roots, seeds=model.seeds, noise=noise)
        if first > 1:
            expand_root()
        for node, evaluation in enumerate(model.leaves, start=first):
            pool[node] = pool[tree.select().parent, column]
            tree.backup(evaluation)
        return tree.result()

    return run_moving if hasattr(tree, "take") else run_indexing


def timed(run, steps, seconds):
    """Microseconds of CPU for each of `steps`: median and least over searches."""
    run()
    taken = []
    while sum(taken) < seconds or len(taken) < 5:
        start = time.process_time_ns()
        run()
        taken.append((time.process_time_ns() - start) / 1e9)
    return [round(1e6 * t / steps, 4) for t in (statistics.median(taken), min(taken))]


def measured(tree_class, case, sizes, seconds, threads):
    """One row of figures."""
    num_roots, num_actions, num_simulations = sizes
    spec = TreeSpec(
        num_simulations=num_simulations,
        discount=0.997,
        num_threads=threads,
        **CASES[case](num_actions),
    )
    tree, steps = tree_class(spec), num_roots * num_simulations
    model = NullModel(case, spec, num_roots)
    noise = gumbel_noise(model.seeds, spec.num_edges) if spec.rule == "gumbel" else None
    plain = timed(searching(tree, model, noise), steps, seconds)
    moving = timed(searching_with_latents(tree, model, noise), steps, seconds)
    return {
        "case": case,
        "roots": num_roots,
        "actions": num_actions,
        "simulations": num_simulations,
        "us": plain[0],
        "us_least": plain[1],
        "us_latents": moving[0],
        "us_latents_least": moving[1],
    }


def chosen_cases(asked):
    """(case, B, A, S) of every row that is asked for."""
    names = asked.cases or list(CASES)
    if not asked.grid:
        return [row for row in COMPARED if row[0] in names]
    sizes = (asked.roots, asked.actions, asked.simulations)
    axes = [given or usual for given, usual in zip(sizes, GRID, strict=True)]
    return [
        (case, *row)
        for case in names
        for row in product(*axes)
        if not (case == "sampled_vectors" and row[1] > 18)  # vectors are short
    ]


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", default="lz_ctree", help="a registered tree")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="default: all")
    parser.add_argument("--grid", action="store_true", help="every B, A and S for each case")
    parser.add_argument("--roots", type=int, nargs="+", help="B of the grid")
    parser.add_argument("--actions", type=int, nargs="+", help="A of the grid")
    parser.add_argument("--simulations", type=int, nargs="+", help="S of the grid")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU for each figure")
    asked = parser.parse_args()
    tree_class = get_registry().resolve("trees", asked.tree)
    rows = [
        measured(tree_class, case, sizes, asked.seconds, asked.threads)
        for case, *sizes in chosen_cases(asked)
    ]
    harness.report("tree", vars(asked), {"searches": rows})


if __name__ == "__main__":
    main()
