"""Rows of evaluations that nobody asked for: zeros in the right shape.

Shape letters: R rows, n of them evaluated.
"""

import numpy as np

from lzcore.base.tree import Array, Evaluation


def spread(some: Evaluation, rows: Array, num_rows: int) -> Evaluation:
    """Give an evaluation of n rows all R; the other rows are 0.

    Args:
        some: of n rows.
        rows: (n,) int64, where they stand among the R.
        num_rows: R.
    """
    return Evaluation._make(_placed(field, rows, num_rows) for field in some)


def _placed(some: Array | None, rows: Array, num_rows: int) -> Array | None:
    if some is None:
        return None
    full = np.zeros((num_rows, *some.shape[1:]), some.dtype)
    full[rows] = some
    return full
