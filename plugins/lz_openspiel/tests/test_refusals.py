"""Which games are refused, and in which words."""

from types import SimpleNamespace

import pyspiel
import pytest
from lz_openspiel.env import OpenSpielEnv
from lz_openspiel.loading import _unplayable
from lz_openspiel.simulator import OpenSpielGame

from lzcore.base import EnvError

NEEDS = (
    " A search needs a game for one player, or for two of whom one loses what the other wins, "
    "moving in turns and seeing everything."
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("goofspiel", "its players move at the same time."),
        ("leduc_poker", "its players do not see everything."),
        ("pig(players=3)", "it has 3 players."),
        ("stones_and_gems", "it does not tell how likely the outcomes of chance are."),
        ("morpion_solitaire", "OpenSpiel has no observation tensor of it."),
    ],
)
def test_games_that_a_search_cannot_play(name, reason):
    with pytest.raises(EnvError) as raised:
        OpenSpielGame(name)
    assert str(raised.value) == f"{name} cannot be played: {reason}{NEEDS}"


BOTH_WIN = """EFG 2 R "talk" { "one" "other" } ""
p "" 1 1 "" { "stay" "leave" } 0
t "" 1 "" { 3, 3 }
t "" 2 "" { 1, 0 }
"""


def test_a_game_that_both_could_win(tmp_path):
    file = tmp_path / "talk.efg"
    file.write_text(BOTH_WIN)
    with pytest.raises(EnvError, match="one player does not lose what the other wins"):
        OpenSpielGame(f"efg_game(filename={file})")


def test_a_game_for_two_with_rewards_on_the_way():
    """OpenSpiel has none with perfect information yet."""
    kind = pyspiel.load_game("tic_tac_toe").get_type()
    facts = {name: getattr(kind, name) for name in ("dynamics", "information", "utility")}
    facts["reward_model"] = pyspiel.GameType.RewardModel.REWARDS
    game = SimpleNamespace(get_type=lambda: SimpleNamespace(**facts), num_players=lambda: 2)

    assert _unplayable(game) == "it has two players and rewards before its end"


def test_a_name_that_does_not_exist_is_told_the_nearest():
    with pytest.raises(EnvError, match=r"has no game 'tictactoe'\. Did you mean 'tic_tac_toe'\?"):
        OpenSpielGame("tictactoe")


def test_a_parameter_that_does_not_exist_is_told_those_that_do(capfd):
    with pytest.raises(EnvError, match=r"cannot make 'connect_four\(row=3\)'.* rows, x_in_row"):
        OpenSpielGame("connect_four(row=3)")


def test_what_openspiel_says_ends_with_one_full_stop():
    with pytest.raises(EnvError, match=r"cannot make 'hex\(board_size=4': .*[^.]\.$"):
        OpenSpielEnv("open_spiel/hex(board_size=4", 1)


def test_an_environment_is_named_by_an_id():
    with pytest.raises(EnvError, match=r"named by an id; got 'OpenSpielGame'\. Write one such as"):
        OpenSpielEnv(OpenSpielGame("tic_tac_toe"), 1)
