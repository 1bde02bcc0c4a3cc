"""Softmax with the same bits on every machine, so that near ties fall alike in every tree.

NumPy's exp and sum differ in the last bit from one processor to another. What stands here is plain
arithmetic in a fixed order; `lz_ctree` does the same in its `exponential.h`.
"""

import numpy as np
import numpy.typing as npt

_LANES = 8  # partial sums, added up in the end
_LOG2_E = float.fromhex("0x1.71547652b82fep0")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return exp(logits) normalised over the last axis of (B, E); -inf gives 0."""
    weights = exp_of_negative(logits - logits.max(axis=1, keepdims=True))
    return weights / _sum_in_lanes(weights)[:, None]


def exp_of_negative(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return exp(x) for x <= 0, to 2 ulp; 0 below the smallest normal number."""
    inside = np.maximum(x, -709.0)
    k = np.rint(inside * _LOG2_E)  # x = k ln 2 + r with |r| <= ln 2 / 2
    r = (inside - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    r8 = r4 * r4
    terms_0_3 = (1.0 + r) + (1.0 / 2 + 1.0 / 6 * r) * r2  # of the series of exp(r)
    terms_4_7 = (1.0 / 24 + 1.0 / 120 * r) + (1.0 / 720 + 1.0 / 5040 * r) * r2
    terms_8_11 = (1.0 / 40320 + 1.0 / 362880 * r) + (1.0 / 3628800 + 1.0 / 39916800 * r) * r2
    terms_12_13 = 1.0 / 479001600 + 1.0 / 6227020800 * r
    series = terms_0_3 + terms_4_7 * r4 + (terms_8_11 + terms_12_13 * r4) * r8
    return np.where(x < -708.0, 0.0, np.ldexp(series, k.astype(np.int32)))


def _sum_in_lanes(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(B,) sums over the last axis of (B, E): eight partial sums, each in order, then those."""
    filling = -weights.shape[1] % _LANES
    blocks = np.pad(weights, ((0, 0), (0, filling))).reshape(len(weights), -1, _LANES)
    lanes = blocks.cumsum(axis=1)[:, -1]  # cumsum adds one after another, sum does not
    return lanes.cumsum(axis=1)[:, -1]
