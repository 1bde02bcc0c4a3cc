"""Every setting of MuZero changes what it should; a setting without a check here is a failure.

What the loop, the replay, the tree or the network do with a setting is tested where they live;
here it is enough that the setting reaches them. Settings that are refused in this version, and
those that are documented to have no effect, are tested with the settings themselves.
"""

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
import torch
import torch.distributed as dist
from lz_muzero import acting
from lz_muzero.config import MuZeroConfig

from lzcore.base import ActionSpace, ConfigError
from lzcore.base.config import Only
from lzcore.base.structure import nest, paths_of
from lzcore.search import make_tree
from lzcore.search.traced import Traced

CHECKS: dict[str, Callable] = {}
SSL = {"model.self_supervised_learning_loss": True, "ssl_loss_weight": 1.0}
EXPLORING = {"eps.eps_greedy_exploration_in_collect": True}


def changes(*paths):
    """Enter a check, called as check(kit) or, for several settings, check(kit, path)."""

    def enter(check):
        for path in paths:
            assert path not in CHECKS
            CHECKS[path] = (lambda kit, p=path: check(kit, p)) if len(paths) > 1 else check
        return check

    return enter


@pytest.fixture
def kit(make_policy, fill, open_model, pictures, make_episode, monkeypatch):
    """Policies from dotted settings, and short ways to make them decide and learn."""

    def policy(given=None, *, picture=False, open_=False):
        layers = [pictures] * picture + [nest(given or {})]
        return make_policy(*layers, model=open_model() if open_ else None)

    def batch(one):
        return fill(one).sample(8, one)

    def learn(one, count=1):
        data = batch(one)
        return [one.learn_mode.forward(data) for _ in range(count)][-1]

    @contextmanager
    def group_of_one():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        yield
        dist.destroy_process_group()

    return SimpleNamespace(
        group_of_one=group_of_one,
        policy=policy,
        batch=batch,
        learn=learn,
        fill=fill,
        episode=make_episode,
        patch=monkeypatch,
    )


def has_effect(field):
    table = isinstance(field.default, attrs.Factory)
    refused = isinstance(field.validator, Only) and not field.validator.refused
    return not (table or refused or field.metadata["noop"])


SETTINGS = [path for path, field in paths_of(MuZeroConfig).items() if has_effect(field)]


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_changes_what_it_should(path, kit):
    assert path in CHECKS, f"{path} is read by something, but no check says what it changes"
    CHECKS[path](kit)


def test_every_check_is_of_a_setting_that_has_an_effect():
    assert sorted(CHECKS) == sorted(SETTINGS)


# --- the loop and the replay ----------------------------------------------------------------------


@changes(
    "collector_env_num",
    "evaluator_env_num",
    "n_episode",
    "num_segments",
    "update_per_collect",
    "eval_freq",
    "random_collect_episode_num",
    "game_segment_length",
    "batch_size",
)
def _(kit, path):
    assert getattr(kit.policy({path: 7}).loop_settings(), path) == 7


@changes("ignore_done", "eval_offline")
def _(kit, path):
    assert not getattr(kit.policy().loop_settings(), path)
    assert getattr(kit.policy({path: True}).loop_settings(), path)


@changes("replay_ratio")
def _(kit):
    assert kit.policy({"replay_ratio": 0.75}).loop_settings().replay_ratio == 0.75


REPLAY = {
    "replay_buffer_size": ("capacity", 77),
    "max_replay_bytes": ("max_bytes", 10**6),
    "sample_type": ("sample_type", "episode"),
    "use_priority": ("use_priority", True),
    "priority_prob_alpha": ("priority_alpha", 0.9),
    "priority_prob_beta": ("priority_beta", 0.8),
}


@changes(*REPLAY)
def _(kit, path):
    name, value = REPLAY[path]
    assert getattr(kit.policy({path: value}).replay_settings(), name) == value


def frames(channels):
    return SimpleNamespace(
        frame_shape=(channels, 8, 8),
        frame_dtype=np.dtype(np.uint8),
        action=ActionSpace("discrete", 3),
        players=1,
    )


@changes("transform2string")
def _(kit):
    def keeps_jpeg(**given):
        policy = kit.policy({"gray_scale": True, **given}, picture=True)
        return policy.columns(policy.cfg, frames(1))[0].jpeg

    assert keeps_jpeg(transform2string=True)
    assert not keeps_jpeg()


@changes("gray_scale")
def _(kit):
    policy = kit.policy({"transform2string": True, "gray_scale": True}, picture=True)
    with pytest.raises(ConfigError, match=r"gray_scale is true, and .* frames of 3 channels"):
        policy.columns(policy.cfg, frames(3))


@changes("use_max_priority_for_new_data")
def _(kit):
    plain, by_error = kit.policy(), kit.policy({"use_max_priority_for_new_data": False})
    segment = kit.episode(by_error, 1, 6, terminated=True)
    predicted = segment.columns["predicted_value"][:6].astype(np.float64)
    searched = segment.columns["root_value"][:6]

    assert plain.initial_priority(segment) is None
    expected = np.abs(predicted - searched) + 1e-6
    assert by_error.initial_priority(segment) == pytest.approx(expected, rel=1e-5)
    searched[2] = np.nan  # nobody searched there
    assert by_error.initial_priority(segment) is None


# --- the tree and the search ----------------------------------------------------------------------

TREE = {
    "pb_c_base": ("pb_c_base", 100.0),
    "pb_c_init": ("pb_c_init", 3.0),
    "q_transform": ("q_transform", "tree_min_max"),
    "q_bounds": ("q_bounds", (0.0, 5.0)),
    "value_delta_max": ("range_floor", 0.5),
    "fpu": ("fpu", "zero"),
    "tie_break": ("tie_break", "random"),
    "max_depth": ("max_depth", 2),
    "root_noise_weight": ("root_noise_weight", 0.5),
    "tree_threads": ("num_threads", 2),
}


@changes(*TREE)
def _(kit, path):
    name, value = TREE[path]
    assert getattr(kit.policy({path: value})._tree_spec(8), name) == value


@changes("mcts_ctree", "tree")
def _(kit, path):
    asked = []

    def make(name, spec, *, prefer_compiled):
        asked.append((name, prefer_compiled))
        return make_tree("auto", spec)

    kit.patch.setattr(acting, "make_tree", make)
    kit.policy({path: False if path == "mcts_ctree" else "oak"})
    assert set(asked) == {("auto", False) if path == "mcts_ctree" else ("oak", True)}


def visits(policy, mode="collect"):
    """The root visits of one environment."""
    seen = torch.tensor([[1.0, 0.5, 0.0, 0.0]])
    given = {} if mode == "collect" else {"action_mask": None}
    return getattr(policy, f"{mode}_mode").forward(seen, **given)[0]["distributions"]


@changes("num_simulations")
def _(kit):
    assert sum(visits(kit.policy({"num_simulations": 5}))) == 5


@changes("eval_num_simulations")
def _(kit):
    policy = kit.policy({"eval_num_simulations": 5})

    assert sum(visits(policy, "eval")) == 5
    assert sum(visits(policy)) == 8


@changes("root_dirichlet_alpha")
def _(kit):
    given = {"root_noise_weight": 1.0, "num_simulations": 40}
    even, odd = (
        kit.policy({**given, "root_dirichlet_alpha": alpha}, open_=True) for alpha in (1e3, 0.01)
    )

    assert max(visits(even)) < 25  # nearly uniform noise
    assert max(visits(odd)) > 35  # all of it on one action


@changes("collect_with_pure_policy")
def _(kit):
    assert sum(visits(kit.policy({"collect_with_pure_policy": True}))) == pytest.approx(1.0)


# --- schedules ------------------------------------------------------------------------------------


def temperature(kit, learn_step, **given):
    return kit.policy(given).schedule(learn_step, 0)["temperature"]


@changes("fixed_temperature_value")
def _(kit):
    assert temperature(kit, 0, fixed_temperature_value=0.8) == 0.8


@changes("manual_temperature_decay")
def _(kit):
    assert temperature(kit, 0) == 0.25
    assert temperature(kit, 0, manual_temperature_decay=True) == 1.0


@changes("threshold_training_steps_for_final_temperature")
def _(kit):
    given = {
        "manual_temperature_decay": True,
        "threshold_training_steps_for_final_temperature": 100,
    }
    assert temperature(kit, 50, **given) == 0.5


def epsilon(kit, env_step, **given):
    eps = {f"eps.{name}": value for name, value in given.items()}
    return kit.policy({**EXPLORING, **eps}).schedule(0, env_step)["epsilon"]


@changes("eps.eps_greedy_exploration_in_collect")
def _(kit):
    assert kit.policy().schedule(0, 0)["epsilon"] == 0.0
    assert epsilon(kit, 0) == 1.0


@changes("eps.start")
def _(kit):
    assert epsilon(kit, 0, start=0.5) == 0.5


@changes("eps.end")
def _(kit):
    assert epsilon(kit, 10**9, end=0.2) == pytest.approx(0.2)


@changes("eps.decay")
def _(kit):
    assert epsilon(kit, 10, decay=20, start=1.0, end=0.0) == 0.5


@changes("eps.type")
def _(kit):
    assert epsilon(kit, 10, decay=10, end=0.0, type="exp") == pytest.approx(np.exp(-1))


# --- the network ----------------------------------------------------------------------------------


def network(policy):
    """What tells two networks apart: their layers, and what they say with woken weights."""
    model = policy._model
    shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        seen = torch.rand(2, *acting.shapes.stacked_shape(policy.cfg.model))
        root = model.eval().initial_inference(seen)
        then = model.recurrent_inference(root.latent_state, torch.tensor([0, 1]))
    said = [field.flatten().tolist() for output in (root, then) for field in output[:4]]
    return shapes, said


NETWORK = {
    "model.latent_state_dim": (24, {}, False),
    "model.support_scale": (7, {}, False),
    "model.categorical_distribution": (False, {}, False),
    "model.discrete_action_encoding_type": ("not_one_hot", {}, False),
    "model.res_connection_in_dynamics": (False, {}, False),
    "model.norm_type": ("BN", {}, False),
    "model.state_norm": (True, {}, False),
    "model.use_sim_norm": (False, {}, False),
    "model.simnorm_dynamics": (True, {}, False),
    "model.self_supervised_learning_loss": (True, {}, False),
    "model.proj_hid": (12, SSL, False),
    "model.pred_hid": (12, SSL, False),
    "model.observation_shape": (5, {}, False),
    "model.action_space_size": (4, {}, False),
    "model.frame_stack_num": (2, {}, False),
    "model.num_res_blocks": (2, {}, True),
    "model.num_channels": (16, {}, True),
    "model.downsample": (
        True,
        {"model.observation_shape": (2, 64, 64), "model.downsample": False},
        True,
    ),
}


@changes(*NETWORK)
def _(kit, path):
    value, given, picture = NETWORK[path]
    before = network(kit.policy(given, picture=picture))
    assert network(kit.policy({**given, path: value}, picture=picture)) != before


@changes("model.proj_out", "model.pred_out")
def _(kit, path):
    both = {"model.proj_out": 12, "model.pred_out": 12}
    assert network(kit.policy({**SSL, **both})) != network(kit.policy(SSL))
    with pytest.raises(ConfigError, match="give them one width"):
        kit.policy({**SSL, path: 12})


@changes("model.reward_support_size", "model.value_support_size")
def _(kit, path):
    assert kit.policy({path: 21})._model.value_support.size == 21
    with pytest.raises(ConfigError, match=f"{path.partition('.')[2]} is 23"):
        kit.policy({path: 23})


@changes("model.model_type")
def _(kit):
    assert type(kit.policy()._model).__name__ == "MuZeroModelMLP"
    assert type(kit.policy(picture=True)._model).__name__ == "MuZeroModel"


@changes("model.context_length_init")
def _(kit):
    def observed(length):
        given = {"model.model_type": "mlp_context", "model.context_length_init": length}
        policy, calls = kit.policy(given, open_=True), []
        evaluate = policy._inference.initial
        policy._inference.initial = lambda seen: calls.append(1) or evaluate(seen)
        for _ in range(4):
            visits(policy)
        return len(calls)

    assert (observed(1), observed(2), observed(3)) == (4, 2, 2)


@changes("model.name")
def _(kit):
    policy = kit.policy({"model.name": "MuZeroModelMLP"})

    assert policy.default_model() == ("MuZeroModelMLP", ["lz_muzero.model_mlp"])
    with pytest.raises(LookupError, match="Nobodys"):
        kit.policy({"model.name": "Nobodys"})


@changes("model.image_channel")
def _(kit):
    wide = {"model.image_channel": 3, "model.observation_shape": (6, 8, 8)}
    assert kit.policy(wide, picture=True)._get_target_obs_index_in_step_k(1) == (3, 9)


@changes("model.analysis_sim_norm", "analysis_sim_norm")
def _(kit, path):
    names = ["l2_norm_before", "l2_norm_after", "grad_norm_before", "grad_norm_after"]
    told = kit.learn(kit.policy({path: True}), 3)

    assert all(told[f"analysis/{name}"] > 0 for name in names)
    assert kit.learn(kit.policy())["analysis/l2_norm_before"] == 0.0


DORMANT = "analysis/dormant_ratio_encoder"


@changes("cal_dormant_ratio", "analysis_dormant_ratio", "model.analysis_dormant_ratio")
def _(kit, path):
    everything = {"dormant_threshold": 1e9}
    assert kit.learn(kit.policy({**everything, path: True}))[DORMANT] == 1.0
    assert kit.learn(kit.policy(everything))[DORMANT] == 0.0


@changes("dormant_threshold")
def _(kit):
    def dormant(threshold):
        given = {"cal_dormant_ratio": True, "dormant_threshold": threshold}
        return kit.learn(kit.policy(given))[DORMANT]

    assert dormant(0.0) < dormant(1.0) < dormant(1e9)


# --- batches and targets --------------------------------------------------------------------------


@changes("num_unroll_steps")
def _(kit):
    policy = kit.policy({"num_unroll_steps": 5})

    assert kit.batch(policy)[0].action.shape == (8, 5)
    assert policy.replay_settings().unroll_steps == 5


def values(kit, **given):
    return kit.batch(kit.policy(given))[1].target_value


@changes("td_steps")
def _(kit):
    assert kit.policy({"td_steps": 4}).replay_settings().lookahead == 4
    assert (values(kit, td_steps=4) != values(kit)).any()


@changes("discount_factor")
def _(kit):
    assert kit.policy({"discount_factor": 0.5})._tree_spec(8).discount == 0.5
    assert (values(kit, discount_factor=0.5) != values(kit)).any()


@changes("use_root_value")
def _(kit):
    assert (values(kit, use_root_value=True) != values(kit)).any()


@changes("mini_infer_size")
def _(kit):
    policy, sizes = kit.policy({"mini_infer_size": 3}), []
    evaluate = policy._target_inference.initial
    policy._target_inference.initial = lambda seen: sizes.append(len(seen)) or evaluate(seen)

    kit.batch(policy)
    assert max(sizes) == 3


RND_ON = {"use_rnd_model": True, "intrinsic_reward_weight": 1.0}


def shaped(kit, **given):
    return kit.batch(kit.policy({**RND_ON, **given}))[1]


def targets_differ(one, other):
    return (one.target_reward != other.target_reward).any() and (
        one.target_value != other.target_value
    ).any()


@changes("use_rnd_model")
def _(kit):
    assert targets_differ(shaped(kit), kit.batch(kit.policy())[1])


RND = {
    "intrinsic_reward_weight": (0.5, {}),
    "rnd.intrinsic_reward_type": ("assign", {}),
    "rnd.input_type": ("latent_state", {"model.use_sim_norm": False}),
    "rnd.hidden_size_list": ((5,), {}),
    "rnd.input_norm": (False, {}),
    "rnd.input_norm_clamp_max": (0.5, {}),
    "rnd.extrinsic_reward_norm": (False, {"rnd.extrinsic_reward_norm_max": 2.0}),
    "rnd.extrinsic_reward_norm_max": (2.0, {}),
}


@changes(*RND)
def _(kit, path):
    value, given = RND[path]
    assert targets_differ(shaped(kit, **given), shaped(kit, **given, **{path: value}))


@changes("rnd.learning_rate", "rnd.weight_decay")
def _(kit, path):
    name = {"rnd.learning_rate": "lr", "rnd.weight_decay": "weight_decay"}[path]
    rnd = kit.policy({**RND_ON, path: 0.5})._rnd
    assert rnd._optimizer.param_groups[0][name] == 0.5


def encoder_after(kit, steps, **given):
    """The first weights of the model that makes latent states for RND, and the policy's."""
    policy = kit.policy({**RND_ON, "rnd.input_type": "latent_state", **given})
    kit.learn(policy, steps)
    return next(policy._rnd.encoder.parameters()), next(policy._model.parameters())


@changes("target_update_freq_for_intrinsic_reward")
def _(kit):
    name = "target_update_freq_for_intrinsic_reward"
    assert torch.equal(*encoder_after(kit, 4, **{name: 2}))
    assert not torch.equal(*encoder_after(kit, 4, **{name: 3}))


FOLLOWING = {"target_model_for_intrinsic_reward_update_type": "momentum"}
THETA = "target_update_theta_for_intrinsic_reward"


@changes("target_model_for_intrinsic_reward_update_type", THETA)
def _(kit, path):
    base = FOLLOWING if path == THETA else {}
    one, _ = encoder_after(kit, 4, **base)
    other, _ = encoder_after(kit, 4, **FOLLOWING, **({THETA: 0.5} if path == THETA else {}))
    assert not torch.equal(one, other)


def reanalyzed(kit, **given):
    """Which of 8 samples got a new policy target."""
    fresh, kept = kit.policy(given), kit.policy()
    new, old = kit.batch(fresh), kit.batch(kept)
    changed = (new[1].target_policy != old[1].target_policy).any(axis=(1, 2))
    return set(new[0].index[changed].tolist()), sorted(new[0].index.tolist())


@changes("reanalyze_ratio")
def _(kit):
    changed, _ = reanalyzed(kit, reanalyze_ratio=1.0)
    assert len(changed) == 8
    policy = kit.policy({"reanalyze_ratio": 0.5}, picture=True)
    columns = {column.name: column for column in policy.columns(policy.cfg, frames(1))}
    assert columns["child_visit"].changing
    assert columns["root_value"].changing


@changes("reanalyze_outdated")
def _(kit):
    oldest, drawn = reanalyzed(kit, reanalyze_ratio=0.125)
    any_, _ = reanalyzed(kit, reanalyze_ratio=0.125, reanalyze_outdated=False)

    assert drawn[0] in oldest
    assert any_ != oldest


@changes("reanalyze_noise")
def _(kit):
    given = {"reanalyze_ratio": 1.0, "root_noise_weight": 1.0}
    loud, quiet = (kit.policy({**given, "reanalyze_noise": noise}) for noise in (True, False))
    assert (kit.batch(loud)[1].target_policy != kit.batch(quiet)[1].target_policy).any()


@changes("reuse_search")
def _(kit):
    assert (values(kit, reuse_search=True) == values(kit, use_root_value=True)).all()
    assert kit.policy({"reuse_search": True}).loop_settings().buffer_reanalyze_freq == 1.0
    assert kit.policy().loop_settings().buffer_reanalyze_freq == 0.0
    policy = kit.policy({"reuse_search": True}, picture=True)
    columns = {column.name: column for column in policy.columns(policy.cfg, frames(1))}
    assert columns["child_visit"].changing
    assert columns["root_value"].changing


@changes(
    "buffer_reanalyze_freq",
    "reanalyze_batch_size",
    "reanalyze_partition",
    "reanalyze_start_after_transitions",
)
def _(kit, path):
    value = 1 if path.startswith("reanalyze") else 0.5
    assert getattr(kit.policy({"reuse_search": True, path: value}).loop_settings(), path) == value


# --- learning -------------------------------------------------------------------------------------

PARTS = {
    "reward_loss_weight": ("reward_loss", 1),
    "value_loss_weight": ("value_loss", 1),
    "policy_loss_weight": ("policy_loss", 1),
    "policy_entropy_loss_weight": ("policy_entropy", -4),  # reported for each of K + 1 positions
    "ssl_loss_weight": ("consistency_loss", 3),  # reported for each of K steps
}


@changes(*PARTS)
def _(kit, path):
    name, times = PARTS[path]
    base = {**SSL, "policy_entropy_loss_weight": 0.5}
    low, high = (kit.learn(kit.policy({**base, path: weight})) for weight in (1.0, 3.0))
    expected = 2.0 * times * low[name]

    assert high["total_loss"] - low["total_loss"] == pytest.approx(expected, abs=2e-4)


@changes("latent_grad_scale")
def _(kit):
    def representation_gradient(scale):
        policy = kit.policy({"latent_grad_scale": scale})
        kit.learn(policy, 2)  # heads start at zero, and pass nothing on at first
        return [p.grad for p in policy._model.representation.parameters()]

    some, whole = representation_gradient(0.5), representation_gradient(1.0)
    assert any(not torch.equal(a, b) for a, b in zip(some, whole, strict=True))


def first_group(kit, **given):
    return kit.policy(given)._optimizer.param_groups[0]


@changes("optim_type")
def _(kit):
    for name in ("SGD", "Adam", "AdamW"):
        assert type(kit.policy({"optim_type": name})._optimizer).__name__ == name


@changes("learning_rate")
def _(kit):
    assert first_group(kit, learning_rate=0.5)["lr"] == 0.5


@changes("momentum")
def _(kit):
    assert first_group(kit, momentum=0.5, optim_type="SGD")["momentum"] == 0.5


@changes("weight_decay")
def _(kit):
    for name in ("SGD", "Adam", "AdamW"):
        assert first_group(kit, weight_decay=0.5, optim_type=name)["weight_decay"] == 0.5


@changes("grad_clip_value")
def _(kit):
    policy = kit.policy({"grad_clip_value": 0.01})

    assert kit.learn(policy)["total_grad_norm_before_clip"] > 0.01
    squares = sum(p.grad.square().sum().item() for p in policy._model.parameters())
    assert squares**0.5 == pytest.approx(0.01, rel=1e-3)


@changes("lr_piecewise_constant_decay", "threshold_training_steps_for_final_lr")
def _(kit, path):
    given = {"lr_piecewise_constant_decay": True, "threshold_training_steps_for_final_lr": 4}

    assert kit.learn(kit.policy(given), 3)["cur_lr"] == pytest.approx(0.0003)
    assert kit.learn(kit.policy(given), 5)["cur_lr"] == pytest.approx(0.00003)
    given.pop(path)
    assert kit.learn(kit.policy(given), 5)["cur_lr"] == 0.003


@changes("target_update_freq")
def _(kit):
    def copied(freq):
        policy = kit.policy({"target_update_freq": freq})
        kit.learn(policy, 2)
        pairs = zip(policy._model.parameters(), policy._target_model.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    assert copied(2)
    assert not copied(3)


@changes("use_augmentation")
def _(kit):
    image = torch.rand(4, 5, 8, 8)
    plain, moved = (kit.policy({"use_augmentation": on}, picture=True) for on in (False, True))

    assert torch.equal(plain._observation(image, 0), image[:, :2])
    assert not torch.equal(moved._observation(image, 0), image[:, :2])


@changes("augmentation")
def _(kit):
    given = {"use_augmentation": True, "augmentation": ("shift",)}
    constant = torch.ones(4, 5, 8, 8)
    policy = kit.policy(given, picture=True)

    assert torch.equal(policy._observation(constant, 0), constant[:, :2])  # no intensity


@changes("model.harmony_balance")
def _(kit):
    policy = kit.policy({"model.harmony_balance": True})

    assert kit.learn(policy, 2)["harmony_value"] > 0.0
    assert "harmony_value" not in kit.learn(kit.policy())


@changes("monitor_extra_statistics")
def _(kit):
    assert "target_value" in kit.learn(kit.policy())
    assert "target_value" not in kit.learn(kit.policy({"monitor_extra_statistics": False}))


# --- where it runs, and what it draws -------------------------------------------------------------


def device(kit, **given):
    policy = kit.policy({"cuda": True})  # made on the CPU; then there seems to be a GPU
    policy._cfg = attrs.evolve(policy._cfg, **given)
    kit.patch.setattr(torch.cuda, "is_available", lambda: True)
    kit.patch.setattr(torch, "zeros", lambda *_, device: torch.ones(1))  # and it computes
    return str(policy._choose_device())


@changes("cuda")
def _(kit):
    assert device(kit) == "cuda"
    kit.patch.undo()
    assert device(kit, cuda=False) == "cpu"


@changes("record_network")
def _(kit):
    for record in (True, False):
        inference = kit.policy({"record_network": record})._inference
        assert isinstance(inference._step, Traced) == record


@changes("device")
def _(kit):
    assert device(kit, device="cpu") == "cpu"


@changes("multi_gpu")
def _(kit):
    with pytest.raises(RuntimeError, match="belongs to no group of ranks"):
        kit.policy({"multi_gpu": True})
    with kit.group_of_one():
        assert messages(kit, multi_gpu=True) == 1
        assert messages(kit) == 0
    kit.patch.setenv("LOCAL_RANK", "3")
    assert device(kit, multi_gpu=True) == "cuda:3"


@changes("bp_update_sync")
def _(kit):
    with kit.group_of_one():
        policy = kit.policy()
        parameters = sum(1 for _ in policy._model.parameters())
        assert messages(kit, multi_gpu=True, bp_update_sync=False) == parameters > 1


def messages(kit, **given):
    """How often a learn step exchanges gradients."""
    policy, sent = kit.policy(given), []
    send = dist.all_reduce
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", lambda *a, **k: sent.append(1) or send(*a, **k))
        kit.learn(policy)
    return len(sent)


@changes("seed")
def _(kit):
    first, other = (kit.policy({"seed": seed}) for seed in (1, 2))
    assert network(first) != network(other)


@changes("env_type")
def _(kit):
    observation = torch.zeros(1, 4)
    told = kit.policy({"env_type": "board_games", "discount_factor": 1.0})
    assert list(told.eval_mode.forward(observation, None, to_play=2)) == [0]
    with pytest.raises(ValueError, match="expected -1"):
        kit.policy().eval_mode.forward(observation, None, to_play=2)
