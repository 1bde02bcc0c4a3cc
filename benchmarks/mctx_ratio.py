"""Time the same searches with mctx and with lz_ctree, on one core and with a null model.

    pip install -e "plugins/lz_ctree[oracle]"
    python benchmarks/mctx_ratio.py [--seconds 3]

Both search one random world: a table that says where each action leads, what it pays, and what a
network would say of each state. mctx is one compiled program that reads the table inside, in
float32, its default; compiling is timed apart. Our tree is driven from Python, call by call, takes
evaluations in float32 that were read off the table beforehand, and calculates in float64. Both move
the latents of the leaves, 16 numbers of float32 each. The process is pinned to one processor.
Times are microseconds of CPU of the process for each simulation and root; "ratio" is mctx over
lz_ctree, of the medians. "same_visits" is the share of roots that got the same visits from both: 1,
unless float32 or the random numbers with which mctx breaks ties turned a choice.

Shape letters: B roots searched together, A actions, C chance outcomes, S simulations, X states,
L numbers of a latent.
"""

import argparse
import os
import time
from typing import NamedTuple

if __name__ == "__main__":  # before XLA counts the processors
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import harness
import numpy as np

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec
from lzcore.registry import get_registry

jax, jnp, mctx = harness.jax_and_mctx()

LATENT = 16  # L
STATES = 500  # X
DISCOUNT = 0.997


class Case(NamedTuple):
    """One search."""

    policy: str
    roots: int
    actions: int
    simulations: int = 50
    outcomes: int = 0


CASES = [
    *(
        Case(policy, *size)
        for policy in ("muzero", "gumbel")
        for size in ((8, 6), (256, 18), (8, 362))
    ),
    Case("stochastic", 8, 6, outcomes=6),
]


def drawn(case):
    """A world; its afterstates are states too."""
    rng = np.random.default_rng(0)
    edges = max(case.actions, case.outcomes)
    return {
        "next_state": rng.integers(STATES, size=(STATES, edges)).astype(np.int32),
        "reward": (0.1 * rng.normal(size=(STATES, edges))).astype(np.float32),
        "logits": rng.normal(size=(STATES, edges)).astype(np.float32),
        "value": rng.normal(size=STATES).astype(np.float32),
    }


# --- mctx ----------------------------------------------------------------------------------------


def compiled(case, world):
    """Compile mctx; return a call that searches and waits, and the seconds of compiling."""
    start = jnp.arange(case.roots, dtype=jnp.int32)
    latents = jnp.zeros((case.roots, LATENT), jnp.float32)
    tables = {name: jnp.asarray(table) for name, table in world.items()}
    key = jax.random.PRNGKey(0)
    lowered = jax.jit(lambda *given: mctx_search(case, *given)).lower(tables, start, latents, key)
    began = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - began
    return lambda: jax.block_until_ready(program(tables, start, latents, key)), seconds


def mctx_search(case, world, start, latents, key):
    """Visits, value and, under "gumbel", the noise of one search."""
    root = mctx.RootFnOutput(
        prior_logits=world["logits"][start, : case.actions],
        value=world["value"][start],
        embedding=(start, latents),
    )
    plain = {"dirichlet_fraction": 0.0}
    if case.policy == "gumbel":
        found = mctx.gumbel_muzero_policy(world, key, root, step, case.simulations)
        noise = found.search_tree.extra_data.root_gumbel
    elif case.policy == "muzero":
        found = mctx.muzero_policy(world, key, root, step, case.simulations, **plain)
        noise = jnp.zeros(())
    else:
        calls = act(case), toss(case)
        found = mctx.stochastic_muzero_policy(world, key, root, *calls, case.simulations, **plain)
        noise = jnp.zeros(())
    summary = found.search_tree.summary()
    return summary.visit_counts, summary.value, found.action_weights, noise


def step(world, key, action, embedding):
    """One row of the table for each leaf; the latent goes on as it is."""
    state, latent = embedding
    reached = world["next_state"][state, action]
    output = mctx.RecurrentFnOutput(
        reward=world["reward"][state, action],
        discount=jnp.full_like(latent[:, 0], DISCOUNT),
        prior_logits=world["logits"][reached],
        value=world["value"][reached],
    )
    return output, (reached, latent)


def act(case):
    """From a decision node to a chance node."""

    def call(world, key, action, embedding):
        output, reached = step(world, key, action, embedding)
        return mctx.DecisionRecurrentFnOutput(
            chance_logits=output.prior_logits[:, : case.outcomes], afterstate_value=output.value
        ), reached

    return call


def toss(case):
    """From a chance node to a decision node."""

    def call(world, key, outcome, embedding):
        output, reached = step(world, key, outcome, embedding)
        return mctx.ChanceRecurrentFnOutput(
            action_logits=output.prior_logits[:, : case.actions],
            value=output.value,
            reward=output.reward,
            discount=output.discount,
        ), reached

    return call


# --- lz_ctree ------------------------------------------------------------------------------------


def prepared(case, world, noise):
    """Return a call that makes the same search, its evaluations read off the world beforehand."""
    tree = get_registry().resolve("trees", "lz_ctree")(
        TreeSpec(
            num_simulations=case.simulations,
            num_actions=case.actions,
            num_chance_outcomes=case.outcomes,
            rule="gumbel" if case.policy == "gumbel" else "puct",
            discount=DISCOUNT,
            fpu="mctx",
            range_floor=1e-8,
        )
    )
    state = np.zeros((case.roots, case.simulations + 1), np.int64)
    state[:, 0] = start = rows = np.arange(case.roots)
    roots = Evaluation(world["value"][start], world["logits"][start])
    evaluations = []
    tree.start(roots, noise=noise)
    for _ in range(case.simulations):
        leaves = tree.select()
        at = state[rows, leaves.parent], leaves.action
        reached = state[rows, leaves.node] = world["next_state"][at]
        reward = np.where(leaves.is_outcome | (case.outcomes == 0), world["reward"][at], 0.0)
        evaluations.append(
            Evaluation(world["value"][reached], world["logits"][reached], reward.astype(np.float32))
        )
        tree.backup(evaluations[-1])
    pool = np.zeros((case.simulations + 1, case.roots, LATENT), np.float32)
    latents = np.zeros((case.roots, LATENT), np.float32)

    def search():
        tree.start(roots, noise=noise)
        for evaluation in evaluations:
            tree.select()
            tree.take(pool, latents)
            tree.put(pool, latents)
            tree.backup(evaluation)
        return tree.result()

    return search


def measured(case, seconds):
    """One row of figures."""
    world = drawn(case)
    theirs, compile_seconds = compiled(case, world)
    visits, *_, noise = (np.asarray(array) for array in theirs())
    ours = prepared(case, world, noise.astype(np.float64) if case.policy == "gumbel" else None)
    same = (ours().visit_count == visits).all(axis=1).mean()
    times = harness.timed_in_turns({"mctx": theirs, "lz_ctree": ours}, seconds)
    steps = case.roots * case.simulations

    def each(name, figure):
        return round(1e3 * times[name][figure] / steps, 4)

    return {
        **case._asdict(),
        "mctx_us": each("mctx", "ms"),
        "mctx_us_least": each("mctx", "least_ms"),
        "lz_ctree_us": each("lz_ctree", "ms"),
        "lz_ctree_us_least": each("lz_ctree", "least_ms"),
        "ratio": round(times["mctx"]["ms"] / times["lz_ctree"]["ms"], 2),
        "mctx_compile_seconds": round(compile_seconds, 1),
        "same_visits": round(float(same), 3),
        "repeats": times["mctx"]["repeats"],
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of CPU for each search")
    asked = parser.parse_args()
    rows = [measured(case, asked.seconds) for case in CASES]
    settings = vars(asked) | {"mctx": mctx.__version__, "jax": jax.__version__}
    harness.report("mctx_ratio", settings, {"searches": rows})


if __name__ == "__main__":
    main()
