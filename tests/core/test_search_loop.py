"""The loop and the latent pool, with a tree that follows a script and a model that counts."""

import numpy as np
import pytest
import torch

from lzcore.base import (
    ConfigError,
    Evaluation,
    Leaves,
    NetworkOutput,
    Reuse,
    SearchResult,
    TreeSpec,
)
from lzcore.search import ChanceDynamics, Inference, LearnedDynamics, search


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
    """Selects what the script says and records what it is given.

    A round of the script is parents and actions, and fields of Leaves that are not as usual.
    """

    def __init__(self, script, **spec):
        given = {"num_simulations": len(script), "num_actions": 3} | spec
        self.spec = TreeSpec(**given)
        self.script = list(script)
        self.started = None
        self.seen = []

    def start(self, *given):
        self.started = given

    def select(self):
        parent, action, *other = self.script[len(self.seen)]
        usual = Leaves(
            parent=np.array(parent),
            action=np.array(action),
            node=np.full(len(parent), len(self.seen) + 1),
            depth=np.zeros(len(parent), np.int32),
            is_outcome=np.zeros(len(parent), bool),
            needs_evaluation=np.ones(len(parent), bool),
            vector=None,
        )
        changed = {name: np.array(values) for name, values in dict(*other).items()}
        self.leaves = usual._replace(**changed)
        return self.leaves

    def backup(self, evaluation):
        self.seen.append(Evaluation(*(None if a is None else a.copy() for a in evaluation)))

    def result(self):
        roots = len(self.started[0].value)
        return SearchResult(*(np.zeros((roots, *shape)) for shape in self.told()))

    def told(self):
        """Shapes of the fields of a result, without the axis of roots."""
        edges = (self.spec.num_edges,)
        return [edges, (), edges, (), *[(1,)] * (len(SearchResult._fields) - 4)]


class TakingTree(ScriptedTree):
    """Gathers latents itself."""

    taken = 0

    def take(self, pool, out):
        assert pool.flags.c_contiguous
        assert out.flags.c_contiguous
        out[:] = pool[self.leaves.parent, np.arange(len(out))]
        self.taken += 1


def run(script, observation=((7.0,), (8.0,)), tree_class=ScriptedTree, given=None, **spec):
    model, tree = PathModel(), tree_class(script, **spec)
    dynamics = LearnedDynamics(Inference(model), tree)
    simulations = tree.spec.num_simulations
    search(tree, dynamics, torch.tensor(observation), num_simulations=simulations, **(given or {}))
    return model, tree


def told(tree):
    """The values that the tree was told: paths through it, as PathModel writes them."""
    return [evaluation.value.tolist() for evaluation in tree.seen]


# --- the loop -------------------------------------------------------------------------------------


def test_the_roots_are_started_with_their_evaluation_and_what_was_given():
    given = {
        "legal_actions": np.ones((2, 3), dtype=bool),
        "to_play": np.array([1, 2], np.int8),
        "seeds": np.array([5, 6]),
        "noise": np.zeros((2, 3)),
        "reuse": Reuse(np.array([0, 1]), np.zeros(2)),
    }
    _, tree = run([((0, 0), (1, 1))], given=given)

    evaluation, *others = tree.started
    assert evaluation.value.tolist() == [7, 8]
    assert evaluation.reward is None
    for other, (name, value) in zip(others, given.items(), strict=True):
        assert other is value, name


def test_what_is_not_given_to_the_search_is_not_given_to_the_tree():
    _, tree = run([((0, 0), (1, 1))])

    assert tree.started[1:] == (None,) * 5


def test_the_model_is_called_once_a_simulation_for_the_whole_batch():
    model, _ = run([((0, 0), (1, 1))] * 4)

    assert model.calls == [2, 2, 2, 2]


def test_where_no_leaf_needs_an_evaluation_the_model_is_not_called_and_the_tree_gets_zeros():
    known = {"needs_evaluation": [False, False]}
    model, tree = run([((0, 0), (1, 1)), ((1, 1), (2, 2), known), ((1, 1), (0, 0))])

    assert model.calls == [2, 2]
    assert told(tree) == [[71, 81], [0, 0], [710, 810]]
    assert [e.reward.tolist() for e in tree.seen] == [[1, 1], [0, 0], [0, 0]]
    assert [(e.logits.shape, e.logits.dtype) for e in tree.seen] == [((2, 3), np.float32)] * 3


def test_where_all_edges_of_the_roots_are_expanded_there_is_one_round_more():
    script = [
        ((0,) * 6, (0, 0, 1, 1, 2, 2), {"node": (1, 1, 2, 2, 3, 3)}),
        ((2, 3), (1, 2), {"node": (4, 4)}),
        ((4, 1), (0, 1), {"node": (5, 5)}),
    ]
    model, tree = run(script, num_simulations=2, root_expand_all=True)

    assert model.calls == [6, 2, 2]
    assert told(tree) == [[70, 80, 71, 81, 72, 82], [711, 822], [7110, 801]]


def test_a_round_without_evaluations_right_after_the_expanded_roots_has_a_row_for_each_root():
    script = [
        ((0,) * 6, (0, 0, 1, 1, 2, 2), {"node": (1, 1, 2, 2, 3, 3)}),
        ((0, 0), (1, 2), {"node": (2, 3), "needs_evaluation": (False, False)}),
    ]
    _, tree = run(script, num_simulations=1, root_expand_all=True)

    assert tree.seen[1].value.tolist() == [0, 0]
    assert tree.seen[1].logits.shape == (2, 3)


# --- the pool of latents --------------------------------------------------------------------------

TREES = pytest.mark.parametrize("tree_class", [ScriptedTree, TakingTree])


@TREES
def test_each_leaf_starts_from_the_latent_of_its_own_parent_in_its_own_tree(tree_class):
    # tree 0: 7 -> 71 -> 712, then 72; tree 1: 8 -> 83, then 84, then 831
    script = [((0, 0), (1, 3)), ((1, 0), (2, 4)), ((0, 1), (2, 1))]
    _, tree = run(script, tree_class=tree_class)

    assert told(tree) == [[71, 83], [712, 84], [72, 831]]
    assert [e.reward.tolist() for e in tree.seen] == [[1, 3], [2, 4], [2, 1]]


def test_a_tree_that_can_gather_latents_gathers_those_of_whole_batches():
    script = [((0, 0), (1, 3)), ((1, 1), (1, 1), {"needs_evaluation": (True, False)})]
    _, tree = run([*script, ((1, 1), (2, 2))], tree_class=TakingTree)

    assert tree.taken == 2
    assert told(tree) == [[71, 83], [711, 0], [712, 832]]


@TREES
def test_leaves_that_need_no_evaluation_do_not_meet_the_model(tree_class):
    script = [
        ((0, 0, 0), (1, 2, 3)),
        ((1, 1, 1), (4, 4, 4), {"needs_evaluation": (True, False, True), "node": (2, 1, 2)}),
        ((2, 1, 2), (5, 5, 5)),
    ]
    model, tree = run(script, ((7.0,), (8.0,), (9.0,)), tree_class)

    assert model.calls == [3, 2, 3]
    assert told(tree) == [[71, 82, 93], [714, 0, 934], [7145, 825, 9345]]
    assert tree.seen[1].reward.tolist() == [4, 0, 4]
    assert tree.seen[1].logits.shape == (3, 3)


@TREES
def test_rounds_in_which_nothing_was_evaluated_do_not_shift_the_latents(tree_class):
    known = {"needs_evaluation": (False, False), "node": (1, 1)}
    script = [((0, 0), (1, 1)), ((0, 0), (1, 1), known), ((1, 0), (2, 2)), ((3, 3), (3, 3))]
    _, tree = run(script, tree_class=tree_class)

    assert told(tree)[2:] == [[712, 82], [7123, 823]]


@TREES
def test_a_leaf_at_max_depth_leaves_the_latents_of_other_trees_alone(tree_class):
    # the second round ends on node 1 again in tree 0, while tree 1 has gone on from its own node 1
    script = [
        ((0, 0), (1, 1)),
        ((0, 1), (2, 2), {"node": (2, 2)}),
        ((0, 0), (1, 2), {"node": (1, 3)}),
        ((2, 1), (3, 3), {"node": (4, 4)}),
        ((2, 2), (1, 1), {"node": (5, 5)}),
    ]
    _, tree = run(script, tree_class=tree_class, max_depth=2)

    assert told(tree)[2:] == [[71, 82], [723, 813], [721, 8121]]


def test_some_rows_of_the_expanded_roots_may_need_no_evaluation():
    needed = (True, True, False, True, True, False)
    script = [
        (
            (0,) * 6,
            (0, 0, 1, 1, 2, 2),
            {"node": (1, 1, 2, 2, 3, 3), "needs_evaluation": needed},
        ),
        ((3, 2), (1, 1), {"node": (4, 4)}),
    ]
    model, tree = run(script, num_simulations=1, root_expand_all=True)

    assert model.calls == [4, 2]
    assert told(tree) == [[70, 80, 0, 81, 72, 0], [721, 811]]


def test_where_actions_are_vectors_the_model_gets_vectors():
    class Adding(PathModel):
        def recurrent_inference(self, latent_state, action):
            assert action.dtype == torch.float32
            return self._out(latent_state + action.sum(1, keepdim=True), action[:, 0])

        def _out(self, latent, reward):
            return super()._out(latent, reward.reshape(-1, 1))

    vectors = [np.array([[0.5, 0.25], [-0.5, 0.0]], np.float32)] * 2
    script = [
        ((0, 0), (3, 1), {"vector": vectors[0]}),
        ((1, 1), (0, 0), {"vector": vectors[1], "needs_evaluation": (False, True)}),
    ]
    tree = ScriptedTree(
        script, num_actions=0, action_dim=2, num_sampled_actions=4, root_expand_all=False
    )
    dynamics = LearnedDynamics(Inference(Adding()), tree)
    search(tree, dynamics, torch.tensor([[1.0], [2.0]]), num_simulations=2)

    assert told(tree) == [[1.75, 1.5], [0, 1.0]]


@TREES
def test_a_search_after_one_of_another_batch_size_is_not_disturbed_by_it(tree_class):
    tree = tree_class([((0,) * 3, (5,) * 3)])
    dynamics = LearnedDynamics(Inference(PathModel()), tree)
    for start in ([[1.0], [2.0], [3.0]], [[4.0]]):
        tree.script, tree.seen = [((0,) * len(start), (5,) * len(start))], []
        search(tree, dynamics, torch.tensor(start), num_simulations=1)
        assert tree.seen[0].value.tolist() == [10 * s[0] + 5 for s in start]


@TREES
def test_latents_may_be_of_another_dtype_in_the_next_search(tree_class):
    class Halving(PathModel):
        dtype = torch.float32

        def _out(self, latent, reward):
            assert latent.dtype in (torch.float32, self.dtype)
            return super()._out(latent, reward)._replace(latent_state=latent.to(self.dtype))

    model, tree = Halving(), tree_class([((0,), (5,)), ((1,), (6,))])
    dynamics = LearnedDynamics(Inference(model), tree)
    for model.dtype in (torch.float32, torch.bfloat16, torch.float64):
        tree.seen = []
        search(tree, dynamics, torch.tensor([[1.0]]), num_simulations=2)
        assert dynamics._pools[0].rows(torch.tensor([0])).dtype == model.dtype
        assert told(tree) == [[15], [156]]


@TREES
def test_searches_may_begin_within_inference_mode_and_go_on_outside(tree_class):
    tree = tree_class([((0,), (5,)), ((1,), (6,))])
    dynamics = LearnedDynamics(Inference(PathModel()), tree)
    for inside in (True, False):
        tree.seen = []
        with torch.inference_mode(inside):
            search(tree, dynamics, torch.tensor([[1.0]]), num_simulations=2)
        assert told(tree) == [[15], [156]]


# --- the seam to the model ------------------------------------------------------------------------


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
    evaluation, _ = inference.recurrent((torch.tensor([[7.0]]),), torch.tensor([1]))

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
    evaluation, _ = inference.recurrent((torch.tensor([[7.0]]),), torch.tensor([3]))

    assert evaluation.value == pytest.approx([73])
    assert evaluation.reward == pytest.approx([9])


# --- what a simulator says of its roots, and what is refused --------------------------------------


class Games:
    """Dynamics of two games that say of their roots what they are told to."""

    def __init__(self, **roots):
        self.roots = Evaluation(np.zeros(2), np.zeros((2, 3)), **roots)

    def root(self, observation):
        return self.roots

    def expand(self, leaves):
        return Evaluation(np.zeros(2), np.zeros((2, 3)))


def test_what_the_dynamics_say_of_the_roots_counts_unless_search_is_told_otherwise():
    legal, players = np.array([[True, False, True]] * 2), np.array([2, 1], np.int8)
    own = np.ones((2, 3), bool)
    tree = ScriptedTree([((0, 0), (1, 1))], num_chance_outcomes=5)
    wide = np.pad(legal, ((0, 0), (0, 2)))  # as wide as outcomes are
    search(tree, Games(legal_actions=wide, to_play=players), None, num_simulations=1)
    assert tree.started[1].tolist() == legal.tolist()
    assert tree.started[2] is players

    tree = ScriptedTree([((0, 0), (1, 1))])
    games = Games(legal_actions=legal, to_play=players)
    search(tree, games, None, num_simulations=1, legal_actions=own, to_play=-players)
    assert tree.started[1] is own
    assert tree.started[2].tolist() == [-2, -1]


def test_a_game_that_is_over_is_not_searched():
    tree = ScriptedTree([((0, 0), (1, 1))])
    with pytest.raises(
        ValueError, match=r"The game is over at root 1; .* Leave it out of the batch"
    ):
        search(tree, Games(terminal=np.array([False, True])), None, num_simulations=1)


@pytest.mark.parametrize(
    ("rule", "asked", "message"),
    [
        ("puct", 0, r"num_simulations is 0, but the tree is made for 4\. Make a tree of that size"),
        ("puct", 5, r"num_simulations is 5, but the tree is made for 4\."),
        ("gumbel", 3, r"is 3, but the tree is made for 4, and its rule 'gumbel' plans all of them"),
    ],
)
def test_a_search_of_another_size_than_the_trees_is_refused(rule, asked, message):
    tree = ScriptedTree([((0, 0), (1, 1))] * 4, rule=rule)
    with pytest.raises(ConfigError, match=message):
        search(tree, Games(), None, num_simulations=asked)


def test_learned_dynamics_refuse_what_their_model_does_not_know():
    tree = ScriptedTree([((0, 0), (1, 1))], num_chance_outcomes=2)
    with pytest.raises(ConfigError, match=r"num_chance_outcomes is set, but LearnedDynamics steps"):
        LearnedDynamics(Inference(PathModel()), tree)


def test_a_root_with_one_edge_is_expanded_without_the_trees_help():
    """As many rows as roots, but not those of a simulation, which alone a tree can take."""
    first = {"node": (1, 1)}
    script = [((0, 0), (1, 2), first), ((1, 1), (0, 0), {"node": (2, 2)})]
    spec = {"num_actions": 1, "num_simulations": 1, "root_expand_all": True}
    _, tree = run(script, tree_class=TakingTree, **spec)

    assert told(tree) == [[71, 82], [710, 820]]
    assert tree.taken == 1


# --- value prefixes -------------------------------------------------------------------------------


class SummingModel(PathModel):
    """Tells as reward the sum of the actions since the memory was last zero."""

    def _out(self, latent, reward, memory=None):
        memory = torch.zeros(len(latent), 2, 1) if memory is None else memory
        return super()._out(latent, memory[:, 0])._replace(memory=memory)

    def recurrent_inference(self, latent_state, action, memory):
        self.calls.append(len(action))
        return self._out(latent_state * 10 + action[:, None], None, memory + action[:, None, None])


@TREES
def test_the_memory_of_a_model_is_kept_with_its_node_and_begins_anew_at_each_horizon(tree_class):
    path = [
        ((0, 0), (1, 2), {"depth": (1, 1)}),
        ((1, 1), (3, 4), {"depth": (2, 2)}),  # horizon: what follows is summed from 0
        ((2, 1), (5, 6), {"depth": (3, 2)}),
        ((3, 0), (7, 8), {"depth": (4, 1)}),
        ((4, 3), (9, 1), {"depth": (5, 3)}),
    ]
    tree = tree_class(path, value_prefix=True, lstm_horizon_len=2)
    dynamics = LearnedDynamics(Inference(SummingModel()), tree)
    search(tree, dynamics, torch.tensor([[1.0], [2.0]]), num_simulations=5)

    prefixes = [evaluation.reward.tolist() for evaluation in tree.seen]
    assert prefixes == [[1, 2], [4, 6], [5, 8], [12, 8], [9, 1]]


def test_the_memory_of_single_rows_is_kept_too():
    path = [
        ((0, 0), (1, 2), {"depth": (1, 1), "needs_evaluation": (False, True)}),
        ((0, 1), (3, 4), {"depth": (1, 2), "needs_evaluation": (True, True)}),
        ((2, 2), (5, 6), {"depth": (2, 3), "needs_evaluation": (False, True)}),
    ]
    tree = ScriptedTree(path, value_prefix=True, lstm_horizon_len=2)
    dynamics = LearnedDynamics(Inference(SummingModel()), tree)
    search(tree, dynamics, torch.tensor([[1.0], [2.0]]), num_simulations=3)

    assert [e.reward.tolist() for e in tree.seen] == [[0, 2], [3, 6], [0, 6]]


@pytest.mark.parametrize(
    ("model", "prefix", "told_of"), [(PathModel(), True, "no"), (SummingModel(), False, "a")]
)
def test_a_model_and_a_tree_that_disagree_about_value_prefixes_are_refused(model, prefix, told_of):
    tree = ScriptedTree([((0, 0), (1, 1))], value_prefix=prefix)
    dynamics = LearnedDynamics(Inference(model), tree)
    with pytest.raises(ConfigError, match=f"value_prefix is {prefix} .* have {told_of} memory"):
        dynamics.root(torch.tensor([[1.0], [2.0]]))


# --- chance ---------------------------------------------------------------------------------------


class ChanceModel(PathModel):
    """Writes an action as its digit, an outcome as digit 5 more; says which calls were made."""

    def recurrent_inference(self, latent_state, option, afterstate=False):
        self.calls.append((len(option), afterstate))
        digit, width = (option + 5, 3) if afterstate else (option, 4)
        latent = latent_state * 10 + digit[:, None]
        logits = torch.full((len(option), width), float(1 + afterstate))
        return NetworkOutput(latent, torch.full_like(latent, afterstate), latent, logits)


def chance_search(script, **spec):
    model, tree = ChanceModel(), ScriptedTree(script, num_chance_outcomes=4, **spec)
    dynamics = ChanceDynamics(Inference(model), tree)
    roots = torch.arange(1.0, len(script[0][0]) + 1)[:, None]  # 1, 2, ...
    search(tree, dynamics, roots, num_simulations=len(script))
    return model, tree


def test_decisions_and_outcomes_of_one_batch_go_to_their_own_half_of_the_model():
    script = [
        ((0, 0), (1, 2)),
        ((1, 0), (3, 1), {"is_outcome": (True, False)}),
        ((2, 1), (0, 3), {"is_outcome": (False, True)}),
        ((3, 3), (0, 1), {"is_outcome": (True, False)}),
    ]
    model, tree = chance_search(script)

    assert told(tree) == [[11, 22], [118, 21], [1180, 228], [11805, 2281]]
    assert model.calls == [(2, False), *[(1, False), (1, True)] * 3]
    assert [e.reward.tolist() for e in tree.seen] == [[0, 0], [1, 0], [0, 1], [1, 0]]


def test_what_both_halves_say_goes_back_to_its_own_root_in_any_order():
    script = [
        ((0, 0, 0, 0), (0, 1, 2, 3)),
        ((1, 0, 1, 0), (2, 1, 1, 0), {"is_outcome": (True, False, True, False)}),
        ((2, 2, 0, 1), (3, 1, 2, 1), {"is_outcome": (False, True, False, True)}),
        ((3, 1, 3, 3), (1, 0, 1, 2), {"is_outcome": (True, True, True, False)}),
    ]
    _, tree = chance_search(script)

    assert told(tree) == [
        [10, 21, 32, 43],
        [107, 21, 326, 40],
        [1073, 216, 32, 436],
        [10736, 215, 326, 4362],
    ]
    assert [e.reward.tolist() for e in tree.seen[1:]] == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0]]


def test_logits_are_as_long_as_the_tree_asks_wherever_they_come_from():
    script = [((0, 0), (1, 2)), ((1, 0), (3, 1), {"is_outcome": (True, False)})]
    _, tree = chance_search(script)

    assert tree.started[0].logits.tolist() == [[0, 0, 0, 0]] * 2
    assert tree.seen[1].logits.tolist() == [[2, 2, 2, 0], [1, 1, 1, 1]]


def test_chance_dynamics_refuse_value_prefixes():
    tree = ScriptedTree([((0, 0), (1, 1))], value_prefix=True)
    with pytest.raises(ConfigError, match="value_prefix is set, but ChanceDynamics steps"):
        ChanceDynamics(Inference(ChanceModel()), tree)
