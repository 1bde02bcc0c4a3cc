"""Every setting changes what it should; a setting without a check here is a failure."""

from types import SimpleNamespace

import attrs
import numpy as np
import pytest
import torch
import torch.distributed as dist
from lz_alphazero import acting

from lzcore.base import Spaces
from lzcore.base.config import Only
from lzcore.base.structure import paths_of
from lzcore.registry import get_registry
from lzcore.search import make_tree
from lzcore.search.traced import Traced
from lzcore.testing.noughts import Noughts

NAMES = ("alphazero", "gumbel_alphazero", "sampled_alphazero")
KINDS = {name: get_registry().resolve("policies", name) for name in NAMES}
CHECKS = {}
GAME = Noughts()


def changes(*paths):
    """Enter a check, called as check(kit, path)."""

    def enter(check):
        for path in paths:
            assert path not in CHECKS
            CHECKS[path] = check
        return check

    return enter


def has_effect(field):
    refused = isinstance(field.validator, Only)
    return not (isinstance(field.default, attrs.Factory) or refused or field.metadata["noop"])


SETTINGS = {  # path -> the first policy that has it with an effect
    path: kind
    for kind in reversed(KINDS)
    for path, field in paths_of(KINDS[kind].config_class).items()
    if has_effect(field)
}


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_changes_what_it_should(path, make_policy, ask, fill, position, monkeypatch):
    assert path in CHECKS, f"{path} is read by something, but no check says what it changes"
    kit = SimpleNamespace(
        policy=lambda given=None: make_policy(SETTINGS[path], given),
        default=make_policy(SETTINGS[path]),
        ask=ask,
        fill=fill,
        position=position,
        patch=monkeypatch,
    )
    CHECKS[path](kit, path)


def test_every_check_is_of_a_setting_that_has_an_effect():
    assert sorted(CHECKS) == sorted(SETTINGS)


def learned(policy, **given):
    """What learning one batch of two positions tells."""
    batch = {
        "obs": {"observation": np.zeros((2, 3, 3, 3), np.float32)},
        "probs": np.eye(2, 9, dtype=np.float32),
        "reward": np.array([1.0, 0.5], np.float32),
        "action_mask": np.eye(2, 9, dtype=bool) | (np.arange(9) == 4),
        **given,
    }
    return policy.learn_mode.forward(batch)


# --- the loop and the replay ----------------------------------------------------------------------


@changes(
    "collector_env_num",
    "evaluator_env_num",
    "n_episode",
    "update_per_collect",
    "train_start_after_envsteps",
    "batch_size",
    "eval_freq",
)
def _(kit, path):
    assert getattr(kit.policy({path: 7}).loop_settings(), path) == 7


@changes("replay_ratio")
def _(kit, path):
    assert kit.policy({path: 0.75}).loop_settings().replay_ratio == 0.75


@changes("resign_below")
def _(kit, path):
    """o loses, and the search is not all sure of it."""
    lost = kit.position("xx./x.o/.o.")
    told = []
    for below in (-0.01, -0.95, None):
        columns = kit.ask(kit.policy({path: below}), lost, mode="collect").columns
        told.append(columns["resigns"].tolist() if "resigns" in columns else None)
    assert -0.95 < columns["searched_value"][0] < -0.01
    assert told == [[True], [False], None]


@changes("resign_played_on")
def _(kit, path):
    assert kit.policy({path: 0.4, "resign_below": -0.9}).resign_played_on == 0.4
    assert kit.policy({path: 0.4}).resign_played_on is None  # nobody resigns


@changes("eval_offline")
def _(kit, path):
    assert kit.policy({path: True}).loop_settings().eval_offline
    assert not kit.default.loop_settings().eval_offline


@changes("other.replay_buffer.replay_buffer_size", "other.replay_buffer.max_replay_bytes")
def _(kit, path):
    settings = kit.policy({path: 77}).replay_settings()
    assert 77 in (settings.capacity, settings.max_bytes)


# --- the network ----------------------------------------------------------------------------------

NETWORK = {
    "model.num_res_blocks": 2,
    "model.num_channels": 12,
    "model.norm_type": "LN",
    "model.value_head_channels": 3,
    "model.policy_head_channels": 3,
    "model.fc_value_layers": (5, 4),
    "model.fc_policy_layers": (5, 4),
}


def shapes_of(policy):
    return {name: tuple(w.shape) for name, w in policy._model.named_parameters()}


@changes(*NETWORK)
def _(kit, path):
    assert shapes_of(kit.policy({path: NETWORK[path]})) != shapes_of(kit.default)


VECTOR = {"model.model_type": "mlp", "model.observation_shape": 5}


@changes("model.model_type", "model.observation_shape", "model.latent_state_dim")
def _(kit, path):
    policy = kit.policy({**VECTOR, "model.latent_state_dim": 33})
    assert policy.default_model() == ("AlphaZeroModelMLP", ["lz_alphazero.model"])
    assert policy._model.trunk[0].weight.shape == (33, 5)


@changes("model.action_space_size", "mcts.action_space_size")
def _(kit, path):
    both = {"model.action_space_size": 7}
    if path.startswith("mcts"):
        both["mcts.action_space_size"] = 7
    assert kit.policy(both)._model.policy_head[-1].weight.shape[0] == 7


@changes("model.name")
def _(kit, path):
    assert kit.policy({**VECTOR, path: "AlphaZeroModelMLP"})._model.trunk
    assert kit.policy({path: "AlphaZeroModel"}).default_model()[0] == "AlphaZeroModel"


@changes("model.downsample")
def _(kit, path):
    big = {"model.observation_shape": (3, 32, 32)}
    assert shapes_of(kit.policy({**big, path: True})) != shapes_of(kit.policy(big))


@changes("model.value_activation")
def _(kit, path):
    policy = kit.policy({path: "none"})
    torch.nn.init.constant_(policy._model.value_head[-1].bias, 3.0)
    seen = torch.zeros(2, 3, 3, 3)
    assert policy._model.eval()(seen)[1].tolist() == [[3.0], [3.0]]


@changes("torch_compile")
def _(kit, path):
    asked = []

    def compiled(network, model, example):
        asked.append(tuple(example.shape))
        return network, "as it is"

    kit.patch.setattr(acting, "compiled", compiled)
    assert kit.policy({path: True}).facts()["torch_compile"] == "as it is"
    assert asked == [(2, 3, 3, 3)]
    assert "torch_compile" not in kit.policy().facts()


@changes("precision")
def _(kit, path):
    torch.manual_seed(0)
    shorter = kit.policy({path: "bfloat16"})
    for head in (shorter._model.policy_head, shorter._model.value_head):
        torch.nn.init.normal_(head[-1].weight)
    seen = torch.rand(64, 3, 3, 3)
    with torch.inference_mode():
        exact = shorter._model.eval()(seen)
        found = shorter._network(seen)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.float32
        assert 0 < (one - other).abs().max() < 0.1 * other.abs().max()
    learned(shorter)
    assert {p.dtype for p in shorter._model.parameters()} == {torch.float32}


@changes("record_network")
def _(kit, path):
    for record in (True, False):
        assert isinstance(kit.policy({path: record})._evaluate._ask, Traced) == record


@changes("tensor_float_32")
def _(kit, path):
    asked = []
    kit.patch.setattr(torch, "set_float32_matmul_precision", asked.append)
    kit.policy()
    kit.policy({path: True})
    assert asked == ["high"]


@changes("cuda", "device")
def _(kit, path):
    kit.patch.setattr(torch.cuda, "is_available", lambda: False)
    given = {"cuda": True} if path == "cuda" else {"device": "cpu"}
    assert kit.policy(given)._device.type == "cpu"
    if path == "device":
        with pytest.raises(ValueError, match='device = "warp"'):
            kit.policy({path: "warp"})
    else:
        kit.patch.setattr(torch.cuda, "is_available", lambda: True)
        kit.patch.setattr(torch, "zeros", _no_such_device)
        with pytest.raises(ValueError, match='device = "cuda"'):
            kit.policy(given)


def _no_such_device(*_, **__):
    raise RuntimeError("no such device")


@changes("seed")
def _(kit, path):
    assert not torch.equal(
        *(next(p._model.parameters()) for p in (kit.policy({path: 3}), kit.default))
    )


# --- the search -----------------------------------------------------------------------------------

SPEC = {
    "tree_threads": ("num_threads", 2),
    "mcts.num_simulations": ("num_simulations", 7),
    "mcts.pb_c_base": ("pb_c_base", 7.0),
    "mcts.pb_c_init": ("pb_c_init", 7.0),
    "mcts.q_transform": ("q_transform", "none"),
    "mcts.q_bounds": ("q_bounds", (-3.0, 3.0)),
    "mcts.value_delta_max": ("range_floor", 0.5),
    "mcts.fpu": ("fpu", "mctx"),
    "mcts.tie_break": ("tie_break", "random"),
    "mcts.max_depth": ("max_depth", 7),
    "mcts.chance_select": ("chance_select", "sample"),
    "mcts.root_noise_weight": ("root_noise_weight", 0.5),
    "mcts.maxvisit_init": ("maxvisit_init", 7.0),
    "mcts.value_scale": ("value_scale", 7.0),
    "mcts.max_num_considered_actions": ("max_num_considered_actions", 7),
    "mcts.gumbel_rescale_values": ("rescale_values", False),
    "mcts.gumbel_use_mixed_value": ("use_mixed_value", False),
    "mcts.num_of_sampled_actions": ("num_sampled_actions", 7),
    "mcts.sample_mode": ("sample_mode", "with_replacement"),
    "mcts.sample_temperature": ("sample_temperature", 2.0),
}


def spec_of(policy, mode="collect"):
    policy._simulator = GAME
    return policy._planner(mode).tree.spec


@changes(*SPEC)
def _(kit, path):
    name, value = SPEC[path]
    assert getattr(spec_of(kit.policy({path: value})), name) == value
    assert getattr(spec_of(kit.default), name) != value


@changes("mcts.eval_num_simulations")
def _(kit, path):
    policy = kit.policy({path: 33})
    assert [spec_of(policy, mode).num_simulations for mode in ("collect", "eval")] == [16, 33]


@changes("mcts.max_moves")
def _(kit, path):
    """The mover can force a win, but not within three moves of the game."""
    state = kit.position("x../.o./...")
    policies = (
        kit.policy({path: 3, "mcts.num_simulations": 100}),
        kit.policy({"mcts.num_simulations": 100}),
    )
    values = [kit.ask(policy, state).columns["searched_value"][0] for policy in policies]
    assert values[0] == 0.0
    assert values[1] != 0.0


@changes("mcts.root_dirichlet_alpha", "mcts.gumbel_scale", "mcts.gumbel_rng")
def _(kit, path):
    asked = acting.Asked(np.arange(1), [None], np.ones((1, 9), bool))
    seeds = np.array([5], np.uint64)
    one, other = (p._root_noise(asked, seeds) for p in (kit.policy({path: 3.0}), kit.default))
    assert not np.array_equal(one, other)


@changes("mcts.gumbel_action")
def _(kit, path):
    policy = kit.policy({path: "visit_sample", "mcts.gumbel_scale": 0.0})
    state = kit.position("x../.o./...")
    moves = {kit.ask(policy, state, mode="collect")[0]["action"] for _ in range(12)}
    winner = kit.policy({"mcts.gumbel_scale": 0.0})
    assert len(moves) > 1
    assert len({kit.ask(winner, state, mode="collect")[0]["action"] for _ in range(6)}) == 1


@changes("mcts_ctree", "tree")
def _(kit, path):
    asked = []

    def make(name, spec, *, prefer_compiled):
        asked.append((name, prefer_compiled))
        return make_tree("auto", spec)

    kit.patch.setattr(acting, "make_tree", make)
    spec_of(kit.policy({path: False if path == "mcts_ctree" else "oak"}))
    assert set(asked) == {("auto", False) if path == "mcts_ctree" else ("oak", True)}


@changes("simulation_env_id")
def _(kit, path):
    kit.patch.setattr(acting, "simulator_of", lambda env_id: (env_id, GAME))
    assert kit.policy({path: "some/game"})._get_simulation_env() == ("some/game", GAME)


# --- temperature ----------------------------------------------------------------------------------


@changes("fixed_temperature_value")
def _(kit, path):
    assert kit.policy({path: 0.7}).schedule(0, 0) == {"temperature": 0.7}


@changes("manual_temperature_decay", "threshold_training_steps_for_final_temperature")
def _(kit, path):
    given = {
        "manual_temperature_decay": True,
        "threshold_training_steps_for_final_temperature": 100,
    }
    policy = kit.policy(given)
    found = [policy.schedule(step, 0)["temperature"] for step in (0, 50, 75)]
    assert found == [1.0, 0.5, 0.25]


@changes("target_temperature")
def _(kit, path):
    policy = kit.policy({path: 1.0})
    found = kit.ask(policy, kit.position("x../.o./..."), mode="collect", temperature=0.1)
    assert found.columns["probs"][0].max() < found[0]["probs"].max()


# --- the losses and the optimiser -----------------------------------------------------------------


@changes("value_weight", "entropy_weight")
def _(kit, path):
    one, other = learned(kit.policy({path: 3.0})), learned(kit.default)
    assert one["total_loss"] != other["total_loss"]
    assert one["policy_loss"] == other["policy_loss"]


@changes("mask_illegal_actions")
def _(kit, path):
    policy = kit.policy({path: True})
    spaces: Spaces = GAME.spaces
    names = [column.name for column in policy.columns(policy.cfg, spaces)]
    assert "action_mask" in names
    batch = kit.fill(policy).sample(8, policy)
    assert policy.learn_mode.forward(batch)["policy_loss"] < np.log(9)
    # of two legal actions, and of the one that is stored twice
    assert learned(kit.policy({path: True}))["entropy_loss"] == pytest.approx(-np.log(2))
    assert learned(kit.default)["entropy_loss"] == pytest.approx(-np.log(9))


@changes("search_value_weight")
def _(kit, path):
    policy, outcome = kit.policy({path: 0.25}), kit.fill(kit.default).sample(64, kit.default)
    batch = kit.fill(policy).sample(64, policy)
    assert "searched_value" in {c.name for c in policy.columns(policy.cfg, GAME.spaces)}
    assert set(np.abs(outcome["reward"]).tolist()) <= {0.0, 1.0}
    assert (np.abs(batch["reward"]) % 0.75).any()  # what the searches thought is mixed in
    assert (np.abs(batch["reward"]) <= 1.0).all()


@changes("symmetry")
def _(kit, path):
    policy = kit.policy({path: "mirror"})
    boards = kit.fill(policy).sample(64, policy)["obs"]["observation"]
    plain = kit.fill(kit.default).sample(64, kit.default)["obs"]["observation"]
    turned = (boards != plain).any(axis=(1, 2, 3))
    assert turned.any()
    assert np.array_equal(boards[turned], plain[turned][..., ::-1])


@changes("optim_type")
def _(kit, path):
    assert type(kit.policy({path: "SGD"})._optimizer).__name__ == "SGD"


GROUP = {"learning_rate": "lr", "momentum": "momentum", "weight_decay": "weight_decay"}


@changes(*GROUP)
def _(kit, path):
    group = kit.policy({"optim_type": "SGD", path: 0.3})._optimizer.param_groups[0]
    assert group[GROUP[path]] == 0.3


@changes("grad_clip_value")
def _(kit, path):
    policies = [
        kit.policy({"optim_type": "SGD", "learning_rate": 1.0, path: c}) for c in (0.1, 0.2)
    ]
    moved = []
    for policy in policies:
        before = [p.detach().clone() for p in policy._model.parameters()]
        learned(policy)
        after = policy._model.parameters()
        moved.append(sum((a - b).square().sum().item() for a, b in zip(after, before, strict=True)))
    assert moved[1] == pytest.approx(4 * moved[0], rel=0.05)


@changes("lr_piecewise_constant_decay", "threshold_training_steps_for_final_lr")
def _(kit, path):
    given = {"lr_piecewise_constant_decay": True, "threshold_training_steps_for_final_lr": 2}
    policy = kit.policy({**given, "learning_rate": 0.1})
    rates = [learned(policy)["cur_lr"] for _ in range(3)]
    assert rates == pytest.approx([0.1, 0.01, 0.001])


@changes("normalize_prob_of_sampled_actions", "policy_loss_type")
def _(kit, path):
    slots = {
        "probs": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
        "root_sampled_actions": np.array([[0, 1], [3, 5]]),
    }
    given = {path: "KL" if path == "policy_loss_type" else True}
    assert learned(kit.default, **slots)["policy_loss"] == pytest.approx(np.log(9))
    assert learned(kit.policy(given), **slots)["policy_loss"] < np.log(2) + 1e-6


# --- several ranks --------------------------------------------------------------------------------


@changes("multi_gpu", "bp_update_sync")
def _(kit, path):
    with pytest.raises(RuntimeError, match="torchrun"):
        kit.policy({"multi_gpu": True})
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        policies = [kit.policy({"multi_gpu": True, "bp_update_sync": b}) for b in (True, False)]
        told = [learned(policy)["total_grad_norm_before_clip"] for policy in policies]
    finally:
        dist.destroy_process_group()
    assert told[0] == pytest.approx(told[1])
    assert [bool(p._gradient_mean._overlaps) for p in policies] == [False, True]
