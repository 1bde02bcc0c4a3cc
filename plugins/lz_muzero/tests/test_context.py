"""Roots that follow from the last ones: whose they are, how long, and what is kept of them."""

from functools import partial

import numpy as np
import pytest
import torch
from lz_muzero.model import MuZeroContextModel, MuZeroModel
from lz_muzero.model_mlp import MuZeroContextModelMLP, MuZeroModelMLP
from torch import nn

from lzcore.base import NetworkOutput, Observed
from lzcore.engine.plain import from_plain, to_plain
from lzcore.nn import ScalarSupport
from lzcore.registry import get_registry

CONTEXT = {"model": {"model_type": "mlp_context"}}


class Counting(nn.Module):
    """A latent is an observation; each step adds 10, 20 or 30 to its value, by the action."""

    def __init__(self):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.gain = nn.Parameter(torch.ones(()))

    def initial_inference(self, observation):
        value = observation[:, :1] * self.gain
        return NetworkOutput(observation, torch.zeros_like(value), value, observation[:, 1:])

    def recurrent_inference(self, latent_state, action):
        latent = latent_state.clone()
        latent[:, 0] += 10.0 * (action + 1)
        return self.initial_inference(latent)


@pytest.fixture
def carried(make_policy):
    """A function from settings to a policy whose predicted values tell the roots it starts from."""

    def make(length=5, **given):
        own = {"model": {"model_type": "mlp_context", "context_length_init": length}}
        return make_policy(own, given, model=Counting())

    return make


def shown(*values):
    """Observations (N, 4) of these values, with equal logits."""
    data = torch.zeros(len(values), 4)
    data[:, 0] = torch.tensor(values)
    return data


def move(policy, mode, env_id, *values, **given):
    """Decide once; return {env: (value of its root, action)}."""
    if mode == "eval":
        given["action_mask"] = None
    found = getattr(policy, f"{mode}_mode").forward(shown(*values), ready_env_id=env_id, **given)
    return {env: (float(found[env]["predicted_value"][0]), found[env]["action"]) for env in found}


def after(root):
    value, action = root
    return value + 10.0 * (action + 1)


# --- which root -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["collect", "eval"])
def test_a_root_follows_from_the_last_one_and_every_few_moves_from_its_observation(carried, mode):
    policy = carried(length=3)
    roots = [move(policy, mode, [4], 1000.0 * t)[4] for t in range(8)]

    for t, (value, _) in enumerate(roots):
        assert value == (1000.0 * t if t % 3 == 0 else after(roots[t - 1]))


def test_the_action_that_is_followed_is_the_one_that_was_executed(carried):
    policy = carried(length=100, eps={"eps_greedy_exploration_in_collect": True})
    roots = [move(policy, "collect", [0], 0.0, epsilon=1.0)[0] for _ in range(12)]

    assert {action for _, action in roots} == {0, 1, 2}
    assert [value for value, _ in roots[1:]] == [after(root) for root in roots[:-1]]


def test_a_length_of_one_is_muzero_to_the_last_bit(make_policy):
    data = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))

    def told(**model):
        policy = make_policy({"model": model})
        found = [policy.collect_mode.forward(seen).columns for seen in data]
        return [{name: values.tolist() for name, values in one.items()} for one in found]

    assert told(model_type="mlp_context", context_length_init=1) == told()
    assert told(model_type="mlp_context") != told()


def test_the_latent_is_carried_on_by_the_dynamics(make_policy):
    policy = make_policy(CONTEXT)
    model, generator = policy._model.eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    first, second = torch.randn(2, 1, 4, generator=generator)

    action = policy.collect_mode.forward(first)[0]["action"]
    found = policy.collect_mode.forward(second)[0]

    with torch.no_grad():
        root = model.initial_inference(first)
        then = model.recurrent_inference(root.latent_state, torch.tensor([action]))
    assert found["predicted_policy_logits"] == pytest.approx(then.policy_logits[0].tolist())
    value = model.value_support.decode(then.value).item()
    assert found["predicted_value"][0] == pytest.approx(value)


def test_acting_without_a_search_starts_from_the_same_roots(carried):
    policy = carried(collect_with_pure_policy=True)
    roots = [move(policy, "collect", [0], 1000.0 * t)[0] for t in range(6)]

    expected = [0.0, *(after(root) for root in roots[:4]), 5000.0]
    assert [value for value, _ in roots] == expected


def test_frames_that_are_overwritten_later_change_nothing(carried):
    policy, data = carried(), shown(7.0)
    action = policy.collect_mode.forward(data)[0]["action"]
    data.fill_(99.0)

    assert move(policy, "collect", [0], 0.0)[0][0] == after((7.0, action))


# --- whose root -----------------------------------------------------------------------------------


def test_each_environment_has_its_own_whatever_the_order_and_subset(carried):
    policy = carried(length=3)
    rng = np.random.default_rng(0)
    last, age = {}, {}
    for t in range(30):
        ready = rng.permutation(6)[: rng.integers(1, 7)].tolist()
        values = [1000.0 * t + env for env in ready]
        roots = move(policy, "collect", ready, *values)
        for env, value in zip(ready, values, strict=True):
            observed = age.get(env, 0) % 3 == 0
            assert roots[env][0] == (value if observed else after(last[env]))
            age[env] = age.get(env, 0) + 1
        last |= roots


def test_a_reset_forgets_the_environments_it_names_and_no_other(carried):
    policy = carried()
    before = move(policy, "collect", [0, 1, 2], 0.0, 1.0, 2.0)
    policy.collect_mode.reset([1])
    roots = move(policy, "collect", [2, 1, 0], 500.0, 600.0, 700.0)

    assert roots[1][0] == 600.0
    assert [roots[env][0] for env in (0, 2)] == [after(before[env]) for env in (0, 2)]
    policy.collect_mode.reset(None)
    assert move(policy, "collect", [0, 1], 3.0, 4.0)[0][0] == 3.0


def test_a_reset_starts_the_count_anew(carried):
    policy = carried(length=3)
    move(policy, "collect", [0], 0.0)
    move(policy, "collect", [0], 0.0)
    policy.collect_mode.reset([0])
    roots = [move(policy, "collect", [0], 1000.0)[0] for _ in range(3)]

    assert [value for value, _ in roots] == [1000.0, after(roots[0]), after(roots[1])]


def test_collection_and_evaluation_do_not_disturb_each_other(carried):
    both, collecting, evaluating = carried(), carried(), carried()

    for t in range(9):
        value = 100.0 * t
        if t % 3 == 0:
            assert move(both, "eval", [0], value) == move(evaluating, "eval", [0], value)
        if t == 4:
            both.eval_mode.reset([0])
            evaluating.eval_mode.reset([0])
        assert move(both, "collect", [0], value) == move(collecting, "collect", [0], value)


def test_random_decisions_are_followed_by_an_observed_root(carried):
    policy = carried()
    move(policy, "collect", [0, 1], 0.0, 0.0)
    one = np.array([1])
    policy.decide("random", Observed(one, shown(0.0).numpy(), None, np.int8([-1]), one))
    roots = move(policy, "collect", [0, 1], 55.0, 66.0)

    assert roots[0][0] != 55.0
    assert roots[1][0] == 66.0


def test_a_decision_that_fails_leaves_what_is_remembered_as_it_was(carried):
    policy = carried()
    first = move(policy, "collect", [0], 1.0)[0]
    policy._model.gain.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="environment 0 is not finite"):
        move(policy, "collect", [0], 2.0)
    policy._model.gain.data.fill_(1.0)

    assert move(policy, "collect", [0], 3.0)[0][0] == after(first)


def test_observed_and_carried_roots_take_one_call_each(carried):
    policy, calls = carried(), []
    for name in ("initial", "recurrent"):
        original = getattr(policy._inference, name)

        def counted(states, *rest, name=name, original=original):
            calls.append((name, len(states[0]) if name == "recurrent" else len(states)))
            return original(states, *rest)

        setattr(policy._inference, name, counted)
    policy._contexts["collect"].roots(np.arange(3), shown(0.0, 1.0, 2.0))
    policy._contexts["collect"].follow(np.arange(3), np.array([0, 1, 2]))
    evaluation, _ = policy._contexts["collect"].roots(
        np.array([9, 2, 8, 0]), shown(5.0, 6.0, 7.0, 8.0)
    )

    assert calls == [("initial", 3), ("initial", 2), ("recurrent", 2)]
    assert evaluation.value.tolist() == [5.0, 32.0, 7.0, 10.0]


# --- what stays as in MuZero ----------------------------------------------------------------------


def test_batches_and_reanalysis_start_from_observations(make_policy, fill):
    given = {"reanalyze_ratio": 1.0}

    def batches(*layers):
        policy = make_policy(given, *layers)
        policy.collect_mode.forward(torch.zeros(2, 4))
        buffer = fill(policy)
        return [buffer.sample(8, policy) for _ in range(2)]

    for ours, theirs in zip(batches(CONTEXT), batches(), strict=True):
        for one, other in zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True):
            assert (one == other).all()


@pytest.mark.parametrize(
    ("context", "plain", "shape"),
    [(MuZeroContextModel, MuZeroModel, (2, 8, 8)), (MuZeroContextModelMLP, MuZeroModelMLP, 4)],
)
@pytest.mark.parametrize("batch", [1, 7])
def test_weights_and_shapes_are_those_of_muzeros_models(context, plain, shape, batch):
    given = {"observation_shape": shape, "action_space_size": 3, "num_channels": 8}
    ours, theirs = context(**given).eval(), plain(**given).eval()
    theirs.load_state_dict(ours.state_dict())
    seen = torch.randn(batch, *([shape] if shape == 4 else shape))

    for one, other in zip(
        ours.initial_inference(seen), theirs.initial_inference(seen), strict=True
    ):
        assert (one is None and other is None) or torch.equal(one, other)
    assert not ours.initial_inference(seen).policy_logits.any()
    assert get_registry().resolve("models", context.__name__) is context


def test_the_model_type_chooses_the_model(make_policy, pictures):
    conv = {"model": {"model_type": "conv_context"}}

    assert type(make_policy(CONTEXT)._model) is MuZeroContextModelMLP
    policy = make_policy(pictures, conv)
    assert type(policy._model) is MuZeroContextModel
    seen = torch.rand(3, 2, 8, 8)
    first, second = (policy.eval_mode.forward(seen, None) for _ in range(2))
    assert len(first) == len(second) == 3


@pytest.mark.parametrize("field", ["learn", "collect", "eval"])
def test_each_mode_works_without_the_others(make_policy, fill, field):
    whole, policy = make_policy(CONTEXT), make_policy(CONTEXT, enable_field=[field])
    data = fill(whole).sample(8, whole)
    act = {
        "learn": lambda: policy.learn_mode.forward(data),
        "collect": lambda: policy.collect_mode.forward(torch.zeros(2, 4)),
        "eval": lambda: policy.eval_mode.forward(torch.zeros(2, 4), None),
    }

    assert act[field]()
    for mode in (policy.collect_mode, policy.eval_mode):
        assert mode.reset([0]) is None
        assert "model" in mode.state_dict()


# --- what is kept ---------------------------------------------------------------------------------


def played(make_policy, moves=3):
    """A policy in the midst of the episodes of three environments, and what they show next."""
    policy = make_policy(CONTEXT)
    data = torch.randn(12, 3, 4, generator=torch.Generator().manual_seed(0))
    for seen in data[:moves]:
        policy.collect_mode.forward(seen)
        policy.eval_mode.forward(seen, None)
    return policy, data[moves:]


def told(policy, data, mode="collect"):
    act = partial(policy.collect_mode.forward)
    if mode == "eval":
        act = partial(policy.eval_mode.forward, action_mask=None)
    return [{name: values.tolist() for name, values in act(seen).columns.items()} for seen in data]


def test_a_resumed_collection_goes_on_from_the_same_roots(make_policy):
    policy, data = played(make_policy)
    learn = policy.learn_mode.state_dict()
    collect = from_plain(to_plain(policy.collect_mode.state_dict()))
    evaluate = policy.eval_mode.state_dict()
    resumed = make_policy(CONTEXT)
    resumed.learn_mode.load_state_dict(learn)
    resumed.collect_mode.load_state_dict(collect)
    resumed.eval_mode.load_state_dict(evaluate)  # does not touch what collection remembers

    assert told(resumed, data) == told(policy, data)
    assert list(collect) == ["model", "context"]
    assert list(evaluate) == ["model"]


def test_what_is_kept_does_not_follow_later_moves(make_policy):
    policy, data = played(make_policy)
    kept = policy.collect_mode.state_dict()
    latent = kept["context"]["latent"].clone()
    expected = told(policy, data)

    assert torch.equal(kept["context"]["latent"], latent)
    other, _ = played(make_policy)
    other.collect_mode.load_state_dict(kept)
    assert told(other, data) == expected


def test_other_weights_come_without_roots(make_policy):
    policy, data = played(make_policy)
    other = make_policy(CONTEXT, seed=3)
    for mode in ("collect", "eval"):
        getattr(policy, f"{mode}_mode").load_state_dict(other.learn_mode.state_dict())

    assert told(policy, data, "eval") == told(other, data, "eval")
    assert policy._contexts["collect"]._memories == {}


def test_a_state_of_learning_comes_without_roots_too(make_policy):
    policy, _ = played(make_policy)
    policy.learn_mode.load_state_dict(make_policy(CONTEXT, seed=3).learn_mode.state_dict())

    assert {mode: kept._memories for mode, kept in policy._contexts.items()} == {
        "collect": {}, "eval": {}
    }  # fmt: skip


def test_a_learn_step_that_fails_leaves_carried_roots_evaluated_in_eval_mode(make_policy, fill):
    policy, data = played(make_policy)
    current, target = fill(policy).sample(4, policy)
    target.target_value[:] = 1e30
    policy._gradients = lambda loss: (_ for _ in ()).throw(RuntimeError("in the middle"))
    with pytest.raises(RuntimeError, match="in the middle"):
        policy.learn_mode.forward([current, target])
    assert policy._model.training

    told(policy, data)

    assert not policy._model.training


def test_nothing_is_kept_where_nothing_is_remembered(make_policy):
    empty = make_policy(CONTEXT).collect_mode.state_dict()["context"]
    policy, _ = played(make_policy)
    policy.collect_mode.load_state_dict({**policy.collect_mode.state_dict(), "context": empty})

    assert to_plain(empty) == {"env_id": [], "latent": None, "action": [], "steps": []}
    assert policy._contexts["collect"]._memories == {}
    assert list(make_policy().collect_mode.state_dict()) == ["model"]
