"""What a setting means and which layer decided it; how two sets of settings differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from lzcore.base.config import Only, Settings
from lzcore.base.errors import ConfigError
from lzcore.base.structure import fields_of, flat, paths_of
from lzcore.base.wording import expectation, hint
from lzcore.engine.layers import Layer

ABSENT = object()  # the value of a setting that one of two does not have


@attrs.frozen(kw_only=True)
class Explanation:
    """One setting."""

    path: str
    help: str
    unit: str
    expected: str  # type and bounds, in words
    remarks: tuple[str, ...]
    value: Any  # in force
    said: tuple[tuple[str, Any], ...]  # (layer, value), the class default first; the last wins


@attrs.frozen
class Difference:
    """A setting that two sets of settings do not agree on."""

    path: str
    left: Any
    right: Any
    layer: str = ""  # that made the right one differ, where known


def explain(settings: type[Settings], layers: Sequence[Layer], key: str, value: Any) -> Explanation:
    """Tell what is known of one setting.

    Args:
        settings: the class that has it.
        layers: lowest first, with documented names.
        key: dotted path.
        value: in force.
    """
    field = paths_of(settings)[key]
    remarks = [text for mark, text in _REMARKS.items() if field.metadata.get(mark)]
    remarks += [f"also called {name}" for name in _other_names(settings, key)]
    said = [("class default", defaults(settings).get(key))]
    said += [(layer.name, flat(layer.values)[key]) for layer in layers if key in flat(layer.values)]
    return Explanation(
        path=key,
        help=field.metadata.get("help", ""),
        unit=field.metadata.get("unit", ""),
        expected=expectation(field.type, field.validator),
        remarks=tuple(remarks),
        value=value,
        said=tuple(said),
    )


_REMARKS = {
    "extension": "an extension: not part of the documented interface",
    "noop": "accepted without effect",
    "spaces": "a fact of the environment: a run takes it from there",
}


def find_key(settings: type[Settings], key: str) -> str:
    """Return the documented path of a setting.

    Args:
        settings: the class to look in.
        key: dotted path; other names that settings go by are known too.
    Raises:
        ConfigError: there is no such setting; the message has the nearest name.
    """
    known = paths_of(settings)
    if key == "seed" and "run.seed" in known:
        return "run.seed"  # which the policy's follows
    if key in known:
        return key
    table, _, name = key.rpartition(".")
    alias = _aliases(settings, table).get(name)
    if alias is None:
        raise ConfigError(f"{key}: there is no such setting.{hint(key, tuple(known))}")
    if not isinstance(alias, str):
        raise ConfigError(f"{key}: another way to give settings of {table or 'the policy'}.")
    return f"{table}.{alias}" if table else alias


def _other_names(settings: type[Settings], key: str) -> Iterator[str]:
    table, _, name = key.rpartition(".")
    yield from (other for other, meant in _aliases(settings, table).items() if meant == name)


def _aliases(settings: type[Settings], table: str) -> Mapping[str, Any]:
    owner = getattr(paths_of(settings).get(table), "type", None) if table else settings
    return getattr(owner, "aliases", {})


def defaults(settings: type[Settings]) -> dict[str, Any]:
    """Return the class defaults by dotted path."""
    return flat(settings().to_dict())


def differences(
    left: Mapping[str, Any], right: Mapping[str, Any], layers: Sequence[Layer] = ()
) -> list[Difference]:
    """Compare nested settings.

    Args:
        left: for instance the defaults.
        right: what is compared with them.
        layers: those of `right`, lowest first.
    """
    one, other = flat(left), flat(right)
    sources = {path: layer.name for layer in layers for path in flat(layer.values)}
    return [
        Difference(path, one.get(path, ABSENT), other.get(path, ABSENT), sources.get(path, ""))
        for path in {**one, **other}
        if one.get(path, ABSENT) != other.get(path, ABSENT)
    ]


def selected(settings: type[Settings], values: Mapping[str, Any], which: str) -> dict[str, Any]:
    """Keep a part of nested settings.

    Args:
        settings: the class that they are of.
        values: nested.
        which: "all", "documented" (no extensions), or "effective" (nothing that has no effect or
            cannot be changed).
    """
    kept = {}
    for name, field in fields_of(settings).items():
        if name not in values or not _keeps(field, which):
            continue
        value = values[name]
        if attrs.has(field.type):  # type: ignore[arg-type]
            value = selected(field.type, value, which)  # type: ignore[arg-type]
            if not value:  # nothing of this table is kept
                continue
        kept[name] = value
    return kept


def _keeps(field: "attrs.Attribute[Any]", which: str) -> bool:
    facts = field.metadata
    if which == "documented":
        return facts.get("extension") is False  # the tables `env` and `run` do not say
    fixed = isinstance(field.validator, Only) and not field.validator.refused
    return which == "all" or not (facts.get("noop") or fixed)
