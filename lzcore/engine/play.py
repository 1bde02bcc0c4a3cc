"""Playing whole episodes in a batch of environments; what collecting and evaluating share.

What an environment shows, decides and gets in episode k is a function of (weights, seed, k) and of
nothing that happens in another environment: each plays a share of the episodes fixed beforehand.

Shape letters: N environments, n of them playing, F one frame's shape with first axis F0.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.env import Env, Observed, Stepped
from lzcore.base.errors import EnvError, LzError
from lzcore.base.policy import Decisions, Policy
from lzcore.base.seeding import derive_seed
from lzcore.engine.clock import Clock
from lzcore.envs.stack import FrameStack

Array: TypeAlias = npt.NDArray[Any]


def fair_shares(episodes: int, num_envs: int, first: int = 0) -> npt.NDArray[np.int64]:
    """Divide episodes over environments; shares differ by at most one.

    Args:
        episodes: to play in all.
        num_envs: N.
        first: the environment that is served first where they do not divide evenly. Moving it on
            by `episodes` from one round to the next lets each environment contribute.
    Returns:
        (N,) episodes of each environment.
    """
    share, rest = divmod(episodes, num_envs)
    order = (np.arange(num_envs) - first) % num_envs
    return share + (order < rest).astype(np.int64)


class Latest:
    """What N environments show now, frames stacked."""

    def __init__(self, env: Env, frame_stack: int) -> None:
        self._stack = FrameStack(env.num_envs, frame_stack, env.spaces)
        self._fields: dict[str, Array] = {}  # of Observed, except the frames -> (N, ...)
        self._num_envs = env.num_envs

    def begin(self, seen: Observed) -> None:
        """Take the first observation of new episodes."""
        self._stack.reset(seen.env_id, seen.observation)
        self._keep(seen)

    def follow(self, seen: Observed) -> None:
        """Take the next observation of running episodes."""
        self._stack.push(seen.env_id, seen.observation)
        self._keep(seen)

    def observed(self, env_id: Array) -> Observed:
        """Return what these environments show."""
        mask, chance = (self._fields.get(name) for name in ("action_mask", "chance"))
        return Observed(
            env_id,
            self._stack.observation(env_id),
            None if mask is None else mask[env_id],
            self._fields["to_play"][env_id],
            self._fields["timestep"][env_id],
            None if chance is None else chance[env_id],
        )

    def _keep(self, seen: Observed) -> None:
        for name in ("action_mask", "to_play", "timestep", "chance"):
            rows = getattr(seen, name)
            if rows is None:
                continue
            if name not in self._fields:
                self._fields[name] = np.zeros((self._num_envs, *rows.shape[1:]), rows.dtype)
            self._fields[name][seen.env_id] = rows


class Step(NamedTuple):
    """One decision in n environments and what came of it; row i belongs to seen.env_id[i]."""

    seen: Observed  # before the action, frames stacked
    frame: Array  # (n, *F) before the action, the newest frame alone
    decisions: Decisions
    stepped: Stepped
    number: Array  # (n,) int64: which of its environment's episodes this is, from 0
    ended: Array  # (n,) bool: this was the episode's last step


def play(
    env: Env,
    policy: Policy,
    mode: str,
    shares: Array,
    key: int,
    *counters: int,
    schedule: Mapping[str, float] | None = None,
    clock: Clock | None = None,
) -> Iterator[Step]:
    """Play each environment's share of episodes, all environments side by side.

    Args:
        env: of N environments.
        policy: decides; its state of an environment is reset at the end of each episode.
        mode: "collect", "random" or "eval", see `Policy.decide`.
        shares: (N,) episodes to play in each environment.
        key: of the stream of reset seeds; an episode's seed is (key, *counters, environment,
            number of the episode in that environment).
        counters: what tells this call from others under the same key.
        schedule: what `Policy.schedule` returned.
        clock: laps "env", "search" and "glue" are counted here; None: nowhere.
    Yields:
        One Step for each decision of the running environments, those in order of their ids. What
        it holds is good until the next one is asked for.
    """
    clock = clock or Clock()
    forget = policy.eval_mode.reset if mode == "eval" else policy.collect_mode.reset
    latest = Latest(env, policy.frame_stack)
    channels = env.spaces.frame_shape[0]  # F0
    number = np.zeros(env.num_envs, np.int64)
    active = np.flatnonzero(shares > 0)
    forget(None)
    _begin(env, latest, active, number, key, counters)
    while len(active):
        seen = latest.observed(active)
        clock.lap("glue")
        decisions = policy.decide(mode, seen, **(schedule or {}))
        clock.lap("search")
        with _blaming("step", active):
            stepped = env.step(active, decisions.columns["action"])
        clock.lap("env")
        ended = stepped.terminated | stepped.truncated
        yield Step(seen, seen.observation[:, -channels:], decisions, stepped, number[active], ended)
        latest.follow(stepped.observed)
        if ended.any():
            finished = active[ended]
            forget(finished.tolist())
            number[finished] += 1
            active = active[number[active] < shares[active]]
            clock.lap("glue")
            _begin(
                env, latest, finished[number[finished] < shares[finished]], number, key, counters
            )
            clock.lap("env")


def _begin(
    env: Env, latest: Latest, env_id: Array, number: Array, key: int, counters: tuple[int, ...]
) -> None:
    if not len(env_id):
        return
    seeds = derive_seed(key, *counters, env_id, number[env_id])
    with _blaming("reset", env_id):
        latest.begin(env.reset(env_id, seeds))


@contextmanager
def _blaming(call: str, env_id: Array) -> Iterator[None]:
    """Say in one line that an environment failed; those with an LzError say it better."""
    try:
        yield
    except LzError:
        raise
    except Exception as err:  # an environment may raise anything
        told = " ".join(str(err).split()) or "no message"
        raise EnvError(
            f"An environment raised {type(err).__name__} in {call}: {told} (one of the "
            f"environments {env_id.tolist()}). Try it alone with `lz check-env`."
        ) from err
