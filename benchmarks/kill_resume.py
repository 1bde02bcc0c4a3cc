"""Kill a run with SIGKILL at random instants, resume it, compare with one never killed: JSON.

    python benchmarks/kill_resume.py [--policy muzero] [--env CartPole-v1] [--env-steps 1500]
                                     [--kills 3] [--seed 0]

The runs use their presets. Compared are the last checkpoints, tensor for tensor, and metrics.jsonl,
byte for byte. Exit status 1 if anything differs.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import report

LZ = str(Path(sys.executable).parent / "lz")
ENVIRON = {**os.environ, "OMP_NUM_THREADS": "1"}
OF_TIME = {"seconds", "times"}  # all that may differ


def main() -> None:
    """Run, kill, resume, compare, print."""
    given = parsed()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        command = [LZ, "run", "--policy", given.policy, "--env", given.env, "--quiet"]
        command += ["--seed", str(given.seed), "--max-env-steps", str(given.env_steps), "--out"]
        run, began = start([*command, str(whole)])
        if run.wait():
            sys.exit("The run that was not killed failed.")
        seconds = time.perf_counter() - began
        killed_after = []
        for number in range(given.kills):
            directory = Path(folder) / str(number)
            killed_after.append(kill([*command, str(directory)], draw.uniform(0.0, seconds)))
            subprocess.run([LZ, "run", "--resume", str(directory), "--quiet"], check=True)
            difference = first_difference(whole, directory)
            if difference:
                sys.exit(f"Killed after {killed_after[-1]:.1f} s and resumed: {difference}")
    report("kill_resume", vars(given), {"seconds": seconds, "killed_after_s": killed_after})


def parsed() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", default="muzero")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--env-steps", type=int, default=1500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def start(command: list[str]) -> tuple[subprocess.Popen[bytes], float]:
    """Start a run; return it and when it had begun: before that there is nothing to resume."""
    run, config = subprocess.Popen(command, env=ENVIRON), Path(command[-1]) / "config.toml"
    while not config.exists() and run.poll() is None:
        time.sleep(0.01)
    return run, time.perf_counter()


def kill(command: list[str], after: float) -> float:
    """Start a run, kill it so many seconds after it has begun, and return them."""
    run, _ = start(command)
    time.sleep(after)
    run.send_signal(signal.SIGKILL)
    if run.wait() != -signal.SIGKILL:
        sys.exit(f"The run had ended before it could be killed after {after:.1f} s; try again.")
    return round(after, 1)


def first_difference(one: Path, two: Path) -> str:
    """Return what differs between two finished runs, "" if nothing does."""
    if (one / "metrics.jsonl").read_bytes() != (two / "metrics.jsonl").read_bytes():
        return "metrics.jsonl differs"
    last = [sorted((run / "checkpoints").glob("[0-9]*.pt"))[-1] for run in (one, two)]
    if last[0].name != last[1].name:
        return f"the last checkpoints are {last[0].name} and {last[1].name}"
    return differs(*(torch.load(path, weights_only=True) for path in last))


def differs(one: object, two: object, path: str = "checkpoint") -> str:
    """Return the path of the first difference of two checkpoints, "" if they are equal."""
    if isinstance(one, dict) and isinstance(two, dict):
        if one.keys() != two.keys():
            return f"{path} has other keys"
        parts = [(f"{path}/{k}", one[k], two[k]) for k in one if k not in OF_TIME]
    elif isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        parts = [(f"{path}/{i}", a, b) for i, (a, b) in enumerate(zip(one, two, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        equal = one.dtype == two.dtype and np.array_equal(one.numpy(), two.numpy(), equal_nan=True)
        return "" if equal else path
    else:
        return "" if one == two else path
    return next(filter(None, (differs(a, b, where) for where, a, b in parts)), "")


if __name__ == "__main__":
    main()
