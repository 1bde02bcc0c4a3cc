"""What to say of a name that nothing installed provides: why, what would do, how to get it."""

import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import attrs

from lzcore.base.errors import UnknownNameError, nearest
from lzcore.registry.discovery import Plugin
from lzcore.registry.specs import KINDS


@attrs.frozen
class Known:
    """A distribution of this project, installed or not (`known.toml`)."""

    distribution: str
    summary: str
    provides: dict[str, list[str]]  # kind -> names


@cache
def known_distributions() -> tuple[Known, ...]:
    """Return what `known.toml` lists, in its order."""
    text = files("lzcore.registry").joinpath("known.toml").read_text(encoding="utf-8")
    return tuple(
        Known(name, entry.pop("summary"), entry) for name, entry in tomllib.loads(text).items()
    )


def installable(plugins: Iterable[Plugin]) -> list[Known]:
    """Return the known distributions that are not installed."""
    installed = {plugin.distribution for plugin in plugins}
    return [known for known in known_distributions() if known.distribution not in installed]


def unknown_name(
    kind: str,
    name: str,
    components: Sequence[Any],
    plugins: Sequence[Plugin],
    strangers: Sequence[str] = (),
) -> UnknownNameError:
    """Word the error for a name that no component of its kind has.

    Args:
        kind: as in the registry.
        name: what was asked for, bare or "distribution:name".
        components: those of this kind that are installed.
        plugins: all that were found.
        strangers: names in LZ_PLUGINS that nothing installed has.
    """
    names = sorted(
        {c.qualified if ":" in name or c.state == "conflict" else c.name for c in components}
    )
    home = _home(kind, name)
    parts = [
        f"No installed plugin provides the {KINDS[kind].word} {name!r}.",
        _how_to_get(home, plugins) if home else "",
        f"Installed: {', '.join(names) or 'none'}.",
        "" if home else _nearest(kind, name, [*names, *(c.name for c in components)], plugins),
        *(_stranger(stranger, plugins) for stranger in strangers),
        *(_unusable(p) for p in plugins if p.state != "ok" and p.distribution != home),
    ]
    return UnknownNameError(" ".join(part for part in parts if part))


def _home(kind: str, name: str) -> str:
    distribution, _, bare = name.rpartition(":")
    for known in known_distributions():
        if bare in known.provides.get(kind, ()) and distribution in ("", known.distribution):
            return known.distribution
    return ""


def _how_to_get(home: str, plugins: Sequence[Plugin]) -> str:
    installed = sorted(
        (p for p in plugins if p.distribution == home), key=lambda plugin: plugin.state == "ok"
    )
    if not installed:
        return f"`pip install {home}` brings it."
    plugin = installed[0]  # one that is not ok, if any
    if plugin.state == "ok":
        return f"{plugin.label} is installed without it; try `pip install --upgrade {home}`."
    return f"{plugin.label} would, but it is {plugin.state}: {plugin.cause}."


def _nearest(kind: str, name: str, names: Sequence[str], plugins: Sequence[Plugin]) -> str:
    elsewhere = {
        found: known.distribution
        for known in installable(plugins)
        for found in known.provides.get(kind, ())
    }
    hint = nearest(name, [*names, *elsewhere]).strip()
    meant = next((found for found in elsewhere if repr(found) in hint), "")
    return f"{hint} `pip install {elsewhere[meant]}` brings it." if meant else hint


def _stranger(name: str, plugins: Sequence[Plugin]) -> str:
    known = [spelling for p in plugins for spelling in (p.name, p.distribution)]
    return f"LZ_PLUGINS names {name!r}, which is not installed.{nearest(name, known)}"


def _unusable(plugin: Plugin) -> str:
    return f"{plugin.label} is {plugin.state}: {plugin.cause}."
