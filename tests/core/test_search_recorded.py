"""What is recorded of a network and replayed: traces on a CPU, CUDA graphs on a GPU.

Of graphs, most is tried with recordings that a CPU can make.

Shape letters: B rows of a call, P rows that a recording has room for.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lzcore.base.model import NetworkOutput
from lzcore.search import Inference
from lzcore.search import graphs as graph_of
from lzcore.search import inference as seam
from lzcore.search.graphs import Replayed, room_for
from lzcore.search.traced import Traced

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


class Imagined:
    """A recording on a CPU: it computes when it is replayed, into the same memory each time."""

    made: list["Imagined"]

    def __init__(self, step, inputs):
        self.step, self.inputs = step, inputs
        self.outputs = [torch.empty_like(output) for output in step(*inputs)]
        self.replays = 0
        self.made.append(self)

    def replay(self):
        """Compute into the outputs."""
        self.replays += 1
        for held, found in zip(self.outputs, self.step(*self.inputs), strict=True):
            held.copy_(found)


@pytest.fixture
def recording():
    class Fresh(Imagined):
        made = []

    return Fresh


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Linear(3, 2).eval()


def stepped(network):
    return lambda x, y: (network(x) + y, x.sum(1))


def given(rows, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=rng), torch.randn(rows, 2, generator=rng)


# --- traces ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.WORTH", 0)


def traced(step, network):
    """A step to be traced, and a list that grows whenever the step itself runs."""
    runs = []

    def watched(*inputs):
        runs.append(len(inputs[0]))
        return step(*inputs)

    return Traced(watched, network), runs


def test_a_trace_answers_what_the_step_answers_bit_for_bit(network):
    step = stepped(network)
    fast, runs = traced(step, network)
    for rows in (4, 1, 7, 4, 1, 7):
        for one, other in zip(fast(*given(rows, rows)), step(*given(rows, rows)), strict=True):
            assert torch.equal(one, other)
    assert runs == [4, 4, 1, 7]  # traced once, and asked once for each size to compare with


def test_a_trace_that_agreed_on_enough_sizes_is_trusted(network):
    fast, runs = traced(stepped(network), network)
    for rows in range(1, 20):
        fast(*given(rows))
    assert runs == [1, *range(1, 9)]


def test_a_trace_sees_weights_that_learn_in_place(network):
    fast, runs = traced(stepped(network), network)
    fast(*given(4))
    with torch.no_grad():
        network.weight.mul_(2.0)
    network.load_state_dict({"weight": network.weight, "bias": network.bias + 1.0})
    assert torch.equal(fast(*given(4))[0], stepped(network)(*given(4))[0])
    assert len(runs) == 2


def decides_by_numbers(x, y):
    return (x + 1.0 if x.sum() > 0 else x - 1.0,)


def decides_by_size(x, y):
    return (x + y.new_ones(len(x), 3) * len(x),)


def changes_its_mind(x, y):
    changes_its_mind.calls += 1
    return (x + changes_its_mind.calls,)


changes_its_mind.calls = 0


@pytest.mark.parametrize("step", [decides_by_numbers, decides_by_size, changes_its_mind])
def test_a_step_that_depends_on_more_than_its_tensors_is_called_as_it_is(network, step):
    fast, runs = traced(step, network)
    x, y = given(4)
    for rows, sign in ((4, 1.0), (3, 1.0), (4, -1.0), (3, -1.0)):
        found = fast(sign * x[:rows].abs(), y[:rows])
        if step is not changes_its_mind:
            assert torch.equal(found[0], step(sign * x[:rows].abs(), y[:rows])[0])
    assert runs[-2:] == [4, 3]


def test_what_cannot_be_traced_at_all_is_called_as_it_is(network, monkeypatch):
    monkeypatch.delattr(torch.jit, "trace")
    fast, runs = traced(stepped(network), network)
    assert all(map(torch.equal, fast(*given(4)), stepped(network)(*given(4))))
    assert runs == [4]


def test_a_trace_that_has_become_wrong_is_found_out(network, monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.AGAIN", 10)
    scale = [1.0]
    fast, runs = traced(lambda x, y: (network(x) * scale[0] + y,), network)
    for _ in range(25):
        fast(*given(4))
    assert len(runs) == 4  # traced, compared at first, and at the 10th and 20th call
    scale[0] = 2.0
    for _ in range(4):
        fast(*given(4))
    with pytest.warns(UserWarning, match="Linear answers otherwise than when it was recorded"):
        found = fast(*given(4))
    assert torch.equal(found[0], network(given(4)[0]) * 2.0 + given(4)[1])
    assert torch.equal(fast(*given(4))[0], found[0])
    assert len(runs) == 6


def test_an_answer_that_lies_in_an_input_is_compared_and_told_as_the_step_wrote_it(
    network, monkeypatch
):
    monkeypatch.setattr("lzcore.search.traced.AGAIN", 5)
    scale = [1.0]

    def writes(x, y):
        x[:, 0] = y[:, 0] * scale[0]
        return (x[:, :1],)

    fast, _ = traced(writes, network)
    for _ in range(4):
        fast(*given(4))
    scale[0] = 2.0
    with pytest.warns(UserWarning, match="Linear answers otherwise than when it was recorded"):
        found = fast(*given(4))
    assert torch.equal(found[0], given(4)[1][:, :1] * 2.0)


def test_a_trace_that_was_believed_for_every_size_is_found_out_with_a_warning(network, monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.CHECKED_SIZES", 2)
    monkeypatch.setattr("lzcore.search.traced.AGAIN", 5)
    scale = [1.0]
    fast, _ = traced(lambda x, y: (network(x) * scale[0] + y,), network)
    for rows in (1, 2):
        fast(*given(rows))
    scale[0] = 2.0
    for _ in range(2):
        assert torch.equal(fast(*given(7))[0], stepped(network)(*given(7))[0])  # as it was
    with pytest.warns(UserWarning, match="Linear answers otherwise than when it was recorded"):
        found = fast(*given(7))
    assert torch.equal(found[0], network(given(7)[0]) * 2.0 + given(7)[1])


def test_a_step_is_traced_when_that_has_become_worth_while(network, monkeypatch):
    monkeypatch.setattr("lzcore.search.traced.WORTH", 3)
    fast, runs = traced(stepped(network), network)
    for _ in range(9):
        fast(*given(4))
    assert runs == [4] * 5  # three times by itself, once to be traced, once to compare with


def test_tracing_warns_of_nothing(network):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        traced(stepped(network), network)[0](*given(4))


# --- graphs, with recordings of a CPU -------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "room"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 8), (9, 12), (64, 64), (65, 96)]
)
def test_a_batch_gets_the_next_of_a_few_sizes(rows, room):
    assert room_for(rows) == room


def test_no_more_than_a_third_of_a_recording_is_empty():
    assert all(rows <= room_for(rows) <= max(1.5 * rows - 0.5, 1) for rows in range(1, 3000))


@pytest.mark.parametrize("rows", [1, 4, 5, 7])
def test_a_replay_answers_what_the_step_answers(network, recording, rows):
    step = stepped(network)
    replayed = Replayed(step, network, recording)
    for seed in range(3):
        for one, other in zip(replayed(*given(rows, seed)), step(*given(rows, seed)), strict=True):
            torch.testing.assert_close(one, other)
    assert [made.replays for made in recording.made] == [3]


def test_answers_stay_the_callers(network, recording):
    replayed = Replayed(stepped(network), network, recording)
    first = replayed(*given(4, seed=0))
    before = [answer.clone() for answer in first]
    replayed(*given(4, seed=1))
    assert all(map(torch.equal, first, before))


def test_there_is_one_recording_for_each_size_shape_and_dtype(network, recording):
    replayed = Replayed(lambda x: (x.double().sum(1),), network, recording)
    for rows in (4, 3, 4, 2, 6, 5):
        replayed(torch.zeros(rows, 3))
    assert [len(made.inputs[0]) for made in recording.made] == [4, 3, 2, 6]
    for other in (torch.zeros(4, 5), torch.zeros(4, 3, dtype=torch.int64)):
        replayed(other)
        replayed(other)
    assert len(recording.made) == 6


def test_weights_that_learn_in_place_are_seen(network, recording):
    replayed = Replayed(stepped(network), network, recording)
    replayed(*given(4))
    with torch.no_grad():
        network.weight.mul_(2.0)
    torch.testing.assert_close(replayed(*given(4))[0], stepped(network)(*given(4))[0])
    assert len(recording.made) == 1


def test_weights_that_moved_are_recorded_anew(network, recording):
    replayed = Replayed(stepped(network), network, recording)
    replayed(*given(4))
    network.weight.data = network.weight.data.clone()
    replayed(*given(4))
    replayed(*given(4))
    assert len(recording.made) == 2


def test_what_cannot_be_recorded_is_called_as_it_is_after_one_warning(network):
    def refuses(step, inputs):
        raise RuntimeError("operation not permitted when stream is capturing. More of that")

    replayed = Replayed(stepped(network), network, refuses)
    with pytest.warns(UserWarning, match=r"Linear cannot be recorded .* is capturing\), and is"):
        found = replayed(*given(4))
    assert all(map(torch.equal, found, stepped(network)(*given(4))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(map(torch.equal, replayed(*given(3)), stepped(network)(*given(3))))


class Counting(nn.Module):
    """A latent counts the steps; values and rewards are told apart by their sign."""

    value_support = reward_support = SimpleNamespace(size=1, decode=lambda x: x[..., 0])

    def initial_inference(self, observation):
        return self._out(observation[:, :1])

    def recurrent_inference(self, latent_state, action, afterstate=False):
        return self._out(latent_state + (0.5 if afterstate else 1.0))

    def _out(self, latent):
        return NetworkOutput(latent, -latent, latent, latent.repeat(1, 2))


@pytest.mark.parametrize("graphs", [True, False])
def test_what_is_packed_for_a_gpu_is_told_as_on_a_cpu(graphs, recording, monkeypatch):
    observation, action = torch.tensor([[3.0], [4.0]]), torch.tensor([0, 1])
    is_outcome = np.array([True, False])

    def answers(inference):
        first, state = inference.initial(observation)
        second, state = inference.recurrent(state, action)
        return first, second, inference.chance(state, action, is_outcome, 3)[0]

    plain = answers(Inference(Counting()))
    monkeypatch.setattr(graph_of, "CudaGraph", recording)
    monkeypatch.setattr(seam, "_device", lambda module: torch.device("cuda"))
    for one, other in zip(plain, answers(Inference(Counting(), record=graphs)), strict=True):
        for name in ("value", "logits", "reward"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert plain[2].value.tolist() == [4.5, 6.0]
    assert len(recording.made) == 4 * graphs  # roots, steps, and halves of either kind


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
@GPU
def test_a_graph_answers_what_the_step_answers(network):
    network.cuda()
    step = stepped(network)
    replayed = Replayed(step, network)
    for rows in (4, 5, 7, 4):
        inputs = [x.cuda() for x in given(rows)]
        for one, other in zip(replayed(*inputs), step(*inputs), strict=True):
            torch.testing.assert_close(one, other)
    with torch.no_grad():
        network.weight.mul_(2.0)
    torch.testing.assert_close(replayed(*inputs)[0], step(*inputs)[0])


@pytest.mark.gpu
@GPU
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
def test_a_step_that_asks_the_cpu_is_called_as_it_is_and_the_gpu_goes_on_working(network):
    network.cuda()

    def asking(x, y):
        return (network(x) * (1.0 if x.sum().item() > 0 else -1.0) + y,)

    replayed = Replayed(asking, network)
    inputs = [x.cuda() for x in given(4)]
    with pytest.warns(UserWarning, match="Linear cannot be recorded"):
        (found,) = replayed(*inputs)
    torch.testing.assert_close(found, asking(*inputs)[0])
    other = Replayed(stepped(network), network)  # another one can still be recorded
    torch.testing.assert_close(other(*inputs)[0], stepped(network)(*inputs)[0])
