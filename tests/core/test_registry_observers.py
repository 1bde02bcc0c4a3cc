"""Observers of a run: each is called on its own, and one that fails is left out, not the run."""

import copy
import types

import pytest

from lzcore.base import CheckpointError, PluginError
from lzcore.registry import Registry, hookimpl


def plugin(dist, **hooks):
    """The entry point of a distribution with these hooks."""
    module = types.ModuleType(dist)
    module.LZ_API = 1
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    found = types.SimpleNamespace(name=dist, version="1.0")
    return types.SimpleNamespace(name=dist, value=f"{dist}.plugin", dist=found, load=lambda: module)


class Recorder:
    """An observer that a run adds itself."""

    def __init__(self, name, heard, error=None):
        self.name, self.heard, self.error = name, heard, error

    @hookimpl
    def lz_learned(self, metrics):
        self.heard.append((self.name, metrics["loss"]))
        if self.error:
            raise self.error


def test_the_runs_own_observers_hear_first_and_then_the_plugins():
    heard = []
    registry = Registry(
        [plugin("lz-a", lz_learned=lambda run, metrics: heard.append((run, "lz-a")))]
    )
    hook = registry.observers([Recorder("log", heard), Recorder("display", heard)])

    hook.lz_learned(run="this run", metrics={"loss": 0.5})

    assert heard == [("log", 0.5), ("display", 0.5), ("this run", "lz-a")]


def test_an_observer_that_raises_is_reported_once_and_left_out_while_the_others_go_on(capsys):
    heard = []

    def lz_learned():
        heard.append("called")
        raise ValueError("no disk\nat all")

    registry = Registry(
        [plugin("lz-bad", lz_learned=lz_learned, lz_evaluated=lambda: heard.append("evaluated"))]
    )
    hook = registry.observers([Recorder("log", log := [])])
    for loss in (1.0, 2.0):
        hook.lz_learned(run=None, metrics={"loss": loss})
    hook.lz_evaluated(run=None, result=None)

    assert log == [("log", 1.0), ("log", 2.0)]
    assert heard == ["called"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "lz: lz-bad 1.0 failed in lz_learned and is left out from here on: "
        "ValueError: no disk at all (test_registry_observers.py line "
    )


def test_a_plugin_gets_copies_of_dicts_and_the_runs_own_observers_what_there_is():
    seen = []
    registry = Registry([plugin("lz-greedy", lz_learned=lambda metrics: metrics.clear())])
    own = types.SimpleNamespace(lz_learned=hookimpl(lambda metrics: seen.append(metrics)))

    metrics = {"loss": 0.5}
    registry.observers([own]).lz_learned(run=None, metrics=metrics)

    assert metrics == {"loss": 0.5}
    assert seen[0] is metrics


def test_a_plugin_whose_hooks_take_long_is_named_once(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def lz_learned():
        now[0] += 0.4

    hook = Registry([plugin("lz-slow", lz_learned=lz_learned)]).observers()
    for _ in range(6):
        hook.lz_learned(run=None, metrics={})
        now[0] += 1.0

    assert capsys.readouterr().err == (
        "lz: lz-slow 1.0 is slow: its hooks took 1.2 of the last 3.2 s, lz_learned among them. "
        "LZ_PLUGINS can leave it out.\n"
    )


def test_a_plugin_whose_hooks_take_a_small_share_is_not_named(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def lz_learned():
        now[0] += 0.4

    hook = Registry([plugin("lz-light", lz_learned=lz_learned)]).observers()
    for _ in range(6):
        now[0] += 10.0
        hook.lz_learned(run=None, metrics={})

    assert capsys.readouterr().err == ""


def test_the_next_run_gives_a_failed_observer_another_chance(capsys):
    registry = Registry([plugin("lz-bad", lz_learned=lambda: 1 / 0)])
    for _ in range(2):
        registry.observers().lz_learned(run=None, metrics={})

    assert len(capsys.readouterr().err.splitlines()) == 2


def test_an_observer_that_exits_does_not_end_the_run_but_ctrl_c_does():
    def lz_run_started(run):
        raise run

    registry = Registry([plugin("lz-bad", lz_run_started=lz_run_started)])

    registry.observers().lz_run_started(run=SystemExit(1))
    with pytest.raises(KeyboardInterrupt):
        registry.observers().lz_run_started(run=KeyboardInterrupt())


def test_the_runs_own_observers_may_stop_it_with_one_of_our_errors(capsys):
    full = CheckpointError("metrics.jsonl cannot be written: no space left on device")
    registry = Registry([])

    with pytest.raises(CheckpointError, match="no space left"):
        registry.observers([Recorder("log", [], full)]).lz_learned(run=None, metrics={"loss": 0.0})

    registry.observers([Recorder("log", [], KeyError("bug"))]).lz_learned(
        run=None, metrics={"loss": 0.0}
    )
    assert "test_registry_observers.Recorder failed in lz_learned" in capsys.readouterr().err


def test_a_plugins_observer_cannot_stop_the_run_with_them(capsys):
    def lz_learned():
        raise CheckpointError("mine")

    Registry([plugin("lz-bad", lz_learned=lz_learned)]).observers().lz_learned(run=0, metrics={})

    assert "CheckpointError: mine" in capsys.readouterr().err


def test_an_own_observer_with_a_misspelt_hook_is_refused():
    class Typo:
        @hookimpl
        def lz_learnt(self):
            """Called by nobody."""

    with pytest.raises(
        PluginError, match=r"Typo cannot be used: lz_learnt is not a hook .*'lz_lea"
    ):
        Registry([]).observers([Typo()])


def test_a_hook_is_called_with_all_its_arguments_or_not_at_all():
    with pytest.raises(
        TypeError, match=r"lz_learned was called with \['run'\]; it has \['metrics'"
    ):
        Registry([]).hook.lz_learned(run=None)
    with pytest.raises(AttributeError, match="lz_lerned"):
        Registry([]).hook.lz_lerned(run=None)


def test_hooks_return_what_their_implementations_do_and_can_be_copied():
    registry = Registry([plugin("lz-a", lz_cli=lambda group: 1), plugin("lz-b", lz_cli=lambda: 2)])

    assert registry.hook.lz_cli(group=None) == [2, 1]
    assert copy.copy(registry.hook).lz_cli(group=None) == [2, 1]


def test_tracing_shows_the_calls_of_a_run(monkeypatch, capsys):
    monkeypatch.setenv("LZ_TRACE_HOOKS", "1")

    class Unprintable:
        def __repr__(self):
            raise RuntimeError("no repr")

    registry = Registry([plugin("lz-a", lz_learned=lambda metrics: None)])
    capsys.readouterr()
    registry.observers().lz_learned(run=Unprintable(), metrics={"loss": 0.5})

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("[hook] lz-a 1.0: lz_learned(run=<Unprintable instance at ")
    assert "metrics={'loss': 0.5})  " in line
