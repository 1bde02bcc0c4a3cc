"""What EfficientZero does differently: sums of rewards in targets, unroll, search and losses."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.policy_efficientzero import EfficientZeroPolicy, value_prefixes
from torch import nn

from lzcore.base import NetworkOutput
from lzcore.nn import ScalarSupport, inverse_scalar_transform

SEEN = torch.tensor([[0.5, -1.0, 0.0, 2.0], [0.0, 0.3, 0.2, -1.0], [1.0, 1.0, 0.0, 0.0]])


class Paying(nn.Module):
    """Action a pays a + 1, which it tells step by step; only the last action is likely."""

    def __init__(self):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.gain = nn.Parameter(torch.ones(()))

    def initial_inference(self, observation):
        nothing = torch.zeros(len(observation), 1)
        logits = torch.tensor([0.0, 0.0, 4.0]).expand(len(observation), 3) * self.gain
        return NetworkOutput(observation * self.gain, nothing, nothing, logits)

    def recurrent_inference(self, latent_state, action):
        reward = (action[:, None] + 1).float()
        return self.initial_inference(latent_state)._replace(reward=reward)


class Summing(Paying):
    """Tells the sum of what was paid since its memory (sum and steps) was zero."""

    def __init__(self):
        super().__init__()
        self.most_steps = 0

    def initial_inference(self, observation):
        root = super().initial_inference(observation)
        return root._replace(memory=torch.zeros(len(observation), 2, 1))

    def recurrent_inference(self, latent_state, action, memory):
        out = super().recurrent_inference(latent_state, action)
        after = memory + torch.stack((out.reward, torch.ones_like(out.reward)), dim=1)
        self.most_steps = max(self.most_steps, int(after[:, 1].max()))
        return out._replace(reward=after[:, 0], memory=after)


@pytest.fixture
def make(make_policy):
    """A function from settings to a small EfficientZero."""

    def one(*layers, **given):
        small = {"model": {"lstm_hidden_size": 12}}
        return make_policy(small, *layers, policy_class=EfficientZeroPolicy, **given)

    return one


def sampled(policy, fill):
    """A batch in which some samples end within the unroll."""
    current, target = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    assert 0 < current.mask[:, 1:].sum() < current.mask[:, 1:].size
    return [current, target]


def awake(policy):
    """Move all weights, so that heads do not say 0 any more."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy._model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return policy


def collected(policy, data=SEEN, **given):
    return policy.collect_mode.forward(data, **given)


def evaluated(policy, data=SEEN, mask=None, to_play=-1, **given):
    return policy.eval_mode.forward(data, mask, to_play, **given)


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "expected"),
    [
        (1, [1, 2, -3, 4, 0.5, 0]),
        (2, [1, 3, -3, 1, 0.5, 0.5]),
        (4, [1, 3, 0, 4, 0.5, 0.5]),
        (9, [1, 3, 0, 4, 4.5, 4.5]),
    ],
)
def test_sums_begin_anew_at_every_multiple_of_the_horizon(horizon, expected):
    reward = np.float32([[1, 2, -3, 4, 0.5, 0], [0, 0, 0, 0, 0, 1]])

    found = value_prefixes(reward, horizon)

    assert found[0].tolist() == expected
    assert found[1].tolist() == [0, 0, 0, 0, 0, 1]


def windows_of(array_windows, reward, *, steps_left, to_play):
    width = len(reward)
    rows = {
        "observation": np.zeros((1, width, 4), np.float32),
        "action": np.zeros((1, width), np.int64),
        "reward": np.float32([reward]),
        "child_visit": np.full((1, width, 3), 1 / 3, np.float32),
        "to_play": np.int8([to_play]),
    }
    return array_windows(rows, steps_left=[steps_left], terminated=[True])


def test_nothing_is_paid_past_the_end_so_the_prefix_stays_and_values_are_muzeros(
    make, array_windows
):
    policy = make(num_unroll_steps=4, td_steps=2, lstm_horizon_len=3, discount_factor=0.5)
    reward = [1, 2, 9, 9, 9, 9, 9]  # what is stored from position T = t + 2 on pays nothing

    _, target = policy.make_batch(windows_of(array_windows, reward, steps_left=2, to_play=[-1] * 7))

    assert target.target_reward.tolist() == [[1, 3, 3, 0, 0]]
    assert target.target_reward.dtype == np.float32
    assert target.target_value.tolist() == [[2, 2, 0, 0, 0]]  # 1 + 2 / 2; 2


def test_with_two_players_each_reward_counts_as_its_own_mover_got_it(make, array_windows):
    policy = make(num_unroll_steps=3, td_steps=3, discount_factor=1.0)
    to_play = [1, 2, 1, 2, 1, 2, 1]

    _, target = policy.make_batch(
        windows_of(array_windows, [0, 2, 1, 0, 0, 0, 0], steps_left=3, to_play=to_play)
    )

    assert target.target_reward[0, :3].tolist() == [0, 2, 3]
    assert target.target_value[0].tolist() == [-1, 1, 1, 0]


def test_a_prefix_that_reaches_the_end_of_the_support_is_told(make, array_windows):
    policy = make(num_unroll_steps=3, td_steps=2)  # bins to 10 reach a reward of 117
    windows = windows_of(array_windows, [50, 50, 50, 0, 0, 0], steps_left=3, to_play=[-1] * 6)

    with pytest.warns(UserWarning, match="target of size 150 reaches the end of the support"):
        policy.make_batch(windows)


# --- the unroll -----------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 7])
def test_the_unroll_forgets_when_the_targets_begin_anew(make, fill, horizon):
    model = Summing()
    policy = make(model=model, num_unroll_steps=5, lstm_horizon_len=horizon)
    batch, _ = policy._on_device(fill(policy).sample(8, policy))

    told = policy._unroll(batch).reward[..., 0]  # (K, B)

    expected = value_prefixes(batch.action.numpy() + 1.0, horizon)
    assert told.T.tolist() == expected.tolist()
    assert model.most_steps == min(horizon, 5)


def cross_entropy(logits, target):
    return -(target * logits.log_softmax(-1)).sum()


def written_out(model, current, target, horizon, latent_grad_scale):
    """Return the (B,) losses by loops over samples and steps."""
    prefix, value, policy = (torch.from_numpy(part) for part in target)
    frames = torch.from_numpy(current.obs).unflatten(1, (-1, 4))  # (B, K + 1, 4)
    now, total = model.initial_inference(frames[:, 0]), torch.zeros(8)
    for k in range(4):
        for b in range(8):
            total[b] += cross_entropy(now.policy_logits[b], policy[b, k])
            total[b] += 0.25 * cross_entropy(now.value[b], model.value_support.encode(value[b, k]))
        if k == 3:
            break
        latent = now.latent_state
        latent = latent * latent_grad_scale + latent.detach() * (1 - latent_grad_scale)
        memory = torch.zeros(8, 2, 12) if k in (0, horizon) else now.memory
        now = model.recurrent_inference(latent, torch.from_numpy(current.action[:, k]), memory)
        imagined = model.project(now.latent_state, with_grad=True)
        with torch.no_grad():
            seen = model.project(model.represent(frames[:, k + 1]), with_grad=False)
        for b in range(8):
            bins = model.reward_support.encode(prefix[b, k])
            total[b] += 3.0 * cross_entropy(now.reward[b], bins)
            cosine = imagined[b] @ seen[b] / (imagined[b].norm() * seen[b].norm())
            total[b] -= 2.0 * current.mask[b, k] * cosine
    return total


@pytest.mark.parametrize(("horizon", "latent_grad_scale"), [(2, 0.3), (5, 1.0)])
def test_losses_and_gradients_are_those_of_the_loss_written_out(
    make, fill, horizon, latent_grad_scale
):
    given = {"learning_rate": 0.0, "grad_clip_value": 1e9, "reward_loss_weight": 3.0}
    policy = awake(make(given, lstm_horizon_len=horizon, latent_grad_scale=latent_grad_scale))
    current, target = sampled(policy, fill)
    current = current._replace(weights=np.linspace(0.2, 1.0, 8, dtype=np.float32))
    model = deepcopy(policy._model).train()

    total = written_out(model, current, target, horizon, latent_grad_scale)
    ((torch.from_numpy(current.weights) * total).mean() / 3).backward()  # K = 3
    told = policy.learn_mode.forward([current, target])

    assert told["total_loss"] == pytest.approx(total.mean().item(), rel=1e-5)
    for (name, ours), theirs in zip(
        policy._model.named_parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


# --- the search -----------------------------------------------------------------------------------


@pytest.mark.parametrize("q_transform", ["parent_and_siblings", "tree_min_max"])
@pytest.mark.parametrize("horizon", [1, 2, 3, 5])
def test_a_search_with_prefixes_finds_what_one_with_their_rewards_finds(
    make, make_policy, horizon, q_transform
):
    given = {"num_simulations": 40, "q_transform": q_transform, "discount_factor": 0.9}
    model = Summing()
    ours = evaluated(make(given, model=model, lstm_horizon_len=horizon)).columns
    plain = make_policy(given, policy_class=MuZeroPolicy, model=Paying())
    theirs = evaluated(plain).columns

    assert ours["child_visit"].tolist() == theirs["child_visit"].tolist()
    assert ours["root_value"].tolist() == theirs["root_value"].tolist()
    assert model.most_steps == horizon  # paths were longer, and memories no older


def test_the_root_of_every_search_has_no_memory(make):
    model = Summing()
    policy = make(model=model, lstm_horizon_len=50, num_simulations=3, max_depth=1)

    for _ in range(3):
        collected(policy)

    assert model.most_steps == 1


def test_a_model_without_a_memory_is_refused(make):
    with pytest.raises(ValueError, match=r"value_prefix is True .* outputs have no memory"):
        evaluated(make(model=Paying()))


# --- learning -------------------------------------------------------------------------------------


def test_the_statistics_are_of_prefixes(make, fill):
    policy = make()
    data = sampled(policy, fill)
    told = policy.learn_mode.forward(data)

    assert told["target_value_prefix"] == pytest.approx(data[1].target_reward[:, :3].mean())
    assert told["value_prefix_loss"] == pytest.approx(3 * np.log(21), rel=1e-5)
    assert told["predicted_value_prefixs"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_one_batch_can_be_learned_by_heart(make, fill, pictures, kind):
    given = pictures if kind == "pictures" else {}
    policy = make(given, learning_rate=0.01, ssl_loss_weight=0.0, lstm_horizon_len=2)
    current, old = fill(policy).sample(8, policy)
    rng = np.random.default_rng(0)
    bins = torch.from_numpy(rng.integers(-3, 4, (2, *old.target_value.shape))).float()
    prefix, value = inverse_scalar_transform(bins).numpy()  # targets that can be met exactly
    certain = np.eye(3, dtype=np.float32)[rng.integers(0, 3, value.shape)]
    data = [current, type(old)(prefix, value, certain)]

    told = [policy.learn_mode.forward(data) for _ in range(100)]

    assert told[-1]["total_loss"] < 0.2 * told[0]["total_loss"]
    assert told[-1]["value_prefix_loss"] < 0.2 * told[0]["value_prefix_loss"]


def test_every_part_of_the_network_learns(make, fill):
    policy = make()
    before = {name: p.clone() for name, p in policy._model.named_parameters()}
    for _ in range(3):
        policy.learn_mode.forward(sampled(policy, fill))

    unmoved = [n for n, p in policy._model.named_parameters() if torch.equal(p, before[n])]
    assert unmoved == []


def test_reanalysis_searches_with_prefixes_too(make, array_windows):
    policy = make(model=Summing(), reanalyze_ratio=1.0, reanalyze_noise=False)
    windows = windows_of(array_windows, [0.0] * 6, steps_left=50, to_play=[-1] * 6)
    windows.rows["action_mask"] = np.ones((1, 6, 3), bool)
    windows.rows["root_value"] = np.zeros((1, 6), np.float32)

    _, target = policy.make_batch(windows)

    found = evaluated(policy, SEEN[:1]).columns
    assert (target.target_policy[0] == found["child_visit"]).all()
    assert windows.rows["root_value"][0, 0] == found["root_value"][0]
