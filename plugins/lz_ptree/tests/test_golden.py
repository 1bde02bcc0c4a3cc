"""The NumPy tree repeats searches that mctx made: the same visits, and values to 1e-9.

A world is a table of states: where each action leads, what it pays, the signed discount of the
step (0 ends the game), and what a network would say of each state. With chance, an action leads to
an afterstate and an outcome from there to a state; states of both kinds have one number each here,
afterstates behind the decision states.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from lz_ptree.gumbel import halving_visits
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec

GOLDEN = Path(__file__).with_name("golden")
WORLDS = sorted(path for path in GOLDEN.glob("*_*.json") if path.stem != "sequential_halving")

PUCT = ("max_depth", "pb_c_base", "pb_c_init")
GUMBEL = (
    *("max_num_considered_actions", "maxvisit_init", "value_scale"),
    *("rescale_values", "use_mixed_value"),
)


def table_of(world):
    """One table over all states, (S, X): rows of afterstates behind those of decision states."""
    wanted = ("next_state", "reward", "discount", "logits", "value")
    table = {name: np.array(world[name]) for name in wanted}
    if "next_afterstate" not in world:
        return table
    states, actions = table["logits"].shape
    outcomes = world["num_chance"]
    width = max(actions, outcomes)

    def stacked(of_states, of_afterstates):
        rows = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in map(
            np.array, (of_states, of_afterstates)
        )]  # fmt: skip
        return np.concatenate(rows)

    return {
        "next_state": stacked(np.array(world["next_afterstate"]) + states, table["next_state"]),
        "reward": stacked(np.zeros((states, actions)), table["reward"]),
        "discount": stacked(np.ones((states, actions)), table["discount"]),
        "logits": stacked(table["logits"], world["chance_logits"]),
        "value": np.concatenate([table["value"], world["afterstate_value"]]),
    }


def spec_of(world, num_actions):
    """The search that made the world."""
    gumbel = "root_gumbel" in world
    named = GUMBEL if gumbel else PUCT
    return TreeSpec(
        num_simulations=world["num_simulations"],
        num_actions=num_actions,
        num_chance_outcomes=world.get("num_chance", 0),
        rule="gumbel" if gumbel else "puct",
        range_floor=1e-8,
        fpu="mctx",
        **{name: world[name] for name in named if name in world},
    )


def replayed(world):
    """Search the world from its start states."""
    table, start = table_of(world), np.array(world["start_state"])
    tree = NumpyTree(spec_of(world, len(world["expected"][0]["root_visits"])))
    tree.start(
        Evaluation(table["value"][start], table["logits"][start]),
        None if world["illegal"] is None else np.array(world["illegal"]) == 0,
        noise=np.array(world["root_gumbel"]) if "root_gumbel" in world else None,
    )
    rows = np.arange(len(start))
    state = np.zeros((len(start), world["num_simulations"] + 1), dtype=int)  # of each node
    state[:, 0] = start
    for _ in range(world["num_simulations"]):
        leaves = tree.select()
        step = state[rows, leaves.parent], leaves.action
        reached = state[rows, leaves.node] = table["next_state"][step]
        tree.backup(
            Evaluation(
                value=table["value"][reached],
                logits=table["logits"][reached],
                reward=table["reward"][step],
                discount=table["discount"][step],
            )
        )
    return tree


@pytest.fixture(params=WORLDS, ids=lambda path: path.stem)
def golden(request):
    """A stored world and our tree after searching it."""
    world = json.loads(request.param.read_text())
    return world, replayed(world)


def test_there_are_golden_worlds_of_each_kind():
    kinds = [path.stem.partition("_")[0] for path in WORLDS]

    assert {kind: kinds.count(kind) for kind in kinds} == {"gumbel": 5, "puct": 3, "stochastic": 2}


def test_root_visits_are_those_of_mctx_and_values_agree_to_1e_9(golden):
    world, tree = golden
    result = tree.result()

    for b, root in enumerate(world["expected"]):
        visited = np.array(root["root_visits"]) > 0
        assert result.visit_count[b].tolist() == root["root_visits"]
        assert result.value[b] == pytest.approx(root["root_value"], abs=1e-9)
        assert result.q_value[b][visited] == pytest.approx(
            np.array(root["root_qvalues"])[visited], abs=1e-9
        )
        assert not result.q_value[b][~visited].any()


def test_the_policy_target_is_that_of_mctx(golden):
    world, tree = golden
    result = tree.result()
    ours = result.improved_policy
    if ours is None:
        ours = result.visit_count / result.visit_count.sum(axis=1, keepdims=True)

    for b, root in enumerate(world["expected"]):
        if "action_weights" in root:
            assert ours[b] == pytest.approx(np.array(root["action_weights"]), abs=1e-9)
        if "action" in root:
            assert result.best_edge[b] == root["action"]
            scaled = scaled_by_hand(world, result.completed_q[b], result.visit_count[b].max())
            assert scaled == pytest.approx(np.array(root["completed_q_scaled_root"]), abs=1e-9)


def scaled_by_hand(world, completed_q, most_visits):
    """Completed q-values on the scale of logits."""
    if world["rescale_values"]:
        low, high = completed_q.min(), completed_q.max()
        completed_q = (completed_q - low) / (high - low)
    return (world["maxvisit_init"] + most_visits) * world["value_scale"] * completed_q


def test_every_node_is_that_of_mctx(golden):
    world, tree = golden
    found = dict(tree.snapshot())
    num_actions = found["edge_visits"].shape[2] if "num_actions" not in world else None
    if num_actions is None:  # mctx counts outcomes behind the actions
        above = np.maximum(found["parents"], 0)
        is_outcome = np.take_along_axis(found["is_chance"], above, axis=1)
        found["action_from_parent"] = found["action_from_parent"] + np.where(
            is_outcome, world["num_actions"], 0
        )

    for b, root in enumerate(world["expected"]):
        for name in ("node_visits", "parents", "action_from_parent"):
            assert found[name][b].tolist() == root[name], name
        for name in ("node_values", "raw_values"):
            assert found[name][b] == pytest.approx(np.array(root[name]), abs=1e-9), name


def test_halving_visits_what_the_table_of_mctx_says():
    tables = json.loads((GOLDEN / "sequential_halving.json").read_text())
    del tables["made_by"]

    assert len(tables) == 14
    for key, expected in tables.items():
        considered, simulations = map(int, key.split(","))
        assert halving_visits(considered, simulations) == expected, key
