"""What Stochastic MuZero does differently: half steps, codes of chance, labels, its losses."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import StochasticMuZeroConfig, StochasticMuZeroModelSettings
from lz_muzero.policy_stochastic import StochasticMuZeroPolicy
from torch import nn

import lzcore
from lzcore.base import ActionSpace, ConfigError, EnvError, NetworkOutput, ShapeError, Spaces
from lzcore.base.config import Only
from lzcore.base.structure import paths_of
from lzcore.engine.settings import resolve
from lzcore.nn import ScalarSupport
from lzcore.registry import get_registry

K, M = 3, 4  # unroll steps, outcomes
LABELS = {"use_ture_chance_label_in_chance_encoder": True}
SSL = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}
GAME = "lz_muzero.games:Small2048-v0"
TOLD = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "stochastic_muzero"
]


@pytest.fixture
def make(make_policy):
    """A function from overrides to a small policy with M outcomes."""

    def policy(*layers, **given):
        small = {"model": {"chance_space_size": M}}
        return make_policy(small, *layers, policy_class=StochasticMuZeroPolicy, **given)

    return policy


@pytest.fixture
def sampled(fill):
    """A function from a policy to a batch for it, always of the same episodes."""

    def batch(policy, size=8):
        return fill(policy).sample(size, policy)

    return batch


@pytest.fixture
def step(sampled):
    """A function (policy, count) that learns and returns what the last step told."""

    def learn(policy, count=1):
        data = sampled(policy)
        return [policy.learn_mode.forward(data) for _ in range(count)][-1]

    return learn


def awake(policy):
    """Move every weight away from its starting point, where heads are silent."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in policy._model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return policy


def rows(*given):
    return torch.tensor(given, dtype=torch.float32)


# --- the documented interface ---------------------------------------------------------------------


def test_the_policy_and_its_models_are_registered():
    registry = get_registry()
    spec = registry.spec("policies", "stochastic_muzero")

    assert registry.resolve("policies", "stochastic_muzero") is StochasticMuZeroPolicy
    assert spec.presets == "lz_muzero.presets.stochastic_muzero"
    for name in (spec.default_model, "StochasticMuZeroModelMLP"):
        assert issubclass(registry.resolve("models", name), nn.Module)
    assert StochasticMuZeroPolicy.default_config().cfg_type == "StochasticMuZeroPolicyDict"


@pytest.mark.parametrize(
    ("pictured", "name"), [(False, "StochasticMuZeroModelMLP"), (True, "StochasticMuZeroModel")]
)
def test_the_default_model_follows_from_the_kind_of_observation(make, pictures, pictured, name):
    policy = make(*[pictures] * pictured)

    assert policy.default_model() == (name, ["lz_muzero.model_stochastic"])
    assert type(policy._model).__name__ == name


@pytest.mark.parametrize("fields", [["learn"], ["collect"], ["eval"], ["learn", "eval"], []])
def test_any_subset_of_modes_works_alone(make, sampled, fields):
    policy = make(enable_field=fields)
    other = make()
    calls = {
        "learn": lambda: policy.learn_mode.forward(sampled(other)),
        "collect": lambda: policy.collect_mode.forward(torch.zeros(2, 4)),
        "eval": lambda: policy.eval_mode.forward(torch.zeros(2, 4), None),
    }

    for name, call in calls.items():
        if name in fields:
            assert call()
        else:
            with pytest.raises(RuntimeError, match=f"The {name} mode .* is not enabled"):
                call()


def collected(policy, data, mask=None, **given):
    return policy.collect_mode.forward(data, mask, **given)


def evaluated(policy, data, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


acting = pytest.mark.parametrize("act", [collected, evaluated])


@acting
@pytest.mark.parametrize("size", [2, 5])  # fewer outcomes than the three actions, and more
def test_decisions_are_muzeros_documented_ones_over_actions_alone(make, act, size):
    policy = awake(make({"model": {"chance_space_size": size}}))
    found = act(policy, torch.randn(4, 4), ready_env_id=[7, 2, 9, 0])

    assert list(found) == [7, 2, 9, 0]
    told = found[9]
    assert list(told) == [
        "action",
        "visit_count_distributions",
        "visit_count_distribution_entropy",
        "searched_value",
        "predicted_value",
        "predicted_policy_logits",
        "distributions",
        "value",
        "pred_value",
        "policy_logits",
    ]
    assert type(told["action"]) is int
    assert len(told["predicted_policy_logits"]) == len(told["distributions"]) == 3
    assert sum(told["distributions"]) == 8
    assert all(type(count) is int for count in told["distributions"])
    assert type(told["searched_value"]) is float
    assert (told["predicted_value"].shape, told["predicted_value"].dtype) == ((1,), np.float32)
    assert found.columns["child_visit"].shape == (4, 3)


@acting
def test_an_action_that_is_not_allowed_is_never_taken(make, act):
    policy = awake(make())
    mask = np.tile([0, 1, 1], (6, 1))

    found = act(policy, torch.randn(6, 4), mask)

    assert set(found.columns["action"].tolist()) <= {1, 2}
    assert not found.columns["child_visit"][:, 0].any()
    assert len(found[0]["distributions"]) == 2


@acting
def test_nobody_ready_is_an_empty_answer_without_a_model_call(make, act):
    policy = make()
    policy._model.initial_inference = None

    assert act(policy, torch.zeros(0, 4), ready_env_id=[]) == {}


@acting
def test_order_and_company_of_environments_change_nothing(make, act):
    seen = {env: torch.randn(4, generator=torch.Generator().manual_seed(env)) for env in range(4)}

    def actions(ready):
        policy = awake(make())
        found = act(policy, torch.stack([seen[env] for env in ready]), ready_env_id=ready)
        return {env: found[env]["distributions"] for env in ready}

    everyone = actions([0, 1, 2, 3])
    assert actions([3, 0, 2, 1]) == everyone
    assert actions([2]) == {2: everyone[2]}


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        (torch.zeros(1, 5), {}, r"environment 0 has shape \(5,\); expected \(4,\)"),
        (torch.zeros(1, 4), {"mask": [[0, 0, 0]]}, "environment 0 allows no action"),
        (torch.full((1, 4), torch.nan), {}, "environment 0 is not finite"),
    ],
)
@acting
def test_what_cannot_be_decided_names_the_environment(make, act, data, given, message):
    with pytest.raises(ValueError, match=message):
        act(awake(make()), data, **given)


def test_a_model_and_modes_that_are_none_are_refused(make):
    with pytest.raises(RuntimeError, match="str"):
        make(model="a network")
    with pytest.raises(ValueError, match="play"):
        make(enable_field=["play"])


# --- the search -----------------------------------------------------------------------------------

THROW, BANK = 0, 1


class OpenChance(nn.Module):
    """One decision, in numbers that a reader can follow; nothing comes after it.

    The observation is (value, worth of outcome 0, of outcome 1, sure). Either outcome is as likely;
    throwing earns what the outcome is worth, banking what is sure. `beyond` is what the state after
    that is said to be worth.
    """

    def __init__(self, beyond=0.0):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.weight = nn.Parameter(torch.zeros(()))
        self.beyond = beyond

    def initial_inference(self, observation):
        nothing = torch.zeros(len(observation), 1)
        return NetworkOutput(observation, nothing, observation[:, :1], torch.zeros(len(nothing), 3))

    def recurrent_inference(self, latent_state, option, afterstate=False):
        nothing = torch.zeros(len(option), 1)
        if afterstate:
            reward = latent_state[:, 1:3].gather(1, option[:, None])
            value = nothing + self.beyond
            return NetworkOutput(0 * latent_state, reward, value, torch.zeros(len(option), 3))
        sure = latent_state[:, 3:].expand(-1, 2)
        earned = torch.where(option[:, None] == BANK, sure, latent_state[:, 1:3])
        latent = F.pad(earned, (1, 1))
        return NetworkOutput(latent, nothing, earned.mean(1, keepdim=True), nothing.repeat(1, 2))


def searched(policy, observation, num_simulations, to_play=-1, legal=(1, 1, 0)):
    """Search from one observation, without noise."""
    asked = policy._asked(rows(observation), [legal], to_play, None)
    planner = policy._planner(policy._inference, num_simulations)
    return policy._search(planner, asked, np.zeros(1, np.uint64), noisy=False)


@pytest.mark.parametrize(("worth", "best"), [((3.0, -1.0), THROW), ((1.0, 0.0), BANK)])
def test_a_throw_is_worth_the_mean_of_its_outcomes_not_the_best_of_them(make, worth, best):
    policy = make({"model": {"chance_space_size": 2}}, model=OpenChance())

    found = searched(policy, [0.0, *worth, 0.6], 60)

    assert found.q_value[0, THROW] == pytest.approx(sum(worth) / 2, abs=0.1)
    assert found.q_value[0, BANK] == pytest.approx(0.6, abs=1e-6)
    assert found.visit_count[0].argmax() == best


@pytest.mark.parametrize(("to_play", "sign"), [(-1, 1.0), (1, -1.0), (2, -1.0)])
def test_discount_and_player_change_once_in_a_step_at_the_outcome(make, to_play, sign):
    """With two players a reward is of who acted, and what follows is worth that to the other."""
    model = OpenChance(beyond=10.0)
    policy = make({"model": {"chance_space_size": 2}}, model=model, discount_factor=0.5)
    policy._two_players = to_play > 0

    found = searched(policy, [0.0, 0.0, 0.0, 0.6], 2, to_play, legal=(0, 1, 0))

    # one afterstate, said to be worth 0.6, and one state after it
    assert found.q_value[0, BANK] == pytest.approx((0.6 + 0.6 + sign * 0.5 * 10.0) / 2, abs=1e-5)


@pytest.mark.parametrize("select", ["quasi_random", "sample"])
def test_the_tree_has_as_many_outcomes_as_the_model(make, select):
    spec = make(chance_select=select)._tree_spec(8)

    assert (spec.num_chance_outcomes, spec.chance_select) == (M, select)
    assert spec.num_simulations == 8


# --- what a batch holds ---------------------------------------------------------------------------


def counted(array_windows, *, steps_left=9):
    """One sample whose row j was led to by outcome j % M."""
    width = 9
    known = {
        "observation": np.zeros((1, width, 4), np.float32),
        "action": np.zeros((1, width), np.int64),
        "reward": np.ones((1, width), np.float32),
        "child_visit": np.tile(np.float32([0.5, 0.25, 0.25]), (1, width, 1)),
        "root_value": np.full((1, width), np.nan, np.float32),
        "to_play": np.full((1, width), -1, np.int8),
        "action_mask": np.ones((1, width, 3), bool),
        "chance": np.arange(width)[None] % M,
    }
    return array_windows(known, steps_left=[steps_left], terminated=[True])


def test_the_outcome_of_an_action_is_the_one_that_led_to_the_next_row(make, array_windows):
    current, _ = make(LABELS).make_batch(counted(array_windows))

    assert current._fields[-1] == "chance"
    assert current.chance.tolist() == [[1, 2, 3]]  # rows 1, 2 and 3: not 0, 1 and 2
    assert current.chance.dtype == np.int64


def test_the_last_action_gets_its_outcome_from_the_closing_row(make, array_windows):
    current, _ = make(LABELS).make_batch(counted(array_windows, steps_left=2))

    assert current.chance[0, :2].tolist() == [1, 2]
    assert current.mask.tolist() == [[1, 1, 0, 0]]


def test_without_labels_nothing_of_them_is_stored_or_asked_for(make, array_windows, spaces_for):
    plain, told = make(), make(LABELS)
    windows = counted(array_windows)
    current, _ = plain.make_batch(windows)

    assert len(current) == 6
    assert "chance" not in windows.asked
    names = [
        [column.name for column in policy.columns(policy.cfg, spaces_for(policy))]
        for policy in (plain, told)
    ]
    assert names[1] == [*names[0], "chance"]


def test_an_outcome_beyond_those_of_the_model_is_refused(make, array_windows):
    policy = make(LABELS, {"model": {"chance_space_size": 3}})

    with pytest.raises(ConfigError, match=r"told the outcome 3 .* model\.chance_space_size is 3"):
        policy.make_batch(counted(array_windows))


def test_a_batch_without_the_labels_that_are_to_be_learned_is_refused(make, sampled):
    policy = make(LABELS)

    with pytest.raises(ShapeError, match="The batch has no chance"):
        policy.learn_mode.forward(sampled(make()))


def test_reanalysis_searches_with_chance_too(make, sampled):
    fresh, kept = (sampled(make(reanalyze_ratio=ratio))[1] for ratio in (1.0, 0.0))
    acting = kept.target_policy.any(axis=2)

    assert (fresh.target_policy != kept.target_policy).any()
    assert fresh.target_policy.sum(axis=2)[acting] == pytest.approx(1.0)


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
def test_the_losses_of_chance_are_what_they_are_said_to_be(make, sampled, given):
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


def test_an_afterstate_is_worth_what_the_position_of_its_action_is(make, sampled):
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


def test_steps_after_the_end_of_an_episode_count_for_none_of_the_three(make, sampled):
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


def test_without_labels_commitment_and_predictions_both_teach_the_encoder(make, sampled):
    policy = awake(make())
    data = sampled(policy)

    assert encoder_gradient(policy, data, {"commitment_loss": 1.0}) > 0  # it does not cancel out
    assert encoder_gradient(policy, data, {"reward_loss": 1.0}) > 0
    assert encoder_gradient(policy, data, {"value_loss": 1.0}) > 0


def test_the_foretold_outcome_follows_the_code_and_not_the_other_way_about(make, sampled):
    policy = awake(make(num_unroll_steps=1))

    assert encoder_gradient(policy, sampled(policy), {"afterstate_policy_loss": 1.0}) == 0


def test_with_labels_the_encoder_learns_them_and_nothing_else_moves_it(make, sampled):
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


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, LABELS, SSL], ids=["encoded", "told", "ssl"])
def test_a_step_reports_the_documented_names_in_order_and_the_priorities(make, step, given):
    policy = make(given)
    told = step(policy)

    assert policy.learn_mode.monitor_vars() == TOLD
    assert list(told) == [*TOLD, "value_priority_orig"]
    assert all(type(told[name]) is float and math.isfinite(told[name]) for name in TOLD)
    assert told["value_priority_orig"].shape == (8,)


def test_norms_around_simnorm_are_told_if_they_are_asked_for(make, step):
    policy = make(analysis_sim_norm=True)
    told = step(policy, 3)

    assert told["analysis/l2_norm_before"] > 0
    assert policy.learn_mode.monitor_vars() == [n for n in told if n != "value_priority_orig"]


def test_a_learning_rate_of_zero_is_warned_of(make):
    with pytest.warns(UserWarning, match=r"learning_rate is 0, .* Set it"):
        make(learning_rate=0)
    make(learning_rate=0, enable_field=["collect"])  # nobody is to learn


# --- what is kept ---------------------------------------------------------------------------------


def test_a_state_dict_brings_back_weights_and_what_comes_next(make, sampled):
    def go_on(policy, data):
        losses = [policy.learn_mode.forward(data)["total_loss"] for _ in range(3)]
        return losses, policy.collect_mode.forward(rows([1, 2, 3, 4])).columns["root_value"]

    first, other = make(LABELS), make(LABELS)
    data = sampled(first)
    for _ in range(2):
        first.learn_mode.forward(data)
        first.collect_mode.forward(torch.zeros(1, 4))
    other.learn_mode.load_state_dict(first.learn_mode.state_dict())
    losses, value = go_on(first, data)

    assert other._learn_step == 2
    assert (losses, value) == go_on(other, data)
    assert list(other.eval_mode.state_dict()) == ["model"]


def test_the_same_seed_learns_the_same(make, sampled):
    def losses(disturb):
        torch.manual_seed(disturb)
        policy = make()
        return [policy.learn_mode.forward(sampled(policy))["total_loss"] for _ in range(3)]

    assert losses(1) == losses(2)


# --- the settings ---------------------------------------------------------------------------------

CHECKS = {}


def changes(*paths):
    """Enter a check of settings, called as check(kit, path)."""

    def enter(check):
        CHECKS.update(dict.fromkeys(paths, check))
        return check

    return enter


@pytest.fixture
def kit(make, sampled, step, make_episode):
    return SimpleNamespace(make=make, sampled=sampled, step=step, episode=make_episode)


def declared():
    """Settings that MuZero has not, or with another default or meaning, or refuses."""

    def facts(field):
        return field and (field.default, field.metadata, isinstance(field.validator, Only))

    theirs = paths_of(MuZeroConfig)
    for path, ours in paths_of(StochasticMuZeroConfig).items():
        known = path in ("model", "model.model_type") or isinstance(ours.validator, Only)
        if facts(ours) != facts(theirs.get(path)) and not known:
            yield path


@pytest.mark.parametrize("path", list(declared()))
def test_a_setting_of_the_variant_changes_what_it_should(path, kit):
    assert path in CHECKS, f"{path} is read by something, but no check says what it changes"
    CHECKS[path](kit, path)


def test_every_check_is_of_a_setting_of_the_variant():
    assert sorted(CHECKS) == sorted(declared())


@changes("model.chance_space_size")
def _(kit, _):
    assert StochasticMuZeroModelSettings().chance_space_size == 2
    policy = kit.make({"model": {"chance_space_size": 7}})
    assert policy._tree_spec(8).num_chance_outcomes == 7
    assert policy._model.chance_encoding.width == 7


@changes("chance_select")
def _(kit, _):
    assert kit.make(chance_select="sample")._tree_spec(8).draws
    assert not kit.make()._tree_spec(8).draws


@changes("use_ture_chance_label_in_chance_encoder")
def _(kit, _):
    assert len(kit.sampled(kit.make(LABELS))[0]) == 7
    assert len(kit.sampled(kit.make())[0]) == 6


@changes("center_codes")
def _(kit, path):
    def met(centered):
        policy = kit.make({path: centered}, analyze_chance_distribution=True)
        with torch.no_grad():
            policy._model.chance_encoder[-1].bias[2] += 100.0  # one score beats all others
        told = kit.step(policy)
        return [told[f"chance_share/{m}"] for m in range(M)]

    assert met(False) == [0.0, 0.0, 1.0, 0.0]
    assert max(met(True)) < 0.9


@changes("analyze_chance_distribution")
def _(kit, _):
    policy = kit.make(LABELS, analyze_chance_distribution=True)
    current, target = kit.sampled(policy)
    told = policy.learn_mode.forward([current, target])
    met = current.chance[current.mask[:, :K] == 1]

    shares = [told[f"chance_share/{m}"] for m in range(M)]
    assert shares == pytest.approx((np.bincount(met, minlength=M) / len(met)).tolist())
    assert policy.learn_mode.monitor_vars() == [*TOLD, *(f"chance_share/{m}" for m in range(M))]


@changes("afterstate_policy_loss_weight", "afterstate_value_loss_weight", "commitment_loss_weight")
def _(kit, path):
    low, high = (kit.step(kit.make({path: weight})) for weight in (1.0, 3.0))
    expected = 2.0 * low[path.removesuffix("_weight")]

    assert expected > 0
    assert high["total_loss"] - low["total_loss"] == pytest.approx(expected, rel=1e-3)


@changes("update_per_collect")
def _(kit, _):
    assert kit.make().loop_settings().update_per_collect == 100
    assert kit.make(update_per_collect=7).loop_settings().update_per_collect == 7


@changes("use_priority")
def _(kit, _):
    assert kit.make().replay_settings().use_priority
    assert not kit.make(use_priority=False).replay_settings().use_priority


@changes("use_max_priority_for_new_data")
def _(kit, path):
    plain, by_error = kit.make(), kit.make({path: False})
    segment = kit.episode(plain, 1, 6, terminated=True)

    assert plain.initial_priority(segment) is None
    assert by_error.initial_priority(segment).shape == (6,)


@changes("optim_type")
def _(kit, _):
    assert type(kit.make(optim_type="SGD")._optimizer).__name__ == "SGD"


@changes("learning_rate")
def _(kit, _):
    assert kit.make(learning_rate=0.5)._optimizer.param_groups[0]["lr"] == 0.5


@changes("lr_piecewise_constant_decay")
def _(kit, path):
    given = {path: True, "threshold_training_steps_for_final_lr": 2}

    assert kit.step(kit.make(given), 3)["cur_lr"] < kit.step(kit.make(), 3)["cur_lr"]


# --- presets --------------------------------------------------------------------------------------

SHOWN = {
    "CartPole-v1": ("CartPole-v1", (4,), np.float32, "vector"),
    "Small2048-v0": (GAME, (99,), np.float32, "vector"),
    "vector": ("FrozenLake-v1", (16,), np.float32, "vector"),
    "image": ("ALE/Pong-v5", (1, 64, 64), np.uint8, "image"),
    "board": ("MiniGrid-Empty-v0", (3, 7, 7), np.float32, "board"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_preset_settles_an_environment_and_learns(name):
    env_id, shape, dtype, kind = SHOWN[name]
    action = ActionSpace("discrete", 3)
    spaces = Spaces(frame_shape=shape, frame_dtype=np.dtype(dtype), kind=kind, action=action)

    found = resolve(
        get_registry().spec("policies", "stochastic_muzero"), env_id, spaces_of=lambda *_: spaces
    )

    assert found.preset == name
    assert 0 < found.policy.learning_rate < 0.01
    assert found.policy.update_per_collect is None
    assert found.policy.use_ture_chance_label_in_chance_encoder == (env_id == GAME)


def test_the_first_run_is_cartpole():
    from lzcore.engine.layers import default_environment

    assert default_environment(get_registry().spec("policies", "stochastic_muzero")) == (
        "CartPole-v1"
    )


# --- whole runs -----------------------------------------------------------------------------------

TINY = {
    "num_simulations": 4, "batch_size": 8, "model.latent_state_dim": 16, "max_env_steps": 320,
    "random_collect_episode_num": 0, "eval_episodes": 2, "tensorboard": False,
}  # fmt: skip


def test_a_run_learns_from_outcomes_that_the_game_tells(tmp_path):
    outcome = lzcore.train("stochastic_muzero", GAME, out=tmp_path / "run", quiet=True, **TINY)

    assert outcome.env_steps >= 320
    assert outcome.learn_steps > 0


def test_labels_of_an_environment_that_tells_none_are_missed_at_the_first_collection(tmp_path):
    with pytest.raises(EnvError, match=r'StochasticMuZeroPolicy .* info\["chance"\]') as caught:
        lzcore.train(
            "stochastic_muzero",
            "CartPole-v1",
            out=tmp_path / "run",
            quiet=True,
            **TINY,
            **LABELS,
        )
    assert "\n" not in str(caught.value)
