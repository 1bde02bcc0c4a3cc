"""What a plugin's README tells, held against its code: tables of settings, names of numbers.

A table stands between two comments of one mark, such as `<!-- settings -->`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import attrs

from lzcore.base.config import Only, PolicySettings
from lzcore.base.structure import paths_of
from lzcore.base.toml import show

# mark -> whose settings, and a class whose own are left out; None: all are told
Tables: TypeAlias = Mapping[str, tuple[type[PolicySettings], type[PolicySettings] | None]]


def settings_table(config: type[PolicySettings], base: type[PolicySettings] | None = None) -> str:
    """Return a table of settings in Markdown, made from their metadata.

    Args:
        config: whose settings.
        base: what `config` has just as this one is left out; None: nothing is.
    """
    known = paths_of(base) if base else {}
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for path, field in paths_of(config).items():
        if isinstance(field.default, attrs.Factory) or field == known.get(path):  # type: ignore[arg-type]
            continue
        told = field.metadata
        only = field.validator if isinstance(field.validator, Only) else None
        meaning = told["help"].replace("|", "\\|")
        if only and not only.refused:
            meaning += f" Fixed: {only.reason}."
        mark = " \\*" if told["extension"] else ""
        lines.append(f"| `{path}`{mark} | `{show(field.default)}` | {told['unit']} | {meaning} |")
    return "\n".join(lines)


def check_settings_table(readme: Path, tables: Tables, mark: str) -> None:
    """Hold one table of a README against the settings that it tells."""
    found = _between(readme.read_text(), mark)
    assert found, f"{readme} has no <!-- {mark} --> pair"
    told = (
        f"<!-- {mark} --> of {readme} is not what the settings say; write_settings_tables mends it"
    )
    assert found.group() == settings_table(*tables[mark]), told


def write_settings_tables(readme: Path, tables: Tables) -> None:
    """Put each table between its marks, which a README has already."""
    text = readme.read_text()
    for mark, classes in tables.items():
        found = _between(text, mark)
        assert found, f"{readme} has no <!-- {mark} --> pair"
        text = text[: found.start()] + settings_table(*classes) + text[found.end() :]
    readme.write_text(text)


def explained(readme: Path) -> set[str]:
    """Return the names in the first column of all tables."""
    cells = re.findall(r"^\| (`.*?`) \|", readme.read_text(), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w/]+)`", cell)}


def _between(text: str, mark: str) -> re.Match[str] | None:
    return re.search(rf"(?<=<!-- {mark} -->\n).*?(?=\n<!-- {mark} -->)", text, re.DOTALL)
