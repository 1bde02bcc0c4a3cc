"""Count the instructions of a simulation with callgrind, all of the process and the tree's own.

    python plugins/lz_ctree/tools/instructions.py [--cases puct:8:6 gumbel:8:6 stochastic:8:6]

A case is rule:B:A (B roots, A actions or numbers of a vector), with 50 simulations. Each is run
twice, with few and with more searches, so that the difference leaves out whatever happens once;
figures are instructions for each simulation and root. valgrind knows no AVX-512, so vector loops
take those of AVX2. Prints one JSON object. Needs valgrind.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NUM_SIMULATIONS = 50
SEARCHES = (10, 60)
PROGRAM = """
import sys
sys.path.insert(0, {benchmarks!r})
import tree as benchmark
from lz_ctree.tree import CTree
from lzcore.base.treespec import TreeSpec
from lzcore.search.noise import gumbel_noise

kind = benchmark.CASES[{rule!r}]({actions})
spec = TreeSpec(num_simulations={simulations}, discount=0.997, **kind)
model = benchmark.NullModel({rule!r}, spec, {roots})
noise = gumbel_noise(model.seeds, spec.num_edges) if spec.rule == "gumbel" else None
run = benchmark.searching(CTree(spec), model, noise)
for _ in range({searches}):
    run()
"""


def counted(rule, roots, actions, searches):
    """Instructions of the whole process and of the extension alone."""
    benchmarks = str(Path(__file__).parents[3] / "benchmarks")
    program = PROGRAM.format(
        benchmarks=benchmarks,
        simulations=NUM_SIMULATIONS,
        rule=rule,
        actions=actions,
        roots=roots,
        searches=searches,
    )
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "callgrind.out"
        profile = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        subprocess.run([*profile, sys.executable, "-c", program], check=True, capture_output=True)
        annotate = ["callgrind_annotate", "--threshold=100", "--show=Ir", str(out)]
        listing = subprocess.run(annotate, check=True, capture_output=True, text=True).stdout
    whole = number(re.search(r"([\d,]+)[^\n]*PROGRAM TOTALS", listing))
    lines = re.finditer(r"^\s*([\d,]+)[^\n]*\[[^\]\n]*_ctree[^\]\n]*\]", listing, flags=re.M)
    return whole, sum(map(number, lines))


def number(match):
    """The figure of a line, which has commas in it."""
    return int(match.group(1).replace(",", ""))


def measured(case):
    """One row of figures."""
    rule, roots, actions = case.split(":")
    few, more = (counted(rule, int(roots), int(actions), searches) for searches in SEARCHES)
    steps = (SEARCHES[1] - SEARCHES[0]) * NUM_SIMULATIONS * int(roots)
    whole, own = (round((b - a) / steps, 1) for a, b in zip(few, more, strict=True))
    return {
        "rule": rule,
        "roots": int(roots),
        "actions": int(actions),
        "simulations": NUM_SIMULATIONS,
        "instructions": whole,
        "instructions_of_the_extension": own,
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["puct:8:6", "gumbel:8:6", "stochastic:8:6"])
    asked = parser.parse_args()
    print(json.dumps({"searches": [measured(case) for case in asked.cases]}, indent=2))


if __name__ == "__main__":
    main()
