"""What a learn step promises: its losses, its gradients, what it reports and what it refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lz_muzero.policy import MuZeroPolicy

from lzcore.base import DivergedError, ShapeError
from lzcore.nn import inverse_scalar_transform

DOCUMENTED = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "muzero"
]
SSL = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}


def learnable(data, seed=0):
    """Give a batch targets that can be met exactly: certain policies, scalars that are bins."""
    rng = np.random.default_rng(seed)
    current, old = data
    bins = torch.from_numpy(rng.integers(-3, 4, (2, *old.target_value.shape))).float()
    value, reward = inverse_scalar_transform(bins).numpy()
    actions = old.target_policy.shape[2]
    policy = np.eye(actions, dtype=np.float32)[rng.integers(0, actions, value.shape)]
    return [current, type(old)(reward, value, policy)]


def steps(policy, data, count):
    return [policy.learn_mode.forward(data) for _ in range(count)]


# --- losses ---------------------------------------------------------------------------------------


def test_a_new_network_loses_the_log_of_the_choices_at_each_step(make_policy, sampled):
    policy = make_policy()
    data = sampled(policy)
    told = policy.learn_mode.forward(data)
    acting = data[0].mask.sum(axis=1).mean()  # of K + 1 = 4 positions

    assert told["value_loss"] == pytest.approx(4 * math.log(21), rel=1e-5)
    assert told["reward_loss"] == pytest.approx(3 * math.log(21), rel=1e-5)
    assert told["policy_loss"] == pytest.approx(acting * math.log(3), rel=1e-5)
    assert told["policy_entropy"] == pytest.approx(acting * math.log(3) / 4, rel=1e-5)
    assert told["total_loss"] == pytest.approx(
        0.25 * told["value_loss"] + told["reward_loss"] + told["policy_loss"], rel=1e-6
    )
    assert told["predicted_values"] == pytest.approx(0.0, abs=1e-5)


def test_plain_numbers_are_learned_by_squared_errors(make_policy, sampled):
    policy = make_policy({"model": {"categorical_distribution": False}})
    data = sampled(policy)
    told = policy.learn_mode.forward(data)

    assert told["value_loss"] == pytest.approx((data[1].target_value ** 2).sum(1).mean(), rel=1e-5)
    assert told["reward_loss"] == pytest.approx(
        (data[1].target_reward[:, :3] ** 2).sum(1).mean(), rel=1e-5
    )
    assert told["transformed_target_value"] == told["target_value"]


@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_one_batch_can_be_learned_by_heart(make_policy, sampled, pictures, kind):
    policy = make_policy(pictures if kind == "pictures" else {}, learning_rate=0.01)
    data = learnable(sampled(policy))

    told = steps(policy, data, 80)

    assert told[-1]["total_loss"] < 0.2 * told[0]["total_loss"]


def test_the_first_value_is_compared_with_the_first_target(make_policy, sampled):
    policy = make_policy()
    data = sampled(policy)
    told = policy.learn_mode.forward(data)

    expected = np.abs(data[1].target_value[:, 0]) + 1e-6  # a new network says 0
    assert told["value_priority_orig"].shape == (8,)
    assert told["value_priority_orig"] == pytest.approx(expected, abs=1e-4)
    assert told["value_priority"] == pytest.approx(expected.mean(), abs=1e-4)


# --- consistency ----------------------------------------------------------------------------------


def test_consistency_compares_imagined_with_observed_latents(make_policy, sampled):
    policy = make_policy(SSL)
    told = steps(policy, sampled(policy), 60)

    assert all(-1.0 <= entry["consistency_loss"] <= 1.0 for entry in told)
    assert told[-1]["consistency_loss"] < told[0]["consistency_loss"]


def test_consistency_leaves_out_positions_after_the_end(make_policy, sampled):
    policy = make_policy(SSL)
    current, target = sampled(policy)
    nothing = current._replace(mask=np.zeros_like(current.mask))

    assert policy.learn_mode.forward([nothing, target])["consistency_loss"] == 0.0


def test_the_observed_side_teaches_nothing(make_policy, sampled):
    policy = make_policy(SSL)
    batch, _ = policy._on_device(sampled(policy))
    unrolled = policy._unroll(batch)
    unrolled = unrolled._replace(latent_state=tuple(s.detach() for s in unrolled.latent_state))

    policy._consistency_loss(unrolled, batch).sum().backward()

    assert all(p.grad is None for p in policy._model.representation.parameters())


def test_each_unroll_step_is_compared_with_its_own_frames(make_policy, pictures):
    policy = make_policy(pictures)
    obs = torch.arange(5.0).reshape(1, 5, 1, 1)  # S + K frames of one channel

    seen = [policy._observation(obs, k).flatten().tolist() for k in range(4)]

    assert seen == [[0, 1], [1, 2], [2, 3], [3, 4]]


def test_the_slice_of_future_frames_is_the_documented_one(make_policy):
    policy = make_policy(
        {
            "model": {
                "model_type": "conv",
                "image_channel": 3,
                "frame_stack_num": 4,
                "observation_shape": (12, 8, 8),
                "num_channels": 8,
            }
        }
    )

    assert policy._get_target_obs_index_in_step_k(0) == (0, 12)
    assert policy._get_target_obs_index_in_step_k(2) == (6, 18)


def test_vectors_are_stacked_by_their_width(make_policy):
    policy = make_policy({"model": {"frame_stack_num": 2}})

    assert policy._get_target_obs_index_in_step_k(1) == (4, 12)


def test_current_and_target_pictures_are_augmented_with_numbers_of_their_own(make_policy, pictures):
    policy = make_policy(pictures, use_augmentation=True, augmentation=("intensity",))
    obs = torch.ones(64, 5, 8, 8)

    def factors(k):
        return policy._observation(obs, k)[:, 0, 0, 0]

    assert torch.equal(factors(0), factors(0))
    assert not torch.equal(factors(0), factors(1))
    first = factors(0)
    policy._learn_step += 1
    assert not torch.equal(factors(0), first)


# --- gradients ------------------------------------------------------------------------------------


def test_importance_weights_scale_gradients(make_policy, sampled):
    def norm(weights):
        policy = make_policy()
        current, target = sampled(policy)
        current = current._replace(weights=np.float32(weights))
        told = policy.learn_mode.forward([current, target])
        return told["total_grad_norm_before_clip"], told["weighted_total_loss"]

    ones, halves = norm(np.ones(8)), norm(np.full(8, 0.5))
    assert halves == pytest.approx([v / 2 for v in ones], rel=1e-5)
    first, others = norm(np.eye(8)[0]), norm(1 - np.eye(8)[0])
    assert first[1] + others[1] == pytest.approx(ones[1], rel=1e-5)
    assert norm(np.zeros(8)) == (0.0, 0.0)


def test_gradients_are_those_of_the_loss_divided_by_the_unroll_and_then_clipped(make_policy):
    policy = make_policy(grad_clip_value=0.5)
    parameters = list(policy._model.parameters())

    norm = policy._gradients(sum(p.sum() for p in parameters))

    size = sum(p.numel() for p in parameters)
    assert norm.item() == pytest.approx(math.sqrt(size) / 3, rel=1e-4)
    clipped = math.sqrt(sum(p.grad.square().sum().item() for p in parameters))
    assert clipped == pytest.approx(0.5, rel=1e-3)


def test_every_part_of_the_network_learns(make_policy, sampled):
    policy = make_policy(SSL)
    before = {name: p.clone() for name, p in policy._model.named_parameters()}
    steps(policy, sampled(policy), 3)

    unmoved = [n for n, p in policy._model.named_parameters() if torch.equal(p, before[n])]
    assert unmoved == []


# --- what is reported -----------------------------------------------------------------------------


def test_a_step_reports_the_documented_names_in_order_and_the_priorities(make_policy, sampled):
    policy = make_policy(SSL)
    told = policy.learn_mode.forward(sampled(policy))

    assert policy.learn_mode.monitor_vars() == DOCUMENTED
    assert list(told) == [*DOCUMENTED, "value_priority_orig"]
    assert all(type(told[name]) is float and math.isfinite(told[name]) for name in DOCUMENTED)


def test_extra_statistics_can_be_left_out(make_policy, sampled):
    policy = make_policy(monitor_extra_statistics=False)
    told = policy.learn_mode.forward(sampled(policy))

    assert len(told) == len(DOCUMENTED) - 6 + 1
    assert not any("target_v" in name or "predicted" in name for name in told)
    assert policy.learn_mode.monitor_vars() == [n for n in told if n != "value_priority_orig"]


def test_a_step_reports_what_collection_last_used(make_policy, sampled):
    policy = make_policy({"eps": {"eps_greedy_exploration_in_collect": True}})
    policy.collect_mode.forward(torch.zeros(1, 4), temperature=0.7, epsilon=0.3)
    told = policy.learn_mode.forward(sampled(policy))

    assert told["collect_mcts_temperature"] == 0.7
    assert told["collect_epsilon"] == 0.3


def test_statistics_are_those_of_the_batch(make_policy, sampled):
    policy = make_policy()
    data = sampled(policy)
    told = policy.learn_mode.forward(data)
    entropy = -(data[1].target_policy * np.log(np.maximum(data[1].target_policy, 1e-30))).sum()

    assert told["target_reward"] == pytest.approx(data[1].target_reward[:, :3].mean(), rel=1e-4)
    assert told["target_value"] == pytest.approx(data[1].target_value.mean(), rel=1e-4)
    assert told["target_policy_entropy"] == pytest.approx(entropy / 8 / 4, rel=1e-4)


# --- determinism ----------------------------------------------------------------------------------


def test_the_same_seed_learns_the_same(make_policy, sampled, pictures):
    def losses(disturb):
        torch.manual_seed(disturb)
        policy = make_policy(pictures, use_augmentation=True)
        return [entry["total_loss"] for entry in steps(policy, sampled(policy), 4)]

    assert losses(1) == losses(2)


def test_a_batch_may_hold_tensors_and_lists(make_policy, sampled):
    arrays, tensors = make_policy(), make_policy()
    current, target = sampled(arrays)
    as_tensors = [[torch.from_numpy(v) for v in current], [torch.from_numpy(v) for v in target]]

    expected = arrays.learn_mode.forward([current, target])["total_loss"]
    assert tensors.learn_mode.forward(as_tensors)["total_loss"] == expected


# --- the target network ---------------------------------------------------------------------------


def test_the_target_network_is_copied_whole_every_so_many_steps(make_policy, sampled):
    policy = make_policy({"model": {"norm_type": "BN"}}, target_update_freq=3)
    data = sampled(policy)
    start = {n: v.clone() for n, v in policy._target_model.state_dict().items()}

    def target_equals(state):
        found = policy._target_model.state_dict()
        return all(torch.equal(found[name], state[name]) for name in state)

    steps(policy, data, 2)
    assert target_equals(start)
    steps(policy, data, 1)
    assert target_equals(policy._model.state_dict())  # running statistics too
    assert not target_equals(start)
    assert not policy._target_model.training


# --- refusals -------------------------------------------------------------------------------------


def weights_of(policy):
    return {name: value.clone() for name, value in policy._model.state_dict().items()}


def test_a_loss_that_is_no_number_stops_before_the_weights_change(make_policy, sampled):
    policy = make_policy()
    current, target = sampled(policy)
    target.target_policy[5, 0] = np.nan
    before = weights_of(policy)

    broken = rf"loss of nan and .* broken loss: \[{current.index[5]}\]\. Lower learning_rate"
    with pytest.raises(DivergedError, match=broken):
        policy.learn_mode.forward([current, target])

    after = weights_of(policy)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert policy._learn_step == 0


@pytest.mark.parametrize("name", ["target_value", "target_reward"])
def test_targets_that_are_no_numbers_are_named_by_their_rows(make_policy, sampled, name):
    policy = make_policy()
    current, target = sampled(policy)
    getattr(target, name)[2, 1] = np.inf

    with pytest.raises(DivergedError, match=rf"replay rows \[{current.index[2]}\] are not finite"):
        policy.learn_mode.forward([current, target])


def test_a_divergence_is_a_runtime_error_too(make_policy, sampled):
    policy = make_policy()
    with torch.no_grad():
        next(policy._model.parameters()).fill_(torch.inf)

    with pytest.raises(RuntimeError, match="expected finite numbers"):
        policy.learn_mode.forward(sampled(make_policy()))


def test_a_divergence_tells_what_it_moved(make_policy, sampled):
    policy = make_policy({"model": {"norm_type": "BN"}})
    current, target = sampled(policy)
    target.target_policy[5, 0] = np.nan
    before = weights_of(policy)

    told = "weights are as they were before it, running statistics of BatchNorm are not"
    with pytest.raises(DivergedError, match=told):
        policy.learn_mode.forward([current, target])

    after = weights_of(policy)
    moved = {
        name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])
    }
    assert moved == {"running_mean", "running_var", "num_batches_tracked"}


def test_frames_that_do_not_fit_the_settings_are_refused(make_policy, sampled):
    policy = make_policy()
    current, target = sampled(policy)

    with pytest.raises(ShapeError, match=r"expected 16 along axis 1: \(frame_stack_num 1 \+ "):
        policy.learn_mode.forward([current._replace(obs=current.obs[:, :12]), target])


def test_the_documented_shapes_which_do_not_add_up_are_refused_where_learning_begins(make_policy):
    policy = make_policy({"model": {"model_type": "conv", "observation_shape": (4, 64, 64)}})
    obs = np.zeros((2, 6, 64, 64), np.float32)  # frame_stack_num and image_channel are 1

    with pytest.raises(ShapeError, match="has 4 channels or numbers, but frame_stack_num 1 times"):
        policy._check_width(obs)


def test_a_loss_that_a_variant_adds_is_optimised_and_logged(make_policy, sampled):
    class Variant(MuZeroPolicy):
        def _losses(self, unrolled, batch, target):
            size = unrolled.latent_state[0].flatten(1).square().sum(1)
            return {**super()._losses(unrolled, batch, target), "latent_size": size}

        def _loss_weights(self):
            return {**super()._loss_weights(), "latent_size": 10.0}

    plain = make_policy()
    variant = Variant(plain.cfg)
    batch = sampled(plain)
    without, found = plain._forward_learn(batch), variant._forward_learn(batch)

    assert found["latent_size"] > 0
    assert found["total_loss"] == pytest.approx(
        without["total_loss"] + 10.0 * found["latent_size"], rel=1e-5
    )
    assert "latent_size" in variant.learn_mode.monitor_vars()
