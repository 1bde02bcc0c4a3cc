"""What every policy of this distribution promises alike; what is its own has files of its own.

Shape letters: N environments, A actions, D numbers of a continuous action, B samples.
"""

import inspect
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lzcore.base import DivergedError
from lzcore.registry import get_registry

HERE = Path(__file__).parent
LSTM = {"model": {"lstm_hidden_size": 16}}
VECTORS = {"model": {"continuous_action_space": True, "num_of_sampled_actions": 5}}
FEWER = {"model": {"num_of_sampled_actions": 2}, "normalize_prob_of_sampled_actions": True}
SSL = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}
KINDS = {  # what is tested under which name: the policy, and settings of it
    "muzero": ("muzero", SSL),
    "muzero with context": ("muzero", {"model": {"model_type": "mlp_context"}}),
    "efficientzero": ("efficientzero", LSTM),
    "gumbel_muzero": ("gumbel_muzero", {}),
    "sampled_muzero": ("sampled_muzero", FEWER),
    "sampled_muzero of vectors": ("sampled_muzero", VECTORS),
    "sampled_efficientzero": ("sampled_efficientzero", LSTM),
    "sampled_efficientzero of vectors": ("sampled_efficientzero", VECTORS),
    "stochastic_muzero": ("stochastic_muzero", {"model": {"chance_space_size": 4}}),
}
KEYS = {
    "action": "action",
    "visit_count_distributions": "distributions",
    "visit_count_distribution_entropy": "visit_count_distribution_entropy",
    "searched_value": "value",
    "predicted_value": "pred_value",
    "predicted_policy_logits": "policy_logits",
}
OWN_KEYS = {
    "gumbel_muzero": {"roots_completed_value", "improved_policy_probs"},
    "sampled_muzero": {"root_sampled_actions"},
    "sampled_efficientzero": {"root_sampled_actions"},
}
MONITORED = json.loads((HERE / "documented_monitor_names.json").read_text())
FOUR = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)

every_kind = pytest.mark.parametrize("kind", KINDS)
every_policy = pytest.mark.parametrize("name", MONITORED)


@pytest.fixture
def make(make_policy):
    """A function from a kind and overrides to a policy whose heads do not all say 0."""

    def make(kind, *layers, **given):
        name, settings = KINDS[kind]
        policy_class = get_registry().resolve("policies", name)
        policy = make_policy(settings, *layers, policy_class=policy_class, **given)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in policy._model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * noise.to(parameter.device))
        if "learn" in policy._enabled:
            policy._target_model.load_state_dict(policy._model.state_dict())
        return policy

    return make


def is_continuous(policy):
    return policy.cfg.model.continuous_action_space


def collected(policy, data=FOUR, mask=None, **given):
    return policy.collect_mode.forward(data, mask, **given)


def evaluated(policy, data=FOUR, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


def same(one, other):
    """Whether two decisions tell the same, array by array."""
    return one.columns.keys() == other.columns.keys() and all(
        np.array_equal(one.columns[name], other.columns[name], equal_nan=True)
        for name in one.columns
    )


@every_kind
def test_a_recorded_network_decides_alike_to_the_bit(kind, make, monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.WORTH", 0)
    plain, traced = (make(kind, {"record_network": on}) for on in (False, True))
    for rows in (4, 3, 4):
        assert same(collected(plain, FOUR[:rows]), collected(traced, FOUR[:rows]))
    steps = traced._inference._observe, traced._inference._step
    programs = [step._programs for step in (*steps, *traced._inference._half_steps.values())]
    assert programs[0]
    assert all(program is not None for found in programs for program in found.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@every_kind
def test_a_gpu_decides_alike_with_recordings_and_without(kind, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a network that cannot be recorded says so
        plain, graphs = (make(kind, {"cuda": True, "record_network": on}) for on in (False, True))
        for _ in range(2):  # recorded, and replayed
            one, other = collected(plain), collected(graphs)
            np.testing.assert_array_equal(one.columns["action"], other.columns["action"])
            for name in ("root_value", "predicted_value"):
                np.testing.assert_allclose(one.columns[name], other.columns[name], atol=1e-4)


both_ways = pytest.mark.parametrize("act", [collected, evaluated])


# --- what is registered and documented ------------------------------------------------------------


@every_policy
def test_the_documented_settings_and_defaults_are_the_reference(name):
    policy_class = get_registry().resolve("policies", name)
    cfg = policy_class.default_config()
    ours = {**cfg.to_dict(documented=True), "cfg_type": cfg.cfg_type}
    documented = (HERE / f"documented_{name}.json").read_text()

    assert json.loads(json.dumps(ours)) == json.loads(documented)
    assert get_registry().resolve("policies", name, "config") is policy_class.config_class


@every_policy
def test_the_default_models_are_registered_under_their_names(name):
    spec, registry = get_registry().spec("policies", name), get_registry()
    policy_class = registry.resolve("policies", name)
    for model, module in policy_class.models.values():
        found = registry.resolve("models", model)
        assert (found.__name__, found.__module__) == (model, module)
    assert spec.default_model == policy_class.models["conv"][0]


def test_all_policies_of_this_distribution_are_tested_here():
    ours = {c.name for c in get_registry().components("policies") if c.distribution == "lz-muzero"}

    assert ours == {policy for policy, _ in KINDS.values()} == MONITORED.keys()


# --- deciding -------------------------------------------------------------------------------------


@every_kind
@both_ways
def test_an_answer_has_every_documented_key_in_both_spellings(make, kind, act):
    policy = make(kind)
    found = act(policy, ready_env_id=[5, 3, 9, 0])

    assert list(found) == [5, 3, 9, 0]
    told = found[9]
    assert told.keys() == {*KEYS, *KEYS.values(), *OWN_KEYS.get(KINDS[kind][0], ())}
    assert all(told[long] is told[short] for long, short in KEYS.items())


@every_kind
@both_ways
def test_an_answer_is_made_of_numbers_and_arrays(make, kind, act):
    policy = make(kind)
    told = act(policy)[2]
    model = policy.cfg.model

    if is_continuous(policy):
        assert told["action"].dtype == np.float32
        assert told["action"].shape == (3,)
        assert (np.abs(told["action"]) < 1).all()
        assert len(told["policy_logits"]) == 6  # means and standard deviations
    else:
        assert isinstance(told["action"], int)
        assert len(told["policy_logits"]) == 3
    assert sum(told["distributions"]) == policy.cfg.num_simulations
    assert all(type(count) is int for count in told["distributions"])
    assert isinstance(told["value"], float)
    assert told["pred_value"].dtype == np.float32
    assert told["pred_value"].shape == (1,)
    for name in OWN_KEYS.get(KINDS[kind][0], ()):
        width = 3 if "sampled" not in kind else (3 if is_continuous(policy) else 1)
        assert told[name].shape[-1] == width
    if "sampled" in kind:
        expected = min(model.num_of_sampled_actions or 20, 3 if not is_continuous(policy) else 99)
        assert len(told["root_sampled_actions"]) == len(told["distributions"]) == expected


@pytest.mark.parametrize("kind", [k for k in KINDS if "vectors" not in k])
@both_ways
def test_an_action_that_is_not_allowed_is_never_taken_nor_visited(make, kind, act):
    policy = make(kind, num_simulations=16)
    mask = [[0, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0]]
    for _ in range(3):
        found = act(policy, mask=mask)
        for env_id, allowed in enumerate(mask):
            told = found[env_id]
            assert allowed[told["action"]]
            assert sum(told["distributions"]) == 16
    assert len(found[1]["distributions"]) == (2 if kind == "sampled_muzero" else 1) or (
        "sampled" in kind
    )


@every_kind
@both_ways
def test_decisions_are_a_function_of_seed_weights_and_history(make, kind, act):
    one, other = make(kind), make(kind)
    for _ in range(3):
        assert same(act(one), act(other))
    assert not same(collected(one), collected(make(kind, seed=5)))


@every_kind
def test_every_search_has_noise_of_its_own(make, kind):
    policy = make(kind, num_simulations=20)
    found = [collected(policy, FOUR[[1, 1, 1, 1]]).columns for _ in range(2)]

    stored = [name for name in found[0] if name in ("child_visit", "root_sampled_actions")]
    told = [np.concatenate([f[name].reshape(4, -1) for name in stored], 1) for f in found]
    assert len(np.unique(np.concatenate(told), axis=0)) > 1


@every_kind
@both_ways
def test_where_nobody_waits_there_is_nothing_to_decide(make, kind, act):
    policy = make(kind)
    policy._model.initial_inference = None  # would fail

    assert dict(act(policy, FOUR[:0], ready_env_id=[])) == {}


@every_kind
def test_collection_without_search_draws_from_the_network(make, kind):
    policy = make(kind, collect_with_pure_policy=True)
    policy._search = None  # would fail
    found = collected(policy)

    drawn = {np.asarray(collected(policy)[0]["action"]).tobytes() for _ in range(20)}
    assert len(drawn) > 1
    assert found[0]["value"] == pytest.approx(float(found[0]["pred_value"][0]), rel=1e-6)
    assert found.columns["child_visit"].sum(axis=1) == pytest.approx(np.ones(4))


@every_kind
def test_the_method_signatures_are_the_documented_ones(make, kind):
    policy = make(kind)
    collect = list(inspect.signature(policy._forward_collect).parameters)
    evaluate = list(inspect.signature(policy._forward_eval).parameters)

    assert collect == ["data", "action_mask", "temperature", "to_play", "epsilon", "ready_env_id"]
    assert evaluate == ["data", "action_mask", "to_play", "ready_env_id"]


# --- learning -------------------------------------------------------------------------------------


def batch_of(policy, fill, lengths=(12, 9, 15, 7)):
    return fill(policy, lengths).sample(8, policy)


@every_kind
def test_a_learn_step_reports_the_documented_names_in_order(make, fill, kind):
    policy = make(kind)
    told = policy.learn_mode.forward(batch_of(policy, fill))
    documented = MONITORED[KINDS[kind][0]]
    if is_continuous(policy):
        documented = documented + MONITORED_OF_VECTORS

    assert policy.learn_mode.monitor_vars() == documented
    assert list(told) == [*documented, "value_priority_orig"]
    assert all(type(told[name]) is float and math.isfinite(told[name]) for name in documented)
    assert told["value_priority_orig"].shape == (8,)


MONITORED_OF_VECTORS = [
    f"{what}_{statistic}"
    for what in ("policy_mu", "policy_sigma", "target_sampled_actions")
    for statistic in ("max", "min", "mean")
]


@every_kind
def test_gradients_reach_every_parameter(make, fill, kind):
    policy = make(kind)
    policy.learn_mode.forward(batch_of(policy, fill))

    silent = [n for n, p in policy._model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@every_kind
def test_importance_weights_scale_the_gradients(make, fill, kind):
    policy = make(kind, grad_clip_value=1e9)
    current, target = batch_of(policy, fill)
    norms = []
    for factor in (1.0, 0.5):
        weights = np.full(8, factor, np.float32)
        policy._optimizer.param_groups[0]["lr"] = 0.0
        told = policy.learn_mode.forward([current._replace(weights=weights), target])
        norms.append(told["total_grad_norm_before_clip"])
    assert norms[1] == pytest.approx(norms[0] / 2, rel=1e-4)


@every_kind
def test_a_third_item_of_the_data_is_not_minded(make, fill, kind):
    policy = make(kind)

    assert policy.learn_mode.forward([*batch_of(policy, fill), 17])["total_loss"] > -100


@every_kind
def test_a_broken_target_is_refused_and_leaves_the_weights_alone(make, fill, kind):
    policy = make(kind)
    current, target = batch_of(policy, fill)
    before = [p.clone() for p in policy._model.parameters()]
    target.target_value[3, 0] = np.nan

    with pytest.raises(DivergedError, match=f"{current.index[3]}"):
        policy.learn_mode.forward([current, target])
    assert all(map(torch.equal, before, policy._model.parameters()))


@every_kind
def test_a_learners_state_serves_to_play(make, fill, kind):
    one = make(kind)
    one.learn_mode.forward(batch_of(one, fill))
    other = make(kind, enable_field=["eval"])
    other.eval_mode.load_state_dict(one.learn_mode.state_dict())

    assert same(evaluated(one), evaluated(other))


@every_kind
def test_positions_past_the_end_teach_no_policy(make, fill, kind):
    """All windows but the first step lie past the end: their policy targets are rows of zeros."""
    policy = make(kind)
    current, target = batch_of(policy, fill, lengths=(1, 1, 1, 1, 1, 1, 1, 1, 1))

    assert current.mask.tolist() == [[1, 0, 0, 0]] * 8
    assert not target.target_policy[:, 1:].any()
    assert target.target_policy[:, 0].sum(axis=-1) == pytest.approx(np.ones(8))


# --- what may be added to every policy ------------------------------------------------------------

ADDED = {
    "model": {"harmony_balance": True, "analysis_dormant_ratio": True},
    "use_rnd_model": True,
    "intrinsic_reward_weight": 1.0,
}


@every_kind
def test_balanced_losses_dormant_neurons_and_novelty_come_with_every_policy(make, fill, kind):
    policy = make(kind, ADDED)
    data = batch_of(policy, fill)
    told = [policy.learn_mode.forward(data) for _ in range(2)][-1]
    names = policy.learn_mode.monitor_vars()
    balanced = [name for name in names if name.startswith("harmony")]

    assert list(told) == [*names, "value_priority_orig"]
    assert len(balanced) >= 2 + ("consistency_loss" in policy._balanced())
    assert all(told[name] != 0.0 for name in balanced)
    assert ("harmony_policy" in balanced) == (not is_continuous(policy))  # a density may exceed 1
    assert {"analysis/dormant_ratio_encoder", "rnd_loss"} <= set(told)
    plain = make(kind)
    expected = batch_of(plain, fill)[1]
    assert (data[1].target_reward != expected.target_reward).any()
    assert (data[1].target_value != expected.target_value).any()


@every_kind
def test_learning_with_additions_goes_on_exactly_from_its_state(make, fill, kind):
    one = make(kind, ADDED)
    data = batch_of(one, fill)
    one.learn_mode.forward(data)
    other = make(kind, ADDED)
    other.learn_mode.load_state_dict(one.learn_mode.state_dict())

    ours, theirs = ([p.learn_mode.forward(data) for _ in range(2)] for p in (one, other))
    for told, expected in zip(ours, theirs, strict=True):
        assert all(np.array_equal(told[name], expected[name]) for name in told)
    ours, theirs = (batch_of(policy, fill) for policy in (one, other))
    assert all((a == b).all() for a, b in zip(ours[1], theirs[1], strict=True))
