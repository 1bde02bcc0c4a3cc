"""What Stochastic MuZero does differently: half steps, codes of chance, labels, its losses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lz_muzero.policy_stochastic import StochasticMuZeroPolicy
from torch import nn

import lzcore
from lzcore.base import ActionSpace, ConfigError, EnvError, NetworkOutput, ShapeError, Spaces
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
def make(make_stochastic):
    return make_stochastic


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
def test_decisions_are_muzeros_documented_ones_over_actions_alone(make, act, size, awake):
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
def test_an_action_that_is_not_allowed_is_never_taken(make, act, awake):
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
def test_order_and_company_of_environments_change_nothing(make, act, awake):
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
def test_what_cannot_be_decided_names_the_environment(make, act, data, given, message, awake):
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
