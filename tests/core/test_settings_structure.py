"""From plain data to settings: what is accepted, and the line that each mistake gets."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from attrs import validators as v

from lzcore.base import ConfigError, Settings, setting
from lzcore.base.structure import attempt, canonical, flat, merge, nest, parse_override, structure


class Colour(Enum):
    RED = "red"
    GREEN = "green"


def _half(given):
    if not isinstance(given, int):
        raise ConfigError("expected twice the width, an integer.")
    return {"width": given // 2}


@attrs.frozen(kw_only=True)
class Inner(Settings):
    aliases = {"breadth": "width", "double_width": _half}

    width: int = setting(8, "Width.", check=v.ge(1))
    kind: Literal["flat", "deep"] = setting("flat", "Kind.")
    low: int = setting(0, "Lower end.")
    high: int = setting(10, "Upper end.")

    def conflicts(self):
        if self.low > self.high:
            yield f"low is {self.low}, above high {self.high}; swap them."
        if self.kind == "deep" and self.width < 4:
            yield f"width is {self.width}, too narrow for kind deep; give it 4."


@attrs.frozen(kw_only=True)
class Outer(Settings):
    aliases = {"learning_speed": "rate"}

    count: int = setting(3, "Count.", check=v.ge(1))
    rate: float = setting(0.5, "Rate.", check=[v.ge(0.0), v.le(1.0)])
    on: bool = setting(True, "Switch.")
    label: str = setting("x", "Label.")
    limit: int | None = setting(None, "Limit.", check=v.optional(v.ge(1)))
    shape: int | tuple[int, ...] = setting((4, 4), "Shape.")
    pair: tuple[float, float] = setting((0.0, 1.0), "Pair.")
    steps: tuple[Literal["a", "b"], ...] = setting(("a",), "Steps.")
    colour: Colour = setting(Colour.RED, "Colour.")
    free: dict[str, Any] = setting(attrs.Factory(dict), "Free table.")
    inner: Inner = setting(attrs.Factory(Inner), "Inner table.")


def message(given, cls=Outer):
    with pytest.raises(ConfigError) as caught:
        structure(cls, given)
    return str(caught.value)


# --- what is accepted -----------------------------------------------------------------------------


def test_nothing_given_gives_the_defaults():
    assert structure(Outer, {}) == Outer()


@pytest.mark.parametrize(
    ("name", "given", "becomes"),
    [
        ("rate", 1, 1.0),
        ("rate", np.float32(0.5), 0.5),
        ("count", np.int64(7), 7),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", 4, 4),
        ("shape", 4, 4),
        ("shape", [3, 64, 64], (3, 64, 64)),
        ("shape", (), ()),
        ("pair", [1, 2], (1.0, 2.0)),
        ("steps", ["b", "a"], ("b", "a")),
        ("colour", "green", Colour.GREEN),
        ("colour", Colour.GREEN, Colour.GREEN),
        ("label", "none", "none"),
        ("free", {"a": [1], "b": "none"}, {"a": [1], "b": None}),
        ("inner", {"width": 2}, Inner(width=2)),
        ("inner", Inner(width=2), Inner(width=2)),
    ],
)
def test_a_value_that_fits_is_taken(name, given, becomes):
    found = structure(Outer, {name: given})[name]
    assert found == becomes
    assert type(found) is type(becomes)


def test_settings_of_another_class_are_read_by_name():
    @attrs.frozen(kw_only=True)
    class Narrow(Settings):
        count: int = setting(9, "Count.")

    assert structure(Outer, Narrow()) == Outer(count=9)


# --- what is refused, and how it is told ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": 0}, "count = 0: expected an integer, at least 1."),
        ({"count": "3"}, 'count = "3": expected an integer, at least 1.'),
        ({"count": True}, "count = true: expected an integer, at least 1."),
        ({"count": 2.5}, "count = 2.5: expected an integer, at least 1."),
        ({"count": 1e5}, "count = 100000.0: expected an integer, at least 1; write 100000."),
        ({"count": None}, 'count = "none": expected an integer, at least 1.'),
        ({"count": [1]}, "count = [1]: expected an integer, at least 1."),
        ({"rate": 1.5}, "rate = 1.5: expected a number, at least 0 and at most 1."),
        ({"rate": "0.5"}, 'rate = "0.5": expected a number, at least 0 and at most 1.'),
        ({"rate": False}, "rate = false: expected a number, at least 0 and at most 1."),
        ({"rate": float("nan")}, "rate = nan: expected a number, at least 0 and at most 1."),
        ({"on": "false"}, 'on = "false": expected true or false.'),
        ({"on": 1}, "on = 1: expected true or false."),
        ({"label": 3}, "label = 3: expected text."),
        ({"limit": 0}, 'limit = 0: expected an integer, at least 1, or "none".'),
        ({"limit": "None"}, 'limit = "None": expected an integer, at least 1, or "none".'),
        ({"shape": "4"}, 'shape = "4": expected an integer or a list of integers.'),
        ({"shape": [4, "x"]}, 'shape = [4, "x"]: expected an integer or a list of integers.'),
        ({"pair": [1]}, "pair = [1]: expected a list of 2 numbers."),
        ({"steps": ["c"]}, 'steps = ["c"]: expected a list of a, b.'),
        ({"colour": "blue"}, 'colour = "blue": expected one of red, green.'),
        ({"free": 3}, "free = 3: expected a table."),
        ({"inner": "wide"}, 'inner = "wide": expected a table.'),
        ({"inner": {"kind": "tall"}}, 'inner.kind = "tall": expected one of flat, deep.'),
        ({"inner": {"width": 0}}, "inner.width = 0: expected an integer, at least 1."),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_was_expected(given, line):
    assert message(given) == line


@pytest.mark.parametrize("huge", [float("inf"), 10**400])
def test_a_number_has_to_be_finite(huge):
    @attrs.frozen(kw_only=True)
    class Plain(Settings):
        goal: float = setting(0.0, "Goal.")

    assert message({"goal": huge}, Plain).endswith("expected a number.")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"coumt": 1}, "coumt = 1: there is no such setting. Did you mean 'count'?"),
        ({"width": 1}, "width = 1: there is no such setting. Did you mean 'inner.width'?"),
        (
            {"inner": {"widht": 1}},
            "inner.widht = 1: there is no such setting. Did you mean 'inner.width'?",
        ),
        (
            {"inner": {"count": 1}},
            "inner.count = 1: there is no such setting. Did you mean 'count'?",
        ),
        ({"zzz": 1}, "zzz = 1: there is no such setting."),
        ({"iner": {"width": 1}}, "iner: there is no such setting. Did you mean 'inner'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(given, line):
    assert message(given) == line


def test_all_mistakes_are_told_at_once_a_line_each():
    given = {"count": 0, "rate": 2, "nope": 1, "inner": {"width": 0, "kind": "x", "a": 1}}

    first, *lines = message(given).split("\n")

    assert first == "6 settings cannot be used:"
    assert sorted(line.split(" = ")[0].strip() for line in lines) == [
        "count", "inner.a", "inner.kind", "inner.width", "nope", "rate",
    ]  # fmt: skip


def test_settings_that_do_not_go_together_are_told_with_their_table():
    given = {"count": 0, "inner": {"low": 5, "high": 4, "kind": "deep", "width": 2}}

    assert message(given) == (
        "3 settings cannot be used:\n"
        "  count = 0: expected an integer, at least 1.\n"
        "  inner: low is 5, above high 4; swap them.\n"
        "  inner: width is 2, too narrow for kind deep; give it 4."
    )


def test_conflicts_are_found_without_structuring_too():
    with pytest.raises(ConfigError, match="low is 5, above high 4; swap them"):
        Inner(low=5, high=4)


def test_a_check_of_ones_own_speaks_for_itself():
    def even(_, field, value):
        if value % 2:
            raise ValueError(f"{field.name} must be even")

    def prime(_, field, value):
        raise ConfigError(f"{field.name} = {value}: is no prime.")

    @attrs.frozen(kw_only=True)
    class Numbers(Settings):
        half: int = setting(2, "Half.", check=even)
        root: int = setting(2, "Root.", check=prime)

    assert message({"half": 3, "root": 4}, Numbers) == (
        "2 settings cannot be used:\n  half = 3: half must be even.\n  root = 4: is no prime."
    )


def test_what_is_not_a_table_is_refused_as_a_whole():
    assert message([1, 2]) == "The settings are [1, 2]; expected a table of names and values."


def test_a_mistake_of_a_check_itself_is_not_blamed_on_the_user():
    def broken(_, __, ___):
        raise ZeroDivisionError("bug")

    @attrs.frozen(kw_only=True)
    class Broken(Settings):
        size: int = setting(1, "Size.", check=broken)

    with pytest.raises(ZeroDivisionError, match="bug"):
        structure(Broken, {"size": 2})


# --- other names ----------------------------------------------------------------------------------


def test_another_name_sets_the_documented_one():
    assert structure(Outer, {"learning_speed": 0.25}).rate == 0.25
    assert structure(Outer, {"inner": {"breadth": 5}}).inner.width == 5


def test_another_name_may_need_a_conversion():
    assert structure(Outer, {"inner": {"double_width": 10}}).inner.width == 5
    assert message({"inner": {"double_width": "x"}}) == (
        'inner.double_width = "x": expected twice the width, an integer.'
    )


def test_two_names_of_one_setting_must_agree():
    assert structure(Outer, {"learning_speed": 0.25, "rate": 0.25}).rate == 0.25
    assert message({"rate": 0.5, "learning_speed": 0.25}) == (
        "learning_speed = 0.25: means rate = 0.25, but rate says 0.5; give one of the two."
    )


def test_canonical_keeps_values_as_they_are_and_reports_its_mistakes():
    table, mistakes = canonical(Outer, {"learning_speed": "?", "inner": {"double_width": 0.5}})

    assert table == {"rate": "?", "inner": {}}
    assert [m.path for m in mistakes] == ["inner.double_width"]


def test_attempt_gives_settings_or_mistakes_never_both():
    settings, mistakes = attempt(Outer, {"count": 4})
    assert (settings, mistakes) == (Outer(count=4), [])

    settings, mistakes = attempt(Outer, {"inner": {"double_width": "x"}})
    assert settings is None
    assert len(mistakes) == 1


def test_attempt_knows_names_of_other_tables():
    _, (mistake,) = attempt(Outer, {"frame_skip": 4}, known=["env.frame_skip"])
    assert mistake.text.endswith("Did you mean 'env.frame_skip'?")


# --- layers of plain data -------------------------------------------------------------------------


def test_later_layers_win_and_tables_are_merged_inside():
    low = {"a": 1, "t": {"x": 1, "y": 1}, "u": {"z": 1}}
    high = {"a": 2, "t": {"y": 2}, "u": 3}

    assert merge(low, {}, high) == {"a": 2, "t": {"x": 1, "y": 2}, "u": 3}
    assert low == {"a": 1, "t": {"x": 1, "y": 1}, "u": {"z": 1}}  # untouched


def test_a_table_replaces_a_value():
    assert merge({"t": 1}, {"t": {"x": 2}}) == {"t": {"x": 2}}


def test_dotted_names_become_tables_and_back():
    tables = nest({"a": 1, "t.x": 2, "t.u.y": 3})
    assert tables == {"a": 1, "t": {"x": 2, "u": {"y": 3}}}
    assert flat(tables) == {"a": 1, "t.x": 2, "t.u.y": 3}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("n=25", {"n": 25}),
        ("model.n = 25", {"model": {"n": 25}}),
        ("a.b.c=1.5", {"a": {"b": {"c": 1.5}}}),
        ("on=true", {"on": True}),
        ("shape=[3, 64, 64]", {"shape": [3, 64, 64]}),
        ("name=conv", {"name": "conv"}),
        ('name="conv"', {"name": "conv"}),
        ("limit=none", {"limit": "none"}),
        ("path=a=b", {"path": "a=b"}),
        ("name=", {"name": ""}),
        ("on=True", {"on": "True"}),
        ("t={x = 1}", {"t": {"x": 1}}),
        ("n=1\nm=2", {"n": "1\nm=2"}),
    ],
)
def test_an_override_is_toml_or_else_text(text, becomes):
    assert parse_override(text) == becomes


@pytest.mark.parametrize("text", ["num_simulations", "=3", "model.=3", "a..b=1", ".=1"])
def test_an_override_without_a_key_or_value_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected KEY=VALUE .* such as -o num_simulations=25"):
        parse_override(text)


def test_mappings_of_any_kind_are_read():
    class Given(Mapping):
        def __getitem__(self, name):
            return {"count": 5}[name]

        def __iter__(self):
            return iter(["count"])

        def __len__(self):
            return 1

    assert Outer.of(Given()).count == 5
