"""The loop and the latent pool, with a tree that follows a script and a model that counts."""

import numpy as np
import pytest
import torch

from lzcore.base import Evaluation, Leaves, NetworkOutput, SearchResult
from lzcore.search import Inference, LearnedDynamics, search


class Identity:
    """A support of one bin that is the number itself."""

    size = 1

    def decode(self, logits):
        return logits[..., 0]


class PathModel(torch.nn.Module):
    """A latent is the list of actions taken, written as base-10 digits; it is also the value."""

    value_support = reward_support = Identity()

    def __init__(self):
        super().__init__()
        self.calls = []

    def initial_inference(self, observation):
        return self._out(observation[:, :1], torch.zeros(len(observation), 1))

    def recurrent_inference(self, latent_state, action):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.calls.append(len(action))
        return self._out(latent_state * 10 + action[:, None], action[:, None].float())

    def _out(self, latent, reward):
        return NetworkOutput(latent, reward, latent, torch.zeros(len(latent), 3))


class ScriptedTree:
    """Selects what the script says and records what it is given."""

    def __init__(self, script):
        self.script = list(script)
        self.started = None
        self.seen = []

    def start(self, *given):
        self.started = given

    def select(self):
        parent, action = self.script[len(self.seen)]
        node = np.full(len(parent), len(self.seen) + 1)
        return Leaves(np.array(parent), np.array(action), node, np.zeros(len(parent), np.int32))

    def backup(self, evaluation):
        self.seen.append(Evaluation(*(None if a is None else a.copy() for a in evaluation)))

    def result(self):
        return SearchResult(*(np.zeros(1) for _ in SearchResult._fields))


def run(script, observation=((7.0,), (8.0,)), **given):
    model, tree = PathModel(), ScriptedTree(script)
    dynamics = LearnedDynamics(Inference(model), num_simulations=len(script))
    search(tree, dynamics, torch.tensor(observation), num_simulations=len(script), **given)
    return model, tree


def test_each_leaf_starts_from_the_latent_of_its_own_parent_in_its_own_tree():
    # tree 0: 7 -> 71 -> 712, then 72; tree 1: 8 -> 83, then 84, then 831
    _, tree = run([((0, 0), (1, 3)), ((1, 0), (2, 4)), ((0, 1), (2, 1))])

    assert [e.value.tolist() for e in tree.seen] == [[71, 83], [712, 84], [72, 831]]
    assert [e.reward.tolist() for e in tree.seen] == [[1, 3], [2, 4], [2, 1]]


def test_the_roots_are_started_with_their_evaluation_and_what_was_given():
    legal = np.ones((2, 3), dtype=bool)
    _, tree = run([((0, 0), (1, 1))], legal_actions=legal, seeds=np.array([5, 6]))

    evaluation, given_legal, to_play, seeds, noise = tree.started
    assert evaluation.value.tolist() == [7, 8]
    assert evaluation.reward is None
    assert given_legal is legal
    assert (to_play, noise, seeds.tolist()) == (None, None, [5, 6])


def test_the_model_is_called_once_a_simulation_for_the_whole_batch():
    model, _ = run([((0, 0), (1, 1))] * 4)

    assert model.calls == [2, 2, 2, 2]


def test_a_search_after_one_of_another_batch_size_is_not_disturbed_by_it():
    model = PathModel()
    dynamics = LearnedDynamics(Inference(model), num_simulations=2)
    for start in ([[1.0], [2.0], [3.0]], [[4.0]]):
        tree = ScriptedTree([((0,) * len(start), (5,) * len(start))])
        search(tree, dynamics, torch.tensor(start), num_simulations=1)
        assert tree.seen[0].value.tolist() == [10 * s[0] + 5 for s in start]


def test_a_model_left_in_training_mode_is_put_to_eval_by_the_search():
    model = PathModel()
    model.train()
    Inference(model).initial(torch.zeros(1, 1))

    assert not model.training


def test_unlike_supports_are_decoded_each_by_its_own():
    class Doubling(Identity):
        size = 2

        def decode(self, logits):
            return 2 * logits[..., 0]

    model = PathModel()
    model.reward_support = Doubling()
    inference = Inference(model)
    inference.refresh()
    evaluation, _ = inference.recurrent(torch.tensor([[7.0]]), torch.tensor([1]))

    assert evaluation.value == pytest.approx([71])
    assert evaluation.reward == pytest.approx([2])


def test_supports_of_one_size_but_two_kinds_are_not_taken_for_each_other():
    class Squaring(Identity):
        def decode(self, logits):
            return logits[..., 0] ** 2

    model = PathModel()
    model.reward_support = Squaring()
    inference = Inference(model)
    inference.refresh()
    evaluation, _ = inference.recurrent(torch.tensor([[7.0]]), torch.tensor([3]))

    assert evaluation.value == pytest.approx([73])
    assert evaluation.reward == pytest.approx([9])
