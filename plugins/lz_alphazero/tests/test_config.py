"""The settings: documented defaults, bounds, what does not go together, presets."""

import json
import re
import subprocess
import sys
from pathlib import Path

import lz_alphazero
import numpy as np
import pytest

from lzcore.base import ActionSpace, ConfigError, Spaces
from lzcore.base.structure import flat, nest, paths_of
from lzcore.engine.layers import Stack, find_preset, whole_class
from lzcore.envs.config import GameSettings
from lzcore.registry import get_registry

NAMES = ("alphazero", "gumbel_alphazero", "sampled_alphazero")
KINDS = {name: get_registry().resolve("policies", name) for name in NAMES}
PACKAGE = Path(lz_alphazero.__file__).parent
CONFIGS = {kind: policy.config_class for kind, policy in KINDS.items()}
PRESETS = ["board", "vector", "open_spiel__tic_tac_toe", "open_spiel__connect_four"]


def documented(kind):
    return json.loads((Path(__file__).parent / f"documented_{kind}.json").read_text())


DOCUMENTED = [
    (kind, path)
    for kind in CONFIGS
    for path in sorted(flat(documented(kind)).keys() - {"cfg_type"})
]


def message(kind, given):
    with pytest.raises(ConfigError) as caught:
        CONFIGS[kind].of(nest(given))
    return str(caught.value)


def test_documented_names_and_defaults_are_the_reference(kind):
    cfg = KINDS[kind].default_config()
    ours = {**cfg.to_dict(documented=True), "cfg_type": cfg.cfg_type}

    assert json.loads(json.dumps(ours)) == documented(kind)


@pytest.mark.parametrize(("name", "path"), DOCUMENTED)
def test_the_documented_default_may_be_given(name, path):
    given = nest({path: flat(documented(name))[path]})
    assert CONFIGS[name].of(given) == CONFIGS[name]()


def test_every_setting_says_in_a_sentence_what_it_is(kind):
    for path, field in paths_of(CONFIGS[kind]).items():
        assert re.fullmatch(r"[A-Z0-9].*\.", field.metadata["help"]), path


def test_reading_settings_loads_no_torch():
    ask = "import sys, lz_alphazero.config, lz_alphazero.plugin; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("alphazero", {"mcts.num_simulation": 5}, "mcts.num_simulations"),
        ("alphazero", {"mcts.num_simulations": 0}, "an integer, at least 1."),
        ("alphazero", {"mcts.gumbel_scale": 1.0}, "mcts.gumbel_scale"),
        ("alphazero", {"model.model_type": "gru"}, "one of conv, mlp."),
        ("alphazero", {"optim_type": "RMSprop"}, "one of SGD, Adam, AdamW."),
        ("alphazero", {"fixed_temperature_value": 0.0}, "a number, above 0."),
        ("alphazero", {"sampled_algo": True}, "the policy's name decides this"),
        ("gumbel_alphazero", {"gumbel_algo": False}, "the policy's name decides this"),
        ("gumbel_alphazero", {"mcts.gumbel_rng": 0.5}, "gumbel_rng is 0.5; expected a whole"),
        ("gumbel_alphazero", {"mcts.pb_c_init": 2.0}, "belongs to the search of alphazero"),
        ("gumbel_alphazero", {"target_temperature": 1.0}, "what is learned is the improved policy"),
        ("sampled_alphazero", {"mcts.continuous_action_space": True}, "games have numbered"),
        ("sampled_alphazero", {"model.action_space_size": 7}, "mcts.action_space_size 9; both"),
        ("sampled_alphazero", {"policy_loss_type": "mse"}, "one of cross_entropy, KL."),
    ],
)
def test_what_makes_no_sense_is_refused(name, given, line):
    assert line in message(name, given)


def test_the_sampled_policy_samples_whatever_its_documented_flags_say(make_policy):
    given = {"sampled_algo": True, "type": "sampled_alphazero"}
    for flags in ({}, given):
        assert make_policy("sampled_alphazero", flags)._tree_spec(4).num_sampled_actions == 2


@pytest.mark.parametrize(
    "path_and_value",
    [
        *(("battle_mode", f"{name}_mode") for name in ("self_play", "play_with_bot", "eval")),
        ("mcts.legal_actions", [0, 3]),
        ("other.replay_buffer.save_episode", True),
    ],
)
def test_names_that_the_environment_or_the_game_decides_are_taken_without_effect(
    kind, path_and_value
):
    path, value = path_and_value
    given = CONFIGS[kind].of(nest({path: value}))

    assert paths_of(CONFIGS[kind])[path].metadata["noop"]
    assert json.loads(json.dumps(flat(given.to_dict())[path])) == value


# --- presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings_of_their_policy(kind, name):
    spec = get_registry().spec("policies", kind)
    stack = Stack.of(whole_class(CONFIGS[kind], GameSettings), [find_preset(spec, name)])
    values = {k: v for k, v in stack.values().items() if k not in ("run", "env")}

    assert not stack.mistakes
    assert CONFIGS[kind].of(values) != CONFIGS[kind]()


def test_every_policy_has_the_same_presets(kind):
    folder = PACKAGE / "presets" / ("" if kind == "alphazero" else kind)
    assert sorted(p.stem for p in folder.glob("*.toml")) == sorted([*PRESETS, "default"])


# --- what a game decides --------------------------------------------------------------------------


def spaces(shape, *, players=2, actions=7, kind="discrete"):
    space = ActionSpace(kind, actions)
    image = "board" if len(shape) == 3 else "vector"
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(np.float32),
        kind=image,
        action=space,
        players=players,
    )


def test_shapes_come_from_the_game(kind):
    found = KINDS[kind].settings_for(spaces((3, 6, 7)), {})
    cfg = CONFIGS[kind].of(found)

    assert (cfg.model.model_type, cfg.model.observation_shape) == ("conv", (3, 6, 7))
    assert (cfg.num_actions, cfg.model.value_activation) == (7, "tanh")


def test_a_vector_gets_a_network_for_vectors_and_one_player_values_without_bounds(kind):
    cfg = CONFIGS[kind].of(KINDS[kind].settings_for(spaces((20,), players=1), {}))

    assert (cfg.model.model_type, cfg.model.observation_shape) == ("mlp", 20)
    assert cfg.model.value_activation == "none"


def test_a_network_that_cannot_read_the_game_is_refused(kind):
    with pytest.raises(ConfigError, match="which conv reads; leave model_type out"):
        KINDS[kind].settings_for(spaces((3, 6, 7)), {"model": {"model_type": "mlp"}})


@pytest.mark.parametrize(
    ("shape", "given", "reason"),
    [((3, 6, 7), {"kind": "continuous"}, "continuous numbers"), ((3, 4), {}, "shape (3, 4)")],
)
def test_spaces_that_no_game_has_are_refused(kind, shape, given, reason):
    assert reason in KINDS[kind].check_spaces(spaces(shape, **given))
    assert KINDS[kind].check_spaces(spaces((3, 6, 7))) is None
