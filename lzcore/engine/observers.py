"""The core's own observers of a run: plugins to the same hooks as everybody's.

Every number that is told of a run passes through `record`, so that the log, TensorBoard and
`--json` agree on its name.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lzcore.engine.evaluator import EvaluationResult
from lzcore.engine.files import writing
from lzcore.engine.metrics import read_lines, to_json
from lzcore.engine.plan import Outcome, Run
from lzcore.registry import hookimpl

PLACE = ("kind", "iteration", "env_step", "learn_step")  # where in the run a record belongs


def record(kind: str, run: Run, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is logged of one event, without anything that depends on the clock."""
    counters = run.counters
    told = {name: value for name, value in values.items() if name != "seconds"}
    place = (kind, counters.iteration, counters.env_step, counters.learn_step)
    return {**dict(zip(PLACE, place, strict=True)), **told}


def scalars(told: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the tag and value of each single number of a record."""
    for name, value in told.items():
        if name not in PLACE and isinstance(value, (int, float)):
            yield f"{told['kind']}/{name}", float(value)


class _Recorder:
    """Hands each record that is due to `take`."""

    def take(self, run: Run, told: Mapping[str, Any]) -> None:
        raise NotImplementedError

    @hookimpl
    def lz_collected(self, run: Run, stats: Mapping[str, Any]) -> None:
        if _due(run):
            self.take(run, record("collected", run, stats))

    @hookimpl
    def lz_learned(self, run: Run, metrics: Mapping[str, float]) -> None:
        if _due(run):
            self.take(run, record("learned", run, metrics))

    @hookimpl
    def lz_evaluated(self, run: Run, result: EvaluationResult) -> None:
        self.take(run, record("evaluated", run, result.to_dict()))


def _due(run: Run) -> bool:
    return run.counters.iteration % run.settings.log_every == 0


class MetricsLog(_Recorder):
    """Writes metrics.jsonl."""

    def take(self, run: Run, told: Mapping[str, Any]) -> None:
        """Append one record."""
        run.metrics.add(told)


class JsonDisplay(_Recorder):
    """Prints a JSON object a line: `lz run --json`."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Print to `out`; None: standard output."""
        self._out = out or sys.stdout

    def take(self, run: Run, told: Mapping[str, Any]) -> None:
        """Print one record."""
        print(to_json(told), file=self._out, flush=True)

    @hookimpl
    def lz_run_started(self, run: Run) -> None:
        """Say what is in force."""
        resolved = run.plan.resolved
        about = {
            "policy": resolved.policy_name,
            "env": resolved.env_id,
            "seed": resolved.run.seed,
            "preset": resolved.preset,
            "directory": str(run.directory.path),
            "facts": dict(run.facts),
        }
        self.take(run, record("started", run, about))

    @hookimpl
    def lz_run_finished(self, run: Run, outcome: Outcome) -> None:
        """Say how it ended."""
        self.take(run, {"kind": "finished", **outcome.to_dict()})


class TensorBoard(_Recorder):
    """Writes event files, which a resumed run begins anew from metrics.jsonl.

    What was collected and evaluated is drawn over env steps, what was learned over learn steps.
    """

    def __init__(self) -> None:
        self._writer: Any = None

    @hookimpl
    def lz_run_started(self, run: Run) -> None:
        """Clear the event files and write what metrics.jsonl already holds."""
        from torch.utils.tensorboard import SummaryWriter  # late: it loads much

        _clear(run.directory.tensorboard)
        self._writer = SummaryWriter(str(run.directory.tensorboard))
        run.metrics.flush()
        for told in read_lines(run.metrics.path):
            self.take(run, told)

    def take(self, run: Run, told: Mapping[str, Any]) -> None:
        """Write the numbers of one record."""
        step = told["learn_step" if told["kind"] == "learned" else "env_step"]
        for tag, value in scalars(told):
            self._writer.add_scalar(tag, value, step)

    @hookimpl
    def lz_checkpoint_saved(self) -> None:
        """Let readers see what was written."""
        self._writer.flush()

    @hookimpl
    def lz_run_finished(self) -> None:
        """Close the event file, if the run came as far as to have one."""
        if self._writer is not None:
            self._writer.close()


def _clear(directory: Path) -> None:
    with writing(directory):
        directory.mkdir(exist_ok=True)
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
