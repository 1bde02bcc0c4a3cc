"""The parts of the loss, by hand."""

import math

import pytest
import torch
from lz_alphazero import losses

HALF = torch.tensor([[0.5, 0.25, 0.25]])
TARGET = torch.tensor([[0.25, 0.75, 0.0]])


def test_the_cross_entropy_weighs_log_probabilities_by_the_target():
    expected = -(0.25 * math.log(0.5) + 0.75 * math.log(0.25))

    assert losses.cross_entropy(HALF.log(), TARGET).item() == pytest.approx(expected)


def test_the_divergence_is_zero_where_the_policy_is_the_target():
    assert losses.kl_divergence(HALF.log(), HALF).item() == pytest.approx(0.0, abs=1e-6)
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(3.0)
    assert losses.kl_divergence(HALF.log(), TARGET).item() == pytest.approx(expected)


def test_entropy_is_in_nats():
    assert losses.entropy(torch.full((1, 4), 0.25).log()).item() == pytest.approx(math.log(4))


def test_what_is_masked_has_no_probability_and_no_gradient():
    logits = torch.zeros(1, 3, requires_grad=True)
    log_prob = losses.masked(logits, torch.tensor([[True, True, False]])).log_softmax(-1)
    loss = losses.cross_entropy(log_prob, torch.tensor([[1.0, 0.0, 0.0]]))
    (loss + losses.entropy(log_prob)).sum().backward()

    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad[0, 2].item() == 0.0
    assert logits.grad.isfinite().all()


SLOTS = {  # actions 2 and 0 of four slots hold something
    "target": torch.tensor([[0.25, 0.75, 0.9, 0.0]]),
    "actions": torch.tensor([[0, 2, -1, -1]]),
    "filled": torch.tensor([[True, True, False, False]]),
}


@pytest.mark.parametrize(
    ("kind", "normalized", "expected"),
    [
        ("cross_entropy", False, -(0.25 * math.log(0.5) + 0.75 * math.log(0.25))),
        ("cross_entropy", True, -(0.25 * math.log(2 / 3) + 0.75 * math.log(1 / 3))),
        ("KL", False, 0.25 * math.log(0.25 * 3 / 2) + 0.75 * math.log(0.75 * 3)),
        ("KL", True, 0.25 * math.log(0.25 * 3 / 2) + 0.75 * math.log(0.75 * 3)),
    ],
)
def test_slots_are_compared_by_probability_or_by_share(kind, normalized, expected):
    found = losses.slot_loss(HALF.log(), **SLOTS, kind=kind, normalized=normalized)

    assert found.tolist() == pytest.approx([expected], rel=1e-5)


def test_the_documented_loss_of_slots_is_their_mean(make_policy):
    policy = make_policy("sampled_alphazero")
    both = torch.cat((HALF, torch.tensor([[1.0, 0.0, 0.0]])))
    target = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    actions = torch.tensor([[0, 2], [0, -1]])
    found = policy._calculate_policy_loss_disc(both, target, actions, torch.tensor([2, 1]))

    first = -(0.25 * math.log(0.5) + 0.75 * math.log(0.25))
    assert found.item() == pytest.approx(first / 2)
