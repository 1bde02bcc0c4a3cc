"""What becomes of each kind of observation and action space."""

import numpy as np
import pytest
from gymnasium import spaces

from lzcore.base.errors import EnvError
from lzcore.envs.adapters import actions, observations
from lzcore.envs.config import GymSettings


def seen(space, raw, **settings):
    """One raw observation, as a policy sees it."""
    found = observations(space, GymSettings(**settings), "Toy-v0")
    batch = found.convert([raw])
    assert batch.shape == (1, *found.shape)
    assert batch.dtype == found.dtype
    return found, batch[0]


def pixels(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


def picture(*shape):
    return (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)


class TestVectors:
    def test_keep_their_numbers(self):
        found, vector = seen(
            spaces.Box(-1e6, 1e6, (3,)), np.array([-1.5, 2000.0, 0.25], np.float32)
        )

        assert (found.kind, found.notes) == ("vector", ())
        assert vector.tolist() == [-1.5, 2000.0, 0.25]

    @pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, np.bool_])
    def test_become_float32_whatever_their_type(self, dtype):
        _, vector = seen(spaces.Box(0, 1, (2,), dtype), np.array([0, 1], dtype))

        assert vector.dtype == np.float32
        assert vector.tolist() == [0.0, 1.0]

    def test_of_two_axes_or_none_are_laid_out_flat(self):
        table, flat = seen(spaces.Box(0, 9, (2, 2)), np.array([[1, 2], [3, 4]], np.float32))
        _, scalar = seen(spaces.Box(0, 9, ()), np.float32(3))

        assert flat.tolist() == [1, 2, 3, 4]
        assert table.notes == ("observations: (2, 2) laid out as one vector",)
        assert scalar.tolist() == [3]

    def test_do_not_share_memory_with_what_the_environment_keeps(self):
        kept = np.zeros(2, np.float32)
        _, vector = seen(spaces.Box(0, 1, (2,)), kept)
        kept += 1

        assert vector.tolist() == [0, 0]

    def test_may_come_as_lists(self):
        assert seen(spaces.Box(0, 9, (2,)), [1, 2])[1].tolist() == [1, 2]


class TestOneHot:
    def test_a_discrete_observation_is_a_one_among_zeros(self):
        assert seen(spaces.Discrete(4), 2)[1].tolist() == [0, 0, 1, 0]

    def test_it_counts_from_the_start_of_the_space(self):
        assert seen(spaces.Discrete(3, start=-1), -1)[1].tolist() == [1, 0, 0]

    def test_several_discrete_numbers_stand_side_by_side(self):
        _, vector = seen(spaces.MultiDiscrete([2, 3]), np.array([1, 0]))

        assert vector.tolist() == [0, 1, 1, 0, 0]

    def test_binary_numbers_stay(self):
        _, vector = seen(spaces.MultiBinary(3), np.array([1, 0, 1], np.int8))

        assert vector.tolist() == [1, 0, 1]

    def test_what_is_not_in_the_space_is_refused(self):
        with pytest.raises(
            EnvError, match=r"Toy-v0 declares observations of Discrete\(3\), but ret"
        ):
            seen(spaces.Discrete(3), 7)


class TestPictures:
    @pytest.mark.parametrize(
        ("shape", "found"),
        [
            ((6, 5, 3), (3, 6, 5)),
            ((6, 6, 1), (1, 6, 6)),
            ((6, 5), (1, 6, 5)),
            ((3, 6, 5), (3, 6, 5)),
            ((4, 6, 6), (4, 6, 6)),
            ((3, 3, 3), (3, 3, 3)),
        ],
    )
    def test_put_their_channels_first_and_stay_bytes(self, shape, found):
        adapted, image = seen(pixels(*shape), picture(*shape))

        assert (adapted.kind, adapted.dtype, image.shape) == ("image", np.uint8, found)

    def test_show_the_same_pixels_in_either_layout(self):
        raw = picture(6, 5, 3)

        last = seen(pixels(6, 5, 3), raw)[1]
        first = seen(pixels(3, 6, 5), np.moveaxis(raw, -1, 0))[1]

        assert last[2, 4, 1] == raw[4, 1, 2]
        assert (first == last).all()

    def test_a_layout_that_cannot_be_told_is_settled_by_the_setting(self):
        raw = picture(3, 3, 3)

        assert (seen(pixels(3, 3, 3), raw, channels="first")[1] == raw).all()
        assert (seen(pixels(3, 3, 3), raw)[1] == np.moveaxis(raw, -1, 0)).all()

    def test_grey_is_the_luminance_of_the_colour(self):
        raw = np.zeros((1, 3, 3), np.uint8)
        raw[0, 0, 0] = raw[0, 1, 1] = raw[0, 2, 2] = 255  # red, green, blue

        _, image = seen(pixels(1, 3, 3), raw, gray=True, channels="last")

        assert image.tolist() == [[[76, 150, 29]]]  # 255 times 0.299, 0.587, 0.114

    def test_grey_leaves_pictures_that_have_no_colours(self):
        raw = picture(6, 6, 4)

        assert (seen(pixels(6, 6, 4), raw, gray=True)[1] == np.moveaxis(raw, -1, 0)).all()

    @pytest.mark.parametrize("size", [64, 96])
    @pytest.mark.parametrize(
        ("shape", "gray", "channels"),
        [
            ((210, 160, 3), True, 1),
            ((210, 160, 3), False, 3),
            ((210, 160), True, 1),
            ((4, 84, 84), False, 4),
        ],
    )
    def test_are_scaled_to_a_square(self, size, shape, gray, channels):
        adapted, image = seen(pixels(*shape), picture(*shape), gray=gray, image_size=size)

        assert adapted.shape == image.shape == (channels, size, size)
        assert image.dtype == np.uint8

    def test_scaling_down_averages_and_keeps_channels_apart(self):
        raw = np.zeros((2, 2, 3), np.uint8)
        raw[..., 0] = [[0, 100], [100, 200]]
        raw[..., 1] = 7

        _, image = seen(pixels(2, 2, 3), raw, image_size=1, channels="last")

        assert image.ravel().tolist() == [100, 7, 0]

    def test_a_picture_of_the_wanted_size_is_not_touched(self):
        raw = picture(8, 8, 3)

        assert (seen(pixels(8, 8, 3), raw, image_size=8)[1] == np.moveaxis(raw, -1, 0)).all()

    def test_floats_where_bytes_were_declared_are_refused(self):
        with pytest.raises(EnvError, match="declares pictures of uint8, but returned float64"):
            seen(pixels(6, 5, 3), np.zeros((6, 5, 3)))


class TestPlanes:
    @pytest.mark.parametrize(
        ("shape", "found"), [((16, 4, 4), (16, 4, 4)), ((10, 10, 6), (6, 10, 10)), ((3, 3, 3),) * 2]
    )
    def test_of_a_board_become_float_with_channels_first(self, shape, found):
        adapted, _ = seen(spaces.Box(0, 1, shape, np.int8), np.ones(shape, np.int8))

        assert (adapted.kind, adapted.dtype, adapted.shape) == ("board", np.float32, found)

    def test_keep_their_numbers(self):
        raw = np.arange(27).reshape(3, 3, 3).astype(np.float32)

        assert (seen(spaces.Box(0, 99, (3, 3, 3)), raw)[1] == raw).all()
        assert seen(spaces.Box(0, 99, (3, 3, 3)), raw, channels="last")[1][2, 0, 1] == raw[0, 1, 2]


class TestRefusedObservations:
    @pytest.mark.parametrize(
        "space",
        [
            spaces.Dict({"a": spaces.Discrete(2)}),
            spaces.Tuple((spaces.Discrete(2),)),
            spaces.Text(5),
            spaces.Sequence(spaces.Discrete(2)),
            spaces.Graph(spaces.Discrete(2), None),
        ],
        ids=lambda space: type(space).__name__,
    )
    def test_what_is_no_array_is_named_with_what_would_do(self, space):
        kind = type(space).__name__
        with pytest.raises(
            EnvError, match=f"Toy-v0 shows {kind} observations; Box, Discrete, Multi"
        ):
            observations(space, GymSettings(), "Toy-v0")

    def test_more_than_three_axes_are_too_many(self):
        with pytest.raises(EnvError, match=r"arrays of 4 axes .*up to three can be read\. Flatten"):
            observations(pixels(2, 4, 4, 3), GymSettings(), "Toy-v0")

    @pytest.mark.parametrize("setting", [{"image_size": 64}, {"gray": True}])
    def test_settings_of_pictures_need_pictures(self, setting):
        (key,) = setting
        with pytest.raises(EnvError, match=f"env.{key} is set, but Toy-v0 shows no pictures: Box"):
            observations(spaces.Box(0, 1, (3,)), GymSettings(**setting), "Toy-v0")

    @pytest.mark.parametrize(
        ("raw", "told"),
        [
            (np.zeros(3), r"\(3,\)"),
            (np.zeros((1, 2)), r"\(1, 2\)"),
            (1.0, r"\(\)"),
            (["a", "b"], "other things"),
            ([[1], [1, 2]], "list"),
        ],
    )
    def test_another_shape_than_declared_is_refused(self, raw, told):
        message = (
            rf"declares observations of shape \(2,\), but returned {told}. Mend its observation"
        )
        with pytest.raises(EnvError, match=message):
            seen(spaces.Box(0, 1, (2,)), raw)


class TestActions:
    def test_discrete_actions_are_plain_integers(self):
        found = actions(spaces.Discrete(3), "Toy-v0")

        assert (found.space.kind, found.space.size, found.notes) == ("discrete", 3, ())
        assert found.convert(np.array([2, 0])) == [2, 0]
        assert type(found.convert(np.array([2]))[0]) is int

    def test_they_are_counted_from_the_start_of_the_space(self):
        found = actions(spaces.Discrete(3, start=5), "Toy-v0")

        assert found.convert(np.array([0, 2])) == [5, 7]
        assert found.notes == ("actions: counted from 5",)

    def test_continuous_actions_are_scaled_to_the_bounds(self):
        box = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
        found = actions(box, "Toy-v0")

        raw = found.convert(np.array([[-1, 0], [0.5, 1]], np.float32))

        assert (found.space.kind, found.space.size) == ("continuous", 2)
        assert [one.tolist() for one in raw] == [[-2, 5], [1, 10]]
        assert all(box.contains(one) for one in raw)
        assert found.notes == ("actions: scaled from (-1, 1) to [-2.0, 0.0] .. [2.0, 10.0]",)

    def test_continuous_actions_take_the_shape_of_the_space(self):
        found = actions(spaces.Box(-1, 1, (2, 2)), "Toy-v0")

        (raw,) = found.convert(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))

        assert found.space.size == 4
        np.testing.assert_allclose(raw, [[0.1, 0.2], [0.3, 0.4]], rtol=1e-6)

    def test_numbers_beyond_the_range_stop_at_the_bound(self):
        found = actions(spaces.Box(-0.1, 0.1, (1,)), "Toy-v0")

        assert found.convert(np.array([[7.0], [-7.0]]))[0] == np.float32(0.1)
        assert found.convert(np.array([[7.0], [-7.0]]))[1] == np.float32(-0.1)

    def test_actions_without_bounds_are_refused(self):
        with pytest.raises(EnvError, match=r"actions without bounds .*cannot be scaled.*bound its"):
            actions(spaces.Box(-np.inf, 1, (2,)), "Toy-v0")

    @pytest.mark.parametrize(
        "space",
        [
            spaces.MultiDiscrete([2, 2]),
            spaces.MultiBinary(2),
            spaces.Tuple((spaces.Discrete(2),)),
            spaces.Box(0, 5, (2,), np.int64),
        ],
        ids=lambda space: type(space).__name__,
    )
    def test_other_actions_are_refused(self, space):
        with pytest.raises(
            EnvError, match=r"Toy-v0 takes actions of .*; Discrete and Box of floats"
        ):
            actions(space, "Toy-v0")
