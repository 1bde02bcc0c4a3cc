"""Collecting by segments: an iteration is over after so many, and episodes go on in the next one.

All environments step together, so what one of them shows, decides and gets does not depend on the
others; only where an iteration ends does.

Shape letters: N environments.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from lzcore.base.env import Env
from lzcore.base.errors import CheckpointError
from lzcore.base.policy import Policy
from lzcore.base.replay import Column, Segment
from lzcore.base.seeding import stream_key
from lzcore.engine.clock import Clock
from lzcore.engine.collector import Collector, CollectStats, Tally
from lzcore.engine.live import LiveEpisodes
from lzcore.engine.play import Step


class SegmentCollector(Collector):
    """Plays on until enough segments are finished; random episodes are played whole."""

    def __init__(
        self,
        env: Env,
        policy: Policy,
        columns: tuple[Column, ...],
        run_seed: int,
        *,
        segment_length: int,
        ignore_done: bool = False,
    ) -> None:
        """Prepare; the first collection begins an episode in every environment.

        Args:
            env: of N environments, which repeat themselves: see `lzcore.engine.live`.
            policy: that decides.
            columns: what is stored of a step, `Policy.columns`.
            run_seed: the reset seeds of every episode derive from it.
            segment_length: transitions of a segment, fewer where its episode ends.
            ignore_done: store ends of the task as if we had only stopped watching.
        """
        super().__init__(
            env, policy, columns, run_seed, ignore_done=ignore_done, segment_length=segment_length
        )
        self._full = segment_length
        self._live = LiveEpisodes(env, policy, stream_key(run_seed, "env of live episodes"))
        self._episode = np.zeros(env.num_envs, np.int64)  # number in the run, of each running one
        self._next_episode = 0

    def collect(
        self,
        iteration: int,
        count: int,
        mode: str = "collect",
        *,
        schedule: Mapping[str, float] | None = None,
        first_episode: int = 0,
        clock: Clock | None = None,
        tell: Callable[[int], None] = lambda done: None,
    ) -> tuple[CollectStats, list[Segment]]:
        """Play on until `count` segments are finished.

        A segment is finished when it is full or its episode has ended. Those that finish in the
        same step as the last one needed are handed over too; rows of unfinished ones wait here.

        Args:
            iteration: number of this collection in the run.
            count: how many segments, at least 1; in mode "random" how many whole episodes.
            mode: "collect", or "random": uniform over the legal actions.
            schedule: what `Policy.schedule` returned.
            first_episode: number that the next episode to begin has in the run.
            clock: counts "env", "search" and "glue".
            tell: is told after each step how many are finished.
        Returns:
            The totals, and the segments, those of an environment together in order of time.
        """
        clock = clock or Clock()
        if mode == "random":
            given: Any = {"schedule": schedule, "first_episode": first_episode, "clock": clock}
            return super().collect(iteration, count, mode, **given, tell=tell)
        self._next_episode = first_episode
        self._policy.begin_iteration(iteration)
        if not self._live.begun:
            self._live.begin()
            self._number(range(self._env.num_envs))
        tally = Tally(self._recorder.columns)
        found: list[tuple[int, Segment]] = []  # each with its environment
        while len(found) < count:
            step = self._live.act(schedule or {}, clock)
            found += self._finished(step, tally)
            tell(len(found))
            self._live.follow(step, clock)
        found.sort(key=itemgetter(0))
        begun = self._next_episode - first_episode
        stats = tally.stats(iteration, mode, begun=begun, segments=len(found))
        return stats, [segment for _, segment in found]

    def _finished(self, step: Step, tally: Tally) -> list[tuple[int, Segment]]:
        """Write a step down; return the segments that it finished, each with its environment."""
        written = self._recorder.write(step)
        tally.add(step.decisions)
        found = []
        for row in np.flatnonzero(step.ended | (written >= self._full)).tolist():
            env_id = int(step.seen.env_id[row])
            episode = int(self._episode[env_id])
            found.append((env_id, self._recorder.cut(step, row, episode)))
            if step.ended[row]:
                tally.end(episode, step, row)
                self._number([env_id])
        return found

    def _number(self, env_id: range | list[int]) -> None:
        """Give the episodes that begin in these environments the next numbers."""
        for i in env_id:
            self._episode[i] = self._next_episode
            self._next_episode += 1

    # --- persistence ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any] | None:
        """Return the running episodes, with their rows that wait here; None: none has begun."""
        if not self._live.begun:
            return None
        return {
            "episode": self._episode.copy(),
            "live": self._live.state_dict(),
            "recorded": self._recorder.state_dict(self._live.timestep),
        }

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go on where the collector that wrote `state` stood; None: begin in the next collection.

        Raises:
            CheckpointError: it had another number of environments.
            EnvError: an environment does not repeat itself, or failed.
        """
        if state is None:
            return
        before, now = len(state["episode"]), self._env.num_envs
        if before != now:
            raise CheckpointError(
                f"The checkpoint holds the running episodes of {before} environments, and "
                f"collector_env_num is {now}. Set it to {before} in config.toml, as it was."
            )
        self._episode[:] = state["episode"]
        self._live.load_state_dict(state["live"])
        self._recorder.load_state_dict(state["recorded"], self._live.timestep)
