"""What the C++ tree refuses: the argument, the root and the remedy are named, nothing crashes."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lz_ctree import _ctree
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import TreeSpec

TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
SEEDS = np.array([3, 4], np.uint64)


def fresh(num_simulations=1):
    return CTree(TreeSpec(num_simulations=num_simulations, num_actions=3))


def misaligned():
    return np.frombuffer(bytearray(17), dtype=np.float64, offset=1, count=2)


def test_calls_out_of_order_say_which_call_is_missing():
    tree = fresh()
    for call in (tree.select, tree.result, tree.snapshot):
        with pytest.raises(RuntimeError, match=r"before start\. Call start with the roots first"):
            call()
    tree.start(TWO)
    with pytest.raises(RuntimeError, match=r"backup was called without a select before it"):
        tree.backup(TWO)
    tree.select()
    with pytest.raises(RuntimeError, match=r"select was called twice\. Call backup between"):
        tree.select()
    tree.backup(TWO)
    with pytest.raises(RuntimeError, match=r"after all 1 simulations\. Call result, or start"):
        tree.select()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": None}, r"evaluation\.value is of type NoneType; expected a NumPy array"),
        ({"value": np.zeros(2, ">f8")}, r"evaluation\.value has dtype >f8; expected float32 or"),
        ({"value": misaligned()}, r"evaluation\.value is not aligned in memory; .* Pass a copy"),
        ({"value": np.zeros(3)}, r"evaluation\.value has shape \(3,\); expected \(2,\)\. Pass one"),
        (
            {"logits": np.zeros((3, 2)).T},
            r"evaluation\.logits has rows that are not contiguous; .* numpy\.ascontiguousarray",
        ),
        (
            {"logits": np.array([[0, 0, 0], [0, 0, -np.inf]])},
            r"evaluation\.logits\[1, 2\] is -inf, at root 1; .*Mark illegal actions in legal_act",
        ),
        (
            {"logits": np.array([[0, 0, 0], [np.nan, 0, 0]], np.float32)},
            r"evaluation\.logits\[1, 0\] is nan, at root 1; expected a finite number",
        ),
    ],
)
def test_an_evaluation_that_cannot_be_used_is_refused_and_changes_nothing(change, message):
    tree = fresh()
    tree.start(TWO)
    tree.select()
    with pytest.raises(ValueError, match=message):
        tree.backup(TWO._replace(**change))

    assert tree.result().visit_count.sum() == 0
    tree.backup(TWO)
    assert tree.result().visit_count.sum(axis=1).tolist() == [1, 1]


@settings(derandomize=True, deadline=None, database=None)
@given(
    field=st.sampled_from(Evaluation._fields),
    array=arrays.arrays(
        dtype=st.sampled_from(["f4", "f8", "i1", "i8", "?", "u8", "S1", "c8"]),
        shape=arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    transposed=st.booleans(),
)
def test_whatever_array_is_passed_it_is_used_or_refused_by_name(field, array, transposed):
    tree = fresh()
    tree.start(TWO)
    tree.select()
    refused = ""
    try:
        tree.backup(TWO._replace(**{field: array.T if transposed else array}))
    except ValueError as err:
        refused = str(err)

    assert tree.result().visit_count.sum() == (0 if refused else 2)
    assert not refused or f"evaluation.{field}" in refused


@pytest.mark.parametrize(
    ("setting", "name", "size"),
    [("num_simulations", "num_nodes", 2**31 + 1), ("num_actions", "num_edges", 2**31)],
)
def test_a_search_too_large_to_count_is_not_supported(setting, name, size):
    spec = TreeSpec(**{"num_simulations": 1, "num_actions": 1, setting: 2**31})

    assert CTree.supports(spec) == f"{name} is {size}; the C++ tree counts up to {2**31 - 16}"
    with pytest.raises(ValueError, match=f"{name} is {size}"):
        CTree(spec)


def test_more_roots_than_memory_holds_are_a_memory_error_and_leave_a_usable_tree():
    tree = CTree(TreeSpec(num_simulations=2**20, num_actions=3))
    many = np.broadcast_to(np.zeros(1), (2**22,))
    rows = np.broadcast_to(np.zeros((1, 3)), (2**22, 3))
    with pytest.raises(MemoryError):
        tree.start(Evaluation(many, rows))
    with pytest.raises(RuntimeError, match="before start"):
        tree.select()


def test_a_tree_that_two_threads_use_refuses_the_later_call():
    """Whichever comes late in each round gets an error of ours; no memory is shared unseen."""
    tree = CTree(TreeSpec(num_simulations=200, num_actions=3))
    roots = Evaluation(np.zeros(64), np.zeros((64, 3)))
    other_errors = []

    def work():
        for _ in range(300):
            for call in (lambda: tree.start(roots), tree.select, lambda: tree.backup(roots)):
                try:
                    call()
                except RuntimeError:
                    pass
                except Exception as err:
                    other_errors.append(err)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert other_errors == []
    tree.start(roots)
    assert tree.select().node.tolist() == [1] * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": (1, 2)}, r"evaluation is of type tuple; expected an lzcore\.base\.tree\.E"),
        ({"evaluation": TWO._replace(value=np.float64(1))}, r"value is of type numpy\.float64"),
        ({"reuse": (1,)}, r"reuse is of type tuple; expected an lzcore\.base\.tree\.Reuse"),
    ],
)
def test_what_is_no_record_at_all_is_refused_by_its_type(changes, message):
    with pytest.raises(ValueError, match=message):
        fresh().start(**{"evaluation": TWO, **changes})


# --- searches of other kinds ----------------------------------------------------------------------

CHANCE = {"num_actions": 3, "num_chance_outcomes": 2}
SLOTS = {"num_actions": 3, "num_sampled_actions": 2}
VECTORS = {"action_dim": 2, "num_sampled_actions": 3, "root_expand_all": False}
GAUSSIAN = Evaluation(np.zeros(2), np.tile([0.0, 0.0, 1.0, 1.0], (2, 1)), np.zeros(2))


def started(kind, roots):
    tree = CTree(TreeSpec(num_simulations=2, **kind))
    tree.start(roots, seeds=SEEDS)
    tree.select()
    return tree


def ids(*rows):
    return np.array(rows, np.int64)


def vectors(number=0.0, shape=(2, 3, 2)):
    return np.full(shape, number, np.float32)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (
            SLOTS,
            {"actions": ids([1, 1], [0, 1])},
            r"actions\[0, 1\] is 1, .*drop what occurs twice",
        ),
        (VECTORS, {"actions": vectors(1.0)}, r"is 1\.0, .*Squash actions with tanh"),
        (
            VECTORS,
            {"actions": vectors(shape=(2, 2, 3)).swapaxes(1, 2)},
            r"rows that are not contiguous",
        ),
    ],
)
def test_a_refusal_says_how_to_mend_it(kind, change, message):
    told = GAUSSIAN if kind is VECTORS else TWO
    with pytest.raises(ValueError, match=message):
        started(kind, told).backup(told._replace(**change))


def test_a_row_that_needs_no_evaluation_may_hold_anything():
    tree = CTree(TreeSpec(num_simulations=2, num_actions=1))
    tree.start(Evaluation(np.zeros(1), np.zeros((1, 1))))
    nothing = Evaluation(
        np.array([np.nan]),
        np.array([[np.inf]]),
        np.array([np.nan]),
        np.zeros((1, 1), bool),
        np.array([9], np.int8),
        np.array([np.nan]),
    )
    tree.select()
    over = Evaluation(np.ones(1), np.array([[np.nan]]), terminal=np.array([True]))
    tree.backup(over)  # a finished game has no edges, so no logits either
    assert tree.select().needs_evaluation.tolist() == [False]
    tree.backup(nothing)

    assert tree.result().value.tolist() == [pytest.approx(2 / 3)]


KINDS = [
    {"num_actions": 3},
    {"num_actions": 3, "rule": "gumbel", "max_num_considered_actions": 2},
    CHANCE,
    SLOTS,
    {**SLOTS, "sample_mode": "with_replacement", "root_expand_all": True},
    VECTORS,
    {**VECTORS, "root_expand_all": True, "prior_mode": "density"},
    {"num_actions": 3, "value_prefix": True, "num_threads": 2},
]
ANY_ARRAY = arrays.arrays(
    dtype=st.sampled_from(["f4", "f8", "i1", "i8", "?", "u8", "c8", "O"]),
    shape=arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    fill=st.nothing(),
    elements=None,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=400)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_whatever_is_thrown_at_a_tree_it_answers_or_names_the_argument(kind, data):
    """Calls in any order, arguments of any kind: no crash, and errors of ours alone."""
    tree = CTree(TreeSpec(num_simulations=2, **kind))
    good = GAUSSIAN if "action_dim" in kind else TWO
    complaints = []
    anything = ANY_ARRAY | st.none() | st.integers() | st.just("text")
    for _ in range(data.draw(st.integers(1, 8))):
        call = data.draw(st.sampled_from(["start", "select", "backup", "result", "take", "reuse"]))
        changes = data.draw(
            st.dictionaries(st.sampled_from(Evaluation._fields), anything, max_size=1)
        )
        told = good._replace(**changes)
        try:
            if call == "start":
                name = data.draw(st.sampled_from(["legal_actions", "to_play", "seeds", "noise"]))
                tree.start(told, **{"seeds": SEEDS, name: data.draw(anything)})
            elif call == "reuse":
                tree.start(good, seeds=SEEDS, reuse=Reuse(data.draw(anything), data.draw(anything)))
            elif call == "backup":
                tree.backup(told)
            elif call == "take":
                tree.take(data.draw(anything), data.draw(anything))
            else:
                getattr(tree, call)()
        except (ValueError, RuntimeError) as err:
            complaints.append(str(err))
    assert all(complaints)
    tree.start(good, seeds=SEEDS)
    tree.select()
    assert tree.result().visit_count.sum() == 0


def test_a_density_too_small_for_any_number_keeps_every_slot_open():
    """The farthest that told actions can lie from the mean of a policy."""
    kind = {**VECTORS, "prior_mode": "density"}
    tree = CTree(TreeSpec(num_simulations=1, **kind))
    far = np.tile([3e38, 3e38, 1.2e-38, 1.2e-38], (2, 1))
    tree.start(Evaluation(np.zeros(2), far, actions=vectors()), seeds=SEEDS)

    assert tree.select().action.tolist() == [0, 0]


def test_a_start_that_fails_half_way_leaves_no_array_too_short():
    class Unlucky(CTree):
        def __init__(self, spec):
            _ctree.TreeBatch.__init__(self, spec, self.made)
            self.fails = False

        def made(self, *arrays):
            if self.fails:
                raise KeyboardInterrupt
            return arrays

    tree = Unlucky(TreeSpec(num_simulations=2, num_actions=3))
    tree.start(TWO)
    tree.fails = True
    many = Evaluation(np.zeros(5000), np.zeros((5000, 3)))
    with pytest.raises(KeyboardInterrupt):
        tree.start(many)
    tree.fails = False
    tree.start(many)

    assert [len(field) for field in tree.select()[:6]] == [5000] * 6


def test_a_shape_that_does_not_fit_is_refused_with_whose_width_it_is_and_how_many_rows():
    tree = CTree(TreeSpec(num_simulations=1, num_actions=3, root_expand_all=True))
    wide = TWO._replace(logits=np.zeros((2, 4)))
    message = (
        r"\(2, 4\); expected \(2, 3\), as wide as TreeSpec\.num_logits\. Pass one row for each ro"
    )
    with pytest.raises(ValueError, match=message):
        tree.start(wide)
    tree.start(TWO)
    tree.select()
    with pytest.raises(
        ValueError, match=r"expected \(6,\)\. Pass one row for each edge of each root"
    ):
        tree.backup(TWO)
