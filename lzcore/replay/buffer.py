"""The replay buffer that learning draws from: a store, a way to draw, and files.

Shape letters: B sampled positions, L transitions of a segment.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lzcore.base.errors import ConfigError, ReplayError, ShapeError
from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import Array, Column, ReplaySettings, Segment
from lzcore.base.seeding import generator
from lzcore.replay.draws import PRIORITY, Draw, EpisodeDraw, PriorityDraw, UniformDraw
from lzcore.replay.files import (
    FORMAT,
    RowFiles,
    check_format,
    from_plain,
    to_arrays,
    to_plain,
    to_tensors,
)
from lzcore.replay.incoming import check_positive, check_segment, encoded, joined, newest_part
from lzcore.replay.jpeg import check_jpeg, sizes
from lzcore.replay.revisits import draw_revisits
from lzcore.replay.store import Store
from lzcore.replay.windows import StoredWindows

if TYPE_CHECKING:
    from lzcore.base.policy import Policy

# A row's priority is a column like any other, and so are its memory and its place in checkpoints.
_PRIORITY = Column(PRIORITY, (), np.float64, changing=True)
_TREE_BYTES = 32  # two nodes a row, of a tree at most twice as wide as there are rows


class ReplayBuffer:
    """Keeps episodes in columns; see `lzcore.base.replay.Buffer`.

    Capacity and bytes are kept at all times: a push first forgets the oldest segments.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        settings: ReplaySettings,
        key: int,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make an empty buffer.

        Args:
            columns: what the policy stores of a step.
            settings: how it is kept and drawn.
            key: of the stream of random numbers that draws positions.
            ranks: which draw together with this one; with priorities, all make each draw.
        Raises:
            ConfigError: the columns or the settings contradict each other.
        """
        self._given = tuple(columns)
        self._settings = settings
        self._ranks = ranks
        _check_setup(self._given, settings)
        self._columns = self._given + (_PRIORITY,) * settings.use_priority
        self._rng = generator(key)
        self._files: RowFiles | None = None
        self._clear()

    def _clear(self) -> None:
        settings = self._settings
        self._store = Store(self._columns, settings, _TREE_BYTES * settings.use_priority)
        if self._store.row_limit == 0:
            raise ConfigError(_no_room(self._store.byte_limit, self._store.row_bytes))
        self._priorities: PriorityDraw | None = None
        self._draw: Draw
        if settings.use_priority:
            self._priorities = PriorityDraw(
                self._store, settings.priority_alpha, settings.priority_beta, self._ranks
            )
            self._draw = self._priorities
        else:
            self._draw = self.make_draw(self._store, settings)

    def make_draw(self, store: Store, settings: ReplaySettings) -> Draw:
        """Return what draws positions where there are no priorities; another buffer may differ."""
        return EpisodeDraw(store) if settings.sample_type == "episode" else UniformDraw(store)

    @property
    def num_transitions(self) -> int:
        """How many transitions are stored."""
        return self._store.num_transitions

    @property
    def num_episodes(self) -> int:
        """How many episodes have rows here, running ones included."""
        return self._store.num_episodes

    @property
    def num_eligible(self) -> int:
        """How many positions can be drawn now."""
        return self._store.num_eligible

    # --- adding and forgetting ------------------------------------------------------------------

    def push(self, segments: Sequence[Segment]) -> None:
        """Add segments, and forget the oldest ones that leave no room for them.

        Neighbours that go on with the same episode become one segment.

        Raises:
            ReplayError: a segment does not fit the columns, or does not go on where its episode
                stopped; or the rows cannot be written to their file.
            ShapeError: an array has another length, shape or dtype than declared.
            ConfigError: `max_bytes` has no room for the newest row alone.
        """
        self._check(segments)
        segments = [self._fitting(segment) for segment in joined(segments)]
        first = self._store.rows.head
        largest = self._priorities.largest() if self._priorities else 1.0
        for segment in segments:
            if self._priorities and segment.priority is not None and segment.length:
                largest = max(largest, float(segment.priority.max()))
            self._add(segment, largest)
        if self._files and segments:
            self._write_rows(self._files, first)

    def _check(self, segments: Sequence[Segment]) -> None:
        """Check all before the first is stored, so that a refused push changes nothing."""
        goes_on: dict[int, int | None] = {}
        for segment in segments:
            check_segment(segment, self._given)
            name = segment.episode
            expected = goes_on.get(name, self._store.expected_offset(name))
            if expected is not None and segment.offset != expected:
                raise ReplayError(
                    f"Episode {name} goes on with row {expected}, but the segment starts at row "
                    f"{segment.offset}. Push the segments of an episode in order, each once."
                )
            goes_on[name] = None if segment.ended else segment.offset + segment.length

    def _fitting(self, segment: Segment) -> Segment:
        """Return the newest part of a segment that an empty replay has room for, as it is kept."""
        store = self._store
        segment = newest_part(segment, self._settings.capacity, store.row_limit)
        if not store.jpeg:
            return segment
        segment = encoded(segment, [column for column in self._columns if column.jpeg])
        size = np.full(segment.length + segment.ended, store.row_bytes)
        for name in store.jpeg:
            size += sizes(segment.columns[name])
        rows = int((np.cumsum(size[::-1]) <= store.byte_limit).sum())
        if rows == 0:
            raise ConfigError(_no_room(store.byte_limit, int(size[-1])))
        return newest_part(segment, self._settings.capacity, rows)

    def _add(self, segment: Segment, largest: float) -> None:
        store = self._store
        goes_on = store.expected_offset(segment.episode) in (None, segment.offset)
        encoded_bytes = store.encoded_bytes(segment.columns)
        self._make_room(segment.length, segment.length + segment.ended, encoded_bytes)
        while not goes_on and len(store.rows):  # rows before it found no room, so no older one does
            self._draw.drop(store.forget_oldest())
        values = dict(segment.columns)
        if self._priorities:
            given = segment.priority
            values[PRIORITY] = np.full(segment.length, largest) if given is None else given
        self._draw.admit(store.append(segment, values))

    def _make_room(self, length: int, rows: int, encoded_bytes: int = 0) -> None:
        while not self._store.has_room(length, rows, encoded_bytes):
            self._draw.drop(self._store.forget_oldest())

    def remove_oldest_data_to_fit(self) -> None:
        """Forget the oldest segments until capacity and bytes are kept."""
        self._make_room(0, 0)

    # --- drawing --------------------------------------------------------------------------------

    def can_sample(self, batch_size: int) -> bool:
        """Whether at least `batch_size` positions are eligible."""
        return self._store.num_eligible >= batch_size

    def sample(self, batch_size: int, policy: "Policy") -> Any:
        """Draw positions and return `policy.make_batch(windows)`.

        No position is drawn twice as long as `batch_size` of them are eligible.

        Raises:
            ReplayError: no position is eligible.
        """
        self._check_drawable("batch_size", batch_size)
        index, weights = self._draw.draw(batch_size, self._rng)
        return policy.make_batch(self._windows(index, weights))

    def revisit(self, count: int, partition: float, policy: "Policy") -> Mapping[str, float]:
        """Draw positions of old segments, rarely visited ones first, for `policy.reanalyze`.

        Each position of a segment is as likely as any other, and may be drawn more than once.

        Raises:
            ReplayError: no position is eligible.
        """
        self._check_drawable("count", count)
        index = draw_revisits(self._store, count, partition, self._rng)
        return policy.reanalyze(self._windows(index, np.ones(count, np.float32)))

    def _check_drawable(self, name: str, count: int) -> None:
        if count < 1:
            raise ReplayError(f"{name} is {count}; expected at least 1.")
        if self._store.num_eligible == 0:
            raise ReplayError(
                f"None of the {self.num_transitions} stored transitions can be drawn yet: "
                f"a position of a running episode needs {self._settings.unroll_steps} + "
                f"{self._settings.lookahead} rows behind it, a truncated episode at least "
                f"{self._settings.unroll_steps} transitions. Collect more first."
            )

    def _windows(self, index: Array, weights: Array) -> StoredWindows:
        return StoredWindows(self._store, index, weights, self._settings.frame_stack)

    def update_priority(self, indices: Array, priorities: Array, stamp: Array) -> None:
        """Set (B,) priorities of sampled rows; without `use_priority`, nothing happens.

        Rows forgotten since then, and rows whose stamp is another one, are passed over.

        Raises:
            ShapeError: the three arrays are not equally long.
            ReplayError: a priority is not a finite number above 0.
        """
        ids, stamp = np.asarray(indices, np.int64), np.asarray(stamp, np.int64)
        priorities = np.asarray(priorities, np.float64)
        if not ids.shape == stamp.shape == priorities.shape == (ids.size,):
            raise ShapeError(
                f"indices, priorities and stamp have the shapes {ids.shape}, {priorities.shape} "
                f"and {stamp.shape}; expected (B,), the same for all."
            )
        check_positive("The array of new priorities", priorities)
        if self._priorities:
            self._priorities.update(ids, stamp, priorities)

    # --- persistence ----------------------------------------------------------------------------

    def attach(self, directory: Path) -> None:
        """Keep the fixed columns in files of `directory` from now on, one for each push.

        Without it, `state_dict` holds all rows itself.
        """
        self._files = RowFiles(directory)
        if len(self._store.rows):
            self._write_rows(self._files, self._store.rows.tail)

    def manifest(self) -> list[dict[str, Any]]:
        """Return the files that hold living rows, for `lzcore.replay.files.prune`."""
        return self._files.state_dict()["manifest"] if self._files else []

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and tensors that `load_state_dict` restores the buffer from.

        The fixed columns are left out if `attach` named a directory for them.
        """
        state = self._store.state_dict()
        for table in ("segments", "episodes"):
            state[table]["columns"] = to_tensors(state[table]["columns"])
        rows = self._store.rows
        inside = {c.name: rows.read(c.name) for c in self._inside(self._files is not None)}
        return {
            "format": FORMAT,
            "layout": self._layout(),
            "generator": self._rng.bit_generator.state,
            "store": state,
            "columns": to_tensors(to_plain(inside)),
            "files": self._files.state_dict() if self._files else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the buffer that wrote `state` stood.

        Raises:
            ReplayError: the state belongs to other columns or settings, or was written by a later
                version; or a file that it names is missing, damaged or another one.
        """
        check_format(state["format"], "The checkpoint")
        self._check_layout(state["layout"])
        self._clear()
        tables = dict(state["store"])
        for table in ("segments", "episodes"):
            tables[table] = tables[table] | {"columns": to_arrays(tables[table]["columns"])}
        self._store.load_state_dict(tables)
        inside = self._inside(state["files"] is not None)
        for name, values in from_plain(to_arrays(state["columns"]), inside).items():
            self._store.rows.write(name, self._store.rows.tail, values)
        if state["files"] is not None:
            self._read_rows(state["files"])
        self._draw.admit([])
        self._rng.bit_generator.state = state["generator"]

    def _inside(self, files: bool) -> list[Column]:
        """Return the columns that a state holds itself; `files` says that it names files."""
        return [column for column in self._columns if column.changing or not files]

    def _write_rows(self, files: RowFiles, first: int) -> None:
        rows = self._store.rows
        files.forget(rows.tail)
        first = max(first, rows.tail)
        fixed = {c.name: rows.read(c.name, first) for c in self._columns if not c.changing}
        if fixed:
            files.write(first, fixed)

    def _read_rows(self, state: Mapping[str, Any]) -> None:
        if self._files is None:
            raise ReplayError(
                "The rows of this state are in files; name their directory with attach() first."
            )
        self._files.load_state_dict(state)
        rows, fixed = self._store.rows, [c for c in self._columns if not c.changing]
        for entry in self._files.entries:
            skip = max(0, rows.tail - entry.first)
            for name, values in self._files.read(entry, fixed).items():
                rows.write(name, entry.first + skip, values[skip:])

    def _layout(self) -> dict[str, str]:
        """Return what must be the same in the buffer that reads a state, in words."""
        s = self._settings
        columns = {
            f"column {c.name!r}": f"{c.dtype} {c.shape}, {'changing' if c.changing else 'fixed'}"
            + ", as JPEG" * c.jpeg
            for c in self._columns
        }
        alpha = {"priority_alpha": str(s.priority_alpha)} if s.use_priority else {}
        steps = {"unroll_steps": str(s.unroll_steps), "lookahead": str(s.lookahead)}
        return columns | steps | alpha

    def _check_layout(self, saved: Mapping[str, str]) -> None:
        here = self._layout()
        for name in {**here, **saved}:
            if saved.get(name) != here.get(name):
                raise ReplayError(
                    f"The saved replay has as {name}: {saved.get(name, 'none')}; this policy asks "
                    f"for: {here.get(name, 'none')}. Resume with the settings of the saved run."
                )


def _no_room(limit: int, row: int) -> str:
    return (
        f"max_bytes is {limit}, but one row of the replay takes {row} bytes; "
        "expected room for one at least."
    )


def _check_setup(columns: Sequence[Column], settings: ReplaySettings) -> None:
    names = [column.name for column in columns]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"The replay's columns are {names}; expected some, each name once.")
    if PRIORITY in names:
        raise ConfigError(
            f"The column name {PRIORITY!r} is the replay's own; give the policy's another one."
        )
    if any(column.dtype.hasobject for column in columns):
        raise ConfigError("A column of Python objects cannot be stored; expected numbers.")
    for column in columns:
        if column.jpeg:
            check_jpeg(column)
    if settings.use_priority and settings.sample_type == "episode":
        raise ConfigError(
            "sample_type 'episode' draws without priorities; "
            "set use_priority to False or sample_type to 'transition'."
        )
