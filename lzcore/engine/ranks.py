"""A run of several ranks: how its processes find each other, and what each has for itself.

Every rank collects in its own environments, from random streams of its own, into its own replay,
and all make each learn step together. Rank 0 alone evaluates, writes and decides when to stop; its
streams are those of a run of one process.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
import torch
import torch.distributed as dist

from lzcore.base.errors import ConfigError, RankError
from lzcore.base.ranks import ALONE, Ranks, require_group
from lzcore.base.seeding import stream_key
from lzcore.engine.collector import CollectStats
from lzcore.engine.metrics import JsonLines
from lzcore.engine.plan import Plan
from lzcore.engine.rundir import RunDirectory

PATIENCE = timedelta(days=1)  # for rank 0, which may evaluate long while the others wait
_GIVEN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by torchrun to each rank


# --- coming together ------------------------------------------------------------------------------


@contextmanager
def joined(multi_gpu: bool) -> Iterator[Ranks]:
    """Be one of the ranks of a run inside, or alone if the settings ask for no others.

    A process group that exists already is used and left as it is.

    Raises:
        RankError: nobody started ranks, or they do not find each other.
        ConfigError: torchrun started several, and the settings know nothing of it.
    """
    if not multi_gpu:
        _refuse_strangers()
        yield ALONE
    elif dist.is_available() and dist.is_initialized():
        yield Ranks.of_group()
    else:
        _connect()
        try:
            ranks = Ranks.of_group()
            yield ranks
            ranks.every(True)  # nobody leaves while another one still talks
        finally:
            dist.destroy_process_group()


def _refuse_strangers() -> None:
    count = os.environ.get("WORLD_SIZE", "1")
    if count != "1" and "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError(
            f"torchrun has started {count} ranks, but multi_gpu is false, so they would be as many "
            "unrelated runs. Add -o multi_gpu=true, or start one process."
        )


def _connect() -> None:
    """Make a process group of what torchrun says: gloo between CPUs, NCCL between GPUs."""
    if not dist.is_available() or not os.environ.keys() >= set(_GIVEN):
        require_group()  # says what to do
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as err:
        raise RankError(
            f"The ranks do not find each other: {' '.join(str(err).split())[:300]} "
            "Look at MASTER_ADDR and MASTER_PORT, or leave them to torchrun."
        ) from err


# --- what a rank has for itself -------------------------------------------------------------------


@contextmanager
def opened(plan: Plan, ranks: Ranks) -> Iterator[RunDirectory]:
    """Make or open the run directory, and keep other runs out of it; rank 0 does, all use it."""
    if not ranks.first:
        yield RunDirectory(ranks.from_first(plan.directory)).of_rank(ranks)
        return
    new = not plan.directory.exists()
    make = RunDirectory.open if plan.resume else RunDirectory.create
    with make(plan.directory).locked():
        try:
            yield RunDirectory(ranks.from_first(plan.directory)).of_rank(ranks)
        except BaseException:
            if new:
                RunDirectory(plan.directory).forget()
            raise


def plan_of(plan: Plan, ranks: Ranks, directory: Path) -> Plan:
    """Return a run's plan as this rank carries it out: with its own seed, and watched by rank 0."""
    if ranks.first:
        return plan
    run = plan.resolved.run
    run = attrs.evolve(run, seed=stream_key(run.seed, f"rank {ranks.rank}"))
    resolved = attrs.evolve(plan.resolved, run=run)
    return attrs.evolve(plan, resolved=resolved, directory=directory, observers=())


def share_of(batch_size: int, ranks: Ranks) -> int:
    """Return how much of a batch each rank draws.

    Raises:
        ConfigError: they cannot draw equally much.
    """
    share, rest = divmod(batch_size, ranks.count)
    if rest:
        raise ConfigError(
            f"batch_size is {batch_size}, which {ranks.count} ranks cannot share equally; "
            f"give a multiple of {ranks.count}."
        )
    return share


def facts_of(ranks: Ranks, batch_size: int) -> dict[str, str]:
    """Return what people should know of the ranks; nothing if there is one."""
    if ranks.count == 1:
        return {}
    share = share_of(batch_size, ranks)
    return {"ranks": f"{ranks.count}, each with {share} of the {batch_size} samples of a batch"}


class NoLines(JsonLines):
    """A log that another rank keeps."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        """Forget a record."""

    def flush(self) -> None:
        """Nothing is there to be read."""

    def sync(self) -> int:
        """Return 0, the size of no file."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


# --- what they did together -----------------------------------------------------------------------


def together(stats: Sequence[CollectStats]) -> CollectStats:
    """Return what the ranks' collections of one iteration brought in, in the order of ranks."""
    first, *others = stats
    if not others:
        return first
    steps = sum(each.env_steps for each in stats)
    found: dict[str, Any] = {}
    for name in attrs.fields_dict(CollectStats):
        values = [getattr(each, name) for each in stats]
        if isinstance(values[0], tuple):
            found[name] = tuple(chain.from_iterable(values))
        elif isinstance(values[0], int) and name != "iteration":
            found[name] = sum(values)
    means = {
        name: sum(each.means[name] * each.env_steps for each in stats) / steps
        for name in first.means
    }
    return attrs.evolve(first, **found, means=means)
