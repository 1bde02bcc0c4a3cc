"""A whole learn step against the loss written out: one sample and one unroll step after another.

Shape letters: B samples, K unroll steps, A actions.
"""

from copy import deepcopy

import numpy as np
import pytest
import torch

WEIGHTS = np.linspace(0.2, 1.0, 8, dtype=np.float32)  # importance, unlike from sample to sample
GIVEN = {
    "model": {"self_supervised_learning_loss": True},
    "ssl_loss_weight": 2.0,
    "policy_entropy_loss_weight": 0.1,
    "grad_clip_value": 1e9,
    "learning_rate": 0.0,  # so that the gradients are what is left of the step
}


@pytest.fixture
def awake(make_policy):
    """A function from settings to a policy whose heads do not say 0 any more."""

    def make(**given):
        policy = make_policy(GIVEN, given)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in policy._model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return policy

    return make


def drawn(policy, fill):
    """A batch in which some samples end within the unroll."""
    current, target = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    assert 0 < current.mask[:, 1:].sum() < current.mask[:, 1:].size
    return current._replace(weights=WEIGHTS), target


def cross_entropy(logits, target):
    return -(target * logits.log_softmax(-1)).sum()


def written_out(model, current, target, latent_grad_scale):
    """Return the (B,) losses, and the first values, by loops over samples and steps."""
    reward, value, policy = (torch.from_numpy(part) for part in target)
    mask = current.mask
    frames = torch.from_numpy(current.obs).unflatten(1, (-1, 4))  # (B, K + 1, 4)
    now, total = model.initial_inference(frames[:, 0]), torch.zeros(8)
    first = model.value_support.decode(now.value).detach()
    for k in range(4):
        for b in range(8):
            total[b] += cross_entropy(now.policy_logits[b], policy[b, k])
            total[b] += 0.25 * cross_entropy(now.value[b], model.value_support.encode(value[b, k]))
            p = now.policy_logits[b].softmax(-1)
            total[b] += 0.1 * mask[b, k] * (p * p.log()).sum()
        if k == 3:
            break
        latent = now.latent_state
        latent = latent * latent_grad_scale + latent.detach() * (1 - latent_grad_scale)
        now = model.recurrent_inference(latent, torch.from_numpy(current.action[:, k]))
        imagined = model.project(now.latent_state, with_grad=True)
        with torch.no_grad():
            seen = model.project(model.represent(frames[:, k + 1]), with_grad=False)
        for b in range(8):
            total[b] += cross_entropy(now.reward[b], model.reward_support.encode(reward[b, k]))
            cosine = imagined[b] @ seen[b] / (imagined[b].norm() * seen[b].norm())
            total[b] -= 2.0 * mask[b, k] * cosine
    return total, first


@pytest.mark.parametrize("latent_grad_scale", [0.3, 1.0])
def test_losses_gradients_and_priorities_are_those_of_the_loss_written_out(
    awake, fill, latent_grad_scale
):
    policy = awake(latent_grad_scale=latent_grad_scale)
    current, target = drawn(policy, fill)
    model = deepcopy(policy._model).train()

    total, first = written_out(model, current, target, latent_grad_scale)
    weighted = (torch.from_numpy(WEIGHTS) * total).mean()
    (weighted / 3).backward()  # K = 3
    told = policy.learn_mode.forward([current, target])

    assert told["total_loss"] == pytest.approx(total.mean().item(), rel=1e-5)
    assert told["weighted_total_loss"] == pytest.approx(weighted.item(), rel=1e-5)
    expected = np.abs(first.numpy() - target.target_value[:, 0]) + 1e-6
    assert told["value_priority_orig"] == pytest.approx(expected, rel=1e-4)
    for (name, ours), theirs in zip(
        policy._model.named_parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
