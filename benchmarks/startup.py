"""Time that `lz --help` and `lz list` take, beside `python -c pass`.

    python benchmarks/startup.py [--repeats 10]

Medians of wall time. The commands take turns, so that a busy machine slows them alike.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import harness

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "lz --help": ["-c", "from lzcore.cli.main import main; main()", "--help"],
    "lz list": ["-c", "from lzcore.cli.main import main; main()", "list"],
}


def seconds(arguments: Sequence[str]) -> float:
    """Wall time of one Python process, its start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of each command, and how many times `python -c pass` that is."""
    for arguments in COMMANDS.values():
        seconds(arguments)  # writes bytecode, fills the page cache
    rounds = [{name: seconds(args) for name, args in COMMANDS.items()} for _ in range(repeats)]
    medians = {name: statistics.median(r[name] for r in rounds) for name in COMMANDS}
    bare = medians["python -c pass"]
    return {
        name: {"seconds": round(s, 4), "ratio": round(s / bare, 2)} for name, s in medians.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    asked = parser.parse_args()
    harness.report("startup", vars(asked), measure(asked.repeats))
