"""What an algorithm is: it decides, and it learns.

The first half of `Policy` is the documented interface, method for method; the second half is what
a run asks of it beyond that. A policy may be used without a run: construct it with a config and
call the functions of its three modes.

Shape letters: N environments that are ready, A actions.
"""

import os
from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from lzcore.base.config import LoopSettings, PolicySettings
from lzcore.base.env import Observed, Spaces
from lzcore.base.errors import ConfigError, ContractError
from lzcore.base.gradients import GradientMean, Learning
from lzcore.base.replay import Column, ReplaySettings, Segment, Windows
from lzcore.base.tree import SearchResult

Array = npt.NDArray[Any]


class Decisions(Mapping[int, dict[str, Any]]):
    """What a policy decided for N environments: arrays inside, documented dicts on demand."""

    def __init__(
        self,
        env_id: Array,
        columns: Mapping[str, Array],
        describe: Callable[[int], dict[str, Any]] | None = None,
        search: SearchResult | None = None,
    ) -> None:
        """Wrap one record.

        Args:
            env_id: (N,) int64.
            columns: name -> (N, ...); "action" is always there, the others are those that
                `Policy.columns` names and the environment does not fill.
            describe: row -> the documented dict of that environment; by default the columns' row.
            search: that the decisions come from, row by row, for people to look at; None: there
                was none, or it is not told.
        """
        self.env_id = env_id
        self.columns = columns
        self.search = search
        self._row = {int(env): row for row, env in enumerate(env_id.tolist())}
        self._describe = describe or (lambda row: {k: c[row] for k, c in columns.items()})

    def __getitem__(self, env_id: int) -> dict[str, Any]:
        return self._describe(self._row[env_id])

    def __iter__(self) -> Iterator[int]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    @classmethod
    def of(cls, found: Mapping[int, Mapping[str, Any]], env_id: Array) -> "Decisions":
        """Stack a plain dict of dicts, as a policy written elsewhere may return it."""
        if isinstance(found, cls):
            return found
        names = found[int(env_id[0])].keys() if len(env_id) else ()
        return cls(env_id, {k: np.stack([found[int(i)][k] for i in env_id]) for k in names})


class Policy(ABC):
    """The life of an algorithm: `_init_*` once, then `_forward_*` through the three modes."""

    config_class: ClassVar[type[PolicySettings]] = PolicySettings
    total_field: ClassVar[frozenset[str]] = frozenset({"learn", "collect", "eval"})
    learn_function = namedtuple(
        "learn_function",
        "forward reset info monitor_vars get_attribute set_attribute state_dict load_state_dict",
    )
    collect_function = namedtuple(
        "collect_function",
        "forward process_transition get_train_sample reset get_attribute set_attribute "
        "state_dict load_state_dict",
    )
    eval_function = namedtuple(
        "eval_function", "forward reset get_attribute set_attribute state_dict load_state_dict"
    )

    # --- construction ---------------------------------------------------------------------------

    def __init__(
        self,
        cfg: PolicySettings | Mapping[str, Any],
        model: torch.nn.Module | None = None,
        enable_field: Iterable[str] | None = None,
    ) -> None:
        """Make the model, move it to the device and prepare the enabled modes.

        Args:
            cfg: a config of `config_class`, or a mapping of overrides laid over its defaults.
            model: used as it is; None: `default_model()`.
            enable_field: some of learn, collect, eval; None: all three.
        Raises:
            RuntimeError: model is not an nn.Module.
            ValueError: enable_field has a name that is not a mode.
            ConfigError: a setting is unknown or out of range, or the device cannot be used.
            RankError: multi_gpu is on, learn is enabled, and there is no process group.
        """
        self._cfg: Any = self.config_class.of(cfg)
        fields = set(self.total_field if enable_field is None else enable_field)
        if not fields <= self.total_field:
            raise ValueError(
                f"enable_field has {sorted(fields - self.total_field)}; "
                f"expected some of {sorted(self.total_field)}."
            )
        self._enabled = fields
        self._device = self._choose_device()
        self._model = self._create_model(self._cfg, model).to(self._device)
        self._gradient_mean = GradientMean()
        if self._cfg.multi_gpu and "learn" in fields:
            self._init_multi_gpu_setting(self._model, self._cfg.bp_update_sync)
        self._init_shared()
        for name in ("learn", "collect", "eval"):
            if name in fields:
                getattr(self, f"_init_{name}")()

    def _choose_device(self) -> torch.device:
        wanted = self._cfg.device
        if wanted == "auto":
            wanted = "cuda" if self._cfg.cuda and torch.cuda.is_available() else "cpu"
        if wanted == "cuda" and self._cfg.multi_gpu:
            wanted = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        try:
            device = torch.device(wanted)
            torch.zeros(1, device=device).item()  # some devices fail only when they are used
        except (RuntimeError, AssertionError, NotImplementedError) as err:
            why = " ".join(str(err).split()).partition(". ")[0][:200]
            raise ConfigError(
                f'device = "{wanted}": torch cannot compute on it here ({why}). '
                "Choose another one, such as cpu, or auto for what there is."
            ) from err
        return device

    def _create_model(self, cfg: PolicySettings, model: torch.nn.Module | None) -> torch.nn.Module:
        if model is None:
            name, paths = self.default_model()
            model = _model_class(name, paths)(**cfg.model)
        if not isinstance(model, torch.nn.Module):
            raise RuntimeError(f"model has type {type(model)!r}; expected a torch.nn.Module.")
        return model

    def default_model(self) -> tuple[str, list[str]]:
        """Return the model's registered name and the modules that define it."""
        raise NotImplementedError(f"{type(self).__name__} names no default model.")

    @classmethod
    def default_config(cls) -> PolicySettings:
        """Return the documented settings of this policy; RuntimeError on `Policy` itself."""
        if cls.config_class is PolicySettings:
            raise RuntimeError(f"{cls.__name__} is abstract: it has no config of its own.")
        return cls.config_class()

    def _init_shared(self) -> None:
        """Prepare what every mode needs; called once, before the modes."""

    @abstractmethod
    def _init_learn(self) -> None:
        """Make what learning needs: optimizer, schedules, target networks."""

    @abstractmethod
    def _init_collect(self) -> None:
        """Make what deciding in collection needs."""

    @abstractmethod
    def _init_eval(self) -> None:
        """Make what deciding in evaluation needs."""

    # --- the three modes ------------------------------------------------------------------------

    @property
    def cfg(self) -> Any:
        """The settings; their class is `config_class` (Any, so that plugins keep their fields)."""
        return self._cfg

    @property
    def learn_mode(self) -> Any:
        """Bound methods for learning, a fresh `learn_function`."""
        return self.learn_function(
            self._guarded("learn", self._forward_learn),
            self._reset_learn,
            self.__repr__,
            self._monitor_vars_learn,
            self._get_attribute,
            self._set_attribute,
            self._state_dict_learn,
            self._guarded("learn", self._load_state_dict_learn),
        )

    @property
    def collect_mode(self) -> Any:
        """Bound methods for collecting, a fresh `collect_function`."""
        return self.collect_function(
            self._guarded("collect", self._forward_collect),
            self._process_transition,
            self._get_train_sample,
            self._reset_collect,
            self._get_attribute,
            self._set_attribute,
            self._state_dict_collect,
            self._load_state_dict_collect,
        )

    @property
    def eval_mode(self) -> Any:
        """Bound methods for evaluation, a fresh `eval_function`."""
        return self.eval_function(
            self._guarded("eval", self._forward_eval),
            self._reset_eval,
            self._get_attribute,
            self._set_attribute,
            self._state_dict_eval,
            self._load_state_dict_eval,
        )

    def _guarded(self, field: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that needs its mode, or what says that the mode is not enabled."""
        if field in self._enabled:
            return method

        def refuse(*_: Any, **__: Any) -> Any:
            raise RuntimeError(
                f"The {field} mode of this {type(self).__name__} is not enabled; "
                f"construct it with enable_field including {field!r}."
            )

        return refuse

    # --- what a variant defines -----------------------------------------------------------------

    @abstractmethod
    def _forward_learn(self, data: Any) -> dict[str, Any]:
        """Take one learn step.

        Args:
            data: what `make_batch` returned.
        Returns:
            Name -> number, which a run logs. Where replay draws by priority, also the new ones of
            the samples: `value_priority_orig`, (B,) numbers above 0.
        Raises:
            DivergedError: the loss is not a number; nothing was stepped.
        """

    @abstractmethod
    def _forward_collect(self, *args: Any, **kwargs: Any) -> Mapping[int, dict[str, Any]]:
        """Decide for learning: with exploration.

        A run calls it through `decide`: the observations (N, S*F0, *F[1:]) as a tensor, then by
        name `action_mask`, `to_play`, `ready_env_id` (N,), and what `schedule` returned.

        Returns:
            Environment id -> what was decided there, with at least "action"; `Decisions` is such a
            mapping, and its `columns` are what is stored.
        """

    @abstractmethod
    def _forward_eval(self, *args: Any, **kwargs: Any) -> Mapping[int, dict[str, Any]]:
        """Decide greedily; arguments and result as of `_forward_collect`, without a schedule."""

    @abstractmethod
    def _process_transition(
        self, obs: Any, policy_output: Mapping[str, Any], timestep: Any
    ) -> dict[str, Any] | None:
        """Return one step as a dict, for training loops of others; None: there is no such form.

        The loop here stores `columns` and calls it only where `rewrites_transitions` is set.
        """

    @abstractmethod
    def _get_train_sample(self, data: Any) -> Any:
        """Turn transitions into training samples, for training loops of others."""

    def _reset_learn(self, data_id: Sequence[int] | None = None) -> None:
        """Forget per-sample state of learning; nothing by default."""

    def _reset_collect(self, data_id: Sequence[int] | None = None) -> None:
        """Forget what is remembered of these environments (None: all); nothing by default.

        An episode may go on in the next iteration, and after a resume: what is remembered of it
        belongs into `_state_dict_collect`.
        """

    def _reset_eval(self, data_id: Sequence[int] | None = None) -> None:
        """Forget what is remembered of these environments (None: all); nothing by default."""

    def _monitor_vars_learn(self) -> list[str]:
        """Return the names of what `_forward_learn` tells."""
        return ["cur_lr", "total_loss"]

    def _get_attribute(self, name: str) -> Any:
        """Return what `_get_<name>` does, or `_<name>`; NotImplementedError if there is neither."""
        if hasattr(self, f"_get_{name}"):
            return getattr(self, f"_get_{name}")()
        if hasattr(self, f"_{name}"):
            return getattr(self, f"_{name}")
        raise NotImplementedError(f"{type(self).__name__} has no attribute {name!r}.")

    def _set_attribute(self, name: str, value: Any) -> None:
        """Set `_<name>`."""
        setattr(self, f"_{name}", value)

    def _get_batch_size(self) -> int | dict[str, int]:
        """Return how many samples a learn step takes."""
        return self._cfg.batch_size  # type: ignore[no-any-return]

    def _get_n_sample(self) -> int | None:
        """Return how many steps a collection takes, if it counts steps."""
        return self._cfg.get("n_sample")  # type: ignore[no-any-return]

    def _get_n_episode(self) -> int | None:
        """Return how many episodes a collection takes, if it counts episodes."""
        return self._cfg.get("n_episode")  # type: ignore[no-any-return]

    # --- several ranks --------------------------------------------------------------------------

    def _init_multi_gpu_setting(self, model: Learning, bp_update_sync: bool) -> None:
        """Give `model` rank 0's weights on every rank, and prepare `sync_gradients` for it.

        Called for the policy's model before the modes are prepared. What else learns (a second
        network, weights of losses) is named by a call in `_init_learn`.

        Args:
            model: a module, whose buffers are copied too, or parameters; what one backward
                reaches is named together if `bp_update_sync` is False.
            bp_update_sync: average gradients after backward, in one message; False: while backward
                goes on, parameter by parameter.
        Raises:
            RankError: a RuntimeError; there is no process group.
        """
        self._gradient_mean.begin(model, overlap=not bp_update_sync)

    def sync_gradients(self, model: Learning) -> None:
        """Average gradients over the ranks: after backward, before clipping and stepping.

        Without `multi_gpu`, nothing happens.

        Args:
            model: a module or parameters; one without gradient counts as having zeros.
        Raises:
            RankError: a RuntimeError; another rank has ended.
        """
        if self._cfg.multi_gpu:
            self._gradient_mean.finish(model)

    # --- state ----------------------------------------------------------------------------------

    @abstractmethod
    def _state_dict_learn(self) -> dict[str, Any]:
        """Return all that the next learn step depends on: weights, optimizer, counters, generators.

        Tensors, numeric arrays, numbers, text and dicts, lists or tuples of them.
        """

    @abstractmethod
    def _load_state_dict_learn(self, state_dict: Mapping[str, Any]) -> None:
        """Go on exactly where the policy that returned `state_dict` stood."""

    def _state_dict_collect(self) -> dict[str, Any]:
        """Return the weights, and what is remembered of running episodes."""
        return {"model": self._model.state_dict()}

    def _load_state_dict_collect(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `_state_dict_collect` returned."""
        self._model.load_state_dict(state_dict["model"], strict=True)

    def _state_dict_eval(self) -> dict[str, Any]:
        """Return the weights that play: what `best.pt` holds."""
        return self._state_dict_collect()

    def _load_state_dict_eval(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `_state_dict_eval` returned."""
        self._load_state_dict_collect(state_dict)

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self._model.parameters())
        return (
            f"{type(self).__name__}\n  modes: {', '.join(sorted(self._enabled))}\n"
            f"  model: {type(self._model).__name__}, {size:,} parameters\n  device: {self._device}"
        )

    # --- what a run asks beyond the documented interface ------------------------------------------

    frame_stack: int = 1  # frames of history that `decide` expects in each observation
    plans_with_rules: bool = False  # whether it needs environments that have a `simulator`
    rewrites_transitions: bool = False  # whether `_process_transition` returns rows of its own
    # None: it never resigns. Else what it decides for collection has a column "resigns", (N,) bool:
    # who moves gives the game up; this share of the games is played to the end all the same
    resign_played_on: float | None = None

    @classmethod
    def check_spaces(cls, spaces: Spaces) -> str | None:
        """Return None if the policy can act in these spaces, else one line that says why not."""
        return None

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict.

        Args:
            spaces: of the environment, with its `env.*` settings applied.
            given: what preset and user set, nested; it overrides what is returned.
        """
        return {}

    @classmethod
    @abstractmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step.

        The environment fills observation, action_mask, to_play, timestep, chance (of the state
        before the action) and reward; `in_hindsight` fills what is declared so; every other name
        is taken from `Decisions.columns`.
        """

    @abstractmethod
    def replay_settings(self) -> ReplaySettings:
        """Return how the data wants to be kept and drawn."""

    @abstractmethod
    def make_batch(self, windows: Windows) -> Any:
        """Turn sampled positions into what `_forward_learn` takes: targets, bootstraps."""

    def reanalyze(self, windows: Windows) -> Mapping[str, float]:
        """Search the positions of old windows again and overwrite what is stored of them.

        Asked for by `LoopSettings.buffer_reanalyze_freq`.

        Returns:
            Numbers that are logged beside those of learning, averaged over an iteration.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has nothing to reanalyze; set buffer_reanalyze_freq to 0."
        )

    def loop_settings(self) -> LoopSettings:
        """Return the settings that the training loop itself reads."""
        return LoopSettings.of(self._cfg)

    def facts(self) -> dict[str, str]:
        """Return what people should know is in force and no setting says, such as the tree."""
        return {}

    def begin_iteration(self, iteration: int) -> None:
        """Restart the random streams of collection for iteration `iteration`."""

    def schedule(self, learn_step: int, env_step: int) -> dict[str, float]:
        """Return the keyword arguments of `_forward_collect` that change with progress."""
        return {}

    def decide(self, mode: str, seen: Observed, **schedule: float) -> Decisions:
        """Decide for the environments of `seen`.

        Args:
            mode: "collect", "eval", or "random" (uniform over the legal actions).
            seen: with frames already stacked (`frame_stack`).
            schedule: what `schedule()` returned; empty for eval.
        """
        given: dict[str, Any] = {
            "action_mask": seen.action_mask,
            "to_play": seen.to_play,
            "ready_env_id": seen.env_id,
        }
        data = torch.from_numpy(seen.observation)
        if mode == "collect":
            found = self.collect_mode.forward(data, **given, **schedule)
        elif mode == "eval":
            found = self.eval_mode.forward(data, **given)
        else:
            return self.decide_at_random(seen)
        self._require_each(found, seen.env_id)
        return Decisions.of(found, seen.env_id)

    def _require_each(self, found: Any, env_id: Array) -> None:
        if not isinstance(found, Mapping):
            was = type(found).__name__
            raise ContractError(self, f"decided a {was}; expected a dict for each environment.")
        left_out = [env for env in env_id.tolist() if env not in found]
        if left_out:
            raise ContractError(self, f"decided nothing for the environments {left_out}.")

    def decide_at_random(self, seen: Observed) -> Decisions:
        """Decide uniformly over legal actions, with columns a target can be made of."""
        raise NotImplementedError(
            f"{type(self).__name__} has no random policy; set random_collect_episode_num to 0."
        )

    def in_hindsight(self, segment: Segment) -> Mapping[str, Array]:
        """Return the columns that only the end of an episode decides, such as who won.

        Args:
            segment: with the closing row of the episode; of a whole one, unless it is cut into
                segments while it is played (`LoopSettings.num_segments`).
        Returns:
            Column -> (L + 1, *shape), for each `Column.in_hindsight`.
        """
        raise NotImplementedError(f"{type(self).__name__} declares columns that it does not fill.")

    def initial_priority(self, segment: Segment) -> Array | None:
        """Return (L,) priorities of new rows, above 0; None: the buffer's current maximum."""
        return None

    def after_learning(self) -> None:
        """Called once after the learn steps of an iteration: drop caches of old weights."""


def _model_class(name: str, paths: Sequence[str]) -> Callable[..., torch.nn.Module]:
    for path in paths:
        found = getattr(import_module(path), name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise RuntimeError(f"None of {list(paths)} defines the model {name!r}.")
