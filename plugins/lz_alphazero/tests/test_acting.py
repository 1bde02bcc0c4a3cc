"""Positions to decisions: what is found, told and refused, and that it repeats itself."""

import numpy as np
import pytest
import torch

from lzcore.base import ConfigError, DecisionError, EnvError, Observed
from lzcore.testing.noughts import Noughts

GAME = Noughts()
WIDE = {"mcts.num_simulations": 200}
ALL = {  # settings with which each policy sees every action
    "alphazero": WIDE,
    "gumbel_alphazero": {
        **WIDE,
        "mcts.gumbel_scale": 0.0,
        "mcts.max_num_considered_actions": 9,
        "mcts.value_scale": 1.0,
    },
    "sampled_alphazero": {**WIDE, "mcts.num_of_sampled_actions": 9},
}
TACTICS = [("xx./oo./...", 2), ("x.x/.o./o..", 1), ("xx./o../...", 2), ("oo./x.x/x..", 2)]


# --- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "best"), TACTICS)
def test_an_untrained_network_wins_in_one_and_blocks(make_policy, ask, position, kind, text, best):
    """All but the third are won by the move; there it keeps x from winning."""
    found = ask(make_policy(kind, ALL[kind]), position(text))

    assert found[0]["action"] == best


def test_the_same_position_is_played_alike_by_either_colour(make_policy, ask, position, kind):
    """x to move with stones at 0 and 1, and o to move with these: both finish the line."""
    policy = make_policy(kind, ALL[kind])
    first, second = position("xx./oo./..."), position("oo./xx./x..")

    found = ask(policy, first, second)
    assert (found[0]["action"], found[1]["action"]) == (2, 2)
    if kind != "gumbel_alphazero":  # whose root has the mean of all the actions considered
        assert found.columns["searched_value"].min() > 0.5


def test_a_lost_position_looks_bad_to_the_player_who_moves(make_policy, ask, position):
    found = ask(make_policy("alphazero", WIDE), position("xx./x.o/.o."), position("oox/xx./o.."))

    # o to move cannot stop both lines of x; x to move wins at once
    assert found.columns["searched_value"][0] < -0.5
    assert found.columns["searched_value"][1] > 0.5


def test_leaves_that_reach_max_moves_are_drawn_unless_they_are_won(
    make_policy, counting_model, ask, position, kind
):
    """The network has its own opinion of them, and is not asked."""
    told = []
    for most in (5, 512):
        given = {**ALL[kind], "mcts.max_moves": most}
        policy = make_policy(kind, given, model=counting_model())
        search = ask(policy, position("xx./oo./...")).search
        told.append(set(search.q_value[search.visit_count > 0].tolist()))

    assert told[0] == {0.0, 1.0}
    assert not told[1] <= {0.0, 1.0}


# --- what is told ---------------------------------------------------------------------------------


def test_decisions_have_the_documented_keys_and_types(make_policy, ask, position, kind):
    policy = make_policy(kind)
    extra = {"gumbel_alphazero": {"improved_probs"}, "sampled_alphazero": {"root_sampled_actions"}}
    for mode in ("collect", "eval"):
        found = ask(policy, position("x../.o./..."), mode=mode, first=7)

        assert list(found) == [7]
        assert found[7].keys() == {"action", "probs"} | extra.get(kind, set())
        assert type(found[7]["action"]) is int
        assert found[7]["probs"].dtype == np.float32
        assert found[7]["probs"].sum() == pytest.approx(1.0)


def test_the_search_behind_a_decision_can_be_looked_into(make_policy, ask, position, kind):
    found = ask(make_policy(kind), position("x../.o./..."), mode="eval")

    assert found.search.visit_count[0].sum() > 0
    assert found.search.value[0] == pytest.approx(found.columns["searched_value"][0])


def test_illegal_actions_are_never_taken_nor_likely(make_policy, ask, position, kind):
    policy, state = make_policy(kind), position("xo./.x./o..")
    taken = {0, 1, 4, 6}
    for mode in ("collect", "eval"):
        for move in range(6):
            told = ask(policy, state, mode=mode, first=move)[move]
            assert told["action"] not in taken
            if kind == "sampled_alphazero":
                assert not taken & set(told["root_sampled_actions"].tolist())
            else:
                assert told["probs"].shape == (9,)
                assert not told["probs"][sorted(taken)].any()


def test_the_temperature_sharpens_what_is_told_and_learned(make_policy, ask, position):
    state = position("x../.o./...")
    noiseless = {"mcts.root_noise_weight": 0.0}
    warm, cold = (
        ask(make_policy("alphazero", noiseless), state, mode="collect", temperature=t)
        for t in (1.0, 0.5)
    )
    squared = warm[0]["probs"] ** 2

    assert cold[0]["probs"] == pytest.approx(squared / squared.sum(), rel=1e-5)
    assert cold.columns["probs"][0].tolist() == cold[0]["probs"].tolist()


def test_what_is_learned_may_have_a_temperature_of_its_own(make_policy, ask, position):
    given = {"target_temperature": 1.0, "mcts.root_noise_weight": 0.0}
    found = ask(
        make_policy("alphazero", given), position("x../.o./..."), mode="collect", temperature=0
    )

    assert sorted(set(found[0]["probs"].tolist())) == [0.0, 1.0]
    assert 0 < found.columns["probs"][0].max() < 1


def test_nobody_may_be_ready(make_policy, kind):
    policy = make_policy(kind)
    assert policy.collect_mode.forward({}) == {}
    assert policy.eval_mode.forward({}) == {}


def test_the_network_alone_tells_probabilities_of_legal_actions(
    make_policy, counting_model, position
):
    policy = make_policy(model=counting_model())
    policy._simulator = GAME
    state = position("xo./.x./o..")
    policy_of, value = policy._policy_value_fn(state)

    logits, raw = policy._model(torch.from_numpy(GAME.look([state]).observation))
    legal = [2, 3, 5, 7, 8]
    assert list(policy_of) == legal
    assert list(policy_of.values()) == pytest.approx(logits[0, legal].softmax(0).tolist())
    assert value == pytest.approx(raw.item())


def test_the_sampled_policy_has_that_under_its_own_name(make_policy, position):
    policy = make_policy("sampled_alphazero")
    policy._simulator = GAME
    state = position("x../.../...")
    assert policy._policy_value_func(state) == policy._policy_value_fn(state)


# --- noise, and that it repeats itself ------------------------------------------------------------


def test_a_decision_does_not_depend_on_who_else_is_ready(
    make_policy, counting_model, ask, position, kind
):
    states = [position(t) for t in ("x../.../...", "xo./.../...", ".../.x./...", "x../.o./..x")]
    together = ask(make_policy(kind, model=counting_model()), *states, mode="collect")
    for env, state in enumerate(states):
        alone = ask(make_policy(kind, model=counting_model()), state, mode="collect", first=env)
        for name, values in together.columns.items():
            assert alone.columns[name][0].tolist() == values[env].tolist(), name


def test_an_iteration_repeats_itself_and_the_next_one_differs(make_policy, ask, position, kind):
    policy, state = make_policy(kind), position("x../.../...")

    def moves(iteration):
        policy.begin_iteration(iteration)
        return [str(dict(ask(policy, state, mode="collect")[0])) for _ in range(4)]

    first = moves(0)
    assert moves(0) == first
    assert moves(1) != first
    assert len(set(first)) > 1  # noise is fresh in every search


def test_evaluation_has_no_noise(make_policy, counting_model, ask, position, kind):
    given = {} if kind != "sampled_alphazero" else {"mcts.num_of_sampled_actions": 9}
    name = "gumbel_scale" if kind == "gumbel_alphazero" else "root_noise_weight"
    noisy, noiseless = (
        make_policy(kind, more | given, model=counting_model())
        for more in ({f"mcts.{name}": 1.0}, {f"mcts.{name}": 0.0})
    )
    found = [ask(noisy, position("x../.../..."))[0]["probs"].tolist() for _ in range(3)]

    assert found == [ask(noiseless, position("x../.../..."))[0]["probs"].tolist()] * 3


def test_both_trees_decide_alike(make_policy, counting_model, ask, position, kind):
    pytest.importorskip("lz_ptree", reason="the readable tree is a distribution of its own")
    states = position("x../.../..."), position("x../.o./..x")
    trees = "lz_ctree", "lz_ptree"
    policies = [make_policy(kind, {"tree": tree}, model=counting_model()) for tree in trees]
    one, other = (ask(policy, *states, mode="collect") for policy in policies)

    for name, values in one.columns.items():
        assert values.tolist() == other.columns[name].tolist(), name


# --- the variants ---------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_recorded_network_decides_alike_to_the_bit(
    make_policy, ask, position, kind, precision, monkeypatch
):
    monkeypatch.setattr("lzcore.search.traced.WORTH", 0)
    given = {"precision": precision}
    plain, traced = (make_policy(kind, {**given, "record_network": on}) for on in (False, True))
    games = position("x../.o./..."), position("..x/.o./x.."), position(".../.../...")
    for some in (games, games[:1], games[1:]):
        one, other = ask(plain, *some), ask(traced, *some)
        for name in ("action", "searched_value", "probs"):
            np.testing.assert_array_equal(one.columns[name], other.columns[name])
    [program] = traced._evaluate._ask._programs.values()
    assert program is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.filterwarnings("error")  # a network that cannot be recorded says so
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_decides_alike_with_recordings_and_without(
    make_policy, ask, position, kind, precision
):
    given = {"cuda": True, "precision": precision}
    plain, graphs = (make_policy(kind, {**given, "record_network": on}) for on in (False, True))
    games = position("x../.o./..."), position("..x/.o./x..")
    for _ in range(2):  # recorded, and replayed
        one, other = ask(plain, *games), ask(graphs, *games)
        assert one.columns["action"].tolist() == other.columns["action"].tolist()
        np.testing.assert_allclose(
            one.columns["searched_value"], other.columns["searched_value"], atol=1e-3
        )


def test_gumbel_plays_the_winner_of_the_halving(make_policy, ask, position):
    """With scale 0 that is the best of the considered actions, in collection as in evaluation."""
    policy = make_policy("gumbel_alphazero", ALL["gumbel_alphazero"])
    state = position("xx./oo./...")

    assert {ask(policy, state, mode=m)[0]["action"] for m in ("collect", "eval")} == {2}
    assert ask(policy, state, mode="collect")[0]["improved_probs"].argmax() == 2


def test_gumbel_learns_a_policy_over_legal_actions(make_policy, ask, position):
    told = ask(make_policy("gumbel_alphazero"), position("xo./.x./o.."), mode="collect")[0]

    assert told["improved_probs"][[0, 1, 4, 6]].tolist() == [0, 0, 0, 0]
    assert told["improved_probs"].sum() == pytest.approx(1.0)


def test_fewer_legal_actions_than_slots_are_all_of_them(make_policy, ask, position):
    policy = make_policy("sampled_alphazero", {"mcts.num_of_sampled_actions": 5})
    found = ask(policy, position("xox/oxo/o.."), position("x../.../..."), mode="collect")

    assert found[0]["root_sampled_actions"].tolist() == [7, 8]
    assert found[0]["probs"].shape == (2,)
    assert found.columns["root_sampled_actions"][0].tolist() == [7, 8, -1, -1, -1]
    assert found.columns["probs"][0, 2:].tolist() == [0, 0, 0]
    assert len(found[1]["root_sampled_actions"]) == 5


def test_with_all_actions_sampled_it_is_alphazero(make_policy, counting_model, ask, position):
    noiseless = {"mcts.root_noise_weight": 0.0}
    plain = make_policy("alphazero", noiseless, model=counting_model())
    given = {**noiseless, "mcts.num_of_sampled_actions": 9}
    sampled = make_policy("sampled_alphazero", given, model=counting_model())
    state = position("x../.o./...")

    one, other = ask(plain, state)[0], ask(sampled, state)[0]
    legal = other["root_sampled_actions"]
    assert one["action"] == other["action"]
    assert one["probs"][legal].tolist() == other["probs"].tolist()


# --- what is asked, and what is refused -----------------------------------------------------------


class Boards(Noughts):
    """The game with the documented way in by a board alone."""

    def from_board(self, board, current_player_index):
        state = tuple(int(cell) for cell in np.ravel(board))
        assert sum(cell > 0 for cell in state) % 2 == current_player_index
        return state


def test_a_board_serves_where_the_simulator_reads_boards(make_policy, position):
    policy = make_policy("alphazero", WIDE)
    policy._simulator = Boards()
    cells = np.array(position("xx./oo./...")).reshape(3, 3)
    obs = {3: {"board": cells, "current_player_index": 0, "to_play": 1, "katago_game_state": None}}

    assert policy.eval_mode.forward(obs)[3]["action"] == 2


def test_without_a_position_nothing_is_decided(make_policy, position):
    policy = make_policy()
    for simulator, expected in ((Noughts(), "expected 'state', as"), (Boards(), "or 'board' and")):
        policy._simulator = simulator
        with pytest.raises(DecisionError, match=f"environment 5 has .*{expected}"):
            policy.eval_mode.forward({5: {"observation": None}})


def test_a_finished_game_is_refused_by_the_name_of_its_environment(make_policy, ask, position):
    with pytest.raises(ValueError, match="in environment 4: the game is over"):
        ask(make_policy(), position("xxx/oo./..."), first=4)


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_a_temperature_below_zero_is_refused(make_policy, ask, position, temperature):
    with pytest.raises(DecisionError, match="temperature is"):
        ask(make_policy(), position("x../.../..."), mode="collect", temperature=temperature)


def test_a_network_that_has_lost_its_numbers_is_refused(make_policy, counting_model, ask, position):
    model = counting_model()
    model.weights.data[:] = float("nan")
    with pytest.raises(DecisionError, match=r"is nan, at root 0.*environments \[0\]"):
        ask(make_policy(model=model), position("x../.../..."))


def test_an_environment_without_rules_is_refused_in_one_line(make_policy):
    seen = Observed(np.arange(1), np.zeros((1, 3, 3, 3)), None, np.array([-1]), np.zeros(1))
    with pytest.raises(EnvError, match="does not tell its rules") as caught:
        make_policy().decide("collect", seen)
    assert "\n" not in str(caught.value)


def test_a_game_with_another_number_of_actions_is_refused(make_policy, ask, position):
    policy = make_policy("alphazero", {"model.action_space_size": 7})
    with pytest.raises(ConfigError, match="is 7, but that of the game is 9"):
        ask(policy, position("x../.../..."))


def test_without_a_run_the_game_must_be_named(make_policy, position):
    with pytest.raises(ConfigError, match="simulation_env_id is not set"):
        make_policy().eval_mode.forward({0: {"state": position("x../.../...")}})


def test_an_environment_that_tells_no_rules_is_no_simulation(make_policy):
    policy = make_policy("alphazero", {"simulation_env_id": "CartPole-v1"})
    with pytest.raises(ConfigError, match=r"simulation_env_id = 'CartPole-v1': .*tell its rules"):
        policy._get_simulation_env()
