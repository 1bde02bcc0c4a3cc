"""OpenSpiel's rules through the eyes of a search: the same as OpenSpiel's own."""

import numpy as np
import pyspiel
import pytest
from lz_openspiel.simulator import OpenSpielGame

FOR_TWO = [
    "tic_tac_toe",
    "connect_four(rows=5)",
    "othello",
    "hex(board_size=4)",
    "go(board_size=5)",
]
FOR_TWO += ["chess", "mnk(m=5,n=5,k=4)"]
WITH_CHANCE = ["backgammon", "pig(winscore=15)", "einstein_wurfelt_nicht", "2048", "catch"]


def seeds(count):
    return np.arange(count, dtype=np.uint64)


def random_plays(name, count=10, most=300, seed=0):
    """Play `count` games at once; yield the simulator, OpenSpiel's states, ours, and a look."""
    game, draws = OpenSpielGame(name), np.random.default_rng(seed)
    ours = game.begin(seeds(count))
    theirs = [state.game.clone() for state in ours]
    for _ in range(most):
        seen = game.look(ours)
        yield game, theirs, ours, seen
        going = np.flatnonzero(~seen.terminal)
        if not len(going):
            return
        theirs = [theirs[row] for row in going]
        action = np.array([draws.choice(possible(state)) for state in theirs])
        for state, taken in zip(theirs, action.tolist(), strict=True):
            state.apply_action(taken)
        ours = game.play([ours[row] for row in going], action)


def possible(state):
    chances = state.is_chance_node()
    return [o for o, _ in state.chance_outcomes()] if chances else state.legal_actions()


@pytest.mark.parametrize("name", FOR_TWO + WITH_CHANCE)
def test_ten_random_games_are_those_of_openspiel(name):
    for _, theirs, ours, seen in random_plays(name):
        assert [str(state.game) for state in ours] == [str(state) for state in theirs]
        assert seen.terminal.tolist() == [state.is_terminal() for state in theirs]
        for row, state in enumerate(theirs):
            plays = state.current_player() >= 0
            legal = state.legal_actions() if plays else []
            assert np.flatnonzero(seen.legal_actions[row]).tolist() == legal
            movers = [taken.player for taken in state.full_history() if taken.player >= 0]
            assert seen.ply[row] == len(movers)


@pytest.mark.parametrize("name", [*FOR_TWO, *WITH_CHANCE[:3]])
def test_of_two_players_the_one_to_move_is_told_and_outcomes_are_his(name):
    ends = 0
    for _, theirs, _, seen in random_plays(name):
        for row, state in enumerate(theirs):
            player = state.current_player()
            movers = [taken.player for taken in state.full_history() if taken.player >= 0]
            if player < 0:  # at chance's turn who moved last, at the end the other one
                player = movers[-1] if state.is_chance_node() else 1 - movers[-1]
            assert seen.to_play[row] == player + 1
            won = state.returns()[player] if state.is_terminal() else 0
            assert seen.value[row] == won
            ends += state.is_terminal()
        assert not seen.reward.any()
    assert ends == 10 or name in ("chess", "backgammon", "einstein_wurfelt_nicht")


def test_a_won_game_is_lost_for_who_would_move():
    game = OpenSpielGame("tic_tac_toe")
    state = game.begin(seeds(1))
    for ply, move in enumerate([0, 3, 1, 4, 8, 5]):  # o takes the second row
        assert game.look(state).to_play.tolist() == [1 + ply % 2]
        state = game.play(state, np.array([move]))
    seen = game.look(state)

    assert (seen.terminal[0], seen.to_play[0], seen.value[0]) == (True, 1, -1)


def test_values_are_a_share_of_the_most_that_can_be_won():
    game = OpenSpielGame("backgammon(scoring_type=full_scoring)")
    states = game.begin(seeds(6))
    draws, won = np.random.default_rng(2), []
    while len(states):
        states = game.play(states, np.array([draws.choice(possible(s.game)) for s in states]))
        seen = game.look(states)
        won += np.abs(seen.value[seen.terminal]).tolist()
        states = [states[row] for row in np.flatnonzero(~seen.terminal)]

    assert len(won) == 6
    assert set(np.round(np.array(won) * 3)) <= {1, 2, 3}
    assert max(won) <= 1


@pytest.mark.parametrize("name", WITH_CHANCE)
def test_chances_are_those_of_openspiel(name):
    rolled = 0
    for game, theirs, _, seen in random_plays(name, most=40):
        assert seen.chance.shape == (len(theirs), game.num_outcomes)
        for row, state in enumerate(theirs):
            expected = np.zeros(game.num_outcomes)
            for outcome, chance in state.chance_outcomes() if state.is_chance_node() else ():
                expected[outcome] = chance
            assert (seen.chance[row] == expected).all()
            rolled += state.is_chance_node()
    assert rolled or name == "catch"


def test_a_game_without_chance_tells_none():
    game = OpenSpielGame("tic_tac_toe")

    assert game.num_outcomes == 0
    assert game.look(game.begin(seeds(2))).chance is None


def test_what_begins_with_chance_begins_behind_it_by_the_seed():
    game = OpenSpielGame("2048")
    texts = [str(state.game) for state in game.begin(seeds(20))]

    assert len(set(texts)) > 10
    assert [str(state.game) for state in game.begin(seeds(20)[::-1])] == texts[::-1]
    assert (game.look(game.begin(seeds(20))).chance == 0).all()


@pytest.mark.parametrize("name", ["2048", "cliff_walking", "catch"])
def test_rewards_of_one_player_add_up_to_the_return(name):
    game, draws = OpenSpielGame(name), np.random.default_rng(4)
    states, total = game.begin(seeds(1)), 0.0
    for _ in range(5000):
        seen = game.look(states)
        total += seen.reward[0]
        if seen.terminal[0]:
            break
        before = states[0].game.player_return(0)
        states = game.play(states, np.array([draws.choice(possible(states[0].game))]))
        given = states[0].game.player_return(0) - before
        assert game.look(states).reward[0] == given
    assert seen.terminal[0]
    assert total == states[0].game.returns()[0] != 0
    assert seen.to_play[0] == -1
    assert seen.value[0] == 0


# --- positions stay what they are -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["connect_four", "backgammon", "2048"])
def test_playing_on_leaves_positions_and_what_was_seen_of_them_alone(name):
    game = OpenSpielGame(name)
    states = game.begin(seeds(3))
    texts, seen = [str(state.game) for state in states], game.look(states)
    shown = seen.observation.copy()
    first = [possible(state.game)[0] for state in states]
    last = [possible(state.game)[-1] for state in states]
    one = game.play(states, np.array(first))
    other = game.play(states, np.array(last))
    game.look(one)
    game.play(one, np.array([possible(state.game)[0] for state in one]))

    assert [str(state.game) for state in states] == texts
    assert (seen.observation == shown).all()
    assert all(str(a.game) != str(b.game) for a, b in zip(one, other, strict=True))


def test_a_row_does_not_depend_on_the_others():
    game = OpenSpielGame("connect_four")
    states = game.begin(seeds(3))
    states = game.play(states, np.array([0, 3, 6]))
    together, alone = game.look(states), game.look(states[1:2])

    for whole, part in zip(together, alone, strict=True):
        assert whole is None or (whole[1:2] == part).all()
    assert len(game.look([]).observation) == 0


@pytest.mark.parametrize("action", [4, 9, -1])
def test_what_is_not_legal_is_refused_with_its_row(action):
    game = OpenSpielGame("tic_tac_toe")
    states = game.play(game.begin(seeds(3)), np.array([0, 4, 8]))
    with pytest.raises(ValueError, match=f"Action {action} is not legal in row 1"):
        game.play(states, np.array([1, action, 2]))


def test_what_is_over_cannot_go_on():
    game = OpenSpielGame("tic_tac_toe")
    states = game.begin(seeds(1))
    for move in (0, 3, 1, 4, 2):
        states = game.play(states, np.array([move]))
    with pytest.raises(ValueError, match="Action 8 is not legal in row 0"):
        game.play(states, np.array([8]))


# --- observations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["connect_four", "chess", "go(board_size=5)", "backgammon", "pig"])
def test_observations_are_openspiels_and_whether_player_1_moves(name):
    for game, theirs, _, seen in random_plays(name, count=3, most=12):
        assert seen.observation.dtype == np.float32
        assert seen.observation.shape == (len(theirs), *game.spaces.frame_shape)
        for row, state in enumerate(theirs):
            tensor = np.array(state.observation_tensor(int(seen.to_play[row]) - 1), np.float32)
            shown = seen.observation[row].reshape(-1)
            assert (shown[: len(tensor)] == tensor).all()
            assert (shown[len(tensor) :] == (seen.to_play[row] == 1)).all()
            assert len(shown) > len(tensor)


@pytest.mark.parametrize(
    ("name", "shape", "kind", "actions", "outcomes", "players"),
    [
        ("tic_tac_toe", (4, 3, 3), "board", 9, 0, 2),
        ("connect_four(rows=5)", (4, 5, 7), "board", 7, 0, 2),
        ("go(board_size=9)", (5, 9, 9), "board", 82, 0, 2),
        ("backgammon", (201,), "vector", 1352, 36, 2),
        ("pig", (304,), "vector", 2, 6, 2),  # two axes, but no board
        ("2048", (1, 4, 4), "board", 4, 33, 1),
    ],
)
def test_spaces_are_the_games(name, shape, kind, actions, outcomes, players):
    game = OpenSpielGame(name)

    assert game.spaces.frame_shape == shape
    assert game.spaces.kind == kind
    assert game.spaces.action.size == actions
    assert game.num_outcomes == outcomes
    assert game.spaces.players == players


def test_tiles_of_2048_are_shown_by_their_logarithm():
    game = OpenSpielGame("2048")
    states = game.begin(seeds(4))
    tiles = np.array([s.game.observation_tensor(0) for s in states]).reshape(4, 1, 4, 4)
    shown = game.look(states).observation

    assert set(tiles[shown == 1 / 16]) == {2}
    assert set(tiles[shown == 0]) == {0}
    assert np.isclose(2 ** (16 * shown[tiles > 0]), tiles[tiles > 0]).all()


# --- for people -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "action", "called"),
    [("tic_tac_toe", 5, "x(1,2)"), ("chess", 89, "a3"), ("checkers", 290, None), ("nim", 0, None)],
)
def test_actions_have_names_of_one_word(name, action, called):
    game = OpenSpielGame(name)
    state = game.begin(seeds(1))[0]
    action = action if called else state.game.legal_actions()[0]
    told = game.name_of(state, action)

    assert len(told.split()) == 1
    assert called is None or told == called


def test_a_position_is_drawn_as_openspiel_does():
    game = OpenSpielGame("tic_tac_toe")
    [state] = game.play(game.begin(seeds(1)), np.array([4]))

    assert game.draw(state) == "...\n.x.\n..."


def test_outcomes_of_chance_have_names_too():
    game = OpenSpielGame("pig")
    [state] = game.play(game.begin(seeds(1)), np.array([0]))

    assert game.name_of(state, 2) == "".join(
        state.game.action_to_string(pyspiel.PlayerId.CHANCE, 2).split()
    )
