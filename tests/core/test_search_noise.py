"""Dirichlet noise: the right distribution, and no row that depends on another."""

import numpy as np
import pytest

from lzcore.search import dirichlet_noise

SEEDS = np.arange(50_000, dtype=np.uint64)


@pytest.mark.parametrize("alpha", [0.03, 0.3, 1.0, 2.5])
def test_mean_and_variance_are_those_of_a_dirichlet_distribution(alpha):
    drawn = dirichlet_noise(SEEDS, np.ones((len(SEEDS), 4), dtype=bool), alpha)

    mean, variance = 0.25, 0.25 * 0.75 / (4 * alpha + 1)
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=5 * (variance / len(SEEDS)) ** 0.5)
    assert drawn.var(axis=0) == pytest.approx(variance, rel=0.05)


def test_rows_sum_to_one_over_the_legal_actions_only():
    legal = np.array([[True, False, True], [False, True, False], [True, True, True]])

    drawn = dirichlet_noise(np.arange(3, dtype=np.uint64), legal, 0.3)

    assert drawn.sum(axis=1) == pytest.approx(1.0)
    assert (drawn[~legal] == 0).all()
    assert drawn[1, 1] == 1.0


def test_a_root_draws_the_same_noise_alone_in_any_order_and_in_any_batch():
    legal = np.ones((200, 6), dtype=bool)
    together = dirichlet_noise(SEEDS[:200], legal, 0.3)

    backwards = dirichlet_noise(SEEDS[199::-1], legal, 0.3)
    alone = dirichlet_noise(SEEDS[77:78], legal[:1], 0.3)

    assert (backwards[::-1] == together).all()
    assert (alone[0] == together[77]).all()


def test_different_seeds_draw_different_noise():
    drawn = dirichlet_noise(SEEDS[:1000], np.ones((1000, 2), dtype=bool), 0.3)

    assert len(np.unique(drawn[:, 0])) == 1000


def test_tiny_alphas_neither_underflow_nor_lose_their_sum():
    drawn = dirichlet_noise(SEEDS[:100], np.ones((100, 362), dtype=bool), 0.001)

    assert np.isfinite(drawn).all()
    assert drawn.sum(axis=1) == pytest.approx(1.0)
