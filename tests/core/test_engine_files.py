"""What a crash, a full disk or a stranger's file can do to checkpoints and logs: nothing."""

import errno
import json
import os
import pickle
import stat
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

import lzcore
from lzcore.base import CheckpointError
from lzcore.engine import rundir
from lzcore.engine.checkpoint import CheckpointStore, load_file, numbered, save_file
from lzcore.engine.files import write_atomically
from lzcore.engine.metrics import JsonLines, read_lines, to_json
from lzcore.engine.plain import from_plain, loosely, to_plain
from lzcore.engine.rundir import RunDirectory, default_directory, session_facts
from lzcore.engine.saving import sharing
from lzcore.replay import atomic

# --- plain data -----------------------------------------------------------------------------------


def there_and_back(path, value):
    save_file(path, {"value": value})
    return load_file(path)["value"]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int64", "uint64", "float32", "float64"]
)
def test_arrays_come_back_as_arrays_of_the_same_type(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)

    found = there_and_back(tmp_path / "a.pt", {"deep": [array, array[:, ::2], array[0, 0]]})

    assert found["deep"][0].dtype == array.dtype
    np.testing.assert_array_equal(found["deep"][0], array)
    np.testing.assert_array_equal(found["deep"][1], array[:, ::2])
    assert found["deep"][2] == array[0, 0]


def test_all_that_optimizers_and_generators_keep_comes_back(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    generator = np.random.default_rng(3)
    state = {
        "optimizer": optimizer.state_dict(),
        "generator": generator.bit_generator.state,  # its integers have 128 bits
        "torch": torch.get_rng_state(),
        "plain": (1, 2.5, "text", None, True, b"bytes", [], {}, {7: "number"}),
        "ordered": OrderedDict(b=1, a=2),
        "counter": Counter({40: 1}),
    }

    found = there_and_back(tmp_path / "a.pt", state)

    assert found["generator"] == state["generator"]
    assert found["plain"] == state["plain"]
    assert list(found["ordered"]) == ["b", "a"]
    assert type(found["counter"]) is Counter
    torch.testing.assert_close(found["optimizer"]["state"][0], state["optimizer"]["state"][0])
    assert torch.equal(found["torch"], state["torch"])


def test_weights_that_two_states_share_are_written_once(tmp_path):
    weights = torch.zeros(100_000)

    save_file(tmp_path / "one.pt", {"learn": weights})
    save_file(tmp_path / "two.pt", {"learn": weights, "eval": weights})

    assert (tmp_path / "two.pt").stat().st_size < (tmp_path / "one.pt").stat().st_size + 1000


def test_equal_tensors_in_one_place_are_shared_and_all_else_is_kept():
    one = torch.ones(3)
    known = {"model": OrderedDict(same=one, other=one, type=one, shape=one, plain=one), "n": 1}
    model = {
        "same": torch.ones(3),
        "other": torch.zeros(3),
        "type": torch.ones(3, dtype=torch.float64),
        "shape": torch.ones(3, 1),
        "new": torch.ones(3),
        "plain": [1.0],
    }

    found = sharing({"model": OrderedDict(model), "n": 2}, known)

    assert found["n"] == 2
    assert type(found["model"]) is OrderedDict
    assert found["model"].keys() == model.keys()
    assert found["model"].pop("same") is one
    assert all(value is model[name] for name, value in found["model"].items())


class Thing:
    pass


@pytest.mark.parametrize("value", [Thing(), {1, 2}, np.array(["text"]), np.array([None])])
def test_what_is_not_data_is_refused_with_its_place(value):
    with pytest.raises(CheckpointError, match=r"state\['policy'\]\[1\] is a .*Return those from"):
        to_plain({"policy": [0, value]})


def test_arrays_that_may_not_be_written_to_are_copied():
    array = np.arange(3)
    array.flags.writeable = False

    assert from_plain(to_plain(array)).tolist() == [0, 1, 2]


def test_of_anything_that_diverged_something_can_be_kept():
    class Batch(tuple):
        def _asdict(self):
            return {"obs": np.zeros(2), "thing": Thing}

    kept = loosely([Batch(), torch.ones(1), "text"])

    assert kept[0]["thing"] == repr(Thing)
    assert from_plain(kept[0]["obs"]).tolist() == [0.0, 0.0]
    assert kept[1:] == [torch.ones(1), "text"]


# --- atomic writing -------------------------------------------------------------------------------


def refuse(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path, monkeypatch, call, number
):
    path = tmp_path / "checkpoint.pt"
    write_atomically(path, b"old")
    monkeypatch.setattr(atomic.os, call, refuse(number))

    with pytest.raises(CheckpointError, match=f"Cannot write .*: {os.strerror(number)}. Make room"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_file_and_directory_are_on_disk_when_a_write_returns(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def spy(handle):
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(atomic.os, "fsync", spy)
    write_atomically(tmp_path / "checkpoint.pt", b"new")

    assert synced == [False, True]  # the rename lasts through a power cut too


def test_a_process_killed_between_writing_and_renaming_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "000001.pt"
    save_file(path, {"value": "old"})

    def killed(*_):
        raise SystemExit  # as far as the file is concerned, as good as SIGKILL:

    monkeypatch.setattr(atomic.os, "replace", killed)
    monkeypatch.setattr(atomic.Path, "unlink", lambda *_, **__: None)  # nothing is tidied up
    with pytest.raises(SystemExit):
        save_file(path, {"value": "new"})
    monkeypatch.undo()

    assert load_file(path)["value"] == "old"
    assert numbered(tmp_path) == [path]
    CheckpointStore(tmp_path, keep=2).save(2, {})  # and the next one tidies up
    assert sorted(os.listdir(tmp_path)) == ["000001.pt", "000002.pt"]


# --- damaged and foreign checkpoints --------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """Three checkpoints of which two are kept, and the best."""
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    for iteration in (1, 2, 3):
        store.save(iteration, {"weights": torch.arange(500.0) + iteration})
    store.save_as("best.pt", {"weights": torch.zeros(3)})
    return store


def test_the_last_few_are_kept_oldest_first(kept):
    assert [path.name for path in kept.kept()] == ["000002.pt", "000003.pt"]
    assert load_file(kept.kept()[0])["weights"][0] == 2.0


def test_the_millionth_checkpoint_is_the_latest(tmp_path):
    for iteration in (999_998, 1_000_000):
        CheckpointStore(tmp_path, keep=2).save(iteration, {})

    assert [path.stem for path in numbered(tmp_path)] == ["999998", "1000000"]


def test_a_truncated_checkpoint_is_named_with_the_one_to_fall_back_on(kept):
    path = kept.kept()[-1]
    for size in (0, 1, 100, path.stat().st_size // 2, path.stat().st_size - 1):
        whole = path.read_bytes()
        path.write_bytes(whole[:size])
        with pytest.raises(
            CheckpointError,
            match=r"000003\.pt is damaged \(.+\)\. Move it away to go on from 000002\.pt",
        ) as err:
            load_file(path)
        assert "\n" not in str(err.value)
        path.write_bytes(whole)


def test_no_flipped_byte_changes_what_is_read(kept):
    path = kept.kept()[-1]
    whole = path.read_bytes()
    right = load_file(path)
    for place in range(7, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = load_file(path)
        except CheckpointError as err:
            assert "000003.pt" in str(err)  # noqa: PT017 (some bytes are padding)
        else:
            assert torch.equal(found["weights"], right["weights"])


def test_a_damaged_best_checkpoint_names_the_latest(kept):
    best = kept.path("best.pt")
    best.write_bytes(b"not a checkpoint")

    with pytest.raises(CheckpointError, match=r"000003\.pt is kept beside it: use it with --check"):
        load_file(best)


def test_a_missing_checkpoint_says_what_there_is(kept, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint file .*000009\.pt\. There are 0"):
        load_file(tmp_path / "checkpoints" / "000009.pt")
    with pytest.raises(CheckpointError, match=r"nowhere\.pt\. They are in the folder checkpoints"):
        load_file(tmp_path / "nowhere.pt")


def test_a_newer_format_is_refused_with_what_to_install(tmp_path):
    torch.save({"format": 2, "lzcore": "3.1"}, tmp_path / "a.pt")

    with pytest.raises(
        CheckpointError, match=r'has format 2 and .* lzcore 3\.1; .*pip install "lzcore>=3\.1"'
    ):
        load_file(tmp_path / "a.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "a.pt")

    with pytest.raises(CheckpointError, match="is no checkpoint of lz"):
        load_file(tmp_path / "a.pt")


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    torch.save({"format": 1, "evil": Evil()}, tmp_path / "a.pt", pickle_module=pickle)

    with pytest.raises(CheckpointError, match="holds more than data and was not read"):
        load_file(tmp_path / "a.pt")
    assert not (tmp_path / "owned").exists()


# --- logs -----------------------------------------------------------------------------------------


def test_a_log_goes_on_where_the_checkpoint_was_taken(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = JsonLines(path, 0)
    log.add({"step": 1})
    size = log.sync()
    log.add({"step": 2})
    log.close()

    again = JsonLines(path, size)
    again.add({"step": 20})
    again.close()

    assert list(read_lines(path)) == [{"step": 1}, {"step": 20}]


def test_a_log_that_was_cut_back_knows_its_size_before_anything_is_added(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    log = JsonLines(path, 12)

    assert log.sync() == 12 == path.stat().st_size
    log.add({"step": 20})
    assert log.sync() == 25
    log.close()


def test_a_log_that_was_cut_since_is_refused(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}\n")

    with pytest.raises(CheckpointError, match="has 3 bytes, but had 10 when the checkpoint"):
        JsonLines(tmp_path / "metrics.jsonl", 10)


def test_a_log_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"Cannot write .*nowhere/m\.jsonl: No such file"):
        JsonLines(tmp_path / "nowhere" / "m.jsonl", 0)


def test_a_record_is_plain_json_whatever_numbers_it_holds():
    line = to_json({"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": (1, "é")})

    assert json.loads(line) == {"a": 0.5, "b": [0, 1], "c": None, "d": [1, "é"]}


# --- the run directory ----------------------------------------------------------------------------


def test_a_default_directory_is_named_after_the_run_and_numbered_if_taken(tmp_path):
    def name():
        return default_directory("tiny", "ALE/Pong-v5", 3, tmp_path)

    assert name() == tmp_path / "tiny_ALE-Pong-v5_s3"
    name().mkdir()  # of a run that was started a moment ago, and has written nothing yet
    assert name() == tmp_path / "tiny_ALE-Pong-v5_s3_2"
    name().touch()
    assert name() == tmp_path / "tiny_ALE-Pong-v5_s3_3"


def test_a_new_run_takes_an_empty_directory_and_no_other(tmp_path):
    RunDirectory.create(tmp_path / "new" / "deep")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear to me")

    with pytest.raises(CheckpointError, match=r"full is not empty\. Choose another"):
        RunDirectory.create(tmp_path / "full")

    (tmp_path / "full" / "config.toml").touch()
    with pytest.raises(CheckpointError, match=r"full is not empty\. Go on .*--resume .*full"):
        RunDirectory.create(tmp_path / "full")


def test_a_directory_is_forgotten_only_while_nothing_is_in_it(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    directory.write_config("")
    directory.forget()
    assert directory.path.exists()

    directory.config.unlink()
    directory.forget()
    assert not directory.path.exists()


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CheckpointError, match=r"Cannot write .*file/run: Not a directory"):
        RunDirectory.create(tmp_path / "file" / "run")


def test_what_holds_no_config_is_no_run_directory(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no run directory: there is no config\.toml"):
        RunDirectory.open(tmp_path)


def test_two_processes_do_not_write_to_one_run(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")

    with (
        directory.locked(),
        pytest.raises(CheckpointError, match=r"Another process is running in .*run"),
        RunDirectory(tmp_path / "run").locked(),
    ):
        pass
    with directory.locked():  # and afterwards it is free again
        pass


def test_a_full_pipe_inside_a_run_is_not_taken_for_another_process(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")

    with pytest.raises(BlockingIOError), directory.locked():
        raise BlockingIOError


def test_a_file_system_without_locks_can_hold_runs(tmp_path, monkeypatch):
    directory = RunDirectory.create(tmp_path / "run")
    monkeypatch.setattr(rundir.fcntl, "flock", refuse(errno.ENOLCK))
    entered = []

    with directory.locked():
        entered.append(directory.path)

    assert entered == [directory.path]


def test_run_json_tells_versions_and_machine_and_what_changed_between_sessions(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    session = session_facts(["lz", "run"], "cpu")

    assert directory.add_session({"seed": 3}, session) == []
    changed = directory.add_session({"seed": 3}, {**session, "versions": {"torch": "99"}})

    facts = json.loads(directory.facts.read_text())
    assert facts["seed"] == 3
    assert facts["sessions"][0]["command"] == ["lz", "run"]
    assert facts["sessions"][0]["versions"]["numpy"] == np.__version__
    assert facts["sessions"][0]["machine"]["device"] == "cpu"
    assert facts["sessions"][0]["threads"] == torch.get_num_threads()
    assert facts["sessions"][0]["lzcore"] == lzcore.__version__
    assert f"torch {session['versions']['torch']} -> 99" in changed


def test_damaged_facts_are_named_with_a_remedy(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    directory.facts.write_text("{")

    with pytest.raises(CheckpointError, match=r"Cannot read .*run\.json: .* delete it to go on"):
        directory.add_session({}, {"versions": {}})
