"""Say where the wall time of a run went, from the `times.jsonl` that it left behind.

    python benchmarks/shares.py RUN_DIR

"env" is stepping and resetting environments, "search" deciding (tree, model and what joins them:
`search.py` divides it further), "sample" drawing batches and making targets, "learn" the learn
steps, "save" checkpoints with their fsyncs, "eval" evaluations, "glue" everything else.
"""

import argparse
from pathlib import Path

import harness

from lzcore.engine.metrics import read_lines


def summed(directory):
    """The figures of all iterations that a run has finished."""
    spent = {}
    last = {"iteration": -1, "env_step": 0}
    for last in read_lines(Path(directory) / "times.jsonl"):
        for name, seconds in last["seconds"].items():
            spent[name] = spent.get(name, 0.0) + seconds
    whole = sum(spent.values())
    collecting = sum(spent.get(name, 0.0) for name in ("env", "search", "glue"))
    return {
        "iterations": last["iteration"] + 1,
        "env_steps": last["env_step"],
        "seconds": {name: round(s, 3) for name, s in sorted(spent.items())},
        "shares": {name: round(s / whole, 4) for name, s in sorted(spent.items())},
        "env_steps_per_second": round(last["env_step"] / whole, 1),
        "env_steps_per_second_collecting": round(last["env_step"] / collecting, 1),
    }


def main():
    """Parse, sum, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", help="of a run that has ended or goes on")
    asked = parser.parse_args()
    harness.report("shares", {}, summed(asked.run_dir))


if __name__ == "__main__":
    main()
