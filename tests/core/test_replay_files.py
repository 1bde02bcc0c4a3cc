"""A saved replay goes on bit for bit, and damaged files are named with a remedy."""

import io
import zipfile
import zlib

import numpy as np
import pytest
import torch

from lzcore.base.errors import ReplayError
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay.buffer import ReplayBuffer
from lzcore.replay.files import prune

COLUMNS = (
    Column("observation", (2, 3), np.uint8),
    Column("reward", (), np.float32),
    Column("root_value", (), np.float32, changing=True),
    Column("action_mask", (2,), bool),
)
KINDS = {
    "uniform": {},
    "episode": {"sample_type": "episode"},
    "priority": {"use_priority": True},
    "few bytes": {"use_priority": True, "max_bytes": 70 * (16 + 40)},
}


class Everything:
    """A policy whose batch shows all there is to see, and rewrites root values."""

    def make_batch(self, windows):
        found = {name: windows.take(name, -2, 4).tolist() for name in ("reward", "root_value")}
        for name in ("index", "weights", "stamp", "steps_left", "ended", "terminated"):
            found[name] = getattr(windows, name).tolist()
        found["frames"] = windows.frames(0, 3).tolist()
        windows.write(0, {"root_value": windows.take("reward", 0, 2) * 2})
        return found


def make(directory=None, columns=COLUMNS, key=3, capacity=100, unroll_steps=2, **settings):
    given = ReplaySettings(
        capacity=capacity, unroll_steps=unroll_steps, lookahead=1, frame_stack=2, **settings
    )
    buffer = ReplayBuffer(columns, given, key)
    if directory is not None:
        buffer.attach(directory)
    return buffer


class Stream:
    """Segments of three episodes that run side by side; the same ones from the same place."""

    def __init__(self, first=0):
        self.pushes = first

    def next(self):
        """Return the next push: one segment for each of three episodes; every third ends them."""
        number, self.pushes = self.pushes, self.pushes + 1
        part = number % 3
        return [
            self._segment(number // 3 * 3 + env, part * 3, 3 + env * (part == 2), part == 2)
            for env in range(3)
        ]

    def _segment(self, episode, offset, length, ended):
        rng = np.random.default_rng([episode, offset])
        rows = length + ended
        return Segment(
            episode=episode,
            offset=offset,
            columns={
                "observation": rng.integers(0, 256, (rows, 2, 3), dtype=np.uint8),
                "reward": rng.random(length).astype(np.float32),
                "root_value": rng.random(length).astype(np.float32),
                "action_mask": rng.random((rows, 2)) < 0.5,
            },
            length=length,
            ended=ended,
            terminated=ended and episode % 2 == 0,
            priority=rng.random(length) + 0.1 if episode % 3 else None,
        )


def play(buffer, stream, rounds):
    """Push, learn and return all that was seen."""
    seen = []
    for _ in range(rounds):
        buffer.push(stream.next())
        buffer.remove_oldest_data_to_fit()
        for size in (2, 5):
            if buffer.can_sample(size):
                batch = buffer.sample(size, Everything())
                new = np.array(batch["steps_left"]) / 7 + 0.01
                buffer.update_priority(np.array(batch["index"]), new, np.array(batch["stamp"]))
                seen.append(batch)
        seen.append((buffer.num_transitions, buffer.num_episodes, buffer.num_eligible))
    return seen


def stored(state):
    """Return a state as it comes back from disk."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("rounds", [1, 4, 9, 20])  # running, grown, full, wrapped several times
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attached", [True, False])
def test_a_loaded_buffer_goes_on_bit_for_bit(tmp_path, attached, kind, rounds):
    directory = tmp_path / "replay" if attached else None
    buffer, stream = make(directory, **KINDS[kind]), Stream()
    play(buffer, stream, rounds)
    state = stored(buffer.state_dict())

    loaded = make(directory, key=99, **KINDS[kind])
    loaded.load_state_dict(state)

    assert loaded.manifest() == buffer.manifest()
    expected = play(make_copy(buffer, stream, kind), Stream(rounds), 8)
    assert play(loaded, Stream(rounds), 8) == expected


def make_copy(buffer, stream, kind):
    """Return a buffer that was never saved: the same pushes from the start, without files."""
    again = make(**KINDS[kind])
    play(again, Stream(), stream.pushes)
    return again


def test_saving_does_not_disturb_the_buffer_nor_later_changes_the_state(tmp_path):
    buffer, stream = make(tmp_path, use_priority=True), Stream()
    play(buffer, stream, 4)
    state = buffer.state_dict()
    before = stored(state)
    expected = play(make_copy(buffer, stream, "priority"), Stream(4), 3)

    assert play(buffer, stream, 3) == expected

    for name, values in before["columns"].items():
        assert torch.equal(values, state["columns"][name])
    assert before["generator"] == state["generator"]


def test_a_used_buffer_can_go_back_to_an_earlier_state(tmp_path):
    buffer, stream = make(tmp_path, use_priority=True), Stream()
    play(buffer, stream, 5)
    state = stored(buffer.state_dict())
    first = play(buffer, Stream(5), 3)

    buffer.load_state_dict(state)

    assert play(buffer, Stream(5), 3) == first


def test_fixed_columns_are_in_files_and_only_the_others_in_the_state(tmp_path):
    buffer = make(tmp_path, use_priority=True)
    buffer.push(Stream().next())

    assert set(buffer.state_dict()["columns"]) == {"root_value", "priority"}
    with np.load(tmp_path / "000000.npz", allow_pickle=False) as file:
        assert file["column.observation"].dtype == np.uint8
        assert file["column.reward"].shape == (9,)
        assert "column.root_value" not in file

    alone = make(use_priority=True)
    alone.push(Stream().next())
    assert set(alone.state_dict()["columns"]) == {c.name for c in COLUMNS} | {"priority"}


def test_each_push_writes_one_file_and_nothing_is_written_twice(tmp_path):
    buffer, stream = make(tmp_path), Stream()
    for _ in range(3):
        buffer.push(stream.next())
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    buffer.push(stream.next())
    buffer.state_dict()

    now = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(written) == ["000000.npz", "000001.npz", "000002.npz"]
    assert sorted(now) == [*sorted(written), "000003.npz"]
    assert {name: now[name] for name in written} == written


def test_a_file_stays_named_until_its_last_row_is_forgotten(tmp_path):
    buffer, stream = make(tmp_path, capacity=12), Stream()
    buffer.push(stream.next())  # rows 0..8, three segments of three
    buffer.push(stream.next())  # twelve transitions fit: the last segment of the first push stays

    assert [entry["name"] for entry in buffer.manifest()] == ["000000.npz", "000001.npz"]
    buffer.push(stream.next())
    assert [entry["name"] for entry in buffer.manifest()] == ["000002.npz"]


def test_files_that_no_checkpoint_names_are_deleted_and_others_left_alone(tmp_path):
    buffer, stream = make(tmp_path, capacity=12), Stream()
    manifests = []
    for _ in range(5):
        buffer.push(stream.next())
        manifests.append(buffer.manifest())
    for name in ("notes.txt", "model.npz", "000009.npz.tmp"):
        (tmp_path / name).write_text("mine")

    gone = prune(tmp_path, manifests[3:])

    kept = {entry["name"] for manifest in manifests[3:] for entry in manifest}
    assert "000009.npz.tmp" in gone
    assert set(gone).isdisjoint(kept)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"notes.txt", "model.npz"}


def test_a_file_written_after_the_checkpoint_is_overwritten_on_resume(tmp_path):
    killed = make(tmp_path)
    play(killed, Stream(), 3)
    state = stored(killed.state_dict())
    killed.push(Stream(3).next())  # not in the checkpoint; other data than what follows now

    resumed = make(tmp_path)
    resumed.load_state_dict(state)
    resumed.push(Stream(6).next())
    last = make(tmp_path)
    last.load_state_dict(stored(resumed.state_dict()))

    assert last.sample(4, Everything()) == resumed.sample(4, Everything())
    assert max(path.name for path in tmp_path.iterdir()) == "000003.npz"


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        make(tmp_path / name).push(Stream().next())

    one, other = tmp_path / "a" / "000000.npz", tmp_path / "b" / "000000.npz"
    assert one.read_bytes() == other.read_bytes()


def test_attaching_later_saves_what_is_already_there(tmp_path):
    buffer = make()
    play(buffer, Stream(), 3)
    buffer.attach(tmp_path)
    buffer.push(Stream(3).next())

    loaded = make(tmp_path)
    loaded.load_state_dict(stored(buffer.state_dict()))

    assert loaded.sample(4, Everything()) == buffer.sample(4, Everything())


# --- damage --------------------------------------------------------------------------------------


def saved(directory, **settings):
    buffer = make(directory, **settings)
    buffer.push(Stream().next())
    return stored(buffer.state_dict())


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"observation.npy") + 200] ^= 1
    path.write_bytes(content)


def swap(path):
    make(path.parent / "other").push(Stream(30).next())
    (path.parent / "other" / path.name).replace(path)


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"000000\.npz is damaged \(File is not a zip file\)"),
        (flip, r"000000\.npz is damaged \(Bad CRC-32 for file 'column\.observation\.npy'\)"),
        (swap, r"000000\.npz is not the one that the checkpoint was saved with"),
        (remove, r"000000\.npz is missing"),
    ],
)
def test_a_file_that_is_not_what_was_saved_is_named_with_a_remedy(tmp_path, damage, message):
    state = saved(tmp_path)
    damage(tmp_path / "000000.npz")

    with pytest.raises(ReplayError, match=message + r".*Bring the run directory's replay files"):
        make(tmp_path).load_state_dict(state)


def resave(path, state, **changed):
    """Write other arrays under a name, and let the state expect exactly that file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, **changed})
    with zipfile.ZipFile(path) as archive:
        marks = "\n".join(f"{m.filename}:{m.CRC}" for m in archive.infolist())
    state["files"]["manifest"][0]["fingerprint"] = zlib.crc32(marks.encode())


def test_rows_of_another_count_or_place_are_refused(tmp_path):
    state = saved(tmp_path)
    path = tmp_path / "000000.npz"
    resave(path, state, **{"column.reward": np.zeros(8, np.float32)})

    with pytest.raises(
        ReplayError, match=r"float32 \(8,\) from row 0 on as 'reward'; expected float32 \(9,\)"
    ):
        make(tmp_path).load_state_dict(state)

    resave(path, state, **{"column.reward": np.zeros(9, np.float32), "first": np.int64(5)})
    with pytest.raises(ReplayError, match=r"from row 5 on .* from row 0 on"):
        make(tmp_path).load_state_dict(state)


def test_a_file_that_holds_code_is_not_run(tmp_path):
    state = saved(tmp_path)
    reward = np.array([print] * 9, dtype=object)
    resave(tmp_path / "000000.npz", state, **{"column.reward": reward})

    with pytest.raises(ReplayError, match=r"is damaged \(Object arrays cannot be loaded"):
        make(tmp_path).load_state_dict(state)


def test_what_a_later_version_wrote_is_refused_with_the_way_out(tmp_path):
    state = saved(tmp_path)
    resave(tmp_path / "000000.npz", state, format=np.int64(2))
    with pytest.raises(ReplayError, match=r"000000\.npz has replay format 2, .* up to 1\. Upgrade"):
        make(tmp_path).load_state_dict(state)

    with pytest.raises(ReplayError, match="The checkpoint has replay format 7"):
        make(tmp_path).load_state_dict({**state, "format": 7})


def test_a_state_of_other_columns_or_settings_is_refused(tmp_path):
    state = saved(tmp_path)

    with pytest.raises(ReplayError, match=r"has as unroll_steps: 2; this policy asks for: 4\. Res"):
        make(tmp_path, unroll_steps=4).load_state_dict(state)
    with pytest.raises(ReplayError, match=r"column 'reward': float32 \(\), fixed; .* for: none"):
        make(tmp_path, columns=COLUMNS[:1]).load_state_dict(state)
    with pytest.raises(ReplayError, match=r"column 'priority': none; .* float64 \(\), changing"):
        make(tmp_path, use_priority=True).load_state_dict(state)


def test_a_state_with_files_needs_their_directory(tmp_path):
    with pytest.raises(ReplayError, match=r"name their directory with attach\(\) first"):
        make().load_state_dict(saved(tmp_path))


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    buffer = make(tmp_path / "taken")

    with pytest.raises(ReplayError, match=r"Cannot write the replay file .*000000\.npz: .*taken"):
        buffer.push(Stream().next())


def test_a_full_disk_leaves_no_half_written_file(tmp_path, monkeypatch):
    buffer, stream = make(tmp_path), Stream()
    buffer.push(stream.next())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ReplayError, match=r"No space left on device.* Free some space"):
        buffer.push(stream.next())

    assert [path.name for path in tmp_path.iterdir()] == ["000000.npz"]
