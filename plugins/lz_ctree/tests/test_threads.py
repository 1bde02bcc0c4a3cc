"""Roots shared among threads: the same searches, bit for bit, and nothing that hangs.

Batches have 1,000 roots: one that is much smaller is done before a thread wakes up, and not shared.
"""

import subprocess
import sys

import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec

ROOTS, SIMULATIONS = 1000, 6
KINDS = {
    "puct": {"num_actions": 5, "tie_break": "random", "fpu": "ez_mean_q"},
    "gumbel": {"num_actions": 5, "rule": "gumbel"},
    "chance": {"num_actions": 3, "num_chance_outcomes": 4, "chance_select": "sample"},
    "slots": {"num_actions": 9, "num_sampled_actions": 4},
    "merged slots": {
        "num_actions": 9,
        "num_sampled_actions": 4,
        "sample_mode": "with_replacement",
    },
    "vectors": {"action_dim": 2, "num_sampled_actions": 3, "prior_mode": "density"},
    "prefixes": {"num_actions": 4, "value_prefix": True},
}


def drawn(spec, rows, rng):
    logits = rng.normal(size=(rows, spec.num_logits))
    logits[:, spec.action_dim :] = np.abs(logits[:, spec.action_dim :]) + 0.1
    over = rng.random(rows) < 0.1
    return Evaluation(rng.normal(size=rows), logits, rng.normal(size=rows), terminal=over)


def everything(kind, num_threads):
    """All that a search says on its way and in the end, as bytes."""
    rng = np.random.default_rng(7)
    spec = TreeSpec(num_simulations=SIMULATIONS, num_threads=num_threads, **KINDS[kind])
    tree = CTree(spec)
    said = []
    for _ in range(2):  # the threads are there already in the second search
        tree.start(drawn(spec, ROOTS, rng), seeds=np.arange(ROOTS, dtype=np.uint64))
        for _ in range(SIMULATIONS + spec.root_expand_all):
            leaves = tree.select()
            said += [field.tobytes() for field in leaves if field is not None]
            tree.backup(drawn(spec, len(leaves.node), rng))
        said += [field.tobytes() for field in tree.result() if field is not None]
        said += [field.tobytes() for field in tree.snapshot().values()]
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_finds_the_same(kind):
    alone = everything(kind, 1)

    for num_threads in (2, 3):
        assert everything(kind, num_threads) == alone


FORKED = """
import os
import numpy as np
from lz_ctree.tree import CTree
from lzcore.base import Evaluation, TreeSpec

roots = Evaluation(np.zeros(1000), np.zeros((1000, 3)))
tree = CTree(TreeSpec(num_simulations=2, num_actions=3, num_threads=2))

def searched():
    tree.start(roots)
    tree.select()
    tree.backup(roots)
    return int(tree.result().visit_count.sum())

assert searched() == 1000
child = os.fork()
if child == 0:
    ok = searched() == 1000  # with the threads that the fork left behind it would wait for ever
    del tree
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
assert searched() == 1000
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_process_searches_without_the_threads_it_does_not_have():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], timeout=60, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
