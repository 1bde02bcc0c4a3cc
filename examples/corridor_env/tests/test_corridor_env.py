import numpy as np
import pytest
from corridor_env.corridor import LEFT, RIGHT, USE, Corridor
from corridor_env.kind import CorridorEnv

from lzcore.base import UnknownEnvError
from lzcore.testing import parametrize_with_checks


@parametrize_with_checks("corridor")
def test_corridors_keep_their_promises(subject, check):
    check(subject)


@parametrize_with_checks("corridor-env", kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


def test_the_key_is_fetched_and_the_door_opened():
    corridor = Corridor(4)
    corridor.reset(seed=0)
    way = [LEFT] * corridor.place + [USE, RIGHT, RIGHT, RIGHT, USE]

    steps = [corridor.step(action) for action in way]

    assert [reward for _, reward, *_ in steps] == [0.0] * (len(way) - 1) + [1.0]
    assert steps[-1][2]


def test_what_has_no_effect_is_not_legal():
    corridor = Corridor(3)
    corridor.reset(seed=0)
    corridor.place = 2  # at the door, without the key

    assert corridor.step(USE)[4]["action_mask"].tolist() == [1, 0, 0]
    assert not corridor.is_open


def test_an_id_says_how_long_the_corridor_is():
    assert CorridorEnv("corridor/12", 2).spaces.frame_shape == (13,)
    for wrong in ("corridor/1", "corridor/long", "corridor/"):
        with pytest.raises(UnknownEnvError, match="expected a length from 2 to 1000"):
            CorridorEnv(wrong, 1)


def test_masks_of_a_batch_are_those_of_its_environments():
    env = CorridorEnv("corridor/2", 8)
    shown = env.reset(np.arange(8), np.arange(8, dtype=np.uint64) << np.uint64(40))

    at_left = shown.observation[:, 0] == 1.0
    assert shown.action_mask[:, USE].tolist() == at_left.tolist()
