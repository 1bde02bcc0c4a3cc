"""What every replay buffer promises: rows that come back, the oldest forgotten, states that go on.

Episode e is told by its rows: the observation of row t is (e, t, 0), its reward 100 * e + t.

Shape letters: B sampled positions, L transitions of an episode, K unroll steps, n lookahead.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lzcore.base.errors import LzError, ReplayError
from lzcore.base.replay import Array, Buffer, Column, ReplaySettings, Segment, Windows
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.subject import Subject
from lzcore.testing.trial import saved

COLUMNS = (
    Column("observation", (3,), np.float32),
    Column("action", (), np.int64),
    Column("reward", (), np.float32),
    Column("value", (), np.float32, changing=True),
)
ENDS = ("running", "truncated", "terminated")
_K, _N = 2, 1  # unroll steps and lookahead
_MANY = 64


class Asker:
    """Stands for the policy: keeps the windows that it is handed."""

    def make_batch(self, windows: Windows) -> Windows:
        """Return the windows themselves."""
        return windows

    def reanalyze(self, windows: Windows) -> Mapping[str, float]:
        """Overwrite the value of each position with -1."""
        self.seen = windows
        windows.write(0, {"value": np.full((len(windows.index), 1), -1.0, np.float32)})
        return {"positions": float(len(windows.index))}


def _made(subject: Subject, *, key: int = 1, **settings: Any) -> Buffer:
    given: dict[str, Any] = {"capacity": 200, "unroll_steps": _K, "lookahead": _N, **settings}
    return subject.cls(COLUMNS, ReplaySettings(**given), key)  # type: ignore[no-any-return]


def _rows(episode: int, first: int, stop: int) -> dict[str, Array]:
    t = np.arange(first, stop)
    frame = np.stack([np.full(len(t), episode), t, 0 * t], axis=1)
    return {
        "observation": frame.astype(np.float32),
        "action": t % 2,
        "reward": (100 * episode + t).astype(np.float32),
        "value": (0.5 * t).astype(np.float32),
    }


def _episode(number: int, length: int, end: str = "terminated", first: int = 0) -> Segment:
    """Return rows `first` to `length` of an episode, with a closing row if it ended."""
    ended = end != "running"
    return Segment(
        episode=number,
        offset=first,
        columns=_rows(number, first, length + ended),
        length=length - first,
        ended=ended,
        terminated=end == "terminated",
    )


def _filled(buffer: Buffer) -> Buffer:
    """Push an episode of each end."""
    buffer.push([_episode(number, 9 + number, end) for number, end in enumerate(ENDS)])
    return buffer


def _drawn(buffer: Buffer, size: int = _MANY) -> Any:
    policy: Any = Asker()
    return buffer.sample(size, policy)


def _position(windows: Windows) -> tuple[Array, Array]:
    """Return which episode each position is of, and which row of it."""
    frame = windows.take("observation", 0, 1)[:, 0]
    return frame[:, 0].astype(int), frame[:, 1].astype(int)


# --- what is pushed and drawn ---------------------------------------------------------------------


@promise("buffer")
def check_rows_come_back_as_they_were_pushed(subject: Subject) -> None:
    """Windows hold the pushed rows, and repeat the first and the last beyond an episode's ends."""
    windows = _drawn(_filled(_made(subject)))
    episode, row = _position(windows)
    last = np.array([9 + number - (ENDS[number] == "running") for number in episode])
    at = np.clip(row[:, None] + np.arange(-2, 5), 0, last[:, None])
    expected = {"reward": 100.0 * episode[:, None] + at, "action": at % 2, "value": 0.5 * at}
    for name, wanted in expected.items():
        found = windows.take(name, -2, 5)
        require(
            found.shape == wanted.shape and (found == wanted).all(),
            f"rows -2 to 4 of {name!r} around a position are not those that were pushed; expected "
            "them, the first and the last repeated beyond the ends.",
        )
        kept = next(column for column in COLUMNS if column.name == name)
        require(
            found.dtype == kept.dtype,
            f"{name!r} comes back as {found.dtype}; expected {kept.dtype}, as it is declared.",
        )


@promise("buffer")
def check_windows_tell_how_episodes_ended(subject: Subject) -> None:
    """`steps_left`, `ended`, `terminated`; ids that are unique; weights of at most 1."""
    windows = _drawn(_filled(_made(subject)))
    episode, row = _position(windows)
    end = np.array(ENDS)[episode]
    wanted = {
        "steps_left": 9 + episode - row,
        "ended": end != "running",
        "terminated": end == "terminated",
    }
    for name, expected in wanted.items():
        found = getattr(windows, name)
        require(
            np.array_equal(found, expected),
            f"{name} of its windows is {short(found.tolist())}; expected "
            f"{short(expected.tolist())}.",
        )
    of = {(int(e), int(t)): int(i) for e, t, i in zip(episode, row, windows.index, strict=True)}
    require(
        len(set(of.values())) == len(of),
        "two rows have one id in its windows' index; expected an id of its own for each.",
    )
    weights = np.asarray(windows.weights)
    require(
        weights.dtype == np.float32 and (weights > 0).all() and (weights <= 1).all(),
        f"its weights are {weights.dtype} from {weights.min()} to {weights.max()}; expected "
        "float32 above 0, at most 1.",
    )


@promise("buffer")
def check_only_positions_with_all_their_rows_are_drawn(subject: Subject) -> None:
    """None of a running episode before its targets can be made, none past a truncated one's end."""
    buffer = _filled(_made(subject))
    for _ in range(4):
        windows = _drawn(buffer)
        for number, row in zip(*_position(windows), strict=True):
            length, end = 9 + number, ENDS[number]
            latest = {"running": length - 1 - _K - _N, "truncated": length - _K}.get(
                end, length - 1
            )
            require(
                row <= latest,
                f"it drew row {row} of a {end} episode of {length} transitions with "
                f"unroll_steps {_K} and lookahead {_N}; expected row {latest} at most.",
            )


@promise("buffer")
def check_stacked_frames_come_with_each_position(subject: Subject) -> None:
    """`frames` begins S-1 frames before a position, the first one repeated before the start."""
    windows = _drawn(_filled(_made(subject, frame_stack=3)))
    episode, row = _position(windows)
    found = windows.frames(0, 2)
    at = np.clip(row[:, None] + np.arange(-2, 2), 0, None)
    require(
        found.shape == (_MANY, 4, 3),
        f"frames(0, 2) with frame_stack 3 has shape {found.shape}; expected ({_MANY}, 4, 3).",
    )
    for ours, wanted in zip(found[:, :, 1].tolist(), at.tolist(), strict=True):
        require(
            ours == wanted,
            f"frames(0, 2) with frame_stack 3 holds the rows {ours} of an episode; expected "
            f"{wanted}, from 2 before a position to 1 behind it.",
        )
    require((found[:, :, 0] == episode[:, None]).all(), "frames are of several episodes.")


@promise("buffer")
def check_draws_follow_from_the_key(subject: Subject) -> None:
    """Two buffers of one key draw the same positions, one of another key does not."""
    one, twin, other = (_filled(_made(subject, key=key)) for key in (1, 1, 2))
    first, again, different = (_drawn(buffer).index for buffer in (one, twin, other))
    require(np.array_equal(first, again), "two buffers of one key drew different positions.")
    require(
        not np.array_equal(first, different),
        "buffers of the keys 1 and 2 drew the same positions; expected a stream of each key.",
    )


@promise("buffer")
def check_what_cannot_be_drawn_is_refused(subject: Subject) -> None:
    """An empty buffer draws nothing: a ReplayError, not rows of nothing."""
    buffer = _made(subject)
    require(not buffer.can_sample(1), "can_sample(1) is True of an empty buffer; expected False.")
    _require_refused(lambda: _drawn(buffer, 1), "sample of an empty buffer")
    _filled(buffer)
    require(buffer.can_sample(4), "can_sample(4) is False of 30 transitions; expected True.")


def _require_refused(call: Any, what: str, named: str = "") -> None:
    try:
        call()
    except LzError as err:
        require(
            named in str(err),
            f"{what} was refused with: {in_one_line(err)} Expected it to name {named!r}.",
        )
        return
    raise AssertionError(f"{what} was taken; expected a ReplayError that says why not.")


@promise("buffer")
def check_segments_that_do_not_fit_are_refused(subject: Subject) -> None:
    """A gap in an episode and rows that are no columns of it; nothing of the push is stored."""
    buffer = _filled(_made(subject))
    before = buffer.num_transitions
    short = _episode(7, 5)
    columns = {**short.columns, "reward": short.columns["reward"][:-2]}
    broken = Segment(episode=7, offset=0, columns=columns, length=5, ended=True, terminated=True)
    _require_refused(lambda: buffer.push([_episode(0, 15, first=12)]), "a gap in an episode")
    _require_refused(lambda: buffer.push([_episode(8, 5), broken]), "a short column", "reward")
    require(
        buffer.num_transitions == before,
        f"a refused push left {buffer.num_transitions} transitions; expected {before}, as before.",
    )


@promise("buffer")
def check_parts_of_an_episode_are_one(subject: Subject) -> None:
    """An episode pushed in parts looks like one pushed whole."""
    buffer = _made(subject)
    buffer.push([_episode(0, 4, "running")])
    buffer.push([_episode(0, 8, "running", first=4)])
    buffer.push([_episode(0, 11, first=8)])
    require(
        (buffer.num_transitions, buffer.num_episodes) == (11, 1),
        f"an episode of 11 pushed in 3 parts counts as {buffer.num_transitions} transitions of "
        f"{buffer.num_episodes} episodes; expected 11 of 1.",
    )
    windows = _drawn(buffer)
    _, row = _position(windows)
    seen = windows.take("reward", 0, 4)
    require(
        (seen == np.clip(row[:, None] + np.arange(4), 0, 11)).all()
        and (windows.steps_left == 11 - row).all(),
        "windows over the parts of an episode are not those of the whole one; expected the same.",
    )


# --- what is forgotten and changed ----------------------------------------------------------------


@promise("buffer")
def check_the_oldest_is_forgotten_first(subject: Subject) -> None:
    """Capacity is kept, and what is left is the newest."""
    buffer = _made(subject, capacity=30)
    for number in range(6):
        buffer.push([_episode(number, 10)])
    buffer.remove_oldest_data_to_fit()
    require(
        buffer.num_transitions <= 30,
        f"it keeps {buffer.num_transitions} transitions with a capacity of 30.",
    )
    kept = set(_position(_drawn(buffer))[0].tolist())
    require(
        kept and kept <= {3, 4, 5},
        f"with room for 30 of 60 transitions it draws from the episodes {sorted(kept)}; expected "
        "the newest, 3 to 5.",
    )


@promise("buffer")
def check_priorities_decide_what_is_drawn(subject: Subject) -> None:
    """An overwhelming priority is nearly always drawn; rows that are gone are passed over."""
    buffer = _filled(_made(subject, use_priority=True, priority_alpha=1.0))
    windows = _drawn(buffer, 8)
    some = windows.index[:1]
    buffer.update_priority(windows.index, np.full(8, 1e-6), windows.stamp)
    buffer.update_priority(some, np.array([1e6]), windows.stamp[:1])
    times = sum(int(some[0]) in _drawn(buffer, 1).index.tolist() for _ in range(20))
    require(
        times >= 18,
        f"a row a million times likelier than all others was in {times} of 20 draws; expected "
        "nearly all.",
    )
    for number in range(10, 40):  # until it is forgotten
        buffer.push([_episode(number, 10)])
    buffer.update_priority(some, np.array([1.0]), windows.stamp[:1])


@promise("buffer")
def check_reanalysis_writes_what_is_drawn_later(subject: Subject) -> None:
    """`revisit` hands old positions to the policy; what it writes comes back, and it alone."""
    buffer, policy = _filled(_made(subject)), Asker()
    asked: Any = policy
    told = buffer.revisit(5, 1.0, asked)
    require(
        told == {"positions": 5.0} and len(policy.seen.index) == 5,
        f"revisit(5, ...) returned {short(told)}; expected what reanalyze of the policy returned "
        "of 5.",
    )
    written = set(policy.seen.index.tolist())
    windows = _drawn(buffer)
    value, (_, row) = windows.take("value", 0, 1)[:, 0], _position(windows)
    for index, found, t in zip(windows.index.tolist(), value, row, strict=True):
        wanted = -1.0 if index in written else 0.5 * t
        require(
            found == wanted,
            f"after reanalysis a value is {found}; expected {wanted}: -1 where it was written, "
            "what was pushed elsewhere.",
        )


# --- persistence ----------------------------------------------------------------------------------


def _same_draws(one: Buffer, other: Buffer, when: str) -> None:
    for turn in range(3):
        ours, theirs = _drawn(one, 8), _drawn(other, 8)
        for name in ("observation", "value"):
            a, b = (windows.take(name, 0, 3) for windows in (ours, theirs))
            require(
                np.array_equal(a, b),
                f"draw {turn} after {when} holds another {name!r}; expected the same as without "
                "a break.",
            )
        for buffer, windows in ((one, ours), (other, theirs)):
            buffer.update_priority(windows.index, np.full(8, 2.0 + turn), windows.stamp)


@promise("buffer")
def check_its_state_goes_on_where_it_stood(subject: Subject) -> None:
    """Plain data from which a new buffer draws the same, with and without priorities."""
    for use_priority in (False, True):
        one = _filled(_made(subject, use_priority=use_priority))
        _drawn(one, 5)
        other = _made(subject, key=9, use_priority=use_priority)
        other.load_state_dict(saved(one.state_dict()))
        require(
            (one.num_transitions, one.num_episodes) == (other.num_transitions, other.num_episodes),
            f"a loaded buffer has {other.num_transitions} transitions of {other.num_episodes} "
            f"episodes; expected {one.num_transitions} of {one.num_episodes}.",
        )
        _same_draws(one, other, "its state was loaded")


@promise("buffer")
def check_rows_in_files_go_on_too(subject: Subject) -> None:
    """Attached to a directory, rows are in files that `manifest` names, and come back from them."""
    with TemporaryDirectory() as place:
        one = _made(subject)
        one.attach(Path(place))
        _filled(one)
        missing = [entry["name"] for entry in one.manifest() if not _is_file(place, entry)]
        require(
            one.manifest() and not missing,
            f"manifest() names {[entry.get('name') for entry in one.manifest()]}, of which "
            f"{missing} are no files; expected the files that hold its rows.",
        )
        other = _made(subject, key=9)
        other.attach(Path(place))
        other.load_state_dict(saved(one.state_dict()))
        _same_draws(one, other, "its files were read")


def _is_file(place: str, entry: Mapping[str, Any]) -> bool:
    return Path(place, entry["name"]).is_file()


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]


@promise("buffer")
def check_a_state_of_other_columns_is_refused(subject: Subject) -> None:
    """A ReplayError that names what is another, rather than rows of nonsense."""
    state = saved(_filled(_made(subject)).state_dict())
    fewer = ReplaySettings(capacity=200, unroll_steps=_K, lookahead=_N)
    other = subject.cls(COLUMNS[:-1], fewer, 1)
    try:
        other.load_state_dict(state)
    except ReplayError as err:
        require(
            "value" in str(err),
            f"it said: {in_one_line(err)} Expected the column 'value' to be named.",
        )
        return
    raise AssertionError(
        f"a buffer of {_names(COLUMNS[:-1])} took the state of one of {_names(COLUMNS)}; expected "
        "a ReplayError."
    )
