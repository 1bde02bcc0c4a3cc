"""Losses over sampled actions, against distributions of torch and numbers worked out by hand."""

import math

import pytest
import torch
from lz_muzero.losses_sampled import (
    categorical_log_prob,
    gaussian_entropy,
    gaussian_log_prob,
    slot_loss,
)
from torch.distributions import Normal, TanhTransform, TransformedDistribution


def gaussian(mu, sigma):
    return torch.cat((torch.tensor(mu), torch.tensor(sigma)), dim=-1)


def plain(log_prob, target, filled=None, kind="cross_entropy", normalized=False):
    return slot_loss(log_prob, target, filled, kind=kind, normalized=normalized)


LN2 = math.log(2.0)


# --- densities ------------------------------------------------------------------------------------


def test_the_density_of_a_squashed_gaussian_is_that_of_torch():
    policy = gaussian([[0.3, -0.5], [0.0, 1.0]], [[0.5, 1.5], [1.0, 0.2]])
    actions = torch.tensor([[[0.1, -0.9], [0.6, 0.2]], [[-0.4, 0.7], [0.0, 0.8]]])

    found = gaussian_log_prob(policy, actions)

    mu, sigma = policy.double().chunk(2, -1)
    squashed = TransformedDistribution(
        Normal(mu[:, None], sigma[:, None]), [TanhTransform(cache_size=0)]
    )
    assert found.shape == (2, 2)
    assert found == pytest.approx(squashed.log_prob(actions.double()).sum(-1), abs=1e-4)


def test_each_component_is_squashed_by_itself():
    # 1 - a^2 is 0.75 twice: the sum of logarithms is 2 ln 0.75, not ln 1.5
    u = math.atanh(0.5)
    expected = 2 * (-0.5 * u * u - 0.5 * math.log(2 * math.pi) - math.log(0.75))

    found = gaussian_log_prob(gaussian([0.0, 0.0], [1.0, 1.0]), torch.tensor([[0.5, 0.5]]))

    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_actions_at_the_edge_have_a_density_and_a_gradient():
    policy = gaussian([0.0], [1.0]).requires_grad_()
    edge = torch.tensor([[1.0 - 2.0**-24], [-1.0]])

    found = gaussian_log_prob(policy, edge)
    found.sum().backward()

    assert found.isfinite().all()
    assert policy.grad.isfinite().all()


def test_numbered_actions_have_their_log_softmax():
    logits = torch.tensor([0.0, LN2, 0.0])

    found = categorical_log_prob(logits, torch.tensor([[1], [2], [-1]]))

    assert found[:2].tolist() == pytest.approx([-LN2, -2 * LN2])
    assert found.isfinite().all()


def test_the_entropy_of_a_gaussian_is_that_of_torch():
    mu, sigma = torch.tensor([[0.3, -2.0]]), torch.tensor([[0.5, 1.5]])

    found = gaussian_entropy(torch.cat((mu, sigma), -1))

    assert found.tolist() == pytest.approx(Normal(mu, sigma).entropy().sum(-1).tolist())


# --- visits ---------------------------------------------------------------------------------------

LOG_PROB = torch.tensor([0.5, 0.25]).log()  # shares of 2/3 and 1/3
VISITS = torch.tensor([0.75, 0.25])


def test_cross_entropy_weighs_probabilities_by_visits():
    assert plain(LOG_PROB, VISITS).item() == pytest.approx(0.75 * LN2 + 0.25 * 2 * LN2)


def test_normalized_cross_entropy_is_of_shares():
    expected = -0.75 * math.log(2 / 3) - 0.25 * math.log(1 / 3)
    assert plain(LOG_PROB, VISITS, normalized=True).item() == pytest.approx(expected)


@pytest.mark.parametrize("normalized", [False, True])
def test_kl_is_of_shares_whether_they_are_asked_for_or_not(normalized):
    expected = 0.75 * math.log(0.75 / (2 / 3)) + 0.25 * math.log(0.25 / (1 / 3))
    assert plain(LOG_PROB, VISITS, kind="KL", normalized=normalized).item() == pytest.approx(
        expected, abs=1e-6
    )
    same = torch.tensor([2 / 3, 1 / 3])
    assert plain(LOG_PROB, same, kind="KL").item() == pytest.approx(0.0, abs=1e-6)


def test_an_empty_slot_has_no_share():
    log_prob = torch.tensor([0.5, 0.25, 0.9]).log()
    visits = torch.tensor([0.75, 0.25, 0.0])
    filled = torch.tensor([True, True, False])

    found = plain(log_prob, visits, filled, normalized=True)

    assert found.item() == pytest.approx(plain(LOG_PROB, VISITS, normalized=True).item())


@pytest.mark.parametrize("kind", ["cross_entropy", "KL"])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_row_without_visits_costs_nothing_and_teaches_nothing(kind, normalized):
    logits = torch.zeros(2, 3, requires_grad=True)
    actions = torch.tensor([[[0], [2]], [[-1], [-1]]])

    log_prob = categorical_log_prob(logits, actions)
    loss = plain(log_prob, torch.zeros(2, 2), actions.squeeze(-1) >= 0, kind, normalized)
    loss.sum().backward()

    assert loss.tolist() == [0.0, 0.0]
    assert (logits.grad == 0).all()
