"""Noughts and crosses to learn from: an environment, what minimax says, models that know the rules.

Shape letters: B states, n environments addressed by a call.
"""

from functools import cache

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lzcore.base import NetworkOutput, Observed, Settings, Stepped, setting, uniform
from lzcore.nn import ScalarSupport
from lzcore.registry import EnvSpec, hookimpl
from lzcore.testing.noughts import LINES, Noughts, to_play, winner

GAME = Noughts()
EMPTY = (0,) * 9
POWERS = 3 ** np.arange(9)
LZ_API = 1


@hookimpl
def lz_register_envs():
    """The game under an id that there is a preset for."""
    return [
        EnvSpec(
            name="noughts",
            env="noughts_env:NoughtsEnv",
            config="noughts_env:NoughtsSettings",
            prefix="open_spiel",
            summary="Noughts and crosses, for tests.",
        )
    ]


@attrs.frozen(kw_only=True)
class NoughtsSettings(Settings):
    """How games begin and end."""

    opening: int = setting(0, "Plies that are drawn before a game begins.")
    limit: int = setting(9, "Plies after which a game is cut short.")


class NoughtsEnv:
    """A `lzcore.base.Env` in which both sides are played."""

    spaces = GAME.spaces

    def __init__(self, make=None, num_envs=1, settings=None):
        self.num_envs = num_envs
        self._settings = settings or NoughtsSettings()
        self._boards = [EMPTY] * num_envs
        self._taken = np.zeros(num_envs, np.int64)
        self._first = np.zeros(num_envs)  # what player 1 has got

    def reset(self, env_id, seeds):
        for env, seed in zip(env_id.tolist(), seeds, strict=True):
            self._boards[env] = opening(self._settings.opening, seed)
        self._taken[env_id] = 0
        self._first[env_id] = 0.0
        return self._observed(env_id)

    def step(self, env_id, action):
        movers = np.array([to_play(self._boards[env]) for env in env_id])
        after = GAME.play([self._boards[env] for env in env_id], action)
        for env, board in zip(env_id.tolist(), after, strict=True):
            self._boards[env] = board
        self._taken[env_id] += 1
        seen = GAME.look(after)
        reward = -seen.value * seen.terminal  # the value is for who would move next
        self._first[env_id] += np.where(movers == 1, reward, -reward)
        stones = (np.array(after) > 0).sum(axis=1)
        return Stepped(
            self._observed(env_id),
            reward.astype(np.float32),
            seen.terminal,
            ~seen.terminal & (stones >= self._settings.limit),
            self._first[env_id],
        )

    def _observed(self, env_id):
        seen = GAME.look([self._boards[env] for env in env_id])
        return Observed(
            env_id, seen.observation, seen.legal_actions, seen.to_play, self._taken[env_id].copy()
        )

    def close(self):
        pass

    def describe(self):
        return {"environment": "noughts and crosses"}


def opening(plies, seed):
    """Return a board after so many moves at random, not one of a finished game."""
    for attempt in range(100):
        board = EMPTY
        for ply in range(plies):
            free = [cell for cell in range(9) if not board[cell]]
            cell = free[int(uniform(np.uint64(seed), attempt, ply) * len(free))]
            board = GAME.play([board], np.array([cell]))[0]
            if winner(board):
                break
        else:
            return board
    raise AssertionError("no opening was found")


# --- minimax --------------------------------------------------------------------------------------


@cache
def minimax(board):
    """The value of a board for the player to move there."""
    if winner(board):
        return -1.0
    return max((-minimax(after) for after in followers(board).values()), default=0.0)


@cache
def followers(board):
    """Cell -> board after it, of a game that is not over."""
    free = [] if winner(board) else [cell for cell in range(9) if not board[cell]]
    mover = to_play(board)
    return {cell: (*board[:cell], mover, *board[cell + 1 :]) for cell in free}


@cache
def unfinished():
    """All boards that can be met and have a move to make."""
    found, new = set(), {EMPTY}
    while new:
        found |= new
        new = {after for board in new for after in followers(board).values()} - found
    return sorted(board for board in found if followers(board))


def best_moves(board):
    """The cells that minimax would take."""
    after = followers(board)
    return [cell for cell in after if -minimax(after[cell]) == minimax(board)]


@cache
def value_table():
    """(3^9,) float32: `minimax` by a board's number, 0 where the game is over."""
    table = np.zeros(3**9, np.float32)
    for board in unfinished():
        table[np.dot(board, POWERS)] = minimax(board)
    return torch.from_numpy(table)


def boards_of(observation):
    """(.., 3, 3, 3) planes -> (.., 9) cells."""
    own, other, first = (torch.as_tensor(observation)[..., i, :, :].flatten(-2) for i in range(3))
    mover = 2 - first
    return own * mover + other * (3 - mover)


# --- models ---------------------------------------------------------------------------------------


class RulesModel(nn.Module):
    """Plays in its latent states, (B, 11): nine cells, whether the game is over, a pending action.

    An action that is not allowed loses the game. `informed`: positions have minimax values; else 0.
    """

    def __init__(self, *, informed=True, memory=False):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.gain = nn.Parameter(torch.tensor(float(informed)))
        self.memory = memory

    def initial_inference(self, observation):
        latent = F.pad(boards_of(observation), (0, 2))
        return self._output(latent, torch.zeros(len(latent)), self._sum(len(latent)))

    def recurrent_inference(self, latent_state, action, memory=None):
        latent, reward = self.played(latent_state, action)
        if memory is not None:
            memory = memory + reward[:, None, None]
            reward = memory[:, 0, 0]
        return self._output(latent, reward, memory)

    def played(self, latent, action):
        """Return the latents after actions (B,), and what who moved got for them."""
        cells, over = latent[:, :9], latent[:, 9] > 0
        mover = 1 + (cells > 0).sum(1) % 2
        wrong = cells.gather(1, action[:, None])[:, 0] > 0
        stone = F.one_hot(action, 9) * mover[:, None]
        after = torch.where((wrong | over)[:, None], cells, cells + stone)
        lines = after[:, torch.tensor(LINES)] == mover[:, None, None]
        won = lines.all(2).any(1) & ~wrong
        reward = (won.float() - wrong.float()) * (~over).float()
        ended = over | wrong | won | (after > 0).all(1)
        return torch.cat((after, ended[:, None].float(), latent[:, :1] * 0), 1), reward

    def value(self, latent):
        """Return (B,) for the player to move."""
        number = (latent[:, :9].long() * torch.from_numpy(POWERS)).sum(1)
        return value_table()[number] * (latent[:, 9] == 0) * self.gain

    def _sum(self, rows):
        return torch.zeros(rows, 2, 1) if self.memory else None

    def _output(self, latent, reward, memory):
        logits = torch.where(latent[:, :9] > 0, -20.0, 0.0)
        return NetworkOutput(latent, reward[:, None], self.value(latent)[:, None], logits, memory)


class ChancyRulesModel(RulesModel):
    """The same with two outcomes of chance after each action, which change nothing."""

    def recurrent_inference(self, latent_state, option, afterstate=False):
        if afterstate:
            return super().recurrent_inference(latent_state, latent_state[:, 10].long())
        after, reward = self.played(latent_state, option)
        value = reward - self.value(after)  # of the player who moved: chance is not a player
        latent = torch.cat((latent_state[:, :10], option[:, None].float()), 1)
        zeros = torch.zeros(len(latent), 2)
        return NetworkOutput(latent, zeros[:, :1], value[:, None], zeros)
