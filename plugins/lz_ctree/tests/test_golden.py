"""The C++ tree repeats searches that mctx made: the same visits, and values to 1e-9.

A world is a table of states: where each action leads, what it pays, the signed discount of the
step (0 ends the game), and what a network would say of each state.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec

WORLDS = sorted(Path(__file__).with_name("golden").glob("puct_*.json"))


def replayed(world):
    """Search the world from its start states."""
    table = {k: np.array(world[k]) for k in ("next_state", "reward", "discount", "logits", "value")}
    start = np.array(world["start_state"])
    tree = CTree(
        TreeSpec(
            num_simulations=world["num_simulations"],
            num_actions=table["logits"].shape[1],
            max_depth=world["max_depth"],
            pb_c_base=world["pb_c_base"],
            pb_c_init=world["pb_c_init"],
            range_floor=1e-8,
            fpu="mctx",
        )
    )
    legal = None if world["illegal"] is None else np.array(world["illegal"]) == 0
    tree.start(Evaluation(table["value"][start], table["logits"][start]), legal)
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
    return world["expected"], replayed(world)


def test_there_are_golden_worlds():
    assert len(WORLDS) == 3


def test_root_visits_are_those_of_mctx_and_values_agree_to_1e_9(golden):
    expected, tree = golden
    result = tree.result()

    for b, root in enumerate(expected):
        visited = np.array(root["root_visits"]) > 0
        assert result.visit_count[b].tolist() == root["root_visits"]
        assert result.value[b] == pytest.approx(root["root_value"], abs=1e-9)
        assert result.q_value[b][visited] == pytest.approx(
            np.array(root["root_qvalues"])[visited], abs=1e-9
        )
        assert not result.q_value[b][~visited].any()


def test_every_node_is_that_of_mctx(golden):
    expected, tree = golden
    found = tree.snapshot()

    for b, root in enumerate(expected):
        for name in ("node_visits", "parents", "action_from_parent"):
            assert found[name][b].tolist() == root[name], name
        for name in ("node_values", "raw_values"):
            assert found[name][b] == pytest.approx(np.array(root[name]), abs=1e-9), name
