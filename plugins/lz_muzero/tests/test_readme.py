"""The README tells every setting and every logged number.

Run as a script, this file writes the settings table into the README.
"""

import re
from pathlib import Path

import attrs
import pytest
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import (
    EfficientZeroConfig,
    GumbelMuZeroConfig,
    SampledEfficientZeroConfig,
    SampledMuZeroConfig,
    StochasticMuZeroConfig,
)
from lz_muzero.monitor import monitored
from lz_muzero.policy_sampled import STATISTICS
from lz_muzero.reanalysis import EVALUATIONS
from lz_muzero.rnd import NOVELTY

from lzcore.base.config import Only
from lzcore.base.structure import paths_of
from lzcore.base.toml import show

README = Path(__file__).parents[1] / "README.md"
TABLES = {  # mark in the README -> whose settings, without those of
    "settings": (MuZeroConfig, None),
    "settings of efficientzero": (EfficientZeroConfig, MuZeroConfig),
    "settings of gumbel_muzero": (GumbelMuZeroConfig, MuZeroConfig),
    "settings of sampled_muzero": (SampledMuZeroConfig, MuZeroConfig),
    "settings of sampled_efficientzero": (SampledEfficientZeroConfig, SampledMuZeroConfig),
    "settings of stochastic_muzero": (StochasticMuZeroConfig, MuZeroConfig),
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


def test_every_logged_number_is_explained():
    cells = re.findall(r"^\| (`.*?`) \|", README.read_text(), re.MULTILINE)
    rows = {name for cell in cells for name in re.findall(r"`([\w/]+)`", cell)}

    of_chance = {"afterstate_policy_loss", "afterstate_value_loss", "commitment_loss"}
    learned = {*monitored("reward", extra_statistics=True), *STATISTICS, *NOVELTY}
    told = learned | of_chance | {EVALUATIONS}
    assert {*told, "visit_count_distribution_entropy"} <= rows


def test_every_learned_weight_is_explained(make_policy):
    policy = make_policy({"model": {"harmony_balance": True}})
    names = [name for name in policy.learn_mode.monitor_vars() if name.startswith("harmony")]

    assert len(names) == 3
    assert all(f"`{name}`" in README.read_text() for name in names)


if __name__ == "__main__":
    text = README.read_text()
    for mark, configs in TABLES.items():
        found = table_in(text, mark)
        text = text[: found.start(2)] + settings_table(*configs) + text[found.end(2) :]
    README.write_text(text)
