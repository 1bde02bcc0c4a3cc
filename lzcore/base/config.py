"""Settings: frozen classes in which each field carries default, check, help and unit.

A config is read by attribute (`cfg.model.num_channels`), by item (`cfg["model"]`) and by `get`;
it unpacks like a mapping (`Model(**cfg.model)`). `Settings.of` turns any mapping into one and
reports every mistake at once, each with its path and the nearest known name.

A check is an attrs validator and looks at one value; what holds between settings is said in
`Settings.conflicts`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import attrs
from attrs import validators as v

from lzcore.base.errors import ConfigError
from lzcore.base.structure import structure
from lzcore.base.toml import show


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    check: Any = None,
    extension: bool = False,
    noop: bool = False,
    spaces: bool = False,
) -> Any:
    """Declare one setting.

    Args:
        default: the value, or an attrs.Factory.
        help: one sentence; says so if the setting is accepted without effect.
        unit: of the number ("steps", "bytes", ...), or "".
        check: an attrs validator, or a list of them, beyond the type.
        extension: what a policy of lz adds to the interface that it keeps to: `lz config explain`
            says so, `lz config show --documented` leaves it out. Settings of others need it not.
        noop: accepted for compatibility and read by nothing.
        spaces: a fact of the environment; in a run, another value is refused.
    """
    facts = {"help": help, "unit": unit, "extension": extension, "noop": noop, "spaces": spaces}
    return attrs.field(default=default, validator=check, metadata=facts)


class Only:
    """A check that refuses every value but the default, and says why."""

    def __init__(self, reason: str, *, refused: tuple[Any, ...] = ()) -> None:
        """Prepare the check.

        Args:
            reason: follows the value in the message, such as "not in this version of lz-muzero".
            refused: the values it is about; none: all but the default.
        """
        self.reason = reason
        self.refused = refused
        self.words = [] if refused else [f"the default only ({reason})"]

    def __call__(self, _: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
        """Raise ConfigError if the value is refused."""
        if value in self.refused if self.refused else value != field.default:
            raise ConfigError(
                f"{field.name} = {show(value)}: {self.reason}; leave it at {show(field.default)}."
            )


@attrs.frozen(kw_only=True)
class Settings:
    """Base of every settings class: access by attribute, item and get; strict from mappings."""

    # other name -> documented name, or a function of the value that returns documented settings
    aliases: ClassVar[Mapping[str, str | Callable[[Any], dict[str, Any]]]] = {}

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each group of settings that do not go together."""
        yield from ()

    def __attrs_post_init__(self) -> None:
        lines = list(self.conflicts())
        if lines:
            raise ConfigError("\n".join(lines))

    @classmethod
    def of(cls, given: "Settings | Mapping[str, Any]") -> Self:
        """Return a config of this class: `given` itself, or its keys laid over the defaults.

        Raises:
            ConfigError: with one line for each unknown key, wrong type or value out of range.
        """
        return given if isinstance(given, cls) else structure(cls, given)

    def to_dict(self, *, documented: bool = False) -> dict[str, Any]:
        """Return nested plain data; `documented` leaves the extensions out."""
        found = {}
        for name, field in attrs.fields_dict(type(self)).items():
            if documented and field.metadata.get("extension"):
                continue
            value = getattr(self, name)
            nested = isinstance(value, Settings)
            found[name] = value.to_dict(documented=documented) if nested else value
        return found

    def keys(self) -> Iterator[str]:
        """Names of the settings, in order of declaration."""
        return iter(attrs.fields_dict(type(self)))

    def __getitem__(self, name: str) -> Any:
        if name not in attrs.fields_dict(type(self)):
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` where this class has none of that name."""
        return getattr(self, name) if name in attrs.fields_dict(type(self)) else default


@attrs.frozen(kw_only=True)
class ModelSettings(Settings):
    """Base of a policy's `model` table."""


@attrs.frozen(kw_only=True)
class LearnSettings(Settings):
    """The `learn` table of the documented base config."""

    resume_training: bool = setting(False, "No effect: `lz run --resume` resumes.", noop=True)


@attrs.frozen(kw_only=True)
class PolicySettings(Settings):
    """The documented base of every policy's config, and what every run needs besides."""

    on_policy: bool = setting(False, "No effect: every policy here learns from replay.", noop=True)
    cuda: bool = setting(False, "Use the GPU if there is one.")
    multi_gpu: bool = setting(False, "Average gradients over the ranks that torchrun has started.")
    bp_update_sync: bool = setting(
        True, "With multi_gpu: exchange gradients after backward rather than during it."
    )
    traj_len_inf: bool = setting(False, "No effect: episodes are stored whole.", noop=True)
    model: ModelSettings = setting(attrs.Factory(ModelSettings), "The network.")
    learn: LearnSettings = setting(attrs.Factory(LearnSettings), "Learning, documented part.")
    device: str = setting("auto", "Torch device; auto follows `cuda`.", extension=True)
    seed: int = setting(
        0, "Seed of the policy's random streams; a run sets it.", check=v.ge(0), extension=True
    )

    @property
    def cfg_type(self) -> str:
        """The documented name of this config's type, such as MuZeroPolicyDict."""
        return type(self).__name__.removesuffix("Config").removesuffix("Settings") + "PolicyDict"


@attrs.frozen(kw_only=True)
class LoopSettings:
    """What the training loop reads of a policy's config, under its documented names."""

    batch_size: int
    collector_env_num: int = 8
    evaluator_env_num: int = 3
    n_episode: int = 8
    num_segments: int | None = None  # of an iteration, instead of episodes
    game_segment_length: int = 200
    update_per_collect: int | None = None
    replay_ratio: float = 0.25
    eval_freq: int = 2000
    random_collect_episode_num: int = 0
    train_start_after_envsteps: int = 0
    buffer_reanalyze_freq: float = 0.0  # reanalyses for each iteration that learns; 0: never
    reanalyze_batch_size: int = 160
    reanalyze_partition: float = 0.75
    reanalyze_start_after_transitions: int = 2000
    ignore_done: bool = False
    eval_offline: bool = False

    @property
    def collected_at_once(self) -> int:
        """How many segments an iteration collects, or episodes where it counts these."""
        return self.n_episode if self.num_segments is None else self.num_segments

    @classmethod
    def of(cls, cfg: Settings) -> "LoopSettings":
        """Take the fields that `cfg` has; the others keep the documented defaults."""
        names = attrs.fields_dict(cls)
        return cls(**{name: cfg[name] for name in names if cfg.get(name, cls) is not cls})
