"""What every tree refuses, said so that the caller can mend it.

A tree calls `check_start` and `check_backup` before it changes anything.

Shape letters: B roots searched together, R states evaluated together (row r belongs to root
r % B), E edges of a decision node, A discrete actions, C chance outcomes, W numbers in a row of
logits, K sampled actions, D numbers of a continuous action.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.tree import Array, Evaluation, Leaves, Reuse
from lzcore.base.treespec import TreeSpec

Flags: TypeAlias = npt.NDArray[np.bool_]
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_MOST = np.finfo(np.float32).max  # a search multiplies and squares numbers, which must not overflow
_BOOL = (np.dtype(np.bool_),)


# --- the two calls that take arrays ---------------------------------------------------------------


def check_start(
    spec: TreeSpec,
    evaluation: Evaluation,
    legal_actions: Array | None = None,
    to_play: Array | None = None,
    seeds: Array | None = None,
    noise: Array | None = None,
    reuse: Reuse | None = None,
) -> Flags:
    """Check the arguments of `Tree.start`; ValueError names the first at fault.

    Returns:
        (B, A) what is legal at the roots.
    """
    b = _root_count(evaluation)
    every, none = np.ones(b, dtype=np.bool_), np.zeros(b, dtype=np.bool_)
    known = Evaluation(evaluation.value, evaluation.logits)
    _check_evaluation(spec, known, every, none, b, is_root=True)
    allowed = np.ones((b, spec.num_actions), dtype=np.bool_)
    if legal_actions is not None:
        allowed = legal_actions
        _legal(spec, allowed, "legal_actions", every, none, b)
    if evaluation.actions is not None:
        _sampled(spec, evaluation.actions, every, allowed, b)
    if to_play is not None:
        _players(to_play, "to_play", (b,), b)
    _counter_seeds(spec, seeds, b)
    if noise is not None:
        _root_noise(spec, noise, allowed)
    if reuse is not None:
        _reused(spec, reuse, allowed)
    return allowed


def check_backup(spec: TreeSpec, evaluation: Evaluation, leaves: Leaves, num_roots: int) -> None:
    """Check the argument of `Tree.backup`; ValueError names the first array at fault.

    Args:
        spec: of the search.
        evaluation: of the leaves.
        leaves: as `select` named them.
        num_roots: B.
    """
    chance_unless_told = ~leaves.is_outcome & (spec.num_chance_outcomes > 0)
    _check_evaluation(spec, evaluation, leaves.needs_evaluation, chance_unless_told, num_roots)


# --- evaluations ---------------------------------------------------------------------------------


def _root_count(evaluation: Evaluation) -> int:
    """Return B, read off evaluation.value; ValueError if there is no root."""
    _is_evaluation(evaluation)
    _check_array("evaluation.value", evaluation.value, _FLOATS)
    shape = evaluation.value.shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(
            f"evaluation.value has shape {shape}; expected (B,) with at least one root. "
            "Pass one number for each root."
        )
    return int(shape[0])


def _is_evaluation(given: object) -> None:
    """Check that arrays come in the record that names them."""
    if not isinstance(given, tuple) or len(given) != len(Evaluation._fields):
        raise ValueError(
            f"evaluation is of type {type(given).__name__}; expected an "
            "lzcore.base.tree.Evaluation. Pass one for the whole batch."
        )


def _check_evaluation(
    spec: TreeSpec,
    evaluation: Evaluation,
    needed: Flags,
    chance_unless_told: Flags,
    num_roots: int,
    is_root: bool = False,
) -> None:
    """Check every array of an evaluation that is given; ValueError names the first at fault.

    Args:
        spec: decides the shapes, and what may be given at all.
        evaluation: of R states.
        needed: (R,) rows that are read.
        chance_unless_told: (R,) rows that are chance nodes unless `is_chance` is given.
        num_roots: B.
        is_root: no step led there.
    """
    _is_evaluation(evaluation)
    rows = needed.shape
    _numbers(evaluation.value, "evaluation.value", rows, num_roots, needed)
    live = needed & ~_flags(evaluation.terminal, "evaluation.terminal", rows)
    if evaluation.is_chance is not None and spec.num_chance_outcomes == 0:
        raise ValueError(
            "evaluation.is_chance is given, but num_chance_outcomes of the spec is 0. Leave it "
            "out, or give num_chance_outcomes."
        )
    is_chance = chance_unless_told
    if evaluation.is_chance is not None:
        is_chance = _flags(evaluation.is_chance, "evaluation.is_chance", rows)
    read = live[:, None] & _columns_read(spec, is_chance, spec.num_logits)
    _numbers(evaluation.logits, "evaluation.logits", read.shape, num_roots, read)
    if spec.is_continuous:
        _deviations(evaluation.logits, live, num_roots)
    if evaluation.reward is None and spec.value_prefix and not is_root:
        raise ValueError(
            "evaluation.reward is None in a search with value_prefix; expected the sum of rewards "
            "since the last reset. Pass it for each root."
        )
    if evaluation.reward is not None:
        _numbers(evaluation.reward, "evaluation.reward", rows, num_roots, needed)
    if evaluation.discount is not None:
        _numbers(evaluation.discount, "evaluation.discount", rows, num_roots, needed)
    if evaluation.to_play is not None:
        _players(evaluation.to_play, "evaluation.to_play", rows, num_roots, needed)
    allowed = np.ones((len(needed), spec.num_choices), dtype=np.bool_)
    if evaluation.legal_actions is not None:
        allowed = evaluation.legal_actions
        _legal(spec, allowed, "evaluation.legal_actions", live, is_chance, num_roots)
    if evaluation.actions is not None:
        _sampled(spec, evaluation.actions, live & ~is_chance, allowed, num_roots)


def _columns_read(spec: TreeSpec, is_chance: Flags, width: int) -> Flags:
    """(R, width) numbers of a row that count: C of a chance node, A of a decision node."""
    if spec.is_continuous:
        return np.ones((len(is_chance), width), dtype=np.bool_)
    count = np.where(is_chance, spec.num_chance_outcomes, spec.num_actions)
    return np.arange(width) < count[:, None]


def _numbers(
    array: Array,
    name: str,
    shape: tuple[int, ...],
    num_roots: int,
    read: Flags | None = None,
) -> None:
    """Check that an array holds numbers that float32 can hold in this shape, where read."""
    _check_array(name, array, _FLOATS)
    _check_shape(name, array, shape, num_roots)
    wrong = ~(np.abs(array) <= _MOST)
    at = _first(wrong if read is None else wrong & read)
    if at is not None:
        remedy = (
            "Mark illegal actions in legal_actions, not by their logits"
            if name.endswith("logits")
            else "Look for a model or an environment that has diverged"
        )
        raise ValueError(
            f"{name}{list(at)} is {array[at]}, at root {at[0] % num_roots}; expected a finite "
            f"number that float32 can hold. {remedy}."
        )


def _deviations(logits: Array, live: Flags, num_roots: int) -> None:
    half = logits.shape[1] // 2
    least = np.finfo(np.float32).tiny  # what lies below is 0 to a float32
    at = _first((logits[:, half:] < least) & live[:, None])
    if at is not None:
        entry = [at[0], half + at[1]]
        raise ValueError(
            f"evaluation.logits{entry} is {logits[tuple(entry)]}, at root {at[0] % num_roots}; "
            f"expected a standard deviation above 0. Columns from {half} on are deviations: pass "
            "them through softplus or exp."
        )


def _legal(
    spec: TreeSpec,
    array: Array,
    name: str,
    live: Flags,
    is_chance: Flags,
    num_roots: int,
) -> None:
    """Check that a mask over choices allows something in every row that has edges."""
    if spec.is_continuous:
        raise ValueError(
            f"{name} is given, but actions are vectors (action_dim is {spec.action_dim}), which "
            "no mask can speak of. Leave it out."
        )
    at_root = name == "legal_actions"
    width = spec.num_actions if at_root else spec.num_choices
    _check_array(name, array, _BOOL)
    _check_shape(name, array, (len(live), width), num_roots)
    allows_none = ~(array & _columns_read(spec, is_chance, width)).any(axis=1)
    at = _first(allows_none & live)
    if at is not None:
        raise ValueError(
            f"{name} allows no {'outcome' if is_chance[at] else 'action'} at root "
            f"{at[0] % num_roots}; expected at least one True in each row. "
            + ("Leave it out of the batch." if at_root else "Mark finished games in terminal.")
        )


def _players(
    array: Array,
    name: str,
    shape: tuple[int, ...],
    num_roots: int,
    read: Flags | None = None,
) -> None:
    """Check that an array says who moves: -1 (one player), 1 or 2."""
    _check_array(name, array, (np.dtype(np.int8),))
    _check_shape(name, array, shape, num_roots)
    wrong = ~np.isin(array, (-1, 1, 2))
    at = _first(wrong if read is None else wrong & read)
    if at is not None:
        raise ValueError(
            f"{name}[{at[0]}] is {array[at]}, at root {at[0] % num_roots}; expected -1, 1 or 2. "
            "Pass -1 where there is one player."
        )


# --- sampled actions -----------------------------------------------------------------------------


def _sampled(spec: TreeSpec, array: Array, read: Flags, allowed: Flags, num_roots: int) -> None:
    """Check actions that the caller sampled for the R rows that are `read`."""
    name = "evaluation.actions"
    if not spec.is_sampled:
        raise ValueError(
            f"{name} is given, but num_sampled_actions of the spec is 0. Leave it out, or say how "
            "many actions a node has."
        )
    shape: tuple[int, ...] = (len(read), spec.num_sampled_actions)
    if spec.is_continuous:
        _check_array(name, array, (np.dtype(np.float32),))
        _check_shape(name, array, (*shape, spec.action_dim), num_roots)
        at = _first(~(np.abs(array) < 1.0) & read[:, None, None])
        if at is not None:
            raise ValueError(
                f"{name}{list(at)} is {array[at]}, at root {at[0] % num_roots}; expected a number "
                "between -1 and 1, without the ends. Scale actions and clip them."
            )
        return
    _check_array(name, array, (np.dtype(np.int64),))
    _check_shape(name, array, shape, num_roots)
    at = _first(_not_rising(array, allowed[:, : spec.num_actions]) & read)
    if at is not None:
        raise ValueError(
            f"{name}[{at[0]}] is {array[at].tolist()}, at root {at[0] % num_roots}; expected "
            f"rising ids of allowed actions below {spec.num_actions}, at least one, then -1. Sort "
            "them, merge equal ones and fill up with -1."
        )


def _not_rising(actions: Array, allowed: Flags) -> Flags:
    """(R,) rows of (R, K) that are not rising ids of allowed actions with -1 behind them."""
    known = (actions >= 0) & (actions < allowed.shape[1])
    may_be = np.take_along_axis(allowed, np.where(known, actions, 0), axis=1) & known
    before = np.pad(actions, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    rises = (actions > before) & ((before >= 0) | (np.arange(actions.shape[1]) == 0))
    wrong: Flags = ~((rises & may_be) | (actions == -1)).all(axis=1) | (actions[:, 0] == -1)
    return wrong


# --- what only a root has ------------------------------------------------------------------------


def _counter_seeds(spec: TreeSpec, array: Array | None, num_roots: int) -> None:
    """Check the seeds of the counter streams; without any, nothing may be drawn."""
    if array is None:
        if spec.draws:
            raise ValueError(
                "seeds is None, but this search draws at random; expected (B,) uint64. Pass new "
                "ones for every search, else all of them draw alike."
            )
        return
    _check_array("seeds", array, (np.dtype(np.uint64),))
    _check_shape("seeds", array, (num_roots,))


def _root_noise(spec: TreeSpec, array: Array, allowed: Flags) -> None:
    """Check the noise of B roots.

    Args:
        spec: under `gumbel` any finite numbers will do, under `puct` a distribution is expected.
        array: (B, E) the noise.
        allowed: (B, A) the legal actions.
    """
    shape = (len(allowed), spec.num_edges)
    _numbers(array, "noise", shape, len(allowed))
    if spec.rule == "gumbel":
        return
    outside = array < 0
    over, but = "slots", ""
    if not spec.is_sampled:
        outside = outside | ((array > 0) & ~allowed)
        over, but = "legal actions", " and are 0 where illegal"
    total = array.sum(axis=1, dtype=np.float64)
    at = _first(outside.any(axis=1) | (np.abs(total - 1.0) > 1e-4))
    if at is not None:
        raise ValueError(
            f"noise is not a distribution over the {over} at root {at[0]}; expected numbers >= 0 "
            f"that sum to 1{but}. Draw it over the {over}."
        )


def _reused(spec: TreeSpec, reuse: Reuse, allowed: Flags) -> None:
    """Check what an earlier search says of B roots; `allowed` are their (B, A) legal actions."""
    for is_so, what in (
        (spec.rule == "gumbel", "rule 'gumbel'"),
        (spec.is_sampled, "sampled actions"),
        (spec.root_expand_all, "root_expand_all"),
        (spec.num_chance_outcomes > 0, "chance nodes"),
    ):
        if is_so:
            raise ValueError(f"reuse is given with {what}; expected plain 'puct'. Leave it out.")
    if not isinstance(reuse, Reuse):
        raise ValueError(
            f"reuse is of type {type(reuse).__name__}; expected an lzcore.base.tree.Reuse. Pass "
            "one for the whole batch."
        )
    num_roots, num_actions = allowed.shape
    _check_array("reuse.action", reuse.action, (np.dtype(np.int64),))
    _check_shape("reuse.action", reuse.action, (num_roots,))
    known = (reuse.action >= 0) & (reuse.action < num_actions)
    is_legal = known & allowed[np.arange(num_roots), np.where(known, reuse.action, 0)]
    at = _first(~is_legal & (reuse.action != -1))
    if at is not None:
        raise ValueError(
            f"reuse.action[{at[0]}] is {reuse.action[at]}, at root {at[0]}; expected a legal "
            f"action below {num_actions}. Pass -1 where nothing is known."
        )
    _numbers(reuse.value, "reuse.value", (num_roots,), num_roots, reuse.action >= 0)


# --- arrays --------------------------------------------------------------------------------------


def _first(wrong: Flags) -> tuple[int, ...] | None:
    """Where the first True is, if there is one."""
    places = np.argwhere(wrong)
    return tuple(places[0].tolist()) if len(places) else None


def _flags(array: Array | None, name: str, shape: tuple[int, ...]) -> Flags:
    """The flags that are given, checked; all False if none are."""
    if array is None:
        return np.zeros(shape, dtype=np.bool_)
    _check_array(name, array, _BOOL)
    _check_shape(name, array, shape)
    return array


def _check_array(name: str, array: object, dtypes: tuple[np.dtype[np.generic], ...]) -> None:
    if isinstance(array, np.ndarray) and array.dtype in dtypes:
        return
    wanted = " or ".join(str(dtype) for dtype in dtypes)
    if isinstance(array, np.ndarray):
        raise ValueError(
            f"{name} has dtype {array.dtype}; expected {wanted}. Convert it with astype."
        )
    raise ValueError(
        f"{name} is of type {type(array).__name__}; expected a NumPy array of {wanted}. "
        "Pass it through numpy.asarray, a tensor as tensor.detach().cpu().numpy()."
    )


_WIDTHS = {  # names in TreeSpec of the width of rows
    "evaluation.logits": "num_logits",
    "evaluation.legal_actions": "num_choices",
    "evaluation.actions": "num_edges",
    "legal_actions": "num_actions",
    "noise": "num_edges",
}


def _check_shape(
    name: str, array: Array, shape: tuple[int, ...], num_roots: int | None = None
) -> None:
    if array.shape == shape:
        return
    width = f", as wide as TreeSpec.{_WIDTHS[name]}" if len(shape) > 1 else ""
    rows = "one row for each root"
    if num_roots is not None and shape[0] != num_roots:
        rows = "one row for each edge of each root, since all of them are expanded"
    raise ValueError(f"{name} has shape {array.shape}; expected {shape}{width}. Pass {rows}.")
