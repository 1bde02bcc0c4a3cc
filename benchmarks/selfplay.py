"""Time self-play with the rules of a game: decisions for many games at once.

    python benchmarks/selfplay.py [--games tic_tac_toe connect_four] [--in-flight 8 64 512]
    python benchmarks/selfplay.py --options device=cuda precision=bfloat16

The presets of AlphaZero, untrained. "whole" goes from positions to decisions: root noise, S
simulations with one call of the network each, the choice of moves. "network" is those S + 1 calls
alone, on as many positions as the search had asked about, again and again, and "network in place"
the same within the search, where other things have passed through the caches in between; "rules"
is playing to the leaves and looking at them, "rest" the tree and what holds it together.
Milliseconds of CPU of one thread, which waits for a GPU if there is one.

Shape letters: N games in flight, S simulations.
"""

import argparse
import time

import harness
import numpy as np
import torch

from lzcore.base.seeding import derive_seed
from lzcore.engine.assemble import make_env, make_policy
from lzcore.engine.starting import plan_run


class Watched:
    """A function that notes how many rows each of its calls had."""

    def __init__(self, call):
        self.call = call
        self.inputs = []

    def __call__(self, observation, legal):
        """Pass it on."""
        self.inputs.append((observation, legal))
        return self.call(observation, legal)


class Timed:
    """A function that sums the seconds of CPU that its calls take."""

    def __init__(self, call):
        self.call = call
        self.seconds = 0.0

    def __call__(self, observation, legal):
        """Pass it on."""
        start = time.thread_time()
        found = self.call(observation, legal)
        self.seconds += time.thread_time() - start
        return found


class Rules:
    """A simulator that notes what it is asked."""

    def __init__(self, simulator):
        self._simulator = simulator
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._simulator, name)

    def play(self, states, action):
        """Pass it on."""
        self.asked.append((states, action.copy()))
        return self._simulator.play(states, action)

    def again(self):
        """Ask all of it again."""
        for states, action in self.asked:
            self._simulator.look(self._simulator.play(states, action))


def measured(game, in_flight, seconds, options):
    """One row of figures."""
    named = {"env.opening_moves": 2}
    plan = plan_run("alphazero", f"open_spiel/{game}", named=named, overrides=options)
    torch.manual_seed(0)
    policy = make_policy(plan.resolved, plan.registry)
    env = make_env(plan, in_flight)
    ids = np.arange(in_flight)
    seen = env.reset(ids, derive_seed(0, ids))

    def decide():
        return policy.decide("collect", seen, temperature=1.0)

    rules = Rules(seen.simulator)
    network = policy.collect_mode.get_attribute("evaluate")
    watched = Watched(network.__call__)
    policy.collect_mode.set_attribute("evaluate", watched)
    before, seen = seen, seen._replace(simulator=rules)
    decide()  # the one search whose calls are noted
    policy.collect_mode.set_attribute("evaluate", network)
    seen = before
    took = harness.timed_in_turns(
        {
            "whole": decide,
            "network": lambda: [network(*given) for given in watched.inputs],
            "rules": rules.again,
        },
        seconds,
    )
    in_place = share_in_place(policy, network, decide, repeats=took["whole"]["repeats"])
    whole, simulations = took["whole"]["ms"], policy.cfg.mcts.num_simulations
    parts = {name: took[name]["ms"] for name in ("network", "rules")}
    parts["rest"] = whole - sum(parts.values())
    return {
        "game": game,
        "in_flight": in_flight,
        "simulations": simulations,
        "positions_asked_about": sum(len(legal) for _, legal in watched.inputs),
        "whole": took["whole"],
        "shares": {name: round(ms / whole, 3) for name, ms in parts.items()},
        "network_in_place": round(in_place, 3),
        "simulations_per_second": round(1e3 * in_flight * simulations / whole),
    }


def share_in_place(policy, network, decide, repeats):
    """The share of whole decisions that calls of the network take where they stand."""
    timed = Timed(network)
    policy.collect_mode.set_attribute("planners", {})
    policy.collect_mode.set_attribute("evaluate", timed)
    decide()  # makes the planner anew
    timed.seconds, start = 0.0, time.thread_time()
    for _ in range(repeats):
        decide()
    return timed.seconds / (time.thread_time() - start)


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=["tic_tac_toe", "connect_four"])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[8, 64, 512], help="N")
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU for each row")
    parser.add_argument("--options", nargs="*", default=[], help="KEY=VALUE, as -o of lz run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.traced_at_once()
    rows = [
        measured(game, n, asked.seconds, asked.options)
        for game in asked.games
        for n in asked.in_flight
    ]
    harness.report("selfplay", vars(asked), {"searches": rows})


if __name__ == "__main__":
    main()
