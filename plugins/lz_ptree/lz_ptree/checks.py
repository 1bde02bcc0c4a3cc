"""What a tree refuses, said so that the caller can mend it.

Shape letters: B roots searched together, E edges of a node (the actions).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.tree import Array, Evaluation

Flags: TypeAlias = npt.NDArray[np.bool_]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def root_count(evaluation: Evaluation) -> int:
    """Return B, read off evaluation.value; ValueError if there is no root."""
    _check_array("evaluation.value", evaluation.value, _FLOATS)
    shape = evaluation.value.shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(
            f"evaluation.value has shape {shape}; expected (B,) with at least one root. "
            "Pass one number for each root."
        )
    return int(shape[0])


def check_evaluation(evaluation: Evaluation, num_roots: int, num_edges: int) -> None:
    """Check every array of an evaluation that is given; ValueError names the first at fault."""
    numbers(evaluation.value, "evaluation.value", (num_roots,))
    numbers(evaluation.logits, "evaluation.logits", (num_roots, num_edges))
    if evaluation.reward is not None:
        numbers(evaluation.reward, "evaluation.reward", (num_roots,))
    if evaluation.discount is not None:
        numbers(evaluation.discount, "evaluation.discount", (num_roots,))
    if evaluation.legal_actions is not None:
        legal(evaluation.legal_actions, "evaluation.legal_actions", (num_roots, num_edges))
    if evaluation.to_play is not None:
        players(evaluation.to_play, "evaluation.to_play", num_roots)


def numbers(array: Array, name: str, shape: tuple[int, ...]) -> None:
    """Check that an array holds finite float32 or float64 numbers in this shape."""
    _check_array(name, array, _FLOATS)
    _check_shape(name, array, shape)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(bad[0].tolist())
        remedy = (
            "Mark illegal actions in legal_actions, not by their logits"
            if name.endswith("logits")
            else "Look for a model or an environment that has diverged"
        )
        raise ValueError(
            f"{name}{list(at)} is {array[at]}, at root {at[0]}; expected a finite number. {remedy}."
        )


def legal(array: Array, name: str, shape: tuple[int, ...]) -> None:
    """Check that a mask allows something in every row."""
    _check_array(name, array, (np.dtype(np.bool_),))
    _check_shape(name, array, shape)
    empty = np.flatnonzero(~array.any(axis=1))
    if len(empty):
        raise ValueError(
            f"{name} allows no action at root {empty[0]}; expected at least one True in each row. "
            "Leave states without a move out of the batch."
        )


def players(array: Array, name: str, num_roots: int) -> None:
    """Check that an array says who moves: -1 (one player), 1 or 2."""
    _check_array(name, array, (np.dtype(np.int8),))
    _check_shape(name, array, (num_roots,))
    bad = np.flatnonzero(~np.isin(array, (-1, 1, 2)))
    if len(bad):
        raise ValueError(
            f"{name}[{bad[0]}] is {array[bad[0]]}, at root {bad[0]}; expected -1, 1 or 2. "
            "Pass -1 where there is one player."
        )


def counter_seeds(array: Array, num_roots: int) -> None:
    """Check the seeds of the counter streams."""
    _check_array("seeds", array, (np.dtype(np.uint64),))
    _check_shape("seeds", array, (num_roots,))


def root_noise(array: Array, allowed: Flags) -> None:
    """Check that noise is a distribution over the legal actions of each root."""
    numbers(array, "noise", allowed.shape)
    outside = ((array < 0) | ((array > 0) & ~allowed)).any(axis=1)
    bad = np.flatnonzero(outside | (np.abs(array.sum(axis=1, dtype=np.float64) - 1.0) > 1e-4))
    if len(bad):
        raise ValueError(
            f"noise is not a distribution over the legal actions at root {bad[0]}; expected "
            "numbers >= 0 that sum to 1 and are 0 where illegal. Draw it over the legal actions."
        )


def _check_array(name: str, array: object, dtypes: tuple[np.dtype[np.generic], ...]) -> None:
    wanted = " or ".join(str(dtype) for dtype in dtypes)
    if not isinstance(array, np.ndarray):
        raise ValueError(
            f"{name} is of type {type(array).__name__}; expected a NumPy array of {wanted}. "
            "Pass a tensor in host memory as tensor.numpy()."
        )
    if array.dtype not in dtypes:
        raise ValueError(
            f"{name} has dtype {array.dtype}; expected {wanted}. Convert it with astype."
        )


def _check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; expected {shape}. Pass one row for each root."
        )
