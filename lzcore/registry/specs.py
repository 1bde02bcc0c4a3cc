"""What a plugin says of the components it brings.

A spec is a small record. It names its classes as "package.module:Class", so that finding out what
is installed imports none of them; `load` imports one when it is first needed.
"""

import re
from importlib import import_module
from typing import Any, ClassVar

import attrs

from lzcore.base.errors import PluginError
from lzcore.registry.faults import FAULTS, told
from lzcore.registry.patience import importing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PREFIX = re.compile(r"[^/:\s]*")
_PACKAGE = re.compile(r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")


def _wrong(spec: "Spec", field: "attrs.Attribute[Any]", value: Any, expected: str) -> PluginError:
    return PluginError(f"{type(spec).__name__}.{field.name} is {value!r}; expected {expected}")


def _matching(pattern: re.Pattern[str], expected: str) -> Any:
    def check(spec: "Spec", field: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _wrong(spec, field, value, expected)

    return check


def _of_type(wanted: type) -> Any:
    def check(spec: "Spec", field: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, wanted):
            raise _wrong(spec, field, value, f"a {wanted.__name__}")

    return check


def _class_path() -> Any:
    check = _matching(_PATH, 'a string like "package.module:Class"')
    return attrs.field(validator=check, metadata={"class": True})


def _text(default: str = "") -> Any:
    return attrs.field(default=default, validator=_of_type(str))


@attrs.frozen(kw_only=True)
class Spec:
    """What every component says of itself."""

    kind: ClassVar[str]  # the plural that the registry files it under
    word: ClassVar[str]  # what messages call one of them
    main: ClassVar[str]  # the field that names the component's own class

    name: str = attrs.field(validator=_matching(_NAME, 'a name like "my_policy" without ":"'))
    summary: str = attrs.field(validator=_of_type(str))  # one line for `lz list`

    @classmethod
    def class_fields(cls) -> tuple[str, ...]:
        """Names of the fields that hold a class as "package.module:Class"."""
        return tuple(f.name for f in attrs.fields(cls) if f.metadata.get("class"))


@attrs.frozen(kw_only=True)
class PolicySpec(Spec):
    """An algorithm: from this alone a run can be assembled."""

    kind, word, main = "policies", "policy", "policy"

    policy: str = _class_path()  # a lzcore.base.Policy
    config: str = _class_path()  # its lzcore.base.PolicySettings, the same as Policy.config_class
    default_model: str = _text()  # a registered model, or "" where the policy makes its own
    buffer: str = _text("replay")  # a registered buffer
    presets: str = attrs.field(  # the package that holds preset TOML files, or ""
        default="", validator=_matching(_PACKAGE, 'a package like "my_plugin.presets", or ""')
    )
    paper: str = _text()  # where the algorithm was published


@attrs.frozen(kw_only=True)
class ModelSpec(Spec):
    """A network."""

    kind, word, main = "models", "model", "model"

    model: str = _class_path()  # an nn.Module that is a lzcore.base.Model
    policy: str = _text()  # that takes it by `model.name`, for checks; "": one names it as its own


@attrs.frozen(kw_only=True)
class SearchTreeSpec(Spec):
    """A search tree."""

    kind, word, main = "trees", "tree", "tree"

    tree: str = _class_path()  # a lzcore.base.Tree
    compiled: bool = attrs.field(validator=_of_type(bool))  # "auto" takes compiled ones first
    # whether it searches by the rules of docs/search.md: the kit then compares it with others
    reference: bool = attrs.field(default=True, validator=_of_type(bool))


@attrs.frozen(kw_only=True)
class BufferSpec(Spec):
    """A replay buffer."""

    kind, word, main = "buffers", "buffer", "buffer"

    # a lzcore.base.Buffer, made as Class(columns, settings, key), with ranks=... if there are some
    buffer: str = _class_path()


@attrs.frozen(kw_only=True)
class EnvSpec(Spec):
    """A kind of environments, and which environment ids it answers to."""

    kind, word, main = "envs", "environment kind", "env"

    env: str = _class_path()  # a lzcore.base.Env, made as Class(make_id, num_envs, settings)
    config: str = _class_path()  # the lzcore.base.Settings of its `env` table
    prefix: str = attrs.field(  # the part of an id before "/"; "" only for the core's own kind
        default="", validator=_matching(_PREFIX, 'the part of an id before "/"')
    )
    example: str = _text()  # an id of this kind that is quick to play, for checks; "" names none


@attrs.frozen(kw_only=True)
class OpponentSpec(Spec):
    """A player to learn or be measured against in a two-player game."""

    kind, word, main = "opponents", "opponent", "opponent"

    opponent: str = _class_path()  # a lzcore.base.Opponent, made as Class(simulator, argument)


@attrs.frozen(kw_only=True)
class RunnerSpec(Spec):
    """A way to carry a run out: here, or spread over processes and machines."""

    kind, word, main = "runners", "runner", "runner"

    runner: str = _class_path()  # run(plan) -> outcome


SPECS: tuple[type[Spec], ...] = (
    PolicySpec,
    ModelSpec,
    SearchTreeSpec,
    BufferSpec,
    EnvSpec,
    OpponentSpec,
    RunnerSpec,
)
KINDS: dict[str, type[Spec]] = {spec.kind: spec for spec in SPECS}


def load(path: str) -> Any:
    """Import what "package.module:Class" names.

    Raises:
        PluginError: the module is missing or fails to import, or has no such class or function.
    """
    module, _, name = path.partition(":")
    try:
        with importing(module):
            found = getattr(import_module(module), name)
    except FAULTS as err:
        raise PluginError(f"{path} cannot be imported: {told(err)}") from err
    if not callable(found):
        raise PluginError(f"{path} is of type {type(found).__name__}; expected a class or function")
    return found
