"""Sampled MuZero learns: batches, the loss written out, what it does to a policy, what is told.

Shape letters: B samples, K unroll steps, Ks slots, A actions, D numbers of a vector.
"""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from lz_muzero import losses_sampled
from lz_muzero.policy_sampled import SampledMuZeroPolicy, drift
from lz_muzero.policy_sampled_efficientzero import SampledEfficientZeroPolicy

from lzcore.nn import CategoricalSupport

VECTORS = {
    "model": {
        "continuous_action_space": True,
        "action_space_size": 2,
        "num_of_sampled_actions": 5,
    }
}
NUMBERS = {"model": {"num_of_sampled_actions": 2}, "policy_loss_type": "KL"}
KINDS = {"numbers": NUMBERS, "vectors": VECTORS}
kinds = pytest.mark.parametrize("layer", KINDS.values(), ids=KINDS)
STATISTICS = [
    f"{name}_{kind}"
    for name in ("policy_mu", "policy_sigma", "target_sampled_actions")
    for kind in ("max", "min", "mean")
]
TOLD = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "sampled_muzero"
]


@pytest.fixture
def make(make_policy):
    def policy(*layers, policy_class=SampledMuZeroPolicy, **given):
        return make_policy(*layers, given, policy_class=policy_class)

    return policy


@pytest.fixture
def awake(make):
    """A function from settings to a policy whose heads do not say 0 any more."""

    def policy(*layers, **given):
        found = make(*layers, **given)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in found._model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return found

    return policy


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "action", "drawn", "visits"),
    [
        (NUMBERS, ((8, 3), np.int64), ((8, 4, 2, 1), np.int64), (8, 4, 2)),
        (VECTORS, ((8, 3, 2), np.float32), ((8, 4, 5, 2), np.float32), (8, 4, 5)),
    ],
    ids=KINDS,
)
def test_a_batch_has_the_documented_parts_in_their_order(make, fill, layer, action, drawn, visits):
    policy = make(layer)
    current, target = fill(policy).sample(8, policy)

    names = "obs action root_sampled_actions mask index weights make_time"
    assert current._fields == tuple(names.split())
    assert (current.action.shape, current.action.dtype) == action
    found = current.root_sampled_actions
    assert (found.shape, found.dtype) == drawn
    assert target.target_policy.shape == visits
    ended = current.mask == 0
    assert ended.any()
    assert (found[ended] == 0).all()
    assert (target.target_policy[ended] == 0).all()
    assert target.target_policy[~ended].sum(axis=1) == pytest.approx(np.ones((~ended).sum()))


def test_visits_and_the_actions_they_are_of_are_those_of_one_position(make, fill, make_episode):
    policy = make(VECTORS)
    stored = make_episode(policy, 0, 12, terminated=True).columns
    current, target = fill(policy, lengths=(12,)).sample(8, policy)

    for b, index in enumerate(current.index):  # ids of rows count from 0
        for k in np.flatnonzero(current.mask[b]):
            drawn = stored["root_sampled_actions"][index + k]
            assert (current.root_sampled_actions[b, k] == drawn).all()
            assert (target.target_policy[b, k] == stored["child_visit"][index + k]).all()


def test_vectors_after_the_end_are_uniform_and_change_with_the_learn_step(make, fill):
    policy = make(VECTORS, num_unroll_steps=40)
    buffer = fill(policy, lengths=(3,))

    def absorbing():
        buffer._rng = np.random.default_rng(0)
        batch = buffer.sample(8, policy)[0]
        return batch.action[batch.mask[:, :40] == 0]

    first = absorbing()
    assert len(first) > 200
    assert (np.abs(first) <= 1).all()
    assert first.mean(axis=0) == pytest.approx([0, 0], abs=0.12)
    assert first.std(axis=0) == pytest.approx([0.577, 0.577], abs=0.05)
    assert (absorbing() == first).all()
    policy._learn_step += 1
    assert (absorbing() != first).any()


@kinds
def test_reanalysis_writes_actions_and_visits_together(make, fill, spaces_for, layer):
    policy = make(layer, reanalyze_ratio=1.0)
    stored = {c.name: c for c in policy.columns(policy.cfg, spaces_for(policy))}
    assert stored["root_sampled_actions"].changing
    assert stored["child_visit"].changing
    kept = make(layer)
    before, old = fill(kept).sample(8, kept)

    after, new = fill(policy).sample(8, policy)

    assert (before.index == after.index).all()
    inside = after.mask > 0
    assert (new.target_policy != old.target_policy).any(axis=2)[inside].all()
    drawn = after.root_sampled_actions[inside]
    if layer is VECTORS:
        assert (drawn != before.root_sampled_actions[inside]).all()
    else:
        assert (np.diff(drawn[..., 0], axis=1) > 0).all()  # rising, as a tree tells them


# --- the loss -------------------------------------------------------------------------------------

WEIGHTS = np.linspace(0.2, 1.0, 8, dtype=np.float32)
EXACT = {"policy_entropy_loss_weight": 0.1, "grad_clip_value": 1e9, "learning_rate": 0.0}


def log_densities(layer, out, actions):
    """Log probabilities of the slots (Ks, D) of one policy, a slot after another."""
    found = []
    for action in actions:
        if layer is not VECTORS:
            found.append(out.log_softmax(-1)[action[0]])
            continue
        mu, sigma = out.chunk(2)
        normal = torch.distributions.Normal(mu, sigma).log_prob(action.atanh())
        found.append((normal - (1 - action**2 + 1e-6).log()).sum())
    return torch.stack(found)


def entropy_of(layer, out):
    if layer is VECTORS:
        return torch.distributions.Normal(*out.chunk(2)).entropy().sum()
    return torch.distributions.Categorical(logits=out).entropy()


def written_out(policy, layer, current, target):
    """Return the (B,) losses by loops over samples, steps and slots."""
    model, cfg = deepcopy(policy._model).train(), policy.cfg
    reward, value, visits = (torch.from_numpy(part) for part in target)
    drawn, mask = torch.from_numpy(current.root_sampled_actions), current.mask
    frames = torch.from_numpy(current.obs).unflatten(1, (-1, 4))
    now, total = model.initial_inference(frames[:, 0]), torch.zeros(8)
    for k in range(4):
        for b in range(8):
            out, p = now.policy_logits[b], visits[b, k]
            if mask[b, k]:
                log_p = log_densities(layer, out, drawn[b, k])
                if cfg.policy_loss_type == "KL" or cfg.normalize_prob_of_sampled_actions:
                    log_p = log_p - log_p.exp().sum().log()
                total[b] -= (p * log_p).sum()
                if cfg.policy_loss_type == "KL":
                    total[b] += (p * p.log()).sum()
                total[b] -= 0.1 * entropy_of(layer, out)
            encoded = model.value_support.encode(value[b, k])
            total[b] -= 0.25 * (encoded * now.value[b].log_softmax(-1)).sum()
        if k == 3:
            return model, total
        latent = now.latent_state * 0.5 + now.latent_state.detach() * 0.5
        memory = ()
        if now.memory is not None:  # sums of rewards begin anew at every second step
            memory = (torch.zeros_like(now.memory) if k % 2 == 0 else now.memory,)
        now = model.recurrent_inference(latent, torch.from_numpy(current.action[:, k]), *memory)
        imagined = model.project(now.latent_state, with_grad=True)
        with torch.no_grad():
            seen = model.project(model.represent(frames[:, k + 1]), with_grad=False)
        for b in range(8):
            encoded = model.reward_support.encode(reward[b, k])
            total[b] -= (encoded * now.reward[b].log_softmax(-1)).sum()
            cosine = imagined[b] @ seen[b] / (imagined[b].norm() * seen[b].norm())
            total[b] -= 2.0 * mask[b, k] * cosine
    raise AssertionError


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (NUMBERS, {}),
        (NUMBERS, {"policy_loss_type": "cross_entropy", "normalize_prob_of_sampled_actions": True}),
        (VECTORS, {}),
        (VECTORS, {"policy_loss_type": "KL", "prior_mode": "density"}),
    ],
    ids=["KL of numbers", "shares of numbers", "densities of vectors", "KL of vectors"],
)
def test_losses_and_gradients_are_those_of_the_loss_written_out(awake, fill, layer, given):
    policy = awake(layer, EXACT, given)
    current, target = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    current = current._replace(weights=WEIGHTS)
    assert 0 < current.mask[:, 1:].sum() < current.mask[:, 1:].size

    model, total = written_out(policy, layer, current, target)
    ((torch.from_numpy(WEIGHTS) * total).mean() / 3).backward()
    told = policy.learn_mode.forward([current, target])

    assert told["total_loss"] == pytest.approx(total.mean().item(), rel=1e-5)
    for (name, ours), theirs in zip(
        policy._model.named_parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


@kinds
def test_sampled_efficientzero_has_the_same_losses_with_sums_of_rewards(awake, fill, layer):
    given = {"lstm_horizon_len": 2, "model": {"lstm_hidden_size": 16}}
    policy = awake(layer, EXACT, given, policy_class=SampledEfficientZeroPolicy)
    buffer = fill(policy, lengths=(4, 5, 3, 6, 4))
    current, target = buffer.sample(8, policy)
    current = current._replace(weights=WEIGHTS)

    model, total = written_out(policy, layer, current, target)
    ((torch.from_numpy(WEIGHTS) * total).mean() / 3).backward()
    told = policy.learn_mode.forward([current, target])

    assert told["total_loss"] == pytest.approx(total.mean().item(), rel=1e-5)
    for (name, ours), theirs in zip(
        policy._model.named_parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
    assert told["value_prefix_loss"] > 0
    names = [name.replace("reward", "value_prefix") for name in TOLD]
    assert list(told)[:-1] == names + (STATISTICS if layer is VECTORS else [])


@kinds
def test_the_documented_losses_of_single_steps_add_up_to_those_of_the_learn_step(
    awake, fill, layer
):
    policy = awake(layer, learning_rate=0.0)
    data = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    batch, target = policy._on_device(data)
    policy._model.train()
    unrolled = policy._unroll(batch)
    by_step = policy._calculate_policy_loss_disc
    if layer is VECTORS:
        by_step = policy._calculate_policy_loss_cont

    loss, entropy = torch.zeros(8), torch.zeros(8)
    for k in range(4):
        told = by_step(
            loss,
            unrolled.policy_logits[k],
            target.target_policy,
            batch.mask,
            batch.root_sampled_actions,
            k,
        )
        loss, entropy = told[0], entropy + told[1]
        assert torch.equal(told[2], -told[1])
        assert torch.equal(told[4], batch.root_sampled_actions[:, k])
        if layer is VECTORS:
            assert torch.equal(torch.cat(told[5:], dim=1), unrolled.policy_logits[k])
    told = policy.learn_mode.forward(data)

    assert loss.mean().item() == pytest.approx(told["policy_loss"], rel=1e-5)
    assert entropy.mean().item() / 4 == pytest.approx(told["policy_entropy"], rel=1e-5)


@kinds
def test_entropy_is_rewarded_at_every_step_inside_the_episode_and_at_no_other(awake, fill, layer):
    policy = awake(layer)
    data = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    batch, target = policy._on_device(data)
    policy._model.train()
    unrolled = policy._unroll(batch)

    logits = unrolled.policy_logits.detach().requires_grad_()
    parts = policy._losses(unrolled._replace(policy_logits=logits), batch, target)
    parts["policy_entropy"].sum().backward()

    taught = logits.grad.abs().sum(dim=2) > 0
    assert torch.equal(taught, batch.mask.T.bool())


# --- prior and loss -------------------------------------------------------------------------------

ROWS = 20_000  # searches whose values are all equal, so that visits are the prior


def searched_vectors(policy, prior_mode):
    """Slots and visits of the Gaussian `policy` (1, 2 D)."""
    mu, sigma = policy[:, None].chunk(2, dim=-1)
    drawn = torch.tanh(mu + sigma * torch.randn(ROWS, 5, 2))
    log_prob = losses_sampled.gaussian_log_prob(policy, drawn)
    return drawn, (log_prob if prior_mode == "density" else 0.0 * log_prob).softmax(-1)


def searched_numbers(policy, sample_mode):
    """Slots and visits of the logits `policy` (1, 3), of which two actions are drawn."""
    if sample_mode == "without_replacement":
        gumbel = -(-torch.rand(ROWS, 3).log()).log()
        drawn = (policy + gumbel).topk(2).indices
        return drawn[..., None], policy.expand(ROWS, 3).gather(1, drawn).softmax(-1)
    drawn = policy.softmax(-1).expand(ROWS, 3).multinomial(2, replacement=True)
    twice = drawn[:, 0] == drawn[:, 1]
    visits = torch.where(twice[:, None], torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
    drawn[twice, 1] = -1
    return drawn[..., None], visits


def pull(policy):
    """How a step of gradient descent moves a policy on average, if all values are equal."""
    cfg = policy.cfg
    vectors = cfg.model.continuous_action_space
    given = torch.tensor([[0.3, -0.2, 0.3, 0.4]] if vectors else [[0.0, 1.0, -1.0]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if vectors:
            drawn, visits = searched_vectors(given, cfg.prior_mode)
        else:
            drawn, visits = searched_numbers(given, cfg.sample_mode)
    given.requires_grad_()
    policy._slot_loss(given.expand(ROWS, -1), visits, drawn).mean().backward()
    return -given.grad[0]


DRIFTS = {
    "contracts to where it is densest": (VECTORS, {"prior_mode": "density"}),
    "towards an even density": (VECTORS, {"policy_loss_type": "KL"}),
    "one action takes over": (NUMBERS, {"policy_loss_type": "cross_entropy"}),
    "towards the uniform one": (NUMBERS, {"sample_mode": "with_replacement"}),
}
STAYS = {
    "empirical and densities": (VECTORS, {}),
    "density and shares": (VECTORS, {"prior_mode": "density", "policy_loss_type": "KL"}),
    "few and shares": (NUMBERS, {}),
    "counts and probabilities": (
        NUMBERS,
        {"sample_mode": "with_replacement", "policy_loss_type": "cross_entropy"},
    ),
}
PULLS = {
    "contracts to where it is densest": lambda pull: (pull[2:] < -0.05).all(),
    "towards an even density": lambda pull: (pull[2:] > 0.05).all(),
    "one action takes over": lambda pull: pull[1] > 0.05 and pull[2] < -0.02,
    "towards the uniform one": lambda pull: pull[1] < -0.05 and pull[2] > 0.01,
}


@pytest.mark.parametrize("text", DRIFTS)
def test_a_prior_that_the_loss_does_not_go_with_is_warned_of_and_does_what_is_said(make, text):
    layer, given = DRIFTS[text]
    with pytest.warns(UserWarning, match=text):
        policy = make(layer, given)

    assert PULLS[text](pull(policy))


@pytest.mark.parametrize("name", STAYS)
def test_nothing_pulls_at_a_policy_whose_prior_the_loss_goes_with(make, name):
    layer, given = STAYS[name]
    policy = make(layer, given)  # a warning would be an error

    assert drift(policy.cfg) is None
    assert pull(policy).abs().max() < 0.02


def test_where_every_action_has_a_slot_either_loss_will_do(make):
    for kind in ("cross_entropy", "KL"):
        assert drift(make(policy_loss_type=kind).cfg) is None


# --- learning -------------------------------------------------------------------------------------


@kinds
def test_a_learn_step_tells_exactly_the_documented_names_in_their_order(make, fill, layer):
    policy = make(layer)
    told = policy.learn_mode.forward(fill(policy).sample(8, policy))

    names = TOLD + (STATISTICS if layer is VECTORS else [])
    assert policy.learn_mode.monitor_vars() == names
    assert list(told) == [*names, "value_priority_orig"]
    assert all(isinstance(told[name], float) for name in names)


def test_statistics_are_of_positions_inside_the_episodes(awake, fill):
    policy = awake(VECTORS, learning_rate=0.0)
    data = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)
    current, target = data
    drawn = current.root_sampled_actions.copy()
    drawn[current.mask == 0] = 0.99
    told = policy.learn_mode.forward([current._replace(root_sampled_actions=drawn), target])

    inside = current.root_sampled_actions[current.mask > 0]
    for kind in ("max", "min", "mean"):
        expected = getattr(inside, kind)()
        assert told[f"target_sampled_actions_{kind}"] == pytest.approx(expected, abs=1e-6)
    assert told["policy_sigma_min"] < told["policy_sigma_mean"] < told["policy_sigma_max"]
    assert told["policy_mu_min"] < told["policy_mu_mean"] < told["policy_mu_max"]


@kinds
@pytest.mark.parametrize("sigma_type", ["conditioned", "independent"])
def test_gradients_reach_every_parameter(awake, fill, layer, sigma_type):
    policy = awake(layer, {"model": {"sigma_type": sigma_type}})
    policy.learn_mode.forward(fill(policy).sample(8, policy))

    silent = [n for n, p in policy._model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@kinds
@pytest.mark.parametrize("policy_class", [SampledMuZeroPolicy, SampledEfficientZeroPolicy])
def test_a_batch_that_is_learned_by_heart_costs_a_fifth(make, fill, layer, policy_class):
    given = {"policy_loss_type": "KL", "prior_mode": "density", "learning_rate": 0.01}
    policy = make(layer, given, ssl_loss_weight=0.0, policy_class=policy_class)
    data = fill(policy).sample(8, policy)

    first = policy.learn_mode.forward(data)["total_loss"]
    last = [policy.learn_mode.forward(data)["total_loss"] for _ in range(120)][-1]

    floor = _least(data)
    assert last - floor < 0.2 * (first - floor)


def _least(data):
    """The entropy of two-hot value and reward targets, which no prediction falls below."""
    support = CategoricalSupport(10)
    reward, value = (torch.from_numpy(part) for part in data[1][:2])
    entropies = [torch.special.entr(support.encode(x)).sum(-1) for x in (value, reward[:, :-1])]
    return (0.25 * entropies[0].sum(1) + entropies[1].sum(1)).mean().item()


@kinds
@pytest.mark.parametrize("policy_class", [SampledMuZeroPolicy, SampledEfficientZeroPolicy])
def test_a_policy_goes_on_from_its_state_bit_for_bit(make, fill, layer, policy_class):
    policy, other = (make(layer, seed=s, policy_class=policy_class) for s in (0, 5))
    data = fill(policy).sample(8, policy)
    policy.learn_mode.forward(data)
    other.learn_mode.load_state_dict(policy.learn_mode.state_dict())

    told, again = (one.learn_mode.forward(data) for one in (policy, other))

    assert {n: v for n, v in told.items() if n != "value_priority_orig"} == {
        n: v for n, v in again.items() if n != "value_priority_orig"
    }
