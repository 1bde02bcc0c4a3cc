"""The documented interface, what is registered, and games of every kind through a whole run."""

import sys
import types

import numpy as np
import pytest
import torch
from lz_alphazero.policy import AlphaZeroPolicy

import lzcore
from lzcore.base import Positions, Spaces
from lzcore.base.env import ActionSpace
from lzcore.engine import settings as engine_settings
from lzcore.engine import starting
from lzcore.engine.collector import Collector
from lzcore.envs.games import GameEnv
from lzcore.registry import EnvSpec, Registry, get_registry, hookimpl
from lzcore.registry.discovery import installed_points
from lzcore.testing.noughts import Noughts


def test_the_number_of_actions_must_be_known():
    with pytest.raises(ValueError, match=r"model\.action_space_size is not set; give the number"):
        AlphaZeroPolicy({})


def test_attributes_are_read_by_name(make_policy):
    policy = make_policy()
    policy.collect_mode.set_attribute("mark", 3)

    assert policy.collect_mode.get_attribute("mark") == 3
    assert policy.collect_mode.get_attribute("batch_size") == 16
    with pytest.raises(NotImplementedError, match="nothing_of_the_kind"):
        policy.eval_mode.get_attribute("nothing_of_the_kind")


# --- what is registered ---------------------------------------------------------------------------


def test_the_registry_finds_the_policies_and_their_networks(kind):
    registry = get_registry()
    spec = registry.spec("policies", kind)
    policy = registry.resolve("policies", kind)

    assert registry.resolve("policies", kind, "config") is policy.config_class
    assert registry.resolve("models", spec.default_model).__name__ == "AlphaZeroModel"
    assert registry.resolve("models", "AlphaZeroModelMLP").__name__ == "AlphaZeroModelMLP"


# --- whole runs -----------------------------------------------------------------------------------


class NoughtsEnv(GameEnv):
    """Noughts and crosses as an environment kind."""

    def __init__(self, make_id, num_envs, settings):
        super().__init__(Noughts(), num_envs, settings, name=make_id)


@pytest.fixture
def noughts(monkeypatch):
    """A registry in which ids that begin with noughts/ are that game."""
    module = types.ModuleType("noughts_kind")
    module.LZ_API, module.NoughtsEnv = 1, NoughtsEnv
    kind = EnvSpec(
        name="noughts",
        env="noughts_kind:NoughtsEnv",
        config="lzcore.envs.config:GameSettings",
        summary="",
        prefix="noughts",
    )
    module.lz_register_envs = hookimpl(lambda: [kind])
    monkeypatch.setitem(sys.modules, "noughts_kind", module)
    found = types.SimpleNamespace(name="noughts_kind", version="1.0")
    point = types.SimpleNamespace(
        name="noughts_kind", value="noughts_kind", dist=found, load=lambda: module
    )
    made = Registry([*installed_points(), point], limit="")
    for where in (engine_settings, starting):
        monkeypatch.setattr(where, "get_registry", lambda: made)
    return made


RUN = {
    "n_episode": 4,
    "collector_env_num": 4,
    "batch_size": 16,
    "mcts.num_simulations": 8,
    "eval_episodes": 3,
    "model.num_channels": 8,
    "model.num_res_blocks": 1,
}


def test_a_run_trains_on_a_game_that_tells_its_rules(noughts, kind, tmp_path):
    out = tmp_path / "run"
    given = {**RUN, "max_env_steps": 60}
    outcome = lzcore.train(kind, "noughts/small-v0", out=out, quiet=True, **given)

    assert outcome.env_steps >= 60
    assert (out / "metrics.jsonl").read_text().count("policy_loss") >= 1


class FirstLegal:
    """Takes the first free cell."""

    def act(self, states, seeds):
        return Noughts().look(states).legal_actions.argmax(axis=1)


def test_against_a_bot_the_agent_alone_is_heard(make_policy, play):
    """One player moves, and his rewards are the results."""
    policy = make_policy("alphazero", {"model.value_activation": "none"})
    games = play(policy, 6, env=GameEnv(Noughts(), 3, opponent=FirstLegal()))

    for game in games:
        assert (game.columns["to_play"][: game.length] == -1).all()
        last = game.columns["reward"][game.length - 1]
        assert game.columns["outcome"][: game.length].tolist() == [last] * game.length


class Dice:
    """One player takes or rolls, some times; a roll brings 2 or 6, as chance will, taking 1.

    A state is (what the last move brought, whose turn, moves).
    """

    num_outcomes = 2
    spaces = Spaces(
        frame_shape=(2,),
        frame_dtype=np.dtype(np.float32),
        kind="vector",
        action=ActionSpace("discrete", 2),
        players=1,
    )

    def __init__(self, times):
        self.times = times

    def begin(self, seeds):
        return [(0.0, "player", 0)] * len(seeds)

    def play(self, states, action):
        return [
            self._after(*state, number)
            for state, number in zip(states, action.tolist(), strict=True)
        ]

    def _after(self, total, turn, moves, number):
        if turn == "chance":
            return (2.0 + 4.0 * number, "player", moves + 1)
        return (0.0, "chance", moves) if number else (1.0, "player", moves + 1)

    def look(self, states):
        gained, turns, moves = (np.array(part) for part in zip(*states, strict=True))
        at_chance, over = turns == "chance", moves == self.times
        return Positions(
            observation=np.stack([moves, at_chance], axis=1).astype(np.float32),
            legal_actions=(~at_chance & ~over)[:, None] & np.array([True, True]),
            to_play=np.full(len(states), -1, np.int8),
            terminal=over,
            value=np.zeros(len(states)),
            reward=gained,
            ply=moves.astype(np.int64),
            chance=at_chance[:, None] * np.array([0.5, 0.5]),
        )


DICE = {
    "model.model_type": "mlp",
    "model.observation_shape": 2,
    "model.action_space_size": 2,
    "model.value_activation": "none",
    "model.norm_type": "LN",
    "mcts.num_simulations": 64,
}


def test_one_player_plans_over_chance_for_the_sum_of_rewards(make_policy, kind):
    given = DICE if kind == "alphazero" else {**DICE, "mcts.action_space_size": 2}
    policy, env = make_policy(kind, given), GameEnv(Dice(1), 2)
    seen = env.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    found = policy.decide("eval", seen)

    assert [found[env_id]["action"] for env_id in (0, 1)] == [1, 1]
    if kind != "gumbel_alphazero":
        assert found.columns["searched_value"] == pytest.approx([3.5, 3.5], abs=0.4)


def test_one_player_learns_what_is_still_to_come(make_policy):
    policy, env = make_policy("alphazero", DICE), GameEnv(Dice(2), 2)
    columns = policy.columns(policy.cfg, env.spaces)
    games = Collector(env, policy, columns, 0).collect(0, 4, schedule={"temperature": 1.0})[1]

    for game in games:
        first, second = game.columns["reward"][:2]
        assert game.columns["outcome"][:2].tolist() == [first + second, second]


@pytest.mark.parametrize("works", [True, False])
def test_a_network_is_compiled_where_that_is_possible(
    make_policy, monkeypatch, ask, position, works
):
    def no_compiler(*_, **__):
        raise RuntimeError("no C++ compiler. Install one")

    fake = (lambda model, **_: lambda seen: model(seen)) if works else lambda *_, **__: no_compiler
    monkeypatch.setattr(torch, "compile", fake)
    policy = make_policy("alphazero", {"torch_compile": True})
    told = policy.facts()["torch_compile"]

    assert told == ("in force" if works else "not possible here (RuntimeError: no C++ compiler)")
    assert (policy._network is policy._model) == (not works)
    assert ask(policy, position("xx./oo./..."), mode="eval")[0]["action"] == 2
