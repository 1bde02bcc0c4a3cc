"""A whole run as one checkpoint, and back: all that its next iteration is a function of."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from lzcore.base.errors import CheckpointError
from lzcore.base.ranks import Ranks
from lzcore.engine.assemble import Parts
from lzcore.engine.checkpoint import CheckpointStore, fitting, load_file
from lzcore.engine.files import writing
from lzcore.engine.plan import Counters, Run
from lzcore.engine.rundir import RunDirectory
from lzcore.replay.files import prune

SHARED = ("kind", "counters", "logs")  # of a checkpoint; all else is of each rank


class Saver:
    """Writes the checkpoints of a run, and deletes what no kept checkpoint needs.

    Of several ranks, the first writes for all, and each deletes of its own replay.
    """

    def __init__(self, directory: RunDirectory, parts: Parts, keep: int) -> None:
        """Keep the replay's rows in the run directory from now on.

        Args:
            directory: of the run.
            parts: whose state is saved.
            keep: how many of the latest checkpoints stay.
        """
        self.store = CheckpointStore(directory.checkpoints, keep)
        self._parts = parts
        self._ranks = parts.ranks
        self._config = directory.config
        self._replay = directory.replay
        self._manifests: dict[Path, Any] = {}  # of the kept checkpoints
        parts.buffer.attach(directory.replay)

    def save(self, run: Run) -> Path:
        """Write the checkpoint before the next iteration."""
        content = self._state(run)
        others = self._ranks.to_first(_own(content))[1:]
        if self._ranks.first:
            self.store.save(run.counters.iteration, with_ranks(content, others))
        kept = self._ranks.from_first(self.store.kept())
        path = kept[-1]
        self._manifests[path] = content["manifest"]
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
        """Bring this rank's policy and buffer to where the latest checkpoint was taken.

        Returns:
            What else it holds: "counters" and "logs". None: the run was killed before its first
            checkpoint, and begins anew.
        Raises:
            CheckpointError: it is damaged, of something else than a run, of another policy or of
                another number of ranks.
            EnvError: a running episode cannot be played again.
            ReplayError: the replay's files are damaged, or of other columns.
        """
        kept = self.store.kept()
        if not kept:
            return None
        content = load_file(kept[-1])
        if content.get("kind") != "run":
            raise CheckpointError(f"{kept[-1]} holds {content.get('kind')}, not a whole run.")
        content = of_rank(content, self._ranks, kept[-1])
        policy, saved = self._parts.policy, content["policy"]
        with fitting(kept[-1], self._config):
            policy.learn_mode.load_state_dict(saved["learn"])
            policy.collect_mode.load_state_dict(saved["collect"])
            policy.eval_mode.load_state_dict(saved["eval"])
            self._parts.collector.load_state_dict(content.get("running"))
        self._parts.buffer.load_state_dict(content["buffer"])
        self._manifests = {kept[-1]: content["manifest"]} | self._manifests_of(kept[:-1])
        return content

    def _manifests_of(self, paths: list[Path]) -> dict[Path, Any]:
        found = {}
        for path in paths:
            try:
                found[path] = of_rank(load_file(path), self._ranks, path)["manifest"]
            except CheckpointError:  # nobody can resume from it, so it needs no files
                continue
        return found


# --- several ranks in one file --------------------------------------------------------------------


def _own(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint holds of one rank."""
    return {name: value for name, value in content.items() if name not in SHARED}


def with_ranks(content: Mapping[str, Any], others: Sequence[Any]) -> dict[str, Any]:
    """Return the checkpoint of rank 0 with what the others have besides.

    What is equal, as weights are, is written once. Without others it stays what it is.
    """
    if not others:
        return dict(content)
    return {**content, "ranks": [sharing(other, content) for other in others]}


def of_rank(content: dict[str, Any], ranks: Ranks, path: Path) -> dict[str, Any]:
    """Return a checkpoint as if this rank alone had written it.

    Raises:
        CheckpointError: it is of another number of ranks.
    """
    others = content.pop("ranks", [])
    if len(others) + 1 != ranks.count:
        raise CheckpointError(
            f"{path} is of {len(others) + 1} ranks and this run has {ranks.count}. Resume with as "
            f"many as wrote it: torchrun --no-python --nproc-per-node {len(others) + 1} lz run ..."
        )
    if ranks.first:
        return content
    own: dict[str, Any] = others[ranks.rank - 1]
    return {name: content[name] for name in SHARED} | own


# --- parts of the file ----------------------------------------------------------------------------


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
