"""Playing episodes in a batch of environments; what collecting and evaluating share.

What an environment shows, decides and gets in episode k is a function of (weights, seed, k) and of
nothing that happens in another environment. `play` gives each a share of whole episodes, fixed
beforehand; `lzcore.engine.live` stops between any two steps and goes on later.

Shape letters: N environments, n of them playing, F one frame's shape with first axis F0.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.env import RESIGN, Env, Observed, Stepped
from lzcore.base.errors import ContractError, LzError
from lzcore.base.policy import Decisions, Policy
from lzcore.base.seeding import derive_seed
from lzcore.engine.answers import decided, resigns, shown, stepped
from lzcore.engine.clock import Clock
from lzcore.engine.resigning import Resigned, Resigning
from lzcore.envs.stack import FrameStack
from lzcore.registry.faults import told

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
        self._kept: dict[str, Array] = {}  # of Observed, except the frames -> (N, ...)
        self._simulator: Any = None
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
        kept: dict[str, Any] = {name: rows[env_id] for name, rows in self._kept.items()}
        return Observed(
            env_id=env_id,
            observation=self._stack.observation(env_id),
            action_mask=kept.pop("action_mask", None),
            simulator=self._simulator,
            **kept,
        )

    def _keep(self, seen: Observed) -> None:
        self._simulator = seen.simulator
        for name in ("action_mask", "to_play", "timestep", "chance", "states"):
            rows = getattr(seen, name)
            if rows is None:
                continue
            if name not in self._kept:
                self._kept[name] = np.zeros((self._num_envs, *rows.shape[1:]), rows.dtype)
            self._kept[name][seen.env_id] = rows


class Step(NamedTuple):
    """One decision in n environments and what came of it; row i belongs to seen.env_id[i]."""

    seen: Observed  # before the action, frames stacked
    frame: Array  # (n, *F) before the action, the newest frame alone
    decisions: Decisions
    stepped: Stepped
    number: Array  # (n,) int64: which of its environment's episodes this is, from 0
    ended: Array  # (n,) bool: this was the episode's last step
    resigned: Resigned | None = None  # in place of the action; None: nobody can


class Stage:
    """Environments, and the policy that decides in them."""

    def __init__(self, env: Env, policy: Policy, mode: str, key: int, *counters: int) -> None:
        """Prepare; no episode has begun.

        Args:
            env: of N environments.
            policy: decides; its state of an environment is reset at the end of each episode.
            mode: "collect", "random" or "eval", see `Policy.decide`.
            key: of the stream of reset seeds; an episode's seed is (key, *counters, environment,
                number of the episode in that environment).
            counters: what tells this stage from others under the same key.
        """
        self.latest = Latest(env, policy.frame_stack)
        self.number = np.zeros(env.num_envs, np.int64)  # of each environment's episode, from 0
        self._env = env
        self._policy = policy
        self._mode = mode
        self._seed_of = key, *counters
        self._channels = env.spaces.frame_shape[0]  # F0
        self.resigning: Resigning | None = None
        if mode == "collect" and policy.resign_played_on is not None:
            self.resigning = Resigning(env.num_envs, policy.resign_played_on)

    def forget(self, env_id: Sequence[int] | None) -> None:
        """Let the policy forget these environments; None: all of them."""
        policy = self._policy
        mode = policy.eval_mode if self._mode == "eval" else policy.collect_mode
        mode.reset(env_id)

    def begin(self, env_id: Array) -> None:
        """Begin the episodes whose turn it is in these environments."""
        if not len(env_id):
            return
        seeds = derive_seed(*self._seed_of, env_id, self.number[env_id])
        with _blaming(self._env, "reset", env_id):
            seen = self._env.reset(env_id, seeds)
        self.latest.begin(shown(self._env, "reset", seen, env_id))
        if self.resigning is not None:
            self.resigning.begin(env_id, seeds)

    def act(self, env_id: Array, schedule: Mapping[str, float], clock: Clock) -> Step:
        """Decide in these environments, all running, and step them."""
        seen = self.latest.observed(env_id)
        clock.lap("glue")
        decisions = self._policy.decide(self._mode, seen, **schedule)
        clock.lap("search")
        action = decided(self._policy, decisions, env_id, self._env.spaces.action)
        resigned = None
        if self.resigning is not None:
            resigned = self.resigning.settle(seen, resigns(self._policy, decisions))
            action = np.where(resigned.now, RESIGN, action)
        found = self.step(env_id, action)
        clock.lap("env")
        frame = seen.observation[:, -self._channels :]
        ended = found.terminated | found.truncated
        return Step(seen, frame, decisions, found, self.number[env_id], ended, resigned)

    def step(self, env_id: Array, action: Array) -> Stepped:
        """Apply one action in each of these environments."""
        with _blaming(self._env, "step", env_id):
            found = self._env.step(env_id, action)
        return stepped(self._env, found, env_id)

    def follow(self, step: Step) -> Array:
        """Go on to what a step showed.

        Returns:
            Those environments whose episode it ended; it is the next one's turn there.
        """
        self.latest.follow(step.stepped.observed)
        finished: Array = step.seen.env_id[step.ended]
        if len(finished):
            self.forget(finished.tolist())
            self.number[finished] += 1
        return finished


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
        policy: decides.
        mode: "collect", "random" or "eval".
        shares: (N,) episodes to play in each environment.
        key: of the stream of reset seeds, as are the `counters`: see `Stage`.
        counters: what tells this call from others under the same key.
        schedule: what `Policy.schedule` returned.
        clock: laps "env", "search" and "glue" are counted here; None: nowhere.
    Yields:
        One Step for each decision of the running environments, those in order of their ids. What
        it holds is good until the next one is asked for.
    """
    clock = clock or Clock()
    stage = Stage(env, policy, mode, key, *counters)
    active = np.flatnonzero(shares > 0)
    stage.forget(None)
    stage.begin(active)
    while len(active):
        step = stage.act(active, schedule or {}, clock)
        yield step
        finished = stage.follow(step)
        if len(finished):
            active = active[stage.number[active] < shares[active]]
            clock.lap("glue")
            stage.begin(finished[stage.number[finished] < shares[finished]])
            clock.lap("env")


@contextmanager
def _blaming(env: Env, call: str, env_id: Array) -> Iterator[None]:
    """Say in one line that an environment failed; those with an LzError say it better."""
    try:
        yield
    except LzError:
        raise
    except Exception as err:  # an environment may raise anything
        raise ContractError(
            env,
            f"failed in {call} of one of the environments {env_id.tolist()}: {told(err)}. Try it "
            "alone with `lz check-env`.",
        ) from err
