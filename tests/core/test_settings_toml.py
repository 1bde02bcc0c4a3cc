"""Writing TOML, and reading it back with the standard library."""

import tomllib
from enum import Enum

import numpy as np
import pytest

from lzcore.base.toml import dumps, literal, show


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        True, False, 0, -3, 10**30, 0.0, 1e-5, 1e300, -0.25, 0.1, "", "plain", 'quo"te',
        "back\\slash", "new\nline\ttab", "\x00\x1f\x7f", "ümläut 漢字 🎲",
        [], [1, 2], [[1], ["a", 0.5]],
    ],
)  # fmt: skip
def test_a_value_is_read_back_as_it_was(value):
    found = tomllib.loads(f"value = {literal(value)}")["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, '"none"'),
        ((3, 64, 64), "[3, 64, 64]"),
        (Colour.RED, '"red"'),
        (10.0, "10.0"),
        (np.float64(0.5), "0.5"),
        (float("inf"), "inf"),
    ],
)
def test_what_toml_has_no_word_for_is_written_as_the_nearest_thing(value, written):
    assert literal(value) == written


def test_values_come_before_tables_and_tables_inside_have_dotted_headers():
    text = dumps({"model": {"size": 8, "head": {"width": 2}}, "count": 3, "empty": {}})

    assert text == "count = 3\n\n[model]\nsize = 8\n\n[model.head]\nwidth = 2\n\n[empty]\n"
    assert tomllib.loads(text) == {
        "count": 3, "model": {"size": 8, "head": {"width": 2}}, "empty": {},
    }  # fmt: skip


def test_names_that_need_quotes_get_them_in_headers_too():
    table = {"a b": 1, "CartPole-v1": {"x.y": 2, "ü": {"": 3}}}
    assert tomllib.loads(dumps(table)) == table


def test_a_comment_stands_behind_its_value():
    text = dumps({"a": 1, "t": {"b": 2}}, {"t.b": "from the preset"})
    assert text == "a = 1\n\n[t]\nb = 2  # from the preset\n"


def test_what_toml_cannot_hold_is_refused_with_its_path():
    with pytest.raises(TypeError, match=r"^env\.kwargs\.fn: TOML cannot hold <.*>, a object$"):
        dumps({"env": {"kwargs": {"fn": object()}}})


def test_messages_show_values_as_toml_and_never_too_long():
    assert show(True) == "true"
    assert show(None) == '"none"'
    assert show(1 + 2j) == "(1+2j)"
    assert show("x" * 100) == '"' + "x" * 56 + "..."
    assert show({"a": 1}) == "{'a': 1}"
