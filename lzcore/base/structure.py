"""From plain data to settings: strict, and every mistake reported at once.

In the order data flows: layers of nested plain data are merged, other names of a setting become
its documented one, and what results is structured into an attrs class. A mistake is one line:
where it is, what was given, what was expected. The text "none" means None where a setting may be
None, since TOML has no null.
"""

import numbers
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import reduce
from math import isfinite
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from lzcore.base.errors import ConfigError
from lzcore.base.toml import show
from lzcore.base.wording import arms_of, expectation, hint

T = TypeVar("T")
Field: TypeAlias = "attrs.Attribute[Any]"
Hook: TypeAlias = Callable[[Any, Any], Any]  # (value, type) -> structured value

# --- layers of plain data -------------------------------------------------------------------------


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over each other, tables inside them too; other values replace what was there."""
    return reduce(_laid_over, layers, {})


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping):
            under = merged.get(name)
            value = _laid_over(under if isinstance(under, Mapping) else {}, value)
        merged[name] = value
    return merged


def nest(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn keys such as "model.num_channels" into tables inside tables."""
    return merge(*(_tables(path.split("."), value) for path, value in dotted.items()))


def _tables(names: Sequence[str], value: Any) -> dict[str, Any]:
    return {names[0]: _tables(names[1:], value) if len(names) > 1 else value}


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted path: the inverse of `nest`."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        inner = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return found


def parse_override(text: str) -> dict[str, Any]:
    """Read one override such as "model.num_channels=32".

    Args:
        text: KEY=VALUE; the value is TOML, or else taken as text.
    Raises:
        ConfigError: there is no "=", or a part of the key is empty.
    """
    path, equals, value = text.partition("=")
    names = [name.strip() for name in path.split(".")]
    if not equals or not all(names):
        raise ConfigError(
            f"-o {text}: expected KEY=VALUE with the full name of a setting, "
            "such as -o num_simulations=25 or -o model.num_channels=32."
        )
    return _tables(names, _toml_value(value.strip()))


def _toml_value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


# --- one name for each setting --------------------------------------------------------------------


class Mistake(NamedTuple):
    """One thing that is wrong with what was given."""

    path: str  # dotted; "" for the whole
    text: str  # the whole line, beginning with the path
    between: bool = False  # settings that do not go together, each right in itself


def fields_of(cls: type) -> dict[str, Field]:
    """Return the settings of one class by name, with their types resolved."""
    return attrs.fields_dict(attrs.resolve_types(cls))


def paths_of(cls: type, prefix: str = "") -> dict[str, Field]:
    """Return every setting of a class and of its tables by dotted path, as they are declared."""
    found: dict[str, Field] = {}
    for name, field in fields_of(cls).items():
        found[prefix + name] = field
        if _is_class(field.type):
            found |= paths_of(field.type, f"{prefix}{name}.")  # type: ignore[arg-type]
    return found


def canonical(cls: type, given: Any, prefix: str = "") -> tuple[dict[str, Any], list[Mistake]]:
    """Call every setting by its documented name, here and in the tables inside.

    Args:
        cls: its `aliases` map a name to a name, or to a function of the value that returns
            documented settings and raises ConfigError with what it expected.
        given: nested plain data, or settings objects.
        prefix: what messages put before the names, such as "model.".
    """
    table, mistakes = _renamed(cls, given, prefix)
    for name, field in fields_of(cls).items():
        if _is_class(field.type) and _is_table(table.get(name)):
            table[name], more = canonical(field.type, table[name], f"{prefix}{name}.")  # type: ignore[arg-type]
            mistakes += more
    return table, mistakes


def _renamed(cls: type, given: Any, prefix: str) -> tuple[dict[str, Any], list[Mistake]]:
    table: dict[str, Any] = {}
    source: dict[str, str] = {}  # documented name -> the name it was given under
    mistakes = []
    for name, value in _items(given):
        try:
            meant = _meaning(cls, name, value)
            for target, new in meant.items():
                if target in table and table[target] != new:
                    raise ConfigError(
                        f"means {target} = {show(new)}, but {source[target]} says "
                        f"{show(table[target])}; give one of the two."
                    )
        except ConfigError as err:
            mistakes.append(Mistake(prefix + name, f"{prefix}{name} = {show(value)}: {err}"))
            continue
        table |= meant
        source |= dict.fromkeys(meant, name)
    return table, mistakes


def _meaning(cls: type, name: str, value: Any) -> dict[str, Any]:
    alias = getattr(cls, "aliases", {}).get(name, name)
    return {alias: value} if isinstance(alias, str) else dict(alias(value))


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type) and attrs.has(kind)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or attrs.has(type(value))


def _items(table: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(table, Mapping):
        yield from ((str(name), value) for name, value in table.items())
    else:
        yield from ((name, getattr(table, name)) for name in attrs.fields_dict(type(table)))


# --- structuring ----------------------------------------------------------------------------------


def structure(cls: type[T], given: Any) -> T:
    """Make settings of a class from nested plain data laid over its defaults.

    Raises:
        ConfigError: one line for each unknown name, wrong type, value out of range, and for
            settings that do not go together.
    """
    settings, mistakes = attempt(cls, given)
    if settings is None:
        raise told(mistakes)
    return settings


def told(mistakes: Sequence[Mistake]) -> ConfigError:
    """Return the error that tells of all these mistakes, a line each."""
    if len(mistakes) == 1:
        return ConfigError(mistakes[0].text)
    lines = "".join(f"\n  {mistake.text}" for mistake in mistakes)
    return ConfigError(f"{len(mistakes)} settings cannot be used:{lines}")


def attempt(cls: type[T], given: Any, known: Sequence[str] = ()) -> tuple[T | None, list[Mistake]]:
    """Structure as far as possible.

    Args:
        cls: the settings class.
        given: nested plain data, or a settings object.
        known: further paths, of other tables, that an unknown name may be compared with.
    Returns:
        The settings and no mistake, or None and all mistakes.
    """
    if not _is_table(given):
        line = f"The settings are {show(given)}; expected a table of names and values."
        return None, [Mistake("", line)]
    plain, mistakes = canonical(cls, given)
    try:
        settings = _CONVERTER.structure(plain, cls)
    except ClassValidationError as error:
        return None, mistakes + list(_mistakes(error, plain, "", (*paths_of(cls), *known)))
    return (None if mistakes else settings), mistakes


def _mistakes(
    error: ClassValidationError, given: Mapping[str, Any], prefix: str, known: Sequence[str]
) -> Iterator[Mistake]:
    inside, whole = error.group_exceptions()
    for cause, note in inside:
        if isinstance(cause, ClassValidationError):
            yield from _mistakes(cause, given[note.name], f"{prefix}{note.name}.", known)
        elif isinstance(cause, ConfigError):
            yield Mistake(prefix + note.name, f"{prefix}{cause}")
        else:
            raise cause  # not the user's mistake
    for cause in whole:
        if isinstance(cause, ForbiddenExtraKeysError):
            unknown = [name for name in given if name in cause.extra_fields]
            yield from (_unknown(prefix + name, given[name], known) for name in unknown)
        elif isinstance(cause, ConfigError):
            table = prefix.removesuffix(".")
            for line in str(cause).splitlines():
                yield Mistake(table, f"{table}: {line}" if table else line, between=True)
        else:
            raise cause


def _unknown(path: str, value: Any, known: Sequence[str]) -> Mistake:
    shown = path if _is_table(value) else f"{path} = {show(value)}"
    return Mistake(path, f"{shown}: there is no such setting.{hint(path, known)}")


# --- hooks: what fits which type ------------------------------------------------------------------


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=True)
    for kind in (bool, int, float, str):
        made.register_structure_hook(kind, _scalar)
    made.register_structure_hook_func(_from(Literal), _one_of)
    made.register_structure_hook_func(_is_enum, _member)
    made.register_structure_hook_func(_from(dict, Mapping), _mapping)
    made.register_structure_hook_func(_from(tuple), _tuple)
    made.register_structure_hook_func(lambda kind: len(arms_of(kind)) > 1, _either)
    made.register_structure_hook_factory(attrs.has, _settings_hook)
    return made


def _from(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


_CLASSES: dict[type, type] = {int: numbers.Integral, float: numbers.Real}


def _scalar(value: Any, kind: Any) -> Any:
    """A number of NumPy is one too; a bool is no number, nor is text one."""
    if isinstance(value, bool) is not (kind is bool):
        raise TypeError
    if not isinstance(value, _CLASSES.get(kind, kind)):
        raise TypeError
    try:
        found = kind(value)
    except OverflowError as err:  # an integer beyond all floats
        raise ValueError from err
    if kind is float and not isfinite(found):
        raise ValueError
    return found


def _one_of(value: Any, kind: Any) -> Any:
    for option in get_args(kind):
        if type(value) is type(option) and value == option:
            return option
    raise ValueError


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _member(value: Any, kind: type[Enum]) -> Enum:
    return value if isinstance(value, kind) else kind(value)


def _mapping(value: Any, _: Any) -> dict[str, Any]:
    """A free table, whose names and types nobody here knows."""
    if not isinstance(value, Mapping):
        raise TypeError
    return {str(k): None if isinstance(v, str) and v == "none" else v for k, v in value.items()}


def _tuple(value: Any, kind: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    inner = get_args(kind)
    inner = inner[:1] * len(value) if inner[-1] is ... else inner
    return tuple(_CONVERTER.structure(v, k) for v, k in zip(value, inner, strict=True))


def _either(value: Any, kind: Any) -> Any:
    arms = arms_of(kind)
    if NoneType in arms and (value is None or (isinstance(value, str) and value == "none")):
        return None
    for arm in arms:
        if arm is NoneType:
            continue
        try:
            return _CONVERTER.structure(value, arm)
        except (TypeError, ValueError):
            continue
    raise TypeError


def _settings_hook(cls: type, converter: cattrs.Converter) -> Hook:
    hooks: Any = {name: override(struct_hook=_checked(f)) for name, f in fields_of(cls).items()}
    build: Hook = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **hooks)

    def hook(value: Any, kind: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError
        return build(value, kind)

    return hook


def _checked(field: Field) -> Hook:
    """Structure and check one setting by itself: a class would stop at its first failing check."""

    def hook(value: Any, kind: Any) -> Any:
        try:
            found = _CONVERTER.structure(value, kind)
        except (TypeError, ValueError) as err:
            wanted = expectation(kind, field.validator)
            whole = isinstance(value, float) and value.is_integer() and int in arms_of(kind)
            remedy = f"; write {value:.0f}" if whole else ""
            raise _misfit(field, value, f"expected {wanted}{remedy}") from err
        try:
            if field.validator is not None:
                field.validator(None, field, found)
        except ConfigError:  # says it all
            raise
        except (TypeError, ValueError) as err:
            wanted = expectation(kind, field.validator)
            unsaid = wanted == expectation(kind)
            raise _misfit(
                field, value, str(err.args[0]) if unsaid else f"expected {wanted}"
            ) from err
        return found

    return hook


def _misfit(field: Field, value: Any, text: str) -> ConfigError:
    return ConfigError(f"{field.name} = {show(value)}: {text.removesuffix('.')}.")


_CONVERTER = _converter()
