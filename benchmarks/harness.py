"""What the benchmarks share: one thread, timing, and one JSON object that says where it was timed.

Import it before NumPy, whose libraries read OMP_NUM_THREADS when they are loaded.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

OURS = ("lzcore", "lz-ctree", "lz-ptree", "lz-openspiel", "lz-alphazero", "lz-muzero", "lz-unizero")
VERSIONED = (*OURS, "numpy", "torch", "gymnasium", "open-spiel")


def traced_at_once() -> None:
    """Time a network as it runs in a long run: traced, without a thousand calls before."""
    from lzcore.search import traced  # late: it loads torch

    traced.WORTH = 0


def timed(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Repeat a call for so many CPU seconds; see `timed_in_turns`."""
    return timed_in_turns({"": call}, seconds)[""]


def timed_in_turns(
    calls: Mapping[str, Callable[[], Any]], seconds: float
) -> dict[str, dict[str, float]]:
    """Repeat calls for so many CPU seconds, and at least five times, after once for warmth.

    They take turns, so that a busy machine slows them alike.

    Returns:
        Of each, the median and the least milliseconds of CPU, the median of wall time, the repeats.
    """
    for call in calls.values():
        call()
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    while spent < seconds or min(map(len, cpu.values())) < 5:
        for name, call in calls.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            call()
            cpu[name].append(time.process_time() - began_cpu)
            wall[name].append(time.perf_counter() - began)
            spent += cpu[name][-1]
    return {
        name: {**summary(cpu[name]), "wall_ms": round(1e3 * statistics.median(wall[name]), 4)}
        for name in calls
    }


def summary(seconds: list[float]) -> dict[str, float]:
    """Return median, least and number of some times, in milliseconds."""
    return {
        "ms": round(1e3 * statistics.median(seconds), 4),
        "least_ms": round(1e3 * min(seconds), 4),
        "repeats": len(seconds),
    }


def jax_and_mctx() -> tuple[Any, Any, Any]:
    """Import jax, jax.numpy and mctx, for one thread; SystemExit if they are not installed."""
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{one_thread} {os.environ.get('XLA_FLAGS', '')}"
    try:
        import jax  # late: it reads XLA_FLAGS, and few benchmarks need it
        import jax.numpy as jnp
        import mctx
    except ModuleNotFoundError as err:
        raise SystemExit(
            f"{err.name} is not installed; expected the extra that brings mctx. Install it with "
            'pip install -e . -e "plugins/lz_ctree[oracle]".'
        ) from err
    return jax, jnp, mctx


def report(benchmark: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(
        json.dumps(
            {
                "benchmark": benchmark,
                "settings": dict(settings),
                "figures": dict(figures),
                "machine": machine(),
                "versions": versions(),
            },
            indent=2,
        )
    )


def machine() -> dict[str, Any]:
    """Return the processor, how many of it there are, and how busy they were in the last minute."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return those of Python and of the installed distributions that take part."""
    installed = {d.metadata["Name"].replace("_", "-"): d.version for d in metadata.distributions()}
    found = {name: installed[name] for name in VERSIONED if name in installed}
    return {"python": platform.python_version(), **found}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
