"""Games whose rules are known, as a batch of environments: what any Simulator gives.

Whoever acts plays both sides, or `bot` plays the other one. Chance moves inside a step. Each
episode draws from one stream of numbers, so it is a function of its seed and of the actions.

Shape letters: N environments, n of them addressed by a call, A actions, C outcomes of chance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lzcore.base.env import RESIGN, Array, Observed, Stepped
from lzcore.base.errors import ConfigError, EnvError
from lzcore.base.opponent import Opponent, legal_moves
from lzcore.base.seeding import derive_seed, uniform
from lzcore.base.simulator import Positions, Simulator, State
from lzcore.envs.config import GameSettings
from lzcore.envs.opponents import make_opponent
from lzcore.envs.picture import picture_of
from lzcore.registry import get_registry

_STREAM = 0x67616D65  # sets the draws of an environment apart from those of `Simulator.begin`
_TRIES = 100  # openings drawn until one leaves a game to play


def drawn(weights: Array, number: Array) -> Array:
    """Return (n,) int64: of each row one column, as likely as its weight says.

    Args:
        weights: (n, A) numbers of 0 or more, or bool; some above 0 in each row.
        number: (n,) float64 in [0, 1).
    """
    total = weights.cumsum(axis=1)
    found: Array = (total > (number * total[:, -1])[:, None]).argmax(axis=1)
    return found


class GameEnv:
    """A batch of games; see `lzcore.base.env.Env`.

    With two players, rewards are 1, 0 or -1 when the game ends, for who moved; with a bot, for the
    agent, and the environment is one for one player. `episode_return` is player 1's, or the
    agent's.
    """

    def __init__(
        self,
        simulator: Simulator,
        num_envs: int,
        settings: GameSettings | Mapping[str, Any] | None = None,
        *,
        name: str = "game",
        opponent: Opponent | None = None,
    ) -> None:
        """Prepare the games.

        Args:
            simulator: the rules.
            num_envs: N.
            settings: the `env` table, or some of its keys.
            name: what people call the game.
            opponent: plays the other side; None: whom `settings.bot` names, if anybody.
        Raises:
            ConfigError: a bot is named, but the game has one player, or the bot cannot play it.
            UnknownNameError, PluginError: there is no such bot, or it is broken.
        """
        self.settings = GameSettings.of(settings or {})
        self.simulator = simulator
        self.num_envs = num_envs
        self.name = name
        self.spaces = simulator.spaces
        if opponent is None and self.settings.bot is not None:
            opponent = _opponent(self.settings.bot, simulator, name)
        self._bot = opponent
        if opponent is not None:
            self.spaces = attrs.evolve(simulator.spaces, players=1)
        self._states = np.empty(num_envs, object)
        self._key = np.zeros(num_envs, np.uint64)  # of each episode's stream
        self._draws = np.zeros(num_envs, np.int64)  # taken from it so far
        self._mover = np.zeros(num_envs, np.int8)  # whose turn it is
        self._agent = np.ones(num_envs, np.int8)  # whom the agent plays, where there is a bot
        self._chance = np.zeros(num_envs, np.int64)  # outcome of the last step; 0 where none was
        self._running = np.zeros(num_envs, bool)
        self._timestep = np.zeros(num_envs, np.int64)
        self._return = np.zeros(num_envs)

    # --- the two calls --------------------------------------------------------------------------

    def reset(self, env_id: Array, seeds: Array) -> Observed:
        """Begin new episodes.

        Args:
            env_id: (n,) int64.
            seeds: (n,) uint64.
        Raises:
            EnvError: openings of so many moves leave nothing to play.
        """
        self._key[env_id] = derive_seed(seeds, _STREAM)
        for column in (self._draws, self._timestep, self._return, self._chance):
            column[env_id] = 0
        if self._bot is not None:
            self._agent[env_id] = 1 + (self._seeds(env_id) & np.uint64(1))
        begun = self.simulator.begin(seeds)
        seen = self._opened(env_id, begun)
        rows = np.flatnonzero(self._over(seen))
        for _ in range(_TRIES):
            if not len(rows):
                break
            _put(seen, rows, self._opened(env_id[rows], [begun[row] for row in rows.tolist()]))
            rows = rows[self._over(seen)[rows]]
        if len(rows):
            raise EnvError(
                f"{self.name} was over after the opening {_TRIES} times in a row. Set "
                f"env.opening_moves below {self.settings.opening_moves}, or env.max_moves higher."
            )
        self._running[env_id] = True
        return self._observed(env_id, seen, np.zeros(len(env_id), bool))

    def step(self, env_id: Array, action: Array) -> Stepped:
        """Apply one action in each of the named games.

        Args:
            env_id: (n,) int64, each once, all running.
            action: (n,) int64, legal; or RESIGN, where two play without a bot.
        Raises:
            EnvError: a game is not running, or an action is not legal there.
        """
        self._require_running(env_id)
        mover = self._mover[env_id]
        try:
            seen = self._moved(env_id, action)
        except ValueError as err:
            raise EnvError(f"{self.name}, environments {env_id.tolist()}: {err}") from err
        self._answer(env_id, seen)
        first = self._reward(seen)  # with two players player 1's
        reward = np.where(mover == 2, -first, first) + 0.0  # no -0
        over = self._over(seen)
        self._timestep[env_id] += 1
        self._return[env_id] += reward if self._bot is not None else first
        self._running[env_id] = ~over
        return Stepped(
            self._observed(env_id, seen, over),
            reward.astype(np.float32),
            seen.terminal,
            over & ~seen.terminal,
            self._return[env_id],
        )

    def _observed(self, env_id: Array, seen: Positions, over: Array) -> Observed:
        """Tell what is there; where a game is over all is allowed, as nobody acts there."""
        self._mover[env_id] = seen.to_play
        alone = np.full(len(env_id), -1, np.int8)
        return Observed(
            env_id,
            seen.observation,
            seen.legal_actions | over[:, None],
            alone if self._bot is not None else seen.to_play,
            self._timestep[env_id],
            self._chance[env_id] if self.simulator.num_outcomes else None,
            self._states[env_id],
            self.simulator,
        )

    # --- the course of a game -------------------------------------------------------------------

    def _opened(self, env_id: Array, begun: Sequence[State]) -> Positions:
        """Begin, and play until the agent moves; rows may be over by then."""
        self._keep(env_id, begun)
        seen = self._at_players(env_id, self.simulator.look(begun))
        for _ in range(self.settings.opening_moves):
            rows = np.flatnonzero(~self._over(seen))
            if not len(rows):
                break
            action = drawn(seen.legal_actions[rows], self._numbers(env_id[rows]))
            _put(seen, rows, self._played(env_id[rows], action))
        self._answer(env_id, seen)
        return seen

    def _answer(self, env_id: Array, seen: Positions) -> None:
        """Let the bot move where it is its turn, until it is nowhere; `seen` is brought along."""
        while self._bot is not None:
            rows = np.flatnonzero(~self._over(seen) & (seen.to_play != self._agent[env_id]))
            if not len(rows):
                return
            ids = env_id[rows]
            found = self._bot.act(self._states[ids].tolist(), self._seeds(ids))
            action = legal_moves(self._bot, found, seen.legal_actions[rows])
            _put(seen, rows, self._played(ids, action))

    def _moved(self, env_id: Array, action: Array) -> Positions:
        """Apply one action, or end the game where it is RESIGN: who moves there has lost it."""
        rows = np.flatnonzero(action != RESIGN)
        if len(rows) == len(action):
            return self._played(env_id, action)
        if self.spaces.players == 1:
            raise EnvError(f"{self.name} cannot be resigned; only two without a bot can do that.")
        seen = self.simulator.look(self._states[env_id].tolist())
        seen.terminal[:], seen.value[:] = True, -1.0
        self._chance[env_id] = 0
        if len(rows):
            _put(seen, rows, self._played(env_id[rows], action[rows]))
        return seen

    def _played(self, env_id: Array, action: Array) -> Positions:
        """Apply one action, and what chance does next; return what players see then."""
        after = self.simulator.play(self._states[env_id].tolist(), action)
        self._keep(env_id, after)
        self._chance[env_id] = 0
        return self._at_players(env_id, self.simulator.look(after))

    def _at_players(self, env_id: Array, seen: Positions) -> Positions:
        """Draw outcomes where it is chance's turn, until it is nowhere."""
        while seen.chance is not None:
            rows = np.flatnonzero((seen.chance > 0).any(axis=1))
            if not len(rows):
                break
            ids = env_id[rows]
            outcome = drawn(seen.chance[rows], self._numbers(ids))
            after = self.simulator.play(self._states[ids].tolist(), outcome)
            self._keep(ids, after)
            self._chance[ids] = outcome
            _put(seen, rows, self.simulator.look(after))
        return seen

    def _keep(self, env_id: Array, states: Sequence[State]) -> None:
        self._states[env_id] = np.fromiter(states, object, len(states))  # some states are tuples

    # --- draws, ends, rewards -------------------------------------------------------------------

    def _seeds(self, env_id: Array) -> Array:
        """Return the (n,) next seeds of these episodes' streams."""
        self._draws[env_id] += 1
        return derive_seed(self._key[env_id], self._draws[env_id])

    def _numbers(self, env_id: Array) -> Array:
        """Return the (n,) next numbers in [0, 1) of these episodes' streams."""
        return uniform(self._seeds(env_id))

    def _over(self, seen: Positions) -> Array:
        if self.settings.max_moves is None:
            return seen.terminal
        beyond: Array = seen.ply >= self.settings.max_moves
        return seen.terminal | beyond

    def _reward(self, seen: Positions) -> Array:
        """Return (n,) float64 for player 1, or for the only one."""
        if self.simulator.spaces.players == 1:
            return seen.reward
        found: Array = np.where(seen.to_play == 1, seen.value, -seen.value)
        return found

    def _require_running(self, env_id: Array) -> None:
        if not self._running[env_id].all():
            waiting = env_id[~self._running[env_id]].tolist()
            raise EnvError(
                f"Environments {waiting} of {self.name} wait for a reset and cannot be stepped."
            )

    # --- for people -----------------------------------------------------------------------------

    def render(self, env_id: int) -> npt.NDArray[np.uint8]:
        """Return a picture (H, W, 3) of the text that the game draws."""
        return picture_of(self.simulator.draw(self._states[env_id]))

    def close(self) -> None:
        """Nothing is held."""

    def describe(self) -> Mapping[str, object]:
        """Return plain facts for people: who plays, how it begins, what is rewarded, the limit."""
        opening, bot = self.settings.opening_moves, self.settings.bot or "an opponent"
        notes = [f"opening: {opening} random plies"] * (opening > 0)
        notes += [f"bot: {bot} plays the other side within a step"] * (self._bot is not None)
        whom = "who moved" if self._bot is None else "the agent"
        ends = f"1, 0 or -1 at the end of the game, for {whom}"
        return {
            "environment": self.name,
            "players": self.simulator.spaces.players,
            "outcomes_of_chance": self.simulator.num_outcomes or None,
            "adapters": tuple(notes),
            "reward": ends if self.simulator.spaces.players == 2 else "as the game gives",
            "episode_limit": self.settings.max_moves,
        }


def _put(seen: Positions, rows: Array, part: Positions) -> None:
    """Write what is seen later in some rows over what was seen; rewards are added up."""
    part.reward[:] += seen.reward[rows]
    for whole, later in zip(seen, part, strict=True):
        if whole is not None:
            whole[rows] = later


def _opponent(bot: str, simulator: Simulator, game: str) -> Opponent:
    """Make the opponent that a name such as "random" or "mcts:1000" means."""
    if simulator.spaces.players == 1:
        raise ConfigError(f'env.bot is "{bot}", but {game} has one player. Leave it at "none".')
    return make_opponent(bot, simulator, get_registry())
