"""MuZero: decides by searching in a learned model, and learns what the search found.

The story has four chapters: `acting` (observations to decisions), `reanalysis` (stored positions
searched again), `targets` (replay to batches) and this file (batches to better weights).

Shape letters: B samples of a batch, K unroll steps, S stacked frames, O one stacked observation.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lz_muzero import losses, shapes
from lz_muzero.augmentation import augment
from lz_muzero.decisions import Array
from lz_muzero.harmony import Harmony, metric_of
from lz_muzero.losses import Unrolled
from lz_muzero.monitor import (
    ANALYSIS,
    activity_of,
    analysis,
    monitored,
    probe_of,
    probing,
    to_floats,
)
from lz_muzero.reanalysis import AUGMENT
from lz_muzero.rnd import NOVELTY, RND, min_max
from lz_muzero.targets import CurrentBatch, TargetBatch, TargetingPolicy
from lzcore.base import DivergedError, NetworkOutput, ShapeError
from lzcore.base.model import Support
from lzcore.nn import scalar_transform
from lzcore.nn.optim import make_optimizer, make_scheduler
from lzcore.nn.state import need, on_cpu


class MuZeroPolicy(TargetingPolicy):
    """MuZero (arXiv:1911.08265). The methods stand in the order the data meets them.

    A variant is the steps in which it differs:

    * which networks there are: `models`;
    * what is searched and how: `_tree_spec`, `_dynamics`, `_root_noise`;
    * which action is taken, and what is stored and told: `_choose`, `_pick`, `_best`, `_actions`,
      `_explore`, `_answer`, `_stored`, `_told`, `columns`;
    * what stands for a search where there is none: `_without_search`, `_at_random`;
    * what a batch holds: `_current_batch`, `_target_batch` and the records `current_class` and
      `target_class`; what is learned: `_reward_target`, `_value_target`, `_policy_target`,
      `_reanalyze_batch`, `_search_again`;
    * how: `_augmenting_seed`, `_unroll`, `_imagine`, `_losses`, `_head_loss`, `_policy_loss`,
      `_entropy`, `_loss_weights`, `_metrics`;
    * what else changes with a learn step: `_update_target`;
    * what is told of it: `reward_name`, `norm_name`, `untold`, `networks`.
    """

    reward_name: ClassVar[str] = "reward"  # what the reward head tells, in the names of metrics
    norm_name: ClassVar[str] = "total_grad_norm_before_clip"  # under which that norm is told
    # whose dormant neurons are told: what a network is called in a metric -> in the model
    networks: ClassVar[Mapping[str, str]] = {"encoder": "representation", "dynamics": "dynamics"}
    # MuZero's metrics that a variant leaves out; analysis/* is told where a setting asks for it
    untold: ClassVar[frozenset[str]] = frozenset()

    def _init_learn(self) -> None:
        super()._init_learn()
        self._optimizer = make_optimizer(self._model, self._cfg)
        self._learned = list(self._model.parameters())
        self._harmony = self._init_harmony() if self._cfg.model.harmony_balance else None
        self._scheduler = make_scheduler(self._optimizer, self._cfg)
        self._probe = probe_of(self._model, self._cfg)
        self._activity = activity_of(self._model, self._cfg, self.networks)

    def _init_harmony(self) -> Harmony:
        """Make the learned weights of losses, which are optimised and clipped with the network."""
        harmony = Harmony(self._balanced()).to(self._device)
        self._optimizer.add_param_group({"params": [*harmony.parameters()], "weight_decay": 0.0})
        self._learned += harmony.parameters()
        return harmony

    def _forward_learn(self, data: Sequence[Any]) -> dict[str, Any]:
        """Take one optimiser step.

        Args:
            data: [current_batch, target_batch] as `make_batch` returns them, arrays or tensors.
        Returns:
            Floats under the names of `monitor_vars`, and `value_priority_orig`, (B,) float32.
        Raises:
            DivergedError: a loss or gradient is not a number; the weights are as they were, running
                statistics of BatchNorm are not.
        """
        batch, target = self._on_device(data)
        self._model.train()
        self._weights_changed = True  # or soon will be; decisions are made in eval mode
        unrolled = self._unroll(batch)
        parts = self._losses(unrolled, batch, target)
        total = self._total(parts, batch)
        weighted_total = (batch.weights * total).mean()
        grad_norm = self._gradients(weighted_total)
        priority = self._priority(unrolled, target)
        metrics = to_floats(
            {
                **self._metrics(unrolled, parts, batch, target),
                "total_loss": total.mean(),
                "weighted_total_loss": weighted_total,
                "value_priority": priority.mean(),
                self.norm_name: grad_norm,
            }
        )
        self._refuse_divergence(metrics, total, batch)
        self._update()
        if self._rnd is not None:
            metrics |= self._learn_novelty(self._rnd, batch)
        ordered = {name: metrics[name] for name in self._monitor_vars_learn()}
        return {**ordered, "value_priority_orig": priority.cpu().numpy()}

    def _on_device(self, data: Sequence[Any]) -> tuple[CurrentBatch, TargetBatch]:
        """Move a batch to the device; what replay alone reads stays behind."""
        batch, target = self.current_class(*data[0]), self.target_class(*data[1])
        self._check_width(batch.obs)
        self._check_targets(target, batch)
        return tuple(
            half._make(self._moved(name, values) for name, values in half._asdict().items())
            for half in (batch, target)
        )

    def _moved(self, name: str, values: Tensor | Array) -> Tensor | Array:
        if name in ("index", "make_time"):
            return values
        tensor = torch.as_tensor(values)
        if name == "obs":
            return self._network_input(tensor)
        floating = tensor.is_floating_point()
        return tensor.to(self._device, torch.float32 if floating else tensor.dtype)

    def _check_width(self, obs: Tensor | Array) -> None:
        model, unroll = self._cfg.model, self._cfg.num_unroll_steps
        self._check_frames(model)
        expected = (self.frame_stack + unroll) * shapes.frame_width(model)
        if obs.shape[1] != expected:
            raise ShapeError(
                f"obs of the batch has shape {tuple(obs.shape)}; expected {expected} along axis 1: "
                f"(frame_stack_num {self.frame_stack} + num_unroll_steps {unroll}) times "
                f"{shapes.frame_width(model)} channels or numbers of one frame."
            )

    def _check_frames(self, model: Any) -> None:
        """Refuse settings, the documented defaults among them, whose frames do not add up."""
        seen, width = shapes.stacked_shape(model)[0], shapes.frame_width(model)
        if seen != width * self.frame_stack:
            raise ShapeError(
                f"model.observation_shape has {seen} channels or numbers, but frame_stack_num "
                f"{self.frame_stack} times {width} of one frame (image_channel, for pictures) is "
                f"{width * self.frame_stack}. Make the three agree."
            )

    def _check_targets(self, target: TargetBatch, batch: CurrentBatch) -> None:
        value, reward = (torch.as_tensor(t) for t in (target.target_value, target.target_reward))
        fine = (value.isfinite() & reward.isfinite()).all(dim=1)
        if not fine.all():
            raise DivergedError(
                f"Value or reward targets of the replay rows {_some(batch.index, ~fine)} are not "
                "finite; expected numbers. Look for rewards or observations that are not, or lower "
                "learning_rate."
            )

    def _observation(self, obs: Tensor, step: int) -> Tensor:
        """Return the stacked observation (B, *O) of unroll step `step`, augmented if so set."""
        seen = self._as_seen(obs, step)
        if not self._cfg.use_augmentation:
            return seen
        generator = torch.Generator(self._device)
        generator.manual_seed(self._augmenting_seed(step))
        return augment(seen, self._cfg.augmentation, generator)

    def _augmenting_seed(self, step: int) -> int:
        return int(self._learn_seeds(AUGMENT, step))

    def _as_seen(self, obs: Tensor, step: int) -> Tensor:
        """Return the stacked observation (B, *O) of unroll step `step` as it was."""
        width = shapes.frame_width(self._cfg.model)
        if step == 0:
            return obs[:, : width * self.frame_stack]
        begin, end = self._get_target_obs_index_in_step_k(step - 1)
        return obs[:, width + begin : width + end]

    def _get_target_obs_index_in_step_k(self, step: int) -> tuple[int, int]:
        """Return where step k's stacked observation lies in the frames after the first one."""
        width = shapes.frame_width(self._cfg.model)
        return width * step, width * (step + self.frame_stack)

    def _unroll(self, batch: CurrentBatch) -> Unrolled:
        """Take K model steps from the first observation, along the actions that were taken."""
        now = self._model.initial_inference(self._observation(batch.obs, 0))
        steps = [now]
        for k in range(self._cfg.num_unroll_steps):
            scaled = losses.scale_gradient(now.latent_state, self._cfg.latent_grad_scale)
            now = self._imagine(now._replace(latent_state=scaled), batch.action[:, k], k)
            steps.append(now)
        return Unrolled.of(steps)

    def _imagine(self, now: NetworkOutput, action: Tensor, step: int) -> NetworkOutput:
        """Take model step number `step` of an unroll, with actions (B,)."""
        return self._model.recurrent_inference(now.latent_state, action)

    def _losses(
        self, unrolled: Unrolled, batch: CurrentBatch, target: TargetBatch
    ) -> dict[str, Tensor]:
        """Return the parts of the loss by name, (B,) each, summed over the unroll."""
        model, head_loss = self._model, self._head_loss
        value, reward = target.target_value.T, target.target_reward.T[:-1]
        return {
            "policy_loss": self._policy_loss(unrolled, batch, target).sum(0),
            "value_loss": head_loss(unrolled.value, value, model.value_support).sum(0),
            f"{self.reward_name}_loss": head_loss(
                unrolled.reward, reward, model.reward_support
            ).sum(0),
            "policy_entropy": (self._entropy(unrolled.policy_logits) * batch.mask.T).sum(0),
            "consistency_loss": self._consistency_loss(unrolled, batch),
        }

    def _head_loss(self, output: Tensor, scalars: Tensor, support: Support) -> Tensor:
        """Return the loss of a value or reward head; see `losses.head_loss`."""
        return losses.head_loss(output, scalars, support)

    def _policy_loss(self, unrolled: Unrolled, batch: CurrentBatch, target: TargetBatch) -> Tensor:
        """Return how far policies are from the searches', (T, B) for the T steps of `unrolled`."""
        policy = unrolled.aligned(target.target_policy)
        return losses.cross_entropy(unrolled.policy_logits, policy)

    def _entropy(self, policy_logits: Tensor) -> Tensor:
        """Return the entropy of policies (..., A), (...,) in nats."""
        return losses.entropy(policy_logits)

    def _consistency_loss(self, unrolled: Unrolled, batch: CurrentBatch) -> Tensor:
        """Return how far imagined latents are from those of the frames that came, (B,)."""
        if not self._cfg.ssl_loss_weight:
            return torch.zeros_like(batch.weights)
        model, apart = self._model, torch.zeros_like(batch.weights)
        for k in range(1, self._cfg.num_unroll_steps + 1):
            with torch.no_grad():
                seen = model.represent(self._observation(batch.obs, k))
            imagined = model.project(unrolled.latent_state[k], with_grad=True)
            distance = losses.negative_cosine(imagined, model.project(seen, with_grad=False))
            apart = apart + distance * batch.mask[:, k - 1]
        return apart

    def _loss_weights(self) -> dict[str, float]:
        """Return the weight of each part that `_losses` names."""
        cfg = self._cfg
        return {
            "policy_loss": cfg.policy_loss_weight,
            "value_loss": cfg.value_loss_weight,
            f"{self.reward_name}_loss": cfg.reward_loss_weight,
            "policy_entropy": -cfg.policy_entropy_loss_weight,
            "consistency_loss": cfg.ssl_loss_weight,
        }

    def _balanced(self) -> list[str]:
        """Return the parts whose weights harmony_balance learns: those that are never negative."""
        # the entropy is one to be high, and the density of a continuous action may exceed 1
        unbounded = {"policy_loss"} if self._cfg.model.continuous_action_space else set()
        weights = self._loss_weights().items()
        return [name for name, weight in weights if weight > 0.0 and name not in unbounded]

    def _total(self, parts: Mapping[str, Tensor], batch: CurrentBatch) -> Tensor:
        """Return the weighted sum of the parts, (B,)."""
        weights = self._loss_weights()
        weighted = {name: weight * parts[name] for name, weight in weights.items()}
        if self._harmony is not None:
            if "consistency_loss" in weights:  # cosines count from -1 on, the least there is
                steps, weight = batch.mask[:, :-1].sum(1), weights["consistency_loss"]
                weighted["consistency_loss"] = weighted["consistency_loss"] + weight * steps
            weighted = self._harmony(weighted)
        return torch.stack([*weighted.values()]).sum(0)

    def _gradients(self, loss: Tensor) -> Tensor:
        """Replace gradients by those of loss / K, clipped; return their norm before that.

        Of several ranks, loss and gradients are means over all their batches.
        """
        self._optimizer.zero_grad()
        (loss / self._cfg.num_unroll_steps).backward()
        self.sync_gradients(self._learned)
        return nn.utils.clip_grad_norm_(self._learned, self._cfg.grad_clip_value)

    @torch.no_grad()
    def _priority(self, unrolled: Unrolled, target: TargetBatch) -> Tensor:
        """Return |predicted - target value| of the first position, (B,) > 0."""
        predicted = self._model.value_support.decode(unrolled.value[0])
        return (predicted - target.target_value[:, 0]).abs() + 1e-6

    @torch.no_grad()
    def _metrics(
        self,
        unrolled: Unrolled,
        parts: Mapping[str, Tensor],
        batch: CurrentBatch,
        target: TargetBatch,
    ) -> dict[str, Any]:
        """Return what `monitor_vars` names beyond totals and the gradient's norm."""
        steps = self._cfg.num_unroll_steps
        told: dict[str, Any] = analysis(unrolled, self._probe, self._activity)
        told |= {name: part.mean() for name, part in parts.items()}
        told["policy_entropy"] /= steps + 1
        told["consistency_loss"] /= steps
        entropy = losses.target_entropy(target.target_policy).sum(1).mean()
        told |= {
            "collect_mcts_temperature": self._collect_temperature,
            "collect_epsilon": self._collect_epsilon,
            "cur_lr": self._optimizer.param_groups[0]["lr"],
            "target_policy_entropy": entropy / (steps + 1),
        }
        if self._cfg.monitor_extra_statistics:
            told |= self._statistics(unrolled, target)
        return told if self._harmony is None else told | self._harmony.told()

    def _statistics(self, unrolled: Unrolled, target: TargetBatch) -> dict[str, Tensor]:
        reward, name = target.target_reward[:, : self._cfg.num_unroll_steps], self.reward_name
        value, model = target.target_value, self._model
        binned = self._cfg.model.categorical_distribution
        return {
            f"target_{name}": reward.mean(),
            "target_value": value.mean(),
            f"predicted_{name}s": model.reward_support.decode(unrolled.reward).mean(),
            "predicted_values": model.value_support.decode(unrolled.value).mean(),
            f"transformed_target_{name}": (scalar_transform(reward) if binned else reward).mean(),
            "transformed_target_value": (scalar_transform(value) if binned else value).mean(),
        }

    def _refuse_divergence(
        self, metrics: Mapping[str, float], total: Tensor, batch: CurrentBatch
    ) -> None:
        names = ("weighted_total_loss", self.norm_name)
        if all(isfinite(metrics[name]) for name in names):
            return
        loss, norm = (metrics[name] for name in names)
        raise DivergedError(
            f"Learn step {self._learn_step} gave a loss of {loss} and a gradient norm of {norm}; "
            "expected finite numbers. The weights are as they were before it, running statistics "
            "of BatchNorm are not. Replay rows with a broken loss: "
            f"{_some(batch.index, ~total.detach().isfinite())}. Lower learning_rate or "
            "grad_clip_value."
        )

    def _update(self) -> None:
        """Step the optimiser and the schedule, and what follows the weights."""
        self._optimizer.step()
        self._scheduler.step()
        self._learn_step += 1
        self._weights_changed = True
        self._update_target()

    def _update_target(self) -> None:
        """Now and then copy to the target network."""
        if self._learn_step % self._cfg.target_update_freq == 0:
            self._target_model.load_state_dict(self._model.state_dict())
            self._target_inference.refresh()

    def _learn_novelty(self, rnd: RND, batch: CurrentBatch) -> dict[str, float]:
        """Let RND get to know the positions of a batch that have an action; tell how new they were.

        All of t .. t+K are learned: the last ones of a truncated episode are never drawn as t.
        """
        steps = range(self._cfg.num_unroll_steps + 1)
        seen = torch.stack([self._as_seen(batch.obs, k) for k in steps], dim=1)  # (B, K + 1, *O)
        error = rnd.learn(seen[batch.mask > 0])
        rnd.follow(self._model, self._learn_step)
        told = (error.mean(), min_max(error).mean())
        return {name: float(value) for name, value in zip(NOVELTY, told, strict=True)}

    def _monitor_vars_learn(self) -> list[str]:
        names = monitored(self.reward_name, extra_statistics=self._cfg.monitor_extra_statistics)
        untold = self.untold - (set(ANALYSIS) if probing(self._cfg) else set())
        told = [name for name in names if name not in untold]
        told += [part for part in self._loss_weights() if part not in names]
        learned = self._balanced() if self._cfg.model.harmony_balance else []
        told += [metric_of(part) for part in learned]
        return [*told, *NOVELTY] if self._cfg.use_rnd_model else told

    # --- what is kept -----------------------------------------------------------------------------

    def _state_dict_learn(self) -> dict[str, Any]:
        return on_cpu(
            {
                "model": self._model.state_dict(),
                "target_model": self._target_model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "lr_scheduler": self._scheduler.state_dict(),
                "rng": {mode: stream.state_dict() for mode, stream in self._streams.items()},
                "last_iter": self._learn_step,
                "collect_env_step": self._env_step,
                **{name: module.state_dict() for name, module in self._learners().items()},
            }
        )

    def _learners(self) -> dict[str, nn.Module]:
        """Return what learns beside the model, by its name in the state of learning."""
        learners = {"harmony": self._harmony, "rnd": self._rnd}
        return {name: module for name, module in learners.items() if module is not None}

    def _load_state_dict_learn(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the policy that wrote `state_dict` stood; keys of ours may be missing.

        Raises:
            RuntimeError: weights are missing, unknown or of another shape.
        """
        self._model.load_state_dict(need(state_dict, "model"))
        self._target_model.load_state_dict(need(state_dict, "target_model"))
        self._optimizer.load_state_dict(need(state_dict, "optimizer"))
        if "lr_scheduler" in state_dict:
            self._scheduler.load_state_dict(state_dict["lr_scheduler"])
        for name, module in self._learners().items():
            if name in state_dict:
                module.load_state_dict(state_dict[name])
        for mode, stream in state_dict.get("rng", {}).items():
            self._streams[mode].load_state_dict(stream)
        self._learn_step = state_dict.get("last_iter", 0)
        self._env_step = state_dict.get("collect_env_step", 0)
        self._weights_changed = True
        for mode in self._contexts:
            self._forget(mode)
        self._target_inference.refresh()


def _some(index: Tensor | Array, where: Tensor) -> list[int]:
    """Return at most eight of the replay rows (B,) that are marked."""
    return np.asarray(index)[where.cpu().numpy()][:8].tolist()
