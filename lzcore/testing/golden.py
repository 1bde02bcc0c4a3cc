"""Searches made with mctx, which a tree has to repeat: visits exactly, values to 1e-9.

A world is a table of states: where each action leads, what it pays, the signed discount of the
step (0 ends the game), and what a network would say of each state. With chance, an action leads to
an afterstate and an outcome from there to a state; states of both kinds have one number each here,
afterstates behind the decision states.

Shape letters: B roots searched together, S states, X actions or, if they are more, outcomes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lzcore.base.errors import UnknownNameError, nearest
from lzcore.base.tree import Array, Evaluation, SearchResult, Tree
from lzcore.base.treespec import TreeSpec

World: TypeAlias = dict[str, Any]

TOLERANCE = 1e-9
_FOLDER = Path(__file__).with_name("worlds")
WORLDS = tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))

_PUCT = ("max_depth", "pb_c_base", "pb_c_init")
_GUMBEL = (
    *("max_num_considered_actions", "maxvisit_init", "value_scale"),
    *("rescale_values", "use_mixed_value"),
)


def load_world(name: str) -> World:
    """Return one of WORLDS with what mctx found in it, `expected`, a record for each root.

    Raises:
        UnknownNameError: there is no such world.
    """
    if name not in WORLDS:
        raise UnknownNameError(
            f"There is no golden search {name!r}; expected one of {', '.join(WORLDS)}."
            + nearest(name, WORLDS)
        )
    return json.loads((_FOLDER / f"{name}.json").read_text())  # type: ignore[no-any-return]


def check_golden_search(tree_class: Callable[[TreeSpec], Tree], name: str) -> None:
    """Search one of WORLDS and compare results and every node with what mctx found."""
    world = load_world(name)
    tree = replay(tree_class, world)
    _compare_roots(world, tree.result())
    _compare_nodes(world, dict(tree.snapshot()))


# --- the search ----------------------------------------------------------------------------------


def replay(tree_class: Callable[[TreeSpec], Tree], world: World) -> Tree:
    """Search a world from its start states, and return the tree."""
    table, start = _table_of(world), np.array(world["start_state"])
    tree = tree_class(_spec_of(world))
    tree.start(
        Evaluation(table["value"][start], table["logits"][start]),
        None if world["illegal"] is None else np.array(world["illegal"]) == 0,
        noise=np.array(world["root_gumbel"]) if "root_gumbel" in world else None,
    )
    root = np.arange(len(start))
    state = np.zeros((len(start), world["num_simulations"] + 1), dtype=int)  # of each node
    state[:, 0] = start
    for _ in range(world["num_simulations"]):
        leaves = tree.select()
        step = state[root, leaves.parent], leaves.action
        reached = state[root, leaves.node] = table["next_state"][step]
        tree.backup(
            Evaluation(
                value=table["value"][reached],
                logits=table["logits"][reached],
                reward=table["reward"][step],
                discount=table["discount"][step],
            )
        )
    return tree


def _spec_of(world: World) -> TreeSpec:
    """The search that mctx ran."""
    is_gumbel = "root_gumbel" in world
    named = _GUMBEL if is_gumbel else _PUCT
    return TreeSpec(
        num_simulations=world["num_simulations"],
        num_actions=len(world["expected"][0]["root_visits"]),
        num_chance_outcomes=world.get("num_chance", 0),
        rule="gumbel" if is_gumbel else "puct",
        range_floor=1e-8,
        fpu="mctx",
        **{name: world[name] for name in named if name in world},
    )


def _table_of(world: World) -> dict[str, Array]:
    """One table over all states, (S, X) or (S,): rows of afterstates behind decision states."""
    wanted = ("next_state", "reward", "discount", "logits", "value")
    table = {name: np.array(world[name]) for name in wanted}
    if "next_afterstate" not in world:
        return table
    states, actions = table["logits"].shape
    decisions = {
        "next_state": np.array(world["next_afterstate"]) + states,
        "reward": np.zeros((states, actions)),
        "discount": np.ones((states, actions)),
        "logits": table["logits"],
    }
    outcomes = {**table, "logits": np.array(world["chance_logits"])}
    width = max(actions, world["num_chance"])
    stacked = {
        name: np.concatenate([_widened(decisions[name], width), _widened(outcomes[name], width)])
        for name in decisions
    }
    return {**stacked, "value": np.concatenate([table["value"], world["afterstate_value"]])}


def _widened(rows: Array, width: int) -> Array:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


# --- the comparison ------------------------------------------------------------------------------


def _compare_roots(world: World, found: SearchResult) -> None:
    for b, root in enumerate(world["expected"]):
        visited = np.array(root["root_visits"]) > 0
        _same(found.visit_count[b], root["root_visits"], f"visit_count[{b}]")
        _near(found.value[b], root["root_value"], f"value[{b}]")
        q_value = np.where(visited, root["root_qvalues"], 0.0)
        _near(found.q_value[b], q_value, f"q_value[{b}]")
        if "action_weights" in root:
            weights = found.improved_policy
            if weights is None:
                weights = found.visit_count / found.visit_count.sum(axis=1, keepdims=True)
            _near(weights[b], root["action_weights"], f"policy target [{b}]")
        if "completed_q_scaled_root" in root:
            assert found.best_edge is not None, "best_edge is None under rule 'gumbel'"
            _same(found.best_edge[b], root["action"], f"best_edge[{b}]")
            scaled = _scaled(world, found, b)
            _near(scaled, root["completed_q_scaled_root"], f"completed_q[{b}]")


def _scaled(world: World, found: SearchResult, b: int) -> Array:
    """Completed q-values of root b on the scale of logits."""
    assert found.completed_q is not None, "completed_q is None under rule 'gumbel'"
    q: Array = found.completed_q[b]
    if world["rescale_values"]:
        q = (q - q.min()) / (q.max() - q.min())
    factor = (world["maxvisit_init"] + found.visit_count[b].max()) * world["value_scale"]
    return q * factor  # type: ignore[no-any-return]


def _compare_nodes(world: World, found: dict[str, Array]) -> None:
    if "num_actions" in world:  # mctx counts outcomes behind the actions
        above = np.maximum(found["parents"], 0)
        is_outcome = np.take_along_axis(found["is_chance"], above, axis=1)
        found["action_from_parent"] = found["action_from_parent"] + np.where(
            is_outcome, world["num_actions"], 0
        )
    for b, root in enumerate(world["expected"]):
        for name in ("node_visits", "parents", "action_from_parent"):
            _same(found[name][b], root[name], f"{name}[{b}]")
        for name in ("node_values", "raw_values"):
            _near(found[name][b], root[name], f"{name}[{b}]")


def _same(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_array_equal(ours, theirs, err_msg=f"{what} is not that of mctx")


def _near(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(
        ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{what} is not that of mctx"
    )
