"""Which checks a subject gets, and a test for each of them.

from lzcore.testing import parametrize_with_checks

@parametrize_with_checks("my_policy")
def test_my_policy_keeps_its_promises(subject, check):
    check(subject)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from lzcore.base.errors import nearest
from lzcore.registry.faults import FAULTS
from lzcore.testing.promises import Check, checks_of
from lzcore.testing.subject import Subject

_MODULES = {
    "policy": ("policies", "policies_learning"),
    "model": ("models",),
    "tree": ("trees", "trees_backup", "trees_refusing"),
    "buffer": ("buffers",),
    "env": ("environments",),
    "opponent": ("opponents",),
    "runner": ("runners",),
    "simulator": ("simulators",),
    "observer": ("observers",),
    "plugin": ("plugins",),
}


def all_checks(kind: str) -> Iterable[Check]:
    """Return every check of one kind of subjects."""
    for module in _MODULES[kind]:
        import_module(f"lzcore.testing.{module}")
    return checks_of(kind)


def checks_for(subject: Subject) -> list[Check]:
    """Return the checks that a subject is held to."""
    return [check for check in all_checks(subject.kind) if _reason(check, subject) is None]


def left_out(subject: Subject) -> dict[str, str]:
    """Return the checks that a subject is not held to, each with the reason."""
    reasons = {check.name: _reason(check, subject) for check in all_checks(subject.kind)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason(check: Check, subject: Subject) -> str | None:
    try:
        return check.left_out and check.left_out(subject)
    except FAULTS:  # what cannot be asked is held to the check, which then tells why
        return None


def parametrize_with_checks(
    name: str,
    *,
    kind: str | None = None,
    env: str | None = None,
    settings: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Any], Any]:
    """Make one test of every check that a component is held to.

    The test takes `subject` and `check`, and calls `check(subject)`.

    Args:
        name: what it is registered as, or a distribution; a simulator's environment id or
            "module:Class".
        kind: policy, model, tree, buffer, env, opponent, runner, simulator, observer or plugin;
            None: the only kind of that name.
        env: id of an environment to try it on; None: a policy's preset `default` names one, an
            environment kind's `EnvSpec.example`, which opponents are tried on too; a runner has
            what its policy plays.
        settings: of policies, models and environments, nested or dotted, as after `-o`; of a
            runner those of the policy that it runs, of an opponent its `argument`.
        expected_failures: name of a check -> why it fails; those are expected to (strictly).
    Raises:
        UnknownNameError: nothing installed has the name, or things of several kinds have it.
        ValueError: there is no such kind, or no check of a name in expected_failures.
    """
    return parametrize_subjects(
        Subject(name, kind, env=env, settings=settings), expected_failures=expected_failures
    )


def parametrize_subjects(
    *subjects: Subject, expected_failures: Mapping[str, str] | None = None
) -> Callable[[Any], Any]:
    """Make one test of every check of each of some subjects; see `parametrize_with_checks`."""
    import pytest  # late: a check can be called without it

    reasons = dict(expected_failures or {})
    held = [(subject, check) for subject in subjects for check in checks_for(subject)]
    _require_known(reasons, [check.name for _, check in held], subjects)
    marks = {
        name: [pytest.mark.xfail(strict=True, reason=reason)] for name, reason in reasons.items()
    }
    tests = [
        pytest.param(s, c.function, id=f"{s}-{c.name}", marks=marks.get(c.name, []))
        for s, c in held
    ]
    return pytest.mark.parametrize(("subject", "check"), tests)


def _require_known(named: Iterable[str], known: list[str], subjects: Sequence[Subject]) -> None:
    for name in named:
        if name not in known:
            raise ValueError(
                f"expected_failures names {name!r}, which is no check of "
                f"{', '.join(map(str, subjects))}."
                f"{nearest(name, known)}"
            )
