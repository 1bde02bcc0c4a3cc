"""Collecting: episodes played by the policy as it is now, as segments of named columns.

A collection is a function of (weights, run seed, iteration, environment): it knows no buffer and
changes nothing but the policy's state of the environments, which ends with the episodes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lzcore.base.env import Env
from lzcore.base.policy import Decisions, Policy
from lzcore.base.replay import Column, Segment
from lzcore.base.seeding import stream_key
from lzcore.engine.clock import Clock
from lzcore.engine.play import Step, fair_shares, play
from lzcore.engine.recorder import Recorder


@attrs.frozen(kw_only=True)
class CollectStats:
    """What one collection brought in."""

    iteration: int
    mode: str
    env_steps: int
    begun: int  # episodes, which have taken as many numbers
    returns: tuple[float, ...]  # of those that ended, rewards unclipped, in the order of numbers
    lengths: tuple[int, ...]
    means: Mapping[str, float]  # of what the policy tells of its decisions and nobody stores
    segments: int | None = None  # handed over; None: they were not what was counted
    resigned: tuple[bool, ...] = ()  # whether they were, of games that ended, if players resign
    wrong: tuple[bool, ...] = ()  # of those played on: who would have resigned has not lost

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for logs; what is told of episodes is None where none has ended."""
        some = bool(self.returns)
        return {
            "mode": self.mode,
            **({} if self.segments is None else {"segments": self.segments}),
            "episodes": len(self.returns),
            "env_steps": self.env_steps,
            "return_mean": float(np.mean(self.returns)) if some else None,
            "return_min": min(self.returns, default=None),
            "return_max": max(self.returns, default=None),
            "length_mean": float(np.mean(self.lengths)) if some else None,
            **self._resigning(),
            **self.means,
        }

    def _resigning(self) -> dict[str, Any]:
        if not self.resigned:
            return {}
        return {"resigned": _share(self.resigned), "resign_wrong": _share(self.wrong)}


class Collector:
    """Plays episodes and writes down every step of them."""

    def __init__(
        self,
        env: Env,
        policy: Policy,
        columns: tuple[Column, ...],
        run_seed: int,
        *,
        ignore_done: bool = False,
        segment_length: int | None = None,
    ) -> None:
        """Prepare row buffers for the policy's columns.

        Args:
            env: of N environments.
            policy: that decides.
            columns: what is stored of a step, `Policy.columns`.
            run_seed: the reset seeds of every episode derive from it.
            ignore_done: store ends of the task as if we had only stopped watching.
            segment_length: most transitions of a segment; None: an episode is one segment.
        """
        self._env = env
        self._policy = policy
        self._keys = {
            "collect": stream_key(run_seed, "env"),
            "random": stream_key(run_seed, "env of random episodes"),
        }
        self._segment_length = segment_length
        self._recorder = Recorder(policy, columns, env.num_envs, ignore_done=ignore_done)

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
        """Play `count` whole episodes.

        Each environment plays its share; with fewer episodes than environments they take turns
        from one iteration to the next.

        Args:
            iteration: number of this collection in the run.
            count: how many, at least 1.
            mode: "collect", or "random": uniform over the legal actions.
            schedule: what `Policy.schedule` returned.
            first_episode: number of the first episode in the run; segments are numbered from it.
            clock: counts "env", "search" and "glue".
            tell: is told after each step how many have ended.
        Returns:
            The totals, and the episodes in order of environment and number, each as consecutive
            segments.
        """
        shares = fair_shares(count, self._env.num_envs, first=iteration * count)
        number_of = first_episode + np.cumsum(shares) - shares  # of each environment's first one
        self._policy.begin_iteration(iteration)
        tally = Tally(self._recorder.columns)
        episodes: list[Segment] = []
        key = self._keys[mode]
        for step in play(
            self._env, self._policy, mode, shares, key, iteration, schedule=schedule, clock=clock
        ):
            self._recorder.write(step)
            tally.add(step.decisions)
            for row in np.flatnonzero(step.ended).tolist():
                episode = int(number_of[step.seen.env_id[row]] + step.number[row])
                episodes.append(self._recorder.cut(step, row, episode))
                tally.end(episode, step, row)
            tell(len(episodes))
        episodes.sort(key=lambda whole: whole.episode)
        segments = [part for whole in episodes for part in _parts(whole, self._segment_length)]
        return tally.stats(iteration, mode, begun=count), segments

    def state_dict(self) -> dict[str, Any] | None:
        """Return what of running episodes outlives an iteration: None, as all are whole."""
        return None

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go on where the collector that wrote `state` stood: every iteration begins anew."""


class Tally:
    """Counts while episodes are played."""

    def __init__(self, stored: Mapping[str, Column]) -> None:
        """Begin with nothing; means are taken of decided columns that are not `stored`."""
        self._stored = stored
        self._steps = 0
        self._sums: dict[str, float] = {}
        self._ended: list[tuple[int, float, int]] = []  # episode, return, length
        self._resigned: list[bool] = []
        self._wrong: list[bool] = []

    def add(self, decisions: Decisions) -> None:
        """Count the decisions of a step."""
        self._steps += len(decisions)
        for name, values in decisions.columns.items():
            if name not in self._stored and values.ndim == 1 and values.dtype.kind == "f":
                self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())

    def end(self, episode: int, step: Step, row: int) -> None:
        """Count an episode that a step has ended in its row `row`."""
        total, length = step.stepped.episode_return[row], step.seen.timestep[row] + 1
        self._ended.append((episode, float(total), int(length)))
        if step.resigned is not None:
            self._resigned.append(bool(step.resigned.now[row]))
            if first := int(step.resigned.first[row]):
                self._wrong.append(bool(total >= 0.0 if first == 1 else total <= 0.0))

    def stats(
        self, iteration: int, mode: str, *, begun: int, segments: int | None = None
    ) -> CollectStats:
        """Return the totals; the arguments are those of `CollectStats`."""
        ended = sorted(self._ended)
        return CollectStats(
            iteration=iteration,
            mode=mode,
            env_steps=self._steps,
            begun=begun,
            returns=tuple(total for _, total, _ in ended),
            lengths=tuple(length for *_, length in ended),
            means={name: total / self._steps for name, total in self._sums.items()},
            segments=segments,
            resigned=tuple(self._resigned),
            wrong=tuple(self._wrong),
        )


def _share(held: Sequence[bool]) -> float | None:
    return sum(held) / len(held) if held else None


def _parts(whole: Segment, length: int | None) -> list[Segment]:
    """Cut an episode into segments of at most `length` transitions; the last one has the end."""
    if length is None or whole.length <= length:
        return [whole]
    parts = []
    for first in range(0, whole.length, length):
        ends = first + length >= whole.length
        rows = slice(first, None if ends else first + length)
        part = attrs.evolve(
            whole,
            offset=first,
            columns={name: values[rows] for name, values in whole.columns.items()},
            length=min(length, whole.length - first),
            ended=ends,
            terminated=ends and whole.terminated,
            priority=None if whole.priority is None else whole.priority[rows],
        )
        parts.append(part)
    return parts
