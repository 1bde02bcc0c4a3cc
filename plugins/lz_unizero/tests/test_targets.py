"""What windows are trained on, against a computation of one position at a time."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_worlds import (
    PICTURES,
    batch_of,
    episode,
    every_policy,
    fill,
    make_policy,
    spaces_for,
    windows_of,
)

from lzcore.replay.buffer import ReplayBuffer

SHORT = {
    "td_steps": 5,
    "num_unroll_steps": 2,
    "model": {"world_model_cfg": {"max_blocks": 2, "max_tokens": 4, "context_length": 4}},
}
LENGTHS = (12, 9, 15, 3, 4, 5, 6, 7)  # terminated, cut short, terminated, ...


def value_alone(policy, observation):
    with torch.no_grad():
        out = policy._target_model.initial_inference(observation[None])
    return policy._target_model.value_support.decode(out.value).item()


def value_behind(policy, observation, action):
    """The target network's value of the last of (H, *O), behind the steps before it."""
    with torch.no_grad():
        out = policy._target_model(observation[None], action[None])
    return policy._target_model.value_support.decode(out.value)[0, -1].item()


def stacked(policy, rows, at):
    """The stacked observation of row `at` of an episode, as the network sees it."""
    frames = [rows["observation"][max(0, at - s)] for s in reversed(range(policy.frame_stack))]
    return policy._network_input(torch.from_numpy(np.concatenate(frames)))


def slow_values(policy, segment, start):
    """The (K,) value targets of the positions from row `start` of an episode on."""
    cfg, rows, end = policy.cfg, segment.columns, segment.length
    n, steps = cfg.td_steps, cfg.num_unroll_steps
    values = []
    for t in range(start, start + steps):
        total = sum(cfg.discount_factor**j * rows["reward"][t + j] for j in range(min(n, end - t)))
        at = t + n
        if t >= end and not (t == end and not segment.terminated):
            values.append(None if t > end else 0.0)
            continue
        if at >= end:
            if segment.terminated:
                values.append(total)
                continue
            at = end
        first = start + n
        if at < first:
            value = value_alone(policy, stacked(policy, rows, at))
        else:
            seen = torch.stack([stacked(policy, rows, j) for j in range(first, at + 1)])
            value = value_behind(policy, seen, torch.from_numpy(rows["action"][first : at + 1]))
        values.append(total + cfg.discount_factor ** (at - t) * value)
    return values


@every_policy
@pytest.mark.parametrize("layers", [(), (PICTURES,), (SHORT,)])
def test_values_are_bootstrapped_by_windows_that_are_aligned_with_them(kind, layers):
    policy = make_policy(*layers, kind=kind, mini_infer_size=7)
    starts = {}
    for number, length in enumerate(LENGTHS):
        segment = episode(policy, number, length, terminated=number % 2 == 0)
        for row in range(length):
            key = segment.columns["reward"][row].item()
            starts[key] = (segment, row)
    windows = windows_of(policy, 40, lengths=LENGTHS)
    target = policy.make_batch(windows)[1]

    compared = 0
    for reward, values in zip(target.target_reward, target.target_value, strict=True):
        for ours, slow in zip(values, slow_values(policy, *starts[reward[0].item()]), strict=False):
            if slow is not None:
                assert ours == pytest.approx(slow, abs=2e-4)
                compared += 1
    assert compared > 60


def test_each_window_is_read_once_and_only_where_something_continues():
    policy, asked = make_policy(), []
    values = policy._target_inference.values
    policy._target_inference.values = lambda o, a: asked.append(len(o)) or values(o, a)
    policy.make_batch(windows_of(policy, 12, lengths=(30, 30)))
    assert asked == [12]
    asked.clear()
    policy.make_batch(windows_of(policy, 6, lengths=(1, 2, 1, 2, 1, 1)))
    assert sum(asked) <= 3


def test_a_batch_has_the_documented_parts():
    policy = make_policy()
    current, target = batch_of(policy)

    assert current.obs.shape == (8, 5 * 4)
    assert current.action.shape == (8, 4)
    assert current.mask.shape == (8, 5)
    assert target.target_value.shape == target.target_reward.shape == (8, 5)
    assert target.target_policy.shape == (8, 5, 3)


@every_policy
def test_reanalysis_searches_stored_positions_with_the_target_network(kind):
    plain, policy = (
        make_policy(kind=kind, reanalyze_ratio=share, reanalyze_noise=False) for share in (0.0, 1.0)
    )
    before, after = (fill(p).sample(8, p)[1].target_policy for p in (plain, policy))

    counts = after * policy.cfg.num_simulations
    assert counts == pytest.approx(np.round(counts))
    assert not np.allclose(before, after)


# --- losses -----------------------------------------------------------------------------------


def slow_policy(policy, out, visits, drawn):
    """The policy loss and the entropy of one step; `drawn` (Ks, D) of a search that drew, or None.

    Shares of numbered actions are compared by their divergence, vectors by their density.
    """
    if policy.cfg.model.continuous_action_space:
        squashed = SquashedNormal(*out.double().chunk(2))
        density = [squashed.log_prob(torch.from_numpy(vector).double()) for vector in drawn]
        return -(visits * torch.stack(density)).sum(), squashed.base_dist.entropy().sum()
    now = torch.log_softmax(out, -1)
    entropy = -(now.exp() * now).sum()
    if drawn is None:
        return -(visits * now).sum(), entropy
    share = now[drawn[:, 0]] - now[drawn[:, 0]].logsumexp(0)
    return (torch.xlogy(visits, visits) - visits * share).sum(), entropy


class SquashedNormal(torch.distributions.TransformedDistribution):
    """Vectors of numbers, each a normal one that tanh squashes; log_prob is of the vector."""

    def __init__(self, mu, sigma):
        super().__init__(torch.distributions.Normal(mu, sigma), torch.distributions.TanhTransform())

    def log_prob(self, vector):
        return super().log_prob(vector).sum(-1)


def slow_losses(policy, current, target):
    """Every part of the loss, (B, K) each, and its mask, one window and one step at a time."""
    model, teacher = policy._model, policy._target_model
    steps, parts, masks = policy.cfg.num_unroll_steps, {}, {}
    observation = torch.from_numpy(current.obs).unflatten(1, (steps + 1, -1))
    logs, sampled = torch.log_softmax, hasattr(current, "root_sampled_actions")
    for row in range(len(observation)):
        out = model(observation[row, None, :steps], torch.from_numpy(current.action[row, None]))
        for k in range(steps):
            mask = current.learned[row]
            value = model.value_support.encode(torch.tensor(target.target_value[row, k]))
            reward = model.reward_support.encode(torch.tensor(target.target_reward[row, k]))
            visits = torch.from_numpy(target.target_policy[row, k])
            seen = teacher.encode(observation[row, None, k + 1])[0].view(-1, 8).double()
            told = out.next_latent[0, k].view(-1, 8).double()
            drawn = current.root_sampled_actions[row, k] if sampled else None
            policy_loss, entropy = slow_policy(policy, out.policy_logits[0, k], visits, drawn)
            found = SimpleNamespace(
                value_loss=-(value * logs(out.value[0, k], -1)).sum(),
                reward_loss=-(reward * logs(out.reward[0, k], -1)).sum(),
                policy_loss=policy_loss,
                policy_entropy=entropy,
                obs_loss=(seen * ((seen + 1e-6).log() - (told + 1e-6).log())).sum(-1).mean(),
            )
            for name, loss in vars(found).items():
                parts.setdefault(name, []).append(loss.item())
                real = mask[k + 1] if name == "obs_loss" else mask[k]
                searched = visits.any().item() or not name.startswith("policy")
                masks.setdefault(name, []).append(real * searched)
    shape = (len(observation), steps)
    return {n: (np.reshape(parts[n], shape), np.reshape(masks[n], shape)) for n in parts}


@every_policy
@pytest.mark.parametrize(("gamma", "given"), [(1.0, {}), (0.7, {}), (1.0, {"absorbing_end": True})])
def test_losses_are_those_of_single_steps_where_they_are_real(kind, gamma, given):
    policy = make_policy({"model": {"world_model_cfg": {"gamma": gamma}}}, kind=kind, **given)
    current, target = batch_of(policy, 8, lengths=LENGTHS)
    weights = np.linspace(0.3, 1.0, 8).astype(np.float32)
    current = current._replace(weights=weights)
    with torch.no_grad():
        slow = slow_losses(policy, current, target)
    told = policy.learn_mode.forward([current, target])

    total = 0.0
    for name, (loss, mask) in slow.items():
        masked = loss * mask * gamma ** np.arange(4)
        mean = masked.sum() / mask.sum()
        name = "orig_policy_loss" if name == "policy_loss" else name
        assert told[name] == pytest.approx(mean, rel=1e-4), name
        weight = policy._loss_weights()[name.removeprefix("orig_")]
        total += weight * (weights * masked.sum(1)).sum() / mask.sum()
    assert not target.target_policy.any(axis=2).all()  # some steps are behind an end
    assert told["weighted_total_loss"] == pytest.approx(total, rel=1e-4)
    entropy = slow["policy_entropy"][0] * slow["policy_entropy"][1] * gamma ** np.arange(4)
    expected = told["orig_policy_loss"] - 1e-4 * entropy.sum() / slow["policy_entropy"][1].sum()
    assert told["policy_loss"] == pytest.approx(expected, rel=1e-5)


def test_single_steps_of_windows_are_told():
    policy = make_policy()
    current, target = batch_of(policy, 8, lengths=LENGTHS)
    with torch.no_grad():
        slow = slow_losses(policy, current, target)
    told = policy.learn_mode.forward([current, target])

    heads = {"value": "value_loss", "policy": "policy_loss", "rewards": "reward_loss"}
    for head, name in {**heads, "obs": "obs_loss"}.items():
        loss, mask = slow[name]
        for moment, k in (("first", 0), ("middle", 2), ("last", 3)):
            mean = (loss * mask)[:, k].sum() / mask[:, k].sum()
            assert told[f"analysis/{moment}_step_loss_{head}"] == pytest.approx(mean, rel=1e-4)


def test_the_last_latent_need_not_be_compared():
    policy = make_policy(obs_loss_all_steps=False)
    current, target = batch_of(policy, 8, lengths=(30,))
    with torch.no_grad():
        loss, mask = slow_losses(policy, current, target)["obs_loss"]
    told = policy.learn_mode.forward([current, target])

    mean = (loss * mask)[:, :-1].sum() / mask[:, :-1].sum()
    assert told["obs_loss"] == pytest.approx(mean, rel=1e-4)


def test_windows_of_one_step_may_foretell_nothing():
    rotary = {"model": {"world_model_cfg": {"positions": "rotary"}}}
    policy = make_policy(rotary, obs_loss_all_steps=False, num_unroll_steps=1)
    told = policy.learn_mode.forward(batch_of(policy))

    assert told["obs_loss"] == told["analysis/last_step_loss_obs"] == 0.0


def test_squared_errors_may_compare_latents():
    policy = make_policy({"model": {"world_model_cfg": {"predict_latent_loss_type": "mse"}}})
    kl = make_policy()
    data = batch_of(policy)

    ours, theirs = (p.learn_mode.forward(data)["obs_loss"] for p in (policy, kl))
    assert 0.0 < ours < theirs


@every_policy
def test_what_lies_behind_the_end_teaches_nothing(kind):
    """Frames, actions and targets behind the ends of episodes change no loss and no gradient."""
    told = []
    for noise in (0.0, 5.0):
        policy = make_policy(kind=kind)
        current, target = batch_of(policy, 8, lengths=(3, 3, 3, 3))
        gone = current.mask[:, 1:] == 0  # o_{t+1} .. o_{t+K}
        current.obs.reshape(8, 5, 4)[:, 1:][gone] += noise
        current.action[current.mask[:, :-1] == 0] = 2 if noise else 0
        if kind != "unizero":
            current.root_sampled_actions[current.mask == 0] = noise > 0
        target.target_value[current.mask == 0] += noise
        target.target_reward[current.mask == 0] += noise
        told.append(policy.learn_mode.forward([current, target]))

    for name in ("weighted_total_loss", "total_grad_norm_before_clip_wm", "obs_loss"):
        assert told[0][name] == pytest.approx(told[1][name], rel=1e-6)
    assert told[0]["value_priority_orig"] == pytest.approx(told[1]["value_priority_orig"])


@pytest.mark.parametrize("terminated", [True, False])
def test_a_true_end_may_be_learned_and_no_other(terminated):
    """Behind it the last frame comes again, and neither reward nor value nor policy."""
    policy = make_policy(absorbing_end=True)
    lengths = (6, 6, 6, 6)
    columns = policy.columns(policy.cfg, spaces_for(policy))
    buffer = ReplayBuffer(columns, policy.replay_settings(), 1)
    buffer.push([episode(policy, i, n, terminated=terminated) for i, n in enumerate(lengths)])

    current, target = buffer.sample(8, policy)

    behind = ~target.target_policy.any(axis=2)  # (B, K + 1)
    assert 0 < behind[:, 1:].sum() == behind.sum()
    assert np.array_equal(current.mask, ~behind)
    assert (current.learned[~behind] == 1.0).all()
    assert (current.learned[behind] == float(terminated)).all()
    assert not target.target_reward[behind].any()
    frames = current.obs.reshape(8, 5, 4)
    for row, over in zip(frames, behind, strict=True):
        assert (row[over] == row[over.argmax()]).all()
    if terminated:
        assert not target.target_value[behind].any()


def test_steps_behind_a_true_end_are_learned_but_not_counted_by_statistics():
    policy = make_policy(kind="vectors", absorbing_end=True)
    current, target = batch_of(policy, 8, lengths=LENGTHS)
    played = target.target_policy.any(axis=2)  # (B, K + 1)
    drawn = current.root_sampled_actions.copy()
    drawn[~played] = 0.99
    told = policy.learn_mode.forward([current._replace(root_sampled_actions=drawn), target])

    assert (current.learned[~played] == 1.0).any()
    for kind in ("max", "min", "mean"):
        expected = getattr(drawn[:, :-1][played[:, :-1]], kind)()
        assert told[f"target_sampled_actions_{kind}"] == pytest.approx(expected, abs=1e-6)


@every_policy
def test_no_novelty_is_learned_of_steps_that_nobody_took(kind, monkeypatch):
    policy = make_policy(kind=kind, absorbing_end=True, use_rnd_model=True)
    data = batch_of(policy, 8, lengths=LENGTHS)
    learn, seen = policy._rnd.learn, []
    monkeypatch.setattr(policy._rnd, "learn", lambda x: seen.append(x) or learn(x))
    policy.learn_mode.forward(data)

    played = data[1].target_policy.any(axis=2)
    assert [len(x) for x in seen] == [played.sum()]
    assert (data[0].learned[~played] == 1.0).any()


def test_priorities_are_errors_of_the_first_value():
    policy = make_policy()
    current, target = batch_of(policy)
    first = torch.from_numpy(current.obs[:, :4])
    with torch.no_grad():
        value = policy._model.value_support.decode(policy._model.initial_inference(first).value)
    told = policy.learn_mode.forward([current, target])

    expected = np.abs(value.numpy() - target.target_value[:, 0]) + 1e-6
    assert told["value_priority_orig"] == pytest.approx(expected, abs=1e-5)
    assert told["value_priority"] == pytest.approx(expected.mean(), abs=1e-5)
