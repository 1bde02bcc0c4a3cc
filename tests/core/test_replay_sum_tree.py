"""A sum tree answers like a running sum over its leaves, and never names a leaf without mass."""

import numpy as np
import pytest

from lzcore.replay.sum_tree import SumTree


def tree_of(*masses: float) -> SumTree:
    tree = SumTree(len(masses))
    tree.set_range(0, np.array(masses))
    return tree


def leaves(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_a_running_sum_falls_into_the_leaf_that_covers_it():
    tree = tree_of(1.0, 0.0, 2.0, 4.0, 1.0)  # covers [0, 1), nothing, [1, 3), [3, 7), [7, 8)

    found = tree.find(np.array([0.0, 0.99, 1.0, 2.99, 3.0, 6.5, 7.0, 7.99]))

    assert tree.total == 8.0
    assert found.tolist() == [0, 0, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 1000])
def test_it_agrees_with_a_cumulative_sum_after_any_changes(size):
    rng = np.random.default_rng(size)
    masses = np.zeros(size)
    tree = SumTree(size)
    for _ in range(20):
        first = int(rng.integers(size))
        stop = int(rng.integers(first, size + 1))
        masses[first:stop] = rng.integers(0, 5, stop - first)
        tree.set_range(first, masses[first:stop])
        some = rng.integers(0, size, 7)
        masses[some] = rng.integers(1, 5, 7)  # whole numbers: sums are exact
        tree.set(some, masses[some])

        asked = rng.integers(0, int(masses.sum()), 50).astype(np.float64)
        expected = np.searchsorted(np.cumsum(masses), asked, side="right")
        assert tree.total == masses.sum()
        assert tree.find(asked).tolist() == expected.tolist()
        assert tree.get(np.arange(size)).tolist() == masses.tolist()


def test_of_a_leaf_named_twice_the_last_mass_counts():
    tree = tree_of(1.0, 1.0, 1.0)

    tree.set(leaves(1, 1), np.array([5.0, 3.0]))

    assert tree.get(leaves(1)).tolist() == [3.0]
    assert tree.total == 5.0


@pytest.mark.parametrize("empty", [(0,), (3,), (0, 1), (2, 3), (1, 2, 3), (0, 1, 2)])
def test_sums_at_the_very_end_fall_into_the_last_leaf_with_mass(empty):
    masses = np.array([0.1, 0.2, 0.3, 0.7])
    masses[list(empty)] = 0.0
    tree = tree_of(*masses)

    beyond = np.array([tree.total, np.nextafter(tree.total, 2.0), np.nextafter(tree.total, 0.0)])

    assert (tree.find(beyond) == np.flatnonzero(masses)[-1]).all()


def test_leaves_without_mass_are_never_found_however_sums_are_rounded():
    rng = np.random.default_rng(0)
    masses = 10.0 ** rng.uniform(-30, 3, 257)
    masses[rng.random(257) < 0.7] = 0.0
    tree = tree_of(*masses)

    found = tree.find(rng.random(20_000) * tree.total)

    assert (masses[found] > 0.0).all()


def test_equal_leaves_give_the_same_tree_bit_for_bit_whatever_happened_before():
    rng = np.random.default_rng(1)
    masses = rng.random(100)
    fresh, used = tree_of(*masses), SumTree(100)
    for leaf in rng.permutation(100).tolist():
        used.set(leaves(leaf), rng.random(1))
        used.set(leaves(leaf), masses[[leaf]])
    held = used.get(leaves(3, 50))
    used.set(leaves(3, 50), 0.0)
    used.set(leaves(3, 50), held)

    asked = rng.random(1000) * fresh.total
    assert used.total == fresh.total
    assert used.find(asked).tolist() == fresh.find(asked).tolist()
