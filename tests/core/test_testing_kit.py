"""Subjects are found by name, and a test is made of each of their checks."""

import re
import subprocess
import sys

import pytest
import torch
from kit_fakes import MODULE, GoodPolicy, registry_of

from lzcore.base.errors import UnknownNameError
from lzcore.registry import BufferSpec, PolicySpec
from lzcore.testing import parametrize_with_checks
from lzcore.testing.kit import checks_for
from lzcore.testing.promises import Check, in_one_line, promise, require, short
from lzcore.testing.subject import KINDS, Subject

BUFFER = "lzcore.replay.buffer:ReplayBuffer"


def policy(name, **given):
    where = {"policy": f"{MODULE}:Good", "config": f"{MODULE}:TinyConfig"}
    return PolicySpec(name=name, summary="Plans.", **where, **given)


@pytest.mark.parametrize(
    ("name", "kind", "env"),
    [
        ("replay", "buffer", ""),
        ("lzcore:replay", "buffer", ""),
        ("gymnasium", "env", "CartPole-v1"),
        ("lzcore", "plugin", ""),
        ("core", "plugin", ""),
        ("game/lzcore.testing.noughts:Noughts", "simulator", "game/lzcore.testing.noughts:Noughts"),
        ("lzcore.testing.noughts:Noughts", "simulator", "game/lzcore.testing.noughts:Noughts"),
    ],
)
def test_a_name_alone_says_what_is_checked_and_where(name, kind, env):
    subject = Subject(name)

    assert (subject.kind, subject.env) == (kind, env)
    assert repr(subject).startswith(f"{kind} {name!r}")


def test_a_policy_is_tried_where_its_preset_says_else_where_it_can_play(monkeypatch, tmp_path):
    package = tmp_path / "default_presets"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "default.toml").write_text('[lz]\nenvironment = "Acrobot-v1"\n')
    monkeypatch.syspath_prepend(tmp_path)
    rules = type("Rules", (GoodPolicy,), {"plans_with_rules": True})
    registry = registry_of(
        monkeypatch,
        policy("named", presets="default_presets"),
        policy("plain"),
        Good=GoodPolicy,
    )

    assert Subject("named", registry=registry).env == "Acrobot-v1"
    assert Subject("plain", registry=registry).env == "CartPole-v1"
    assert Subject("named", env="CartPole-v1", registry=registry).env == "CartPole-v1"
    registry = registry_of(monkeypatch, policy("rules"), Good=rules)
    assert Subject("rules", registry=registry).env == "game/lzcore.testing.noughts:Noughts"


def test_a_name_of_several_kinds_has_to_say_which(monkeypatch):
    kept = BufferSpec(name="both", buffer=BUFFER, summary="Keeps.")
    registry = registry_of(monkeypatch, policy("both"), kept, Good=GoodPolicy)

    with pytest.raises(UnknownNameError, match=r"several kinds: policy, buffer\. Say which with"):
        Subject("both", registry=registry)
    assert Subject("both", "buffer", registry=registry).kind == "buffer"


def test_what_is_not_there_is_told_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"called 'replai': .* Did you mean 'replay'\?"):
        Subject("replai")
    with pytest.raises(ValueError, match=f"kind is 'robot'; expected one of {', '.join(KINDS)}"):
        Subject("replay", "robot")


# --- a test of each check -------------------------------------------------------------------------


def test_each_check_gets_a_test_of_its_own_with_subject_and_name():
    names, tests = parametrize_with_checks("replay").args

    assert names == ("subject", "check")
    assert [test.id for test in tests] == [
        f"buffer 'replay'-{check.name}" for check in checks_for(Subject("replay"))
    ]
    assert not any(test.marks for test in tests)


def test_expected_failures_are_strict_and_have_their_reason():
    reason = {"check_draws_follow_from_the_key": "it draws from the clock"}
    tests = parametrize_with_checks("replay", expected_failures=reason).args[1]
    [marked] = [test for test in tests if test.marks]

    assert marked.id.endswith("check_draws_follow_from_the_key")
    assert marked.marks[0].kwargs == {"strict": True, "reason": "it draws from the clock"}


def test_an_expected_failure_of_no_check_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="'check_draws_follow_the_key', which is no check of buf"):
        parametrize_with_checks("replay", expected_failures={"check_draws_follow_the_key": "?"})


def test_settings_and_environment_are_told_with_the_subject(monkeypatch):
    registry = registry_of(monkeypatch, policy("fake"), Good=GoodPolicy)
    subject = Subject("fake", env="Acrobot-v1", settings={"batch_size": 3}, registry=registry)

    assert str(subject) == "policy 'fake' on Acrobot-v1, batch_size=3"


@parametrize_with_checks("replay")
def test_the_decorator_makes_tests_that_can_be_run(subject, check):
    check(subject)


def test_the_kit_loads_neither_pytest_nor_torch():
    ask = "import sys, lzcore.testing; sys.exit(bool({'pytest', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", ask]).returncode == 0


# --- what a check says ----------------------------------------------------------------------------


def made(function):
    """The check of a function, of a kind that nothing else uses."""
    return promise("nothing")(function)


def test_a_failure_is_one_line_that_begins_with_the_subject():
    check = made(lambda subject: require(False, "it is\n  wrong; expected right."))

    with pytest.raises(AssertionError, match=r"^buffer 'replay': it is wrong; expected right\.$"):
        check(Subject("replay"))


def test_what_a_component_raises_is_told_with_file_and_line():
    def check_it(subject):
        raise KeyError("weights")

    line = check_it.__code__.co_firstlineno + 1
    said = (
        "buffer 'replay': it was stopped by KeyError: 'weights' "
        f"(test_testing_kit.py line {line}). Expected no error."
    )
    with pytest.raises(AssertionError, match=f"^{re.escape(said)}$"):
        made(check_it)(Subject("replay"))


def test_the_line_of_a_component_is_told_rather_than_that_of_torch():
    def check_it(subject):
        torch.nn.Linear(2, 3)(torch.zeros(1, 5))

    line = check_it.__code__.co_firstlineno + 1
    with pytest.raises(AssertionError, match=rf"\(test_testing_kit\.py line {line}\)\. Expected"):
        made(check_it)(Subject("replay"))


def test_what_is_told_of_ends_with_one_mark():
    assert in_one_line("Did you mean it?") == "Did you mean it?"
    assert in_one_line(KeyError("boom")) == "'boom'."


def test_a_long_value_is_shown_by_its_beginning():
    assert short([1, 2]) == "[1, 2]"
    assert short(list(range(900))).startswith("[0, 1, 2")
    assert len(short(list(range(900)))) == 60


def test_a_long_message_is_cut():
    check = made(lambda subject: require(False, "long " * 500 + "(net.py line 3)."))

    with pytest.raises(AssertionError) as caught:
        check(Subject("replay"))
    assert len(str(caught.value)) < 500
    assert str(caught.value).endswith("long (net.py line 3).")


def test_a_reason_that_cannot_be_asked_leaves_nothing_out():
    from lzcore.testing.kit import _reason

    check = Check("check_it", print, lambda subject: 1 / 0)
    assert _reason(check, Subject("replay")) is None
