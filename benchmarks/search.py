"""Time a whole search of MuZero in CartPole, as the policy runs it when it collects.

    python benchmarks/search.py [--simulations 50 25] [--roots 8] [--support-scale 300]

The network has the usual size for vectors (E = 128, 601 bins), once with BatchNorm and once with
LayerNorm, and weights drawn at random, also in the heads, which start at zero otherwise. "whole"
goes from observations to decisions: root noise, S simulations, the choice of actions. "model" is
the S + 1 calls of the network alone, with the decoding of its bins; "tree" the search alone, with
evaluations drawn beforehand; "glue" the rest: latents gathered and kept, noise, choice.
Milliseconds of CPU of one thread.

Shape letters: B roots searched together, S simulations, E width of a latent.
"""

import argparse

import harness
import torch

from lzcore.base.seeding import derive_seed
from lzcore.base.tree import Evaluation
from lzcore.engine.assemble import make_policy
from lzcore.engine.starting import plan_run


def cartpole_policy(norm, simulations, support_scale, options=()):
    """The policy of the CartPole preset with a network of the given kind."""
    named = {
        "num_simulations": simulations,
        "model.norm_type": norm,
        "model.support_scale": support_scale,
        "model.latent_state_dim": 128,
    }
    plan = plan_run("muzero", "CartPole-v1", named=named, overrides=options)
    torch.manual_seed(0)
    model = make_policy(plan.resolved, plan.registry).learn_mode.get_attribute("model")
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    policy_class = plan.registry.resolve("policies", "muzero")
    return policy_class(plan.resolved.policy, model=model.eval())


def network_alone(policy, observation, simulations):
    """The calls of one search to the network, and what it says of the roots and the leaves."""
    inference = policy.collect_mode.get_attribute("inference")
    action = torch.zeros(len(observation), dtype=torch.int64)
    _, state = inference.initial(observation)

    def run():
        told = [inference.initial(observation)[0]]
        for _ in range(simulations):
            told.append(inference.recurrent(state, action)[0])
        return told

    return run


def tree_alone(policy, evaluations):
    """One search in which nothing but the tree works."""
    tree = policy.collect_mode.get_attribute("collect_planner").tree
    seeds = derive_seed(7, range(len(evaluations[0].value)))
    roots, *leaves = evaluations

    def run():
        tree.start(roots, seeds=seeds)
        for evaluation in leaves:
            tree.select()
            tree.backup(evaluation)
        return tree.result()

    return run


def drawn(num_roots, num_actions):
    """Evaluations of leaves that differ, so that the tree is no regular one."""
    rng = torch.Generator().manual_seed(1)
    return Evaluation(
        torch.randn(num_roots, generator=rng).numpy(),
        torch.randn(num_roots, num_actions, generator=rng).numpy(),
        torch.rand(num_roots, generator=rng).numpy(),
    )


def measured(norm, roots, simulations, asked):
    """One row of figures."""
    policy = cartpole_policy(norm, simulations, asked.support_scale, asked.options)
    observation = 0.05 * torch.randn(roots, 4, generator=torch.Generator().manual_seed(0))
    collect = policy.collect_mode.forward
    evaluations = [drawn(roots, 2) for _ in range(simulations + 1)]
    took = harness.timed_in_turns(
        {
            "whole": lambda: collect(observation),
            "model": network_alone(policy, observation, simulations),
            "tree": tree_alone(policy, evaluations),
        },
        asked.seconds,
    )
    whole = took["whole"]
    parts = {name: took[name]["ms"] for name in ("model", "tree")}
    parts["glue"] = whole["ms"] - sum(parts.values())
    return {
        "norm": norm,
        "roots": roots,
        "simulations": simulations,
        "whole": whole,
        "parts_ms": {name: round(ms, 3) for name, ms in parts.items()},
        "shares": {name: round(ms / whole["ms"], 3) for name, ms in parts.items()},
        "us_per_simulation_and_root": round(1e3 * whole["ms"] / roots / simulations, 2),
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, nargs="+", default=[50, 25], help="S")
    parser.add_argument("--roots", type=int, nargs="+", default=[8], help="B")
    parser.add_argument("--support-scale", type=int, default=300, help="2 of it plus 1 bins")
    parser.add_argument("--options", nargs="*", default=[], help="KEY=VALUE, as -o of lz run")
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU for each row")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.traced_at_once()
    rows = [
        measured(norm, roots, simulations, asked)
        for roots in asked.roots
        for simulations in asked.simulations
        for norm in ("BN", "LN")
    ]
    harness.report("search", vars(asked), {"searches": rows})


if __name__ == "__main__":
    main()
