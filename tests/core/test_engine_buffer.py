"""Which replay buffer a run uses: the policy's own, or the one that `run.buffer` names."""

import numpy as np
import pytest
from engine_fakes import Oldest

from lzcore.base import Segment, UnknownNameError
from lzcore.engine.assemble import assemble
from lzcore.engine.starting import plan_run
from lzcore.replay import ReplayBuffer

pytestmark = pytest.mark.usefixtures("tiny_installed")


@pytest.fixture
def parts(tmp_path):
    """Assemble a run of `tiny`: `parts(buffer="oldest")`."""
    made = []

    def make(use_priority=False, **run):
        named = {"use_priority": use_priority, "run": run}
        plan = plan_run("tiny", "engine_fakes:Walk", out=tmp_path / "run", named=named)
        made.append(assemble(plan))
        return made[-1]

    yield make
    for part in made:
        part.close()


class Shown:
    """Stands for a policy: its batch is the ids of the drawn rows."""

    def make_batch(self, windows):
        return windows.index.tolist()


def filled(buffer, rows=20):
    """The buffer with an episode of so many steps of a Walk."""
    columns = {
        "observation": np.zeros((rows + 1, 2), np.float32),
        "action": np.zeros(rows + 1, np.int64),
        "reward": np.zeros(rows + 1, np.float32),
        "odds": np.zeros(rows + 1, np.float32),
        "to_play": np.full(rows + 1, -1, np.int8),
        "action_mask": np.ones((rows + 1, 2), bool),
        "timestep": np.arange(rows + 1),
    }
    whole = {"episode": 0, "offset": 0, "columns": columns, "length": rows}
    buffer.push([Segment(**whole, ended=True, terminated=True)])
    return buffer


def test_a_run_uses_the_buffer_of_its_policy_unless_it_names_another(parts):
    assert type(parts().buffer) is ReplayBuffer
    assert type(parts(buffer="oldest").buffer) is Oldest
    assert type(parts(buffer="lzcore:replay").buffer) is ReplayBuffer


def test_a_buffer_draws_as_its_make_draw_says(parts):
    assert filled(parts(buffer="oldest").buffer).sample(4, Shown()) == [0, 1, 2, 3]


def test_priorities_decide_in_any_buffer_where_a_policy_asks_for_them(parts):
    buffer = filled(parts(buffer="oldest", use_priority=True).buffer)

    drawn = {row for _ in range(20) for row in buffer.sample(4, Shown())}

    assert len(drawn) > 10


def test_a_buffer_that_is_not_installed_is_refused_with_the_nearest(parts):
    with pytest.raises(UnknownNameError, match="Did you mean 'oldest'"):
        parts(buffer="eldest")
