"""Functions and sums with the same bits on every machine, so that near ties fall alike everywhere.

NumPy's exp, log and sum differ in the last bit from one processor to another. What stands here is
plain arithmetic in a fixed order, one rounding an operation; whoever writes another tree keeps to
that order, without fused multiply-adds.

Shape letters: J rows, E numbers in a row.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Flags: TypeAlias = npt.NDArray[np.bool_]

_LANES = 8  # partial sums, added up in the end
_LOG2_E = float.fromhex("0x1.71547652b82fep0")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT_HALF_BITS = np.int64(0x3FE6A09E00000000)  # of a double just below sqrt(1/2)

# Numerators and denominators of Wichura's PPND16, highest power first
_CENTRAL = (
    (
        *(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4),
        *(4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3),
        *(1.3314166789178437745e2, 3.3871328727963666080e0),
    ),
    (
        *(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4),
        *(2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2),
        *(4.2313330701600911252e1, 1.0),
    ),
)
_MIDDLE = (
    (
        *(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1),
        *(1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0),
        *(4.63033784615654529590e0, 1.42343711074968357734e0),
    ),
    (
        *(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2),
        *(1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0),
        *(2.05319162663775882187e0, 1.0),
    ),
)
_TAIL = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3),
        *(2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0),
        *(5.46378491116411436990e0, 6.65790464350110377720e0),
    ),
    (
        *(2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5),
        *(7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1),
        *(5.99832206555887937690e-1, 1.0),
    ),
)


# --- functions -----------------------------------------------------------------------------------


def exp_of_negative(x: Floats) -> Floats:
    """Return exp(x) for x <= 0, to 2 ulp; 0 below -708, near the smallest normal number."""
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


def log_of(x: npt.ArrayLike) -> Floats:
    """Return log(x) for normal x > 0, to 2 ulp.

    x = 2^k * m with m from sqrt(1/2) to sqrt(2), split by its bits; with s = f / (2 + f) for
    f = m - 1, log(m) = 2s + 2s * (s^2/3 + s^4/5 + .. + s^20/21).
    """
    bits = np.asarray(x, dtype=np.float64).view(np.int64)
    k = (bits - _SQRT_HALF_BITS) >> np.int64(52)
    f = (bits - (k << np.int64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = np.full_like(z, 1.0 / 21)
    for divisor in (19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        series = series * z + 1.0 / divisor
    two_s = 2.0 * s
    power = k.astype(np.float64)
    return power * _LN2_HIGH + (two_s + (two_s * (z * series) + power * _LN2_LOW))


def tanh_of(x: Floats) -> Floats:
    """Return tanh(x) as (1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x."""
    e = exp_of_negative(-2.0 * np.abs(x))
    return np.copysign((1.0 - e) / (1.0 + e), x)


def normal_quantile(p: Floats) -> Floats:
    """Return x with a probability of p, in (0, 1), that a standard normal number is below it.

    Source:
        Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988).
    """
    q = p - 0.5
    r = 0.180625 - q * q
    central = _horner(_CENTRAL[0], r) * q / _horner(_CENTRAL[1], r)
    r = np.sqrt(-log_of(np.where(q <= 0.0, p, 1.0 - p)))
    middle = _horner(_MIDDLE[0], r - 1.6) / _horner(_MIDDLE[1], r - 1.6)
    tail = _horner(_TAIL[0], r - 5.0) / _horner(_TAIL[1], r - 5.0)
    outer = np.where(r <= 5.0, middle, tail)
    return np.where(np.abs(q) <= 0.425, central, np.where(q < 0.0, -outer, outer))


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


# --- rows ----------------------------------------------------------------------------------------


def weights_of(logits: Floats, allowed: Flags) -> Floats:
    """Return (J, E) exp(logit - largest allowed logit), 0 where not allowed; one is, in each row.

    A weight may be 0 where the edge is allowed: what lies more than 708 below the largest.
    """
    masked = np.where(allowed, logits, -np.inf)
    return exp_of_negative(masked - masked.max(axis=1, keepdims=True))


def sum_in_lanes(x: Floats) -> Floats:
    """(J,) sums of (J, E): eight, of every eighth number in order, then those in order."""
    blocks_of_each = -(-x.shape[1] // _LANES)
    filling = blocks_of_each * _LANES - x.shape[1]
    blocks = np.pad(x, ((0, 0), (0, filling))).reshape(len(x), blocks_of_each, _LANES)
    lanes = blocks.cumsum(axis=1)[:, -1]  # cumsum adds one after another, sum does not
    return lanes.cumsum(axis=1)[:, -1]


def sum_in_order(x: Floats) -> Floats:
    """(J,) sums of (J, E), one number after another."""
    return x.cumsum(axis=1)[:, -1]


def share_of(weights: Floats) -> Floats:
    """Return (J, E) weights divided by their sum in lanes."""
    return weights / sum_in_lanes(weights)[:, None]
