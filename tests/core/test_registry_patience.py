"""How long imports may take where somebody holds them to a limit, and that each has its own."""

import signal
import time

import pytest

from lzcore.registry.patience import importing, patience


@pytest.fixture(autouse=True)
def _no_timer():
    """Put away the timer that pytest may have set for the test."""
    before, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, before)


def left():
    return signal.getitimer(signal.ITIMER_REAL)[0]


def test_without_a_limit_nothing_is_timed():
    with importing("a"):
        assert left() == 0.0


def test_every_import_has_the_whole_time_however_long_others_took():
    with patience(100.0):
        with importing("slow"):
            signal.setitimer(signal.ITIMER_REAL, 5.0)  # as if 95 seconds had passed
        with importing("another"):
            assert left() > 50.0
    assert left() == 0.0


def test_an_import_inside_another_one_does_not_count_as_that_ones():
    with patience(100.0), importing("outer"):
        signal.setitimer(signal.ITIMER_REAL, 30.0)
        with importing("inner"):
            assert left() > 50.0
        assert 0.0 < left() <= 30.0


def test_what_was_stopped_is_not_waited_for_again_and_others_are_not_touched():
    with patience(0.05):
        for _ in range(2):
            with pytest.raises(TimeoutError, match=r"had taken 0\.05 seconds"), importing("a"):
                time.sleep(60)
        with importing("b"):
            pass
    with importing("a"):  # outside
        pass


def test_an_import_that_catches_what_stops_it_is_stopped_again():
    def stubborn():
        try:
            time.sleep(60)
        except TimeoutError:
            time.sleep(60)

    with patience(0.05), pytest.raises(TimeoutError, match="had taken"), importing("a"):
        stubborn()
