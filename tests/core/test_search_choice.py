"""From visits to actions."""

import numpy as np
import pytest

from lzcore.search import draw, entropy_bits, masked_softmax, tempered

VISITS = np.array([[1, 3, 0, 4], [0, 2, 2, 0]])


def test_temperature_one_is_the_share_of_visits():
    found = tempered(VISITS, 1.0)

    assert found == pytest.approx(np.array([[0.125, 0.375, 0, 0.5], [0, 0.5, 0.5, 0]]))


def test_a_lower_temperature_sharpens():
    found = tempered(VISITS, 0.5)[0]

    assert found.tolist() == pytest.approx([1 / 26, 9 / 26, 0, 16 / 26])


def test_temperature_zero_takes_the_lowest_of_the_most_visited():
    assert tempered(VISITS, 0.0).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]


def test_a_tiny_temperature_does_not_overflow():
    assert tempered(np.array([[800, 799]]), 1e-3)[0, 0] == pytest.approx(0.777, abs=1e-3)


@pytest.mark.parametrize("temperature", [1e-300, 1e-308, 5e-324])
def test_a_temperature_next_to_zero_leaves_the_most_visited(temperature):
    assert tempered(VISITS, temperature).tolist() == [[0, 0, 0, 1], [0, 0.5, 0.5, 0]]


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_no_number_from_0_on_is_refused(temperature):
    with pytest.raises(ValueError, match=r"temperature is .*; expected a number of at least 0"):
        tempered(VISITS, temperature)


def test_a_masked_softmax_gives_nothing_to_illegal_actions():
    legal = np.array([[False, True, True]])

    found = masked_softmax(np.array([[1000.0, 0.0, np.log(3.0)]], np.float32), legal)

    assert found[0].tolist() == pytest.approx([0.0, 0.25, 0.75])


def test_draws_follow_the_distribution_and_never_leave_its_support():
    u = np.random.default_rng(0).random(8000)
    probability = np.tile([0.0, 0.25, 0.0, 0.75, 0.0], (8000, 1))

    found = draw(probability, u)

    assert set(found.tolist()) == {1, 3}
    assert (found == 3).mean() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("u", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_uniform_range_stay_inside(u):
    assert draw(np.array([[0.0, 0.1, 0.2, 0.0]]), np.array([u]))[0] in (1, 2)


def test_entropy_is_in_bits():
    found = entropy_bits(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))

    assert found.tolist() == [1.0, 0.0]
