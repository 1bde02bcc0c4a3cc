"""The documented interface of a policy: construction, modes, attributes, spaces, registration."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from lz_muzero.policy import MuZeroPolicy
from torch import nn

from lzcore.base import ActionSpace, ConfigError, Spaces
from lzcore.registry import get_registry


def spaces(shape=(4,), *, kind="vector", actions=3, action_kind="discrete", players=1):
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(np.float32),
        kind=kind,
        action=ActionSpace(action_kind, actions),
        players=players,
    )


# --- construction ---------------------------------------------------------------------------------


def test_the_number_of_actions_must_be_known():
    with pytest.raises(ConfigError, match=r"model\.action_space_size is not set; give the number"):
        MuZeroPolicy({"model": {"model_type": "mlp", "observation_shape": 4}})


@pytest.mark.parametrize(
    ("model_type", "model"),
    [
        ("conv", ("MuZeroModel", ["lz_muzero.model"])),
        ("mlp", ("MuZeroModelMLP", ["lz_muzero.model_mlp"])),
    ],
)
def test_the_default_model_follows_from_the_kind_of_observation(
    make_policy, pictures, model_type, model
):
    policy = make_policy(pictures if model_type == "conv" else {})

    assert policy.default_model() == model


def test_a_variant_only_names_its_models(make_policy):
    class Variant(MuZeroPolicy):
        models: ClassVar = {"mlp": ("MuZeroModelMLP", "other.place")}

    policy = Variant(make_policy().cfg, model=make_policy()._model)

    assert policy.default_model() == ("MuZeroModelMLP", ["other.place"])


def test_an_unknown_kind_of_model_is_refused(make_policy):
    with pytest.raises(ValueError, match="model_type"):
        make_policy({"model": {"model_type": "transformer"}})


def test_the_documented_defaults_are_those_of_the_config_class():
    found = MuZeroPolicy.default_config()

    assert isinstance(found, MuZeroPolicy.config_class)
    assert found.cfg_type == "MuZeroPolicyDict"
    assert found.num_simulations == 50


# --- modes ----------------------------------------------------------------------------------------


def test_a_policy_tells_what_it_is(make_policy):
    told = make_policy(enable_field=["collect"]).learn_mode.info()

    assert told.startswith("MuZeroPolicy\n")
    assert "modes: collect" in told
    assert "parameters" in told


def test_attributes_are_found_by_their_plain_names(make_policy):
    policy = make_policy(n_episode=5)
    mode = policy.collect_mode

    assert mode.get_attribute("batch_size") == 8
    assert mode.get_attribute("n_episode") == 5
    assert mode.get_attribute("collect_temperature") == 1.0
    mode.set_attribute("collect_temperature", 0.5)
    assert mode.get_attribute("collect_temperature") == 0.5
    with pytest.raises(NotImplementedError, match="colour"):
        mode.get_attribute("colour")


def test_transitions_and_samples_pass_through_as_they_are(make_policy):
    mode, data = make_policy().collect_mode, object()

    assert mode.process_transition({}, {}, None) is None
    assert mode.get_train_sample(data) is data


# --- what the environment decides -----------------------------------------------------------------


def test_vectors_get_fully_connected_layers():
    found = MuZeroPolicy.settings_for(spaces((6,), actions=5), {})

    assert found == {
        "env_type": "not_board_games",
        "model": {"model_type": "mlp", "observation_shape": 6, "action_space_size": 5},
    }


def test_pictures_get_convolutions_over_their_stacked_channels():
    given = {"model": {"frame_stack_num": 4}}
    found = MuZeroPolicy.settings_for(spaces((3, 64, 96), kind="image"), given)

    assert found["model"] == {
        "model_type": "conv",
        "observation_shape": (12, 64, 96),
        "image_channel": 3,
        "action_space_size": 3,
    }


@pytest.mark.parametrize(("channels", "gray"), [(1, True), (3, False)])
def test_pictures_tell_whether_they_are_grey(channels, gray):
    found = MuZeroPolicy.settings_for(spaces((channels, 8, 8), kind="image"), {})

    assert found["gray_scale"] is gray


@pytest.mark.parametrize("shape", [(3, 6, 7), (4,)])  # float32, as of a board and of a vector
def test_only_pictures_in_bytes_are_kept_as_jpeg(make_policy, pictures, shape):
    policy = make_policy(pictures, transform2string=True)

    with pytest.raises(ConfigError, match=r"shows float32 \(.*\); set transform2string to false"):
        policy.columns(policy.cfg, spaces(shape))


def test_a_board_of_planes_gets_convolutions_too():
    found = MuZeroPolicy.settings_for(spaces((3, 6, 7), kind="board"), {})

    assert found["model"]["model_type"] == "conv"


@pytest.mark.parametrize(
    ("model_type", "shape", "remedy"),
    [("conv", (4,), "Use mlp"), ("mlp", (1, 64, 64), "Use conv")],
)
def test_a_model_that_cannot_read_the_observations_is_refused(model_type, shape, remedy):
    with pytest.raises(ConfigError, match=rf"{model_type}.* shows observations.*{remedy}"):
        MuZeroPolicy.settings_for(spaces(shape), {"model": {"model_type": model_type}})


def test_what_muzero_cannot_play_gets_one_line():
    assert MuZeroPolicy.check_spaces(spaces()) is None
    continuous = MuZeroPolicy.check_spaces(spaces(actions=2, action_kind="continuous"))
    assert "2 continuous numbers" in continuous
    assert "such as sampled_muzero" in continuous
    assert "\n" not in continuous
    assert MuZeroPolicy.check_spaces(spaces(players=2)) is None


def test_the_columns_are_those_that_targets_are_made_of(make_policy):
    policy = make_policy()
    found = {c.name: (c.shape, c.dtype) for c in policy.columns(policy.cfg, spaces())}

    assert found == {
        "observation": ((4,), np.float32),
        "action": ((), np.int64),
        "reward": ((), np.float32),
        "child_visit": ((3,), np.float32),
        "root_value": ((), np.float32),
        "predicted_value": ((), np.float32),
        "to_play": ((), np.int8),
        "action_mask": ((3,), np.bool_),
    }


def test_stacked_frames_are_what_decisions_expect(make_policy, pictures):
    policy = make_policy(pictures)

    assert policy.frame_stack == 2
    assert policy.replay_settings().frame_stack == 2
    found = policy.eval_mode.forward(torch.zeros(1, 2, 8, 8), None)
    assert len(found) == 1


# --- registration ---------------------------------------------------------------------------------


def test_policy_and_models_are_registered():
    registry = get_registry()

    assert registry.resolve("policies", "muzero") is MuZeroPolicy
    assert registry.spec("policies", "muzero").paper == "arXiv:1911.08265"
    for name in ("MuZeroModel", "MuZeroModelMLP"):
        assert issubclass(registry.resolve("models", name), nn.Module)
