"""Each check of trees is broken by a tree that is wrong in just that; NumpyTree keeps them all.

The core has no tree of its own, so these tests stand where the plugins meet.
"""

import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
from lz_ptree.tree import NumpyTree

from lzcore.registry import Registry, SearchTreeSpec, hookimpl
from lzcore.registry.discovery import installed_points
from lzcore.testing import trees, trees_backup, trees_refusing
from lzcore.testing.kit import all_checks, checks_for, left_out
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, tree, others=True, **given):
    """The tree as the component `oak`, with or without the other plugins beside it."""
    module = types.ModuleType("oaks")
    module.LZ_API, module.Oak = 1, tree
    spec = SearchTreeSpec(name="oak", tree="oaks:Oak", summary="Grows.", compiled=False, **given)
    module.lz_register_trees = hookimpl(lambda: [spec])
    monkeypatch.setitem(sys.modules, "oaks", module)
    dist = SimpleNamespace(name="lz-oaks", version="1.0")
    point = SimpleNamespace(name="oaks", value="oaks", dist=dist, load=lambda: module)
    points = [*installed_points(), point] if others else [point]
    return Subject("oak", registry=Registry(points, limit=""))


class Vague(NumpyTree):
    @staticmethod
    def supports(spec):
        return "it\ncannot" if spec.is_continuous else None


class Lenient(NumpyTree):
    def __new__(cls, spec):
        return NumpyTree(spec)

    @staticmethod
    def supports(spec):
        return "no vectors here" if spec.is_continuous else None


class OtherSpec(NumpyTree):
    def __init__(self, spec):
        super().__init__(spec)
        self.spec = None


def telling(**changes):
    """A tree whose result has these fields changed."""

    def result(self):
        found = NumpyTree.result(self)
        fields = found._asdict()
        return found._replace(**{k: f(fields[k]) for k, f in changes.items()})

    return type("Telling", (NumpyTree,), {"result": result})


class Lazy(NumpyTree):
    """Hands the same memory out in every search."""

    kept = np.zeros(0)

    def result(self):
        found = super().result()
        if len(self.kept) != len(found.value):
            self.kept = found.value
        self.kept[:] = found.value
        return found._replace(value=self.kept)

    def start(self, *given, **more):
        super().start(*given, **more)
        self.kept = self.kept * 1.0 if len(self.kept) == 0 else self.kept
        self.kept[:] += 1.0


class Looking(NumpyTree):
    """Tells leaves in short integers."""

    def select(self):
        leaves = super().select()
        return leaves._replace(node=leaves.node.astype(np.int32))


class Upside(NumpyTree):
    """Tells of leaves that hang below later nodes."""

    def select(self):
        leaves = super().select()
        return leaves._replace(parent=leaves.node + 1)


class NoVisits(NumpyTree):
    def snapshot(self):
        return {name: array for name, array in super().snapshot().items() if name != "edge_visits"}


class Together(NumpyTree):
    """Lets a root's result depend on how many there are."""

    def result(self):
        found = super().result()
        return found._replace(value=found.value * len(found.value))


class Aging(NumpyTree):
    """Remembers how often it was used."""

    age = 0

    def start(self, *given, **more):
        super().start(*given, **more)
        self.age += 1

    def result(self):
        found = super().result()
        return found._replace(value=found.value + self.age)


class Patient(NumpyTree):
    """Answers whenever it is asked."""

    def snapshot(self):
        try:
            return super().snapshot()
        except RuntimeError:
            return {}


class Trusting(NumpyTree):
    """Takes numbers that are none."""

    def backup(self, evaluation):
        super().backup(evaluation._replace(value=np.nan_to_num(evaluation.value)))

    def start(self, evaluation, *given, noise=None, **more):
        noise = None if noise is None or np.isnan(noise).any() else noise
        super().start(evaluation, *given, noise=noise, **more)


class Curt(NumpyTree):
    """Refuses without a reason."""

    def backup(self, evaluation):
        try:
            super().backup(evaluation)
        except ValueError:
            raise ValueError("no") from None


def backing_up(**changes):
    """A tree that takes these fields of every evaluation for another."""

    def backup(self, evaluation):
        told = {name: change(evaluation) for name, change in changes.items()}
        NumpyTree.backup(self, evaluation._replace(**told))

    return type("Backing", (NumpyTree,), {"backup": backup})


class OneSided(NumpyTree):
    """Knows no players."""

    def start(self, evaluation, *given, to_play=None, **more):
        super().start(evaluation, *given, **more)

    def backup(self, evaluation):
        super().backup(evaluation._replace(to_play=None))


class Rooted(NumpyTree):
    """Comes back to the edge of the root."""

    def select(self):
        leaves = super().select()
        return leaves._replace(depth=np.ones_like(leaves.depth))


def halves(evaluation):
    return np.full(len(evaluation.value), 0.5)


b, t, r = trees_backup, trees, trees_refusing
by_hand = b.check_returns_are_carried_up_as_worked_by_hand
WRONG = [
    (t.check_what_it_supports_is_told_in_one_line, Vague, r"answered 'it\\ncannot'; expected None"),
    (t.check_what_it_supports_is_told_in_one_line, Lenient, r"refuses \(no vectors here\); exp"),
    (t.check_what_it_supports_is_told_in_one_line, OtherSpec, "its attribute spec is not what"),
    (t.check_it_searches_like_mctx, telling(value=lambda v: v + 1), "golden search .*not that of"),
    (
        t.check_it_searches_like_another_tree,
        telling(q_value=lambda q: -q - 1e-9),
        "from the tree 'lz_ptree' in .*q_value",
    ),
    (
        t.check_visits_add_up_and_keep_to_what_is_allowed,
        telling(visit_count=lambda n: n + 1),
        "after .* simulations; expected",
    ),
    (
        t.check_visits_add_up_and_keep_to_what_is_allowed,
        telling(visit_count=lambda n: np.roll(n, 1, axis=1)),
        "it visited an action that legal_actions of start does not allow",
    ),
    (
        t.check_results_have_the_documented_shapes,
        telling(visit_count=lambda n: n.astype(np.int64)),
        "visit_count of its result is int64 of shape",
    ),
    (t.check_results_have_the_documented_shapes, Lazy, "its value changed when the next search"),
    (t.check_leaves_name_nodes_that_are_there, Looking, "node of its leaves is int32 of shape"),
    (t.check_leaves_name_nodes_that_are_there, Upside, "expected later numbers than their par"),
    (t.check_snapshots_show_what_was_searched, NoVisits, "snapshot has no 'edge_visits' among"),
    (
        t.check_snapshots_show_what_was_searched,
        telling(visit_count=lambda n: n + 1),
        "edge_visits of the root in its snapshot are not visit_count",
    ),
    (t.check_roots_do_not_depend_on_each_other, Together, "its value is another when root 0 of"),
    (t.check_a_search_depends_on_none_before_it, Aging, "another when its tree was used before"),
    (t.check_calls_out_of_order_are_refused, Patient, "before start was answered; expected a Runt"),
    (by_hand, backing_up(reward=lambda e: 0 * e.value), "value of the roots .* with one player"),
    (by_hand, backing_up(value=lambda e: 0 * e.value), r"is \[3\.25, 3\.25\] .* expected 5\.5 for"),
    (by_hand, backing_up(discount=lambda e: 2 * halves(e)), "value .* with one player"),
    (by_hand, backing_up(discount=halves), "value of the roots is .* where two players take turns"),
    (by_hand, backing_up(to_play=lambda e: None), "where one of two players moves on"),
    (by_hand, backing_up(discount=lambda e: None), "where discount is told as -0.5"),
    (by_hand, OneSided, r"value of the roots is \[5\.5, 5\.5\] where two .*; expected 0\.5 for"),
    (by_hand, Rooted, "simulation 2 ended at the depths"),
    (by_hand, telling(visit_count=lambda n: n + 1), r"visit_count of the roots is \[4, 4\] with"),
    (by_hand, telling(q_value=lambda q: -q), r"q_value of the roots is \[-7\.0, -7\.0\] with one"),
    (r.check_evaluations_that_cannot_be_used_are_refused, Trusting, r"value=\[0.* was taken; exp"),
    (r.check_evaluations_that_cannot_be_used_are_refused, Curt, "was refused with: no. Expected"),
    (r.check_roots_that_cannot_be_searched_are_refused, Trusting, r"noise=array\(.* was taken; ex"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_tree_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^tree 'oak': .*{message}"):
        check(subject_of(monkeypatch, wrong))


def test_every_check_of_trees_has_a_tree_that_fails_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("tree")}


def test_a_tree_that_supports_nothing_is_named(monkeypatch):
    class Nothing(NumpyTree):
        @staticmethod
        def supports(spec):
            return "nothing at all"

    with pytest.raises(AssertionError, match=r"supports\(\) refuses every search; expected None"):
        trees.check_leaves_name_nodes_that_are_there(subject_of(monkeypatch, Nothing))


def test_a_tree_in_which_no_node_can_have_one_edge_is_not_worked_by_hand(monkeypatch):
    class Wide(NumpyTree):
        @staticmethod
        def supports(spec):
            return "one edge is no choice" if spec.num_simulations == 3 else None

    reasons = left_out(subject_of(monkeypatch, Wide))
    assert reasons["check_returns_are_carried_up_as_worked_by_hand"].startswith("it runs no search")


def test_a_tree_of_another_rule_is_not_compared_with_any_reference(monkeypatch):
    subject = subject_of(monkeypatch, NumpyTree, reference=False)

    assert left_out(subject) == {
        "check_it_searches_like_mctx": "it searches by rules of its own (reference=False)",
        "check_it_searches_like_another_tree": "it searches by rules of its own (reference=False)",
    }
    assert len(checks_for(subject)) == len(list(all_checks("tree"))) - 2


def test_where_no_other_tree_is_installed_nothing_is_compared(monkeypatch):
    subject = subject_of(monkeypatch, NumpyTree, others=False)

    assert left_out(subject) == {
        "check_it_searches_like_another_tree": "no other tree that is installed makes the same "
        "searches"
    }


def test_a_tree_is_compared_with_others_by_the_same_rules_readable_ones_first(monkeypatch):
    module = types.ModuleType("woods")
    module.LZ_API = 1
    module.Own, module.Fast = telling(value=lambda v: v + 1), NumpyTree
    module.Slow = type("Slow", (NumpyTree,), {})
    given = {"summary": "Grows.", "compiled": False}
    specs = [
        SearchTreeSpec(name="fast", tree="woods:Fast", **{**given, "compiled": True}),
        SearchTreeSpec(name="gone", tree="woods:Gone", **given),
        SearchTreeSpec(name="own", tree="woods:Own", reference=False, **given),
        SearchTreeSpec(name="slow", tree="woods:Slow", **given),
    ]
    module.lz_register_trees = hookimpl(lambda: specs)
    monkeypatch.setitem(sys.modules, "woods", module)
    dist = SimpleNamespace(name="lz-woods", version="1.0")
    point = SimpleNamespace(name="woods", value="woods", dist=dist, load=lambda: module)
    registry = Registry([point], limit="")

    def others(name):
        return [name for name, _ in trees._others(Subject(name, registry=registry))]

    assert others("fast") == ["slow"]
    assert others("slow") == ["fast"]
    assert others("own") == ["slow", "fast"]
