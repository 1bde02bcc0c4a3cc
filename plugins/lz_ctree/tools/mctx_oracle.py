"""Search the same random worlds with mctx and with our trees, and compare all that both tell.

    pip install -e "plugins/lz_ctree[oracle]"
    python plugins/lz_ctree/tools/mctx_oracle.py [--tree both] [--batches 4]

A world is a table of states: where each action leads, what it pays, the signed discount of the
step, and what a network would say of each state; with chance, of afterstates too. Every row of a
batch is a world of its own. Both sides work in float64. Compared are the leaf of every simulation,
visits, values and raw values of every node, and at the root q-values and action weights (under
"gumbel" also completed q-values and the action).

mctx adds up to 1e-7 of noise to PUCT scores against ties, and rounds in another order than we do.
Where the paths of a world part, its scores at that node are computed here once more: if they differ
by less than 1e-6, the case counts as a near tie, and nothing after it is compared. Exit status 1 if
a case differs in any other way.

Shape letters: B worlds, X states, Y afterstates, A actions, C outcomes, S simulations, M nodes.
"""

import argparse
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from worlds import CASES, Array, Case, Tables, drawn, of_row, replayed, spec_of

from lzcore.registry import get_registry

try:
    import jax
    import jax.numpy as jnp
    import mctx
except ModuleNotFoundError as err:
    raise SystemExit(
        f"{err.name} is not installed; expected the extra that brings mctx. Install it with "
        'pip install -e . -e "plugins/lz_ctree[oracle]".'
    ) from err

NEAR = 1e-6  # of two scores
CLOSE = 1e-9  # of two values that should be one


# --- mctx ----------------------------------------------------------------------------------------


def compiled(case: Case) -> Callable[[Tables, int], Tables]:
    """Return a function (world, seed) -> what mctx finds, compiled at its first call."""
    program = jax.jit(lambda world, key: _mctx_search(case, world, key))

    def search(world: Tables, seed: int) -> Tables:
        found = program(world, jax.random.PRNGKey(seed))
        return {name: np.asarray(array) for name, array in found.items()}

    return search


def _mctx_search(case: Case, world: Mapping[str, Any], key: Any) -> dict[str, Any]:
    rows = jnp.arange(case.roots)
    root = mctx.RootFnOutput(
        prior_logits=world["logits"][rows, world["start"]],
        value=world["value"][rows, world["start"]],
        embedding=world["start"],
    )
    visits: list[Any] = []
    common = {
        "num_simulations": case.simulations,
        "invalid_actions": (~world["legal"]).astype(jnp.float64) if case.masked else None,
        "max_depth": case.max_depth,
        "loop_fn": _recording(visits),
    }
    if case.policy == "gumbel":
        found = mctx.gumbel_muzero_policy(
            world,
            key,
            root,
            _step,
            qtransform=lambda tree, node: mctx.qtransform_completed_by_mix_value(
                tree,
                node,
                value_scale=case.value_scale,
                maxvisit_init=case.maxvisit_init,
                rescale_values=case.rescale,
                use_mixed_value=case.mixed,
            ),
            max_num_considered_actions=case.considered,
            gumbel_scale=case.gumbel_scale,
            **common,
        )
    else:
        common |= {"pb_c_init": case.pb_c_init, "pb_c_base": case.pb_c_base}
        common["dirichlet_fraction"] = 0.0
        if case.policy == "muzero":
            found = mctx.muzero_policy(world, key, root, _step, **common)
        else:
            found = mctx.stochastic_muzero_policy(world, key, root, _act, _toss, **common)
    return _told(case, found, visits[0])


def _recording(visits: list[Any]) -> Any:
    """A loop for mctx that also keeps the (S, B, M) node visits after each simulation."""

    def loop(low: int, high: int, body: Any, state: Any) -> Any:
        def step(state: Any, simulation: Any) -> Any:
            state = body(simulation, state)
            return state, state[1].node_visits

        state, after = jax.lax.scan(step, state, jnp.arange(low, high, dtype=jnp.int32))
        visits.append(after)
        return state

    return loop


def _step(world: Any, key: Any, action: Any, state: Any) -> Any:
    at = jnp.arange(len(state)), state, action
    reached = world["next_state"][at]
    output = mctx.RecurrentFnOutput(
        reward=world["reward"][at],
        discount=world["discount"][at],
        prior_logits=world["logits"][at[0], reached],
        value=world["value"][at[0], reached],
    )
    return output, reached


def _act(world: Any, key: Any, action: Any, state: Any) -> Any:
    rows = jnp.arange(len(state))
    reached = world["next_afterstate"][rows, state, action]
    output = mctx.DecisionRecurrentFnOutput(
        chance_logits=world["chance_logits"][rows, reached],
        afterstate_value=world["afterstate_value"][rows, reached],
    )
    return output, reached


def _toss(world: Any, key: Any, outcome: Any, afterstate: Any) -> Any:
    step, reached = _step(world, key, outcome, afterstate)
    output = mctx.ChanceRecurrentFnOutput(
        action_logits=step.prior_logits,
        value=step.value,
        reward=step.reward,
        discount=step.discount,
    )
    return output, reached


def _told(case: Case, found: Any, visits: Any) -> dict[str, Any]:
    tree = found.search_tree
    summary = tree.summary()
    told = {
        "after": visits,
        "visits": summary.visit_counts,
        "value": summary.value,
        "q_value": summary.qvalues,
        "weights": found.action_weights,
        "parents": tree.parents,
        "actions": tree.action_from_parent,
        "node_visits": tree.node_visits,
        "node_values": tree.node_values,
        "raw_values": tree.raw_values,
    }
    if case.policy == "gumbel":
        most = summary.visit_counts.max(axis=-1)
        told["noise"] = tree.extra_data.root_gumbel
        told["action"] = found.action
        told["completed_q"] = jax.vmap(
            lambda one, n: mctx.qtransform_completed_by_mix_value(
                one,
                0,
                value_scale=1.0,
                maxvisit_init=1.0 - n,  # a factor of 1 in all
                rescale_values=False,
                use_mixed_value=case.mixed,
            )
        )(tree, most)
    return told


def leaves_of(after: Array, parents: Array) -> Array:
    """Return the (S, B) leaf of each simulation: of the nodes visited, the one no other leads to.

    Args:
        after: (S, B, M) visits of every node after each simulation.
        parents: (B, M).
    """
    before = np.concatenate([np.zeros_like(after[:1]), after[:-1]])
    before[0, :, 0] = 1  # the root starts with a visit
    visited = after > before
    inner = np.zeros_like(visited)
    for node in range(1, after.shape[2]):
        for row in np.flatnonzero(parents[:, node] >= 0):
            inner[:, row, parents[row, node]] |= visited[:, row, node]
    return (visited & ~inner).argmax(axis=2)


# --- where they part -----------------------------------------------------------------------------


def gap(tree: Any, case: Case, world: Tables, theirs: Any, ours: Any, noise: Any) -> float:
    """Return how much better mctx's choice is, by our scores, where the paths of one world part.

    Args:
        tree: one of ours; it is searched up to the simulation in question.
        case: what was searched.
        world: a single one.
        theirs: (M,) parents and actions of mctx, (S,) leaves.
        ours: (S,) leaves, parents and actions of our search.
        noise: (1, A) or None.
    """
    parents, actions, leaves = theirs
    same = (leaves == ours[0]) & (parents[leaves] == ours[1]) & (actions[leaves] == ours[2])
    simulation = int(np.argmin(same))
    replayed(tree, case, world, noise, simulation)
    found = {name: array[0] for name, array in tree.snapshot().items()}
    known = found["parents"].copy(), found["action_from_parent"].copy()
    known[1][1:] += case.actions * found["is_chance"][known[0][1:]]
    path_here = _path(*known, *(int(part[simulation]) for part in ours[1:]))
    leaf = leaves[simulation]
    path_there = _path(*known, int(parents[leaf]), int(actions[leaf]))
    at, here, there = next(
        (n, a, b) for (n, a), (_, b) in zip(path_here, path_there, strict=False) if a != b
    )
    scores = _scores(case, world, found, at, None if noise is None else noise[0])
    behind = case.actions * bool(found["is_chance"][at])
    return float(scores[here - behind] - scores[there - behind])


def _path(parents: Array, actions: Array, node: int, action: int) -> list[tuple[int, int]]:
    """Nodes and the actions taken there, from the root to an edge."""
    path = [(node, action)]
    while node:
        node, action = int(parents[node]), int(actions[node])
        path.append((node, action))
    return path[::-1]


def _scores(case: Case, world: Tables, found: Tables, at: int, noise: Array | None) -> Array:
    """Scores of all edges of one node, plainly as docs/search.md tells them."""
    if found["is_chance"][at]:
        width = case.outcomes
        return found["prior"][at, :width] / (1 + found["edge_visits"][at, :width])
    n = found["edge_visits"][at, : case.actions]
    prior = found["prior"][at, : case.actions]
    q = np.zeros(case.actions)
    for child in np.flatnonzero(found["parents"] == at):
        edge = found["action_from_parent"][child]
        discount = found["edge_discounts"][at, edge]
        q[edge] = found["edge_rewards"][at, edge] + discount * found["node_values"][child]
    if case.policy == "gumbel":
        return _gumbel_scores(case, found, at, n, prior, q, noise)
    low = min(found["node_values"][at], q[n > 0].min(initial=np.inf))
    high = max(found["node_values"][at], q[n > 0].max(initial=-np.inf))
    visits = found["node_visits"][at]
    c = case.pb_c_init + np.log((visits + case.pb_c_base + 1) / case.pb_c_base)
    value = np.where(n > 0, (q - low) / max(high - low, 1e-8), 0.0)
    return value + c * np.sqrt(visits) * prior / (1 + n)


def _gumbel_scores(
    case: Case, found: Tables, at: int, n: Array, prior: Array, q: Array, noise: Array | None
) -> Array:
    mixed = found["raw_values"][at]
    if case.mixed and n.sum():
        mean = (prior * q)[n > 0].sum() / prior[n > 0].sum()
        mixed = (mixed + n.sum() * mean) / (n.sum() + 1)
    completed = np.where(n > 0, q, mixed)
    if case.rescale:
        completed = (completed - completed.min()) / max(np.ptp(completed), 1e-8)
    scaled = (case.maxvisit_init + n.max()) * case.value_scale * completed
    with np.errstate(divide="ignore"):
        logits = np.log(prior)
    if at:
        weights = np.exp(logits + scaled - (logits + scaled).max())
        return weights / weights.sum() - n / (1 + n.sum())
    return noise + logits - logits.max() + scaled


# --- what is told --------------------------------------------------------------------------------


class Tally:
    """Counts of one policy."""

    def __init__(self) -> None:
        self.cases = self.equal = self.near_ties = 0
        self.largest_near_tie = 0.0
        self.differing: list[dict[str, Any]] = []
        self.largest_difference: dict[str, float] = {}

    def note(self, differences: Mapping[str, float]) -> None:
        """Keep the largest of each."""
        for name, size in differences.items():
            self.largest_difference[name] = max(self.largest_difference.get(name, 0.0), size)


def compare(tree_class: Any, case: Case, world: Tables, theirs: Tables, tally: Tally) -> None:
    """Search a batch with one of our trees and count its rows."""
    noise = theirs.get("noise")
    tree = tree_class(spec_of(case))
    ours = replayed(tree, case, world, noise, case.simulations)
    leaves = leaves_of(theirs["after"], theirs["parents"])
    rows = np.arange(case.roots)
    there = leaves, theirs["parents"][rows, leaves], theirs["actions"][rows, leaves]
    alike = np.logical_and.reduce([a == b for a, b in zip(ours, there, strict=True)]).all(axis=0)
    result, nodes = tree.result(), tree.snapshot()
    for row in rows:
        tally.cases += 1
        told = {"case": case._asdict(), "row": int(row)}
        if alike[row]:
            exact, close = _differences(case, theirs, result, nodes, row)
            tally.note(close)
            if exact and max(close.values()) <= CLOSE:
                tally.equal += 1
            else:
                tally.differing.append(told | {"exact": exact, "difference": close})
            continue
        size = abs(
            gap(
                tree_class(spec_of(case)),
                case,
                of_row(world, row),
                (theirs["parents"][row], theirs["actions"][row], leaves[:, row]),
                tuple(part[:, row] for part in ours),
                None if noise is None else noise[row : row + 1],
            )
        )
        if size < NEAR:
            tally.near_ties += 1
            tally.largest_near_tie = max(tally.largest_near_tie, size)
        else:
            tally.differing.append(told | {"score_gap": size})


def _differences(
    case: Case, theirs: Tables, result: Any, nodes: Mapping[str, Array], row: int
) -> tuple[bool, dict[str, float]]:
    """Whether whole numbers agree, and the largest difference of the others."""
    visits = result.visit_count[row]
    exact = (
        (visits == theirs["visits"][row]).all()
        and (nodes["node_visits"][row] == theirs["node_visits"][row]).all()
        and (case.policy != "gumbel" or result.best_edge[row] == theirs["action"][row])
    )
    weights = visits / visits.sum() if case.policy != "gumbel" else result.improved_policy[row]
    taken = visits > 0  # elsewhere mctx holds what it started with
    pairs = {
        "value": (result.value[row], theirs["value"][row]),
        "q_value": (result.q_value[row][taken], theirs["q_value"][row][taken]),
        "weights": (weights, theirs["weights"][row]),
        "node_values": (nodes["node_values"][row], theirs["node_values"][row]),
        "raw_values": (nodes["raw_values"][row], theirs["raw_values"][row]),
    }
    if case.policy == "gumbel":
        pairs["completed_q"] = (result.completed_q[row], theirs["completed_q"][row])
    return bool(exact), {name: float(np.max(np.abs(a - b))) for name, (a, b) in pairs.items()}


def searches(batches: int, seed: int) -> Iterator[tuple[Case, Tables, Tables]]:
    """Yield cases, worlds, and what mctx found there."""
    for number, case in enumerate(CASES):
        search = compiled(case)
        for batch in range(batches):
            world = drawn(case, np.random.default_rng((seed, number, batch)))
            yield case, world, search(world, seed + 1000 * number + batch)


def main() -> None:
    """Parse, compare, print; exit status 1 if anything differs without a near tie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", default="lz_ctree", help="a registered tree, or both")
    parser.add_argument("--batches", type=int, default=2, help="of worlds, for each of the cases")
    parser.add_argument("--policy", choices=["muzero", "gumbel", "stochastic"], help="only this")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    names = ["lz_ctree", "lz_ptree"] if asked.tree == "both" else [asked.tree]
    classes = {name: get_registry().resolve("trees", name) for name in names}
    policies = [asked.policy] if asked.policy else ["muzero", "gumbel", "stochastic"]
    tallies = {name: {policy: Tally() for policy in policies} for name in names}
    CASES[:] = [case for case in CASES if case.policy in policies]
    for case, world, theirs in searches(asked.batches, asked.seed):
        for name, tree_class in classes.items():
            compare(tree_class, case, world, theirs, tallies[name][case.policy])
    figures = {n: {p: vars(tally) for p, tally in each.items()} for n, each in tallies.items()}
    told = {
        "check": "mctx_oracle",
        "settings": vars(asked),
        "figures": figures,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("mctx", "jax", "numpy")},
        },
    }
    print(json.dumps(told, indent=2))
    sys.exit(any(tally.differing for each in tallies.values() for tally in each.values()))


if __name__ == "__main__":
    main()
