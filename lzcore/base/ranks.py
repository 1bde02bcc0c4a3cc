"""Processes that learn one set of weights together, and what they tell each other.

A rank is one of these processes, numbered from 0; torchrun starts them and tells each its number.
All ranks make the same calls in the same order: a call returns once every rank has made it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import torch
import torch.distributed as dist

from lzcore.base.errors import RankError

T = TypeVar("T")


@attrs.frozen
class Ranks:
    """This process among those of its run; alone, it is the first and only one."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_group(cls) -> "Ranks":
        """Return what torch's process group says.

        Raises:
            RankError: there is none.
        """
        require_group()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which decides, writes and reports."""
        return self.rank == 0

    def sum(self, number: float) -> float:
        """Return the sum of each rank's number."""
        return number if self.count == 1 else self._reduced([number], dist.ReduceOp.SUM)[0]

    def largest(self, number: float) -> float:
        """Return the largest of each rank's number."""
        return number if self.count == 1 else self._reduced([number], dist.ReduceOp.MAX)[0]

    def every(self, fact: bool) -> bool:
        """Whether it is so on every rank."""
        return self.sum(float(fact)) == self.count

    def mean(self, named: Mapping[str, float]) -> dict[str, float]:
        """Return the mean over the ranks of each number; all ranks name the same ones."""
        if self.count == 1:
            return dict(named)
        sums = self._reduced(list(named.values()), dist.ReduceOp.SUM)
        return {name: total / self.count for name, total in zip(named, sums, strict=True)}

    def _reduced(self, numbers: list[float], how: Any) -> list[float]:
        told = torch.tensor(numbers, dtype=torch.float64)
        with listening():
            dist.all_reduce(told, how)
        return told.tolist()

    def from_first(self, value: T) -> T:
        """Return the value that rank 0 has; what the others pass is not looked at."""
        if self.count == 1:
            return value
        told = [value]
        with listening():
            dist.broadcast_object_list(told, src=0)
        return told[0]

    def gathered(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        if self.count == 1:
            return [value]
        told: list[Any] = [None] * self.count
        with listening():
            dist.all_gather_object(told, value)
        return told

    def to_first(self, value: T) -> list[T]:
        """Return on rank 0 the values of all ranks, in their order; elsewhere nothing."""
        if self.count == 1:
            return [value]
        told: list[Any] | None = [None] * self.count if self.first else None
        with listening():
            dist.gather_object(value, told, dst=0)
        return told or []


ALONE = Ranks()


def require_group() -> None:
    """Refuse to go on without a process group.

    Raises:
        RankError: there is none.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RankError(
            "multi_gpu is true, but this process belongs to no group of ranks. Start the run as "
            "`torchrun --no-python --nproc-per-node N lz run ...`, call "
            "torch.distributed.init_process_group before making a policy yourself, or set "
            "multi_gpu to false."
        )


@contextmanager
def listening() -> Iterator[None]:
    """Exchange something with the other ranks inside.

    Raises:
        RankError: they cannot be reached; on a CPU that is noticed when one of them ends.
    """
    try:
        yield
    except RuntimeError as err:
        why = " ".join(str(err).split()).rpartition("] ")[2].partition(". ")[0][:200]
        raise RankError(
            f"Rank {dist.get_rank()} cannot reach the others any more ({why}). One of them has "
            "ended: look at what it printed. Checkpoints of the run stand."
        ) from err
