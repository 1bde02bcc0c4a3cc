"""Losses of logits and targets, with numbers worked out by hand."""

import math

import pytest
import torch
from lz_muzero import losses

from lzcore.nn import CategoricalSupport, ScalarSupport


def test_cross_entropy_of_equal_logits_is_the_log_of_their_number():
    found = losses.cross_entropy(torch.zeros(2, 4), torch.eye(4)[:2])

    assert found.tolist() == pytest.approx([math.log(4)] * 2)


def test_cross_entropy_weighs_by_the_target():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/4

    found = losses.cross_entropy(logits, torch.tensor([[0.5, 0.5]]))

    assert found.item() == pytest.approx(-0.5 * math.log(3 / 16))


def test_divergence_is_what_cross_entropy_exceeds_the_targets_own_entropy_by():
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])  # 3/4 and 1/4

    found = losses.kl_divergence(logits, torch.tensor([[0.75, 0.25], [0.0, 1.0]]))

    assert found.tolist() == pytest.approx([0.0, math.log(4.0)], abs=1e-6)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.kl_divergence])
def test_a_target_of_zeros_costs_nothing_and_teaches_nothing(loss):
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)

    found = loss(logits, torch.zeros(3, 4))
    found.sum().backward()

    assert found.tolist() == [0, 0, 0]
    assert not logits.grad.any()


def test_a_categorical_head_that_knows_nothing_loses_the_log_of_its_bins():
    support = CategoricalSupport(5)

    found = losses.head_loss(torch.zeros(3, 2, 11), torch.randn(3, 2), support)

    assert found.shape == (3, 2)
    assert found.flatten().tolist() == pytest.approx([math.log(11)] * 6)


def test_a_scalar_head_has_squared_errors():
    found = losses.head_loss(
        torch.tensor([[3.0], [1.0]]), torch.tensor([1.0, 1.5]), ScalarSupport()
    )

    assert found.tolist() == [4.0, 0.25]


def test_entropy_is_in_nats_and_survives_certainty():
    logits = torch.tensor([[0.0, 0.0], [1000.0, 0.0]])

    assert losses.entropy(logits).tolist() == pytest.approx([math.log(2), 0.0])


def test_the_entropy_of_a_target_counts_zeros_as_nothing():
    target = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])

    assert losses.target_entropy(target).tolist() == pytest.approx([math.log(2), 0.0])


@pytest.mark.parametrize(
    ("other", "distance"), [([2.0, 0.0], -1.0), ([0.0, 3.0], 0.0), ([-1.0, 0.0], 1.0)]
)
def test_negative_cosine_is_lowest_where_features_point_the_same_way(other, distance):
    found = losses.negative_cosine(torch.tensor([[5.0, 0.0]]), torch.tensor([other]))

    assert found.item() == pytest.approx(distance)


def test_features_of_zeros_have_a_cosine_of_zero():
    assert losses.negative_cosine(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0.0


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0])
def test_a_gradient_is_scaled_and_the_value_is_not(factor):
    x = torch.tensor([2.0, -3.0], requires_grad=True)

    y = losses.scale_gradient(x, factor)
    y.sum().backward()

    assert y.tolist() == [2.0, -3.0]
    assert x.grad.tolist() == [factor, factor]
