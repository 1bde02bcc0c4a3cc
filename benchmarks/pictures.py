"""Time search and learn step on pictures, on each device named.

    python benchmarks/pictures.py --devices cpu cuda [--policies muzero] [--roots 8 64]
    python benchmarks/pictures.py --devices cuda --options record_network=false

The preset for pictures with the network of the Atari runs (64 channels, one residual block, four
grey frames of 64 x 64) and random pictures: what it costs, not what it learns. "search" goes from
observations to decisions; "sample" draws a batch and makes its targets, "learn" is the learn step
after it. Milliseconds of wall time, since work on a GPU shows in no process's CPU time.

Shape letters: B roots searched together.
"""

import argparse
import statistics
import time

import harness
import torch
from learn_step import filled

from lzcore.engine.assemble import make_policy
from lzcore.engine.starting import plan_run


def wall(call, seconds):
    """Repeat a call for so many seconds, and at least three times, after twice for warmth."""
    took = []
    for _ in range(2):
        call()
    while sum(took) < seconds or len(took) < 3:
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return {
        "ms": round(1e3 * statistics.median(took), 2),
        "least_ms": round(1e3 * min(took), 2),
        "repeats": len(took),
    }


def measured(policy_name, device, asked):
    """The figures of one policy on one device."""
    named = {"device": device, "batch_size": asked.batch_size}
    plan = plan_run(policy_name, "tasks:Pictures-v0", named=named, overrides=asked.options)
    torch.manual_seed(0)
    policy = make_policy(plan.resolved, plan.registry)
    buffer = filled(policy, plan, asked.transitions)
    batch = buffer.sample(asked.batch_size, policy)

    def learn():
        policy.learn_mode.forward(batch)  # its metrics are Python numbers, so the GPU is waited for

    searches = {}
    for roots in asked.roots:
        seen = torch.randint(0, 256, (roots, 4, 64, 64), dtype=torch.uint8)
        searches[roots] = wall(lambda seen=seen: policy.collect_mode.forward(seen), asked.seconds)
        spent = searches[roots]["ms"] / roots / policy.cfg.num_simulations
        searches[roots]["us_per_simulation_and_root"] = round(1e3 * spent, 2)
    return {
        "policy": policy_name,
        "device": device,
        "simulations": policy.cfg.num_simulations,
        "search": searches,
        "sample": wall(lambda: buffer.sample(asked.batch_size, policy), asked.seconds),
        "learn": wall(learn, asked.seconds),
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policies", nargs="+", default=["muzero"])
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--roots", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--options", nargs="*", default=[], help="KEY=VALUE, as -o of lz run")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--transitions", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each figure")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.traced_at_once()
    rows = [measured(p, device, asked) for p in asked.policies for device in asked.devices]
    figures = {"rows": rows}
    if torch.cuda.is_available():
        figures["gpu"] = torch.cuda.get_device_name()
    harness.report("pictures", vars(asked), figures)


if __name__ == "__main__":
    main()
