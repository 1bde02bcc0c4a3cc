"""Learning rate, temperature and epsilon over a run."""

import pytest

from lzcore.nn.schedules import collect_epsilon, collect_temperature, piecewise_factor


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1.0), (49, 1.0), (50, 0.1), (99, 0.1), (100, 0.01), (10**6, 0.01)]
)
def test_the_learning_rate_drops_at_half_of_the_threshold_and_at_it(step, factor):
    assert piecewise_factor(step, 100) == factor


@pytest.mark.parametrize(("step", "value"), [(0, 1.0), (49, 1.0), (50, 0.5), (74, 0.5), (75, 0.25)])
def test_a_decaying_temperature_drops_at_half_and_at_three_quarters(step, value):
    assert collect_temperature(step, fixed=0.3, decays=True, threshold=100) == value


def test_a_fixed_temperature_stays():
    assert collect_temperature(10**6, fixed=0.3, decays=False, threshold=100) == 0.3


@pytest.mark.parametrize(("step", "value"), [(0, 1.0), (50, 0.55), (100, 0.1), (1000, 0.1)])
def test_linear_epsilon_reaches_its_end_after_the_decay(step, value):
    found = collect_epsilon(step, kind="linear", start=1.0, end=0.1, decay=100)

    assert found == pytest.approx(value)


@pytest.mark.parametrize(("step", "value"), [(0, 1.0), (100, 0.1 + 0.9 / 2.718281828)])
def test_exponential_epsilon_falls_by_e_in_one_decay(step, value):
    found = collect_epsilon(step, kind="exp", start=1.0, end=0.1, decay=100)

    assert found == pytest.approx(value)
