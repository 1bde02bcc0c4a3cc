"""Novelty as a reward: how it is measured, what it does to targets, how it is learned and kept.

Shape letters: B samples of a batch, K unroll steps, n td_steps, M observations.
"""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lz_muzero.config import MuZeroConfig
from lz_muzero.rnd import RND, RunningNorm, feature_network, min_max, shaped

from lzcore.base import ConfigError

GAMMA = 0.5
ON = {"use_rnd_model": True, "discount_factor": GAMMA, "rnd": {"hidden_size_list": [16, 8]}}
LATENT = {"rnd": {"input_type": "latent_state"}}
MIXED = {"rnd": {"input_type": "obs_latent_state"}}


@pytest.fixture
def novel(make_policy):
    """A function from settings to a policy that rewards novelty."""

    def make(*layers, **given):
        return make_policy(ON, *layers, given)

    return make


def learned(policy, fill, count=1):
    data = fill(policy).sample(8, policy)
    return [policy.learn_mode.forward(data) for _ in range(count)][-1]


# --- the running statistics -----------------------------------------------------------------------


def test_statistics_are_those_of_all_that_was_observed():
    rng = torch.Generator().manual_seed(0)
    batches = [torch.randn(m, 3, generator=rng) * 5 + 100 for m in (7, 1, 40)]
    norm = RunningNorm((3,), limit=100.0)
    for x in batches:
        norm.observe(x)

    every = torch.cat(batches).double()
    expected = (every - every.mean(0)) / every.std(0, correction=0)
    torch.testing.assert_close(norm(torch.cat(batches)), expected.float(), rtol=1e-2, atol=1e-2)
    assert norm(torch.cat(batches)).dtype == torch.float32


def test_before_anything_was_observed_numbers_stay_as_they_are_within_the_limit():
    assert RunningNorm((2,), limit=1.0)(torch.tensor([[0.5, -7.0]])).tolist() == [
        pytest.approx([0.5, -1.0])
    ]


def test_an_element_that_never_changed_is_0_until_it_does():
    norm = RunningNorm((1,), limit=5.0)
    for _ in range(100):
        norm.observe(torch.full((100, 1), 3.0))

    assert norm(torch.tensor([[3.0]])).item() == pytest.approx(0.0, abs=0.05)
    assert norm(torch.tensor([[3.5]])).item() == 5.0


# --- the networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (3, 3, 3), (4, 7, 5)])
@pytest.mark.parametrize("widths", [(8,), (6, 8), (6, 5, 8)])
def test_features_have_their_width_whatever_is_seen(shape, widths):
    network = feature_network(shape, widths)
    assert network(torch.rand(2, *shape)).shape == (2, 8)
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))


def test_convolutions_halve_a_map_before_its_features():
    network = feature_network((3, 8, 8), (6, 5, 7))
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(6, 3, 3, 3), (5, 6, 3, 3), (7, 5 * 2 * 2)]


# --- rewards --------------------------------------------------------------------------------------


def test_errors_are_scaled_by_the_least_and_the_largest():
    assert min_max(np.float32([3.0, 1.0, 2.0])).tolist() == pytest.approx([1.0, 0.0, 0.5], rel=1e-5)
    assert min_max(np.float32([2.0, 2.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [2.0 + 0.01 * 0.5, 0.01]),
        ({"intrinsic_reward_weight": 2.0}, [3.0, 2.0]),
        ({"rnd": {"extrinsic_reward_norm_max": 4.0}}, [0.5 + 0.005, 0.01]),
        (
            {"rnd": {"extrinsic_reward_norm_max": 4.0, "extrinsic_reward_norm": False}},
            [2.005, 0.01],
        ),
        ({"rnd": {"intrinsic_reward_type": "assign"}}, [0.5, 1.0]),
        (
            {"rnd": {"intrinsic_reward_type": "new", "extrinsic_reward_norm_max": 4.0}},
            [0.5, 0.0],
        ),
    ],
)
def test_novelty_is_added_put_in_place_or_left_out(given, expected):
    reward, novelty = np.array([[2.0, 0.0]]), np.array([[0.5, 1.0]])
    assert shaped(reward, novelty, MuZeroConfig.of(given))[0].tolist() == pytest.approx(expected)


# --- targets --------------------------------------------------------------------------------------


def windows_of(array_windows, policy, *, steps_left, terminated=True):
    """Two samples; row j of sample b observes (10 b + j, 0, 0, b), and its reward is j."""
    width = policy.cfg.num_unroll_steps + policy.cfg.td_steps + 2
    row, sample = np.arange(width), np.arange(2)[:, None]
    observation = np.zeros((2, width, 4), np.float32)
    observation[..., 0], observation[..., 3] = 10 * sample + row, sample
    rows = {
        "observation": observation,
        "action": np.zeros((2, width), np.int64),
        "reward": np.tile(row, (2, 1)).astype(np.float32),
        "child_visit": np.full((2, width, 3), 1 / 3, np.float32),
        "to_play": np.full((2, width), -1, np.int8),
    }
    return array_windows(rows, steps_left=steps_left, terminated=[terminated] * 2)


def error_is_the_first_number(policy):
    """Let the predictor be off by what stands first in an observation."""
    policy._rnd.errors = lambda seen: seen[:, 0].numpy()
    policy._bootstrap = lambda windows, horizon: np.zeros(horizon.offset.shape)


@pytest.mark.parametrize(("unroll", "steps"), [(1, 1), (3, 2), (7, 4)])
def test_reward_and_value_targets_are_both_made_of_the_shaped_reward(
    novel, array_windows, unroll, steps
):
    policy = novel(num_unroll_steps=unroll, td_steps=steps, intrinsic_reward_weight=10.0)
    error_is_the_first_number(policy)
    width = unroll + steps
    _, target = policy.make_batch(windows_of(array_windows, policy, steps_left=[50, 50]))

    largest = 10 + width - 1  # the error of the second sample's last position, the least is 0
    for b in range(2):
        r = [j + 10.0 * (10 * b + j) / (largest + 1e-6) for j in range(width)]
        z = [sum(GAMMA**i * r[p + i] for i in range(steps)) for p in range(unroll + 1)]
        assert target.target_reward[b].tolist() == pytest.approx(r[: unroll + 1])
        assert target.target_value[b].tolist() == pytest.approx(z)
    assert (target.target_reward.dtype, target.target_value.dtype) == (np.float32, np.float32)


def test_past_the_end_nothing_is_novel_and_nothing_is_scaled_by(novel, array_windows):
    policy = novel(intrinsic_reward_weight=1.0)
    error_is_the_first_number(policy)
    _, target = policy.make_batch(windows_of(array_windows, policy, steps_left=[50, 2]))

    # errors 0..4 of the first sample, 10 and 11 of the second, which ends after two steps
    r = [j + j / 11 for j in range(5)], [10 / 11, 1 + 1.0, 0.0, 0.0]
    assert target.target_reward[0].tolist() == pytest.approx(r[0][:4], rel=1e-5)
    assert target.target_reward[1].tolist() == pytest.approx(r[1], rel=1e-5)
    expected = [r[1][0] + GAMMA * r[1][1], r[1][1], 0.0, 0.0]
    assert target.target_value[1].tolist() == pytest.approx(expected, rel=1e-5)


def test_each_position_is_judged_by_its_own_whole_observation(novel, array_windows):
    policy = novel(mini_infer_size=3)
    seen = []
    policy._rnd.errors = lambda x: seen.append(x) or np.zeros(len(x), np.float32)
    windows = windows_of(array_windows, policy, steps_left=[50, 2])
    policy.make_batch(windows)

    expected = [windows.rows["observation"][b, j] for b, js in ((0, 5), (1, 2)) for j in range(js)]
    assert torch.cat(seen).tolist() == np.array(expected).tolist()
    assert max(len(x) for x in seen) == 3


def test_stacked_pictures_are_judged_as_the_model_sees_them(novel, fill, pictures, make_episode):
    policy = novel(pictures)
    buffer, seen = fill(policy, lengths=(12,)), []
    policy._rnd.errors = lambda x: seen.append(x) or np.zeros(len(x), np.float32)
    current, _ = buffer.sample(1, policy)

    frames = make_episode(policy, 0, 12, terminated=True).columns["observation"] / np.float32(255)
    start, count = int(current.index[0]), len(seen[0])
    for j in range(count):
        at = np.clip([start + j - 1, start + j], 0, 12)
        torch.testing.assert_close(seen[0][j], torch.from_numpy(frames[at, 0]))


def test_a_value_of_novelty_beyond_the_support_is_told(novel, array_windows):
    policy = novel({"model": {"support_scale": 2}}, intrinsic_reward_weight=1e3)
    with pytest.warns(UserWarning, match="reaches the end of the support"):
        policy.make_batch(windows_of(array_windows, policy, steps_left=[50, 50]))


def test_off_or_without_weight_targets_are_those_of_the_environment(make_policy, novel, fill):
    plain, idle = make_policy(discount_factor=GAMMA), novel(intrinsic_reward_weight=0.0)
    one, other = fill(plain).sample(8, plain)[1], fill(idle).sample(8, idle)[1]

    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert plain._rnd is None
    assert "rnd" not in plain.learn_mode.state_dict()
    assert "rnd_loss" not in learned(plain, fill)


# --- learning -------------------------------------------------------------------------------------


def test_what_is_seen_often_is_no_longer_new(novel):
    rnd = RND(novel()._model, novel().cfg)
    rng = torch.Generator().manual_seed(0)
    rooms = torch.randn(6, 4, generator=rng)
    known = rooms[:3]
    for _ in range(3):
        rnd.learn(rooms)  # so that the statistics know of all of them
    before = rnd.errors(rooms)
    for _ in range(300):
        rnd.learn(known)

    after = rnd.errors(rooms)
    assert (after[:3] < 0.05 * before[:3]).all()
    assert after[3:].min() > 5 * after[:3].max()
    assert min_max(after)[3:].mean() > 0.3 > 0.1 > min_max(after)[:3].mean()


def test_a_learn_step_makes_the_positions_of_its_batch_better_known(novel, fill):
    policy = novel({"rnd": {"learning_rate": 0.01}})
    data = fill(policy).sample(8, policy)
    told = [policy.learn_mode.forward(data) for _ in range(40)]

    assert told[-1]["rnd_loss"] < 0.5 * told[0]["rnd_loss"]
    assert 0.0 < told[0]["intrinsic_reward"] < 1.0
    assert policy.learn_mode.monitor_vars()[-2:] == ["rnd_loss", "intrinsic_reward"]
    assert list(told[0])[-3:-1] == ["rnd_loss", "intrinsic_reward"]


def test_positions_with_an_action_are_learned_and_no_others(novel, fill):
    policy = novel()
    current, target = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    seen = []
    policy._rnd.learn = lambda x: seen.append(x) or np.zeros(len(x), np.float32)
    policy.learn_mode.forward([current, target])

    frames = current.obs.reshape(8, 4, 4)  # K + 1 positions of four numbers
    assert 8 < len(seen[0]) < 32
    assert seen[0].tolist() == frames[current.mask > 0].tolist()


def test_augmentation_makes_nothing_new(novel, fill, pictures):
    policy = novel(pictures, use_augmentation=True)
    current, target = fill(policy).sample(8, policy)
    seen = []
    policy._rnd.learn = lambda x: seen.append(x) or np.zeros(len(x), np.float32)
    policy.learn_mode.forward([current, target])

    first = torch.from_numpy(current.obs[:1, :2]).float() / 255
    torch.testing.assert_close(seen[0][:1], first)


@pytest.mark.parametrize("given", [{}, LATENT, MIXED])
@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_the_predictor_learns_and_the_random_network_stays(novel, fill, pictures, given, kind):
    policy = novel(*[pictures] * (kind == "pictures"), given)
    rnd = policy._rnd
    before = {name: value.clone() for name, value in rnd.named_parameters()}
    assert policy._model is not rnd.encoder
    learned(policy, fill, 3)  # a latent state is even until the model has learned

    moved = {name for name, p in rnd.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("predictor.")}


@pytest.mark.parametrize("given", [{}, LATENT, MIXED])
def test_the_model_learns_nothing_of_novelty_but_by_its_targets(novel, fill, given):
    """The reward of novelty has no weight, so that the targets are the same."""
    with_, without = novel(given, intrinsic_reward_weight=0.0), novel(use_rnd_model=False)
    for policy in (with_, without):
        learned(policy, fill, 3)
    pairs = zip(with_._model.parameters(), without._model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


# --- the copy that makes latent states ------------------------------------------------------------


def test_observations_need_no_copy_of_the_model(novel):
    assert novel()._rnd.encoder is None
    assert set(novel()._rnd.norms) == {"obs"}
    assert set(novel(MIXED)._rnd.norms) == {"obs", "latent_state"}
    assert set(novel(LATENT)._rnd.norms) == {"latent_state"}


def equal(one, other):
    other = other.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())


def test_the_copy_is_renewed_every_so_many_steps(novel, fill):
    policy = novel(
        LATENT, {"model": {"norm_type": "BN"}}, target_update_freq_for_intrinsic_reward=3
    )
    data = fill(policy).sample(8, policy)
    same = []
    for _ in range(4):
        policy.learn_mode.forward(data)
        same.append(equal(policy._rnd.encoder, policy._model))

    assert same == [False, False, True, False]
    assert not policy._rnd.encoder.training


def test_the_copy_follows_a_share_of_the_way(novel, fill):
    policy = novel(
        LATENT,
        {"model": {"norm_type": "BN"}},
        target_model_for_intrinsic_reward_update_type="momentum",
        target_update_theta_for_intrinsic_reward=0.25,
    )
    old = {name: value.clone() for name, value in policy._rnd.encoder.state_dict().items()}
    learned(policy, fill)

    model = policy._model.state_dict()
    for name, value in policy._rnd.encoder.state_dict().items():
        floating = value.is_floating_point()
        expected = 0.75 * old[name] + 0.25 * model[name] if floating else model[name]
        torch.testing.assert_close(value, expected, msg=name)


# --- seeds and states -----------------------------------------------------------------------------


def test_networks_follow_from_the_seed_alone(novel):
    state = torch.get_rng_state()
    one, again, other = novel(seed=1)._rnd, novel(seed=1)._rnd, novel(seed=2)._rnd

    assert equal(one.target, again.target)
    assert not equal(one.target, other.target)
    assert not equal(one.target, one.predictor)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("given", [{}, LATENT, MIXED])
def test_a_resumed_policy_goes_on_to_the_last_bit(novel, fill, given):
    options = {"target_update_freq_for_intrinsic_reward": 2, "intrinsic_reward_weight": 1.0}
    policy = novel(given, **options)
    buffer = fill(policy)
    for _ in range(3):
        policy.learn_mode.forward(buffer.sample(8, policy))
    file = io.BytesIO()
    torch.save(policy.learn_mode.state_dict(), file)
    drawing = buffer._rng.bit_generator.state

    def go_on(policy, buffer):
        buffer._rng.bit_generator.state = drawing
        found = []
        for _ in range(3):
            data = buffer.sample(8, policy)
            told = policy.learn_mode.forward(data)
            found.append([part.tolist() for part in data[1]] + [told["rnd_loss"]])
        return found

    expected = go_on(policy, buffer)
    file.seek(0)
    resumed = novel(given, **options, seed=9)
    resumed.learn_mode.load_state_dict(torch.load(file, weights_only=True))
    resumed._learn_key = policy._learn_key  # a run resumes with the seed it had

    assert go_on(resumed, fill(resumed)) == expected
    assert equal(resumed._rnd.predictor, policy._rnd.predictor)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"hidden_size_list": []}, "hidden_size_list is empty"),
        ({"hidden_size_list": [0]}, "a list of integers, at least 1"),
        ({"extrinsic_reward_norm_max": 0.0}, "a number, above 0"),
        ({"batch_size": 64}, "rnd.batch_size"),
    ],
)
def test_settings_out_of_range_are_refused(given, expected):
    with pytest.raises(ConfigError, match=expected):
        MuZeroConfig.of({"rnd": given})


def test_a_model_of_others_serves(make_policy, open_model, fill):
    for given in ({}, LATENT, MIXED):
        policy = make_policy(ON, given, model=open_model())
        assert np.isfinite(learned(policy, fill)["rnd_loss"])


def test_the_settings_of_the_table_are_read(novel):
    rnd = novel({"rnd": {"learning_rate": 0.5, "weight_decay": 0.25, "input_norm": False}})._rnd
    group = SimpleNamespace(**rnd._optimizer.param_groups[0])

    assert (group.lr, group.weight_decay, len(rnd.norms)) == (0.5, 0.25, 0)
