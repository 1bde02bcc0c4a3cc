"""MuZero's settings: the documented defaults, bounds, other names, what comes later, presets."""

import json
import re
import subprocess
import sys
from pathlib import Path

import lz_muzero
import numpy as np
import pytest
from lz_muzero import shapes
from lz_muzero.config import MuZeroConfig, MuZeroModelSettings
from lz_muzero.config_variants import GumbelMuZeroConfig, StochasticMuZeroConfig

import lzcore
from lzcore.base import ActionSpace, ConfigError, Spaces
from lzcore.base.config import Only
from lzcore.base.structure import flat, paths_of
from lzcore.engine.layers import Stack, find_preset, whole_class
from lzcore.engine.settings import resolve
from lzcore.envs.config import GymSettings
from lzcore.registry import get_registry

VARIANTS = {"muzero": MuZeroConfig, "gumbel_muzero": GumbelMuZeroConfig}


def documented(name):
    return json.loads((Path(__file__).parent / f"documented_{name}.json").read_text())


DOCUMENTED = documented("muzero")
SETTINGS = paths_of(MuZeroConfig)


def message(given):
    with pytest.raises(ConfigError) as caught:
        MuZeroConfig.of(given)
    return str(caught.value)


def nested(path, value):
    *tables, name = path.split(".")
    return {tables[0]: {name: value}} if tables else {name: value}


# --- the documented interface ---------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_documented_names_and_defaults_are_the_reference(name):
    cfg = VARIANTS[name]()
    ours = {**cfg.to_dict(documented=True), "cfg_type": cfg.cfg_type}

    assert json.loads(json.dumps(ours)) == documented(name)


@pytest.mark.parametrize("path", sorted(flat(DOCUMENTED).keys() - {"cfg_type"}))
def test_the_documented_default_may_be_given(path):
    assert MuZeroConfig.of(nested(path, flat(DOCUMENTED)[path])) == MuZeroConfig()


def test_an_integer_stands_for_the_number_it_is():
    cfg = MuZeroConfig.of({"grad_clip_value": 5, "ssl_loss_weight": 0})
    assert (cfg.grad_clip_value, type(cfg.grad_clip_value)) == (5.0, float)


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_says_in_a_sentence_what_it_is(path):
    assert re.fullmatch(r"[A-Z0-9].*\.", SETTINGS[path].metadata["help"])


def test_every_setting_that_is_not_marked_as_without_effect_is_read_somewhere():
    checked_here = {"model.reward_support_size", "model.value_support_size"}
    files = [
        path
        for package in (lz_muzero, lzcore)
        for path in Path(package.__file__).parent.rglob("*.py")
        if path != Path(lz_muzero.__file__).parent / "config.py"
    ]
    text = "\n".join(path.read_text() for path in files)

    unread = {
        path
        for path, field in SETTINGS.items()
        if not field.metadata["noop"]
        and not (isinstance(field.validator, Only) and not field.validator.refused)
        and not re.search(rf"""[.'"]{path.rpartition(".")[2]}\b""", text)
    }
    assert unread - checked_here == set()


def test_reading_settings_loads_no_torch():
    ask = "import sys, lz_muzero.config, lz_muzero.presets; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- what is refused ------------------------------------------------------------------------------


def spelt(value):
    return '"none"' if value is None else json.dumps(value)


def test_no_setting_waits_for_a_later_version():
    guarded = [field.validator for field in SETTINGS.values() if isinstance(field.validator, Only)]
    assert guarded
    assert not [check for check in guarded if "version" in check.reason]


def test_flags_that_follow_from_the_name_cannot_contradict_it():
    assert message({"sampled_algo": True, "gumbel_algo": True}) == (
        "2 settings cannot be used:\n"
        "  gumbel_algo = true: the policy's name decides this; leave it at false.\n"
        "  sampled_algo = true: the policy's name decides this; leave it at false."
    )


def test_outcomes_of_chance_belong_to_another_policy_by_either_spelling():
    for spelling in ("ture", "true"):
        given = {f"use_{spelling}_chance_label_in_chance_encoder": True}
        assert message(given) == (
            "use_ture_chance_label_in_chance_encoder = true: stochastic_muzero alone thinks of "
            "chance; leave it at false."
        )
        assert StochasticMuZeroConfig.of(given).use_ture_chance_label_in_chance_encoder


def test_vectors_as_actions_belong_to_another_policy():
    assert message({"model": {"continuous_action_space": True}}) == (
        "model.continuous_action_space = true: muzero chooses among numbered actions, "
        "sampled_muzero takes vectors; leave it at false."
    )


# --- types, choices and bounds --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "wrong", "expected"),
    [
        ("model.model_type", "gru", "one of conv, mlp, conv_context, mlp_context."),
        ("model.observation_shape", "4", "an integer or a list of integers, at least 1."),
        ("model.observation_shape", [4, 0, 64], "an integer or a list of integers, at least 1."),
        ("model.support_scale", 0, "an integer, at least 1."),
        ("model.norm_type", "IN", "one of BN, LN, GN."),
        ("model.discrete_action_encoding_type", "two_hot", "one of one_hot, not_one_hot."),
        ("model.downsample", "yes", 'true or false, or "none".'),
        ("eps.type", "cosine", "one of linear, exp."),
        ("eps.start", 1.5, "a number, at least 0 and at most 1."),
        ("eps.decay", 0, "an integer, at least 1."),
        ("optim_type", "RMSprop", "one of SGD, Adam, AdamW."),
        ("num_simulations", 0, "an integer, at least 1."),
        ("num_simulations", True, "an integer, at least 1."),
        ("batch_size", 2.0, "an integer, at least 1; write 2."),
        ("batch_size", "256", "an integer, at least 1."),
        ("discount_factor", 0, "a number, above 0 and at most 1."),
        ("discount_factor", 1.01, "a number, above 0 and at most 1."),
        ("root_noise_weight", -0.1, "a number, at least 0 and at most 1."),
        ("root_dirichlet_alpha", 0.0, "a number, above 0."),
        ("learning_rate", -1.0, "a number, at least 0."),
        ("grad_clip_value", 0, "a number, above 0."),
        ("fixed_temperature_value", 0.0, "a number, above 0."),
        ("priority_prob_alpha", -0.5, "a number, at least 0."),
        ("update_per_collect", 0, 'an integer, at least 1, or "none".'),
        ("replay_ratio", 0.0, "a number, above 0."),
        ("random_collect_episode_num", -1, "an integer, at least 0."),
        ("augmentation", ["flip"], "a list of shift, intensity."),
        ("reanalyze_ratio", 1.5, "a number, at least 0 and at most 1."),
        ("buffer_reanalyze_freq", 0, "a number, above 0."),
        ("reanalyze_batch_size", 0, "an integer, at least 1."),
        ("reanalyze_partition", 0.0, "a number, above 0 and at most 1."),
        ("reanalyze_start_after_transitions", -1, "an integer, at least 0."),
        ("latent_grad_scale", 2.0, "a number, at least 0 and at most 1."),
        ("sample_type", "game", "one of transition, episode."),
        ("tie_break", "first", "one of lowest, prior, random."),
        ("max_depth", 0, 'an integer, at least 1, or "none".'),
        ("cuda", "false", "true or false."),
        ("mcts_ctree", 1, "true or false."),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_was_expected(path, wrong, expected):
    line = message(nested(path, wrong))
    assert line.startswith(f"{path} = ")
    assert line.endswith(f": expected {expected}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("q_transform", "none"),
        ("q_transform", "tree_min_max"),
        ("fpu", "mctx"),
        ("tree", "lz_ptree"),
    ],
)
def test_search_options_are_those_of_the_tree(path, value):
    assert MuZeroConfig.of({path: value})[path] == value


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"game_segment_length": 4},
            "game_segment_length is 4, less than num_unroll_steps 5; "
            "a segment holds at least one unroll.",
        ),
        (
            {"use_augmentation": True, "model": {"model_type": "mlp"}},
            "use_augmentation changes pictures, and model.model_type mlp sees vectors; "
            "set use_augmentation to false.",
        ),
        (
            {"transform2string": True, "model": {"model_type": "mlp"}},
            "transform2string keeps pictures as JPEG, and model.model_type mlp sees vectors; "
            "set transform2string to false.",
        ),
        (
            {"ssl_loss_weight": 2},
            "ssl_loss_weight is 2.0, but model.self_supervised_learning_loss is false, so there "
            "is no such loss; set it to true, or the weight to 0.",
        ),
        (
            {"use_priority": True, "sample_type": "episode"},
            "use_priority draws transitions, and sample_type is episode; "
            "set sample_type to transition, or use_priority to false.",
        ),
        (
            {"reuse_search": True, "reanalyze_ratio": 0.5},
            "reuse_search reanalyzes replay now and then, and reanalyze_ratio is 0.5, a share of "
            "every batch; set one of them back.",
        ),
        (
            {"model": {"support_scale": 10, "value_support_size": 601}},
            "model: value_support_size is 601, but support_scale 10 makes 21 bins; "
            "leave value_support_size out.",
        ),
        (
            {"use_augmentation": True, "model": {"model_type": "mlp_context"}},
            "use_augmentation changes pictures, and model.model_type mlp_context sees vectors; "
            "set use_augmentation to false.",
        ),
        (
            {"model": {"context_length_init": 3}},
            "model: context_length_init is 3, and model_type conv has no context; leave it out.",
        ),
        (
            {"model": {"proj_out": 128}},
            "model: pred_out is 1024 and proj_out 128; the two are compared, "
            "so give them one width.",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, line):
    assert message(given) == line


def test_a_support_of_the_size_that_its_scale_makes_is_accepted():
    model = MuZeroModelSettings.of({"support_scale": 10, "value_support_size": 21})
    assert model.value_support_size == 21


# --- other names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({"piecewise_decay_lr_scheduler": False}, "lr_piecewise_constant_decay", False),
        ({"calculate_dormant_ratio": True}, "cal_dormant_ratio", True),
        ({"policy_entropy_weight": 0.1}, "policy_entropy_loss_weight", 0.1),
        ({"model": {"reward_support_range": [-50.0, 51.0, 1.0]}}, "model.support_scale", 50),
        ({"model": {"value_support_range": (-10, 11, 1)}}, "model.support_scale", 10),
    ],
)
def test_a_later_name_sets_the_documented_one(given, path, value):
    assert flat(MuZeroConfig.of(given).to_dict())[path] == value


@pytest.mark.parametrize("wrong", [[-5, 7, 1], [-5, 6, 2], [-5, 6], 5, "5", ["a", "b", 1]])
def test_a_support_range_must_be_whole_and_symmetric(wrong):
    with pytest.raises(ConfigError, match=r"reward_support_range = .*: expected \[-S, S \+ 1, 1\]"):
        MuZeroModelSettings.of({"reward_support_range": wrong})


def test_value_and_reward_share_one_support():
    ranges = {"reward_support_range": [-5, 6, 1], "value_support_range": [-7, 8, 1]}
    with pytest.raises(
        ConfigError, match=r"means support_scale = 7, but reward_support_range says 5"
    ):
        MuZeroModelSettings.of(ranges)


# --- presets --------------------------------------------------------------------------------------

WHOLE = whole_class(MuZeroConfig, GymSettings)
PRESETS = sorted(p.stem for p in (Path(lz_muzero.__file__).parent / "presets").glob("*.toml"))
SHOWN = {
    "CartPole-v1": ("CartPole-v1", (4,), np.float32, "vector"),
    "Small2048-v0": ("lz_muzero.games:Small2048-v0", (99,), np.float32, "vector"),
    "vector": ("FrozenLake-v1", (16,), np.float32, "vector"),
    "image": ("ALE/Pong-v5", (1, 64, 64), np.uint8, "image"),
    "board": ("MiniGrid-Empty-v0", (3, 7, 7), np.float32, "board"),
}

TWO_PLAYERS = {"two_players", "open_spiel__tic_tac_toe", "open_spiel__connect_four"}


def settled(name, **given):
    env_id, shape, dtype, kind = SHOWN[name]
    spaces = Spaces(
        frame_shape=shape, frame_dtype=np.dtype(dtype), kind=kind, action=ActionSpace("discrete", 3)
    )
    spec = get_registry().spec("policies", "muzero")
    return resolve(spec, env_id, spaces_of=lambda *_: spaces, **given)


def test_there_is_a_preset_for_each_kind_of_observations_and_for_the_first_run():
    assert {*SHOWN, *TWO_PLAYERS, "default"} == set(PRESETS)


@pytest.mark.parametrize("name", SHOWN)
def test_a_preset_settles_an_environment_that_it_is_for(name):
    found = settled(name)

    assert found.preset == name
    assert found.policy.model.action_space_size == 3
    assert found.policy.model.norm_type == "LN"
    assert found.policy.learning_rate < 0.2
    assert found.run.max_env_steps > 0


@pytest.mark.parametrize("name", SHOWN)
def test_a_preset_is_free_of_mistakes_whatever_the_spaces(name):
    layer = find_preset(get_registry().spec("policies", "muzero"), name)
    assert layer.name == f"preset {name}"
    Stack.of(WHOLE, [layer]).check()


def test_the_first_run_is_cartpole_and_ends_when_it_is_solved():
    spec = get_registry().spec("policies", "muzero")
    _, shape, dtype, kind = SHOWN["CartPole-v1"]
    spaces = Spaces(
        frame_shape=shape, frame_dtype=np.dtype(dtype), kind=kind, action=ActionSpace("discrete", 2)
    )

    found = resolve(spec, spaces_of=lambda *_: spaces)

    assert (found.env_id, found.preset) == ("CartPole-v1", "CartPole-v1")
    assert (found.run.stop_value, found.run.eval_episodes) == (475.0, 20)
    assert (found.policy.model.model_type, found.policy.model.observation_shape) == ("mlp", 4)


def test_a_context_is_chosen_on_top_of_a_preset():
    found = settled("CartPole-v1", overrides=["model.model_type=mlp_context"]).policy.model

    assert (found.model_type, found.observation_shape) == ("mlp_context", 4)
    assert found.latent_state_dim == settled("CartPole-v1").policy.model.latent_state_dim
    pictures = settled("image", overrides=["model.model_type=conv_context"]).policy.model
    assert pictures.observation_shape == (4, 64, 64)


def test_pictures_are_small_grey_and_stacked():
    found = settled("image")

    assert (found.env.image_size, found.env.gray) == (64, True)
    assert found.policy.model.observation_shape == (4, 64, 64)
    assert shapes.stacked_shape(found.policy.model) == (4, 64, 64)

    two = settled("image", overrides=["model.frame_stack_num=2"]).policy.model
    assert two.observation_shape == (2, 64, 64)


def test_a_shape_that_contradicts_the_environment_gets_one_line():
    with pytest.raises(ConfigError) as caught:
        settled("CartPole-v1", overrides=["model.observation_shape=5"])
    assert str(caught.value) == (
        "model.observation_shape = 5: CartPole-v1 makes it 4; leave it out. [-o]"
    )
