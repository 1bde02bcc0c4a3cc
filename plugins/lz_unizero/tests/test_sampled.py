"""What Sampled UniZero promises beyond both of its parents: that they go together."""

from pathlib import Path

import lz_unizero
import numpy as np
import pytest
import torch
from lz_muzero.policy_sampled import SampledMuZeroPolicy, drift
from lz_unizero.config import UniZeroConfig
from lz_unizero.config_sampled import SampledUniZeroConfig
from lz_unizero.policy import UniZeroPolicy
from lz_unizero.policy_sampled import SampledUniZeroPolicy
from small_worlds import PICTURES, batch_of, make_policy, sampled_policies, spaces_for
from test_dynamics import Compared

from lzcore.base import ActionSpace, ConfigError, Spaces
from lzcore.engine.settings import resolve
from lzcore.registry import get_registry

FOUR = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)
ALL = {"model": {"num_of_sampled_actions": 3}}  # a slot for each of the numbered actions


def spaces(kind="vector", action=("continuous", 2), players=1):
    return Spaces(
        frame_shape={"vector": (4,), "image": (3, 64, 64), "board": (2, 6, 6)}[kind],
        frame_dtype=np.dtype(np.uint8 if kind == "image" else np.float32),
        kind=kind,
        action=ActionSpace(*action),
        players=players,
    )


def actions(policy, seen):
    """What each move of evaluation decides, after those before it."""
    return [policy.eval_mode.forward(now, None).columns["action"].tolist() for now in seen]


def moves(count=5, rows=3):
    return torch.randn(count, rows, 4, generator=torch.Generator().manual_seed(0))


# --- what is registered, set and stored -----------------------------------------------------------


def test_policy_settings_and_model_are_registered():
    registry = get_registry()

    assert registry.resolve("policies", "sampled_unizero") is SampledUniZeroPolicy
    assert registry.resolve("policies", "sampled_unizero", "config") is SampledUniZeroConfig
    assert registry.spec("policies", "sampled_unizero").default_model == "UniZeroModel"


def test_its_defaults_are_unizeros_and_those_of_drawn_actions():
    ours, world, drawn = (
        policy.default_config().to_dict()
        for policy in (SampledUniZeroPolicy, UniZeroPolicy, SampledMuZeroPolicy)
    )

    assert ours == {**ours, **world, "type": "sampled_unizero", "sampled_algo": True}
    added = ours.keys() - world.keys()
    assert added == drawn.keys() - world.keys() - {"lstm_horizon_len"}
    assert all(ours[name] == drawn[name] for name in added)


def test_spaces_of_vectors_are_said_in_both_tables():
    given = {"model": {"world_model_cfg": {"max_blocks": 6}}}
    model = SampledUniZeroPolicy.settings_for(spaces(), given)["model"]

    assert model["continuous_action_space"]
    assert model["action_space_size"] == 2
    assert model["world_model_cfg"] == {
        "action_space_size": 2,
        "continuous_action_space": True,
        "obs_type": "vector",
        "max_tokens": 12,
    }
    assert SampledUniZeroPolicy.check_spaces(spaces()) is None
    numbered = SampledUniZeroPolicy.settings_for(spaces(action=("discrete", 5)), {})["model"]
    assert not numbered["world_model_cfg"]["continuous_action_space"]


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ConfigError, match="cos_lr_scheduler and lr_piecewise_constant_decay both"):
        SampledUniZeroConfig.of({"cos_lr_scheduler": True, "lr_piecewise_constant_decay": True})
    with pytest.raises(ConfigError, match=r"num_unroll_steps is 11, and .*max_blocks 10"):
        SampledUniZeroConfig.of({"num_unroll_steps": 11})
    with pytest.raises(ConfigError, match="this one draws its actions"):
        SampledUniZeroConfig.of({"reuse_search": True})


@sampled_policies
def test_drawn_actions_are_stored_with_their_visits(kind):
    policy = make_policy(kind=kind)
    stored = {c.name: (c.shape, c.dtype) for c in policy.columns(policy.cfg, spaces_for(policy))}
    current, target = batch_of(policy)

    slots, numbers, dtype = {"numbers": (2, 1, np.int64), "vectors": (5, 3, np.float32)}[kind]
    assert stored["root_sampled_actions"] == ((slots, numbers), dtype)
    assert stored["child_visit"] == ((slots,), np.float32)
    assert ("action_mask" in stored) == (kind == "numbers")
    assert current.root_sampled_actions.shape == (8, 5, slots, numbers)
    assert current.action.shape == ((8, 4) if kind == "numbers" else (8, 4, 3))
    assert target.target_policy.shape == (8, 5, slots)


# --- deciding -------------------------------------------------------------------------------------


@sampled_policies
@pytest.mark.parametrize("layers", [(), (PICTURES,)], ids=["vector", "pictures"])
def test_searches_from_histories_equal_full_passes(kind, layers):
    """All of a search, its roots' histories of drawn actions included, to 1e-5."""
    policy = make_policy(*layers, kind=kind)
    planner = policy._eval_planner
    compared = Compared(planner.dynamics, policy._model)
    policy._eval_planner = planner._replace(dynamics=compared)
    seen = moves() if not layers else torch.rand(5, 3, 2, 8, 8)
    for now in seen:
        policy.eval_mode.forward(now, None)

    expanded = 8 if kind == "numbers" else 8 + 1 - 5  # all five slots of a root come in one call
    assert compared.calls >= 5 * expanded
    assert compared.whole.longest > 3
    assert {len(past.action) for past in policy._contexts["eval"]._pasts.values()} == {2}


def test_with_a_slot_for_every_action_it_decides_as_unizero():
    drawn, plain = (make_policy(ALL, kind="numbers"), make_policy())
    plain._model.load_state_dict(drawn._model.state_dict())

    for now in moves():
        ours, theirs = (policy.eval_mode.forward(now, None) for policy in (drawn, plain))
        for env in range(3):
            assert ours[env]["distributions"] == theirs[env]["distributions"]
            assert ours[env]["action"] == theirs[env]["action"]


def test_illegal_actions_are_not_drawn():
    mask = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 1]])
    policy = make_policy(kind="numbers")
    for _ in range(5):
        found = policy.collect_mode.forward(FOUR, mask)
        for env, told in found.items():
            drawn = told["root_sampled_actions"][:, 0]
            assert mask[env][drawn[drawn >= 0]].all()
            assert mask[env][told["action"]]


@pytest.mark.parametrize("given", [{}, {"collect_with_pure_policy": True}])
def test_vectors_lie_in_the_box_and_are_among_those_drawn(given):
    policy = make_policy(kind="vectors", **given)
    for now in moves():
        for told in policy.collect_mode.forward(now).values():
            assert (np.abs(told["root_sampled_actions"]) < 1.0).all()
            assert told["action"].tolist() in told["root_sampled_actions"].tolist()


def test_what_was_done_is_part_of_what_a_root_looks_back_on():
    policy, other = make_policy(kind="vectors"), make_policy(kind="vectors")
    for each, taken in ((policy, 0.9), (other, -0.9)):
        each.eval_mode.forward(moves()[0], None)
        each._contexts["eval"].follow(np.arange(3), np.full((3, 3), taken, np.float32))

    ours, theirs = (p.eval_mode.forward(moves()[1], None) for p in (policy, other))
    assert ours[0]["predicted_value"] != theirs[0]["predicted_value"]


# --- learning -------------------------------------------------------------------------------------


def test_first_spreads_and_means_lie_within_init_w():
    policy = make_policy(kind="vectors", awoken=False, init_w=0.5)
    for layer in (policy._model.policy.mu, policy._model.policy.log_sigma_layer):
        largest = max(p.abs().max().item() for p in layer.parameters())
        assert 0.25 < largest <= 0.5


def test_statistics_of_vectors_are_of_the_steps_that_are_real():
    policy = make_policy(kind="vectors")
    current, target = batch_of(policy)
    known = current.mask[:, :-1] > 0
    with torch.no_grad():
        out = policy._model(
            torch.from_numpy(current.obs).unflatten(1, (5, 4))[:, :-1],
            torch.from_numpy(current.action),
        )
    mu, sigma = out.policy_logits[torch.from_numpy(known)].chunk(2, dim=-1)
    told = policy.learn_mode.forward([current, target])

    drawn = current.root_sampled_actions[:, :-1][known]
    assert not known.all()
    for name, x in (("policy_mu", mu), ("policy_sigma", sigma), ("target_sampled_actions", drawn)):
        found = [told[f"{name}_{kind}"] for kind in ("max", "min", "mean")]
        assert found == pytest.approx([float(of) for of in (x.max(), x.min(), x.mean())], abs=1e-5)


def test_losses_of_drawn_actions_are_balanced_where_they_have_a_least():
    model = {"model": {"harmony_balance": True}}
    for kind, learned in (("numbers", True), ("vectors", False)):
        names = make_policy(model, kind=kind).learn_mode.monitor_vars()
        assert ("harmony_policy" in names) == learned
        assert "harmony_obs" in names


# --- presets --------------------------------------------------------------------------------------

SHOWN = {
    "CartPole-v1": ("CartPole-v1", spaces(action=("discrete", 2))),
    "Pendulum-v1": ("Pendulum-v1", spaces(action=("continuous", 1))),
    "continuous": ("LunarLanderContinuous-v3", spaces()),
    "vector": ("FrozenLake-v1", spaces(action=("discrete", 40))),
    "image": ("ALE/Pong-v5", spaces("image", ("discrete", 40))),
    "board": ("MiniGrid-Empty-v0", spaces("board", ("discrete", 40))),
    "two_players": ("open_spiel/hex", spaces("board", ("discrete", 40), players=2)),
}


@pytest.mark.parametrize("preset", SHOWN)
def test_a_preset_settles_an_environment_and_its_prior_and_loss_agree(preset):
    env_id, shown = SHOWN[preset]
    spec = get_registry().spec("policies", "sampled_unizero")
    found = resolve(spec, env_id, spaces_of=lambda *_: shown)

    assert found.preset == preset
    model = found.policy.model
    assert model.action_dim == (shown.action.size if "cont" in shown.action.kind else None)
    assert found.policy.num_unroll_steps == model.world_model_cfg.window_steps
    assert found.run.max_env_steps > 0
    assert not drift(found.policy)


def test_there_is_a_preset_for_each_kind_of_environment_and_for_the_first_run():
    folder = Path(lz_unizero.__file__).parent / "presets" / "sampled_unizero"

    assert {path.stem for path in folder.glob("*.toml")} == {*SHOWN, "default"}
    spec = get_registry().spec("policies", "sampled_unizero")
    found = resolve(spec, spaces_of=lambda *_: spaces(action=("discrete", 2)))
    assert (found.env_id, found.preset) == ("CartPole-v1", "CartPole-v1")


def test_unizero_alone_names_the_policy_that_takes_vectors():
    inner = {"continuous_action_space": True}
    with pytest.raises(ConfigError, match="sampled_unizero takes vectors"):
        UniZeroConfig.of({"model": {**inner, "world_model_cfg": inner}})
