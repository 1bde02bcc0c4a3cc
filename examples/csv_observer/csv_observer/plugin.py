"""What this distribution brings: hooks that watch every run."""

from typing import Any

from csv_observer.table import Table
from lzcore.registry import hookimpl

LZ_API = 1
_tables: dict[int, Table] = {}  # of the runs that go on in this process


@hookimpl
def lz_run_started(run: Any) -> None:
    """Open the file, or go on with the one that a resumed run has."""
    table = _tables[id(run)] = Table(run.directory.path / "evaluations.csv")
    table.cut_back(run.counters.env_step)


@hookimpl
def lz_evaluated(run: Any, result: Any) -> None:
    """Write a row."""
    steps = result.at["env_step"], result.at["learn_step"]
    _tables[id(run)].add(*steps, result.mean, result.std, run.seconds)


@hookimpl
def lz_run_finished(run: Any) -> None:
    """Forget the run."""
    _tables.pop(id(run), None)
