"""Each check of distributions is kept by a right one, and broken by one wrong in just that."""

import importlib
import itertools
import json
import re
import signal
from textwrap import dedent

import pytest
from click.testing import CliRunner
from kit_fakes import point_of

from lzcore.cli.main import main
from lzcore.registry import Registry
from lzcore.testing import kit, plugins
from lzcore.testing.subject import Subject

GOOD = """
from lzcore.registry import BufferSpec, PolicySpec, hookimpl

LZ_API = 1
SUMMARY = "Keeps."

@hookimpl
def lz_register_buffers():
    return [BufferSpec(name="mine", buffer=f"lzcore.replay.buffer:ReplayBuffer", summary=SUMMARY)]
"""


_NUMBERS = itertools.count()  # a module of another name for each test


@pytest.fixture
def subject_of(monkeypatch, tmp_path):
    """A function from the source of a plugin's module to its distribution as a subject."""
    monkeypatch.syspath_prepend(tmp_path)

    def subject(*sources):
        points = []
        for number, source in enumerate(sources):
            name = f"plugin_under_check_{next(_NUMBERS)}"
            (tmp_path / f"{name}.py").write_text(dedent(source))
            importlib.invalidate_caches()
            points.append(_Late(name, f"lz-checked-{number}"))
        return Subject("lz-checked-0", "plugin", registry=Registry(points, limit=""))

    return subject


class _Late:
    """An entry point whose module is imported when it is loaded."""

    def __init__(self, module, distribution):
        self.name, self.value = distribution, module
        self.dist = point_of(kit, distribution).dist

    def load(self):
        return importlib.import_module(self.value)


@pytest.mark.parametrize("check", kit.all_checks("plugin"), ids=lambda check: check.name)
def test_a_right_distribution_keeps_every_promise(subject_of, check):
    check.function(subject_of(GOOD))


NETWORK = 'BufferSpec(name="mine", buffer="collections:OrderedDict", summary="Keeps.")]'
POLICY = """PolicySpec(
    name="mine", policy="builtins:int", config="builtins:dict", summary="Plans."
)]"""


def with_policy():
    text = GOOD.replace("lz_register_buffers", "lz_register_policies")
    return text[: text.index("BufferSpec(name")] + POLICY


def with_buffer(spec):
    return GOOD[: GOOD.index("BufferSpec(name")] + spec


p = plugins
WRONG = [
    (
        p.check_it_is_loaded_without_problems,
        GOOD.replace("LZ_API = 1", ""),
        r"is broken: .* does not state its hook API.*[^.?!][.?!] Expected it to be ok",
    ),
    (p.check_importing_it_does_nothing_else, "import torch" + GOOD, "loads torch; expected it to"),
    (p.check_importing_it_does_nothing_else, "print('hello')" + GOOD, "prints 'hello'; expected n"),
    (
        p.check_importing_it_does_nothing_else,
        "import logging; logging.getLogger().setLevel(10)" + GOOD,
        "changes the level of the root logger; expected an import that changes nothing",
    ),
    (
        p.check_all_that_it_names_can_be_used,
        GOOD.replace(":ReplayBuffer", ":NoBuffer"),
        "its buffer 'mine' cannot be used: buffer: .*NoBuffer",
    ),
    (
        p.check_every_component_is_told_in_one_line,
        GOOD.replace('"Keeps."', '"Keeps.\\nAnd more."'),
        r"the summary of its buffer 'mine' is 'Keeps\.\\nAnd more\.'; expected one line",
    ),
    (
        p.check_components_are_what_they_are_registered_as,
        with_buffer(NETWORK),
        "its buffer 'mine' has no num_transitions, num_episodes, push",
    ),
    (
        p.check_components_are_what_they_are_registered_as,
        with_policy(),
        "its policy 'mine' is <class 'int'>.* Expected a class derived from",
    ),
]


@pytest.mark.parametrize(("check", "source", "message"), WRONG)
def test_a_wrong_distribution_is_named_with_what_is_wrong(subject_of, check, source, message):
    with pytest.raises(AssertionError, match=rf"^plugin 'lz-checked-0': .*{message}"):
        check(subject_of(source))


def test_a_name_that_two_distributions_claim_is_nobodys(subject_of):
    with pytest.raises(
        AssertionError, match=r"its buffer 'mine' is not its own: lz-checked-1 1\.0"
    ):
        plugins.check_its_names_are_its_own(subject_of(GOOD, GOOD))


def test_a_distribution_asks_for_lzcore(subject_of, monkeypatch):
    monkeypatch.setattr(plugins, "requires", lambda name: ["torch>=2", "numpy"])

    with pytest.raises(AssertionError, match=r"it requires \['torch>=2', 'numpy'\]; expected lzc"):
        plugins.check_it_asks_for_lzcore(subject_of(GOOD))


def test_every_check_of_distributions_has_one_that_fails_it():
    tested = {check.__name__ for check, *_ in WRONG}
    tested |= {"check_its_names_are_its_own", "check_it_asks_for_lzcore"}

    assert tested == {check.name for check in kit.all_checks("plugin")}


# --- lz plugin check ------------------------------------------------------------------------------


@pytest.fixture
def lz(monkeypatch, subject_of):
    """A function that runs `lz plugin check` where plugins of these sources are installed."""

    def run(*arguments, sources=(GOOD,)):
        registry = subject_of(*sources).registry
        monkeypatch.setattr("lzcore.cli.plugin_check.get_registry", lambda: registry)
        return CliRunner().invoke(main, ["plugin", "check", *arguments])

    return run


def test_a_distribution_is_checked_with_all_its_components(lz):
    done = lz("lz-checked-0")

    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "plugin 'lz-checked-0': 7 passed",
        f"buffer 'lz-checked-0:mine': {len(list(kit.all_checks('buffer')))} passed",
        f"{7 + len(list(kit.all_checks('buffer')))} passed, 0 failed.",
    ]


def test_what_failed_is_one_line_and_the_status_1(lz):
    done = lz("lz-checked-0", sources=[with_buffer(NETWORK)])

    assert done.exit_code == 1
    assert "plugin 'lz-checked-0': 6 passed, 1 failed" in done.output
    line = next(line for line in done.output.splitlines() if "registered_as" in line)
    assert line.startswith(
        "  failed    check_components_are_what_they_are_registered_as: its buffer 'mine' has no"
    )


def test_a_name_of_both_means_the_distribution(lz):
    both = GOOD.replace('name="mine"', 'name="lz_checked_0"')
    done, alone = (
        lz(name, sources=[both]) for name in ("lz_checked_0", "lz-checked-0:lz_checked_0")
    )

    assert done.output.splitlines()[0] == "plugin 'lz_checked_0': 7 passed"
    assert "buffer 'lz-checked-0:lz_checked_0': " in done.output
    assert alone.output.startswith("buffer 'lz-checked-0:lz_checked_0': ")


UNMADE = """
class Kept:
    def __init__(self, columns, settings, key):
        raise KeyError("oops")
"""


def test_a_cause_of_many_failures_is_told_once(lz):
    source = GOOD.replace('f"lzcore.replay.buffer:ReplayBuffer"', '__name__ + ":Kept"') + UNMADE
    checks, line = len(kit.all_checks("buffer")), source.count("\n")
    done = lz("mine", sources=[source])

    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == f"buffer 'mine': 0 passed, 1 failed, {checks - 1} not reached"
    assert "it was stopped by KeyError: 'oops' (plugin_under_check_" in lines[1]
    assert lines[1].endswith(f".py line {line}). Expected no error.")
    assert lines[2].strip() == f"not reached because of it: {checks - 1} more."
    assert lines[3:] == [f"0 passed, 1 failed, {checks - 1} not reached."]


def test_a_component_that_prints_and_exits_is_told_like_any_other(lz):
    leaves = UNMADE.replace('raise KeyError("oops")', 'print("bye"); raise SystemExit(7)')
    source = GOOD.replace('f"lzcore.replay.buffer:ReplayBuffer"', '__name__ + ":Kept"') + leaves
    done = lz("mine", "--json", sources=[source])

    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert "it was stopped by SystemExit: 7" in " ".join(told["subjects"][0]["failed"].values())
    assert "bye" in done.stderr


def test_one_component_can_be_checked_alone(lz):
    done = lz("mine")

    assert done.exit_code == 0, done.output
    assert done.output.startswith("buffer 'mine': ")
    assert len(done.output.splitlines()) == 2


def test_json_tells_every_check_by_name(lz):
    done = lz("lz-checked-0", "--json", sources=[GOOD.replace("Keeps.", "K" * 101)])
    told = json.loads(done.output)

    assert done.exit_code == 1
    assert (told["name"], told["failed"]) == ("lz-checked-0", 1)
    first, second = told["subjects"]
    assert list(first["failed"]) == ["check_every_component_is_told_in_one_line"]
    assert second["passed"] == [check.name for check in kit.all_checks("buffer")]
    assert told["passed"] == len(first["passed"]) + len(second["passed"])


GAMES = """
from lzcore.registry import EnvSpec, hookimpl

LZ_API = 1

@hookimpl
def lz_register_envs():
    spec = EnvSpec(
        name="tables",
        prefix="tables",
        env="lzcore.envs.named:NamedGame",
        config="lzcore.envs.config:GameSettings",
        summary="Games.",
        example="game/lzcore.testing.noughts:Noughts",
    )
    return [spec]
"""


def test_games_whose_name_another_distribution_claims_too_are_checked_all_the_same(lz):
    done = lz("lz-checked-1", sources=[GAMES, GAMES])

    assert done.exit_code == 1, done.output
    assert "its environment kind 'tables' is not its own" in done.output
    assert "simulator 'lz-checked-1:tables' on game/lzcore.testing.noughts:Nou" in done.output
    assert "lz-checked-0:tables" not in done.output


def test_a_timer_that_was_running_before_runs_on(lz):
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        lz("lz-checked-0", sources=[GOOD])
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("here", [True, False])
def test_an_import_that_does_not_end_is_told_in_a_line(subject_of, monkeypatch, here):
    condition = "" if here else "if sys.argv[-1] == __name__: "  # as where it is imported alone
    source = f"import sys, time\n{condition}time.sleep(60)\n{GOOD}"
    monkeypatch.setattr(plugins, "PATIENCE", 0.4)
    monkeypatch.setattr("lzcore.cli.plugin_check.get_registry", lambda: subject_of(source).registry)
    done = CliRunner().invoke(main, ["plugin", "check", "lz-checked-0"])

    assert done.exit_code == 1, done.output
    said = "TimeoutError: stopped, as its import had taken 0.4 seconds (plugin_under_check_"
    assert (said in done.output) == here
    assert re.search(
        r"importing plugin_\w+ alone had not ended after 0\.4 seconds; exp", done.output
    )


HANGING = """
import time
with open(f"{__file__}.tries", "a") as file:
    file.write("x")
time.sleep(60)
"""


def test_of_several_imports_that_do_not_end_each_is_stopped_and_told(subject_of, monkeypatch):
    found = []

    def registry():
        found.append(subject_of(HANGING, HANGING, GOOD).registry)
        return found[0]

    monkeypatch.setattr(plugins, "PATIENCE", 0.4)
    monkeypatch.setattr("lzcore.cli.plugin_check.get_registry", registry)
    done = CliRunner().invoke(main, ["plugin", "check", "lz-checked-1"])

    assert "its entry point 'lz-checked-1' is broken: TimeoutError: stopped" in done.output
    states = {p.distribution: p.state for p in found[0].plugins if p.distribution != "lzcore"}
    assert states == {"lz-checked-0": "broken", "lz-checked-1": "broken", "lz-checked-2": "ok"}


@pytest.mark.parametrize("name", ["lz-checked-0", "mine"])
def test_a_module_of_a_class_that_hangs_is_stopped_once_and_told_with_its_distribution(
    subject_of, monkeypatch, tmp_path, name
):
    module = f"hanging_class_{next(_NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(HANGING)
    source = GOOD.replace("lzcore.replay.buffer", module)
    monkeypatch.setattr(plugins, "PATIENCE", 0.4)
    monkeypatch.setattr("lzcore.cli.plugin_check.get_registry", lambda: subject_of(source).registry)
    done = CliRunner().invoke(main, ["plugin", "check", name])

    told = (
        "  failed    check_rows_come_back_as_they_were_pushed: it was stopped by PluginError: "
        f"The buffer 'mine' of lz-checked-0 1.0 cannot be used: {module}:ReplayBuffer cannot be "
        f"imported: TimeoutError: stopped, as its import had taken 0.4 seconds ({module}.py line 5)"
    )
    assert done.exit_code == 1, done.output
    assert [line for line in done.output.splitlines() if line.startswith(told)]
    assert (tmp_path / f"{module}.py.tries").read_text() == "x"


def test_an_unknown_name_is_a_usage_error_with_the_nearest(lz):
    done = lz("lz-checkd-0")

    assert done.exit_code == 2
    assert "Did you mean 'lz-checked-0'?" in done.output


def test_the_core_is_checked_too_and_says_what_it_left_out(lz):
    done = lz("lzcore")

    assert done.exit_code == 0, done.output
    assert "  left out  check_it_asks_for_lzcore: it is the core itself." in done.output
    assert "simulator 'lzcore:game' on game/lzcore.testing.noughts:Noughts: 7 passed" in done.output
    assert "opponent 'lzcore:minimax': 3 passed" in done.output
    assert 'without an argument it plays no game at hand: The opponent "checkpoint"' in done.output
    assert "runner 'lzcore:local': 0 passed" in done.output  # no policy is installed here
