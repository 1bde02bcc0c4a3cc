"""What an edge is worth and which one is taken, worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lz_ptree.nodes import Nodes
from lz_ptree.scores import choose_edge, exploration_table, transform, unvisited_value

from lzcore.base.treespec import TreeSpec


def spec(**changes):
    return TreeSpec(num_simulations=10, num_actions=4, **{"range_floor": 0.5, **changes})


def node(**changes):
    """One node worth 1: edge 0 visited twice, q 3; edge 2 once, q -1; edge 3 is not allowed."""
    fields = {
        "is_root": False,
        "visit_count": np.array([4]),
        "value": np.array([1.0]),
        "raw_value": np.array([1.0]),
        "to_play": np.array([-1]),
        "allowed": np.array([[True, True, True, False]]),
        "prior": np.array([[0.2, 0.3, 0.5, 0.0]]),
        "edge_visits": np.array([[2, 0, 1, 0]]),
        "q_value": np.array([[3.0, 0.0, -1.0, 0.0]]),
        "tree_q_low": np.array([-2.0]),
        "tree_q_high": np.array([8.0]),
        "parent_q": np.array([4.0]),
        "draw": np.array([0.0]),
        "is_known": np.zeros((1, 4), bool),
        **changes,
    }
    fields.setdefault("weight", fields["prior"])
    fields.setdefault("visited", fields["edge_visits"] > 0)
    return Nodes(**fields)


def fresh(**changes):
    """The same node before any edge was taken."""
    none = {"visit_count": np.array([1]), "edge_visits": np.zeros((1, 4), int)}
    return node(**{**none, **changes})


# --- q-values to scores ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parent_and_siblings", [1.0, 0.5, 0.0]),  # from -1 to 3
        ("tree_min_max", [0.5, 0.3, 0.1]),  # from -2 to 8
        ("min_max", [1.5, 1.0, 0.5]),  # from -3 to 1, and nothing is cut off
        ("none", [3.0, 1.0, -1.0]),
    ],
)
def test_a_q_value_is_placed_in_the_range_that_the_transform_names(name, expected):
    q = np.array([[3.0, 1.0, -1.0]])
    asked = spec(q_transform=name, q_bounds=(-3.0, 1.0))

    assert transform(asked, node(), q)[0] == pytest.approx(expected)


def test_the_range_of_a_node_includes_its_own_value():
    low = node(value=np.array([-5.0]))  # the range is -5 to 3 now

    assert transform(spec(), low, low.q_value)[0, [0, 2]] == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize("name", ["parent_and_siblings", "tree_min_max"])
def test_a_narrow_range_is_widened_to_the_floor(name):
    narrow = node(
        value=np.array([1.0]),
        q_value=np.array([[1.1, 0.0, 1.0, 0.0]]),
        tree_q_low=np.array([1.0]),
        tree_q_high=np.array([1.1]),
    )

    # 0.1 above the least of a range floored at 0.5
    scores = transform(spec(q_transform=name), narrow, narrow.q_value)
    assert scores[0, [0, 2]] == pytest.approx([0.2, 0.0])


@pytest.mark.parametrize(("q", "score"), [(0.3, 0.3), (7.0, 1.0), (-7.0, 0.0)])
@pytest.mark.parametrize("bounds", [(np.inf, -np.inf), (0.3, 0.3)])
def test_while_the_tree_has_seen_one_q_value_at_most_it_counts_as_it_is(bounds, q, score):
    low, high = np.array(bounds)[:, None]
    early = node(tree_q_low=low, tree_q_high=high)

    assert transform(spec(q_transform="tree_min_max"), early, np.array([[q]]))[0, 0] == score


@settings(derandomize=True, deadline=None, database=None)
@given(
    value=st.floats(-1e6, 1e6), q=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4)
)  # fmt: skip
def test_visited_edges_score_from_0_to_1_among_their_siblings_and_keep_their_order(value, q):
    nodes = node(value=np.array([value]), q_value=np.array([q]), edge_visits=np.ones((1, 4), int))
    score = transform(spec(), nodes, nodes.q_value)[0]

    assert ((score >= 0) & (score <= 1)).all()
    assert (np.diff(score[np.argsort(q)]) >= 0).all()


# --- edges never taken ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fpu", "expected"),
    [
        ("mctx", -1.0),  # the least of 1, 3 and -1
        ("parent_value", 1.0),
        ("muzero_paper", 0.0),
        ("ez_mean_q", 2.0),  # (4 + 3 - 1) / 3, the parent's mean counted once
        ("zero", 0.0),
        ("minizero", 1.0),  # (3 - 1) / 2
    ],
)
def test_an_unvisited_edge_counts_for_what_fpu_says(fpu, expected):
    asked = spec(fpu=fpu, q_transform="none")

    assert choose_value(asked, node()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fpu", "expected"),
    [
        ("mctx", 0.0),
        ("parent_value", 0.5),
        ("muzero_paper", 0.0),
        ("ez_mean_q", 0.75),  # 2 in a range from -1 to 3
        ("zero", 0.25),  # 0 in that range
        ("minizero", 0.5),  # the mean of 1 and 0
    ],
)
def test_normalised_like_the_visited_ones_unless_fpu_means_the_least_score(fpu, expected):
    assert choose_value(spec(fpu=fpu), node()) == pytest.approx(expected)


def choose_value(asked, nodes):
    """The value of an unvisited edge, with the mean that the choice hands down."""
    _, mean_q = choose_edge(asked, nodes, exploration_table(asked))
    return unvisited_value(asked, nodes, mean_q)[0]


@pytest.mark.parametrize(
    ("q_transform", "two_players", "one_player"),
    [
        ("none", 1 / 3, 1.0),  # (3 - 1 - 1) / 3
        ("parent_and_siblings", 1 / 3, 0.5),  # (1 + 0 + 0) / 3
    ],
)
def test_minizero_adds_a_lost_game_only_if_there_is_an_opponent(
    q_transform, two_players, one_player
):
    asked = spec(fpu="minizero", q_transform=q_transform)

    assert choose_value(asked, node(to_play=np.array([2]))) == pytest.approx(two_players)
    assert choose_value(asked, node(to_play=np.array([-1]))) == pytest.approx(one_player)


@pytest.mark.parametrize(("player", "expected"), [(-1, 1.0), (1, -1.0)])
def test_minizero_starts_alone_at_a_win_and_against_an_opponent_at_a_loss(player, expected):
    asked = spec(fpu="minizero", q_transform="none")

    assert choose_value(asked, fresh(to_play=np.array([player]))) == expected


def test_the_mean_of_efficientzero_leaves_the_parent_out_at_the_root():
    asked = spec(fpu="ez_mean_q", q_transform="none")

    assert choose_value(asked, node(is_root=True)) == pytest.approx(1.0)  # (3 - 1) / 2
    assert choose_value(asked, fresh(is_root=True)) == 0.0


def test_a_value_outside_the_range_seen_counts_as_its_end():
    far = node(parent_q=np.array([400.0]))

    assert choose_value(spec(fpu="ez_mean_q"), far) == 1.0


# --- the choice -----------------------------------------------------------------------------------


def chosen(nodes, **options):
    asked = spec(**{"q_transform": "none", "fpu": "parent_value", **options})
    return choose_edge(asked, nodes, exploration_table(asked))[0][0]


def test_the_exploration_weight_is_c_of_n_times_its_root():
    table = exploration_table(spec(pb_c_base=10.0, pb_c_init=2.0))

    assert table[4] == pytest.approx((2.0 + math.log(15 / 10)) * 2.0)
    assert table[0] == 0.0


def test_the_score_is_value_plus_weight_times_prior_over_visits():
    # c = ln(5 + 1e9...) ~ pb_c_init = 1, so the weight is 2: q 3 + 2 * 0.2 / 3, 1 + 2 * 0.3 and
    # -1 + 2 * 0.5 / 2; edge 0 wins. With c = 10: 4.3, 7 and 4; edge 1 wins. With q 9: edge 2.
    assert chosen(node(), pb_c_init=1.0, pb_c_base=1e9) == 0
    assert chosen(node(), pb_c_init=10.0, pb_c_base=1e9) == 1
    better = node(q_value=np.array([[3.0, 0.0, 9.0, 0.0]]))
    assert chosen(better, pb_c_init=1.0, pb_c_base=1e9) == 2


@pytest.mark.parametrize(
    ("fpu", "at_root", "inside"),
    [
        ("mctx", 4, 4),
        ("parent_value", 4, 4),
        ("muzero_paper", 3, 4),
        ("zero", 3, 4),
        ("ez_mean_q", 3, 3),
        ("minizero", 3, 3),
    ],
)
def test_n_counts_the_evaluating_visit_or_not_as_fpu_says(fpu, at_root, inside):
    """Only the weight of N in question is above 0, and with it edge 1, never visited, wins."""
    for is_root, counted in ((True, at_root), (False, inside)):
        for n in (3, 4):
            table = np.zeros(12)
            table[n] = 100.0
            nodes = node(is_root=is_root)
            edge, _ = choose_edge(spec(fpu=fpu, q_transform="none"), nodes, table)
            assert (edge[0] == 1) == (n == counted)


def test_an_edge_that_is_not_allowed_is_never_chosen():
    tempting = node(prior=np.array([[0.0, 0.0, 0.0, 1.0]]), value=np.array([-9.0]))

    assert chosen(tempting) == 0
    assert chosen(fresh(prior=np.array([[0.0, 0.0, 0.0, 1.0]]))) == 0


def test_an_edge_whose_value_is_known_scores_by_that_alone():
    lately = {"prior": np.array([[0.9, 0.05, 0.05, 0.0]]), "q_value": np.array([[1.0, 0, -1, 0]])}
    options = {"pb_c_init": 10.0, "pb_c_base": 1e9}
    known = np.array([[True, False, False, False]])

    # the weight is 20: 1 + 20 * 0.9 / 3 without, 1 with it; edge 1 has 1 + 20 * 0.05
    assert chosen(node(**lately), **options) == 0
    assert chosen(node(**lately, is_known=known), **options) == 1


def test_an_edge_whose_child_exists_without_a_visit_counts_as_visited():
    """After root_expand_all: the q of every edge counts, though none has a visit of its own."""
    expanded = node(
        visited=np.array([[True, True, True, False]]),
        q_value=np.array([[3.0, -1.0, -1.0, 0.0]]),
        edge_visits=np.array([[0, 0, 0, 0]]),
    )

    # 3 + 2 * 0.2, -1 + 2 * 0.3 and -1 + 2 * 0.5; unvisited ones would have counted for 1
    assert chosen(expanded, pb_c_init=1.0, pb_c_base=1e9) == 0
    assert choose_value(spec(fpu="ez_mean_q", q_transform="none"), expanded) == 1.25  # 4+3-1-1


def test_the_best_prior_is_taken_first_also_where_float64_cannot_see_the_difference():
    """q around 1e9 leaves the bonus no digit; still, edge 2 has the larger prior."""
    large = fresh(value=np.array([1e9]), prior=np.array([[0.2, 0.3, 0.5, 0.0]]))

    assert chosen(large) == 2


# --- ties -----------------------------------------------------------------------------------------


def tied(**changes):
    """A root whose prior has no weight yet: all allowed edges score 0."""
    return fresh(is_root=True, **changes)


@pytest.mark.parametrize(("tie_break", "expected"), [("lowest", 0), ("prior", 2)])
def test_a_tie_goes_to_the_lowest_edge_or_to_the_best_prior(tie_break, expected):
    assert chosen(tied(), fpu="zero", tie_break=tie_break) == expected


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 0), (0.3, 0), (0.34, 1), (0.67, 2), (1, 2)])
def test_a_random_tie_is_shared_evenly_by_the_allowed_edges(draw, expected):
    drawn = tied(draw=np.array([min(draw, 1 - 2**-53)]))

    assert chosen(drawn, fpu="zero", tie_break="random") == expected


@pytest.mark.parametrize(("gap", "expected"), [(0.9e-6, 1), (1.1e-6, 2)])
def test_a_random_tie_is_what_lies_within_a_millionth(gap, expected):
    near = node(
        q_value=np.array([[0.0, 1.0 - gap, 1.0, 0.0]]),
        edge_visits=np.array([[1, 1, 1, 0]]),
        prior=np.full((1, 4), 0.25),
    )

    assert chosen(near, tie_break="random") == expected
