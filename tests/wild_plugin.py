"""A distribution of somebody else's that brings one of everything, and breaks where FAULT says.

What is named "... broken" in a spec is broken from the start; the rest works until FAULT is set.
"""

import os
import time
from abc import abstractmethod

import attrs
import click
import numpy as np
from engine_fakes import Scripted, TinyConfig, TinyPolicy
from lz_ptree.tree import NumpyTree

from lzcore.base import Decisions, Observed, Settings
from lzcore.envs.opponents import RandomOpponent
from lzcore.registry import (
    BufferSpec,
    EnvSpec,
    OpponentSpec,
    PolicySpec,
    RunnerSpec,
    SearchTreeSpec,
    hookimpl,
)
from lzcore.replay.buffer import ReplayBuffer

LZ_API = 1
FAULT = os.environ.get("FAULT", "")


def policy(name, cls="WildPolicy", config="TinyConfig", **more):
    return PolicySpec(
        name=name,
        policy=f"wild_plugin:{cls}",
        config=f"{'engine_fakes' if config == 'TinyConfig' else 'wild_plugin'}:{config}",
        summary="Wild.",
        **more,
    )


@hookimpl
def lz_register_policies():
    return [
        policy("wild"),
        policy("no-config", cls="Alike", config="NoConfig"),
        policy("no-policy", cls="NoConfig"),
        policy("half-policy", cls="HalfPolicy"),
        policy("wrong-arguments", cls="WrongArguments"),
        policy("no-model", cls="ModelLess", config="ModelLessConfig"),
        policy("raises-at-once", cls="RaisesAtOnce"),
        policy("no-presets", cls="Alike", presets="wild_plugin_presets"),
        policy("torn-presets", cls="Alike", presets="wild_presets"),
        policy("half-buffer", cls="Alike", buffer="half-buffer"),
        policy("no-buffer", cls="Alike", buffer="nowhere"),
    ]


@hookimpl
def lz_register_buffers():
    return [
        BufferSpec(name="wild-buffer", buffer="wild_plugin:WildBuffer", summary="Forgets."),
        BufferSpec(name="half-buffer", buffer="wild_plugin:HalfBuffer", summary="Half of one."),
    ]


@hookimpl
def lz_register_trees():
    path = "wild_plugin:WildTree"
    return [SearchTreeSpec(name="wild-tree", tree=path, summary="Grows.", compiled=False)]


@hookimpl
def lz_register_envs():
    config, path = "wild_plugin:WildSettings", "wild_plugin:WildEnv"
    return [EnvSpec(name="wild", env=path, config=config, prefix="wild", summary="Outdoors.")]


@hookimpl
def lz_register_opponents():
    path = "wild_plugin:WildOpponent"
    return [OpponentSpec(name="wild-player", opponent=path, summary="Cheats.")]


@hookimpl
def lz_register_runners():
    return [RunnerSpec(name="wild-runner", runner="wild_plugin:wild_runner", summary="Runs off.")]


# --- a policy -------------------------------------------------------------------------------------


class NoConfig:
    """Neither settings nor a policy."""


class WildPolicy(TinyPolicy):
    def _init_collect(self):
        self._collected = 0

    def _forward_collect(self, data, ready_env_id, **given):
        made = super()._forward_collect(data, ready_env_id=ready_env_id, **given)
        self._collected += 1
        return self._spoilt(made, ready_env_id) if self._collected > 2 else made

    def _spoilt(self, made, ready_env_id):
        columns = dict(made.columns)
        action = columns["action"]
        if FAULT == "collect raises":
            return made["no such environment"]
        if FAULT == "collect exits":
            raise SystemExit(3)
        if FAULT == "collect none":
            return None
        if FAULT == "an environment left out":
            return {int(i): made[int(i)] for i in ready_env_id[1:]}
        if FAULT == "environments in another order":
            return Decisions(ready_env_id[::-1], columns)
        if FAULT == "no action":
            del columns["action"]
        columns["action"] = {
            "action out of range": action + 7,
            "action as float": action.astype(np.float32),
            "action not a number": np.full(action.shape, np.nan),
            "an action too many": np.append(action, 0),
        }.get(FAULT, action)
        return Decisions(ready_env_id, columns if FAULT != "no action" else {"odds": action})

    def make_batch(self, windows):
        if FAULT == "batch raises":
            raise ValueError("no target\nat all")
        return super().make_batch(windows)

    def _forward_learn(self, data):
        told = super()._forward_learn(data)
        priorities = told["value_priority_orig"]
        if FAULT == "learn raises":
            return helped(told)
        return {
            "learn none": None,
            "learn list": [told],
            "learn text": {**told, "mood": "good"},
            "learn array": {**told, "grad": np.zeros(3)},
            "no priorities": {"total_loss": 0.0},
            "few priorities": {**told, "value_priority_orig": priorities[:-1]},
            "negative priorities": {**told, "value_priority_orig": -priorities},
        }.get(FAULT, told)

    def _state_dict_learn(self):
        state = super()._state_dict_learn()
        return {**state, "extra": object()} if FAULT == "state" and self._steps > 30 else state


def helped(told):
    return told["loss"]


class Alike(WildPolicy):
    """A class that several specs name."""


class HalfPolicy(WildPolicy):
    @abstractmethod
    def _forward_eval(self, data): ...


class WrongArguments(WildPolicy):
    def __init__(self):
        super().__init__({})


class RaisesAtOnce(WildPolicy):
    @classmethod
    def settings_for(cls, spaces, given):
        raise AttributeError(f"spaces of {spaces.kind}")


@attrs.frozen(kw_only=True)
class ModelLessConfig(TinyConfig):
    pass


class ModelLess(WildPolicy):
    config_class = ModelLessConfig

    def _create_model(self, cfg, model):
        return super(TinyPolicy, self)._create_model(cfg, model)

    def default_model(self):
        return "Nowhere", ["wild_plugin"]


# --- other parts of a run -------------------------------------------------------------------------


class WildBuffer(ReplayBuffer):
    def push(self, segments):
        raise OverflowError("full")


class HalfBuffer:
    def __init__(self, columns, settings, key):
        self.num_transitions = 0

    def push(self, segments): ...


class WildTree(NumpyTree):
    def start(self, *given):
        if FAULT == "tree raises":
            raise IndexError("no branch")
        super().start(*given)

    def select(self):
        leaves = super().select()
        return leaves._replace(parent=leaves.parent[:-1]) if FAULT == "tree leaves" else leaves

    def result(self):
        found = super().result()
        if FAULT == "tree none":
            return None
        if FAULT == "tree shape":
            return found._replace(visit_count=found.visit_count[:, :-1])
        return found


@attrs.frozen(kw_only=True)
class WildSettings(Settings):
    pass


class WildEnv(Scripted):
    def __init__(self, make_id, num_envs, settings):
        super().__init__([5] * num_envs)
        self._steps = 0

    def step(self, env_id, action):
        self._steps += 1
        done = super().step(env_id, action)
        return self._spoilt(done) if self._steps > 3 else done

    def _spoilt(self, done):
        seen = done.observed
        if FAULT == "env raises":
            raise ConnectionError("no daylight")
        if FAULT == "env none":
            return None
        if FAULT == "env reward":
            return done._replace(reward=done.reward[:, None])
        changed = {
            "env frames": {"observation": seen.observation[:, :2]},
            "env mask": {"action_mask": None},
            "env no action": {"action_mask": np.zeros_like(seen.action_mask)},
        }.get(FAULT, {})
        return done._replace(observed=Observed(**{**seen._asdict(), **changed}))


class WildOpponent(RandomOpponent):
    def act(self, states, seeds):
        moves = super().act(states, seeds)
        if FAULT == "opponent raises":
            raise RuntimeError("I resign")
        return {"opponent illegal": moves + 9, "opponent floats": moves / 1.0}.get(FAULT, moves)


def wild_runner(plan):
    if FAULT == "runner raises":
        raise OSError("no machine is free")


# --- watching, commands ---------------------------------------------------------------------------


@hookimpl
def lz_learned(run, metrics):
    if FAULT == "observer modifies":
        metrics.clear()
        run.counters.env_step += 1000
        run.counters.learn_step = 0
    if FAULT == "observer prints":
        print("{ look at me")
    if FAULT == "observer slow":
        time.sleep(0.4)


@hookimpl
def lz_cli(group):
    @click.command("wild")
    @click.option("--how", default="")
    @click.pass_context
    def wild(ctx, how):
        """Do as it likes."""
        if how == "exit":
            ctx.exit(4)
        if how == "usage":
            raise click.UsageError("not like this")
        helped({})

    group.add_command(wild)
