"""Train with one part changed at a time, several seeds each, and print one JSON object.

    python benchmarks/ablations.py --task cartpole [--only preset per] [--seeds 0 1 2] [--jobs 2]

`preset` is what `lz run` does; every other row changes what is named below and nothing else. A
run ends at the preset's stop value, at `--max-env-steps` or `--max-minutes`; `reached` says which
runs got to the stop value, `env_steps` how far each went, `returns` their last evaluation.
"""

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

from harness import report
from learning import train

PARTS = {
    "preset": (),
    "per": ("use_priority=true",),
    "no_ssl": ("ssl_loss_weight=0",),
    "reanalyze": ("reanalyze_ratio=1",),
    "bn": ("model.norm_type=BN",),
    "grad_scale_half": ("latent_grad_scale=0.5",),
}
CONVENTIONS = {
    "preset": (),
    "mctx": ("q_transform=parent_and_siblings", "fpu=mctx"),
    "lightzero": ("q_transform=tree_min_max", "fpu=ez_mean_q"),
    "paper": ("q_transform=tree_min_max", "fpu=muzero_paper"),
}
TASKS = {  # environment, what every row sets, the rows
    "cartpole": ("CartPole-v1", (), PARTS | CONVENTIONS),
    "corner": ("tasks:Corner-v0", ("run.eval_episodes=100",), CONVENTIONS),
    "tictactoe": ("tasks:TicTacToe-v0", (), CONVENTIONS),
}


def main() -> None:
    """Parse the command line, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", default="muzero")
    parser.add_argument("--task", choices=TASKS, default="cartpole")
    parser.add_argument("--only", nargs="+", default=[], help="rows; default: all of the task")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--max-env-steps", type=int, default=20_000)
    parser.add_argument("--max-minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("-o", dest="override", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    env, common, rows = TASKS[given.task]
    names = given.only or list(rows)

    def run(name, seed):
        limit = f"run.max_env_steps={given.max_env_steps}"
        asked = SimpleNamespace(
            policy=given.policy,
            env=env,
            max_minutes=given.max_minutes,
            override=[*common, limit, *given.override, *rows[name]],
        )
        return train(seed, asked, given.out / given.task / name)

    with ThreadPoolExecutor(given.jobs) as pool:
        waiting = {name: [pool.submit(run, name, s) for s in given.seeds] for name in names}
        done = {name: [future.result() for future in runs] for name, runs in waiting.items()}
    report("ablations", vars(given) | {"out": str(given.out)}, {k: row(v) for k, v in done.items()})


def row(runs):
    """What a table shows of one row's runs."""
    return {
        "env_steps": [run["env_step"] for run in runs],
        "returns": [round(run["return_mean"], 1) for run in runs],
        "best": [round(run["best"], 1) for run in runs],
        "minutes": [run["minutes"] for run in runs],
        "median_env_steps": statistics.median(run["env_step"] for run in runs),
    }


if __name__ == "__main__":
    main()
