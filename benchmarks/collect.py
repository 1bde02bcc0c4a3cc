"""Time collection in CartPole with an untrained MuZero, and count env steps a second.

    python benchmarks/collect.py [--episodes 8] [--simulations 25] [--seconds 8]

Settings are those of the CartPole preset: eight environments side by side, and the collector, tree
and model of a run. "env" is stepping and resetting, "search" from observations to decisions,
"glue" the rest: stacking, writing rows, cutting episodes. An untrained policy plays short
episodes, so the last of a round leave some environments idle; "roots" says how many searched
together on average.
"""

import argparse
import time

import harness
import torch

from lzcore.engine.assemble import assemble
from lzcore.engine.clock import Clock
from lzcore.engine.starting import plan_run


def measured(episodes, simulations, seconds):
    """The figures of collections until so much CPU time is spent."""
    named = {"num_simulations": simulations} if simulations else {}
    parts = assemble(plan_run("muzero", "CartPole-v1", named=named))
    schedule = parts.policy.schedule(0, 0)
    parts.collector.collect(0, episodes, schedule=schedule)
    clock, steps, rounds, began = Clock(), 0, 0, time.process_time()
    longest = 0
    while time.process_time() - began < seconds:
        rounds += 1
        stats, _ = parts.collector.collect(rounds, episodes, schedule=schedule, clock=clock)
        clock.lap("glue")
        steps += stats.env_steps
        longest += max(stats.lengths)
    cpu, wall = time.process_time() - began, clock.elapsed
    parts.close()
    return {
        "simulations": parts.policy.cfg.num_simulations,
        "environments": parts.loop.collector_env_num,
        "collections": rounds,
        "env_steps": steps,
        "roots": round(steps / longest, 2),
        "env_steps_per_second": round(steps / cpu, 1),
        "env_steps_per_second_wall": round(steps / wall, 1),
        "shares": {name: round(spent / wall, 4) for name, spent in sorted(clock.total.items())},
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=8, help="of each collection")
    parser.add_argument("--simulations", type=int, help="instead of the preset's")
    parser.add_argument("--seconds", type=float, default=8.0, help="of CPU")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.report(
        "collect", vars(asked), measured(asked.episodes, asked.simulations, asked.seconds)
    )


if __name__ == "__main__":
    main()
