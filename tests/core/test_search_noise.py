"""Noise for roots: the right distributions, and no row that depends on another."""

import numpy as np
import pytest

from lzcore.search import dirichlet_noise, gumbel_noise

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


# --- Gumbel noise ---------------------------------------------------------------------------------


def test_gumbel_noise_has_the_moments_of_a_gumbel_distribution():
    drawn = gumbel_noise(SEEDS, 4)

    deviation = np.pi / 6**0.5
    assert drawn.mean(axis=0) == pytest.approx(
        np.euler_gamma, abs=5 * deviation / len(SEEDS) ** 0.5
    )
    assert drawn.std(axis=0) == pytest.approx(deviation, rel=0.02)
    third = ((drawn - drawn.mean(axis=0)) / drawn.std(axis=0)) ** 3
    assert third.mean() == pytest.approx(1.13955, abs=0.05)


def test_the_largest_of_logits_and_gumbel_noise_is_a_draw_from_their_softmax():
    probability = np.array([0.6, 0.3, 0.1])

    taken = (np.log(probability) + gumbel_noise(SEEDS, 3)).argmax(axis=1)

    share = np.bincount(taken, minlength=3) / len(SEEDS)
    assert share == pytest.approx(probability, abs=5 * 0.5 / len(SEEDS) ** 0.5)


def test_edges_and_neighbouring_seeds_draw_gumbel_noise_independently():
    drawn = gumbel_noise(SEEDS, 2)

    between_edges = np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]
    between_seeds = np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]
    assert abs(between_edges) < 5 / len(SEEDS) ** 0.5
    assert abs(between_seeds) < 5 / len(SEEDS) ** 0.5


def test_a_root_draws_the_same_gumbel_noise_alone_in_any_order_and_among_more_edges():
    together = gumbel_noise(SEEDS[:200], 6)

    assert together.dtype == np.float64
    assert (gumbel_noise(SEEDS[199::-1], 6)[::-1] == together).all()
    assert (gumbel_noise(SEEDS[77:78], 6)[0] == together[77]).all()
    assert (gumbel_noise(SEEDS[:200], 9)[:, :6] == together).all()


def test_a_scale_multiplies_gumbel_noise_and_a_scale_of_zero_leaves_none():
    seeds = SEEDS[:50]

    assert gumbel_noise(seeds, 5, 2.0) == pytest.approx(2.0 * gumbel_noise(seeds, 5))
    assert not gumbel_noise(seeds, 5, 0.0).any()


TWO = np.arange(2, dtype=np.uint64)
ALL = np.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: dirichlet_noise(TWO, ALL, 0.0), r"alpha is 0\.0; expected a number above 0"),
        (lambda: dirichlet_noise(TWO, ALL, np.nan), r"alpha is nan; expected a number above 0"),
        (
            lambda: dirichlet_noise(TWO, np.array([[True] * 3, [False] * 3]), 0.3),
            r"legal_actions allows no action at root 1; .* Leave states without a move out",
        ),
        (
            lambda: dirichlet_noise(TWO[:1], ALL, 0.3),
            r"seeds are uint64 of shape \(1,\); expected ",
        ),
        (
            lambda: dirichlet_noise(np.arange(2), ALL, 0.3),
            r"seeds are int64 of shape \(2,\); expecte",
        ),
        (
            lambda: gumbel_noise(7, 3),
            r"seeds are int of shape \(\); expected uint64 of shape \(1,\)",
        ),
        (lambda: gumbel_noise(TWO, 3, -1.0), r"scale is -1\.0; expected a number, 0 or more"),
    ],
)
def test_what_noise_cannot_be_drawn_from_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
