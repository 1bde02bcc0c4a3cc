"""Writing down what happens: each step as a row of named columns, and segments cut out of rows.

Shape letters: N environments, n of them playing, L steps of a segment.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from lzcore.base.env import Observed
from lzcore.base.errors import ContractError, EnvError
from lzcore.base.policy import Policy
from lzcore.base.replay import Column, Segment
from lzcore.engine.play import Step
from lzcore.engine.rows import Place, RowBlocks

Array: TypeAlias = npt.NDArray[Any]

SHOWN = ("observation", "action_mask", "to_play", "timestep", "chance")  # filled before the action


class Timestep(NamedTuple):
    """What `Policy.process_transition` is told of a step, under the documented names."""

    obs: Array
    reward: float
    done: bool
    info: dict[str, bool]


class Recorder:
    """Writes every step of N environments down until it is asked for."""

    def __init__(
        self,
        policy: Policy,
        columns: tuple[Column, ...],
        num_envs: int,
        *,
        ignore_done: bool = False,
    ) -> None:
        """Prepare row buffers for the policy's columns.

        Args:
            policy: that decides.
            columns: what is stored of a step, `Policy.columns`.
            num_envs: N.
            ignore_done: store ends of the task as if we had only stopped watching.
        """
        self.columns = {column.name: column for column in columns}
        self._policy = policy
        self._ignore_done = ignore_done
        self._rows = RowBlocks(columns, num_envs)
        self._offset = np.zeros(num_envs, np.int64)  # in the episode, of each environment's row 0
        self._hindsight = tuple(column.name for column in columns if column.in_hindsight)
        self._decided = self._rows.names(but=(*SHOWN, "reward", *self._hindsight))
        self._shown = tuple(name for name in SHOWN if name in self.columns)
        self._checked = False

    # --- writing --------------------------------------------------------------------------------

    def write(self, step: Step) -> Array:
        """Write a row for each environment of a step; return (n,) how many each has now."""
        seen, columns = step.seen, step.decisions.columns
        if not self._checked:
            self._check(step)
        row = seen.timestep - self._offset[seen.env_id]
        place = self._rows.place(seen.env_id, row)
        for name in self._shown:
            values = step.frame if name == "observation" else getattr(seen, name)
            if values is not None:
                self._rows.write(name, place, values)
        for name in self._decided:
            self._rows.write(name, place, columns[name])
        self._rows.write("reward", place, step.stepped.reward)
        if self._policy.rewrites_transitions:
            self._rewrite(step, place)
        written: Array = row + 1
        return written

    def _rewrite(self, step: Step, place: Place) -> None:
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
            page, number = (part[row : row + 1] for part in place)
            for name in self.columns.keys() & (made or {}).keys():
                self._rows.write(name, (page, number), made[name])

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
                raise ContractError(
                    self._policy,
                    f"declares the column {name!r}, but its decisions have only "
                    f"{sorted(decided)}. Add it to them, or drop it from `columns`.",
                )
            column, values = self.columns[name], decided[name]
            fits = np.can_cast(values.dtype, column.dtype, "same_kind")
            if values.shape[1:] != column.shape or not fits:
                raise ContractError(
                    self._policy,
                    f"declares {name!r} as {column.dtype} with shape {column.shape}, but decides "
                    f"rows of {values.dtype} with shape {values.shape[1:]}. Make the two agree.",
                )
        self._checked = True

    # --- cutting segments out ---------------------------------------------------------------------

    def cut(self, step: Step, row: int, episode: int) -> Segment:
        """Return what is written of one environment since the last cut or its reset.

        Args:
            step: the latest one, already written; it says whether the episode ended.
            row: of the environment in it.
            episode: what the segment's episode is called.
        """
        env_id, ended = int(step.seen.env_id[row]), bool(step.ended[row])
        offset = int(self._offset[env_id])
        length = int(step.seen.timestep[row]) + 1 - offset
        segment = Segment(
            episode=episode,
            offset=offset,
            columns=self._rows.cut(env_id, length, self._closing(step, row) if ended else None),
            length=length,
            ended=ended,
            terminated=bool(step.stepped.terminated[row]) and not self._ignore_done,
        )
        self._offset[env_id] = 0 if ended else offset + length
        if ended and self._hindsight:
            known = self._policy.in_hindsight(segment)
            columns = {**segment.columns, **{name: known[name] for name in self._hindsight}}
            segment = attrs.evolve(segment, columns=columns)
        return attrs.evolve(segment, priority=self._policy.initial_priority(segment))

    def _closing(self, step: Step, row: int) -> dict[str, Array]:
        last = step.stepped.observed
        return {
            name: values[row] for name in self._shown if (values := getattr(last, name)) is not None
        }

    # --- persistence ------------------------------------------------------------------------------

    def state_dict(self, timestep: Array) -> dict[str, Any]:
        """Return the rows that were not cut out yet, where each episode has (N,) of them in all."""
        kept = (timestep - self._offset).tolist()
        return {
            "offset": self._offset.copy(),
            "rows": [self._rows.read(env_id, length) for env_id, length in enumerate(kept)],
        }

    def load_state_dict(self, state: Mapping[str, Any], timestep: Array) -> None:
        """Go on where the recorder that wrote `state` stood, nothing being written here yet."""
        self._offset[:] = state["offset"]
        kept = (timestep - self._offset).tolist()
        for env_id, (length, columns) in enumerate(zip(kept, state["rows"], strict=True)):
            self._rows.put(env_id, length, columns)


def _shown_to(seen: Observed, row: int) -> dict[str, Any]:
    """Return the documented observation dict of one environment."""
    return {
        "observation": seen.observation[row],
        "action_mask": None if seen.action_mask is None else seen.action_mask[row],
        "to_play": int(seen.to_play[row]),
        "timestep": int(seen.timestep[row]),
        **({} if seen.chance is None else {"chance": int(seen.chance[row])}),
    }
