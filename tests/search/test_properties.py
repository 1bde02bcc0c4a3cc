"""What holds for every search, in every tree: checked in mazes, games drawn from numbers.

Shape letters: B roots, M nodes, X edges.
"""

import attrs
import numpy as np
import pytest
from toy_dynamics import chosen, drawn_opinion, drawn_vectors, look, mazes
from toy_games import Catch, Nim, TicTacToe

from lzcore.base.tree import Reuse
from lzcore.base.treespec import Fpu, TreeSpec

S = 40
GUMBEL = {"rule": "gumbel", "rescale_illegal": False}
KINDS = {
    "puct": {},
    "puct, as EfficientZero": {"fpu": "ez_mean_q", "q_transform": "tree_min_max"},
    "puct, random ties": {"tie_break": "random", "fpu": "zero", "q_transform": "none"},
    "puct, three steps deep": {"max_depth": 3},
    "puct, all edges of the root": {"root_expand_all": True},
    "puct, chance": {"num_chance_outcomes": 3},
    "puct, sampled chance": {"num_chance_outcomes": 6, "chance_select": "sample"},
    "puct, value prefixes": {"value_prefix": True, "lstm_horizon_len": 2},
    "puct, some actions": {"num_sampled_actions": 3},
    "puct, some actions with replacement": {
        "num_sampled_actions": 4, "sample_mode": "with_replacement", "sample_temperature": 2.0,
    },
    "puct, vectors": {"action_dim": 2, "num_sampled_actions": 4, "num_actions": 0},
    "puct, vectors by density": {
        "action_dim": 2, "num_sampled_actions": 4, "num_actions": 0, "prior_mode": "density",
        "root_expand_all": False,
    },
    "gumbel": GUMBEL,
    "gumbel, value prefixes": GUMBEL | {"value_prefix": True},
    "gumbel, chance": GUMBEL | {"num_chance_outcomes": 3},
    "gumbel, some actions": GUMBEL | {"num_sampled_actions": 3},
    "gumbel, vectors": GUMBEL | {"action_dim": 2, "num_sampled_actions": 4, "num_actions": 0},
}  # fmt: skip
DRAWS = [name for name in KINDS if any(w in name for w in ("random", "sampled", "some", "vectors"))]
of_every_kind = pytest.mark.parametrize("kind", KINDS)


def spec_of(kind, **more):
    settings = {"num_simulations": S, "num_actions": 4, "discount": 0.75}
    return TreeSpec(**{**settings, **KINDS[kind], **more})


def mazes_of(spec, count, first=0, told=None):
    told = {"reward", "ends", "players"} if told is None else set(told)
    if spec.is_continuous:
        return mazes(count, first, num_moves=2 * spec.action_dim, told=frozenset(told))
    told |= {"legal"} | ({"chance"} if spec.num_chance_outcomes else set())
    outcomes = spec.num_chance_outcomes
    return mazes(
        count, first, num_moves=spec.num_actions, num_outcomes=outcomes, told=frozenset(told)
    )


def explore(make, spec, games, **given):
    """Search mazes with what they drew for themselves."""
    opinion = drawn_vectors if spec.is_continuous else drawn_opinion
    given.setdefault("guess", opinion)
    return look(make, spec, games, **given)


def seeds(count, first=0):
    return np.arange(first, first + count, dtype=np.uint64)


def same(one, other, rows=slice(None)):
    """Whether two results, or two snapshots, hold the same bits; of `other`, only some rows."""
    pairs = [(dict(r) if isinstance(r, dict) else r._asdict()) for r in (one, other)]
    for name, array in pairs[0].items():
        wanted = pairs[1][name]
        if array is None or wanted is None:
            assert array is wanted
        elif array.tobytes() != wanted[rows].tobytes():
            return False
    return True


# --- visits and values ----------------------------------------------------------------------------


@of_every_kind
def test_each_simulation_gives_the_root_one_visit_through_an_edge_that_is_allowed(make, kind):
    spec = spec_of(kind)
    result, tree = explore(make, spec, mazes_of(spec, 8), seeds=seeds(8))
    nodes = tree.snapshot()

    assert result.visit_count.sum(axis=1).tolist() == [S] * 8
    assert nodes["node_visits"][:, 0].tolist() == [S + 1] * 8
    assert not nodes["edge_visits"][nodes["prior"] == 0].any()
    assert not nodes["edge_visits"][nodes["terminal"]].any()


@of_every_kind
def test_a_node_is_worth_the_mean_of_all_returns_seen_there(make, kind):
    """Also the root, and so no value leaves the range of the returns."""
    spec, visited = spec_of(kind), []
    games = mazes_of(spec, 6)
    _, tree = explore(make, spec, games, seeds=seeds(6), visited=visited)
    nodes = tree.snapshot()
    deepest = 0
    for b in range(6):
        returns, depth = returns_of(
            {name: array[b] for name, array in nodes.items()}, visited, b, spec
        )
        deepest = max(deepest, depth)
        for node, seen in returns.items():
            assert nodes["node_values"][b, node] == pytest.approx(np.mean(seen), abs=1e-12)
            low, high = min(seen) - 1e-12, max(seen) + 1e-12
            assert low <= nodes["node_values"][b, node] <= high
    assert deepest >= 3


def returns_of(nodes, visited, b, spec):
    """All returns that each node of one tree has seen, its own value first; and the depth."""
    returns, deepest = {0: [nodes["raw_values"][0]]}, 0
    if spec.root_expand_all:
        first, visited = visited[0].reshape(spec.num_edges, -1)[:, b], visited[1:]
        known = [node for node in first if nodes["node_visits"][node] > 0]
        returns |= {int(node): [nodes["raw_values"][node]] for node in known}
    for node in (int(found[b]) for found in visited):
        gain, path = nodes["raw_values"][node], []
        if nodes["terminal"][node] or node not in returns:
            returns.setdefault(node, []).append(gain)
        while node:
            edge, node = nodes["action_from_parent"][node], int(nodes["parents"][node])
            gain = nodes["edge_rewards"][node, edge] + nodes["edge_discounts"][node, edge] * gain
            returns[node].append(gain)
            path.append(node)
        deepest = max(deepest, len(path))
    return returns, deepest


@pytest.mark.parametrize("kind", ["puct, all edges of the root", "puct, vectors"])
def test_all_edges_of_a_root_have_their_worth_before_the_first_visit(make, kind):
    spec = spec_of(kind, num_simulations=1)
    result, tree = explore(make, spec, mazes_of(spec, 6), seeds=seeds(6))
    nodes, edges = tree.snapshot(), np.arange(spec.num_edges)
    allowed = nodes["prior"][:, 0, : spec.num_edges] > 0
    behind = nodes["node_values"][:, edges + 1]
    worth = nodes["edge_rewards"][:, 0, edges] + nodes["edge_discounts"][:, 0, edges] * behind

    assert ((nodes["node_visits"][:, edges + 1] > 0) == allowed).all()
    assert (result.q_value == np.where(allowed, worth, 0.0)).all()
    assert np.count_nonzero(result.q_value) > 6
    assert (result.num_evaluations >= allowed.sum(axis=1)).all()


@of_every_kind
def test_without_reward_or_value_anywhere_every_state_is_worth_nothing(make, kind):
    spec = spec_of(kind)

    def worthless(game):
        return 0.0, (drawn_vectors if spec.is_continuous else drawn_opinion)(game)[1]

    games = mazes_of(spec, 4, told={"players"})
    result, tree = explore(make, spec, games, seeds=seeds(4), guess=worthless)

    assert not result.value.any()
    assert not result.q_value.any()
    assert not tree.snapshot()["node_values"].any()


def test_value_prefixes_of_a_simulator_find_what_its_rewards_find(make):
    """Rewards of quarters add up without rounding, so both searches are the same in every bit."""
    for rule in ({}, GUMBEL):
        for horizon in (1, 2, 5):
            spec = TreeSpec(num_simulations=S, num_actions=4, discount=0.5, **rule)
            told = attrs.evolve(spec, value_prefix=True, lstm_horizon_len=horizon)
            games = mazes_of(spec, 6)
            (plain, tree), (summed, other) = (explore(make, s, games) for s in (spec, told))

            assert same(plain, summed)
            assert same(tree.snapshot(), other.snapshot())
            assert other.snapshot()["is_reset"].any()


# --- company --------------------------------------------------------------------------------------


@of_every_kind
def test_a_root_finds_the_same_alone_and_in_any_company(make, kind):
    spec = spec_of(kind)
    games, keys = mazes_of(spec, 7), seeds(7, first=3)
    together, tree = explore(make, spec, games, seeds=keys)
    for rows in ([0], [6], [4, 2, 0, 6, 5, 1, 3]):
        result, other = explore(make, spec, [games[b] for b in rows], seeds=keys[rows])

        assert same(result, together, rows)
        assert same(other.snapshot(), tree.snapshot(), rows)


@of_every_kind
def test_equal_seeds_give_equal_bits_and_others_matter_only_where_something_is_drawn(make, kind):
    spec = spec_of(kind)
    games = mazes_of(spec, 8)
    first, again, other = (explore(make, spec, games, seeds=seeds(8, k))[1] for k in (0, 0, 99))

    assert same(first.snapshot(), again.snapshot())
    assert same(first.snapshot(), other.snapshot()) == (kind not in DRAWS)


@of_every_kind
def test_a_search_leaves_nothing_behind_in_its_tree(make, kind):
    spec, keys = spec_of(kind), seeds(6)
    games = mazes_of(spec, 6)
    used = make(spec)
    explore(lambda _: used, spec, mazes_of(spec, 9, first=10**6), seeds=seeds(9))
    result, _ = explore(lambda _: used, spec, games, seeds=keys)
    wanted, fresh = explore(make, spec, games, seeds=keys)

    assert same(result, wanted)
    assert same(used.snapshot(), fresh.snapshot())


# --- players --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fpu", Fpu.__args__)
def test_swapping_the_names_of_the_players_changes_nothing(make, fpu):
    spec = TreeSpec(num_simulations=S, num_actions=6, fpu=fpu)
    results = [look(make, spec, [Nim((3, 2), player)])[0] for player in (1, 2)]

    assert same(*results)


@pytest.mark.parametrize("fpu", sorted(set(Fpu.__args__) - {"minizero"}))
def test_players_that_alternate_are_one_player_with_a_negative_discount(make, fpu):
    """Where discounts are told, sign included, only `minizero` still asks who plays."""
    spec = TreeSpec(num_simulations=S, num_actions=9, discount=0.75, fpu=fpu)
    games = [TicTacToe.drawn(p) for p in ("XX. OO. ...", "X.. .O. ...", "... ... ...")]
    two, tree = look(make, spec, games)
    one, other = look(make, spec, games, tells={"legal_actions", "terminal", "discount"})
    nodes, others = dict(tree.snapshot()), dict(other.snapshot())

    assert same(two, one)
    assert set(nodes.pop("to_play")[nodes["node_visits"] > 0].tolist()) == {1, 2}
    assert set(others.pop("to_play").ravel().tolist()) == {-1}
    assert same(nodes, others)


# --- sampled actions ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{}, {"tie_break": "random", "fpu": "zero"}, GUMBEL])
@pytest.mark.parametrize("more", [{}, {"num_chance_outcomes": 3}, {"value_prefix": True}])
def test_a_sample_of_all_allowed_actions_is_the_search_without_sampling(make, rule, more):
    """Also where actions are masked, and where slots stay empty: node for node, bit for bit."""
    plain = TreeSpec(num_simulations=S, num_actions=6, **{**rule, **more})
    games = mazes_of(plain, 12)
    wanted, tree = explore(make, plain, games, seeds=seeds(12))
    for num_sampled in (6, 9):
        spec = attrs.evolve(plain, num_sampled_actions=num_sampled)
        result, other = explore(make, spec, games, seeds=seeds(12))
        nodes, found = tree.snapshot(), other.snapshot()

        for name in ("value", "raw_value", "num_evaluations"):
            assert getattr(result, name).tobytes() == getattr(wanted, name).tobytes()
        for name in ("node_visits", "node_values", "to_play", "parents", "is_chance", "terminal"):
            assert found[name].tobytes() == nodes[name].tobytes()
        slots = found["sampled_actions"][..., 0]
        assert (slots[:, 0] >= 0).sum(axis=1).tolist() == [len(game.moves) for game in games]
        for name in ("edge_visits", "edge_rewards", "edge_discounts", "prior"):
            at = np.argwhere(slots >= 0)  # decision nodes only: (count, 3) of root, node, slot
            in_slots = found[name][tuple(at.T)]
            of_actions = nodes[name][at[:, 0], at[:, 1], slots[tuple(at.T)]]
            assert in_slots.tobytes() == of_actions.tobytes()


@pytest.mark.parametrize("kind", [name for name in KINDS if "some actions" in name])
def test_the_sampled_actions_of_a_node_are_rising_and_allowed_and_so_is_what_is_played(make, kind):
    spec = spec_of(kind, num_actions=7)
    games = mazes_of(spec, 10)
    result, _ = explore(make, spec, games, seeds=seeds(10))
    for game, slots, visits in zip(
        games, result.sampled_actions[..., 0], result.visit_count, strict=True
    ):
        held = slots[slots >= 0].tolist()
        assert held == sorted(set(held))
        assert set(held) <= set(game.moves)
        assert not visits[slots < 0].any()
        if "replacement" not in kind:
            assert len(held) == min(spec.num_edges, len(game.moves))


@pytest.mark.parametrize("kind", [k for k in KINDS if "some actions" in k or "vectors" in k])
def test_actions_that_an_earlier_search_sampled_can_be_given_to_the_next(make, kind):
    """As for stored states: the same search comes out, where the prior does not count draws."""
    spec = spec_of(kind)
    games = mazes_of(spec, 6)
    first, tree = explore(make, spec, games, seeds=seeds(6))
    vectors = first.sampled_actions if spec.is_continuous else first.sampled_actions[..., 0]
    again, other = explore(make, spec, games, seeds=seeds(6), root_actions=vectors)

    assert again.sampled_actions.tobytes() == first.sampled_actions.tobytes()
    if spec.sample_mode == "without_replacement" and spec.prior_mode == "empirical":
        assert same(again, first)
        assert same(other.snapshot(), tree.snapshot())


@pytest.mark.parametrize("mean", [-1000.0, 20.0])
def test_a_policy_that_is_sure_of_the_end_of_the_range_still_gives_vectors_inside_it(make, mean):
    spec = spec_of("puct, vectors")
    games = mazes_of(spec, 3)

    def sure(game):
        return game.outcome, [mean, -mean, 1e-3, 1.0]

    first, _ = explore(make, spec, games, seeds=seeds(3), guess=sure)
    vectors = first.sampled_actions
    assert (np.abs(vectors) > 0.999).all()
    assert (np.abs(vectors) < 1).all()
    again, _ = explore(make, spec, games, seeds=seeds(3), guess=sure, root_actions=vectors)
    assert same(again, first)


# --- reuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["puct", "puct, as EfficientZero"])
def test_a_search_told_what_it_would_find_behind_an_action_finds_its_worth(make, kind):
    """ReZero, with the value of the child that the plain search ended with."""
    spec = spec_of(kind)
    games = mazes_of(spec, 10)
    plain, tree = explore(make, spec, games)
    nodes, b = tree.snapshot(), np.arange(10)
    for rank in (-1, -2):  # of visits
        action = plain.visit_count.argsort(axis=1, kind="stable")[:, rank]
        taken = plain.visit_count[b, action] > 0
        at = (nodes["parents"] == 0) & (nodes["action_from_parent"] == action[:, None])
        value = np.where(taken, nodes["node_values"][b, at.argmax(axis=1)], 0.0)
        reuse = Reuse(np.where(taken, action, -1), value)
        result, _ = explore(make, spec, games, reuse=reuse)

        taken &= result.visit_count[b, action] > 0
        assert taken.sum() >= 5
        assert (result.q_value[b, action] == plain.q_value[b, action])[taken].all()
        assert (result.visit_count.sum(axis=1) == S).all()
        saved = S - result.num_evaluations
        assert (saved >= result.visit_count[b, action] - 1)[taken].all()


def test_where_nothing_is_known_a_search_with_reuse_is_the_plain_one(make):
    spec = spec_of("puct")
    games = mazes_of(spec, 6)
    nothing = Reuse(np.full(6, -1), np.full(6, np.nan))
    plain, told = (explore(make, spec, games, reuse=reuse)[0] for reuse in (None, nothing))

    assert same(plain, told)


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{}, GUMBEL])
def test_a_finished_game_is_evaluated_once_and_counts_at_each_visit(make, rule):
    spec, visited = TreeSpec(num_simulations=S, num_actions=9, **rule), []
    game = TicTacToe.drawn("XXO OOX X..")  # two empty squares: four states in all can follow
    result, tree = look(make, spec, [game], visited=visited)
    nodes = {name: array[0] for name, array in tree.snapshot().items()}
    used = np.flatnonzero(nodes["node_visits"])

    assert len(used) == 5
    assert result.num_evaluations.tolist() == [4]
    ends = used[nodes["terminal"][used]]
    assert len(ends) == 2
    returned = [int(node[0]) for node in visited]
    assert [nodes["node_visits"][m] for m in ends] == [returned.count(m) for m in ends]
    assert (nodes["node_values"][ends] == nodes["raw_values"][ends]).all()


@pytest.mark.parametrize("rule", [{}, {"root_expand_all": True}, {"max_depth": 1}, GUMBEL])
def test_a_game_may_be_over_after_any_move(make, rule):
    spec = TreeSpec(num_simulations=S, num_actions=3, **rule)
    result, tree = look(make, spec, [Catch(1, 2), Catch(2, 2), Catch(3, 2)])

    assert chosen(result).tolist() == [0, 1, 2]
    assert result.visit_count.sum(axis=1).tolist() == [S] * 3
    assert (tree.snapshot()["node_visits"] > 0).sum(axis=1).max() == 4
