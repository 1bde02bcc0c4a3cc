import numpy as np
from uct_tree.tree import UctTree

from lzcore.base import Evaluation, TreeSpec
from lzcore.testing import parametrize_with_checks


@parametrize_with_checks("uct_tree")
def test_uct_tree_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("uct-tree", kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


def test_the_action_that_pays_is_visited_most():
    tree = UctTree(TreeSpec(num_simulations=40, num_actions=3, discount=0.9))
    tree.start(Evaluation(np.zeros(1), np.zeros((1, 3))))

    for _ in range(40):
        paid = (tree.select().action == 1).astype(float)
        tree.backup(Evaluation(np.zeros(1), np.zeros((1, 3)), reward=paid))

    found = tree.result()
    assert found.visit_count.sum() == 40
    assert found.visit_count.argmax() == 1
    assert found.q_value[0, 1] > found.q_value[0, 0]


def test_every_action_is_tried_before_any_is_repeated():
    tree = UctTree(TreeSpec(num_simulations=3, num_actions=3))
    tree.start(Evaluation(np.zeros(1), np.array([[0.0, 1.0, 2.0]])))
    taken = []

    for _ in range(3):
        leaves = tree.select()
        taken.append((int(leaves.parent[0]), int(leaves.action[0])))
        tree.backup(Evaluation(np.ones(1), np.zeros((1, 3))))

    assert taken == [(0, 2), (0, 1), (0, 0)]  # the likeliest first
