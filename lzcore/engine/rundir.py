"""The run directory: everything that is kept of one run.

config.toml      every setting, complete: enough to make the same run again
run.json         versions, seed, commands, machine; one entry for each session
metrics.jsonl    what happened, without times        times.jsonl    what it took
checkpoints/     the last few, and best.pt           replay/        rows of stored episodes
tensorboard/     the metrics as event files            failure.txt      what ended the last session

Of a run of several ranks, replay/rank0, replay/rank1 and so on hold the rows of each.
"""

import fcntl
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

import lzcore
from lzcore.base.errors import CheckpointError
from lzcore.base.ranks import Ranks
from lzcore.engine.files import write_atomically, writing

FORMAT = 1  # of run.json


def default_directory(policy: str, env_id: str, seed: int, root: Path = Path("runs")) -> Path:
    """Return runs/<policy>_<env>_s<seed>, with a number behind it if that is taken."""
    name = f"{_safe(policy)}_{_safe(env_id)}_s{seed}"
    found, number = root / name, 1
    while found.exists():
        number += 1
        found = root / f"{name}_{number}"
    return found


def _taken(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "unnamed"


class RunDirectory:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.facts = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.times = path / "times.jsonl"
        self.checkpoints = path / "checkpoints"
        self.replay = path / "replay"
        self.tensorboard = path / "tensorboard"
        self.diverged = path / "diverged_batch.pt"
        self.failure = path / "failure.txt"
        self.go_on = f"lz run --resume {path}"  # the command that resumes the run

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make the directory of a new run.

        Args:
            path: must not exist, or be empty.
        Raises:
            CheckpointError: something is there already, or it cannot be written.
        """
        if path.is_file():
            raise CheckpointError(
                f"{path} is a file; a run needs a directory that is new or empty. "
                "Choose another one with --out."
            )
        if _taken(path):
            raise CheckpointError(_occupied(cls(path)))
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Take the directory of an existing run.

        Raises:
            CheckpointError: it is none.
        """
        self = cls(path)
        if not self.config.is_file():
            raise CheckpointError(
                f"{path} is no run directory: there is no config.toml in it. "
                "Give the directory that `lz run` printed."
            )
        return self

    def of_rank(self, ranks: Ranks) -> "RunDirectory":
        """Return the directory as one of several ranks writes to it, apart from the others."""
        found = RunDirectory(self.path)
        if ranks.count > 1:
            found.replay = self.replay / f"rank{ranks.rank}"
            found.go_on = f"torchrun --no-python --nproc-per-node {ranks.count} {self.go_on}"
            found.diverged = self.diverged.with_stem(f"{self.diverged.stem}_rank{ranks.rank}")
            found.failure = self.failure.with_stem(f"{self.failure.stem}_rank{ranks.rank}")
        return found

    def forget(self) -> None:
        """Remove the directory if nothing was written to it."""
        with suppress(OSError):
            self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to this run inside, for as long as this one lives.

        Some network file systems know no locks; there, nothing keeps others out.

        Raises:
            CheckpointError: another one is running in it.
        """
        with writing(self.path):
            handle = os.open(self.path, os.O_RDONLY)
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise CheckpointError(
                f"Another process is running in {self.path}. Wait for it, or stop it."
            ) from err
        except OSError:
            return

    def write_config(self, text: str) -> None:
        """Write config.toml."""
        write_atomically(self.config, text.encode())

    def read_config(self) -> str:
        """Return the text of config.toml."""
        try:
            return self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise CheckpointError(
                f"Cannot read {self.config}: {err}. Bring it back from a copy."
            ) from err

    def read_facts(self) -> dict[str, Any]:
        """Return what run.json holds, or what an empty one would."""
        try:
            found: dict[str, Any] = json.loads(self.facts.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"format": FORMAT, "sessions": []}
        except (OSError, ValueError) as err:
            raise CheckpointError(
                f"Cannot read {self.facts}: {err}. Nothing depends on it: delete it to go on."
            ) from err
        return found

    def add_session(self, about: Mapping[str, Any], session: Mapping[str, Any]) -> list[str]:
        """Note in run.json that work on this run begins.

        Args:
            about: what is true of the whole run: policy, environment, seed.
            session: what is true of this session, see `session_facts`.
        Returns:
            Distributions that changed since the session before, each as "torch 2.4 -> 2.5".
        """
        facts = self.read_facts()
        before = facts["sessions"][-1]["versions"] if facts.get("sessions") else {}
        facts = {"format": FORMAT, **about, "sessions": [*facts.get("sessions", []), session]}
        write_atomically(self.facts, (json.dumps(facts, indent=1) + "\n").encode())
        now = session["versions"]
        return [
            f"{name} {before[name]} -> {now.get(name, 'missing')}"
            for name in before
            if before[name] != now.get(name)
        ]


def _occupied(found: RunDirectory) -> str:
    """Say what to do about a directory that something is in."""
    go_on = f"Go on with the run in it by `lz run --resume {found.path}`, or choose"
    remedy = go_on if found.config.exists() else "Choose"
    return f"{found.path} is not empty. {remedy} another directory with --out."


def session_facts(command: Sequence[str], device: str) -> dict[str, Any]:
    """Return what should be known of a session to understand its numbers later."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "lzcore": lzcore.__version__,
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "device": device,
        },
        "python": sys.version.split()[0],
        "threads": torch.get_num_threads(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.M)
    return found[1] if found else platform.processor()
