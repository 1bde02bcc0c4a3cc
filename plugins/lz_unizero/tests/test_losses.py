"""What the parts of the loss are, on numbers that can be worked out by hand."""

import math

import pytest
import torch
from lz_unizero.losses import group_kl, squared_error, sum_over_steps


def test_what_is_foretold_exactly_costs_nothing():
    latent = torch.tensor([[0.25, 0.75, 1.0, 0.0]])

    assert group_kl(latent, latent, 2).tolist() == [0.0]
    assert squared_error(latent, latent).tolist() == [0.0]


def test_groups_are_compared_one_by_one_and_averaged():
    target = torch.tensor([[1.0, 0.0, 0.5, 0.5]])
    foretold = torch.tensor([[0.5, 0.5, 0.5, 0.5]])

    # ln 2 in the first group, 0 in the second
    assert group_kl(foretold, target, 2).item() == pytest.approx(math.log(2) / 2, abs=1e-5)
    assert squared_error(foretold, target).item() == pytest.approx(0.125)


def test_the_mean_over_a_batch_is_that_over_real_steps():
    loss = torch.tensor([[1.0, 10.0], [2.0, 99.0], [3.0, 99.0]])  # (K, B)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    parts = sum_over_steps(loss, mask, 1.0)

    assert parts.tolist() == [6.0 * 2 / 4, 10.0 * 2 / 4]
    assert parts.mean() == pytest.approx(16.0 / 4)
    weights = torch.tensor([0.5, 1.0])  # sum_i w_i sum_k m l / sum m
    assert (weights * parts).mean() == pytest.approx((0.5 * 6.0 + 10.0) / 4)


def test_later_steps_count_for_less_with_gamma():
    loss, mask = torch.ones(3, 1), torch.ones(3, 1)

    assert sum_over_steps(loss, mask, 0.5).item() == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_a_batch_of_no_real_steps_costs_nothing():
    assert sum_over_steps(torch.ones(2, 3), torch.zeros(2, 3), 1.0).tolist() == [0.0, 0.0, 0.0]
    assert sum_over_steps(torch.ones(0, 3), torch.zeros(0, 3), 1.0).tolist() == [0.0, 0.0, 0.0]
