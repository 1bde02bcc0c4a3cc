"""Collecting: episodes played by the policy as it is now, as segments of named columns.

A collection is a function of (weights, run seed, iteration, environment): it knows no buffer and
changes nothing but the policy's state of the environments, which ends with the episodes.

Shape letters: N environments, n of them playing, L steps of an episode, A actions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from lzcore.base.env import Env, Observed
from lzcore.base.errors import EnvError, ShapeError
from lzcore.base.policy import Decisions, Policy
from lzcore.base.replay import Column, Segment
from lzcore.base.seeding import stream_key
from lzcore.engine.clock import Clock
from lzcore.engine.play import Step, fair_shares, play
from lzcore.engine.rows import RowBlocks

Array: TypeAlias = npt.NDArray[Any]

SHOWN = ("observation", "action_mask", "to_play", "timestep", "chance")  # filled before the action


@attrs.frozen(kw_only=True)
class CollectStats:
    """What one collection brought in."""

    iteration: int
    mode: str
    env_steps: int
    returns: tuple[float, ...]  # of each episode, rewards unclipped, in the order of numbers
    lengths: tuple[int, ...]
    means: Mapping[str, float]  # of what the policy tells of its decisions and nobody stores

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for logs."""
        return {
            "mode": self.mode,
            "episodes": len(self.returns),
            "env_steps": self.env_steps,
            "return_mean": float(np.mean(self.returns)),
            "return_min": min(self.returns),
            "return_max": max(self.returns),
            "length_mean": float(np.mean(self.lengths)),
            **self.means,
        }


class Timestep(NamedTuple):
    """What `Policy.process_transition` is told of a step, under the documented names."""

    obs: Array
    reward: float
    done: bool
    info: dict[str, bool]


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
        self._columns = {column.name: column for column in columns}
        self._keys = {
            "collect": stream_key(run_seed, "env"),
            "random": stream_key(run_seed, "env of random episodes"),
        }
        self._ignore_done = ignore_done
        self._segment_length = segment_length
        self._rows = RowBlocks(columns, env.num_envs)
        self._decided = self._rows.names(but=(*SHOWN, "reward"))
        self._shown = tuple(name for name in SHOWN if name in self._columns)
        self._checked = False

    def collect(
        self,
        iteration: int,
        n_episode: int,
        mode: str = "collect",
        *,
        schedule: Mapping[str, float] | None = None,
        first_episode: int = 0,
        clock: Clock | None = None,
    ) -> tuple[CollectStats, list[Segment]]:
        """Play `n_episode` whole episodes.

        Each environment plays its share; with fewer episodes than environments they take turns
        from one iteration to the next.

        Args:
            iteration: number of this collection in the run.
            n_episode: how many, at least 1.
            mode: "collect", or "random": uniform over the legal actions.
            schedule: what `Policy.schedule` returned.
            first_episode: number of the first episode in the run; segments are numbered from it.
            clock: counts "env", "search" and "glue".
        Returns:
            The totals, and the episodes in order of environment and number, each as consecutive
            segments.
        """
        shares = fair_shares(n_episode, self._env.num_envs, first=iteration * n_episode)
        number_of = first_episode + np.cumsum(shares) - shares  # of each environment's first one
        self._policy.begin_iteration(iteration)
        tally = _Tally()
        episodes: list[Segment] = []
        key = self._keys[mode]
        for step in play(
            self._env, self._policy, mode, shares, key, iteration, schedule=schedule, clock=clock
        ):
            self._write(step)
            tally.add(step.decisions, self._columns)
            for row in np.flatnonzero(step.ended).tolist():
                episode = int(number_of[step.seen.env_id[row]] + step.number[row])
                episodes.append(self._segment(step, row, episode))
                tally.end(episode, step, row)
        episodes.sort(key=lambda whole: whole.episode)
        segments = [part for whole in episodes for part in _parts(whole, self._segment_length)]
        return tally.stats(iteration, mode), segments

    def _write(self, step: Step) -> None:
        seen, columns = step.seen, step.decisions.columns
        if not self._checked:
            self._check(step)
        place = self._rows.place(seen.env_id, seen.timestep)
        for name in self._shown:
            values = step.frame if name == "observation" else getattr(seen, name)
            if values is not None:
                self._rows.write(name, place, values)
        for name in self._decided:
            self._rows.write(name, place, columns[name])
        self._rows.write("reward", place, step.stepped.reward)
        if self._policy.rewrites_transitions:
            self._rewrite(step)

    def _rewrite(self, step: Step) -> None:
        """Let the policy replace what was written; its dicts are made for each environment."""
        seen, stepped = step.seen, step.stepped
        for row, env_id in enumerate(seen.env_id.tolist()):
            timestep = Timestep(
                stepped.observed.observation[row],
                float(stepped.reward[row]),
                bool(step.ended[row]),
                {
                    "terminated": bool(stepped.terminated[row]),
                    "truncated": bool(stepped.truncated[row]),
                },
            )
            made = self._policy.collect_mode.process_transition(
                _shown_to(seen, row), step.decisions[env_id], timestep
            )
            one = slice(row, row + 1)
            place = self._rows.place(seen.env_id[one], seen.timestep[one])
            for name in self._columns.keys() & (made or {}).keys():
                self._rows.write(name, place, made[name])

    def _segment(self, step: Step, row: int, episode: int) -> Segment:
        seen, last = step.seen, step.stepped.observed
        closing = {
            name: values[row] for name in self._shown if (values := getattr(last, name)) is not None
        }
        length = int(seen.timestep[row]) + 1
        segment = Segment(
            episode=episode,
            offset=0,
            columns=self._rows.cut(int(seen.env_id[row]), length, closing),
            length=length,
            ended=True,
            terminated=bool(step.stepped.terminated[row]) and not self._ignore_done,
        )
        return attrs.evolve(segment, priority=self._policy.initial_priority(segment))

    def _check(self, step: Step) -> None:
        """Compare what is shown and decided first with the columns that the policy declared."""
        who, decided = type(self._policy).__name__, step.decisions.columns
        told = step.seen.chance, step.stepped.observed.chance
        if "chance" in self._shown and any(outcomes is None for outcomes in told):
            raise EnvError(
                f"{who} learns from outcomes of chance, but the environment tells none. A "
                'Gymnasium environment has to tell them by info["chance"], a whole number from '
                "`reset` and from each `step`."
            )
        for name in self._decided:
            if name not in decided:
                raise ShapeError(
                    f"{who} declares the column {name!r}, but its decisions have only "
                    f"{sorted(decided)}. Add it to them, or drop it from `columns`."
                )
            if decided[name].shape[1:] != self._columns[name].shape:
                raise ShapeError(
                    f"{who} declares {name!r} with shape {self._columns[name].shape}, but "
                    f"decides rows of shape {decided[name].shape[1:]}. Make the two agree."
                )
        self._checked = True


class _Tally:
    """Counts while episodes are played."""

    def __init__(self) -> None:
        self._steps = 0
        self._sums: dict[str, float] = {}
        self._ended: list[tuple[int, float, int]] = []  # episode, return, length

    def add(self, decisions: Decisions, stored: Mapping[str, Column]) -> None:
        self._steps += len(decisions)
        for name, values in decisions.columns.items():
            if name not in stored and values.ndim == 1 and values.dtype.kind == "f":
                self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())

    def end(self, episode: int, step: Step, row: int) -> None:
        total, length = step.stepped.episode_return[row], step.seen.timestep[row] + 1
        self._ended.append((episode, float(total), int(length)))

    def stats(self, iteration: int, mode: str) -> CollectStats:
        _, returns, lengths = zip(*sorted(self._ended), strict=True)
        return CollectStats(
            iteration=iteration,
            mode=mode,
            env_steps=self._steps,
            returns=returns,
            lengths=lengths,
            means={name: total / self._steps for name, total in self._sums.items()},
        )


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


def _shown_to(seen: Observed, row: int) -> dict[str, Any]:
    """Return the documented observation dict of one environment."""
    return {
        "observation": seen.observation[row],
        "action_mask": None if seen.action_mask is None else seen.action_mask[row],
        "to_play": int(seen.to_play[row]),
        "timestep": int(seen.timestep[row]),
        **({} if seen.chance is None else {"chance": int(seen.chance[row])}),
    }
