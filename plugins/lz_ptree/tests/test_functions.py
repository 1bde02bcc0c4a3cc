"""The functions and sums whose bits no processor changes."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lz_ptree.functions import (
    exp_of_negative,
    log_of,
    normal_quantile,
    share_of,
    sum_in_lanes,
    sum_in_order,
    tanh_of,
    weights_of,
)

EVERY = np.ones((1, 10), dtype=bool)


def each(function, x):
    return np.array([function(number) for number in x.tolist()])


def softmax(logits):
    return share_of(weights_of(logits, np.ones(logits.shape, bool)))


# --- functions ------------------------------------------------------------------------------------


def test_exp_is_that_of_the_c_library_to_two_units_in_the_last_place():
    x = -np.concatenate([np.linspace(0, 1, 1001), np.geomspace(1e-17, 708, 4001)])
    wanted = each(math.exp, x)

    assert (np.abs(exp_of_negative(x) - wanted) <= 2 * np.spacing(wanted)).all()


def test_exp_of_zero_is_one_and_of_very_little_nothing():
    x = np.array([0.0, -0.0, -709.0, -1e300, -np.inf])

    assert exp_of_negative(x).tolist() == [1, 1, 0, 0, 0]


def test_log_is_that_of_the_c_library_to_two_units_in_the_last_place():
    near_one = 1 + np.concatenate([np.linspace(-0.5, 1, 4001), np.geomspace(1e-16, 0.1, 2001)])
    x = np.concatenate([near_one, np.geomspace(2.3e-308, 1.7e308, 4001)])
    wanted = each(math.log, x)

    assert (np.abs(log_of(x) - wanted) <= 2 * np.spacing(np.abs(wanted))).all()


@pytest.mark.parametrize(("x", "expected"), [(1.0, 0.0), (2.0, math.log(2)), (0.5, -math.log(2))])
def test_log_of_a_power_of_two_has_no_error(x, expected):
    assert log_of(x) == expected


def test_tanh_is_that_of_the_c_library_to_the_last_bits_of_one():
    x = np.concatenate([np.linspace(-30, 30, 4001), np.geomspace(1e-17, 1, 1001)])

    assert np.abs(tanh_of(x) - each(math.tanh, x)).max() <= 2.0**-52
    assert (tanh_of(-x) == -tanh_of(x)).all()
    assert tanh_of(np.array([1e300, -np.inf])).tolist() == [1.0, -1.0]


@settings(derandomize=True, deadline=None, database=None)
@given(st.floats(2.0**-53, 1 - 2.0**-53))
def test_the_normal_quantile_is_that_of_the_standard_library(p):
    assert normal_quantile(np.array([p]))[0] == pytest.approx(
        NormalDist().inv_cdf(p), rel=1e-14, abs=1e-300
    )


def test_the_normal_quantile_joins_its_three_pieces():
    at = np.array([0.075, 0.925, math.exp(-25)])  # |q| = 0.425, and r = 5
    p = np.concatenate([at * (1 - 1e-9), at, at * (1 + 1e-9), np.geomspace(2.0**-53, 0.5, 4001)])
    found = normal_quantile(p)

    assert found == pytest.approx(each(NormalDist().inv_cdf, p), rel=1e-14, abs=1e-300)
    assert found[-1] == 0.0


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
def test_shares_are_in_proportion_to_exp_and_sum_to_one(size):
    logits = np.log(np.arange(1.0, size + 1)) + 800.0
    share = softmax(np.stack([logits, logits[::-1]]))

    total = size * (size + 1) / 2
    assert share[0] == pytest.approx(np.arange(1, size + 1) / total, rel=1e-12)
    assert share[1] == pytest.approx(share[0][::-1], rel=1e-15)


def test_equal_logits_share_alike_to_the_last_bit_and_forbidden_ones_get_nothing():
    allowed = EVERY.copy()
    allowed[0, [1, 4]] = False
    logits = np.where(allowed, 0.3, 99.0)

    share = share_of(weights_of(logits, allowed))[0]
    assert share.tolist() == [0.125, 0, 0.125, 0.125, 0, 0.125, 0.125, 0.125, 0.125, 0.125]


def test_weights_are_relative_to_the_largest_that_is_allowed():
    weight = weights_of(np.array([[5.0, 3.0, 9.0, -800.0]]), np.array([[True, True, False, True]]))

    assert weight[0].tolist() == [1.0, exp_of_negative(np.array([-2.0]))[0], 0.0, 0.0]


def test_a_lane_sum_adds_every_eighth_number_first():
    """1e16 + 1 is 1e16: what is lost tells the order."""
    x = np.zeros((1, 17))
    x[0, [0, 1, 8, 9, 16]] = [1e16, 1.0, 1.0, 1.0, -1e16]

    # lane 0: 1e16 + 1 - 1e16 = 0; lane 1: 1 + 1
    assert sum_in_lanes(x)[0] == 2.0
    assert sum_in_order(x)[0] == 0.0
    assert sum_in_lanes(np.zeros((0, 3))).shape == (0,)
