"""Streams: pure functions of key and counters, the same bits as the C++ tree."""

import numpy as np
import pytest

from lzcore.base.seeding import (
    Stream,
    _splitmix,
    derive_seed,
    generator,
    stream_key,
    uniform,
)


def test_the_mixer_gives_the_published_splitmix64_numbers():
    # the first two outputs of the reference generator seeded with 0
    with np.errstate(over="ignore"):
        assert int(_splitmix(np.asarray(0, dtype=np.uint64))) == 0xE220A8397B1DCDAF
        assert int(_splitmix(np.asarray(0x9E3779B97F4A7C15, dtype=np.uint64))) == 0x6E789E6AA1B965F4


def test_purposes_and_run_seeds_give_different_keys():
    keys = {stream_key(seed, purpose) for seed in range(20) for purpose in ("env", "collect", "a")}

    assert len(keys) == 60


def test_a_seed_depends_on_the_order_of_its_counters():
    assert derive_seed(7, 1, 2) != derive_seed(7, 2, 1)
    assert derive_seed(7, 1) != derive_seed(7, 1, 0)


def test_one_row_draws_the_same_alone_and_in_a_batch():
    ids = np.arange(5)

    together = derive_seed(3, 9, ids)
    alone = [int(derive_seed(3, 9, int(i))) for i in ids]

    assert together.tolist() == alone


def test_uniform_numbers_fill_the_unit_interval_evenly():
    drawn = uniform(derive_seed(1, np.arange(100_000)), 0)

    assert 0.0 <= drawn.min() < 1e-4
    assert 1.0 - 1e-4 < drawn.max() < 1.0
    counts = np.histogram(drawn, bins=10, range=(0.0, 1.0))[0]
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations


def test_generators_of_equal_counters_draw_alike_and_of_others_do_not():
    assert generator(5, 1).random() == generator(5, 1).random()
    assert generator(5, 1).random() != generator(5, 2).random()


def test_a_stream_counts_the_decisions_of_each_environment_by_itself():
    stream, other = Stream(11), Stream(11)

    first, second = stream.next(np.array([0, 4])), stream.next(np.array([4]))
    other.next(np.array([4]))
    assert other.next(np.array([4, 0])).tolist() == [int(second[0]), int(first[0])]


def test_a_stream_begun_again_repeats_the_iteration_and_no_other():
    stream = Stream(11)
    stream.begin(3)
    first = stream.next(np.array([1, 2]))
    stream.begin(4)
    later = stream.next(np.array([1, 2]))
    stream.begin(3)

    assert stream.next(np.array([1, 2])).tolist() == first.tolist()
    assert set(first.tolist()).isdisjoint(later.tolist())


def test_a_restored_stream_goes_on_where_the_saved_one_stood():
    stream = Stream(2)
    stream.begin(1)
    stream.next(np.array([0, 1]))
    restored = Stream(2)
    restored.load_state_dict(stream.state_dict())

    assert restored.next(np.array([1])) == stream.next(np.array([1]))


@pytest.mark.parametrize("seed", [0, 2**63, 10**30])
def test_any_non_negative_run_seed_makes_a_key(seed):
    assert 0 <= stream_key(seed, "env") < 2**64
