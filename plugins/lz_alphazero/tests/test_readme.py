"""The README tells every setting and every logged number.

Run as a script, this file writes the settings table into the README.
"""

import re
from pathlib import Path

import attrs
import pytest
from lz_alphazero.config import AlphaZeroConfig, GumbelAlphaZeroConfig, SampledAlphaZeroConfig

from lzcore.base.config import Only
from lzcore.base.structure import paths_of
from lzcore.base.toml import show

README = Path(__file__).parents[1] / "README.md"
TABLES = {  # mark in the README -> whose settings, without those of
    "settings": (AlphaZeroConfig, None),
    "settings of gumbel_alphazero": (GumbelAlphaZeroConfig, AlphaZeroConfig),
    "settings of sampled_alphazero": (SampledAlphaZeroConfig, AlphaZeroConfig),
}


def table_in(text, mark):
    """Find the table between two marks: a match of (mark, table, mark)."""
    return re.search(rf"(<!-- {mark} -->\n)(.*?)(\n<!-- {mark} -->)", text, re.DOTALL)


def settings_table(config, base):
    """Return a table of settings in Markdown, made from their metadata.

    `base`: leave out what `config` has just as this one; None: nothing.
    """
    known = paths_of(base) if base else {}
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for path, field in paths_of(config).items():
        if isinstance(field.default, attrs.Factory) or field == known.get(path):
            continue
        told = field.metadata
        only = field.validator if isinstance(field.validator, Only) else None
        help_ = told["help"].replace("|", "\\|")
        if only and not only.refused:
            help_ += f" Fixed: {only.reason}."
        mark = " \\*" if told["extension"] else ""
        lines.append(f"| `{path}`{mark} | `{show(field.default)}` | {told['unit']} | {help_} |")
    return "\n".join(lines)


@pytest.mark.parametrize("mark", TABLES)
def test_a_settings_table_is_up_to_date(mark):
    found = table_in(README.read_text(), mark)

    assert found, f"the README has no <!-- {mark} --> pair"
    assert found.group(2) == settings_table(*TABLES[mark]), f"run: python {Path(__file__).name}"


def test_every_logged_number_is_explained(make_policy, kind):
    cells = re.findall(r"^\| (`.*?`) \|", README.read_text(), re.MULTILINE)
    rows = {name for cell in cells for name in re.findall(r"`([\w/]+)`", cell)}

    told = {"visit_count_distribution_entropy", "searched_value"}
    assert {*make_policy(kind).learn_mode.monitor_vars(), *told} <= rows


if __name__ == "__main__":
    text = README.read_text()
    for mark, configs in TABLES.items():
        found = table_in(text, mark)
        text = text[: found.start(2)] + settings_table(*configs) + text[found.end(2) :]
    README.write_text(text)
