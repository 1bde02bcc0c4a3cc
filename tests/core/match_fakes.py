"""A game for two as an environment, and a policy that plays it perfectly or at random."""

from functools import cache

import attrs
import numpy as np
from engine_fakes import TinyConfig, TinyPolicy

from lzcore.base import Decisions, Positions, SearchResult, setting
from lzcore.envs.games import GameEnv
from lzcore.envs.opponents import Minimax, RandomOpponent
from lzcore.registry import EnvSpec, PolicySpec, hookimpl
from lzcore.testing.noughts import Noughts

LZ_API = 1


@hookimpl
def lz_register_policies():
    return [
        PolicySpec(
            name="scripted",
            policy="match_fakes:ScriptedPolicy",
            config="match_fakes:ScriptedConfig",
            summary="Plays by a script.",
        )
    ]


@hookimpl
def lz_register_envs():
    return [
        EnvSpec(
            name="toys",
            env="match_fakes:ToyEnv",
            config="lzcore.envs.config:GameSettings",
            summary="Noughts and crosses.",
            prefix="toys",
        )
    ]


# --- the game -------------------------------------------------------------------------------------


class ToyEnv(GameEnv):
    """Games of noughts; made as the registry makes environments."""

    def __init__(self, make_id, num_envs, settings):
        super().__init__(Noughts(), num_envs, settings, name=make_id)


class Race:
    """Two players in turn walk (1 on) or throw a coin (0 or 3 on); after two plies each, who is
    ahead has won.

    A state is (place of player 1, place of player 2, plies, whether the coin is in the air).
    """

    spaces = attrs.evolve(
        Noughts.spaces, frame_shape=(4,), action=attrs.evolve(Noughts.spaces.action, size=2)
    )
    num_outcomes = 2

    def begin(self, seeds):
        return [(0, 0, 0, False)] * len(seeds)

    def play(self, states, action):
        return [self._after(s, a) for s, a in zip(states, action.tolist(), strict=True)]

    def _after(self, state, action):
        mine, theirs, plies, waiting = state
        if not waiting and action:
            return mine, theirs, plies, True
        gain = 3 * action if waiting else 1
        sums = (mine + gain, theirs) if plies % 2 == 0 else (mine, theirs + gain)
        return (*sums, plies + 1, False)

    def look(self, states):
        mine, theirs, plies, waiting = np.array(states, np.int64).reshape(-1, 4).T
        to_play = (1 + plies % 2).astype(np.int8)
        over, moves = plies == 4, (waiting == 0) & (plies < 4)
        return Positions(
            observation=np.array(states, np.float32).reshape(-1, 4),
            legal_actions=moves[:, None] & np.ones(2, bool),
            to_play=to_play,
            terminal=over,
            value=np.where(over, np.sign(mine - theirs), 0.0),
            reward=np.zeros(len(states)),
            ply=plies,
            chance=(waiting == 1)[:, None] * np.array([0.5, 0.5]),
        )

    def draw(self, state):
        return f"{state[0]} : {state[1]}"

    def name_of(self, state, action):
        return ("walk", "throw")[action]


@cache
def solved():
    return Minimax(Noughts(), "")


# --- the policy -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ScriptedConfig(TinyConfig):
    plays: str = setting("perfect", "perfect or random.")
    frames: int = setting(1, "Frames that it looks at.")
    num_simulations: int = setting(7, "Visits that it says it has made.")
    tells_search: bool = setting(True, "Hand the search out.")


class ScriptedPolicy(TinyPolicy):
    """Decides by an opponent's rule, in its own seeds, and remembers what it was shown."""

    config_class = ScriptedConfig

    def _init_shared(self):
        super()._init_shared()
        self.frame_stack = self._cfg.frames
        self.seen, self.forgotten = [], []

    @classmethod
    def settings_for(cls, spaces, given):
        return {"width": 27}

    def _reset_eval(self, data_id=None):
        self.forgotten.append(data_id)

    def decide(self, mode, seen, **schedule):
        self.seen.append(seen)
        seeds = self._stream.next(seen.env_id)
        perfect = self._cfg.plays == "perfect" and mode == "eval"
        player = solved() if perfect else RandomOpponent(seen.simulator, "")
        action = player.act(list(seen.states), seeds)
        visits = np.zeros(seen.action_mask.shape, np.int32)
        visits[np.arange(len(action)), action] = self._cfg.num_simulations
        search = SearchResult(
            visit_count=visits,
            value=np.full(len(action), 0.25),
            q_value=visits / 10,
            raw_value=np.zeros(len(action)),
            prior_logits=np.zeros(visits.shape),
        )
        columns = {"action": action, "odds": np.zeros(len(action))}
        told = search if self._cfg.tells_search else None

        def describe(row):
            counts = visits[row, seen.action_mask[row]].tolist()
            return {"action": int(action[row]), "visit_count_distributions": counts}

        return Decisions(seen.env_id, columns, describe, told)

    def make_batch(self, windows):
        observation, *others = super().make_batch(windows)
        return [observation.reshape(len(observation), -1), *others]


def scripted(**settings):
    return ScriptedPolicy({"width": 27, **settings})
