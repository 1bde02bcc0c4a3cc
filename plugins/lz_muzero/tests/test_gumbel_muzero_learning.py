"""How Gumbel MuZero learns: batches, losses, reports, settings, registration, presets."""

import io
import json
import math
import tomllib
from copy import deepcopy
from functools import partial
from importlib import resources
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import GumbelMuZeroConfig
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.policy_gumbel_muzero import GumbelMuZeroPolicy

from lzcore.base import ConfigError
from lzcore.engine.layers import Stack, find_preset, whole_class
from lzcore.envs.config import GymSettings
from lzcore.registry import get_registry

MONITORED = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "gumbel_muzero"
]


@pytest.fixture
def make(make_policy):
    """A function from settings to a Gumbel MuZero policy."""
    return partial(make_policy, policy_class=GumbelMuZeroPolicy)


@pytest.fixture
def arms(make, arms_model):
    """A function from settings to a policy whose second arm pays 1."""

    def build(*rewards, **given):
        model = arms_model(*(rewards or (0.0, 1.0, 0.0)))
        return make({"discount_factor": 1.0, "num_simulations": 2}, given, model=model)

    return build


SEEN = torch.tensor([[0.5, 0.0, math.log(2), math.log(4)]])  # a value, three logits


def collected(policy, data=SEEN, **given):
    return policy.collect_mode.forward(data, **given)


def evaluated(policy, data=SEEN, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


# --- batches --------------------------------------------------------------------------------------


def test_the_improved_policy_is_stored_beside_what_muzero_stores(make, spaces_for):
    def stored(**given):
        policy = make(given)
        return {c.name: c for c in policy.columns(policy.cfg, spaces_for(policy))}

    assert list(stored())[-1] == "improved_policy"
    column = stored()["improved_policy"]
    assert (column.shape, column.dtype, column.changing) == ((3,), np.float32, False)
    assert stored(reanalyze_ratio=0.5)["improved_policy"].changing


def test_a_batch_has_the_improved_policy_after_the_actions(make, fill):
    policy = make()
    current, target = fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)

    assert list(current._asdict()) == [
        *("obs", "action", "improved_policy", "mask", "index", "weights", "make_time")
    ]
    assert (current.improved_policy.shape, current.improved_policy.dtype) == ((8, 4, 3), np.float32)
    assert current.improved_policy.sum(axis=2) == pytest.approx(current.mask)
    assert 0 < current.mask.sum() < current.mask.size  # rows past the end are all 0
    assert (current.improved_policy != target.target_policy).any()


def windows_of_arms(array_windows, steps_left=2):
    """Two samples, that many steps before their ends, which show the three arms."""
    rows = {
        "observation": np.tile(SEEN.numpy(), (2, 7, 1)),
        "action": np.zeros((2, 7), np.int64),
        "reward": np.zeros((2, 7), np.float32),
        "child_visit": np.tile(np.float32([1, 0, 0]), (2, 7, 1)),
        "improved_policy": np.tile(np.float32([1, 0, 0]), (2, 7, 1)),
        "root_value": np.zeros((2, 7), np.float32),
        "to_play": np.full((2, 7), -1, np.int8),
        "action_mask": np.tile([True, True, True], (2, 7, 1)),
    }
    return array_windows(rows, steps_left=[steps_left] * 2, terminated=[True] * 2)


def test_reanalysis_improves_stored_policies_again(arms, array_windows):
    policy = arms(reanalyze_ratio=0.5, reanalyze_noise=False, max_num_considered_actions=2)
    windows = windows_of_arms(array_windows)
    current, _ = policy.make_batch(windows)

    fresh = evaluated(policy)[0]["improved_policy_probs"]
    assert (current.improved_policy[0, :2] == fresh).all()
    assert current.improved_policy[1, :2].tolist() == [[1, 0, 0]] * 2
    assert (current.improved_policy[:, 2:] == 0).all()
    assert (windows.rows["improved_policy"][0, :2] == fresh).all()


def test_reanalysis_considers_actions_by_fresh_noise_if_it_is_on(arms, array_windows):
    def twice(**given):
        policy = arms(reanalyze_ratio=1.0, num_simulations=1, **given)
        first = policy.make_batch(windows_of_arms(array_windows, 50))[0].improved_policy
        policy._learn_step += 1
        return first, policy.make_batch(windows_of_arms(array_windows, 50))[0].improved_policy

    first, second = twice()
    assert (first != second).any()
    assert (first[0] != first[1]).any()
    first, second = twice(reanalyze_noise=False)
    assert (first == second).all()
    assert (first[0] == first[1]).all()


# --- learning -------------------------------------------------------------------------------------


def sampled(policy, fill):
    return fill(policy, lengths=(4, 5, 3, 6, 4)).sample(8, policy)


def awake(policy):
    """Move all weights, so that heads do not say 0 any more."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy._model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return policy


def test_the_policy_learns_the_divergence_from_the_improved_one(make, fill):
    given = {"reward_loss_weight": 0.0, "value_loss_weight": 0.0, "grad_clip_value": 1e9}
    policy = awake(make(given, learning_rate=0.0))
    current, target = sampled(policy, fill)
    model = deepcopy(policy._model).train()

    total = torch.zeros(8)
    now = model.initial_inference(torch.from_numpy(current.obs[:, :4]))
    for k in range(4):
        for b in range(8):
            p, q = current.improved_policy[b, k], now.policy_logits[b].softmax(0)
            if current.mask[b, k]:
                total[b] += sum(p[a] * (math.log(p[a]) - q[a].log()) for a in range(3))
        if k < 3:
            halved = 0.5 * now.latent_state + 0.5 * now.latent_state.detach()
            now = model.recurrent_inference(halved, torch.from_numpy(current.action[:, k]))
    weighted = (torch.from_numpy(current.weights) * total).mean()
    (weighted / 3).backward()
    told = policy.learn_mode.forward([current, target])

    assert told["policy_loss"] == pytest.approx(total.mean().item(), rel=1e-4)
    assert told["total_loss"] == pytest.approx(told["policy_loss"])
    assert told["weighted_total_loss"] == pytest.approx(weighted.item(), rel=1e-4)
    pairs = zip(policy._model.parameters(), model.parameters(), strict=True)
    for ours, theirs in pairs:
        expected = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
        torch.testing.assert_close(ours.grad, expected, rtol=1e-3, atol=1e-6)


def test_the_last_position_is_trained_too_and_what_lies_past_the_end_is_not(make, fill):
    policy = awake(make(learning_rate=0.0))
    current, target = sampled(policy, fill)

    def loss(improved, mask):
        batch = current._replace(improved_policy=np.float32(improved), mask=np.float32(mask))
        return policy.learn_mode.forward([batch, target])["policy_loss"]

    only_last = np.zeros((8, 4, 3))
    only_last[:, 3] = [1, 0, 0]
    inside, outside = np.ones((8, 4)), np.tile([1, 1, 1, 0], (8, 1))
    assert loss(only_last, inside) > 0.5
    assert loss(only_last, outside) == 0.0


def test_one_batch_can_be_learned_by_heart(make, fill):
    policy = make(learning_rate=0.01)
    current, target = fill(policy).sample(8, policy)
    rng = np.random.default_rng(0)
    certain = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (8, 4))]
    nothing = [np.zeros_like(part) for part in target[:2]]
    data = [current._replace(improved_policy=certain), type(target)(*nothing, target.target_policy)]

    told = [policy.learn_mode.forward(data) for _ in range(120)]

    assert told[-1]["total_loss"] < 0.2 * told[0]["total_loss"]
    assert told[-1]["policy_loss"] < 0.2 * told[0]["policy_loss"]


def test_every_part_of_the_network_learns(make, fill):
    given = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}
    policy = make(given)
    before = {name: p.clone() for name, p in policy._model.named_parameters()}
    for _ in range(3):
        policy.learn_mode.forward(sampled(policy, fill))

    unmoved = [n for n, p in policy._model.named_parameters() if torch.equal(p, before[n])]
    assert unmoved == []


def test_a_step_reports_the_documented_names_in_order(make, fill):
    policy = make()
    told = policy.learn_mode.forward(sampled(policy, fill))

    assert policy.learn_mode.monitor_vars() == MONITORED
    assert list(told) == [*MONITORED, "value_priority_orig"]
    assert all(type(told[name]) is float for name in MONITORED)


@pytest.mark.parametrize(
    "given", [{"analysis_sim_norm": True}, {"model": {"analysis_sim_norm": True}}]
)
def test_norms_are_told_where_they_are_asked_for(make, fill, given):
    policy = make(given)
    for _ in range(3):  # the representation starts at 0
        told = policy.learn_mode.forward(sampled(policy, fill))

    assert told["analysis/l2_norm_before"] > 0
    assert [*told][:-1] == policy.learn_mode.monitor_vars()
    assert len(told) == len(MONITORED) + 7 + 1


def test_what_is_kept_goes_on_to_the_last_bit(make, fill):
    def make_one(seed=0):
        return make({"reanalyze_ratio": 0.5, "target_update_freq": 2}, seed=seed)

    policy = make_one()
    buffer = fill(policy)
    for _ in range(3):
        policy.learn_mode.forward(buffer.sample(8, policy))
        collected(policy)
    file = io.BytesIO()
    torch.save(policy.learn_mode.state_dict(), file)
    file.seek(0)
    other = make_one()
    other.learn_mode.load_state_dict(torch.load(file, weights_only=True))
    one, two = (
        [p.learn_mode.forward(b.sample(8, p)) for _ in range(2)]
        for p, b in ((policy, fill(policy)), (other, fill(other)))
    )
    for name in MONITORED:
        assert [told[name] for told in one] == [told[name] for told in two], name
    first, second = collected(policy).columns, collected(other).columns
    assert all((first[name] == second[name]).all() for name in first)


# --- settings -------------------------------------------------------------------------------------

TREE = {
    "max_num_considered_actions": ("max_num_considered_actions", 2),
    "maxvisit_init": ("maxvisit_init", 10.0),
    "value_scale": ("value_scale", 1.0),
    "gumbel_rescale_values": ("rescale_values", False),
    "gumbel_use_mixed_value": ("use_mixed_value", False),
    "value_delta_max": ("range_floor", 5.0),
    "max_depth": ("max_depth", 1),
    "discount_factor": ("discount", 0.1),
}


@pytest.mark.parametrize("name", TREE)
def test_a_setting_of_the_search_changes_what_it_finds(arms, name):
    simulations = 2 if "mixed" in name else 12  # two leave an arm untried

    def found(**given):
        policy = arms(2.0, 1.0, 0.5, num_simulations=simulations, **given)
        return policy, evaluated(policy).columns

    field, value = TREE[name]
    (_, plain), (policy, changed) = found(), found(**{name: value})
    assert getattr(policy._tree_spec(12), field) == value
    assert (plain["improved_policy"] != changed["improved_policy"]).any()


def test_every_setting_of_its_own_has_a_test():
    muzero = attrs.fields_dict(MuZeroConfig)
    own = {
        name
        for name, field in attrs.fields_dict(GumbelMuZeroConfig).items()
        if name not in muzero or field.default != muzero[name].default
    }
    elsewhere = {"gumbel_scale", "gumbel_action", "use_priority", "gumbel_algo", "model"}
    assert own - TREE.keys() == elsewhere


def test_samples_are_drawn_by_priority_unless_said_otherwise(make):
    assert make().replay_settings().use_priority
    assert not make(use_priority=False).replay_settings().use_priority


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("root_dirichlet_alpha", 0.1),
        ("root_noise_weight", 0.0),
        ("pb_c_base", 10.0),
        ("pb_c_init", 2.0),
        ("q_transform", "none"),
        ("q_bounds", (0.0, 1.0)),
        ("fpu", "zero"),
        ("tie_break", "random"),
    ],
)
def test_settings_of_another_search_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} is .* belongs to the search of muzero.*leave"):
        GumbelMuZeroConfig.of({name: value})
    default = getattr(GumbelMuZeroConfig(), name)
    assert GumbelMuZeroConfig.of({name: default}) == GumbelMuZeroConfig()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gumbel_algo": False}, "gumbel_algo = false: the policy's name decides this"),
        ({"model": {"model_type": "mlp_context"}}, "expected one of conv, mlp"),
        ({"gumbel_action": "best"}, "expected one of argmax, visit_sample"),
        ({"max_num_considered_actions": 0}, "at least 1"),
        ({"gumbel_scale": -1.0}, "at least 0"),
    ],
)
def test_what_the_policy_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        GumbelMuZeroConfig.of(given)


# --- registration, models and presets -------------------------------------------------------------


def test_it_is_registered_with_the_models_of_muzero(make, pictures):
    assert get_registry().resolve("policies", "gumbel_muzero") is GumbelMuZeroPolicy
    assert make().default_model() == ("MuZeroModelMLP", ["lz_muzero.model_mlp"])
    assert make(pictures).default_model() == ("MuZeroModel", ["lz_muzero.model"])
    assert isinstance(make(), MuZeroPolicy)
    assert GumbelMuZeroPolicy.default_config().cfg_type == "GumbelMuZeroPolicyDict"


def test_pictures_can_be_learned_and_decided_from(make, fill, pictures):
    policy = make(pictures)
    policy.learn_mode.forward(fill(policy).sample(8, policy))

    found = collected(policy, torch.randint(0, 256, (2, 2, 8, 8), dtype=torch.uint8))
    assert found[1]["improved_policy_probs"].shape == (3,)


def test_modes_are_the_documented_tuples(make):
    policy = make()

    for mode in ("learn", "collect", "eval"):
        found = getattr(policy, f"{mode}_mode")
        assert type(found).__name__ == f"{mode}_function"
        assert found.forward == getattr(policy, f"_forward_{mode}")
    assert policy.learn_mode.info().startswith("GumbelMuZeroPolicy\n")


@pytest.mark.parametrize("name", ["default", "CartPole-v1", "vector", "image", "board"])
def test_a_preset_is_muzeros_but_for_what_it_says(name):
    registry = get_registry()
    whole = whole_class(GumbelMuZeroConfig, GymSettings)
    ours = find_preset(registry.spec("policies", "gumbel_muzero"), name)
    theirs = find_preset(registry.spec("policies", "muzero"), name)
    file = resources.files("lz_muzero.presets.gumbel_muzero") / f"{name}.toml"
    said = tomllib.loads(file.read_text()).keys() - {"lz"}

    Stack.of(whole, [ours]).check()
    assert {k: v for k, v in ours.values.items() if k not in said} == {
        k: v for k, v in theirs.values.items() if k not in said
    }
