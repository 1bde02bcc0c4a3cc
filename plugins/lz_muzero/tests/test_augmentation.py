"""Shifts and intensities: what moves, what stays, and who draws."""

import pytest
import torch
from lz_muzero.augmentation import augment, intensity, shift


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ramp(batch=1, channels=2):
    """Images whose value tells the place: 20 * row + column, and + 1000 in channel 1."""
    place = torch.arange(400.0).reshape(20, 20)
    return torch.stack([place + 1000 * c for c in range(channels)]).repeat(batch, 1, 1, 1)


def offsets(images):
    """How far each sample was moved, read off the middle of the picture."""
    middle = images[:, 0, 10, 10].long()
    return torch.stack((middle // 20 - 10, middle % 20 - 10), dim=1)


def test_a_shift_moves_each_sample_on_its_own_by_at_most_four_pixels():
    moved = offsets(shift(ramp(500), generator()))

    assert moved.min() == -4
    assert moved.max() == 4
    assert len(moved.unique(dim=0)) == 81


def test_channels_of_a_sample_move_together():
    moved = shift(ramp(30), generator())

    assert torch.equal(moved[:, 0] + 1000, moved[:, 1])


def test_edges_are_repeated_where_a_picture_has_moved_in():
    image = ramp()
    moved = shift(image, generator(3))
    down, right = offsets(moved)[0].tolist()
    rows = (torch.arange(20) + down).clamp(0, 19)
    columns = (torch.arange(20) + right).clamp(0, 19)

    assert torch.equal(moved, image[:, :, rows][..., columns])


def test_intensity_scales_each_sample_by_at_most_a_tenth():
    factors = intensity(torch.ones(2000, 2, 3, 3), generator())

    assert torch.equal(factors[:, 0, 0, 0], factors[:, 1, 2, 2])
    assert factors.min() == pytest.approx(0.9)
    assert factors.max() == pytest.approx(1.1)
    assert factors[:, 0, 0, 0].std() == pytest.approx(0.05 * 0.88, abs=0.005)  # clipped normal


def test_the_generator_alone_decides():
    images = torch.rand(4, 3, 10, 10, generator=generator())
    state = torch.random.get_rng_state()

    first = augment(images, ["shift", "intensity"], generator(1))
    second = augment(images, ["shift", "intensity"], generator(1))

    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_augmentations_are_applied_in_the_order_given():
    images = torch.rand(4, 3, 10, 10, generator=generator())
    drawn = generator(2)

    expected = shift(intensity(images, drawn), drawn)

    assert torch.equal(augment(images, ["intensity", "shift"], generator(2)), expected)
