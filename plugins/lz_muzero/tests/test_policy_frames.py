"""Batches of frames that replay keeps as JPEG, and of episodes that arrive in parts."""

import attrs
import numpy as np
import pytest

from lzcore.base import ConfigError
from lzcore.replay.buffer import ReplayBuffer

COLOURS = {"model": {"image_channel": 3, "observation_shape": (6, 8, 8)}}


def soft(segment):
    """The segment with pictures that JPEG is made for: row t is as bright as 10 t."""
    seen = segment.columns["observation"]
    seen[:] = (10 * np.arange(len(seen)))[:, None, None, None]
    return segment


@pytest.mark.parametrize("colours", [False, True])
def test_a_batch_of_jpeg_differs_by_its_loss_alone(
    make_policy, pictures, make_episode, spaces_for, colours
):
    layers = [pictures, COLOURS] if colours else [pictures]
    batches = []
    for as_jpeg in (False, True):
        policy = make_policy(*layers, transform2string=as_jpeg, gray_scale=not colours)
        columns = policy.columns(policy.cfg, spaces_for(policy))
        buffer = ReplayBuffer(columns, policy.replay_settings(), key=1)
        buffer.push([soft(make_episode(policy, i, 12, terminated=True)) for i in range(3)])
        batches.append((policy, buffer.sample(16, policy)))

    (_, (exact, _)), (policy, (found, target)) = batches
    assert (found.obs.dtype, found.obs.shape) == (np.uint8, exact.obs.shape)
    assert np.abs(found.obs.astype(int) - exact.obs).max() <= 2
    for name in ("action", "mask", "index", "weights", "make_time"):
        assert (getattr(found, name) == getattr(exact, name)).all()
    assert np.isfinite(policy.learn_mode.forward([found, target])["total_loss"])


def test_a_contradiction_about_grey_is_one_line(make_policy, pictures, fill):
    grey = make_policy(pictures, transform2string=True, gray_scale=False)
    with pytest.raises(ConfigError) as caught:
        fill(grey)
    assert str(caught.value) == (
        "gray_scale is false, and the environment shows frames of 1 channel; "
        "leave gray_scale out, or set it to true."
    )

    colours = make_policy(pictures, COLOURS, transform2string=True, gray_scale=True)
    with pytest.raises(ConfigError, match=r"true, .* frames of 3 channels; .* set it to false"):
        fill(colours)


@pytest.mark.parametrize("layers", [{}, {"use_priority": True, "reanalyze_ratio": 0.5}])
def test_batches_are_the_same_whatever_the_length_of_segments(
    make_policy, make_episode, spaces_for, layers
):
    batches = {}
    for at_most in (5, 100):
        policy = make_policy(layers)
        columns = policy.columns(policy.cfg, spaces_for(policy))
        buffer = ReplayBuffer(columns, policy.replay_settings(), key=1)
        for number in range(3):
            whole = make_episode(policy, number, 13, terminated=number % 2 == 0)
            buffer.push(parts(whole, at_most))
        drawn = [buffer.sample(8, policy) for _ in range(3)]
        batches[at_most] = [a.tobytes() for batch in drawn for half in batch for a in half]

    assert batches[5] == batches[100]


def parts(whole, at_most):
    found = []
    for first in range(0, whole.length, at_most):
        stop = min(first + at_most, whole.length)
        ended = stop == whole.length
        rows = slice(first, stop + ended)
        columns = {name: values[rows] for name, values in whole.columns.items()}
        cut = {"offset": first, "length": stop - first, "columns": columns, "ended": ended}
        found.append(attrs.evolve(whole, **cut, terminated=ended and whole.terminated))
    return found
