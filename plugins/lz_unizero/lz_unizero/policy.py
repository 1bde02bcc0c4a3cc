"""UniZero: plans with a transformer over what was seen and done, and learns it from windows.

It is MuZero with another network. Roots look back on the last steps of their episodes; a batch is
read in one pass, where MuZero takes one model step after another.

Shape letters: B samples of a batch, K steps of a window, S stacked frames, O one stacked
observation, E width of a latent state, V of its groups, A actions, Z bins, M positions whose value
is asked for, R windows.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from lz_muzero import losses
from lz_muzero.acting import Planner
from lz_muzero.config import MuZeroConfig
from lz_muzero.decisions import Array, Asked
from lz_muzero.harmony import metric_of
from lz_muzero.losses import Unrolled
from lz_muzero.monitor import analysis
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.positions import stacked_at
from lz_muzero.reanalysis import AUGMENT
from lz_muzero.rnd import NOVELTY
from lz_muzero.targets import CurrentBatch, TargetBatch, chunks
from torch import Tensor, nn

from lz_unizero.batches import UniZeroBatch
from lz_unizero.config import UniZeroConfig
from lz_unizero.dynamics import WorldModelDynamics
from lz_unizero.history import Histories
from lz_unizero.inference import History, WorldModelInference
from lz_unizero.losses import group_kl, squared_error, sum_over_steps
from lz_unizero.monitor import DEVICE_MEMORY, MOMENTS, NAMES, NORM, READ_ANEW
from lzcore.base import Evaluation, Spaces, Tree, Windows
from lzcore.nn.state import need
from lzcore.search import Dynamics, Inference

_OPTIMIZER = "optimizer_world_model"  # documented name in the state of learning
_DROPOUT = AUGMENT + 1  # what a learn step draws besides MuZero's
_BETAS = (0.9, 0.95)  # of AdamW, arXiv:2406.10667, App. B


class UniZeroPolicy(MuZeroPolicy):
    """UniZero (arXiv:2406.10667): the steps in which it differs from MuZero."""

    config_class: ClassVar[type[MuZeroConfig]] = UniZeroConfig
    models: ClassVar[Mapping[str, tuple[str, str]]] = {
        "conv": ("UniZeroModel", "lz_unizero.model"),
        "mlp": ("UniZeroModel", "lz_unizero.model"),
    }
    norm_name: ClassVar[str] = NORM
    current_class: ClassVar[type[Any]] = UniZeroBatch
    networks: ClassVar[Mapping[str, str]] = {
        "encoder": "representation",
        "world_model": "transformer",
    }

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        found = super().settings_for(spaces, given)
        model = found["model"]
        said = given.get("model", {})
        scale, steps = said.get("support_scale"), said.get("world_model_cfg", {}).get("max_blocks")
        model["world_model_cfg"] = {
            "action_space_size": model["action_space_size"],
            "obs_type": "vector" if model["model_type"] == "mlp" else "image",
            **({"support_size": 2 * scale + 1} if isinstance(scale, int) else {}),
            **({"max_tokens": 2 * steps} if isinstance(steps, int) else {}),
        }
        return found

    # --- the search: roots that look back -------------------------------------------------------

    def _inference_of(self, model: nn.Module) -> Inference:
        record = self._cfg.record_network
        return WorldModelInference(model, record=record)  # type: ignore[arg-type]  # its model

    def _root_memory(self) -> Histories:
        model = self._cfg.model
        return Histories(model.world_model_cfg.context_steps, model.action_dim)

    def _planner(self, inference: Inference, num_simulations: int, context: Any = None) -> Planner:
        return super()._planner(inference, num_simulations)._replace(context=context)

    def _dynamics(self, inference: Inference, tree: Tree) -> Dynamics:
        return WorldModelDynamics(inference, tree)  # type: ignore[arg-type]

    def _roots(self, planner: Planner, asked: Asked) -> History:
        """Return what roots look back on; where nothing is remembered, the observation alone."""
        seen = self._network_input(asked.observation)
        if planner.context is None:
            return History.of(seen, self._cfg.model.action_dim)
        found: History = planner.context.roots(asked.env_id, seen)
        return found

    def _evaluated(self, planner: Planner, asked: Asked) -> Evaluation:
        history = self._roots(planner, asked)
        return planner.inference.roots(history).evaluation  # type: ignore[attr-defined]

    def begin_iteration(self, iteration: int) -> None:
        """Restart the random streams of decisions, and count leaves again."""
        super().begin_iteration(iteration)
        if "collect" in self._enabled:
            self._collect_planner.dynamics.count_anew()  # type: ignore[attr-defined]

    def _reset_collect(
        self,
        env_id: int | Sequence[int] | None = None,
        current_steps: int | None = None,
        reset_init_data: bool = True,
    ) -> None:
        """Begin new histories for one environment, some, or all (None), and for no other.

        Args:
            env_id: whose.
            current_steps: of the episode; not needed: no history grows beyond context_length.
            reset_init_data: false: keep them after all.
        """
        self._begin_anew("collect", env_id, reset_init_data)

    def _reset_eval(
        self,
        env_id: int | Sequence[int] | None = None,
        current_steps: int | None = None,
        reset_init_data: bool = True,
    ) -> None:
        """Begin new histories in evaluation; arguments are those of `_reset_collect`."""
        self._begin_anew("eval", env_id, reset_init_data)

    def _begin_anew(self, mode: str, env_id: int | Iterable[int] | None, wanted: bool) -> None:
        if not wanted:
            return
        one = isinstance(env_id, int | np.integer)
        self._forget(mode, [int(env_id)] if one else env_id)  # type: ignore[arg-type]

    def recompute_pos_emb_diff_and_clear_cache(self) -> None:
        """Nothing: keys and values live no longer than the search that they were made for."""

    # --- the targets ----------------------------------------------------------------------------

    def _target_values(self, windows: Windows, row: Array, offset: Array) -> Array:
        """Return what the target network thinks of positions t + offset of samples `row`, (M,).

        Position t + n + k is read behind the k positions and actions before it, as the value of
        t + k that it bootstraps is learned. What lies outside of t + n .. t + n + K - 1, where an
        episode was cut short, is read alone.
        """
        step = offset - self._cfg.td_steps
        within = (step >= 0) & (step < self._cfg.num_unroll_steps)
        values = np.zeros(len(row))
        if within.any():
            rows, at = np.unique(row[within], return_inverse=True)
            values[within] = self._values_of_windows(windows, rows)[at, step[within]]
        if not within.all():
            values[~within] = super()._target_values(windows, row[~within], offset[~within])
        return values

    def _values_of_windows(self, windows: Windows, rows: Array) -> Array:
        """Return the target network's values of positions t + n .. t + n + K - 1, (R, K)."""
        first, steps = self._cfg.td_steps, self._cfg.num_unroll_steps
        frames = windows.frames(first, first + steps)
        actions = windows.take("action", first, first + steps)
        values = []
        for part in chunks(len(rows), max(1, self._cfg.mini_infer_size // steps)):
            some = rows[part]
            position = np.tile(np.arange(steps), len(some))
            seen = stacked_at(frames, np.repeat(some, steps), position, self.frame_stack)
            observation = self._network_input(torch.from_numpy(seen))
            values.append(
                self._target_inference.values(  # type: ignore[attr-defined]
                    observation.view(len(some), steps, *observation.shape[1:]),
                    torch.from_numpy(actions[some]).to(self._device),
                )
            )
        return np.concatenate(values)

    def _current_batch(self, windows: Windows) -> Any:
        """Return what windows hold; with `absorbing_end` also what is behind a true end is learned.

        Nobody was there, so what is told of positions and RND keep to `mask`.
        """
        plain = super()._current_batch(windows)
        over = windows.terminated[:, None] & self._cfg.absorbing_end
        learned = np.maximum(plain.mask, over.astype(np.float32))
        return UniZeroBatch(**plain._asdict(), learned=learned)

    # --- the loss -------------------------------------------------------------------------------

    def _init_learn(self) -> None:
        super()._init_learn()
        reason = unlearned_places(self._cfg)
        if reason is not None:
            warnings.warn(reason, stacklevel=2)
        if self._cfg.optim_type == "AdamW":
            for group in self._optimizer.param_groups:
                group["betas"] = _BETAS

    def _augmenting_seed(self, step: int) -> int:
        return super()._augmenting_seed(0)  # a window changes as a whole

    def _unroll(self, batch: CurrentBatch) -> Unrolled:
        """Read windows of K steps; what they foretell, (K, B, E), is `more`."""
        steps = range(self._cfg.num_unroll_steps)
        observation = torch.stack([self._observation(batch.obs, k) for k in steps], dim=1)
        with self._dropout():
            out = self._model(observation, batch.action)
        latent, reward, foretold, policy, value = (part.transpose(0, 1) for part in out)
        return Unrolled(tuple(latent), reward, value, policy, more=foretold)

    @contextmanager
    def _dropout(self) -> Iterator[None]:
        """Let torch draw what is dropped from the seed of this learn step alone."""
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(int(self._learn_seeds(_DROPOUT)))
            yield

    def _losses(self, unrolled: Unrolled, batch: Any, target: TargetBatch) -> dict[str, Tensor]:
        """Return the parts of the loss by name, (B,) each, and what is told of single steps, ().

        A part is summed over the steps of a sample and scaled such that its mean over the batch is
        the mean over all steps that are learned.
        """
        steps = self._losses_of_steps(unrolled, batch, target)
        mask, gamma = batch.learned.T, self._cfg.model.world_model_cfg.gamma
        masks = dict.fromkeys(steps, mask[:-1]) | {"obs_loss": mask[1 : 1 + len(steps["obs_loss"])]}
        masks |= dict.fromkeys(("policy_loss", "policy_entropy"), _searched(batch, target).T)
        parts = {name: sum_over_steps(loss, masks[name], gamma) for name, loss in steps.items()}
        return parts | self._moments(steps, masks)

    def _losses_of_steps(
        self, unrolled: Unrolled, batch: CurrentBatch, target: TargetBatch
    ) -> dict[str, Tensor]:
        """Return losses of single steps, (K, B) each; the last one may have no `obs_loss`."""
        model, head_loss = self._model, self._head_loss
        value, reward = target.target_value.T[:-1], target.target_reward.T[:-1]
        return {
            "obs_loss": self._obs_loss(unrolled.more, batch.obs),
            "reward_loss": head_loss(unrolled.reward, reward, model.reward_support),
            "value_loss": head_loss(unrolled.value, value, model.value_support),
            "policy_loss": self._policy_loss(unrolled, batch, target),
            "policy_entropy": self._entropy(unrolled.policy_logits),
        }

    def _obs_loss(self, foretold: Tensor, obs: Tensor) -> Tensor:
        """Compare latents foretold (K, B, E) with those of the target network's encoder."""
        steps = len(foretold) - (not self._cfg.obs_loss_all_steps)
        if not steps:
            return foretold.new_zeros(0, foretold.shape[1])
        with torch.no_grad():
            seen = torch.cat([self._observation(obs, k + 1) for k in range(steps)])
            target = self._target_model.encode(seen).unflatten(0, (steps, -1))
        inner = self._cfg.model.world_model_cfg
        if inner.predict_latent_loss_type == "mse":
            return squared_error(foretold[:steps], target)
        return group_kl(foretold[:steps], target, inner.group_size)

    def _loss_weights(self) -> dict[str, float]:
        cfg = self._cfg
        return {
            "obs_loss": cfg.obs_loss_weight,
            "reward_loss": cfg.reward_loss_weight,
            "value_loss": cfg.value_loss_weight,
            "policy_loss": cfg.policy_loss_weight,
            "policy_entropy": -cfg.model.world_model_cfg.policy_entropy_weight,
        }

    def _gradients(self, loss: Tensor) -> Tensor:
        # MuZero's are of loss / K, since its loss sums K steps; this one is their mean
        return super()._gradients(loss * self._cfg.num_unroll_steps)

    @torch.no_grad()
    def _update_target(self) -> None:
        """Bring weights and running statistics of the target network a little nearer."""
        theta, now = self._cfg.target_update_theta, self._model.state_dict()
        for name, mine in self._target_model.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(now[name], theta)
            else:
                mine.copy_(now[name])

    # --- what is told of it ---------------------------------------------------------------------

    @torch.no_grad()
    def _moments(
        self, steps: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the losses of the first, middle and last step of windows, () each."""
        told = {}
        for name, head in MOMENTS.items():
            loss, mask = steps[name], masks[name]
            mean = (loss * mask).sum(1) / mask.sum(1).clamp_min(1.0)  # (K,)
            last = len(mean) - 1
            for moment, at in (("first", 0), ("middle", len(mean) // 2), ("last", last)):
                of_step = mean[at] if len(mean) else mask.new_zeros(())
                told[f"analysis/{moment}_step_loss_{head}"] = of_step
        return told

    @torch.no_grad()
    def _metrics(
        self,
        unrolled: Unrolled,
        parts: Mapping[str, Tensor],
        batch: CurrentBatch,
        target: TargetBatch,
    ) -> dict[str, Any]:
        told: dict[str, Any] = dict.fromkeys(NAMES, 0.0)  # what it has no part of stays 0
        told |= analysis(unrolled, self._probe, self._activity)
        told |= {name: part.mean() for name, part in parts.items()}
        weight = self._cfg.model.world_model_cfg.policy_entropy_weight
        steps, mask = self._cfg.num_unroll_steps, _searched(batch, target)
        entropy = losses.target_entropy(target.target_policy[:, :-1]) * mask
        rate = self._optimizer.param_groups[0]["lr"]
        told |= {
            "collect_mcts_temperature": self._collect_temperature,
            "collect_epsilon": self._collect_epsilon,
            "cur_lr_world_model": rate,
            "cur_lr_tokenizer": rate,  # which is learned along with the rest
            "orig_policy_loss": told["policy_loss"],
            "policy_loss": told["policy_loss"] - weight * told["policy_entropy"],
            "target_policy_entropy": entropy.sum() / mask.sum(),
            "target_reward": target.target_reward[:, :steps].mean(),
            "target_value": target.target_value[:, :steps].mean(),
            READ_ANEW: self._share_read_anew(),
            **self._device_memory(),
        }
        return told if self._harmony is None else told | self._harmony.told()

    def _share_read_anew(self) -> float:
        """Return which share of the leaves of this iteration's collecting was read anew."""
        if "collect" not in self._enabled:
            return 0.0
        return self._collect_planner.dynamics.share_read_anew  # type: ignore[attr-defined, no-any-return]

    def _device_memory(self) -> dict[str, float]:
        if self._device.type != "cuda":
            return {}
        ask = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
        names = zip(DEVICE_MEMORY, ask, strict=True)
        return {name: used(self._device) / 2**30 for name, used in names}

    def _monitor_vars_learn(self) -> list[str]:
        balanced = self._balanced() if self._harmony is not None else []
        novelty = NOVELTY if self._cfg.use_rnd_model else ()
        return [*NAMES, *map(metric_of, balanced), *novelty]

    def monitor_weights_and_grads(self, model: nn.Module) -> None:
        """Print mean and spread of each weight and of its gradient, a line for each."""
        for name, weight in model.named_parameters():
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            told = [f"{f(x):.4g}" for x in (weight.detach(), gradient) for f in (_mean, _spread)]
            print(f"{name}: weight {told[0]} +- {told[1]}, gradient {told[2]} +- {told[3]}")

    # --- what is kept ---------------------------------------------------------------------------

    def _state_dict_learn(self) -> dict[str, Any]:
        state = super()._state_dict_learn()
        return {_OPTIMIZER if name == "optimizer" else name: part for name, part in state.items()}

    def _load_state_dict_learn(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the policy that wrote `state_dict` stood; keys of ours may be missing.

        Raises:
            RuntimeError: weights are missing, unknown or of another shape.
        """
        super()._load_state_dict_learn({**state_dict, "optimizer": need(state_dict, _OPTIMIZER)})


def unlearned_places(cfg: UniZeroConfig) -> str | None:
    """Return which places of a search are never learned; None: all are."""
    inner = cfg.model.world_model_cfg
    if inner.positions == "rotary" or cfg.num_unroll_steps >= inner.window_steps:
        return None
    return (
        f"Windows of learning have {cfg.num_unroll_steps} steps (num_unroll_steps), and a search "
        f"looks back on up to {inner.window_steps}: the places behind are never learned. Set "
        f"model.world_model_cfg.max_blocks to {cfg.num_unroll_steps}, or raise num_unroll_steps."
    )


def _searched(batch: CurrentBatch, target: TargetBatch) -> Tensor:
    """Return of which steps there is a policy to learn, (B, K) float32: those with an action."""
    there_is = (target.target_policy[:, :-1].flatten(2) > 0.0).any(dim=2)
    return batch.mask[:, :-1] * there_is


def _mean(x: Tensor) -> float:
    return x.mean().item()


def _spread(x: Tensor) -> float:
    return x.std(correction=0).item()
