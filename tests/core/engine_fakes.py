"""What the engine's tests run with: environments, a policy, and the plugin that brings it.

The policy is real (a torch parameter, an optimizer, seeded streams) and small. `Walk` is a
Gymnasium environment that a policy can get better at: move right, and the reward is higher.
"""

import attrs
import gymnasium
import numpy as np
import torch

from lzcore.base import (
    ActionSpace,
    Column,
    Decisions,
    DivergedError,
    LoopSettings,
    Observed,
    Policy,
    PolicySettings,
    ReplaySettings,
    Spaces,
    Stepped,
    Stream,
    setting,
    stream_key,
    uniform,
)
from lzcore.engine.assemble import drawing_from
from lzcore.registry import BufferSpec, PolicySpec, hookimpl
from lzcore.replay import Ranking, ReplayBuffer

LZ_API = 1


@hookimpl
def lz_register_policies():
    return [
        PolicySpec(
            name="tiny",
            policy="engine_fakes:TinyPolicy",
            config="engine_fakes:TinyConfig",
            summary="Learns a line.",
        )
    ]


@hookimpl
def lz_register_buffers():
    return [BufferSpec(name="oldest", buffer="engine_fakes:Oldest", summary="Oldest rows first.")]


# --- the buffer -----------------------------------------------------------------------------------


class Oldest(ReplayBuffer):
    """Draws the rows that came first, where there are no priorities."""

    def make_draw(self, store, settings):
        return FirstRows(store)


class FirstRows:
    def __init__(self, store):
        self._store = store

    def admit(self, ranges): ...

    def drop(self, rows): ...

    def draw(self, batch_size, rng):
        rows = np.arange(batch_size)
        return Ranking.of(self._store).ids(rows), np.ones(batch_size, np.float32)


# --- the policy -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class TinyConfig(PolicySettings):
    batch_size: int = setting(4, "Rows of a batch.")
    collector_env_num: int = setting(3, "Environments that collect.")
    evaluator_env_num: int = setting(2, "Environments that evaluate.")
    n_episode: int = setting(3, "Episodes of an iteration.")
    num_segments: int | None = setting(None, "Segments of an iteration.")
    game_segment_length: int = setting(200, "Steps of a segment.")
    update_per_collect: int | None = setting(None, "Learn steps of an iteration.")
    replay_ratio: float = setting(0.25, "Learn steps for each env step.")
    eval_freq: int = setting(5, "Learn steps between evaluations.")
    random_collect_episode_num: int = setting(0, "Random episodes.")
    train_start_after_envsteps: int = setting(0, "Env steps before learning.")
    ignore_done: bool = setting(False, "Store ends as truncations.")
    eval_offline: bool = setting(False, "Evaluate at the end.")
    buffer_reanalyze_freq: float = setting(0.0, "Reanalyses of an iteration.")
    reanalyze_batch_size: int = setting(5, "Windows of one.")
    reanalyze_start_after_transitions: int = setting(20, "Rows before the first.")
    use_priority: bool = setting(True, "Draw by priority.")
    learning_rate: float = setting(0.1, "Of SGD.")
    diverges_at: int | None = setting(None, "Learn step whose loss is not a number.")
    width: int = setting(2, "Numbers in an observation.")


class TinyPolicy(Policy):
    """One linear layer; its first output is the log-odds of moving right."""

    config_class = TinyConfig

    @classmethod
    def settings_for(cls, spaces, given):
        return {"width": spaces.frame_shape[0]}

    def default_model(self):
        return "Line", ["engine_fakes"]

    def _create_model(self, cfg, model):
        return Line(cfg.width) if model is None else model

    def _init_shared(self):
        self._stream = Stream(stream_key(self._cfg.seed, "tiny"))
        self._steps = 0

    def _init_learn(self):
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), lr=self._cfg.learning_rate, momentum=0.9
        )

    def _init_collect(self): ...

    def _init_eval(self): ...

    @classmethod
    def columns(cls, cfg, spaces):
        return (
            Column("observation", spaces.frame_shape, spaces.frame_dtype),
            Column("action", (), np.int64),
            Column("reward", (), np.float32),
            Column("odds", (), np.float32, pad=-1.0, changing=cfg.buffer_reanalyze_freq > 0),
            Column("to_play", (), np.int8),
            Column("action_mask", (spaces.action.size,), bool),
            Column("timestep", (), np.int64),
        )

    def replay_settings(self):
        return ReplaySettings(
            capacity=500, unroll_steps=0, lookahead=1, use_priority=self._cfg.use_priority
        )

    def begin_iteration(self, iteration):
        self._stream.begin(iteration)

    def schedule(self, learn_step, env_step):
        return {"temperature": 1.0 / (1.0 + learn_step)}

    def facts(self):
        return {"tree": "none at all"}

    @torch.no_grad()
    def _odds(self, data):
        self._model.eval()
        return torch.sigmoid(self._model(data.float())[:, 0]).numpy()

    def _forward_collect(self, data, action_mask, to_play, ready_env_id, temperature):
        odds = self._odds(data)
        action = (uniform(self._stream.next(ready_env_id)) < odds).astype(np.int64)
        columns = {"action": action, "odds": odds, "sureness": np.abs(odds - 0.5)}
        return Decisions(ready_env_id, columns)

    def _forward_eval(self, data, action_mask, to_play, ready_env_id):
        odds = self._odds(data)
        return Decisions(ready_env_id, {"action": (odds > 0.5).astype(np.int64), "odds": odds})

    def decide_at_random(self, seen):
        action = (uniform(self._stream.next(seen.env_id)) < 0.5).astype(np.int64)
        return Decisions(seen.env_id, {"action": action, "odds": np.full(len(action), 0.5)})

    def make_batch(self, windows):
        return [windows.take(name, 0, 1)[:, 0] for name in ("observation", "action", "reward")]

    def reanalyze(self, windows):
        odds = self._odds(torch.from_numpy(windows.take("observation", 0, 1)[:, 0]))
        windows.write(0, {"odds": odds[:, None]})
        return {"reanalyzed_odds": odds.mean()}

    def _forward_learn(self, data):
        observation, action, reward = map(torch.from_numpy, data)
        self._steps += 1
        self._model.train()
        out = self._model(observation.float())
        right = torch.sigmoid(out[:, 0]) * (2.0 * action - 1.0) * (reward - out[:, 1].detach())
        wide = torch.rand(())  # the engine seeds torch, so that even this repeats
        loss = ((out[:, 1] - reward) ** 2).mean() - right.mean() + 0.01 * wide * out[:, 0].mean()
        if self._steps == self._cfg.diverges_at:
            raise DivergedError(f"The loss is nan at learn step {self._steps}.")
        self._optimizer.zero_grad()
        loss.backward()
        self.sync_gradients(self._model)
        self._optimizer.step()
        error = (out[:, 1] - reward).detach().abs().numpy() + 0.01
        return {"total_loss": loss.item(), "cur_lr": 0.1, "value_priority_orig": error}

    def initial_priority(self, segment):
        return np.full(segment.length, 1.0 + segment.episode)

    def _process_transition(self, obs, policy_output, timestep): ...

    def _get_train_sample(self, data): ...

    def _state_dict_learn(self):
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
        }

    def _load_state_dict_learn(self, state_dict):
        self._model.load_state_dict(state_dict["model"])
        self._optimizer.load_state_dict(state_dict["optimizer"])
        self._steps = state_dict["steps"]


class Line(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.line = torch.nn.Linear(width, 2)

    def forward(self, x):
        return self.line(x)


# --- environments ---------------------------------------------------------------------------------


class Walk(gymnasium.Env):
    """Moves on a line; the reward is where you are; ends after a number of steps drawn at reset."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.left = 0, int(self.np_random.integers(3, 9))
        return self._seen(), {}

    def step(self, action):
        self.place += 2 * int(action) - 1
        self.left -= 1
        return self._seen(), self.place / 8, self.left <= 0, False, {}

    def render(self):
        picture = np.zeros((8, 32, 3), np.uint8)
        picture[:, 16 + self.place] = 255
        return picture

    def _seen(self):
        return np.array([self.place / 8, 1.0], np.float32)


class Breaks(Walk):
    """A Walk whose seventh step fails."""

    steps = 0

    def step(self, action):
        Breaks.steps += 1
        if Breaks.steps == 7:
            raise ZeroDivisionError("seven is too much")
        return super().step(action)


class Scripted:
    """A batch whose episodes tell everything: frame (env, episode, t), reward 10 * env + t.

    Episodes of environment i are `lengths[i]` long; odd episodes are truncated, even ones
    terminate. With `chance`, outcome 100 * env + t led to frame t.
    """

    def __init__(self, lengths, players=1, chance=False):
        self.num_envs = len(lengths)
        self.spaces = Spaces(
            frame_shape=(3,),
            frame_dtype=np.dtype(np.float32),
            kind="vector",
            action=ActionSpace("discrete", 2),
            players=players,
        )
        self.lengths = np.array(lengths)
        self.chance = chance
        self.forget()
        self.t = np.zeros(self.num_envs, np.int64)
        self.closed = False

    def forget(self):
        self.seeds = {i: [] for i in range(self.num_envs)}
        self.actions = {i: [] for i in range(self.num_envs)}

    def reset(self, env_id, seeds):
        for i, seed in zip(env_id.tolist(), seeds.tolist(), strict=True):
            self.seeds[i].append(seed)
        self.t[env_id] = 0
        return self._observed(env_id)

    def step(self, env_id, action):
        for i, a in zip(env_id.tolist(), action.tolist(), strict=True):
            self.actions[i].append(a)
        reward = (10 * env_id + self.t[env_id]).astype(np.float32)
        self.t[env_id] += 1
        over = self.t[env_id] >= self.lengths[env_id]
        odd = np.array([len(self.seeds[i]) % 2 == 0 for i in env_id.tolist()])
        total = self.t[env_id].astype(np.float64)
        return Stepped(self._observed(env_id), reward, over & ~odd, over & odd, total)

    def _observed(self, env_id):
        episode = [len(self.seeds[i]) - 1 for i in env_id.tolist()]
        frame = np.stack([env_id, episode, self.t[env_id]], axis=1).astype(np.float32)
        mask = np.ones((len(env_id), 2), bool)
        mask[:, 1] = self.t[env_id] % 2 == 0
        to_play = (1 + self.t[env_id] % 2) if self.spaces.players == 2 else -np.ones(len(env_id))
        chance = 100 * env_id + self.t[env_id] if self.chance else None
        t = self.t[env_id].copy()
        return Observed(env_id, frame, mask, to_play.astype(np.int8), t, chance)

    def close(self):
        self.closed = True


def tiny(**settings):
    """A policy for `Scripted`, always with the same weights."""
    with drawing_from(5):
        return TinyPolicy({"width": 3, **settings})


def loop(**settings):
    return LoopSettings(batch_size=4, **settings)
