"""READMEs are held against the settings they tell: what is in a table, what is refused."""

import attrs
import pytest

from lzcore.base.config import Only, PolicySettings, setting
from lzcore.testing.readme import (
    check_settings_table,
    explained,
    settings_table,
    write_settings_tables,
)

HEAD = "| setting | default | unit | meaning |\n|---|---|---|---|\n"
TEXT = "# mine\n<!-- settings -->\nold\n<!-- settings -->\nthe end\n"


@attrs.frozen(kw_only=True)
class Mine(PolicySettings):
    pace: float = setting(0.5, "How fast | slow.", unit="m/s")


@attrs.frozen(kw_only=True)
class Other(Mine):
    pace: float = setting(2.0, "How fast.", check=Only("it is raced"), extension=True)
    width: int = setting(3, "How wide.", extension=True)


TABLES = {"settings": (Other, Mine)}


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    return path


def test_a_row_tells_default_unit_and_meaning():
    assert "| `pace` | `0.5` | m/s | How fast \\| slow. |" in settings_table(Mine).splitlines()


def test_of_a_derived_class_only_what_differs_is_told():
    assert settings_table(Other, Mine) == (
        HEAD
        + "| `pace` \\* | `2.0` |  | How fast. Fixed: it is raced. |\n"
        + "| `width` \\* | `3` |  | How wide. |"
    )


def test_a_table_is_written_between_its_marks_and_is_up_to_date_then(readme):
    with pytest.raises(AssertionError, match="write_settings_tables mends it"):
        check_settings_table(readme, TABLES, "settings")

    write_settings_tables(readme, TABLES)

    check_settings_table(readme, TABLES, "settings")
    assert readme.read_text() == TEXT.replace("old", settings_table(Other, Mine))


def test_a_readme_without_the_marks_is_named(readme):
    with pytest.raises(AssertionError, match=r"README\.md has no <!-- others --> pair"):
        check_settings_table(readme, {"others": (Mine, None)}, "others")


def test_names_are_explained_in_the_first_column_of_a_table(readme):
    readme.write_text("| `a/b`, `c` | about `d` |\n`e`\n| f |\n")

    assert explained(readme) == {"a/b", "c"}
