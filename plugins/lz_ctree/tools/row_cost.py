"""Separate what a search pays for the number of actions from what it pays for visits.

    python plugins/lz_ctree/tools/row_cost.py [--cases puct gumbel] [--actions 18 362]

A row of logits has to be read once when its node is made, and turned into a prior once a search
chooses there; after each edge taken, the next best is looked for. These passes are timed by
themselves, in C++ (row_cost.cpp, built on the spot with g++), and multiplied by how often a search
makes them. "rest" is the time of a whole search, driven from Python, less these passes: it should
not depend on the number of actions. B = 8, S = 50; microseconds for each simulation and root,
the least of many repeats.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
import tree as benchmark  # noqa: E402  # it lies in no package
from lz_ctree.tree import CTree  # noqa: E402

from lzcore.base.treespec import TreeSpec  # noqa: E402
from lzcore.search import gumbel_noise  # noqa: E402

ROOTS, SIMULATIONS = 8, 50


def built(scratch):
    """Compile row_cost.cpp with the flags of the extension."""
    source = Path(__file__).with_suffix(".cpp")
    program = Path(scratch) / "row_cost"
    own = Path(__file__).parents[1] / "src"
    flags = ["-O3", "-std=c++17", "-ffp-contract=off", f"-I{own}"]
    command = ["g++", *flags, str(source), str(own / "functions.cpp"), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def passes(program, num_actions):
    """Microseconds of the three passes over one row."""
    done = subprocess.run([program, str(num_actions)], check=True, capture_output=True, text=True)
    return [float(word) / 1e3 for word in done.stdout.split()[:3]]


def measured(program, case, num_actions, seconds):
    """One row of figures."""
    spec = TreeSpec(
        num_simulations=SIMULATIONS, discount=0.997, **benchmark.CASES[case](num_actions)
    )
    model, tree = benchmark.NullModel(case, spec, ROOTS), CTree(spec)
    noise = gumbel_noise(model.seeds, spec.num_edges) if spec.rule == "gumbel" else None
    run = benchmark.searching(tree, model, noise)
    _, whole = benchmark.timed(run, ROOTS * SIMULATIONS, seconds)
    parents = tree.snapshot()["parents"]
    chosen_at = sum(len(set(row[row >= 0])) for row in parents) / (ROOTS * SIMULATIONS)
    copy, weigh, look = passes(program, num_actions)
    spent = copy + chosen_at * weigh + look
    return {
        "case": case,
        "actions": num_actions,
        "whole": whole,
        "read": round(copy, 4),
        "weigh": round(weigh, 4),
        "nodes_chosen_at": round(chosen_at, 3),
        "look": round(look, 4),
        "passes": round(spent, 4),
        "rest": round(whole - spent, 4),
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cases", nargs="+", choices=["puct", "gumbel"], default=["puct", "gumbel"]
    )
    parser.add_argument("--actions", type=int, nargs="+", default=[18, 362])
    parser.add_argument("--seconds", type=float, default=2.0, help="of CPU for each figure")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        program = built(scratch)
        rows = [
            measured(program, case, num_actions, asked.seconds)
            for case in asked.cases
            for num_actions in asked.actions
        ]
    print(json.dumps({"roots": ROOTS, "simulations": SIMULATIONS, "searches": rows}, indent=2))


if __name__ == "__main__":
    main()
