"""Frames that the replay keeps as JPEG: what comes back, what it costs, and what is saved.

Row t of episode e shows a ramp whose darkest pixel is 40 e + 10 t, so a row can be told by it.
"""

import io

import numpy as np
import pytest
import torch

from lzcore.base.errors import ConfigError, ReplayError
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay import jpeg
from lzcore.replay.buffer import ReplayBuffer
from lzcore.replay.jpeg import BYTES_BESIDE, decode, encode, join, split

GREY = (1, 16, 24)
LOSS = 4  # levels of 255 that a soft picture may be off


def frames_of(episode, first, count, shape=GREY):
    ramp = np.add.outer(np.arange(shape[1]), np.arange(shape[2]))
    level = 40 * episode + 10 * (first + np.arange(count))
    return np.minimum(level[:, None, None, None] + ramp, 255).astype(np.uint8).repeat(shape[0], 1)


def piece(episode, offset, length, end=False, shape=GREY, closing=True):
    return Segment(
        episode=episode,
        offset=offset,
        columns={
            "observation": frames_of(episode, offset, length + (end and closing), shape),
            "reward": np.arange(offset, offset + length, dtype=np.float32),
        },
        length=length,
        ended=end,
        terminated=end,
    )


def make(*segments, directory=None, shape=GREY, as_jpeg=True, key=3, capacity=1000, **settings):
    columns = (
        Column("observation", shape, np.uint8, pad=90, jpeg=as_jpeg),
        Column("reward", (), np.float32),
    )
    given = ReplaySettings(
        capacity=capacity, unroll_steps=1, lookahead=1, frame_stack=2, **settings
    )
    buffer = ReplayBuffer(columns, given, key)
    if directory is not None:
        buffer.attach(directory)
    for segment in segments:
        buffer.push([segment])
    return buffer


class Keep:
    def make_batch(self, windows):
        return windows


class Everything:
    def make_batch(self, windows):
        return [windows.frames(-1, 3).tolist(), windows.index.tolist(), windows.weights.tolist()]


def row_bytes(segment):
    """What each row of a segment takes: one JPEG, what is beside it, and a reward."""
    texts = encode(segment.columns["observation"]).tolist()
    return [len(text) + BYTES_BESIDE + 4 for text in texts]


# --- there and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_frame_comes_back_nearly_as_it_was(channels):
    frames = frames_of(1, 0, 5, (channels, 16, 24))
    found = decode(encode(frames), frames.shape[1:])

    assert (found.dtype, found.shape) == (np.uint8, frames.shape)
    assert np.abs(found.astype(int) - frames).max() <= LOSS


def test_colours_keep_their_places():
    frame = np.zeros((1, 3, 16, 16), np.uint8)
    frame[0, 0], frame[0, 2] = 200, 100

    found = decode(encode(frame), (3, 16, 16)).astype(int)
    assert np.abs(found - frame).max() <= LOSS


def test_texts_are_joined_and_cut_where_they_end():
    texts = np.array([b"abc", b"", b"\0\xff"], object)
    content, ends = join(texts)

    assert content.tolist() == [97, 98, 99, 0, 255]
    assert ends.tolist() == [3, 3, 5]
    assert split(content, ends).tolist() == texts.tolist()
    assert split(*join(texts[:0])).tolist() == []


@pytest.mark.parametrize("ends", [[3, 2, 5], [3, 4], [-1, 5], [3, 6], []])
def test_ends_that_do_not_cut_up_the_bytes_are_refused(ends):
    with pytest.raises(ValueError, match=rf"5 bytes of JPEG do not make {len(ends)} frames"):
        split(np.zeros(5, np.uint8), np.array(ends, np.int64))


# --- what a window sees ---------------------------------------------------------------------------


def test_windows_see_the_frames_of_their_rows():
    buffer = make(piece(1, 0, 4), piece(2, 0, 3, end=True), piece(1, 4, 2, end=True))
    plain = make(
        *(piece(1, 0, 4), piece(2, 0, 3, end=True), piece(1, 4, 2, end=True)), as_jpeg=False
    )

    found, exact = buffer.sample(9, Keep()), plain.sample(9, Keep())

    assert found.index.tolist() == exact.index.tolist()
    seen = found.frames(0, 3)
    assert (seen.shape, seen.dtype) == ((9, 4, *GREY), np.uint8)
    assert np.abs(seen.astype(int) - exact.frames(0, 3)).max() <= LOSS
    assert found.take("reward", 0, 3).tolist() == exact.take("reward", 0, 3).tolist()


def test_each_row_is_decoded_once_a_call_and_only_what_is_asked_for(monkeypatch):
    buffer, decoded = make(piece(0, 0, 8, end=True)), []

    def count(packed, shape):
        decoded.append(len(packed))
        return decode(packed, shape)

    monkeypatch.setattr(jpeg, "decode", count)
    windows = buffer.sample(50, Keep())
    windows.take("reward", 0, 2)
    assert decoded == []

    drawn = set((windows.index).tolist())
    windows.take("observation", 0, 1)
    windows.frames(0, 1)
    around = drawn | {max(row - 1, 0) for row in drawn}
    assert decoded == [len(drawn), len(around)]


def test_a_closing_row_that_nobody_gave_shows_the_pad():
    buffer = make(piece(0, 0, 2, end=True, closing=False))
    windows = buffer.sample(2, Keep())
    last = windows.take("observation", 0, 3)[windows.index.tolist().index(0), 2]

    assert np.abs(last.astype(int) - 90).max() <= LOSS


# --- what it costs --------------------------------------------------------------------------------


def test_the_bytes_that_frames_really_take_count():
    parts = [piece(episode, 0, 3, end=True) for episode in range(4)]
    needed = [sum(row_bytes(part)) for part in parts]

    exact = make(*parts, max_bytes=sum(needed[1:]))
    assert (exact.num_episodes, exact.num_transitions) == (3, 9)
    tight = make(*parts, max_bytes=sum(needed[1:]) - 1)
    assert (tight.num_episodes, tight.num_transitions) == (2, 6)


def test_priorities_count_beside_the_frames():
    parts = [piece(episode, 0, 3, end=True) for episode in range(2)]
    needed = sum(sum(row_bytes(part)) for part in parts) + 8 * (8 + 32)

    assert make(*parts, max_bytes=needed, use_priority=True).num_episodes == 2
    assert make(*parts, max_bytes=needed - 1, use_priority=True).num_episodes == 1


def test_forgotten_frames_are_let_go():
    buffer = make(piece(0, 0, 3, end=True), piece(1, 0, 3, end=True), capacity=4)
    store = buffer._store
    kept = encode(frames_of(1, 0, 4)).tolist()

    held = [text for text in store.rows.columns["observation"].tolist() if text]
    assert held == kept
    assert store.jpeg_bytes == sum(map(len, kept))


def test_of_an_episode_that_is_too_large_the_newest_rows_stay():
    whole = piece(0, 0, 6, end=True)
    needed = row_bytes(whole)
    buffer = make(piece(3, 0, 2), whole, max_bytes=sum(needed[3:]))

    assert (buffer.num_transitions, buffer.num_episodes) == (3, 1)
    windows = buffer.sample(3, Keep())
    assert sorted(windows.take("reward", 0, 1)[:, 0].tolist()) == [3.0, 4.0, 5.0]


def test_no_row_stays_from_before_a_part_that_found_no_room():
    # noise is large as JPEG: the second part keeps its last, plain rows, and its noisy one would
    # leave a hole before them
    first, second = piece(0, 0, 1), piece(0, 1, 4)
    rng = np.random.default_rng(0)
    second.columns["observation"][0] = rng.integers(0, 256, GREY, dtype=np.uint8)
    plain, noisy = row_bytes(second)[1:], row_bytes(second)[0]
    limit = sum(plain) + noisy - 1
    assert limit > sum(plain) + sum(row_bytes(first))  # the first row would still fit

    buffer = make(first, second, max_bytes=limit)

    assert buffer.num_transitions == 3
    windows = buffer.sample(1, Keep())
    assert windows.take("reward", -4, 1)[0].tolist() == [2.0] * 5


def test_a_frame_that_is_larger_than_all_room_is_refused_and_changes_nothing():
    buffer = make(max_bytes=60)
    size = row_bytes(piece(0, 0, 2))[1]

    with pytest.raises(
        ConfigError, match=rf"max_bytes is 60, but one row of the replay takes {size} bytes; exp"
    ):
        buffer.push([piece(0, 0, 2)])
    assert buffer.num_transitions == 0


@pytest.mark.parametrize(
    ("shape", "dtype", "changing", "message"),
    [
        ((1, 8, 8), np.float32, False, r"is float32 \(1, 8, 8\), which JPEG cannot hold; expected"),
        ((2, 8, 8), np.uint8, False, r"uint8 \(2, 8, 8\), which .* with 1 or 3 channels\. Keep"),
        ((4,), np.uint8, False, r"'observation' is uint8 \(4,\), which JPEG cannot hold"),
        ((3, 8, 8), np.uint8, True, r"uint8 \(3, 8, 8\) and changing; only fixed columns are"),
    ],
)
def test_what_jpeg_cannot_hold_is_refused(shape, dtype, changing, message):
    column = Column("observation", shape, dtype, changing=changing, jpeg=True)
    settings = ReplaySettings(capacity=10, unroll_steps=1, lookahead=1)

    with pytest.raises(ConfigError, match=message):
        ReplayBuffer((column,), settings, key=1)


# --- what is saved --------------------------------------------------------------------------------


def stored(state):
    """Return a state as it comes back from disk."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def play(buffer, first, rounds):
    """Push episodes, two to a push, and return all that is then drawn."""
    seen = []
    for number in range(first, first + rounds):
        parts = [piece(2 * number + i, 0, 3 + number % 3, end=True) for i in range(2)]
        buffer.push(parts)
        seen.append((buffer.sample(4, Everything()), buffer.num_transitions))
    return seen


@pytest.mark.parametrize("rounds", [1, 3, 12])  # growing, grown, wrapped several times
@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("priority", [True, False])
def test_a_loaded_buffer_goes_on_bit_for_bit(tmp_path, attached, priority, rounds):
    given = {
        "directory": tmp_path / "replay" if attached else None,
        "use_priority": priority,
        "max_bytes": 9000,
    }
    buffer = make(**given)
    play(buffer, 0, rounds)
    state = stored(buffer.state_dict())

    loaded = make(key=99, **given)
    loaded.load_state_dict(state)

    again = make(**(given | {"directory": None}))
    play(again, 0, rounds)
    assert play(loaded, rounds, 8) == play(again, rounds, 8)


def test_a_file_holds_one_string_of_bytes_and_where_each_row_ends(tmp_path):
    make(piece(0, 0, 3, end=True), directory=tmp_path)

    texts = encode(frames_of(0, 0, 4)).tolist()
    with np.load(tmp_path / "000000.npz", allow_pickle=False) as file:
        assert file["column.observation.jpeg"].tobytes() == b"".join(texts)
        assert file["column.observation.ends"].tolist() == np.cumsum([*map(len, texts)]).tolist()
        assert "column.observation" not in file


def test_frames_are_not_in_the_state_while_they_are_in_files(tmp_path):
    attached = make(piece(0, 0, 3, end=True), directory=tmp_path)
    alone = make(piece(0, 0, 3, end=True))

    assert set(attached.state_dict()["columns"]) == set()
    assert set(alone.state_dict()["columns"]) == {
        "observation.jpeg",
        "observation.ends",
        "reward",
    }


def test_a_replay_of_plain_frames_is_not_read_as_jpeg(tmp_path):
    state = make(piece(0, 0, 3, end=True), directory=tmp_path, as_jpeg=False).state_dict()

    with pytest.raises(ReplayError, match=r"fixed; this policy asks for: .* fixed, as JPEG\. Res"):
        make(directory=tmp_path).load_state_dict(stored(state))


def test_a_file_whose_ends_do_not_fit_is_damaged(tmp_path, monkeypatch):
    state = make(piece(0, 0, 3, end=True), directory=tmp_path).state_dict()
    path = tmp_path / "000000.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["column.observation.ends"][-1] += 1
    np.savez(path, **arrays)
    mark = state["files"]["manifest"][0]["fingerprint"]
    monkeypatch.setattr("lzcore.replay.files._fingerprint", lambda _: mark)

    with pytest.raises(
        ReplayError, match=r"000000\.npz is damaged \(\d+ bytes of JPEG do not make"
    ):
        make(directory=tmp_path).load_state_dict(state)
