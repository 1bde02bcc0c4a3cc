"""The game that a policy is asked about: one that its network is made for, and one that goes on."""

import pytest

from lzcore.testing.noughts import Noughts


def test_a_game_that_shows_something_else_than_the_network_reads_is_refused(
    make_policy, ask, position
):
    policy = make_policy(given={"model.observation_shape": (2, 3, 3)})
    told = r"model\.observation_shape is \(2, 3, 3\), but that of the game is \(3, 3, 3\); make"
    with pytest.raises(ValueError, match=told):
        ask(policy, position(".../.../..."))


def test_of_a_finished_game_the_outcome_is_told_instead_of_the_networks_view(make_policy, position):
    policy = make_policy()
    policy._simulator = Noughts()

    assert policy._policy_value_fn(position("xxx/oo./...")) == ({}, -1.0)


class Misere(Noughts):
    """Who finishes a line has lost."""

    def look(self, states):
        seen = super().look(states)
        return seen._replace(value=-seen.value)


def test_another_game_of_the_same_shapes_is_searched_by_its_own_rules(
    make_policy, counting_model, ask, position, kind
):
    given = {} if kind != "sampled_alphazero" else {"mcts.num_of_sampled_actions": 9}
    policy = make_policy(kind, {"mcts.num_simulations": 60} | given, model=counting_model())
    state = position("xx./oo./...")  # x finishes a line with 2

    assert ask(policy, state)[0]["action"] == 2
    policy._simulator = Misere()
    assert policy.eval_mode.forward({0: {"state": state}})[0]["action"] != 2
