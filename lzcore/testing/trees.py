"""What every search tree promises: visits that add up, searches that stand alone, references.

A tree of another rule than those of `docs/search.md` says `reference=False` in its spec, and is
not compared with what mctx and other trees find. What a tree says it does not support is not asked.

Shape letters: B roots, R leaves evaluated together, E edges, S simulations.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np

from lzcore.base.errors import LzError
from lzcore.base.tree import Array, Evaluation, SearchResult, Tree
from lzcore.base.treespec import TreeSpec
from lzcore.testing.golden import WORLDS, check_golden_search
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.searches import Case, Search, cases, plain_cases, run_alike, spoilt
from lzcore.testing.subject import Subject

_OF_A_KIND = 1  # cases of every kind of searches that a check runs
_COMPARED = 3


def _cases(subject: Subject, count: int = _OF_A_KIND) -> Iterator[Case]:
    """Yield cases that the tree says it can run; AssertionError if there are none."""
    known = (*plain_cases(), *cases(count))
    supported = [case for case in known if subject.cls.supports(case.spec) is None]
    require(supported, "supports() refuses every search; expected None for one kind at least.")
    yield from supported


def _run(tree: Tree, search: Search) -> SearchResult:
    """Run one search to its end."""
    tree.start(**search.roots)
    for evaluation in search.leaves:
        needed = tree.select().needs_evaluation.copy()
        tree.backup(spoilt(evaluation, needed))
    return tree.result()


# --- what it can do -------------------------------------------------------------------------------


@promise("tree")
def check_what_it_supports_is_told_in_one_line(subject: Subject) -> None:
    """`supports` answers None or one line, and what it refuses cannot be constructed."""
    for case in (*plain_cases(), *cases(1)):
        reason = subject.cls.supports(case.spec)
        require(
            reason is None or (isinstance(reason, str) and reason and "\n" not in reason),
            f"supports() answered {reason!r}; expected None or one line of text.",
        )
        if reason is None:
            made = subject.cls(case.spec)
            require(made.spec == case.spec, "its attribute spec is not what it was made with.")
        else:
            _require_refused(subject, case.spec)


def _require_refused(subject: Subject, spec: TreeSpec) -> None:
    try:
        subject.cls(spec)
    except ValueError:
        return
    raise AssertionError(
        f"it was made for a search that supports() refuses ({subject.cls.supports(spec)}); "
        "expected a ValueError."
    )


# --- references -----------------------------------------------------------------------------------


def _has_other_rules(subject: Subject) -> str | None:
    is_reference = getattr(subject.spec, "reference", True)
    return None if is_reference else "it searches by rules of its own (reference=False)"


@promise("tree", left_out=_has_other_rules)
def check_it_searches_like_mctx(subject: Subject) -> None:
    """Every golden search: visits and trees exactly, values to 1e-9."""
    for name in WORLDS:
        try:
            check_golden_search(subject.cls, name)
        except AssertionError as err:
            raise AssertionError(f"in the golden search {name}, {in_one_line(err)}") from err


def _others(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Yield the other trees by the same rules, by name: those that are not compiled first."""
    known = [c for c in subject.registry.components("trees") if c.spec is not subject.spec]
    for component in sorted(known, key=lambda c: c.spec.compiled):
        if component.state != "broken" and component.spec.reference:
            try:
                yield component.name, subject.registry.resolve("trees", component.qualified)
            except LzError:  # checks of its own distribution tell of it
                continue


def _compared(subject: Subject, count: int) -> Iterator[tuple[Case, str, Any]]:
    """Yield cases that the tree can run, each with the first other one that can, and its name."""
    others = list(_others(subject))
    for case in _cases(subject, count) if others else ():
        for name, other in others:
            if other.supports(case.spec) is None:
                yield case, name, other
                break


def _cannot_be_compared(subject: Subject) -> str | None:
    reason = _has_other_rules(subject)
    if reason is None and next(_compared(subject, _OF_A_KIND), None) is None:
        reason = "no other tree that is installed makes the same searches"
    return reason


@promise("tree", left_out=_cannot_be_compared)
def check_it_searches_like_another_tree(subject: Subject) -> None:
    """Under every rule the same leaves, results and trees as another tree, bit for bit."""
    for case, name, other in _compared(subject, _COMPARED):
        try:
            run_alike(subject.cls(case.spec), other(case.spec), case)
        except AssertionError as err:
            raise AssertionError(
                f"it differs from the tree {name!r} in {in_one_line(err)} Expected the same bits "
                f"under {_given(case.spec)}."
            ) from err


def _given(spec: TreeSpec) -> str:
    """Return what a search is asked for beyond the defaults."""
    fields = attrs.fields(TreeSpec)
    told = {field.name: getattr(spec, field.name) for field in fields}
    return ", ".join(f"{f.name}={told[f.name]!r}" for f in fields if told[f.name] != f.default)


# --- one search -----------------------------------------------------------------------------------


@promise("tree")
def check_visits_add_up_and_keep_to_what_is_allowed(subject: Subject) -> None:
    """Root visits sum to the simulations made; edges that are not allowed have none."""
    for case in _cases(subject):
        tree = subject.cls(case.spec)
        for search in case.searches:
            found = _run(tree, search)
            made = max(0, len(search.leaves) - case.spec.root_expand_all)
            sums = found.visit_count.sum(axis=1)
            if case.spec.root_expand_all:
                made = len(search.leaves) and sums[0]  # what expanding counts is the rule's affair
            require(
                (sums == made).all(),
                f"visit_count sums to {short(sums.tolist())} after {made} simulations; expected "
                f"{made} for each root.",
            )
            legal = search.roots["legal_actions"]
            if legal is not None and not case.spec.is_sampled:
                require(
                    not found.visit_count[~legal].any(),
                    "it visited an action that legal_actions of start does not allow; expected 0.",
                )


@promise("tree")
def check_results_have_the_documented_shapes(subject: Subject) -> None:
    """Every field of a SearchResult, in an array of its own."""
    for case in _cases(subject):
        tree, spec = subject.cls(case.spec), case.spec
        for search in case.searches:
            found = _run(tree, search)
            _require_result(found, spec, len(search.roots["evaluation"].value))
            before = {k: v.copy() for k, v in found._asdict().items() if v is not None}
            tree.start(**search.roots)
            for name, values in before.items():
                require(
                    np.array_equal(
                        values, getattr(found, name), equal_nan=values.dtype.kind == "f"
                    ),
                    f"its {name} changed when the next search began; expected an array of its own.",
                )


def _require_result(found: SearchResult, spec: TreeSpec, roots: int) -> None:
    each = (roots, spec.num_edges)
    wanted: dict[str, tuple[tuple[int, ...], type]] = {
        "visit_count": (each, np.int32),
        "value": ((roots,), np.float64),
        "q_value": (each, np.float64),
        "raw_value": ((roots,), np.float64),
        "prior_logits": ((roots, 2 * spec.action_dim or spec.num_actions), np.float64),
    }
    if spec.rule == "gumbel":
        wanted |= {
            "improved_policy": (each, np.float64),
            "completed_q": (each, np.float64),
            "best_edge": ((roots,), np.int64),
        }
    if spec.is_sampled:
        dtype = np.float32 if spec.is_continuous else np.int64
        wanted["sampled_actions"] = ((*each, spec.action_dim or 1), dtype)
    for name, (shape, kind) in wanted.items():
        _require_array(getattr(found, name), shape, kind, f"{name} of its result")


def _require_array(found: Any, shape: tuple[int, ...], kind: Any, what: str) -> None:
    got = (getattr(found, "shape", None), getattr(found, "dtype", type(found).__name__))
    require(
        got == (shape, np.dtype(kind)),
        f"{what} is {got[1]} of shape {got[0]}; expected {np.dtype(kind)} of shape {shape}.",
    )


@promise("tree")
def check_leaves_name_nodes_that_are_there(subject: Subject) -> None:
    """Each leaf hangs below a node that was evaluated before, by an edge that exists."""
    for case in _cases(subject):
        tree, spec = subject.cls(case.spec), case.spec
        for search in case.searches:
            tree.start(**search.roots)
            roots = len(search.roots["evaluation"].value)
            for i, evaluation in enumerate(search.leaves):
                leaves = tree.select()
                rows = roots * (spec.num_edges if spec.root_expand_all and i == 0 else 1)
                _require_leaves(leaves._asdict(), rows, spec)
                tree.backup(spoilt(evaluation, leaves.needs_evaluation.copy()))


def _require_leaves(leaves: Mapping[str, Any], rows: int, spec: TreeSpec) -> None:
    kinds: dict[str, Any] = {
        "parent": np.int64,
        "action": np.int64,
        "node": np.int64,
        "depth": np.int32,
        "is_outcome": np.bool_,
        "needs_evaluation": np.bool_,
    }
    for name, kind in kinds.items():
        _require_array(leaves[name], (rows,), kind, f"{name} of its leaves")
    if spec.is_continuous:
        _require_array(leaves["vector"], (rows, spec.action_dim), np.float32, "vector")
    parent, node = leaves["parent"], leaves["node"]
    require(
        ((parent >= 0) & (node < spec.num_nodes)).all(),
        f"it selected nodes {short(node.tolist())} below {short(parent.tolist())}; expected "
        f"numbers from 0 to {spec.num_nodes - 1}.",
    )
    below = leaves["needs_evaluation"] & (node <= parent)
    require(
        not below.any(),
        f"it selected nodes {short(node.tolist())} below {short(parent.tolist())}; expected "
        "later numbers than their parents have.",
    )


@promise("tree")
def check_snapshots_show_what_was_searched(subject: Subject) -> None:
    """The documented arrays; the root's visits are those of its edges and its own."""
    for case in _cases(subject):
        tree = subject.cls(case.spec)
        found = _run(tree, case.searches[0])
        shown = tree.snapshot()
        for name in (
            *("node_visits", "node_values", "raw_values", "to_play", "is_chance", "terminal"),
            *("parents", "action_from_parent", "edge_visits", "edge_rewards", "edge_discounts"),
            "prior",
        ):
            require(name in shown, f"its snapshot has no {name!r} among {sorted(shown)}.")
        edges = shown["edge_visits"][:, 0, : case.spec.num_edges]
        require(
            np.array_equal(edges, found.visit_count),
            "edge_visits of the root in its snapshot are not visit_count of its result; expected "
            "the same.",
        )


# --- searches beside and after each other ---------------------------------------------------------


def _of_root(search: Search, b: int, roots: int) -> Search:
    """Return what root b of a search is given, as a search of its own."""

    def row(array: Array | None) -> Array | None:
        if array is None:
            return None
        rest = array.reshape(len(array) // roots, roots, *array.shape[1:])[:, b]
        return np.ascontiguousarray(rest)

    def part(evaluation: Any) -> Any:
        return type(evaluation)(*(row(field) for field in evaluation))

    given = {
        name: part(value) if isinstance(value, tuple) else row(value)
        for name, value in search.roots.items()
    }
    return Search(given, [part(evaluation) for evaluation in search.leaves])


@promise("tree")
def check_roots_do_not_depend_on_each_other(subject: Subject) -> None:
    """A root is searched alike alone and in a batch, bit for bit."""
    for case in _cases(subject):
        search = case.searches[0]
        roots = len(search.roots["evaluation"].value)
        whole = _run(subject.cls(case.spec), search)
        for b in range(roots):
            alone = _run(subject.cls(case.spec), _of_root(search, b, roots))
            _require_same(alone, whole, slice(b, b + 1), f"root {b} of {roots} is searched alone")


@promise("tree")
def check_a_search_depends_on_none_before_it(subject: Subject) -> None:
    """A tree that was used searches like a new one, whatever number of roots it had."""
    for case in _cases(subject):
        used = subject.cls(case.spec)
        for search in [*case.searches, case.searches[0]]:
            again, fresh = _run(used, search), _run(subject.cls(case.spec), search)
            _require_same(again, fresh, slice(None), "its tree was used before")


def _require_same(one: SearchResult, other: SearchResult, rows: slice, when: str) -> None:
    for name, expected in other._asdict().items():
        found = getattr(one, name)
        if expected is None and found is None:
            continue
        require(
            found is not None
            and expected is not None
            and np.array_equal(found, expected[rows], equal_nan=found.dtype.kind == "f"),
            f"its {name} is another when {when}; expected the same bits.",
        )


@promise("tree")
def check_calls_out_of_order_are_refused(subject: Subject) -> None:
    """A RuntimeError says which call is missing, and the search goes on."""
    spec = TreeSpec(num_simulations=1, num_actions=2)
    reason = subject.cls.supports(spec)
    if reason is not None:
        spec = next(_cases(subject)).spec
    tree = subject.cls(spec)
    for call in (tree.select, tree.result, tree.snapshot):
        _require_error(call, "before start")
    if reason is not None:
        return
    told = Evaluation(np.zeros(1), np.zeros((1, 2)), np.zeros(1))
    tree.start(told)
    _require_error(lambda: tree.backup(told), "a backup without a select")
    tree.select()
    _require_error(tree.select, "a second select without a backup")
    tree.backup(told)
    _require_error(tree.select, "a select after all simulations")
    require(tree.result().visit_count.sum() == 1, "a refused call changed the search.")


def _require_error(call: Any, when: str) -> None:
    try:
        call()
    except RuntimeError as err:
        require(str(err), f"{when} raised a RuntimeError without a message.")
        return
    raise AssertionError(f"{when} was answered; expected a RuntimeError.")
