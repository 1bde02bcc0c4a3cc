"""Train a policy with several seeds as a user would, and print one JSON object.

    python benchmarks/learning.py --policy muzero --env CartPole-v1 --seeds 0 1 2 3 4 [--jobs 1]

Each seed is one `lz run` with one torch thread, until its preset's stop value or `--max-minutes`.
For each: env steps, learn steps and minutes when the run ended, the last evaluation (mean and
every return), the best mean, and the curve: [env step, mean return] of every evaluation. Run
directories stay under `--out`. Tasks of `tasks.py` are named tasks:ID.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import report


def train(seed, given, out):
    """Run `lz run` with one seed and return what came of it."""
    directory = out / f"{given.policy}_{given.env.replace('/', '_').rpartition(':')[2]}_s{seed}"
    command = [str(Path(sys.executable).parent / "lz"), "run", "--policy", given.policy]
    command += ["--env", given.env, "--seed", str(seed), "--out", str(directory), "--quiet"]
    command += ["--max-minutes", str(given.max_minutes)]
    command += [part for override in given.override for part in ("-o", override)]
    found = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    began = time.perf_counter()
    subprocess.run(
        command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": found}
    )
    minutes = (time.perf_counter() - began) / 60
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").open()]
    evaluated = [line for line in lines if line["kind"] == "evaluated"]
    curve = [[line["env_step"], round(line["return_mean"], 2)] for line in evaluated]
    best = max(mean for _, mean in curve)
    return {
        "seed": seed, "minutes": round(minutes, 2), **evaluated[-1], "best": best, "curve": curve
    }  # fmt: skip


def main() -> None:
    """Parse the command line, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", default="muzero")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--max-minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("-o", dest="override", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    with ThreadPoolExecutor(given.jobs) as pool:
        runs = list(pool.map(lambda seed: train(seed, given, given.out), given.seeds))
    minutes = [run["minutes"] for run in runs]
    report(
        "learning",
        vars(given) | {"out": str(given.out)},
        {
            "runs": runs,
            "median_minutes": statistics.median(minutes),
        },
    )


if __name__ == "__main__":
    main()
