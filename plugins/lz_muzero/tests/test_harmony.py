"""Learned weights of losses: what they make of the loss, that they learn, and that they are kept.

Shape letters: B samples of a batch.
"""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from lz_muzero.harmony import Harmony
from lz_muzero.policy import MuZeroPolicy

GIVEN = {
    "model": {"harmony_balance": True, "self_supervised_learning_loss": True},
    "ssl_loss_weight": 2.0,
    "policy_entropy_loss_weight": 0.5,
}
H = {"policy_loss": 0.5, "value_loss": -1.0, "reward_loss": 0.25, "consistency_loss": 1.5}
WEIGHT = {"policy_loss": 1.0, "value_loss": 0.25, "reward_loss": 1.0, "consistency_loss": 2.0}
NAMES = [f"harmony_{name.removesuffix('_loss')}" for name in H]


@pytest.fixture
def balanced(make_policy, fill):
    """A function from settings to a policy whose weights of losses are H, and a batch for it."""

    def make(h=H, **given):
        policy = make_policy(GIVEN, given)
        with torch.no_grad():
            for name, value in h.items():
                policy._harmony.h[name].fill_(value)
        return policy, fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)

    return make


def hs(policy):
    return {name: h.item() for name, h in policy._harmony.h.items()}


# --- the formula ----------------------------------------------------------------------------------


def test_a_part_is_divided_by_e_to_the_h_and_h_pays_for_it():
    harmony = Harmony(["value_loss"])
    with torch.no_grad():
        harmony.h["value_loss"].fill_(math.log(4.0))

    found = harmony({"value_loss": torch.tensor([8.0, 0.0]), "other": torch.tensor([3.0, 1.0])})

    expected = [2.0 + math.log(5.0), math.log(5.0)]
    assert found["value_loss"].tolist() == pytest.approx(expected)
    assert found["other"].tolist() == [3.0, 1.0]


@pytest.mark.parametrize("loss", [0.01, 1.0, 500.0])
def test_at_the_best_h_no_part_counts_for_more_than_one(loss):
    best = (loss + math.sqrt(loss**2 + 4 * loss)) / 2  # e^h where the derivative is 0
    harmony = Harmony(["a"])
    with torch.no_grad():
        harmony.h["a"].fill_(math.log(best))

    harmony({"a": torch.tensor(loss)})["a"].backward()

    assert harmony.h["a"].grad.item() == pytest.approx(0.0, abs=1e-5)
    assert loss / best < 1.0


def test_the_loss_of_a_step_is_the_balanced_sum_of_its_parts(balanced):
    policy, data = balanced()
    steps = data[0].mask[:, :-1].sum(axis=1).mean()  # K of them, fewer near an end
    told = policy.learn_mode.forward(data)

    parts = {name: told[name] for name in H}
    parts["consistency_loss"] = 3 * told["consistency_loss"] + steps  # 1 - cosine, summed over K
    expected = sum(
        WEIGHT[name] * parts[name] / math.exp(h) + math.log(math.exp(h) + 1.0)
        for name, h in H.items()
    )
    expected -= 0.5 * 4 * told["policy_entropy"]  # a bonus keeps its weight
    assert told["total_loss"] == pytest.approx(expected, rel=1e-5)
    assert told["weighted_total_loss"] == pytest.approx(expected, rel=1e-5)
    assert {name: told[f"harmony_{name.removesuffix('_loss')}"] for name in H} == H


def test_importance_weights_count_in_each_part(balanced):
    def loss(weights):
        policy, (current, target) = balanced()
        data = [current._replace(weights=np.float32(weights)), target]
        return policy.learn_mode.forward(data)["weighted_total_loss"]

    whole = loss(np.ones(8))
    assert loss(np.eye(8)[0]) + loss(1 - np.eye(8)[0]) == pytest.approx(whole, rel=1e-5)
    assert loss(np.full(8, 0.5)) == pytest.approx(whole / 2, rel=1e-5)


def test_the_gradient_of_h_is_that_of_the_formula(balanced):
    policy, data = balanced(learning_rate=0.0, grad_clip_value=1e9)
    told = policy.learn_mode.forward(data)

    for name in ("policy_loss", "value_loss", "reward_loss"):
        h = H[name]
        expected = -WEIGHT[name] * told[name] / math.exp(h) + 1 / (1 + math.exp(-h))
        assert policy._harmony.h[name].grad.item() == pytest.approx(expected / 3, rel=1e-4)


# --- which parts there are ------------------------------------------------------------------------


def test_what_may_be_negative_or_has_no_weight_is_left_alone(make_policy):
    policy = make_policy(GIVEN, ssl_loss_weight=0.0, reward_loss_weight=0.0)

    assert list(policy._harmony.h) == ["policy_loss", "value_loss"]
    assert policy.learn_mode.monitor_vars()[-2:] == ["harmony_policy", "harmony_value"]


def test_a_loss_that_a_variant_adds_is_balanced_too(make_policy, fill):
    class Variant(MuZeroPolicy):
        reward_name: ClassVar = "value_prefix"

        def _losses(self, unrolled, batch, target):
            size = unrolled.latent_state[0].flatten(1).square().sum(1)
            return {**super()._losses(unrolled, batch, target), "latent_size": size}

        def _loss_weights(self):
            return {**super()._loss_weights(), "latent_size": 10.0}

    policy = make_policy(GIVEN, policy_class=Variant)
    told = policy.learn_mode.forward(fill(policy).sample(8, policy))

    names = ["harmony_policy", "harmony_value", "harmony_value_prefix", "harmony_consistency"]
    assert list(told)[-6:-1] == [*names, "harmony_latent_size"]
    assert policy.learn_mode.forward(fill(policy).sample(8, policy))["harmony_latent_size"] != 0.0


def test_off_there_is_nothing_of_it(make_policy, fill):
    policy = make_policy()
    told = policy.learn_mode.forward(fill(policy).sample(8, policy))

    assert policy._harmony is None
    assert not any("harmony" in name for name in [*told, *policy.learn_mode.state_dict()])


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optim_type", ["SGD", "Adam", "AdamW"])
def test_every_h_starts_at_0_learns_and_does_not_decay(make_policy, fill, optim_type):
    policy = make_policy(GIVEN, optim_type=optim_type, weight_decay=0.5)
    group = policy._optimizer.param_groups[-1]
    assert hs(policy) == dict.fromkeys(H, 0.0)
    assert group["params"] == list(policy._harmony.parameters())
    assert group["weight_decay"] == 0.0

    policy.learn_mode.forward(fill(policy).sample(8, policy))

    assert all(h != 0.0 for h in hs(policy).values())
    assert hs(policy)["policy_loss"] > 0.0  # a loss of 4 ln 3 wants less weight


def test_a_loss_in_large_units_gets_a_small_weight(make_policy, fill):
    policy = make_policy(GIVEN, {"model": {"categorical_distribution": False}}, learning_rate=0.05)
    current, target = fill(policy).sample(8, policy)
    data = [current, target._replace(target_value=target.target_value + 100.0)]
    first = policy.learn_mode.forward(data)
    for _ in range(40):
        told = policy.learn_mode.forward(data)

    assert first["value_loss"] > 1000 * first["reward_loss"]
    assert told["harmony_value"] > 1.5 > told["harmony_reward"]


def test_the_length_of_the_gradient_counts_h(balanced):
    policy, data = balanced({"value_loss": -9.0}, grad_clip_value=0.5)
    told = policy.learn_mode.forward(data)

    parameters = [*policy._model.parameters(), *policy._harmony.parameters()]
    length = math.sqrt(sum(p.grad.square().sum().item() for p in parameters))
    assert told["total_grad_norm_before_clip"] > 1000.0
    assert length == pytest.approx(0.5, rel=1e-3)


def test_a_resumed_policy_goes_on_to_the_last_bit(make_policy, fill):
    policy = make_policy(GIVEN)
    buffer = fill(policy)
    batches = [buffer.sample(8, policy) for _ in range(6)]
    for data in batches[:3]:
        policy.learn_mode.forward(data)
    state = policy.learn_mode.state_dict()
    expected = [policy.learn_mode.forward(data) for data in batches[3:]]

    resumed = make_policy(GIVEN, seed=9)
    resumed.learn_mode.load_state_dict(state)
    found = [resumed.learn_mode.forward(data) for data in batches[3:]]

    assert set(state["harmony"]) == {f"h.{name}" for name in H}
    for one, other in zip(expected, found, strict=True):
        for name in ("total_loss", "total_grad_norm_before_clip", *NAMES):
            assert one[name] == other[name]
    assert hs(resumed) == hs(policy)


def test_a_state_of_ours_without_h_starts_them_at_0(make_policy, fill):
    policy = make_policy(GIVEN)
    policy.learn_mode.forward(fill(policy).sample(8, policy))
    state = policy.learn_mode.state_dict()
    del state["harmony"]

    other = make_policy(GIVEN)
    other.learn_mode.load_state_dict(state)
    assert hs(other) == dict.fromkeys(H, 0.0)
