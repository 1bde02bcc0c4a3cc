"""What the C++ tree refuses: the argument, the root and the remedy are named, nothing crashes."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation, TreeSpec

TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
INT8 = np.array([1, 2], np.int8)


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
        ({"value": [0.0, 0.0]}, r"evaluation\.value is of type list; expected a NumPy array of"),
        ({"value": None}, r"evaluation\.value is of type NoneType; expected a NumPy array"),
        ({"value": np.zeros(2, int)}, r"evaluation\.value has dtype int64; expected float32 or"),
        ({"value": np.zeros(2, ">f8")}, r"evaluation\.value has dtype >f8; expected float32 or"),
        ({"value": np.zeros(2, "f2")}, r"evaluation\.value has dtype float16; expected float32"),
        ({"value": misaligned()}, r"evaluation\.value is not aligned in memory; .* Pass a copy"),
        ({"value": np.zeros(3)}, r"evaluation\.value has shape \(3,\); expected \(2,\)\. Pass one"),
        ({"value": np.zeros((2, 1))}, r"evaluation\.value has shape \(2, 1\); expected \(2,\)"),
        ({"value": np.array([0, np.nan])}, r"evaluation\.value\[1\] is nan, at root 1; expected"),
        ({"reward": np.array([np.inf, 0])}, r"evaluation\.reward\[0\] is inf, at root 0"),
        ({"discount": np.array([0, np.nan])}, r"evaluation\.discount\[1\] is nan, at root 1"),
        ({"logits": np.zeros((2, 4))}, r"evaluation\.logits has shape \(2, 4\); expected \(2, 3\)"),
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
        ({"legal_actions": np.ones((2, 3))}, r"evaluation\.legal_actions has dtype float64; exp"),
        (
            {"legal_actions": np.array([[True] * 3, [False] * 3])},
            r"evaluation\.legal_actions allows no action at root 1; expected at least one True",
        ),
        ({"to_play": np.array([1, 2])}, r"evaluation\.to_play has dtype int64; expected int8"),
        ({"to_play": np.array([1, 0], np.int8)}, r"to_play\[1\] is 0, at root 1; expected -1, 1"),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": (1, 2)}, r"evaluation is of type tuple; expected an lzcore\.base\.tree\.E"),
        ({"evaluation": TWO._replace(value=np.zeros(0))}, r"value has shape \(0,\); expected \(B,"),
        ({"evaluation": TWO._replace(value=np.float64(1))}, r"value is of type numpy\.float64"),
        ({"legal_actions": np.zeros((2, 3), bool)}, r"legal_actions allows no action at root 0"),
        ({"to_play": INT8 * 3}, r"to_play\[0\] is 3, at root 0; expected -1, 1 or 2"),
        ({"seeds": np.zeros(2, int)}, r"seeds has dtype int64; expected uint64"),
        ({"noise": np.full((2, 3), 0.5)}, r"noise is not a distribution over the legal actions at"),
        ({"noise": np.full((2, 3), np.nan)}, r"noise\[0, 0\] is nan, at root 0"),
        ({"noise": np.array([[1, 1, -1], [1, 0, 0]], float)}, r"noise is not .* at root 0"),
        (
            {
                "noise": np.full((2, 3), 1 / 3),
                "legal_actions": np.array([[True] * 3, [True, True, False]]),
            },
            r"noise is not a distribution over the legal actions at root 1",
        ),
    ],
)
def test_roots_that_cannot_be_searched_are_refused_and_the_search_before_goes_on(changes, message):
    tree = fresh()
    tree.start(TWO)
    with pytest.raises(ValueError, match=message):
        tree.start(**{"evaluation": TWO, **changes})

    tree.select()
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


@pytest.mark.parametrize("name", ["num_simulations", "num_actions"])
def test_a_search_too_large_to_count_is_not_supported(name):
    spec = TreeSpec(**{"num_simulations": 1, "num_actions": 1, name: 2**31})

    assert CTree.supports(spec) == f"{name} is {2**31}; the C++ tree counts up to {2**31 - 2}"
    with pytest.raises(ValueError, match=f"{name} is {2**31}"):
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
