"""The README tells every setting and every logged number.

Run as a script, this file writes the settings table into the README.
"""

import re
from pathlib import Path

import attrs
from lz_muzero.config import MuZeroConfig
from lz_muzero.monitor import monitored
from lz_muzero.reanalysis import EVALUATIONS
from lz_muzero.rnd import NOVELTY

from lzcore.base.config import Only
from lzcore.base.structure import paths_of
from lzcore.base.toml import show

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"(<!-- settings -->\n).*?(\n<!-- settings -->)", re.DOTALL)


def settings_table():
    """Return the table of all settings in Markdown, made from their metadata."""
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for path, field in paths_of(MuZeroConfig).items():
        if isinstance(field.default, attrs.Factory):
            continue
        told = field.metadata
        only = field.validator if isinstance(field.validator, Only) else None
        help_ = told["help"].replace("|", "\\|")
        if only and not only.refused:
            help_ += f" Fixed: {only.reason}."
        mark = " \\*" if told["extension"] else ""
        lines.append(f"| `{path}`{mark} | `{show(field.default)}` | {told['unit']} | {help_} |")
    return "\n".join(lines)


def test_the_settings_table_is_up_to_date():
    found = TABLE.search(README.read_text())

    assert found, "the README has no <!-- settings --> pair"
    table = found.group(0).removeprefix(found.group(1)).removesuffix(found.group(2))
    assert table == settings_table(), f"run: python {Path(__file__).name}"


def test_every_logged_number_is_explained():
    rows = set(re.findall(r"^\| `([\w/]+)` \|", README.read_text(), re.MULTILINE))

    learned = monitored("reward", extra_statistics=True)
    assert {*learned, *NOVELTY, EVALUATIONS, "visit_count_distribution_entropy"} <= rows


def test_every_learned_weight_is_explained(make_policy):
    policy = make_policy({"model": {"harmony_balance": True}})
    text = README.read_text()

    names = [name for name in policy.learn_mode.monitor_vars() if name.startswith("harmony")]
    assert len(names) == 3
    assert all(f"`{name}`" in text for name in names)


if __name__ == "__main__":
    text = README.read_text()
    README.write_text(TABLE.sub(lambda m: m.group(1) + settings_table() + m.group(2), text))
