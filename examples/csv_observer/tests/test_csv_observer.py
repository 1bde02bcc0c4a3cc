from types import SimpleNamespace

from csv_observer import plugin

from lzcore.testing import parametrize_with_checks


@parametrize_with_checks("csv-observer", kind="observer")
def test_the_observer_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("csv-observer", kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


def a_run(path, env_step=0):
    return SimpleNamespace(
        directory=SimpleNamespace(path=path),
        counters=SimpleNamespace(env_step=env_step),
        seconds=12.34,
    )


def evaluated(run, env_step, mean):
    at = {"env_step": env_step, "learn_step": env_step // 4}
    plugin.lz_evaluated(run, SimpleNamespace(at=at, mean=mean, std=0.5))


def rows(path):
    return (path / "evaluations.csv").read_text().splitlines()


def test_each_evaluation_is_a_row(tmp_path):
    run = a_run(tmp_path)
    plugin.lz_run_started(run)
    evaluated(run, 400, 20.0)
    plugin.lz_run_finished(run)

    assert rows(tmp_path) == [
        "env_step,learn_step,return_mean,return_std,seconds",
        "400,100,20.0,0.5,12.3",
    ]


def test_what_is_measured_once_more_takes_the_place_of_its_row(tmp_path):
    run = a_run(tmp_path)
    plugin.lz_run_started(run)
    evaluated(run, 0, 9.0)  # and killed, with no checkpoint since the first one

    again = a_run(tmp_path)
    plugin.lz_run_started(again)
    evaluated(again, 0, 9.5)
    evaluated(again, 400, 20.0)

    assert [row.split(",")[2] for row in rows(tmp_path)] == ["return_mean", "9.5", "20.0"]


def test_a_resumed_run_goes_on_where_its_checkpoint_stood(tmp_path):
    run = a_run(tmp_path)
    plugin.lz_run_started(run)
    evaluated(run, 400, 20.0)
    evaluated(run, 800, 30.0)
    plugin.lz_run_finished(run)

    again = a_run(tmp_path, env_step=500)  # the evaluation after 800 came later than that
    plugin.lz_run_started(again)
    evaluated(again, 800, 31.0)

    assert [row.split(",")[2] for row in rows(tmp_path)] == ["return_mean", "20.0", "31.0"]
