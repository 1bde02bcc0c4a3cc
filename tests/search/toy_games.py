"""Games of a few lines whose best move a reader can see, and their exact solution.

A game is a value: `play` returns the state after a move and leaves the old one as it is. Where
`chances` is given, chance moves: the moves are its outcomes. All numbers are for the player to
move, rewards for the player who made the move; nothing is discounted.
"""

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol

import numpy as np


class Game(Protocol):
    """What the toy games have in common."""

    to_play: int  # -1 with one player, else 1 or 2
    is_over: bool
    outcome: float  # of a game that is over, for the player to move
    moves: tuple[int, ...]
    chances: tuple[float, ...] | None  # of the moves, where chance moves

    def play(self, move: int) -> tuple["Game", float]: ...


@cache
def solve(game):
    """Return the exact value for the player to move, by trying everything."""
    if game.is_over:
        return game.outcome
    worth = [worth_of(game, move) for move in game.moves]
    if game.chances is not None:
        return float(np.dot(game.chances, worth))
    return max(worth)


def worth_of(game, move):
    """Return the exact worth of a move for the player who makes it."""
    after, reward = game.play(move)
    return reward + (1 if after.to_play == game.to_play else -1) * solve(after)


def best_moves(game):
    """Return the set of moves that lose nothing."""
    return {m for m in game.moves if abs(worth_of(game, m) - solve(game)) < 1e-12}


@dataclass(frozen=True)
class Catch:
    """A ball falls one row a move; a paddle in the lowest row should be where it lands."""

    ball: int
    paddle: int
    height: int = 1  # rows between ball and paddle; 1 is two-row Catch
    columns: int = 5
    to_play = -1
    outcome = 0.0
    moves = (0, 1, 2)  # left, stay, right
    chances = None

    @property
    def is_over(self):
        return self.height == 0

    def play(self, move):
        paddle = min(max(self.paddle + move - 1, 0), self.columns - 1)
        after = Catch(self.ball, paddle, self.height - 1, self.columns)
        landed = 1.0 if paddle == self.ball else -1.0
        return after, landed if after.is_over else 0.0


@dataclass(frozen=True)
class Nim:
    """Players take one to three stones from one heap; who takes the last stone wins.

    The player to move has lost if the binary digital sum of `heap % 4` over the heaps is 0.
    """

    heaps: tuple[int, ...]
    to_play: int = 1
    outcome = -1.0  # the other player took the last one
    chances = None

    @property
    def is_over(self):
        return not any(self.heaps)

    @property
    def moves(self):
        """Move m takes m % 3 + 1 stones from heap m // 3."""
        most = 3 * len(self.heaps)
        return tuple(m for m in range(most) if m % 3 + 1 <= self.heaps[m // 3])

    def play(self, move):
        heaps = list(self.heaps)
        heaps[move // 3] -= move % 3 + 1
        return Nim(tuple(heaps), 3 - self.to_play), 0.0


LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclass(frozen=True)
class TicTacToe:
    """Nine squares as nine letters, row after row. X, who is player 1, begins."""

    board: str
    chances = None

    @classmethod
    def drawn(cls, picture):
        """Read a board from a picture with spaces between its rows."""
        return cls(picture.replace(" ", ""))

    @property
    def to_play(self):
        return 1 if self.board.count("X") == self.board.count("O") else 2

    @property
    def won(self):
        """Whether the player who moved last has three in a line."""
        mark = "OX"[self.to_play - 1]
        return any(all(self.board[i] == mark for i in line) for line in LINES)

    @property
    def is_over(self):
        return self.won or "." not in self.board

    @property
    def outcome(self):
        return -1.0 if self.won else 0.0

    @property
    def moves(self):
        return tuple(i for i, mark in enumerate(self.board) if mark == ".")

    def play(self, move):
        mark = "XO"[self.to_play - 1]
        return TicTacToe(self.board[:move] + mark + self.board[move + 1 :]), 0.0


def boards(empty):
    """Return all unfinished TicTacToe positions with so many empty squares, in a fixed order."""
    found = {TicTacToe("." * 9)}
    for _ in range(9 - empty):
        found = {game.play(m)[0] for game in found for m in game.moves}
        found = {game for game in found if not game.is_over}
    return sorted(found, key=lambda game: game.board)


DICE = (
    ((1.0, 2.0),),  # always 2
    ((0.5, 0.0), (0.5, 6.0)),  # 3 on average, the best
    ((0.25, 10.0), (0.25, 0.0), (0.5, 0.0)),  # 2.5 on average
)


@dataclass(frozen=True)
class Dice:
    """Choose one of three dice, roll it, and be paid what it shows: for some turns.

    With two players they roll in turn, and each is paid at the cost of the other.
    """

    turns: int
    to_play: int = -1
    die: int | None = None  # chosen, but not rolled yet
    outcome = 0.0

    @property
    def is_over(self):
        return self.turns == 0

    @property
    def moves(self):
        return tuple(range(len(DICE if self.die is None else DICE[self.die])))

    @property
    def chances(self):
        return None if self.die is None else tuple(p for p, _ in DICE[self.die])

    def play(self, move):
        if self.die is None:
            return Dice(self.turns, self.to_play, move), 0.0
        after = self.to_play if self.to_play == -1 else 3 - self.to_play
        return Dice(self.turns - 1, after), DICE[self.die][move][1]


@dataclass(frozen=True)
class Pig:
    """Stop, and be paid the pot; or roll, which empties the pot or adds 1 or 3 to it.

    Chance does not follow every decision: where it does, the game has to tell.
    """

    pot: int
    rolls: int  # left
    state: str = "decide"  # or "rolling", "over"
    to_play = -1
    outcome = 0.0

    @property
    def is_over(self):
        return self.state == "over"

    @property
    def moves(self):
        if self.state == "rolling":
            return (0, 1, 2)
        return (0, 1) if self.rolls else (0,)

    @property
    def chances(self):
        return (0.5, 0.25, 0.25) if self.state == "rolling" else None

    def play(self, move):
        if self.state == "rolling":
            if move == 0:
                return Pig(0, 0, "over"), 0.0
            return Pig(self.pot + (1, 3)[move - 1], self.rolls - 1), 0.0
        if move == 0:
            return Pig(0, 0, "over"), float(self.pot)
        return Pig(self.pot, self.rolls, "rolling"), 0.0


@dataclass(frozen=True)
class Maze:
    """A game without sense, drawn from its key: values, masks, players, chance and ends.

    `told` names what it draws: "reward", "legal", "players", "chance", "ends". Numbers are
    quarters, so that sums of a few of them are exact.
    """

    key: int
    num_moves: int = 4
    num_outcomes: int = 0
    told: frozenset = frozenset({"reward", "legal", "ends"})

    @property
    def drawn(self):
        return _drawn(self.key, max(self.num_moves, self.num_outcomes))

    @property
    def to_play(self):
        return int(self.drawn["player"]) if "players" in self.told else -1

    @property
    def is_chance(self):
        return "chance" in self.told and bool(self.drawn["is_chance"]) and self.num_outcomes > 0

    @property
    def is_over(self):
        return "ends" in self.told and bool(self.drawn["ends"])

    @property
    def outcome(self):
        return float(self.drawn["value"])

    @property
    def moves(self):
        count = self.num_outcomes if self.is_chance else self.num_moves
        if "legal" not in self.told:
            return tuple(range(count))
        legal = np.flatnonzero(self.drawn["legal"][:count])
        return tuple(int(m) for m in legal) or (count - 1,)

    @property
    def chances(self):
        if not self.is_chance:
            return None
        weights = np.exp(self.drawn["logits"][list(self.moves)])
        return tuple(weights / weights.sum())

    def play(self, move):
        """Move: a number, or the bytes of a vector."""
        name = f"{self.key} {move}".encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
        after = Maze(key, self.num_moves, self.num_outcomes, self.told)
        return after, float(after.drawn["reward"]) if "reward" in self.told else 0.0


@lru_cache(maxsize=100_000)
def _drawn(key, width):
    rng = np.random.default_rng(key)
    return {
        "value": rng.integers(-8, 9) / 4,
        "reward": rng.integers(-4, 5) / 4,
        "logits": rng.normal(size=width),
        "legal": rng.random(width) < 0.7,
        "player": rng.integers(1, 3),
        "is_chance": rng.random() < 0.4,
        "ends": rng.random() < 0.1,
    }
