"""The `run` table."""

import re

import attrs
import pytest

from lzcore.base import ConfigError
from lzcore.engine.config import RunSettings


def test_a_run_goes_on_without_limits_unless_they_are_set():
    run = RunSettings()
    limits = (run.max_env_steps, run.max_learn_steps, run.max_minutes, run.stop_value)
    assert limits == (None, None, None, None)
    assert (run.seed, run.eval_episodes, run.keep_checkpoints, run.threads) == (0, 20, 2, 1)


@pytest.mark.parametrize("name", attrs.fields_dict(RunSettings))
def test_every_setting_says_in_a_sentence_what_it_is(name):
    assert re.fullmatch(r"[A-Z].*\.", attrs.fields_dict(RunSettings)[name].metadata["help"])


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("seed", -1, "an integer, at least 0."),
        ("max_env_steps", 0, 'an integer, at least 1, or "none".'),
        ("max_env_steps", 1e5, 'an integer, at least 1, or "none"; write 100000.'),
        ("max_learn_steps", 0, 'an integer, at least 1, or "none".'),
        ("max_minutes", 0, 'a number, above 0, or "none".'),
        ("stop_value", "high", 'a number, or "none".'),
        ("eval_episodes", 0, "an integer, at least 1."),
        ("eval_every", 0, 'an integer, at least 1, or "none".'),
        ("eval_at_start", 1, "true or false."),
        ("checkpoint_every", 0, "an integer, at least 1."),
        ("keep_checkpoints", 0, "an integer, at least 1."),
        ("log_every", 0, "an integer, at least 1."),
        ("threads", 0, "an integer, at least 1."),
        ("tensorboard", "no", "true or false."),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_was_expected(name, wrong, expected):
    with pytest.raises(ConfigError) as caught:
        RunSettings.of({name: wrong})
    assert str(caught.value).endswith(f": expected {expected}")


def test_a_stop_value_may_be_negative():
    assert RunSettings.of({"stop_value": -200}).stop_value == -200.0
