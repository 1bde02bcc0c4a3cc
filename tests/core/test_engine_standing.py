"""Scores and Elo differences, by hand."""

import json
import math

import pytest

from lzcore.engine.standing import Standing, elo


def test_outcomes_are_counted():
    assert Standing.of([1.0, 0.0, -1.0, 1.0]) == Standing(wins=2, draws=1, losses=1)


@pytest.mark.parametrize(
    ("standing", "score", "difference"),
    [
        (Standing(50, 0, 50), 0.5, 0.0),
        (Standing(0, 8, 0), 0.5, 0.0),
        (Standing(3, 0, 1), 0.75, 400 * math.log10(3)),  # 190.8
        (Standing(10, 0, 1), 10 / 11, 400.0),
        (Standing(0, 2, 9), 1 / 11, -400.0),
        (Standing(4, 0, 0), 1.0, math.inf),
        (Standing(0, 0, 4), 0.0, -math.inf),
    ],
)
def test_elo_is_that_at_which_the_score_is_expected(standing, score, difference):
    assert standing.score == pytest.approx(score)
    assert standing.elo == pytest.approx(difference)


def test_the_interval_of_the_score_is_wilsons():
    # n = 100, s = 0.6, z = 1.96: (0.6 + 0.0192) / 1.0384 -+ 1.96 sqrt(0.0024 + 0.000096) / 1.0384
    assert Standing(60, 0, 40).interval == pytest.approx((0.5020, 0.6906), abs=1e-4)
    assert Standing(50, 20, 30).interval == pytest.approx((0.5020, 0.6906), abs=1e-4)
    assert Standing(10, 0, 0).interval == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert Standing(0, 0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_people_are_told_which_ends_are_infinite():
    assert Standing(60, 0, 40).elo_text() == "+70 (+1 to +139)"
    assert Standing(10, 0, 0).elo_text() == "+infinite (+166 to +infinite)"
    assert Standing(0, 0, 10).elo_text() == "-infinite (-infinite to -166)"


def test_plain_data_can_be_json():
    told = Standing(10, 0, 0).to_dict()

    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["elo"], told["elo_high"]) == ("inf", "inf")
    assert told["elo_low"] == pytest.approx(elo(0.72246), abs=0.1)
    assert Standing.of([]).to_dict() == {"wins": 0, "draws": 0, "losses": 0, "games": 0}
