"""Where rows lie: a ring of rows, the segments they came in, and the episodes these belong to.

An id is a virtual address: it only grows and never names another row. Rows of a segment have
neighbouring ids; the segments of one episode are chained, so that episodes may arrive interleaved.
The oldest segment is always forgotten first.

Shape letters: B positions addressed at once, M offsets around each.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lzcore.base.errors import ReplayError
from lzcore.base.replay import Array, Column, ReplaySettings, Segment
from lzcore.replay import jpeg
from lzcore.replay.incoming import padding
from lzcore.replay.ring import Ring

NONE = -1  # no such segment
_INT = np.dtype(np.int64)
_SEGMENT = (
    "start",  # id of the first row
    "rows",
    "length",  # transitions
    "offset",  # number of the first row in the episode
    "episode",
    "next",
    "previous",
    "eligible",  # rows that may be drawn, which are always the first ones
    "visits",  # how often a row was drawn to be reanalyzed
)
# length: transitions that have arrived; eligible: positions below it may be drawn
_EPISODE = ("first", "last", "length", "eligible", "ended", "terminated")


class Range(NamedTuple):
    """The rows first..stop-1."""

    first: int
    stop: int


class Store:
    """Rows in columns, and exactly which of them may be drawn."""

    def __init__(
        self, columns: Sequence[Column], settings: ReplaySettings, bytes_beside: int = 0
    ) -> None:
        """Make an empty store.

        Args:
            columns: what a row holds.
            settings: capacity, and what makes a row eligible.
            bytes_beside: memory that a row takes elsewhere, counted against `max_bytes`.
        """
        self.columns = tuple(columns)
        self.jpeg = {c.name: c.shape for c in columns if c.jpeg}  # of a frame once decoded
        self.rows = Ring({c.name: _kept(c) for c in columns})
        self.segments = Ring({name: ((), _INT) for name in _SEGMENT})
        self.episodes = Ring({name: ((), _INT) for name in _EPISODE})
        self.num_transitions = 0
        self.num_episodes = 0  # with at least one row
        self.num_eligible = 0
        self.jpeg_bytes = 0  # of all encoded frames
        self.version = 0  # grows with every change of what is stored
        self.running: dict[int, int] = {}  # Segment.episode -> number, while rows may still follow
        self.row_bytes = sum(_bytes(c) for c in columns) + bytes_beside
        self.byte_limit = settings.max_bytes or int(np.iinfo(np.int64).max)
        self.row_limit = self.byte_limit // self.row_bytes
        self._settings = settings

    # --- adding ---------------------------------------------------------------------------------

    def append(self, segment: Segment, values: Mapping[str, Array]) -> list[Range]:
        """Store a segment for which there is room.

        Args:
            segment: where the rows belong.
            values: name -> (L, *shape) or, with a closing row, (L + 1, *shape), for every column;
                of those kept as JPEG, a byte string for every row.
        Returns:
            The ranges of rows that have become eligible, of this segment and of earlier ones.
        """
        rows = segment.length + segment.ended
        self._reserve(segment.length, rows)
        first = self.rows.add(rows)
        for column in self.columns:
            given = values[column.name]
            self.rows.write(column.name, first, given)
            if len(given) < rows:
                self.rows.write(column.name, first + len(given), padding(column))
        self.num_transitions += segment.length
        self.jpeg_bytes += self.encoded_bytes(values)
        self.version += 1
        return self._advance(self._link(segment, first, rows))

    def has_room(self, length: int, rows: int, encoded: int = 0) -> bool:
        """Whether so many transitions, rows and bytes of JPEG more keep capacity and bytes."""
        size = (len(self.rows) + rows) * self.row_bytes + self.jpeg_bytes + encoded
        return self.num_transitions + length <= self._settings.capacity and size <= self.byte_limit

    def encoded_bytes(self, values: Mapping[str, Array]) -> int:
        """Return how many bytes of JPEG there are in some columns."""
        return sum(int(jpeg.sizes(values[name]).sum()) for name in self.jpeg)

    def expected_offset(self, episode: int) -> int | None:
        """Return the row number that a running episode goes on with; None if it is not known."""
        number = self.running.get(episode)
        return None if number is None else self.episodes.row(number)["length"]

    def _reserve(self, length: int, rows: int) -> None:
        """Let the arrays grow by doubling, up to what a full replay of such episodes needs."""
        rows += len(self.rows)
        if rows <= self.rows.size:
            return
        per_transition = rows / max(1, self.num_transitions + length)
        full = min(int(self._settings.capacity * per_transition * 1.125) + 1, self.row_limit)
        size = max(rows, full if 4 * self.rows.size > full else 2 * self.rows.size)
        try:
            self.rows.resize(size)
        except MemoryError:
            raise ReplayError(
                f"No memory for {size:,} replay rows of {self.row_bytes:,} bytes. "
                "Lower the replay's capacity, or set a limit in bytes."
            ) from None

    def _link(self, segment: Segment, first: int, rows: int) -> int:
        """Enter a segment into the tables; return its episode's number."""
        episode = self.running.pop(segment.episode, NONE)
        if episode == NONE:
            episode = self.episodes.add(1)
            self.episodes.put(episode, first=NONE, last=NONE, eligible=0)
        if not segment.ended:
            self.running[segment.episode] = episode
        previous = self.episodes.row(episode)["last"]
        number = self.segments.add(1)
        self.segments.put(
            number,
            start=first,
            rows=rows,
            length=segment.length,
            offset=segment.offset,
            episode=episode,
            next=NONE,
            previous=previous,
            eligible=0,
            visits=0,
        )
        if previous == NONE:
            self.num_episodes += 1
            self.episodes.put(episode, first=number)
        else:
            self.segments.put(previous, next=number)
        self.episodes.put(
            episode,
            last=number,
            length=segment.offset + segment.length,
            ended=segment.ended,
            terminated=segment.terminated,
        )
        return episode

    # --- eligibility ----------------------------------------------------------------------------

    def _advance(self, episode: int) -> list[Range]:
        """Make eligible what the newest rows of an episode allow; return those ranges."""
        known = self.episodes.row(episode)
        until = self._eligible_until(known)
        self.episodes.put(episode, eligible=until)
        found = []
        number = known["last"]
        while number != NONE:  # backwards, to where nothing changes any more
            row = self.segments.row(number)
            if row["offset"] + row["length"] <= known["eligible"]:
                break
            eligible = min(max(until - row["offset"], 0), row["length"])
            if eligible > row["eligible"]:
                found.append(Range(row["start"] + row["eligible"], row["start"] + eligible))
                self.segments.put(number, eligible=eligible)
            number = row["previous"]
        self.num_eligible += sum(stop - first for first, stop in found)
        return found

    def _eligible_until(self, episode: Mapping[str, int]) -> int:
        length, unroll = episode["length"], self._settings.unroll_steps
        if episode["terminated"]:  # beyond the end everything is known to be zero
            return length
        if episode["ended"]:  # beyond a truncated end nothing is known
            return min(length, max(0, length - unroll + 1))
        return max(0, length - unroll - self._settings.lookahead)

    # --- forgetting -----------------------------------------------------------------------------

    def forget_oldest(self) -> Range:
        """Drop the oldest segment; return its rows."""
        number = self.segments.tail
        row = self.segments.row(number)
        self._unlink(row)
        self._let_go(row["start"], row["rows"])
        self.segments.tail += 1
        self.rows.tail += row["rows"]
        self.num_transitions -= row["length"]
        self.num_eligible -= row["eligible"]
        self.version += 1
        return Range(row["start"], row["start"] + row["rows"])

    def _let_go(self, first: int, rows: int) -> None:
        """Free the memory of encoded frames, which other columns keep for the rows to come."""
        for name in self.jpeg:
            self.jpeg_bytes -= int(jpeg.sizes(self.rows.read(name, first, first + rows)).sum())
            self.rows.write(name, first, np.full(rows, None))

    def _unlink(self, segment: Mapping[str, int]) -> None:
        episode, following = segment["episode"], segment["next"]
        self.episodes.put(episode, first=following)
        if following != NONE:
            self.segments.put(following, previous=NONE)
            return
        self.episodes.put(episode, last=NONE)
        self.num_episodes -= 1
        self.running = {name: n for name, n in self.running.items() if n != episode}
        while len(self.episodes) and self.episodes.row(self.episodes.tail)["first"] == NONE:
            self.episodes.tail += 1

    # --- finding --------------------------------------------------------------------------------

    def gather(self, name: str, ids: Array) -> Array:
        """Return values (*ids.shape, *shape) of a column; each row is decoded once at most."""
        if name not in self.jpeg:
            return self.rows.get(name, ids)
        distinct, place = np.unique(ids.ravel(), return_inverse=True)
        frames = jpeg.decode(self.rows.get(name, distinct), self.jpeg[name])
        return frames[place.reshape(ids.shape)]

    def segment_of(self, ids: Array) -> Array:
        """Return the numbers of the segments that living rows (B,) belong to."""
        starts = self.segments.read("start")
        found: Array = np.searchsorted(starts, ids, side="right") - 1 + self.segments.tail
        return found

    def walk(self, segment: Array, position: Array) -> tuple[Array, Array]:
        """Carry positions over the borders of segments.

        Args:
            segment: numbers of living segments, any shape.
            position: rows counted from the start of `segment`, may lie outside it.
        Returns:
            Segments and positions, inside wherever the episode is stored; where it is not,
            counted from its first stored segment (then negative) or from its last.
        """
        segment, position = segment.copy(), position.copy()
        table = self.segments
        while True:
            rows, following = table.get("rows", segment), table.get("next", segment)
            over = (position >= rows) & (following != NONE)
            if not over.any():
                break
            position[over] -= rows[over]
            segment[over] = following[over]
        while True:
            before = table.get("previous", segment)
            under = (position < 0) & (before != NONE)
            if not under.any():
                return segment, position
            segment[under] = before[under]
            position[under] += table.get("rows", segment[under])

    def current(self, episode: Array, segment: Array) -> Array:
        """Return for each of B positions a segment of its episode that is still stored.

        That is `segment` where it lives, else the episode's first one, else NONE.
        """
        known = episode >= self.episodes.tail
        first = np.where(known, self.episodes.get("first", np.where(known, episode, NONE)), NONE)
        return np.where(segment >= self.segments.tail, segment, first)

    # --- persistence ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the tables, as plain data and arrays; the rows are the buffer's affair."""
        return {
            "rows": self.rows.extent(),
            "segments": {**self.segments.extent(), "columns": self.segments.contents()},
            "episodes": {**self.episodes.extent(), "columns": self.episodes.contents()},
            "running": dict(self.running),
            "jpeg_bytes": self.jpeg_bytes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the tables, and make room for the rows that they speak of."""
        self.rows.restore(state["rows"], {})
        self.segments.restore(state["segments"], state["segments"]["columns"])
        self.episodes.restore(state["episodes"], state["episodes"]["columns"])
        self.running = dict(state["running"])
        self.jpeg_bytes = state["jpeg_bytes"]
        self.num_transitions = int(self.segments.read("length").sum())
        self.num_eligible = int(self.segments.read("eligible").sum())
        self.num_episodes = int((self.episodes.read("first") != NONE).sum())
        self.version += 1


def _kept(column: Column) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return ((), np.dtype(object)) if column.jpeg else (column.shape, column.dtype)


def _bytes(column: Column) -> int:
    if column.jpeg:
        return jpeg.BYTES_BESIDE
    return int(np.prod(column.shape, dtype=np.int64)) * column.dtype.itemsize
