"""Runs that are killed on the way, and whether two runs ended with the same."""

import json
import subprocess
import sys
from textwrap import dedent

import numpy as np
import torch

from lzcore.engine.checkpoint import load_file, numbered

DRIVER = """
    import importlib, json, os, signal, sys
    from pathlib import Path
    from lzcore.engine.starting import carry_out, plan_run

    policy, env, named, kills, root = *map(json.loads, sys.argv[1:5]), Path(sys.argv[5])

    def run(name):
        carry_out(plan_run(policy, env, out=root / name, named=named))

    def arm(name, count):
        # Replace a function by one that ends this process when it is called for the count-th time.
        owner, _, last = name.rpartition(".")
        module, _, cls = owner.rpartition(".")
        place = importlib.import_module(module or owner)
        place = getattr(place, cls) if module else place
        real, calls = getattr(place, last), []

        def armed(*args, **kwargs):
            calls.append(1)
            if len(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(place, last, armed)

    run("never")
    for number, (name, count) in enumerate(kills):
        child = os.fork()
        if not child:
            arm(name, count)
            run(str(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WIFSIGNALED(status) and os.WTERMSIG(status))
"""


def run_and_kill(policy, env, named, kills, root, environ=None):
    """Make the run `root/never`, and one that kills itself for each (call, how manieth)."""
    kills = list(kills)
    given = [json.dumps(part) for part in (policy, env, named, kills)]
    done = subprocess.run(
        [sys.executable, "-c", dedent(DRIVER), *given, str(root)],
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["9"] * len(kills), done.stdout + done.stderr  # SIGKILL


def whole(directory):
    """Everything that must not depend on whether a run was interrupted."""
    kept = numbered(directory / "checkpoints")
    found = {"metrics": (directory / "metrics.jsonl").read_bytes()}
    for path in (*kept, directory / "checkpoints" / "best.pt"):
        content = load_file(path)
        content.get("counters", {}).pop("seconds", None)
        content.get("logs", {}).pop("times", None)
        found[path.name] = content
    for path in sorted((directory / "replay").rglob("*.npz")):
        with np.load(path) as archive:
            name = str(path.relative_to(directory))
            found[name] = {name: archive[name] for name in archive.files}
    return found


def assert_same(one, two, path=""):
    assert type(one) is type(two), path
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            assert_same(one[key], two[key], f"{path}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for place, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{path}/{place}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, path
        assert one.numpy().tobytes() == two.numpy().tobytes(), path  # not a number equals itself
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, path
        np.testing.assert_array_equal(one, two, path)
    else:
        assert one == two, path
