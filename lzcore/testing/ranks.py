"""Calling functions in several ranks at once, each a process as torchrun would have started it.

    def learned(steps):
        with joined(True) as ranks:
            ...

    first, second = in_ranks(learned, 3)

The processes are forked from one that has imported the functions' files, so that torch is loaded
once. They run on one machine and talk over gloo.
"""

import importlib.util
import inspect
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch


class Call(NamedTuple):
    """A function that every rank calls."""

    function: Callable[..., Any]  # of the top level of a file, which is imported again
    given: tuple[Any, ...] = ()  # its arguments, which pickle can write
    ranks: int = 2  # how many


class Told(NamedTuple):
    """How a rank ended."""

    status: int  # 0: it returned; 1: it raised; -N: signal N killed it
    value: Any  # what it returned; None if it did not
    err: str  # what it printed on stderr, a traceback included


def in_ranks(function: Callable[..., Any], *given: Any, ranks: int = 2) -> list[Told]:
    """Call one function in every rank; arguments, result and errors as for `one_by_one`."""
    return one_by_one([Call(function, given, ranks)])[0]


def one_by_one(calls: Sequence[Call], seconds: float = 120.0) -> list[list[Told]]:
    """Make some calls, one after another, each in new ranks.

    Args:
        calls: what is called.
        seconds: after which all ranks are killed.
    Returns:
        How the ranks of each call ended, in their order.
    Raises:
        TimeoutError: the seconds were over.
        RuntimeError: a file cannot be imported.
    """
    asked = [
        (inspect.getsourcefile(call.function), call.function.__name__, call.given, call.ranks)
        for call in calls
    ]
    with TemporaryDirectory() as place:
        torch.save(asked, Path(place, "asked"))
        _finished([sys.executable, "-m", __name__, place], seconds)
        return [
            [_told(f"{place}/{number}.{rank}") for rank in range(call.ranks)]
            for number, call in enumerate(calls)
        ]


def _finished(command: list[str], seconds: float) -> None:
    found = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=found
    )
    try:
        _, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TimeoutError(f"The ranks did not end within {seconds:g} seconds.") from None
    if process.returncode:
        raise RuntimeError(err)


def _told(place: str) -> Told:
    found = Path(f"{place}.value")
    value = torch.load(found, weights_only=False) if found.exists() else None
    status, err = (Path(f"{place}.{name}").read_text() for name in ("status", "err"))
    return Told(int(status), value, err)


# --- in the other processes -----------------------------------------------------------------------


def _main(folder: str) -> None:
    """Make all calls."""
    asked = torch.load(Path(folder, "asked"), weights_only=False)
    modules = {file: _imported(file) for file, *_ in asked}
    for number, (file, name, given, count) in enumerate(asked):
        _fork(getattr(modules[file], name), given, count, f"{folder}/{number}")


def _imported(file: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _fork(function: Callable[..., Any], given: Any, count: int, place: str) -> None:
    """Make one call in new ranks, and wait for their end."""
    shared = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    ranks = {}
    for rank in range(count):
        child = os.fork()
        if not child:
            os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank))
            _call(function, given, f"{place}.{rank}")
        ranks[child] = rank
    while ranks:
        child, status = os.wait()
        told = Path(f"{place}.{ranks.pop(child)}.status")
        told.write_text(str(os.waitstatus_to_exitcode(status)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _call(function: Callable[..., Any], given: Any, place: str) -> None:
    """Call the function in this process, and end it."""
    os.dup2(os.open(f"{place}.err", os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    status = 1
    try:
        torch.save(function(*given), f"{place}.value")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)  # taking torch apart is slow


if __name__ == "__main__":
    _main(sys.argv[1])
