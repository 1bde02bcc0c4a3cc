"""Each check of observers is kept by a right one, and broken by one that is wrong in just that."""

import sys
import types

import pytest
from kit_fakes import point_of

from lzcore.registry import Registry, hookimpl
from lzcore.testing import observers
from lzcore.testing.kit import all_checks
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, **hooks):
    """A distribution that watches runs by these functions."""
    module = types.ModuleType("watchers")
    module.LZ_API = 1
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    monkeypatch.setitem(sys.modules, "watchers", module)
    registry = Registry([point_of(module, "lz-watchers")], limit="")
    return Subject("lz-watchers", "observer", registry=registry)


def writes(run, result):
    """Writes what an evaluation told into the run's directory."""
    (run.directory.path / "means.txt").write_text(f"{run.counters.env_step} {result.mean}")


@pytest.mark.parametrize("check", all_checks("observer"), ids=lambda check: check.name)
def test_a_right_observer_keeps_every_promise(monkeypatch, check):
    check.function(subject_of(monkeypatch, lz_evaluated=writes))


def breaks(run):
    raise ZeroDivisionError("seven is too much")


def hurries(stats):
    assert stats["return_mean"] + 1.0


def mends(metrics):
    metrics["total_loss"] = 0.0


def counts(run):
    run.counters.env_step += 1


o = observers
WRONG = [
    (o.check_it_implements_a_hook_of_runs, {}, "none of its modules implements a hook of a run"),
    (
        o.check_it_watches_a_run_to_its_end,
        {"lz_run_finished": breaks},
        r"lz_run_finished raised ZeroDivisionError: seven is too much\. Expected no error",
    ),
    (
        o.check_it_bears_what_a_run_leaves_open,
        {"lz_collected": hurries},
        "lz_collected raised",
    ),
    (o.check_it_changes_nothing_of_the_run, {"lz_learned": mends}, "lz_learned changed metrics to"),
    (
        o.check_it_changes_nothing_of_the_run,
        {"lz_learned": counts},
        "changed the run's counters",
    ),
]


@pytest.mark.parametrize(("check", "hooks", "message"), WRONG)
def test_a_wrong_observer_is_named_with_what_is_wrong(monkeypatch, check, hooks, message):
    with pytest.raises(AssertionError, match=rf"^observer 'lz-watchers': .*{message}"):
        check(subject_of(monkeypatch, **hooks))


def test_every_check_of_observers_has_one_that_fails_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("observer")}
