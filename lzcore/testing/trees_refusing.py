"""What every search tree refuses: arguments that no search can be made of.

A refusal is a ValueError that names the argument, and the root where it is one root's; the search
that was under way goes on. What a tree says it does not support is not asked.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np

from lzcore.base.tree import Array, Evaluation, Reuse, Tree
from lzcore.base.treespec import TreeSpec
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.subject import Subject

Options = Mapping[str, Any]  # of a TreeSpec


@attrs.frozen
class Wrong:
    """Something wrong in the arguments for two roots, and what its refusal has to name."""

    options: Options  # of the search
    change: Mapping[str, Any]  # argument or field -> what is wrong instead
    named: tuple[str, ...]  # parts of the message


PLAIN: Options = {"num_actions": 3}
GUMBEL: Options = {"num_actions": 3, "rule": "gumbel"}
CHANCE: Options = {"num_actions": 3, "num_chance_outcomes": 2}
SLOTS: Options = {"num_actions": 3, "num_sampled_actions": 2}
VECTORS: Options = {"action_dim": 2, "num_sampled_actions": 3, "root_expand_all": False}
PREFIX: Options = {"num_actions": 3, "value_prefix": True}
EXPANDED: Options = {"num_actions": 3, "root_expand_all": True}

TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
GAUSSIAN = Evaluation(np.zeros(2), np.tile([0.0, 0.0, 1.0, 1.0], (2, 1)), np.zeros(2))
SEEDS = np.array([3, 4], np.uint64)


def _ids(*rows: Any) -> Array:
    return np.array(rows, np.int64)


def _mask(*rows: str) -> Array:
    return np.array([[flag == "1" for flag in row] for row in rows])


def _vectors(number: float = 0.0, shape: tuple[int, ...] = (2, 3, 2)) -> Array:
    return np.full(shape, number, np.float32)


# evaluations of leaves, and what is wrong with them
EVALUATIONS = (
    Wrong(PLAIN, {"value": [0.0, 0.0]}, ("evaluation.value", "list")),
    Wrong(PLAIN, {"value": np.zeros(2, int)}, ("evaluation.value", "int64")),
    Wrong(PLAIN, {"value": np.zeros(2, "f2")}, ("evaluation.value", "float16")),
    Wrong(PLAIN, {"value": np.zeros(3)}, ("evaluation.value", "(3,)", "(2,)")),
    Wrong(PLAIN, {"value": np.zeros((2, 1))}, ("evaluation.value", "(2, 1)")),
    Wrong(PLAIN, {"value": np.array([0, np.nan])}, ("evaluation.value[1]", "root 1")),
    Wrong(PLAIN, {"value": np.array([0, 1e39])}, ("value[1]", "float32")),
    Wrong(PLAIN, {"reward": np.array([np.inf, 0])}, ("evaluation.reward[0]", "root 0")),
    Wrong(PLAIN, {"discount": np.array([0, np.nan])}, ("evaluation.discount[1]", "root 1")),
    Wrong(PLAIN, {"logits": np.zeros((2, 4))}, ("evaluation.logits", "(2, 4)", "(2, 3)")),
    Wrong(
        PLAIN,
        {"logits": np.array([[0, 0, 0], [0, 0, -np.inf]])},
        ("evaluation.logits[1, 2]", "root 1"),
    ),
    Wrong(PLAIN, {"legal_actions": np.ones((2, 3))}, ("evaluation.legal_actions", "float64")),
    Wrong(PLAIN, {"legal_actions": _mask("111", "000")}, ("evaluation.legal_actions", "root 1")),
    Wrong(PLAIN, {"to_play": np.array([1, 2])}, ("evaluation.to_play", "int64", "int8")),
    Wrong(PLAIN, {"to_play": np.array([1, 0], np.int8)}, ("to_play[1]", "root 1")),
    Wrong(PLAIN, {"terminal": np.zeros(2, int)}, ("evaluation.terminal", "int64")),
    Wrong(PLAIN, {"terminal": np.zeros(3, bool)}, ("evaluation.terminal", "(3,)")),
    Wrong(PLAIN, {"is_chance": np.zeros(2, bool)}, ("is_chance",)),
    Wrong(PLAIN, {"actions": _ids([0, 1], [0, 1])}, ("actions",)),
    Wrong(CHANCE, {"is_chance": np.zeros((2, 1), bool)}, ("evaluation.is_chance", "(2, 1)")),
    Wrong(CHANCE, {"legal_actions": _mask("100", "001")}, ("legal_actions", "root 1")),
    Wrong(SLOTS, {"actions": _ids([0], [1])}, ("evaluation.actions", "(2, 1)")),
    Wrong(SLOTS, {"actions": _vectors(shape=(2, 2))}, ("evaluation.actions", "float32")),
    Wrong(SLOTS, {"actions": _ids([0, 1], [1, 0])}, ("actions[1", "root 1")),
    Wrong(SLOTS, {"actions": _ids([0, 3], [0, 1])}, ("actions[0", "root 0")),
    Wrong(SLOTS, {"actions": _ids([0, 1], [-1, 1])}, ("actions[1", "root 1")),
    Wrong(SLOTS, {"actions": _ids([1, 1], [0, 1])}, ("actions[0", "root 0")),
    Wrong(
        SLOTS,
        {"actions": _ids([0, 1], [0, 1]), "legal_actions": _mask("101", "101")},
        ("actions[0", "root 0"),
    ),
    Wrong(VECTORS, {"actions": _vectors(shape=(2, 3, 3))}, ("(2, 3, 3)", "(2, 3, 2)")),
    Wrong(VECTORS, {"actions": _vectors(1.0)}, ("actions[0, 0, 0]", "root 0")),
    Wrong(VECTORS, {"actions": _vectors(np.nan)}, ("actions[0, 0, 0]", "root 0")),
    Wrong(VECTORS, {"legal_actions": _mask("111", "111")}, ("legal_actions",)),
    Wrong(VECTORS, {"logits": np.zeros((2, 4))}, ("logits[0, 2]", "root 0")),
    Wrong(PREFIX, {"reward": None}, ("evaluation.reward",)),
)
# arguments of start, and what is wrong with them
STARTS = (
    Wrong(PLAIN, {"evaluation": TWO._replace(value=np.zeros(0))}, ("value", "(0,)")),
    Wrong(PLAIN, {"evaluation": TWO._replace(value=np.array([0.0, 1e39]))}, ("value[1]",)),
    Wrong(PLAIN, {"legal_actions": _mask("000", "000")}, ("legal_actions", "root 0")),
    Wrong(PLAIN, {"to_play": np.array([3, 1], np.int8)}, ("to_play[0]", "root 0")),
    Wrong(PLAIN, {"seeds": np.zeros(2, int)}, ("seeds", "int64", "uint64")),
    Wrong(PLAIN, {"noise": np.full((2, 3), 0.5)}, ("noise", "root 0")),
    Wrong(PLAIN, {"noise": np.full((2, 3), np.nan)}, ("noise[0, 0]", "root 0")),
    Wrong(PLAIN, {"noise": np.array([[1, 1, -1], [1, 0, 0]], float)}, ("noise", "root 0")),
    Wrong(
        PLAIN,
        {"noise": np.full((2, 3), 1 / 3), "legal_actions": _mask("111", "110")},
        ("noise", "root 1"),
    ),
    Wrong(GUMBEL, {"noise": np.array([[0.0] * 3, [0.0, 0.0, np.inf]])}, ("noise[1, 2]", "root 1")),
    Wrong(SLOTS, {"noise": np.array([[0.5, 0.5], [0.7, 0.7]])}, ("noise", "root 1")),
    Wrong(SLOTS, {"noise": np.full((2, 3), 1 / 3)}, ("noise", "(2, 3)", "(2, 2)")),
    *(
        Wrong(kind, {"seeds": None}, ("seeds", "None"))
        for kind in (SLOTS, VECTORS, {**CHANCE, "chance_select": "sample"})
    ),
    Wrong({**PLAIN, "tie_break": "random"}, {"seeds": None}, ("seeds", "None")),
    *(
        Wrong(kind, {"reuse": Reuse(_ids(0, 0), np.zeros(2))}, ("reuse",))
        for kind in (GUMBEL, SLOTS, EXPANDED, CHANCE)
    ),
    *(
        Wrong(PLAIN, {"reuse": Reuse(*given)}, named)
        for given, named in (
            ((_ids(0, 3), np.zeros(2)), ("reuse.action[1]", "root 1")),
            ((_ids(-2, 0), np.zeros(2)), ("reuse.action[0]", "root 0")),
            ((_ids(0, 0, 0), np.zeros(2)), ("reuse.action", "(3,)")),
            ((np.zeros(2), np.zeros(2)), ("reuse.action", "float64")),
            ((_ids(-1, 0), np.array([np.nan, np.inf])), ("reuse.value[1]", "root 1")),
        )
    ),
    Wrong(
        PLAIN,
        {"reuse": Reuse(_ids(0, 1), np.zeros(2)), "legal_actions": _mask("111", "101")},
        ("reuse.action[1]", "root 1"),
    ),
)


def _asked(subject: Subject, table: tuple[Wrong, ...]) -> Iterator[tuple[Wrong, Tree, Evaluation]]:
    """Yield what a tree is asked of a table, each with a new tree and a right evaluation."""
    for wrong in table:
        spec = TreeSpec(num_simulations=1, **wrong.options)
        if subject.cls.supports(spec) is None:
            yield wrong, subject.cls(spec), GAUSSIAN if spec.is_continuous else TWO


@promise("tree")
def check_evaluations_that_cannot_be_used_are_refused(subject: Subject) -> None:
    """`backup` names the argument and the root, changes nothing, and takes the right one then."""
    for wrong, tree, told in _asked(subject, EVALUATIONS):
        tree.start(told, seeds=SEEDS)
        tree.select()
        changed = told._replace(**wrong.change)
        _require_refusal(lambda tree=tree, changed=changed: tree.backup(changed), wrong)
        _require_count(tree, 0, wrong)
        tree.backup(told)
        _require_count(tree, 1, wrong)


@promise("tree")
def check_roots_that_cannot_be_searched_are_refused(subject: Subject) -> None:
    """`start` names the argument and the root, and the search before it goes on."""
    for wrong, tree, told in _asked(subject, STARTS):
        right = {"evaluation": told, "seeds": SEEDS}
        given = {**right, **wrong.change}
        tree.start(**right)  # type: ignore[arg-type]
        _require_refusal(lambda tree=tree, given=given: tree.start(**given), wrong)
        if not tree.spec.root_expand_all:
            tree.select()
            tree.backup(told)
            _require_count(tree, 1, wrong)


def _require_refusal(call: Any, wrong: Wrong) -> None:
    said = ", ".join(f"{name}={short(value)}" for name, value in wrong.change.items())
    try:
        call()
    except ValueError as err:
        missing = [part for part in wrong.named if part not in str(err)]
        require(
            not missing,
            f"{said} was refused with: {in_one_line(err)} Expected it to name {missing}.",
        )
        return
    raise AssertionError(f"{said} was taken; expected a ValueError that names {wrong.named[0]}.")


def _require_count(tree: Tree, count: int, wrong: Wrong) -> None:
    sums = tree.result().visit_count.sum(axis=1).tolist()
    require(
        sums == [count, count],
        f"visits sum to {sums} after {', '.join(wrong.change)} was refused; expected {count} for "
        "each root.",
    )
