"""The door of the replay: what a segment must look like, and what becomes of it at the door.

Shape letters: L transitions of a segment.
"""

from collections.abc import Sequence

import attrs
import numpy as np

from lzcore.base.errors import ReplayError, ShapeError
from lzcore.base.replay import Array, Column, Segment
from lzcore.replay.jpeg import encode


def check_segment(segment: Segment, columns: Sequence[Column]) -> None:
    """Refuse a segment that does not fit the columns.

    Raises:
        ReplayError: columns are missing or unknown, the segment is empty or contradicts itself,
            or a priority is not a positive number.
        ShapeError: a column has another length, shape or dtype than it was declared with.
    """
    name = f"Segment {segment.offset}.. of episode {segment.episode}"
    if segment.length < 0 or (segment.length == 0 and not segment.ended):
        raise ReplayError(f"{name} holds {segment.length} transitions; expected at least 1.")
    if segment.terminated and not segment.ended:
        raise ReplayError(f"{name} is terminated but not ended; set ended to True as well.")
    _check_names(name, segment, columns)
    for column in columns:
        _check_column(name, segment, column)
    if segment.priority is not None:
        _check_priority(name, segment.priority, segment.length)


def joined(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments with those made one that go on where the one before them stops.

    So a replay is the same however long the parts are in which episodes arrive.
    """
    runs: list[list[Segment]] = []
    for segment in segments:
        if runs and _goes_on(segment, runs[-1][-1]):
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _goes_on(segment: Segment, before: Segment) -> bool:
    return (
        segment.episode == before.episode
        and segment.offset == before.offset + before.length
        and not before.ended
        and (segment.priority is None) == (before.priority is None)
    )


def _joined(run: Sequence[Segment]) -> Segment:
    priority = [s.priority for s in run if s.priority is not None]
    return attrs.evolve(
        run[0],
        columns={name: np.concatenate([s.columns[name] for s in run]) for name in run[0].columns},
        length=sum(segment.length for segment in run),
        ended=run[-1].ended,
        terminated=run[-1].terminated,
        priority=np.concatenate(priority) if priority else None,
    )


def encoded(segment: Segment, columns: Sequence[Column]) -> Segment:
    """Return a segment with some columns as JPEG, a byte string for every row."""
    found = dict(segment.columns)
    for column in columns:
        frames = found[column.name]
        if len(frames) < segment.length + segment.ended:  # nobody gave the closing row
            frames = np.concatenate((frames, padding(column)))
        found[column.name] = encode(frames)
    return attrs.evolve(segment, columns=found)


def padding(column: Column) -> Array:
    """Return the row (1, *shape) that stands where nothing was written."""
    return np.full((1, *column.shape), column.pad, column.dtype)


def newest_part(segment: Segment, transitions: int, rows: int) -> Segment:
    """Return the end of a segment that a replay of so many transitions and rows can hold."""
    skip = max(0, segment.length - transitions, segment.length + segment.ended - rows)
    if skip == 0:
        return segment
    return attrs.evolve(
        segment,
        offset=segment.offset + skip,
        length=segment.length - skip,
        columns={name: values[skip:] for name, values in segment.columns.items()},
        priority=None if segment.priority is None else segment.priority[skip:],
    )


def _check_names(name: str, segment: Segment, columns: Sequence[Column]) -> None:
    expected = {column.name for column in columns}
    missing, unknown = expected - set(segment.columns), set(segment.columns) - expected
    if missing or unknown:
        raise ReplayError(
            f"{name} lacks the columns {sorted(missing)} and has the unknown ones "
            f"{sorted(unknown)}; expected exactly those that the policy declares: "
            f"{', '.join(sorted(expected))}."
        )


def _check_column(name: str, segment: Segment, column: Column) -> None:
    values = segment.columns[column.name]
    lengths = (segment.length, segment.length + 1) if segment.ended else (segment.length,)
    if values.shape not in [(length, *column.shape) for length in lengths]:
        raise ShapeError(
            f"{name}: column {column.name!r} has shape {values.shape}; "
            f"expected {' or '.join(str((length, *column.shape)) for length in lengths)}."
        )
    if not np.can_cast(values.dtype, column.dtype, "same_kind"):
        raise ShapeError(
            f"{name}: column {column.name!r} has dtype {values.dtype}, which does not go into the "
            f"declared {column.dtype}; convert it before the push."
        )


def _check_priority(name: str, priority: Array, length: int) -> None:
    if priority.shape != (length,):
        raise ShapeError(f"{name}: priority has shape {priority.shape}; expected {(length,)}.")
    check_positive(f"{name}: priority", priority)


def check_positive(name: str, priorities: Array) -> None:
    """Refuse priorities that are zero, negative or not finite."""
    wrong = ~(np.isfinite(priorities) & (priorities > 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise ReplayError(
            f"{name} has {priorities[at]} at position {at}; expected finite numbers above 0. "
            "Add a small constant to the errors that they are made of."
        )
