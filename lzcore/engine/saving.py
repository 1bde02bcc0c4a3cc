"""A whole run as one checkpoint, and back: all that its next iteration is a function of."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from lzcore.base.errors import CheckpointError
from lzcore.engine.assemble import Parts
from lzcore.engine.checkpoint import CheckpointStore, fitting, load_file
from lzcore.engine.files import writing
from lzcore.engine.plan import Counters, Run
from lzcore.engine.rundir import RunDirectory
from lzcore.replay.files import prune


class Saver:
    """Writes the checkpoints of a run, and deletes what no kept checkpoint needs."""

    def __init__(self, directory: RunDirectory, parts: Parts, keep: int) -> None:
        """Keep the replay's rows in the run directory from now on.

        Args:
            directory: of the run.
            parts: whose state is saved.
            keep: how many of the latest checkpoints stay.
        """
        self.store = CheckpointStore(directory.checkpoints, keep)
        self._parts = parts
        self._config = directory.config
        self._replay = directory.replay
        self._manifests: dict[Path, Any] = {}  # of the kept checkpoints
        parts.buffer.attach(directory.replay)

    def save(self, run: Run) -> Path:
        """Write the checkpoint before the next iteration."""
        content = self._state(run)
        path = self.store.save(run.counters.iteration, content)
        self._manifests[path] = content["manifest"]
        kept = set(self.store.kept())
        self._manifests = {path: m for path, m in self._manifests.items() if path in kept}
        with writing(self._replay):
            prune(self._replay, self._manifests.values())
        return path

    def _state(self, run: Run) -> dict[str, Any]:
        policy, counters = self._parts.policy, run.counters
        learn = policy.learn_mode.state_dict()
        running = self._parts.collector.state_dict()
        return {
            "kind": "run",
            "policy": {
                "learn": learn,
                "collect": sharing(policy.collect_mode.state_dict(), learn),
                "eval": sharing(policy.eval_mode.state_dict(), learn),
            },
            "buffer": self._parts.buffer.state_dict(),
            "manifest": self._parts.buffer.manifest(),
            "counters": {**attrs.asdict(counters), "seconds": run.seconds},
            "logs": {"metrics": run.metrics.sync(), "times": run.times.sync()},
            **({} if running is None else {"running": running}),
        }

    def restore(self) -> dict[str, Any] | None:
        """Bring policy and buffer to where the latest checkpoint was taken.

        Returns:
            What else it holds: "counters" and "logs". None: the run was killed before its first
            checkpoint, and begins anew.
        Raises:
            CheckpointError: it is damaged, of something else than a run, or of another policy.
            EnvError: a running episode cannot be played again.
            ReplayError: the replay's files are damaged, or of other columns.
        """
        kept = self.store.kept()
        if not kept:
            return None
        content = load_file(kept[-1])
        if content.get("kind") != "run":
            raise CheckpointError(f"{kept[-1]} holds {content.get('kind')}, not a whole run.")
        policy, saved = self._parts.policy, content["policy"]
        with fitting(kept[-1], self._config):
            policy.learn_mode.load_state_dict(saved["learn"])
            policy.collect_mode.load_state_dict(saved["collect"])
            policy.eval_mode.load_state_dict(saved["eval"])
            self._parts.collector.load_state_dict(content.get("running"))
        self._parts.buffer.load_state_dict(content["buffer"])
        self._manifests = {kept[-1]: content["manifest"]} | _manifests_of(kept[:-1])
        return content


def sharing(state: Any, known: Any) -> Any:
    """Return `state` with the tensors of `known` where they stand in the same place and are equal.

    Modes copy their weights each for itself; torch.save writes a tensor that two share once.
    """
    if isinstance(state, Tensor):
        return known if _equal(state, known) else state
    if type(state) in (dict, OrderedDict) and isinstance(known, Mapping):
        items = {name: sharing(value, known.get(name)) for name, value in state.items()}
        return type(state)(items)
    return state


def _equal(one: Tensor, other: Any) -> bool:
    return (
        isinstance(other, Tensor)
        and (one.dtype, one.device) == (other.dtype, other.device)
        and torch.equal(one, other)
    )


def counters_of(content: dict[str, Any] | None) -> Counters:
    """Return the counters that a checkpoint holds; those of a new run for None."""
    return Counters() if content is None else Counters(**content["counters"])


def _manifests_of(paths: list[Path]) -> dict[Path, Any]:
    found = {}
    for path in paths:
        try:
            found[path] = load_file(path)["manifest"]
        except CheckpointError:  # nobody can resume from it, so it needs no files
            continue
    return found
