"""What UniZero's policy promises: the documented interface, deciding, learning, its state."""

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lz_muzero.policy_sampled import STATISTICS
from lz_unizero.config import UniZeroConfig
from lz_unizero.dynamics import WorldModelDynamics
from lz_unizero.policy import UniZeroPolicy
from small_worlds import PICTURES, SMALL, batch_of, every_policy, make_policy

from lzcore.base import ActionSpace, ConfigError, DivergedError, Spaces
from lzcore.registry import get_registry

HERE = Path(__file__).parent
DOCUMENTED = HERE / "documented_unizero.json"
MONITORED = json.loads((HERE / "documented_monitor_names.json").read_text())
FOUR = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)
TREES = [c.name for c in get_registry().components("trees")]


def spaces(shape=(4,), kind="vector", players=1, action=("discrete", 3)):
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(np.float32),
        kind=kind,
        action=ActionSpace(*action),
        players=players,
    )


# --- what is registered and documented ------------------------------------------------------------


def test_the_documented_settings_and_defaults_are_the_reference():
    cfg = UniZeroPolicy.default_config()
    ours = {**cfg.to_dict(documented=True), "cfg_type": cfg.cfg_type}

    assert json.loads(json.dumps(ours)) == json.loads(DOCUMENTED.read_text())


def test_policy_settings_and_model_are_registered():
    registry = get_registry()

    assert registry.resolve("policies", "unizero") is UniZeroPolicy
    assert registry.resolve("policies", "unizero", "config") is UniZeroConfig
    spec = registry.spec("policies", "unizero")
    assert spec.default_model == UniZeroPolicy.models["conv"][0] == "UniZeroModel"


def test_the_method_signatures_are_the_documented_ones():
    collect = ["data", "action_mask", "temperature", "to_play", "epsilon", "ready_env_id"]
    policy = make_policy()
    for method, names in (
        (policy._forward_collect, collect),
        (policy._forward_eval, ["data", "action_mask", "to_play", "ready_env_id"]),
        (policy._reset_collect, ["env_id", "current_steps", "reset_init_data"]),
        (policy._reset_eval, ["env_id", "current_steps", "reset_init_data"]),
        (policy.monitor_weights_and_grads, ["model"]),
        (policy.recompute_pos_emb_diff_and_clear_cache, []),
    ):
        assert list(inspect.signature(method).parameters) == names


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@every_policy
def test_a_recorded_network_decides_alike_to_the_bit(kind, positions, monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.WORTH", 0)
    world = {"model": {"world_model_cfg": {"positions": positions}}}
    plain, traced = (make_policy(world, kind=kind, record_network=on) for on in (False, True))
    for _ in range(5):  # histories grow, and paths outgrow the window
        one, other = plain.collect_mode.forward(FOUR), traced.collect_mode.forward(FOUR)
        for name in ("action", "root_value", "predicted_value"):
            np.testing.assert_array_equal(one.columns[name], other.columns[name])
    inference = traced._inference
    for step in (inference._read_on, inference._read_again)[: 1 + (positions == "learned")]:
        assert step._programs
        assert None not in step._programs.values()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.filterwarnings("error")  # a network that cannot be recorded says so
@every_policy
def test_a_gpu_decides_alike_with_recordings_and_without(kind):
    plain, graphs = (make_policy(kind=kind, cuda=True, record_network=on) for on in (False, True))
    for _ in range(5):  # histories grow, and paths outgrow the window
        one, other = plain.collect_mode.forward(FOUR), graphs.collect_mode.forward(FOUR)
        np.testing.assert_array_equal(one.columns["action"], other.columns["action"])
        np.testing.assert_allclose(
            one.columns["root_value"], other.columns["root_value"], atol=1e-4
        )


# --- settings -------------------------------------------------------------------------------------


def test_spaces_decide_what_both_tables_say():
    given = {"model": {"support_scale": 20, "world_model_cfg": {"max_blocks": 6}}}
    found = UniZeroPolicy.settings_for(spaces((6,), action=("discrete", 5)), given)

    assert found["model"] == {
        "model_type": "mlp",
        "observation_shape": 6,
        "action_space_size": 5,
        "world_model_cfg": {
            "action_space_size": 5,
            "obs_type": "vector",
            "support_size": 41,
            "max_tokens": 12,
        },
    }
    picture = UniZeroPolicy.settings_for(spaces((3, 64, 64), "image"), {})
    assert picture["model"]["world_model_cfg"] == {"action_space_size": 3, "obs_type": "image"}


def test_vectors_as_actions_are_refused():
    assert "continuous numbers" in UniZeroPolicy.check_spaces(spaces(action=("continuous", 2)))
    inner = {"continuous_action_space": True}
    with pytest.raises(ConfigError, match="unizero chooses among numbered actions"):
        UniZeroConfig.of({"model": {**inner, "world_model_cfg": inner}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_of_sampled_actions", 5),
        ("sigma_type", "fixed"),
        ("fixed_sigma_value", 0.5),
        ("bound_type", "tanh"),
        ("log_sigma_min", -5.0),
    ],
)
def test_settings_of_searches_that_draw_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"model.{name} is .* unizero draws no actions"):
        UniZeroConfig.of({"model": {name: value}})


def test_a_window_of_learning_fits_the_network():
    with pytest.raises(ConfigError, match=r"num_unroll_steps is 11, and .*max_blocks 10"):
        UniZeroConfig.of({"num_unroll_steps": 11})


def test_places_that_only_a_search_meets_are_warned_of():
    with pytest.warns(UserWarning, match=r"have 3 steps .* up to 4: .*max_blocks to 3, or raise"):
        make_policy(num_unroll_steps=3)
    make_policy({"model": {"world_model_cfg": {"positions": "rotary"}}}, num_unroll_steps=3)


def test_names_that_have_two_homes_may_be_set_in_either():
    inner = {"analysis_dormant_ratio": True, "dormant_threshold": 0.1, "action_space_size": 4}
    cfg = UniZeroConfig.of({"model": {"world_model_cfg": inner}})

    assert cfg.model.analysis_dormant_ratio
    assert not cfg.model.analysis_sim_norm
    assert (cfg.dormant_threshold, cfg.model.action_space_size) == (0.1, 4)
    assert UniZeroConfig.of(cfg) == cfg


# --- deciding -------------------------------------------------------------------------------------


@every_policy
@pytest.mark.parametrize("tree", TREES)
def test_every_tree_searches_and_all_find_the_same(kind, tree):
    given = {"root_noise_weight": 0.0}
    policy, other = (make_policy(given, kind=kind, tree=name) for name in (tree, TREES[0]))

    assert len(TREES) >= 1
    for now in (FOUR, FOUR * 0.5):
        found = policy.eval_mode.forward(now, None)
        expected = other.eval_mode.forward(now, None)
        assert found.columns["child_visit"].tolist() == expected.columns["child_visit"].tolist()
        assert found.columns["root_value"] == pytest.approx(expected.columns["root_value"])
    assert isinstance(policy._eval_planner.dynamics, WorldModelDynamics)


def test_answers_are_muzeros():
    told = make_policy().collect_mode.forward(FOUR, ready_env_id=[5, 3, 9, 0])

    assert list(told) == [5, 3, 9, 0]
    assert isinstance(told[9]["action"], int)
    assert sum(told[9]["visit_count_distributions"]) == 8
    assert told[9]["predicted_value"].shape == (1,)
    found = told[9]
    assert found["value"] is found["searched_value"]


def test_illegal_actions_are_not_taken():
    mask = [[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 1]]
    policy = make_policy()
    for _ in range(5):
        found = policy.collect_mode.forward(FOUR, mask)
        assert all(mask[env][found[env]["action"]] for env in found)


@every_policy
def test_who_else_is_asked_does_not_change_what_is_found(kind):
    together = make_policy(kind=kind).eval_mode.forward(FOUR, None)
    fresh = [make_policy(kind=kind) for _ in FOUR]
    alone = [p.eval_mode.forward(FOUR[i : i + 1], None, -1, [i]) for i, p in enumerate(fresh)]

    for env in range(4):
        assert together[env]["distributions"] == alone[env][env]["distributions"]


@every_policy
@pytest.mark.parametrize("field", ["learn", "collect", "eval"])
def test_each_mode_works_without_the_others(kind, field):
    policy = make_policy(kind=kind, enable_field=[field])
    act = {
        "learn": lambda: policy.learn_mode.forward(batch_of(make_policy(kind=kind))),
        "collect": lambda: policy.collect_mode.forward(FOUR),
        "eval": lambda: policy.eval_mode.forward(FOUR, None),
    }

    assert act[field]()
    for mode in (policy.collect_mode, policy.eval_mode):
        assert mode.reset([0]) is None


# --- learning -------------------------------------------------------------------------------------


@every_policy
@pytest.mark.parametrize("layers", [(), (PICTURES,)])
def test_a_learn_step_reports_the_documented_names_in_order(kind, layers):
    policy = make_policy(*layers, kind=kind)
    told = policy.learn_mode.forward([*batch_of(policy), 17])

    names = [*MONITORED, "collect_read_anew", *(STATISTICS if kind == "vectors" else ())]
    assert policy.learn_mode.monitor_vars() == names
    assert list(told) == [*names, "value_priority_orig"]
    assert all(type(told[name]) is float and math.isfinite(told[name]) for name in names)


def test_the_share_of_leaves_read_anew_is_told_of_one_iteration():
    world = {"kv_slide": "rebuild", "context_length": 4}
    policy = make_policy({"model": {"world_model_cfg": world}})
    data = batch_of(policy)

    def share():
        return policy.learn_mode.forward(data)["collect_read_anew"]

    policy.begin_iteration(0)
    assert share() == 0.0  # nothing was searched
    policy.collect_mode.forward(torch.ones(3, 4))
    first = share()  # leaves below the first are read anew
    policy.collect_mode.forward(torch.ones(3, 4))
    assert 0.0 < first < share() < 1.0  # all are where there is a history

    policy.begin_iteration(1)
    policy.collect_mode.forward(torch.ones(3, 4))
    assert share() == 1.0
    assert make_policy(enable_field=["learn"]).learn_mode.forward(data)["collect_read_anew"] == 0.0


@every_policy
def test_gradients_reach_every_parameter(kind):
    policy = make_policy(kind=kind)
    policy.learn_mode.forward(batch_of(policy))

    # places behind a window of learning belong to searches alone
    silent = [n for n, p in policy._model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_pictures_of_a_window_are_augmented_alike():
    policy = make_policy(
        PICTURES,
        {"model": {"frame_stack_num": 1, "observation_shape": (1, 8, 8)}},
        use_augmentation=True,
    )
    window = torch.rand(8, 1, 8, 8).expand(-1, 5, -1, -1)
    first, *later = (policy._observation(window, k) for k in range(5))

    assert not torch.equal(first, window[:, :1])
    assert all(torch.equal(first, seen) for seen in later)
    policy.learn_mode.forward(batch_of(policy))
    assert not torch.equal(policy._observation(window, 0), first)


def test_gradients_are_of_the_mean_and_are_clipped():
    policy = make_policy(grad_clip_value=1e9, learning_rate=0.0)
    data = batch_of(policy)
    told = policy.learn_mode.forward(data)
    batch, target = policy._on_device(data)
    parts = policy._losses(policy._unroll(batch), batch, target)
    policy._model.zero_grad()
    (batch.weights * policy._total(parts, batch)).mean().backward()
    norm = torch.stack([p.grad.norm() for p in policy._model.parameters()]).norm()

    assert told["total_grad_norm_before_clip_wm"] == pytest.approx(norm.item(), rel=1e-4)
    policy._cfg = policy.cfg.of({**SMALL, "grad_clip_value": 0.01})
    policy.learn_mode.forward(data)
    clipped = torch.stack([p.grad.norm() for p in policy._model.parameters()]).norm()
    assert clipped.item() == pytest.approx(0.01, rel=1e-3)


def test_the_optimiser_is_the_papers():
    policy = make_policy(weight_decay=0.1)
    decays = {group["weight_decay"] for group in policy._optimizer.param_groups}

    assert isinstance(policy._optimizer, torch.optim.AdamW)
    assert all(group["betas"] == (0.9, 0.95) for group in policy._optimizer.param_groups)
    assert decays == {0.0, 0.1}


@every_policy
def test_one_batch_can_be_learned_by_heart(kind):
    policy = make_policy(kind=kind, awoken=False, learning_rate=0.005)
    data = batch_of(policy, 4)
    told = [policy.learn_mode.forward(data) for _ in range(150)]

    for name in ("value_loss", "reward_loss"):
        assert told[-1][name] < 0.7 * told[0][name], name
    floor = told[-1]["target_policy_entropy"]
    assert told[-1]["orig_policy_loss"] - floor < 0.1 * (told[0]["orig_policy_loss"] - floor)
    assert told[-1]["obs_loss"] < 0.2 * max(one["obs_loss"] for one in told)


def test_the_learning_rate_may_fall_in_steps():
    policy = make_policy(lr_piecewise_constant_decay=True, threshold_training_steps_for_final_lr=4)
    data = batch_of(policy)
    rates = [policy.learn_mode.forward(data)["cur_lr_world_model"] for _ in range(6)]

    assert rates == pytest.approx([0.003, 0.003, 0.0003, 0.0003, 0.00003, 0.00003], rel=1e-6)


@pytest.mark.parametrize("norm", ["LN", "BN"])
def test_the_target_network_follows_a_little_with_each_step_and_so_do_its_statistics(norm):
    policy = make_policy({"model": {"norm_type": norm}}, target_update_theta=0.25)
    data = batch_of(policy)
    for _ in range(3):
        before = {k: v.clone() for k, v in policy._target_model.state_dict().items()}
        policy.learn_mode.forward(data)
        now, after = policy._model.state_dict(), policy._target_model.state_dict()
        assert any("running_mean" in name for name in now) == (norm == "BN")
        for name, theirs in after.items():
            if theirs.is_floating_point():
                expected = before[name] * 0.75 + now[name] * 0.25
                assert theirs == pytest.approx(expected, abs=1e-6), name
            else:
                assert torch.equal(theirs, now[name]), name
    assert not policy._target_model.training


def test_a_broken_target_is_refused_and_leaves_the_weights_alone():
    policy = make_policy()
    current, target = batch_of(policy)
    before = [p.clone() for p in policy._model.parameters()]
    target.target_value[3, 0] = np.nan
    with pytest.raises(DivergedError, match=f"{current.index[3]}"):
        policy.learn_mode.forward([current, target])
    target.target_value[3, 0] = 0.0
    target.target_policy[3, 0] = np.nan
    with pytest.raises(DivergedError, match="Learn step 0 gave a loss of nan"):
        policy.learn_mode.forward([current, target])

    assert all(map(torch.equal, before, policy._model.parameters()))


def test_losses_may_be_balanced_dormant_neurons_told_and_novelty_rewarded():
    model = {"harmony_balance": True, "analysis_dormant_ratio": True, "analysis_sim_norm": True}
    policy = make_policy({"model": model}, use_rnd_model=True)
    data = batch_of(policy)
    told = [policy.learn_mode.forward(data) for _ in range(2)][-1]

    assert list(told) == [*policy.learn_mode.monitor_vars(), "value_priority_orig"]
    for part in ("obs", "reward", "value", "policy"):
        assert told[f"harmony_{part}"] != 0.0
    assert told["analysis/l2_norm_after"] > 0.0
    assert {"analysis/dormant_ratio_encoder", "analysis/dormant_ratio_world_model"} <= set(told)
    assert told["rnd_loss"] > 0.0


def test_weights_and_gradients_can_be_looked_at(capsys):
    policy = make_policy()
    policy.monitor_weights_and_grads(policy._model)
    policy.learn_mode.forward(batch_of(policy))
    policy.monitor_weights_and_grads(policy._model)

    lines = capsys.readouterr().out.splitlines()
    names = [name for name, _ in policy._model.named_parameters()]
    assert [line.split(":")[0] for line in lines] == names * 2
    assert lines[0].endswith("gradient 0 +- 0")
    assert not lines[-1].endswith("gradient 0 +- 0")


# --- what is kept ---------------------------------------------------------------------------------


def test_a_state_of_learning_has_the_documented_keys():
    state = make_policy().learn_mode.state_dict()

    assert {"model", "target_model", "optimizer_world_model"} <= state.keys()
    assert "optimizer" not in state
    with pytest.raises(RuntimeError, match="optimizer_world_model"):
        make_policy().learn_mode.load_state_dict({k: state[k] for k in ("model", "target_model")})


@every_policy
def test_learning_goes_on_exactly_from_its_state(kind):
    one, other = make_policy(kind=kind), make_policy(kind=kind)
    data = batch_of(one)
    one.learn_mode.forward(data)
    other.learn_mode.load_state_dict(one.learn_mode.state_dict())

    ours, theirs = ([p.learn_mode.forward(data) for _ in range(2)] for p in (one, other))
    for told, expected in zip(ours, theirs, strict=True):
        assert all(np.array_equal(told[name], expected[name]) for name in told)
    ours, theirs = (p.collect_mode.forward(FOUR).columns for p in (one, other))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_dropout_is_for_learning_alone_and_resumes_as_it_would_have_gone_on():
    dropped = {"model": {"world_model_cfg": {"embed_pdrop": 0.3, "resid_pdrop": 0.3}}}
    policy = make_policy(dropped)
    data = batch_of(policy)
    rates = make_policy(dropped, learning_rate=0.0)
    first, second = (rates.learn_mode.forward(data)["value_loss"] for _ in range(2))
    assert first != second
    found = [policy.eval_mode.forward(FOUR, None).columns["predicted_value"] for _ in range(1)]
    policy.eval_mode.reset()
    found += [policy.eval_mode.forward(FOUR, None).columns["predicted_value"]]
    assert (found[0] == found[1]).all()

    policy.learn_mode.forward(data)
    state = policy.learn_mode.state_dict()
    expected = policy.learn_mode.forward(data)["value_loss"]
    other = make_policy(dropped)
    other.learn_mode.load_state_dict(state)
    assert other.learn_mode.forward(data)["value_loss"] == expected
