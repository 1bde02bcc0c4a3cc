"""A policy on trial: made small, on an environment, with episodes that it played itself.

Shape letters: N environments, B sampled positions.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import attrs
import numpy as np
import torch

from lzcore.base.env import Array, Env, Observed, Spaces
from lzcore.base.errors import ConfigError
from lzcore.base.policy import Decisions, Policy
from lzcore.base.replay import Buffer, Column, Segment
from lzcore.base.seeding import derive_seed, stream_key
from lzcore.base.structure import flat, nest, paths_of
from lzcore.engine.assemble import drawing_from, make_policy
from lzcore.engine.collector import Collector
from lzcore.engine.plain import from_plain, to_plain
from lzcore.engine.play import Latest
from lzcore.engine.settings import Resolved, resolve, spaces_by_building
from lzcore.testing.subject import Subject

NUM_ENVS = 4
EPISODES = 6  # of a collection that batches are drawn from
_SEED = 7
_PLAYED = 3  # steps of the episodes that go on

# settings by the last part of their names -> the most that a quick check can wait for
SMALL = {
    "num_simulations": 6,
    "eval_num_simulations": 6,
    "batch_size": 6,
    "collector_env_num": NUM_ENVS,
    "num_res_blocks": 1,
    "num_channels": 8,
    "latent_state_dim": 16,
    "embed_dim": 32,
    "num_layers": 1,
    "num_heads": 4,
    "support_scale": 20,
    "lstm_hidden_size": 16,
    "proj_hid": 16,
    "proj_out": 16,
    "pred_hid": 16,
    "pred_out": 16,
    "reanalyze_batch_size": 4,
    "max_episode_steps": 20,
    "max_moves": 20,
}
_UNLIMITED = ("env.max_episode_steps", "env.max_moves")  # None: an episode may take any time


class Trial:
    """Makes policies of one subject, and all that they need to decide and to learn."""

    def __init__(self, subject: Subject) -> None:
        """Prepare; nothing is made yet."""
        self.subject = subject
        self.registry = subject.registry

    @classmethod
    def of(cls, subject: Subject) -> "Trial":
        """Return the trial of a subject, the same one for all of its checks."""
        if cls.__name__ not in subject.memory:
            subject.memory[cls.__name__] = cls(subject)
        return subject.memory[cls.__name__]  # type: ignore[no-any-return]

    # --- settings -------------------------------------------------------------------------------

    @cached_property
    def resolved(self) -> Resolved:
        """Every setting, as small as the policy lets them be made."""
        given = {"device": "cpu", "run.seed": _SEED, **flat(nest(self.subject.settings))}
        full = self._resolve(given)
        smaller = {k: v for k, v in _smaller(full) if k not in given}
        try:
            return self._resolve({**given, **smaller})
        except ConfigError:  # some do not go together: make small what can be
            for name, value in smaller.items():
                if self._fits({**given, name: value}):
                    given[name] = value
            return self._resolve(given)

    def _resolve(self, given: Mapping[str, Any]) -> Resolved:
        spec: Any = self.subject.spec
        return resolve(
            spec, self.subject.env, named=given, spaces_of=self._look, registry=self.registry
        )

    def _fits(self, given: Mapping[str, Any]) -> bool:
        try:
            self._resolve(given)
        except ConfigError:
            return False
        return True

    @cached_property
    def _look(self) -> Any:
        """Return spaces of environments, each built once."""
        known: dict[Any, Spaces] = {}

        def look(env_id: str, settings: Any) -> Spaces:
            key = env_id, repr(settings)
            if key not in known:
                known[key] = spaces_by_building(self.registry.env_for(env_id), env_id, settings)
            return known[key]

        return look

    # --- parts ----------------------------------------------------------------------------------

    def make(self, *, seed: int = _SEED, **given: Any) -> Policy:
        """Make the policy; its weights are a function of the seed. `given` goes to its class."""
        resolved = self.resolved
        run = attrs.evolve(resolved.run, seed=seed)
        policy = make_policy(attrs.evolve(resolved, run=run), self.registry, **given)
        _stir(policy, seed)
        return policy

    def env(self, num_envs: int = NUM_ENVS) -> Env:
        """Make a batch of the environment."""
        resolved = self.resolved
        env_class = self.registry.resolve("envs", resolved.env_kind.name)
        return env_class(resolved.env_id, num_envs, resolved.env)  # type: ignore[no-any-return]

    @cached_property
    def spaces(self) -> Spaces:
        """Of the environment."""
        return self._look(self.resolved.env_id, self.resolved.env)  # type: ignore[no-any-return]

    def columns(self, policy: Policy) -> tuple[Column, ...]:
        """Return what the policy stores."""
        return policy.columns(policy.cfg, self.spaces)

    @property
    def is_continuous(self) -> bool:
        """Whether actions are vectors."""
        return self.spaces.action.kind == "continuous"

    # --- deciding -------------------------------------------------------------------------------

    def begun(self, policy: Policy) -> tuple[Env, Latest]:
        """Begin an episode in each of NUM_ENVS environments."""
        env, every = self.env(), np.arange(NUM_ENVS)
        latest = Latest(env, policy.frame_stack)
        latest.begin(env.reset(every, derive_seed(stream_key(_SEED, "trial"), every)))
        return env, latest

    def seen(self, policy: Policy, env_id: Sequence[int] | None = None) -> Observed:
        """Return first observations, of these environments in this order."""
        wanted = np.arange(NUM_ENVS) if env_id is None else np.array(env_id)
        env, latest = self.begun(policy)
        env.close()
        return latest.observed(wanted)

    def decide(self, policy: Policy, mode: str, seen: Observed) -> Decisions:
        """Decide as a run would in its first iteration."""
        schedule = policy.schedule(0, 0) if mode == "collect" else {}
        return policy.decide(mode, seen, **schedule)

    # --- collecting and learning ----------------------------------------------------------------

    def collect(
        self, policy: Policy, iteration: int = 0, episodes: int = NUM_ENVS, mode: str = "collect"
    ) -> list[Segment]:
        """Play whole episodes as iteration `iteration` of a run would."""
        env = self.env()
        collector = Collector(env, policy, self.columns(policy), _SEED)
        schedule = policy.schedule(0, 0) if mode == "collect" else None
        with drawing_from(stream_key(_SEED + iteration, "trial")):
            segments = collector.collect(iteration, episodes, mode, schedule=schedule)[1]
        env.close()
        return segments

    def iterate(self, policy: Policy, data: Any) -> Observed:
        """Collect a few steps and learn from a batch; return what the episodes show, which go on.

        What a checkpoint would hold then is not only what a new policy has.
        """
        env, latest = self.begun(policy)
        policy.begin_iteration(0)
        playing = np.arange(NUM_ENVS)
        for _ in range(_PLAYED):
            found = self.decide(policy, "collect", latest.observed(playing))
            stepped = env.step(playing, found.columns["action"])
            latest.follow(stepped.observed)
            over = stepped.terminated | stepped.truncated
            policy.collect_mode.reset(playing[over].tolist())
            playing = playing[~over]
            if not len(playing):
                break
        env.close()
        self.learn(policy, data, steps=2)
        policy.after_learning()
        return latest.observed(playing)

    @cached_property
    def segments(self) -> list[Segment]:
        """Episodes that a fresh policy played."""
        return self.collect(self.make(), episodes=EPISODES)

    def buffer(self, policy: Policy) -> Buffer:
        """Return the buffer that a run would have, which holds `segments`."""
        spec: Any = self.subject.spec
        name = self.resolved.run.buffer or spec.buffer
        buffer_class = self.registry.resolve("buffers", name)
        buffer: Buffer = buffer_class(self.columns(policy), policy.replay_settings(), 1)
        buffer.push(self.segments)
        return buffer

    def batch_size(self, policy: Policy) -> int:
        """B: how many positions the policy asks for, if a few episodes have so many."""
        return min(policy.loop_settings().batch_size, 6)

    def batch(self, policy: Policy) -> Any:
        """Return a batch for the policy, always of the same positions."""
        return self.buffer(policy).sample(self.batch_size(policy), policy)

    def learn(self, policy: Policy, data: Any, steps: int = 1) -> list[Mapping[str, Any]]:
        """Make learn steps on one batch; torch draws the same numbers in each call."""
        with drawing_from(stream_key(_SEED, "learn")):
            return [policy.learn_mode.forward(data) for _ in range(steps)]


def _stir(policy: Policy, seed: int) -> None:
    """Move all weights a little: heads that begin with zeros say the same of everything."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy._model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def _smaller(full: Resolved) -> Iterable[tuple[str, int]]:
    """Yield the settings that SMALL makes smaller, by dotted name."""
    values = flat(full.values())
    for path in [*paths_of(type(full.policy)), *_UNLIMITED]:
        most, value = SMALL.get(path.rpartition(".")[2]), values.get(path)
        endless = path in _UNLIMITED and path in values and value is None
        if most is not None and (endless or (type(value) is int and value > most)):
            yield path, most


def same(one: Decisions, other: Decisions) -> str:
    """Return the column in which two decisions differ in a bit; "" if none."""
    if one.columns.keys() != other.columns.keys():
        return "names of columns"
    for name, values in one.columns.items():
        if not np.array_equal(values, other.columns[name], equal_nan=_may_be_nan(values)):
            return name
    return ""


def same_segments(ones: Sequence[Segment], others: Sequence[Segment]) -> str:
    """Return the column in which collected episodes differ; "" if none."""
    if [s.length for s in ones] != [s.length for s in others]:
        return "lengths of episodes"
    for one, other in zip(ones, others, strict=True):
        for name, values in one.columns.items():
            theirs = other.columns[name]
            if not np.array_equal(values, theirs, equal_nan=_may_be_nan(values)):
                return name
    return ""


def _may_be_nan(values: Array) -> bool:
    return values.dtype.kind == "f"


def saved(state: Any) -> Any:
    """Return a state as it comes back from a checkpoint: plain data, written and read."""
    file = io.BytesIO()
    torch.save(to_plain(state), file)
    file.seek(0)
    return from_plain(torch.load(file, weights_only=True))


@cache
def odd_spaces() -> tuple[Spaces, ...]:
    """Return spaces of every kind, few of which any one policy can act in."""
    from lzcore.base.env import ActionSpace

    kinds: tuple[tuple[Any, tuple[int, ...], Any], ...] = (
        ("vector", (5,), np.float32),
        ("image", (3, 16, 16), np.uint8),
        ("board", (2, 3, 3), np.float32),
    )
    actions: tuple[ActionSpace, ...] = (ActionSpace("discrete", 3), ActionSpace("continuous", 2))
    return tuple(
        Spaces(
            frame_shape=shape,
            frame_dtype=np.dtype(dtype),
            kind=kind,
            action=action,
            players=players,
        )
        for kind, shape, dtype in kinds
        for action in actions
        for players in (1, 2)
    )
