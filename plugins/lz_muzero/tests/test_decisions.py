"""From visits to actions, and what is refused before anything is decided."""

import numpy as np
import pytest
import torch
from lz_muzero import decisions
from lz_muzero.decisions import Asked, DecisionError


def ask(observation=None, action_mask=None, to_play=-1, ready_env_id=None):
    return Asked.of(
        torch.zeros(2, 4) if observation is None else observation,
        action_mask,
        to_play,
        ready_env_id,
        num_actions=3,
        observation_shape=(4,),
    )


# --- which action ---------------------------------------------------------------------------------


def test_exploring_replaces_actions_by_uniform_legal_ones():
    rng = np.random.default_rng(0)
    legal = np.tile([False, True, False, True], (8000, 1))

    found = decisions.explore(np.full(8000, 3), legal, 0.4, rng.random(8000), rng.random(8000))

    assert set(found.tolist()) == {1, 3}
    assert (found == 1).mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(("epsilon", "moved"), [(0.0, 0), (1.0, 1)])
def test_epsilon_zero_never_explores_and_one_always_does(epsilon, moved):
    coin = np.array([0.0, np.nextafter(1.0, 0.0)])
    legal = np.array([[False, True]] * 2)

    found = decisions.explore(np.zeros(2, int), legal, epsilon, coin, np.zeros(2))

    assert found.tolist() == [moved, moved]


# --- what is asked --------------------------------------------------------------------------------


def test_environments_are_numbered_from_zero_unless_named():
    assert ask().env_id.tolist() == [0, 1]
    assert ask(ready_env_id=[7, 3]).env_id.tolist() == [7, 3]
    assert ask(ready_env_id={5, 2}).env_id.tolist() == list({5, 2})


def test_no_mask_allows_everything():
    assert ask().legal.all()


def test_masks_may_be_a_list_of_arrays():
    found = ask(action_mask=[np.array([0, 1, 1], np.int8), np.array([1, 0, 0], np.int8)])

    assert found.legal.tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize("to_play", [2, [2], [2, 2], np.array([2, 2])])
def test_one_player_number_stands_for_all(to_play):
    assert ask(to_play=to_play).to_play.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"observation": torch.zeros(2, 5)}, r"environment 8 has shape \(5,\); expected \(4,\)"),
        ({"action_mask": np.ones((3, 3))}, r"3 action masks for the environments \[8, 6\]"),
        ({"action_mask": [np.ones(3), np.ones(2)]}, r"environment 6 has 2 entries; expected 3"),
        ({"action_mask": [[1, 0, 0], [0, 0, 0]]}, r"environment 6 allows no action"),
        ({"to_play": [1, 2, 1]}, r"to_play has 3 entries for the environments \[8, 6\]"),
        ({"ready_env_id": [8]}, r"2 observations for 1 environments \(\[8\]\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_its_environment(given, message):
    with pytest.raises(ValueError, match=message):
        ask(**{"ready_env_id": [8, 6], **given})


def test_refusals_are_one_line_for_users():
    with pytest.raises(DecisionError) as caught:
        ask(action_mask=np.zeros((2, 3)))

    assert "\n" not in str(caught.value)


def test_nobody_may_be_ready():
    found = ask(torch.zeros(0, 4), np.zeros((0, 3)), ready_env_id=[])

    assert found.legal.shape == (0, 3)
    assert found.to_play.shape == (0,)
