"""Settings of the sampled policies: documented defaults, effects, presets, spaces, registration."""

import json
from pathlib import Path

import attrs
import lz_muzero
import numpy as np
import pytest
import torch
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import SampledEfficientZeroConfig, SampledMuZeroConfig
from lz_muzero.policy_efficientzero import EfficientZeroPolicy
from lz_muzero.policy_sampled import SampledMuZeroPolicy
from lz_muzero.policy_sampled_efficientzero import SampledEfficientZeroPolicy
from torch import nn

from lzcore.base import ActionSpace, ConfigError, Spaces
from lzcore.base.config import Only
from lzcore.base.structure import nest, paths_of
from lzcore.engine.settings import resolve
from lzcore.nn.optim import make_scheduler
from lzcore.registry import get_registry

POLICIES = {
    "sampled_muzero": SampledMuZeroPolicy,
    "sampled_efficientzero": SampledEfficientZeroPolicy,
}
every_policy = pytest.mark.parametrize("name", POLICIES)
VECTORS = {"model.continuous_action_space": True, "model.num_of_sampled_actions": 5}


@pytest.fixture
def make(make_policy):
    """A function from dotted settings to a policy."""

    def make(given=None, *layers, policy_class=SampledMuZeroPolicy, **options):
        return make_policy(*layers, nest(given or {}), policy_class=policy_class, **options)

    return make


# --- the documented interface ---------------------------------------------------------------------


@every_policy
def test_documented_names_and_defaults_are_the_reference(name):
    cfg = POLICIES[name].default_config()
    ours = {**cfg.to_dict(documented=True), "cfg_type": cfg.cfg_type}
    documented = Path(__file__).parent / f"documented_{name}.json"

    assert json.loads(json.dumps(ours)) == json.loads(documented.read_text())


@every_policy
def test_policy_and_models_are_registered(name):
    registry, policy = get_registry(), POLICIES[name]

    assert registry.resolve("policies", name) is policy
    assert registry.resolve("policies", name, "config") is policy.config_class
    for model, module in policy.models.values():
        found = registry.resolve("models", model)
        assert issubclass(found, nn.Module)
        assert found.__module__ == module
    assert registry.spec("policies", name).default_model == policy.models["conv"][0]


def test_there_is_a_network_for_pictures_too(make, pictures):
    for policy_class in POLICIES.values():
        for given in ({}, VECTORS):
            policy = make(given, pictures, policy_class=policy_class)
            found = policy.eval_mode.forward(torch.rand(2, 2, 8, 8), None)
            assert len(found[1]["root_sampled_actions"]) == (5 if given else 3)


# --- what the environment decides -----------------------------------------------------------------


def spaces(kind="vector", action="continuous", size=2, players=1):
    return Spaces(
        frame_shape=(3,) if kind == "vector" else (1, 64, 64),
        frame_dtype=np.dtype(np.float32 if kind == "vector" else np.uint8),
        kind=kind,
        action=ActionSpace(action, size),
        players=players,
    )


@every_policy
def test_numbered_actions_and_vectors_will_do_and_two_players_too(name):
    assert POLICIES[name].check_spaces(spaces()) is None
    assert POLICIES[name].check_spaces(spaces(action="discrete")) is None
    assert POLICIES[name].check_spaces(spaces(action="discrete", players=2)) is None


@every_policy
@pytest.mark.parametrize("action", ["continuous", "discrete"])
def test_the_environment_decides_whether_actions_are_vectors(name, action):
    found = POLICIES[name].settings_for(spaces(action=action), {})

    assert found["model"] == {
        "model_type": "mlp",
        "observation_shape": 3,
        "action_space_size": 2,
        "continuous_action_space": action == "continuous",
    }


def test_columns_of_vectors_have_no_mask():
    cfg = SampledMuZeroConfig.of(
        {"model": {"continuous_action_space": True, "action_space_size": 2}}
    )
    found = {c.name: (c.shape, c.dtype) for c in SampledMuZeroPolicy.columns(cfg, spaces())}

    assert "action_mask" not in found
    assert found["action"] == ((2,), np.float32)
    assert found["child_visit"] == ((20,), np.float32)
    assert found["root_sampled_actions"] == ((20, 2), np.float32)


def test_columns_of_numbered_actions_have_no_more_slots_than_actions():
    cfg = SampledMuZeroConfig.of({"model": {"action_space_size": 4}})
    seen = spaces(action="discrete", size=4)
    found = {c.name: (c.shape, c.dtype) for c in SampledMuZeroPolicy.columns(cfg, seen)}

    assert found["action_mask"] == ((4,), np.bool_)
    assert found["action"] == ((), np.int64)
    assert found["child_visit"] == ((4,), np.float32)
    assert found["root_sampled_actions"] == ((4, 1), np.int64)


# --- presets --------------------------------------------------------------------------------------

SHOWN = {
    "CartPole-v1": ("CartPole-v1", spaces(action="discrete")),
    "Pendulum-v1": ("Pendulum-v1", spaces(size=1)),
    "continuous": ("LunarLanderContinuous-v3", spaces()),
    "vector": ("FrozenLake-v1", spaces(action="discrete", size=40)),
    "image": ("ALE/Pong-v5", spaces(kind="image", action="discrete", size=40)),
    "board": ("MiniGrid-Empty-v0", spaces(kind="board", action="discrete", size=40)),
}
TWO_PLAYERS = {"two_players", "open_spiel__tic_tac_toe", "open_spiel__connect_four"}


@every_policy
@pytest.mark.parametrize("preset", SHOWN)
def test_a_preset_settles_an_environment_and_its_prior_and_loss_agree(name, preset):
    env_id, shown = SHOWN[preset]
    found = resolve(get_registry().spec("policies", name), env_id, spaces_of=lambda *_: shown)

    assert found.preset == preset
    assert found.policy.model.action_space_size == shown.action.size
    assert found.policy.model.continuous_action_space == (shown.action.kind == "continuous")
    assert found.policy.model.norm_type == "LN"
    assert found.run.max_env_steps > 0
    assert not lz_muzero.policy_sampled.drift(found.policy)


@every_policy
def test_there_is_a_preset_for_each_kind_of_environment_and_for_the_first_run(name):
    folder = Path(lz_muzero.__file__).parent / "presets" / name

    assert {path.stem for path in folder.glob("*.toml")} == {*SHOWN, *TWO_PLAYERS, "default"}


@every_policy
def test_the_first_run_is_cartpole(name):
    shown = spaces(action="discrete")
    found = resolve(get_registry().spec("policies", name), spaces_of=lambda *_: shown)

    assert (found.env_id, found.preset) == ("CartPole-v1", "CartPole-v1")


# --- what does not go together --------------------------------------------------------------------


def test_there_is_one_schedule_of_the_learning_rate():
    with pytest.raises(ConfigError, match="cos_lr_scheduler and lr_piecewise_constant_decay both"):
        SampledMuZeroConfig(cos_lr_scheduler=True, lr_piecewise_constant_decay=True)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("model.num_of_sampled_actions", 0),
        ("model.sigma_type", "learned"),
        ("model.fixed_sigma_value", 0.0),
        ("model.bound_type", "clip"),
        ("model.log_sigma_min", 2.5),
        ("model.log_sigma_min", -100.0),
        ("sample_mode", "all"),
        ("sample_temperature", 0.0),
        ("prior_mode", "uniform"),
        ("policy_loss_type", "MSE"),
        ("init_w", 0.0),
        ("max_train_iter", 0),
        ("sampled_algo", False),
    ],
)
def test_a_value_out_of_bounds_is_refused(path, wrong):
    with pytest.raises(ConfigError, match=path.rpartition(".")[2]):
        SampledMuZeroConfig.of(nest({path: wrong}))


# --- every setting has an effect ------------------------------------------------------------------

CHECKS = {}


def changes(*paths):
    """Enter a check, called as check(make, fill) or, for several settings, check(.., path)."""

    def enter(check):
        for path in paths:
            assert path not in CHECKS
            CHECKS[path] = (
                (lambda make, fill, p=path: check(make, fill, p)) if len(paths) > 1 else check
            )
        return check

    return enter


def own_settings(config, base):
    """Paths of what `config` adds to `base` or declares anew, and something reads."""
    known = paths_of(base)
    for path, field in paths_of(config).items():
        table = isinstance(field.default, attrs.Factory)
        fixed = isinstance(field.validator, Only) and not field.validator.refused
        if field != known.get(path) and not (table or fixed or field.metadata["noop"]):
            yield path


SETTINGS = sorted(
    {
        *own_settings(SampledMuZeroConfig, MuZeroConfig),
        *own_settings(SampledEfficientZeroConfig, SampledMuZeroConfig),
    }
)


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_changes_what_it_should(path, make, fill):
    assert path in CHECKS, f"{path} is read by something, but no check says what it changes"
    CHECKS[path](make, fill)


def test_every_check_is_of_a_setting_that_has_an_effect():
    assert sorted(CHECKS) == SETTINGS


TREE = {
    "sample_mode": ("sample_mode", "with_replacement", {"policy_loss_type": "cross_entropy"}),
    "sample_temperature": ("sample_temperature", 2.0, {}),
    "prior_mode": ("prior_mode", "density", {}),
    "root_expand_all": ("root_expand_all", True, {}),
    "model.num_of_sampled_actions": ("num_sampled_actions", 2, {"policy_loss_type": "KL"}),
}


@changes(*TREE)
def _(make, fill, path):
    name, value, given = TREE[path]
    assert getattr(make()._tree_spec(8), name) != value
    assert getattr(make({path: value, **given})._tree_spec(8), name) == value


def test_all_root_actions_are_evaluated_first_where_they_are_vectors(make):
    assert make(VECTORS)._tree_spec(8).root_expand_all
    assert not make(VECTORS | {"root_expand_all": False})._tree_spec(8).root_expand_all


def test_twenty_vectors_are_drawn_unless_told_otherwise(make):
    policy = make({"model.continuous_action_space": True})

    assert policy._tree_spec(8).num_sampled_actions == 20
    assert (policy._tree_spec(8).num_actions, policy._tree_spec(8).action_dim) == (0, 3)


@changes("model.continuous_action_space")
def _(make, fill):
    assert make(VECTORS)._tree_spec(8).is_continuous
    assert not make()._tree_spec(8).is_continuous


@changes("model.model_type")
def _(make, fill):
    shape = {"model.model_type": "conv", "model.observation_shape": (1, 8, 8)}
    assert type(make()._model).__name__ == "SampledMuZeroModelMLP"
    assert type(make(shape)._model).__name__ == "SampledMuZeroModel"


def weights(policy):
    return {name: tuple(p.shape) for name, p in policy._model.named_parameters()}


NETWORK = {
    "model.action_space_size": (5, {}),
    "model.self_supervised_learning_loss": (False, {"ssl_loss_weight": 0.0}),
    "model.norm_type": ("BN", {}),
    "model.sigma_type": ("independent", VECTORS),
}


@changes(*NETWORK)
def _(make, fill, path):
    value, given = NETWORK[path]
    before, after = make(given)._model, make({**given, path: value})._model
    assert str(before) != str(after) or weights(make(given)) != weights(
        make({**given, path: value})
    )


@changes("model.fixed_sigma_value", "model.bound_type", "model.log_sigma_min")
def _(make, fill, path):
    value, given = {
        "model.fixed_sigma_value": (0.7, {"model.sigma_type": "fixed"}),
        "model.bound_type": ("tanh", {"init_w": 5.0}),
        "model.log_sigma_min": (1.0, {}),
    }[path]

    def said(**more):
        policy = make({**VECTORS, **given, **more})
        return policy.eval_mode.forward(torch.ones(1, 4), None)[0]["policy_logits"]

    assert said(**{path: value}) != said()


@changes("init_w")
def _(make, fill):
    for limit in (0.003, 0.5):
        head = make({**VECTORS, "init_w": limit})._model.prediction.policy
        largest = max(p.abs().max().item() for p in head.mu.parameters())
        assert 0.5 * limit < largest <= limit
    again = make({**VECTORS, "init_w": 0.5})._model.prediction.policy.mu.weight
    assert torch.equal(again, head.mu.weight)  # a function of the seed
    other = make({**VECTORS, "init_w": 0.5, "seed": 3})._model.prediction.policy.mu.weight
    assert not torch.equal(other, head.mu.weight)


def test_a_network_of_somebody_else_keeps_its_weights(make):
    theirs = make(VECTORS)._model
    before = theirs.prediction.policy.mu.weight.clone()

    make({**VECTORS, "init_w": 0.5}, model=theirs)

    assert torch.equal(theirs.prediction.policy.mu.weight, before)


def first_loss(make, fill, given, name="policy_loss", **options):
    policy = make(given, **options)
    return policy.learn_mode.forward(fill(policy).sample(8, policy))[name]


@changes("policy_loss_type", "normalize_prob_of_sampled_actions")
def _(make, fill, path):
    given = {"model.num_of_sampled_actions": 2, "sample_mode": "with_replacement"}
    plain = first_loss(make, fill, given)
    with pytest.warns(UserWarning, match="compares shares"):
        other = first_loss(
            make, fill, {**given, path: "KL" if path == "policy_loss_type" else True}
        )
    assert other < plain - 0.1


@changes("ssl_loss_weight")
def _(make, fill):
    assert first_loss(make, fill, {}, "consistency_loss") != 0.0
    assert first_loss(make, fill, {"ssl_loss_weight": 0.0}, "consistency_loss") == 0.0


@changes("policy_entropy_loss_weight")
def _(make, fill):
    totals = [
        first_loss(make, fill, {"policy_entropy_loss_weight": w}, "total_loss") for w in (0.0, 1.0)
    ]
    entropy = 4 * first_loss(make, fill, {}, "policy_entropy")
    assert totals[0] - totals[1] == pytest.approx(entropy, rel=1e-4)
    assert SampledEfficientZeroConfig().policy_entropy_loss_weight == 0.005


@changes("optim_type")
def _(make, fill):
    for name in ("SGD", "Adam", "AdamW"):
        assert type(make({"optim_type": name})._optimizer).__name__ == name


@changes("learning_rate")
def _(make, fill):
    assert first_loss(make, fill, {"learning_rate": 0.5}, "cur_lr") == 0.5


@changes("lr_piecewise_constant_decay", "cos_lr_scheduler", "max_train_iter")
def _(make, fill, path):
    rates = {}
    for name, given in {
        "none": {},
        "lr_piecewise_constant_decay": {
            "lr_piecewise_constant_decay": True,
            "threshold_training_steps_for_final_lr": 4,
        },
        "cos_lr_scheduler": {"cos_lr_scheduler": True},
        "max_train_iter": {"cos_lr_scheduler": True, "max_train_iter": 4},
    }.items():
        policy = make({"learning_rate": 0.1, **given})
        found = rates[name] = []
        for _ in range(6):
            found.append(policy._optimizer.param_groups[0]["lr"])
            policy._optimizer.step()
            policy._scheduler.step()
    half = 0.5 + 0.5**1.5
    expected = {
        "lr_piecewise_constant_decay": [0.1, 0.1, 0.01, 0.01, 0.001, 0.001],
        "cos_lr_scheduler": [0.1] * 6,  # of a million
        "max_train_iter": [0.1, 0.1 * half, 0.05, 0.1 * (1 - half), 0.0, 0.0],
    }
    assert rates["none"] == [0.1] * 6
    assert rates[path] == pytest.approx(expected[path], abs=1e-9)
    assert rates["cos_lr_scheduler"][5] < rates["cos_lr_scheduler"][0]


def test_schedules_that_no_setting_knows_leave_muzero_alone():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make_scheduler(optimizer, MuZeroConfig(lr_piecewise_constant_decay=False))
    optimizer.step()
    scheduler.step()

    assert optimizer.param_groups[0]["lr"] == 0.1


# --- sampled_efficientzero ------------------------------------------------------------------------


@changes("model.lstm_hidden_size")
def _(make, fill):
    found = [
        weights(make({"model.lstm_hidden_size": w}, policy_class=SampledEfficientZeroPolicy))
        for w in (8, 16)
    ]
    assert found[0] != found[1]


@changes("lstm_horizon_len")
def _(make, fill):
    policy = make({"lstm_horizon_len": 2}, policy_class=SampledEfficientZeroPolicy)
    rewards = np.ones((1, 5), np.float32)

    assert policy._tree_spec(8).lstm_horizon_len == 2
    assert policy._reward_target(rewards)[0].tolist() == [1, 2, 1, 2]


@changes("use_priority")
def _(make, fill):
    for use in (True, False):
        policy = make({"use_priority": use}, policy_class=SampledEfficientZeroPolicy)
        assert policy.replay_settings().use_priority is use


def test_its_search_draws_actions_and_sums_rewards(make):
    spec = make(VECTORS, policy_class=SampledEfficientZeroPolicy)._tree_spec(8)

    assert spec.value_prefix
    assert (spec.num_sampled_actions, spec.action_dim) == (5, 3)


def test_with_a_slot_for_every_action_and_no_noise_it_is_efficientzero(make):
    given = {"root_noise_weight": 0.0, "num_simulations": 25, "model.lstm_hidden_size": 16}
    ours = make(given, policy_class=SampledEfficientZeroPolicy)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours._model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    theirs = make(given, policy_class=EfficientZeroPolicy, model=ours._model)
    seen, mask = torch.randn(6, 4, generator=generator), [[1, 1, 1]] * 6

    for mode in ("eval_mode", "collect_mode"):
        found = getattr(ours, mode).forward(seen, mask).columns
        expected = getattr(theirs, mode).forward(seen, mask).columns
        for name in ("action", "child_visit", "root_value"):
            assert (found[name] == expected[name]).all()
