"""The distribution and all that it brings keep the promises that `lzcore.testing` checks."""

from lzcore.testing import parametrize_with_checks
from lzcore.testing.kit import parametrize_subjects
from lzcore.testing.subject import Subject

GAMES = ("tic_tac_toe", "connect_four", "2048", "backgammon", "hex(board_size=4)")


@parametrize_with_checks("lz-openspiel")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("mcts", env="open_spiel/tic_tac_toe", settings={"argument": "50"})
def test_its_search_keeps_the_promises_of_opponents(subject, check):
    check(subject)


@parametrize_subjects(*(Subject("open_spiel", "env", env=f"open_spiel/{name}") for name in GAMES))
def test_games_are_environments_that_keep_their_promises(subject, check):
    check(subject)


@parametrize_subjects(*(Subject(f"open_spiel/{name}", "simulator") for name in GAMES))
def test_rules_keep_their_promises(subject, check):
    check(subject)
