"""What Stochastic MuZero learns: codes of chance, afterstates, and what each loss teaches."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

K, M = 3, 4  # unroll steps, outcomes
LABELS = {"use_ture_chance_label_in_chance_encoder": True}
SSL = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}
GAME = "lz_muzero.games:Small2048-v0"
TOLD = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "stochastic_muzero"
]


@pytest.fixture
def make(make_stochastic):
    return make_stochastic


def rows(*given):
    return torch.tensor(given, dtype=torch.float32)


# --- the losses -----------------------------------------------------------------------------------


def recomputed(policy, data):
    """The three losses of chance for each sample, step by step and without the policy's help."""
    current, target = data
    model, cfg = policy._model, policy.cfg
    obs, mask = torch.from_numpy(current.obs), torch.from_numpy(current.mask)
    told = {"afterstate_policy_loss": 0.0, "afterstate_value_loss": 0.0, "commitment_loss": 0.0}
    latent = model.initial_inference(obs[:, :4]).latent_state
    of_step = [model.chance_encoder(obs[:, 4 * k : 4 * k + 8]) for k in range(K)]
    happened = torch.cat([scores[mask[:, k] == 1] for k, scores in enumerate(of_step)])
    usual = happened.mean(dim=0) if cfg.center_codes else 0.0
    for k, scores in enumerate(of_step):
        outcome = (scores - usual).argmax(dim=1)
        if cfg.use_ture_chance_label_in_chance_encoder:
            outcome = torch.from_numpy(current.chance[:, k])
        action = torch.from_numpy(current.action[:, k])
        half = model.recurrent_inference(latent, action, afterstate=False)
        whole = model.recurrent_inference(half.latent_state, outcome, afterstate=True)
        latent = whole.latent_state
        value = model.value_support.encode(torch.from_numpy(target.target_value[:, k]))
        told["afterstate_policy_loss"] += mask[:, k] * F.cross_entropy(
            half.policy_logits, outcome, reduction="none"
        )
        told["afterstate_value_loss"] -= mask[:, k] * (value * half.value.log_softmax(1)).sum(1)
        if cfg.use_ture_chance_label_in_chance_encoder:
            distance = F.cross_entropy(scores, outcome, reduction="none")
        else:
            distance = (F.one_hot(outcome, M) - scores).square().sum(1) / M
        told["commitment_loss"] += mask[:, k] * distance
    return told


@pytest.mark.parametrize(
    "given", [{}, {"center_codes": False}, LABELS], ids=["encoded", "not centered", "told"]
)
def test_the_losses_of_chance_are_what_they_are_said_to_be(make, sampled, given, awake):
    policy = awake(make(given))
    data = sampled(policy)
    assert (data[0].mask[:, :K] == 0).any()  # some steps lie behind an end
    with torch.no_grad():
        expected = recomputed(policy, data)

    told = policy.learn_mode.forward(data)

    for name, each in expected.items():
        assert told[name] == pytest.approx(each.mean().item(), rel=1e-4), name
    assert told["total_loss"] == pytest.approx(
        told["policy_loss"]
        + 0.25 * told["value_loss"]
        + told["reward_loss"]
        + told["afterstate_policy_loss"]
        + 0.25 * told["afterstate_value_loss"]
        + told["commitment_loss"],
        rel=1e-5,
    )


def test_a_new_network_loses_the_log_of_the_outcomes_at_each_step(make, sampled):
    policy = make()
    data = sampled(policy)
    told, steps = policy.learn_mode.forward(data), data[0].mask[:, :K].sum(axis=1).mean()

    assert told["afterstate_policy_loss"] == pytest.approx(steps * math.log(M), rel=1e-5)
    assert told["afterstate_value_loss"] == pytest.approx(steps * math.log(21), rel=1e-5)


def test_an_afterstate_is_worth_what_the_position_of_its_action_is(make, sampled, awake):
    """Not what the next position is: the reward between the two is still to come."""
    policy = make()
    current, target = sampled(policy)
    current = current._replace(mask=np.ones_like(current.mask))

    def loss_of(target):
        batch, moved = policy._on_device([current, target])
        return policy._losses(policy._unroll(batch), batch, moved)["afterstate_value_loss"]

    before = loss_of(target)
    target.target_value[:, K] += 1.0  # of the last position, in which no action is imagined
    assert torch.equal(loss_of(target), before)
    awake(policy)
    before = loss_of(target)
    target.target_value[:, 0] += 1.0  # of the first
    assert not torch.allclose(loss_of(target), before)


def test_steps_after_the_end_of_an_episode_count_for_none_of_the_three(make, sampled, awake):
    policy = awake(make())
    current, target = sampled(policy)
    told = policy.learn_mode.forward([current._replace(mask=0 * current.mask), target])

    assert [told[name] for name in TOLD[-3:]] == [0.0] * 3


def test_plain_numbers_are_learned_by_squared_errors(make, sampled):
    policy = make({"model": {"categorical_distribution": False}})
    current, target = sampled(policy)
    told = policy.learn_mode.forward([current, target])

    squares = (target.target_value[:, :K] ** 2 * current.mask[:, :K]).sum(axis=1).mean()
    assert told["afterstate_value_loss"] == pytest.approx(squares, rel=1e-4)


def encoder_gradient(policy, data, weights):
    """The norm of the encoder's gradient from the parts with these weights alone."""
    batch, target = policy._on_device(data)
    parts = policy._losses(policy._unroll(batch), batch, target)
    policy._model.zero_grad()
    sum(weight * parts[name].mean() for name, weight in weights.items()).backward()
    return sum(
        0.0 if p.grad is None else p.grad.square().sum().item()
        for p in policy._model.chance_encoder.parameters()
    )


def test_without_labels_commitment_and_predictions_both_teach_the_encoder(make, sampled, awake):
    policy = awake(make())
    data = sampled(policy)

    assert encoder_gradient(policy, data, {"commitment_loss": 1.0}) > 0  # it does not cancel out
    assert encoder_gradient(policy, data, {"reward_loss": 1.0}) > 0
    assert encoder_gradient(policy, data, {"value_loss": 1.0}) > 0


def test_the_foretold_outcome_follows_the_code_and_not_the_other_way_about(make, sampled, awake):
    policy = awake(make(num_unroll_steps=1))

    assert encoder_gradient(policy, sampled(policy), {"afterstate_policy_loss": 1.0}) == 0


def test_with_labels_the_encoder_learns_them_and_nothing_else_moves_it(make, sampled, awake):
    policy = awake(make(LABELS))
    data = sampled(policy)

    assert encoder_gradient(policy, data, {"commitment_loss": 1.0}) > 0
    assert encoder_gradient(policy, data, {"reward_loss": 1.0, "value_loss": 1.0}) == 0


@pytest.mark.parametrize("given", [{}, LABELS, SSL], ids=["no ssl", "labels", "ssl"])
@pytest.mark.parametrize("pictured", [False, True])
def test_every_part_of_the_network_learns(make, step, pictures, given, pictured):
    policy = make(*[pictures] * pictured, given)
    before = {name: p.clone() for name, p in policy._model.named_parameters()}

    told = step(policy, 3)

    unmoved = [n for n, p in policy._model.named_parameters() if torch.equal(p, before[n])]
    assert unmoved == []
    assert all(math.isfinite(told[name]) for name in policy.learn_mode.monitor_vars())


@pytest.mark.parametrize(
    ("pictured", "given", "count"), [(False, {}, 100), (False, LABELS, 100), (True, LABELS, 50)]
)
def test_one_batch_can_be_learned_by_heart(make, sampled, pictures, pictured, given, count):
    policy = make(*[pictures] * pictured, given, learning_rate=0.01)
    current, old = sampled(policy)
    rng = np.random.default_rng(0)
    zero_or_bin = np.zeros_like(old.target_value)
    certain = np.eye(3, dtype=np.float32)[rng.integers(0, 3, zero_or_bin.shape)]
    data = [current, type(old)(zero_or_bin, zero_or_bin, certain)]

    told = [policy.learn_mode.forward(data) for _ in range(count)]

    assert told[-1]["total_loss"] < 0.2 * told[0]["total_loss"]
    assert told[-1]["afterstate_policy_loss"] < 0.5 * told[0]["afterstate_policy_loss"]


def test_the_gradient_is_scaled_once_for_both_halves_of_a_step(make, sampled, monkeypatch):
    policy = make(latent_grad_scale=0.5)
    scaled = []

    def scale(x, factor):
        scaled.append((tuple(x.shape), factor))
        return x

    monkeypatch.setattr("lz_muzero.losses.scale_gradient", scale)
    policy.learn_mode.forward(sampled(policy))

    assert scaled == [((8, 16), 0.5)] * K


def test_the_encoder_sees_pictures_as_they_were_whatever_augmentation_does(make, pictures):
    policy = make(pictures, use_augmentation=True)
    obs, seen = torch.rand(4, 5, 8, 8), []
    policy._model.chance_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

    policy._scores(obs)

    pairs = [obs[:, [k, k + 1, k + 1, k + 2]] for k in range(K)]  # two frames each, oldest first
    assert torch.equal(seen[0], torch.cat(pairs))
