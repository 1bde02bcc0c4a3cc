"""The softmax whose bits no processor changes."""

import math

import numpy as np
import pytest
from lz_ptree.softmax import exp_of_negative, softmax


def test_exp_is_that_of_the_c_library_to_two_units_in_the_last_place():
    x = -np.concatenate([np.linspace(0, 1, 1001), np.geomspace(1e-17, 708, 4001)])
    wanted = np.array([math.exp(each) for each in x])

    assert (np.abs(exp_of_negative(x) - wanted) <= 2 * np.spacing(wanted)).all()


def test_exp_of_zero_is_one_and_of_very_little_nothing():
    assert exp_of_negative(np.array([0.0, -0.0, -709.0, -1e300, -np.inf])).tolist() == [
        1,
        1,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
def test_shares_are_in_proportion_to_exp_and_sum_to_one(size):
    logits = np.log(np.arange(1.0, size + 1)) + 800.0
    share = softmax(np.stack([logits, logits[::-1]]))

    total = size * (size + 1) / 2
    assert share[0] == pytest.approx(np.arange(1, size + 1) / total, rel=1e-12)
    assert share[1] == pytest.approx(share[0][::-1], rel=1e-15)


def test_equal_logits_share_alike_to_the_last_bit_and_forbidden_ones_get_nothing():
    share = softmax(np.array([[0.3, -np.inf, 0.3, 0.3, -np.inf, 0.3, 0.3, 0.3, 0.3, 0.3]]))[0]

    assert share.tolist() == [0.125, 0, 0.125, 0.125, 0, 0.125, 0.125, 0.125, 0.125, 0.125]
