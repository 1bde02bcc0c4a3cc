"""Time a tree with a null model.

    python benchmarks/tree.py [--tree lz_ctree] [--roots 8 --actions 6 --simulations 50]

Evaluations are drawn beforehand, so what is timed is what Python must do to drive the tree: start,
then S times select and backup, then result. Times are microseconds of CPU of one thread for each
simulation and root, median and least over repeated searches. "latents" counts also moving the row
of each leaf's parent out of a pool of float32 rows and its successor back in, 16 numbers each.

Shape letters: B roots searched together, A actions, S simulations, L numbers of a latent.
"""

import argparse
import statistics
import time

import harness
import numpy as np

from lzcore.base.tree import Evaluation, TreeSpec
from lzcore.registry import get_registry

CASES = [(1, 6, 50), (8, 6, 50), (256, 18, 50), (8, 362, 50)]  # B, A, S
LATENT = 16  # L


def drawn(num_roots, num_actions, num_simulations):
    """Evaluations of the roots and of every simulation's leaves."""
    rng = np.random.default_rng(0)
    return [
        Evaluation(
            value=rng.normal(size=num_roots).astype(np.float32),
            logits=rng.normal(size=(num_roots, num_actions)).astype(np.float32),
            reward=0.1 * rng.normal(size=num_roots).astype(np.float32),
        )
        for _ in range(num_simulations + 1)
    ]


def searching(tree, evaluations):
    """A whole search that moves no latents."""
    roots, *leaves = evaluations

    def run():
        tree.start(roots)
        for evaluation in leaves:
            tree.select()
            tree.backup(evaluation)
        return tree.result()

    return run


def searching_with_latents(tree, evaluations):
    """A whole search that also gathers and scatters the latents of the leaves."""
    roots, *leaves = evaluations
    num_roots = len(roots.value)
    pool = np.zeros((len(evaluations), num_roots, LATENT), np.float32)
    rows = np.zeros((num_roots, LATENT), np.float32)
    column = np.arange(num_roots)

    def run_moving():
        tree.start(roots)
        for evaluation in leaves:
            tree.select()
            tree.take(pool, rows)
            tree.put(pool, rows)
            tree.backup(evaluation)
        return tree.result()

    def run_indexing():
        tree.start(roots)
        for node, evaluation in enumerate(leaves, start=1):
            pool[node] = pool[tree.select().parent, column]
            tree.backup(evaluation)
        return tree.result()

    return run_moving if hasattr(tree, "take") else run_indexing


def timed(run, steps, seconds):
    """Microseconds of CPU for each of `steps`: median and least over searches."""
    run()
    taken = []
    while sum(taken) < seconds or len(taken) < 5:
        start = time.thread_time_ns()
        run()
        taken.append((time.thread_time_ns() - start) / 1e9)
    return [round(1e6 * t / steps, 4) for t in (statistics.median(taken), min(taken))]


def measured(tree_class, num_roots, num_actions, num_simulations, seconds):
    """One row of figures."""
    spec = TreeSpec(num_simulations=num_simulations, num_actions=num_actions, discount=0.997)
    evaluations = drawn(num_roots, num_actions, num_simulations)
    tree, steps = tree_class(spec), num_roots * num_simulations
    plain = timed(searching(tree, evaluations), steps, seconds)
    moving = timed(searching_with_latents(tree, evaluations), steps, seconds)
    return {
        "roots": num_roots,
        "actions": num_actions,
        "simulations": num_simulations,
        "us": plain[0],
        "us_least": plain[1],
        "us_latents": moving[0],
        "us_latents_least": moving[1],
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", default="lz_ctree", help="a registered tree")
    parser.add_argument("--roots", type=int)
    parser.add_argument("--actions", type=int, default=6)
    parser.add_argument("--simulations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.5, help="of CPU for each figure")
    asked = parser.parse_args()
    tree_class = get_registry().resolve("trees", asked.tree)
    cases = [(asked.roots, asked.actions, asked.simulations)] if asked.roots else CASES
    rows = [measured(tree_class, *case, asked.seconds) for case in cases]
    harness.report("tree", vars(asked), {"searches": rows})


if __name__ == "__main__":
    main()
