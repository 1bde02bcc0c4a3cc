"""Each check of runners is kept by the local one, and broken by one that is wrong in just that."""

import shutil

import attrs
import pytest
from kit_fakes import MODULE, GoodPolicy, registry_of

from lzcore.engine.trainer import run_local
from lzcore.registry import PolicySpec, RunnerSpec
from lzcore.testing import runners as r
from lzcore.testing.kit import all_checks, left_out
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, runner, **given):
    """The runner as the component `far`, beside a policy that it can run."""
    where = {"policy": f"{MODULE}:Fake", "config": f"{MODULE}:TinyConfig"}
    registry = registry_of(
        monkeypatch,
        PolicySpec(name="fake", summary="Fakes.", **where),
        RunnerSpec(name="far", runner=f"{MODULE}:Far", summary="Runs."),
        Fake=GoodPolicy,
        Far=runner,
    )
    return Subject("far", registry=registry, **given)


@pytest.mark.parametrize("check", all_checks("runner"), ids=lambda check: check.name)
def test_the_local_runner_keeps_every_promise(monkeypatch, check):
    check.function(subject_of(monkeypatch, run_local))


def silent(plan):
    run_local(plan)


def impatient(plan):
    run = attrs.evolve(plan.resolved.run, max_env_steps=10)
    return run_local(attrs.evolve(plan, resolved=attrs.evolve(plan.resolved, run=run)))


def vagrant(plan):
    return attrs.evolve(run_local(plan), directory=plan.directory / "elsewhere")


def untidy(plan):
    outcome = run_local(plan)
    shutil.rmtree(plan.directory / "checkpoints")
    return outcome


def own_minded(plan):
    policy = attrs.evolve(plan.resolved.policy, learning_rate=0.3)
    return run_local(attrs.evolve(plan, resolved=attrs.evolve(plan.resolved, policy=policy)))


def private(plan):
    return run_local(attrs.evolve(plan, observers=()))


def boasting(plan):
    return attrs.evolve(run_local(plan), best_return=1e6)


def forgetful(plan):
    if not plan.resume:
        return run_local(plan)
    again = attrs.evolve(plan, resume=False, directory=plan.directory.parent / "again")
    return attrs.evolve(run_local(again), directory=plan.directory)


def finished(plan):
    if not plan.resume:
        return run_local(plan)
    run = attrs.evolve(plan.resolved.run, max_env_steps=50)
    return run_local(attrs.evolve(plan, resolved=attrs.evolve(plan.resolved, run=run)))


carries, hear = r.check_it_carries_a_plan_out, r.check_observers_hear_of_the_whole_run
goes_on = r.check_a_run_goes_on_where_it_ended
WRONG = [
    (carries, silent, r"it returned NoneType; expected a lzcore\.engine\.plan\.Outcome"),
    (carries, impatient, r"ended by max_env_steps after \d+ env steps; expected .* after 50"),
    (carries, vagrant, "names the directory 'elsewhere'; expected the plan's"),
    (carries, untidy, "it left no checkpoint in the run directory"),
    (carries, own_minded, r"its config\.toml holds other settings"),
    (hear, private, r"was told \[\]; expected lz_run_started"),
    (hear, boasting, "lz_run_finished tells Outcome.*; expected the outcome that it returns"),
    (goes_on, forgetful, r"resumed after \d+ env steps it began at 0; expected to go on"),
    (goes_on, finished, r"it ended after \d+ env steps of \d+ iterations; expected more than"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_runner_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^runner 'far': .*{message}"):
        check(subject_of(monkeypatch, wrong))


def test_every_check_of_runners_has_one_that_fails_it():
    assert {check.__name__ for check, *_ in WRONG} == {c.name for c in all_checks("runner")}


def test_where_no_policy_is_installed_a_runner_has_nothing_to_run(monkeypatch):
    spec = RunnerSpec(name="far", runner=f"{MODULE}:Far", summary="Runs.")
    subject = Subject("far", registry=registry_of(monkeypatch, spec, Far=run_local))

    assert set(left_out(subject).values()) == {"no policy is installed that it could run"}


@pytest.mark.parametrize(
    ("given", "message"),
    [({"settings": {"learnin_rate": 1}}, "learnin_rate"), ({"env": "CartPol-v1"}, "CartPol-v1")],
)
def test_a_setting_or_environment_that_is_not_there_leaves_no_check_out(
    monkeypatch, given, message
):
    subject = subject_of(monkeypatch, run_local, **given)

    assert left_out(subject) == {}
    with pytest.raises(AssertionError, match=f"no installed policy can be run: .*{message}"):
        carries(subject)
