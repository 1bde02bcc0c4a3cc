"""A search through pages sees what one full pass over the same tokens sees."""

import numpy as np
import pytest
import torch
from lz_unizero.dynamics import WorldModelDynamics
from lz_unizero.inference import History, WorldModelInference
from slow_pass import WholePaths
from small_worlds import KINDS, SHAPES, awake, make_model

from lzcore.base import Leaves, TreeSpec
from lzcore.base.errors import ConfigError, LzError, ShapeError
from lzcore.search import make_tree, search

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
VECTORS = {"outer": {"continuous_action_space": True}, "continuous_action_space": True}
SMALL_WINDOW = {"max_blocks": 4, "max_tokens": 8}
STYLES = {
    "as documented": {},
    "one layer": {"num_layers": 1},
    "three layers": {"num_layers": 3},
    "gated": {"gru_gating": True},
    "small window": SMALL_WINDOW,
    "rebuild": {"kv_slide": "rebuild"},
    "rotary": {"positions": "rotary", **SMALL_WINDOW},
    "rotary rebuild": {"positions": "rotary", "kv_slide": "rebuild"},
    "rotary, gated, three layers": {"positions": "rotary", "gru_gating": True, "num_layers": 3},
}
style = pytest.mark.parametrize("given", STYLES.values(), ids=STYLES)


def draw_history(rng, num_roots, steps=3, kind="vector", num_actions=3, lengths=None):
    """Draw histories of up to `steps` steps; what is behind their ends is noise."""
    lengths = rng.integers(1, steps + 1, num_roots) if lengths is None else np.array(lengths)
    observation = rng.standard_normal((num_roots, steps, *SHAPES[kind]), np.float32)
    actions = rng.integers(0, num_actions, (num_roots, steps - 1))
    return History(torch.from_numpy(observation), torch.from_numpy(actions), lengths)


def tree_of(name, spec):
    try:
        return make_tree(name, spec)
    except LzError:
        pytest.skip(f"{name} is not installed")


def dynamics_of(model, spec):
    return WorldModelDynamics(WorldModelInference(model), tree_of("lz_ptree", spec))


class Compared:
    """Answers from pages, after a look at what whole paths say."""

    def __init__(self, dynamics, model):
        self.dynamics, self.whole = dynamics, WholePaths(model)
        self.calls = 0

    def root(self, history):
        return self._both(self.dynamics.root(history), self.whole.root(history), ...)

    def expand(self, leaves):
        found = self.dynamics.expand(leaves)
        return self._both(found, self.whole.expand(leaves), leaves.needs_evaluation)

    def _both(self, found, expected, rows):
        self.calls += 1
        for name in ("value", "logits", "reward"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_allclose(ours[rows], theirs[rows], **CLOSE)
        return found


# --- the same as one pass -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lz_ptree", "lz_ctree"])
@pytest.mark.parametrize("seed", range(3))
@style
def test_a_search_equals_full_passes(name, seed, given):
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % 2]
    model = awake(make_model(kind, **given), scale=0.1)
    num_roots, simulations = int(rng.integers(1, 6)), int(rng.integers(4, 14))
    spec = TreeSpec(num_simulations=simulations, num_actions=3, discount=0.9, pb_c_init=0.3)
    tree = tree_of(name, spec)
    compared = Compared(WorldModelDynamics(WorldModelInference(model), tree), model)

    for _ in range(2):  # the second search finds the pages of the first
        history = draw_history(rng, num_roots, kind=kind)
        search(tree, compared, history, num_simulations=simulations)

    assert compared.calls == 2 * (1 + simulations)


class RandomTree:
    """Leaves as no search would pick them: any parent, any rows, roots in step or not."""

    def __init__(self, rng, num_roots, deep):
        self.rng, self.num_roots, self.deep = rng, num_roots, deep
        self.known = [[0] for _ in range(num_roots)]

    def leaves(self, node, vectors=0):
        rng, many = self.rng, self.num_roots
        known = [nodes[-2:] if rng.random() < self.deep else nodes for nodes in self.known]
        needed = rng.random(many) < 0.7
        needed[rng.integers(many)] = True
        parent = np.array([rng.choice(nodes) for nodes in known])
        for root in np.flatnonzero(needed):
            self.known[root].append(node)
        return Leaves(
            parent=parent,
            action=rng.integers(0, 3, many),
            node=np.full(many, node),
            depth=np.ones(many, np.int32),
            is_outcome=np.zeros(many, bool),
            needs_evaluation=needed,
            vector=rng.uniform(-1, 1, (many, vectors)).astype(np.float32) if vectors else None,
        )


def grown(rng, num_roots, num_nodes, deep=0.9, vectors=0):
    tree = RandomTree(rng, num_roots, deep)
    return [tree.leaves(node, vectors) for node in range(1, num_nodes)]


@pytest.mark.parametrize("seed", range(3))
@style
def test_any_tree_equals_full_passes(seed, given):
    rng = np.random.default_rng(seed)
    num_roots = int(rng.integers(1, 6))
    model = awake(make_model(**given), scale=0.1)
    dynamics = dynamics_of(model, TreeSpec(num_simulations=15, num_actions=3))
    compared = Compared(dynamics, model)

    compared.root(draw_history(rng, num_roots))
    for leaves in grown(rng, num_roots, 16):
        compared.expand(leaves)

    window = model.cfg.world_model_cfg.window_steps
    assert compared.whole.longest > window  # some paths went past it
    assert (dynamics.num_read_anew > 0) == (not compared.whole.slides)
    assert dynamics.num_read_anew < dynamics.num_edges


@pytest.mark.parametrize("given", [{}, SMALL_WINDOW, {"positions": "rotary", **SMALL_WINDOW}])
def test_vectors_of_actions_equal_full_passes(given):
    rng = np.random.default_rng(0)
    model = awake(make_model(**VECTORS, **given), scale=0.1)
    spec = TreeSpec(num_simulations=12, action_dim=3, num_sampled_actions=4)
    tree = tree_of("lz_ctree", spec)
    compared = Compared(WorldModelDynamics(WorldModelInference(model), tree), model)
    history = draw_history(rng, 3)
    taken = torch.from_numpy(rng.uniform(-1, 1, (3, 2, 3)).astype(np.float32))
    history = history._replace(action=taken)
    seeds = np.arange(3, dtype=np.uint64)

    found = search(tree, compared, history, num_simulations=12, seeds=seeds)

    assert spec.root_expand_all
    assert found.visit_count.sum() == 36


def test_paths_that_end_at_a_greatest_depth_equal_full_passes():
    rng, model = np.random.default_rng(0), awake(make_model())
    spec = TreeSpec(num_simulations=12, num_actions=3, max_depth=2)
    tree = tree_of("lz_ctree", spec)
    compared = Compared(WorldModelDynamics(WorldModelInference(model), tree), model)

    search(tree, compared, draw_history(rng, 4), num_simulations=12)

    assert compared.whole.longest <= 5


# --- roots do not see each other ------------------------------------------------------------------


def answers(model, history, leaves):
    """What is said of roots and leaves, as one array (calls, B, 1 + A + 1)."""
    dynamics = dynamics_of(model, TreeSpec(num_simulations=15, num_actions=3))
    told = [dynamics.root(history), *(dynamics.expand(each) for each in leaves)]
    zeros = np.zeros(len(history.length), np.float32)
    return np.stack(
        [
            np.column_stack((t.value, t.logits, zeros if t.reward is None else t.reward))
            for t in told
        ]
    )


def rows_of(history, leaves, rows):
    """The same histories and leaves of some roots, in another order."""
    some = [Leaves._make(None if f is None else f[rows] for f in each) for each in leaves]
    return History(*(field[rows] for field in history[:3])), some


@style
def test_the_order_of_roots_changes_nothing(given):
    rng, model = np.random.default_rng(3), awake(make_model(**given), scale=0.05)
    history, leaves = draw_history(rng, 5), grown(rng, 5, 12)
    order = rng.permutation(5)

    expected = answers(model, history, leaves)
    np.testing.assert_allclose(
        answers(model, *rows_of(history, leaves, order)), expected[:, order], atol=1e-6, rtol=1e-6
    )


@style
def test_a_root_alone_is_told_what_it_is_told_among_others(given):
    rng, model = np.random.default_rng(4), awake(make_model(**given), scale=0.05)
    history, leaves = draw_history(rng, 5), grown(rng, 5, 12)
    leaves = [each._replace(needs_evaluation=np.ones(5, bool), parent=each.parent * 0 + node)
              for node, each in enumerate(leaves)]  # fmt: skip

    expected = answers(model, history, leaves)
    for root in range(5):
        alone = answers(model, *rows_of(history, leaves, np.array([root])))
        np.testing.assert_allclose(alone[:, 0], expected[:, root], atol=1e-6, rtol=1e-6)


@style
def test_numbers_that_are_none_stay_with_their_root(given):
    rng, model = np.random.default_rng(5), awake(make_model(**given), scale=0.05)
    history, leaves = draw_history(rng, 4), grown(rng, 4, 12)
    broken = history.observation.clone()
    broken[2] = torch.nan

    told = answers(model, history._replace(observation=broken), leaves)

    others = [0, 1, 3]
    assert np.isnan(told[0, 2, 0])
    np.testing.assert_allclose(
        told[:, others], answers(model, history, leaves)[:, others], atol=1e-6, rtol=1e-6
    )


def test_what_lies_behind_the_end_of_a_history_is_not_read():
    model = awake(make_model())
    rng = np.random.default_rng(0)
    history, leaves = draw_history(rng, 4, lengths=(1, 2, 3, 1)), grown(rng, 4, 8)
    cut = history.observation.clone()
    cut[0, 1:] = cut[1, 2:] = cut[3, 1:] = 100.0
    changed = history._replace(observation=cut)

    np.testing.assert_array_equal(answers(model, changed, leaves), answers(model, history, leaves))


def test_a_history_of_nothing_is_a_state_without_one():
    model = awake(make_model())
    observation = draw_history(np.random.default_rng(0), 4).observation[:, 0]

    told = dynamics_of(model, TreeSpec(num_simulations=3, num_actions=3)).root(
        History.of(observation)
    )

    alone = model.initial_inference(observation)
    expected = model.value_support.decode(alone.value).detach().numpy()
    np.testing.assert_allclose(told.value, expected, **CLOSE)
    np.testing.assert_allclose(told.logits, alone.policy_logits.detach().numpy(), **CLOSE)
    assert told.reward is None


# --- counts, sizes, refusals ----------------------------------------------------------------------


def first_leaves(num_roots):
    """One leaf below each root."""
    zeros = np.zeros(num_roots, np.int64)
    return Leaves(
        parent=zeros,
        action=zeros,
        node=zeros + 1,
        depth=np.ones(num_roots, np.int32),
        is_outcome=np.zeros(num_roots, bool),
        needs_evaluation=np.ones(num_roots, bool),
        vector=None,
    )


def test_leaves_that_were_read_anew_are_counted_until_the_count_begins_again():
    rng, model = np.random.default_rng(0), awake(make_model(kv_slide="rebuild"))
    dynamics = dynamics_of(model, TreeSpec(num_simulations=15, num_actions=3))
    assert dynamics.share_read_anew == 0.0

    for lengths, read_anew, edges in (((3, 3, 3), 3, 3), ((1, 3, 2), 1, 3)):
        before = dynamics.num_read_anew, dynamics.num_edges
        dynamics.root(draw_history(rng, 3, lengths=lengths))
        dynamics.expand(first_leaves(3))
        counted = dynamics.num_read_anew, dynamics.num_edges
        assert counted == (before[0] + read_anew, before[1] + edges)
    assert dynamics.share_read_anew == 4 / 6

    dynamics.count_anew()
    assert dynamics.num_edges == dynamics.num_read_anew == 0


@pytest.mark.parametrize("given", [{}, {"positions": "rotary"}, {"kv_slide": "rebuild"}])
def test_the_pool_is_as_large_as_told_before_the_search(given):
    model = awake(make_model(**given), scale=0.1)
    dynamics = dynamics_of(model, TreeSpec(num_simulations=15, num_actions=3))
    told = dynamics.layout(4)

    dynamics.root(draw_history(np.random.default_rng(0), 4))

    pages = dynamics._pages
    taken = [pages._kv, pages._tokens, pages._chain, pages._length]
    assert sum(part.nbytes for part in taken) == told.num_bytes
    assert told.num_pages == (16 + 2) * 4


def test_another_number_of_roots_makes_other_pages():
    rng, model = np.random.default_rng(0), awake(make_model())
    spec = TreeSpec(num_simulations=4, num_actions=3)
    dynamics, tree = dynamics_of(model, spec), tree_of("lz_ptree", spec)

    for num_roots in (2, 5, 1):
        history = draw_history(rng, num_roots)
        assert len(search(tree, dynamics, history, num_simulations=4).value) == num_roots


def test_a_search_leaves_training_mode():
    model = awake(make_model()).train()
    dynamics = dynamics_of(model, TreeSpec(num_simulations=4, num_actions=3))
    history = draw_history(np.random.default_rng(0), 2)

    first, again = dynamics.root(history), dynamics.root(history)

    assert not model.training
    np.testing.assert_array_equal(first.value, again.value)


@pytest.mark.parametrize("given", [{"value_prefix": True}, {"num_chance_outcomes": 2}])
def test_trees_of_other_models_are_refused(given):
    spec = TreeSpec(num_simulations=4, num_actions=3, **given)

    with pytest.raises(ConfigError, match=f"{next(iter(given))} is set, but a world model knows"):
        dynamics_of(make_model(), spec)


@pytest.mark.parametrize("lengths", [(0, 1), (4, 1), ()])
def test_histories_of_no_length_are_refused(lengths):
    dynamics = dynamics_of(make_model(), TreeSpec(num_simulations=4, num_actions=3))
    history = draw_history(np.random.default_rng(0), len(lengths), steps=4, lengths=lengths)

    with pytest.raises(ShapeError, match=r"Histories have .* of 1 to 3 steps each"):
        dynamics.root(history)
