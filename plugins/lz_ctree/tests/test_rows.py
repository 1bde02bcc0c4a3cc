"""`take` and `put` move one row for each root between the pool of latents and a batch.

Shape letters: M nodes, B roots, L a latent state.
"""

import numpy as np
import pytest
import torch
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec


def selected(num_simulations=3, num_roots=2):
    """A tree in its second simulation: root 0 went deeper, root 1 turned to its other edge."""
    tree = CTree(TreeSpec(num_simulations=num_simulations, num_actions=2))
    tree.start(Evaluation(np.zeros(num_roots), np.zeros((num_roots, 2))))
    tree.select()
    worth = np.array([9.0, -9.0])[:num_roots]
    tree.backup(Evaluation(worth, np.zeros((num_roots, 2))))
    return tree, tree.select()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("latent", [(), (5,), (2, 3, 4)])
def test_take_copies_the_latent_of_each_leafs_parent(latent, dtype):
    tree, leaves = selected()
    pool = np.random.default_rng(0).normal(size=(4, 2, *latent)).astype(dtype)
    out = np.zeros((2, *latent), dtype)
    tree.take(pool, out)

    assert leaves.parent.tolist() == [1, 0]
    assert (out == np.stack([pool[1, 0], pool[0, 1]])).all()


def test_put_writes_the_row_of_each_leaf_and_no_other():
    tree, leaves = selected()
    pool = np.zeros((4, 2, 3), np.float32)
    rows = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    tree.put(pool, rows)

    assert leaves.node.tolist() == [2, 2]
    assert (pool[2] == rows).all()
    assert pool.sum() == rows.sum()


def test_at_max_depth_put_writes_to_the_older_node():
    tree = CTree(TreeSpec(num_simulations=2, num_actions=1, max_depth=1))
    one = Evaluation(np.zeros(1), np.zeros((1, 1)))
    tree.start(one)
    tree.select()
    tree.backup(one)
    tree.select()
    pool = np.zeros((3, 1), np.float32)
    tree.put(pool, np.ones(1, np.float32))

    assert pool[:, 0].tolist() == [0, 1, 0]


def test_memory_of_a_tensor_is_moved_in_place():
    tree, _ = selected()
    pool, out = torch.arange(24.0).reshape(4, 2, 3), torch.zeros(2, 3)
    tree.take(pool.numpy(), out.numpy())

    assert out.tolist() == [[6, 7, 8], [3, 4, 5]]


def test_rows_are_asked_for_after_select():
    tree = CTree(TreeSpec(num_simulations=1, num_actions=2))
    pool, out = np.zeros((2, 1, 3)), np.zeros((1, 3))
    with pytest.raises(RuntimeError, match="take was called before start"):
        tree.take(pool, out)
    tree.start(Evaluation(np.zeros(1), np.zeros((1, 2))))
    with pytest.raises(RuntimeError, match="put was called before select, which says which rows"):
        tree.put(pool, out)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("pool", "out", "message"),
    [
        (np.zeros((3, 2, 3)), np.zeros((2, 3)), r"pool has shape \(3, 2, 3\).*M >= 4 nodes"),
        (np.zeros((4, 3, 3)), np.zeros((3, 3)), r"and B = 2 roots"),
        (np.zeros((4, 2, 3)), np.zeros((2, 4)), r"and out \(2, 4\); expected \(M, B, \*L\)"),
        (np.zeros((4, 2)), np.zeros(()), r"pool has shape \(4, 2\) and out \(\)"),
        (np.zeros((4, 2, 3), "f4"), np.zeros((2, 3)), r"dtype float32 and out float64; expected o"),
        (np.full((4, 2), None), np.full(2, None), r"pool has dtype object"),
        ([[0.0]], np.zeros((2, 3)), r"pool is of type list; expected a NumPy array"),
        (np.zeros((4, 3, 2)).swapaxes(1, 2), np.zeros((2, 3)), r"pool is not C-contiguous"),
        (np.zeros((4, 2, 3)), np.zeros((2, 6))[:, ::2], r"out is not C-contiguous"),
        (np.zeros((4, 2, 3)), read_only(np.zeros((2, 3))), r"out is read-only; expected an array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(pool, out, message):
    tree, _ = selected()
    with pytest.raises(ValueError, match=message):
        tree.take(pool, out)
