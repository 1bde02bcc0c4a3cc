"""Each check of models is kept by a right one, and broken by one that is wrong in just that."""

import pytest
import torch
from engine_fakes import TinyConfig
from kit_fakes import MODULE, GoodPolicy, registry_of
from torch import nn

from lzcore.base import NetworkOutput
from lzcore.nn import ScalarSupport
from lzcore.registry import ModelSpec, PolicySpec
from lzcore.testing import models
from lzcore.testing.kit import all_checks, checks_for
from lzcore.testing.subject import Subject


class Good(nn.Module):
    """Two linear layers: one looks, one imagines; told are a value, a reward, two logits."""

    def __init__(self, width=4):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.look = nn.Linear(width, 8)
        self.imagine = nn.Linear(9, 8)

    def initial_inference(self, observation):
        return self._told(self.look(observation).tanh())

    def recurrent_inference(self, latent_state, action):
        both = torch.cat((latent_state, action[:, None].float()), dim=1)
        return self._told(self.imagine(both).tanh())

    def forward(self, observation):
        return self.initial_inference(observation).policy_logits

    def _told(self, latent):
        return NetworkOutput(latent, latent[:, :1], latent[:, 1:2], latent[:, 2:4])


def subject_of(monkeypatch, model, made=None):
    """The model as the component `Net`, which a policy makes."""

    class Maker(GoodPolicy):
        def _create_model(self, cfg, given):
            return super(GoodPolicy, self)._create_model(cfg, (made or model)(cfg.width))

    where = {"policy": f"{MODULE}:Maker", "config": f"{MODULE}:TinyConfig"}
    registry = registry_of(
        monkeypatch,
        PolicySpec(name="maker", summary="Makes.", default_model="Net", **where),
        ModelSpec(name="Net", model=f"{MODULE}:Net", summary="A net."),
        Maker=Maker,
        Net=model,
        TinyConfig=TinyConfig,
    )
    return Subject("Net", registry=registry)


@pytest.mark.parametrize("check", all_checks("model"), ids=lambda check: check.name)
def test_a_right_model_keeps_every_promise(monkeypatch, check):
    check.function(subject_of(monkeypatch, Good))


class Shared(Good):
    number = 0.0

    def __init__(self, width):
        super().__init__(width)
        Shared.number += 1.0
        nn.init.constant_(self.look.bias, Shared.number)


class Remembers(Good):
    def __init__(self, width):
        super().__init__(width)
        self.gain = float(torch.rand(()))

    def _told(self, latent):
        return super()._told(latent * self.gain)


class Double(Good):
    def _told(self, latent):
        return super()._told(latent.double())


class Dividing(Good):
    def _told(self, latent):
        return super()._told(latent / 0.0)


class Mixing(Good):
    def _told(self, latent):
        return super()._told(latent - latent.mean(dim=0))


class Dreaming(Good):
    def _told(self, latent):
        return super()._told(nn.functional.dropout(latent, 0.5, training=True))


class Rooted(Good):
    def _told(self, latent):
        return super()._told((latent - latent).sqrt() + latent)


class Wide(Good):
    def _told(self, latent):
        return super()._told(latent)._replace(policy_logits=latent[:, :5])


class Halving(ScalarSupport):
    def decode(self, logits):
        return super().decode(logits) / 2


class Halved(Good):
    def __init__(self, width):
        super().__init__(width)
        self.reward_support = Halving()


class Growing(Good):
    def recurrent_inference(self, latent_state, action):
        told = super().recurrent_inference(latent_state, action)
        return told._replace(latent_state=torch.cat((told.latent_state, latent_state), dim=1))


class Swelling(Good):
    """Knows more actions once it imagines."""

    def recurrent_inference(self, latent_state, action):
        told = super().recurrent_inference(latent_state, action)
        return told._replace(policy_logits=told.latent_state[:, :5])


class Chancy(Good):
    """Takes half a step at a time; chance has three outcomes."""

    def recurrent_inference(self, latent_state, option, afterstate=False):
        told = super().recurrent_inference(latent_state, option)
        return told if afterstate else self._half(told)

    def _half(self, told):
        return told._replace(policy_logits=told.latent_state[:, :3])


class Torn(Chancy):
    def _half(self, told):
        return super()._half(told)._replace(value=told.latent_state[:, :2])


class Short(Chancy):
    def _half(self, told):
        return super()._half(told)._replace(latent_state=told.latent_state[:, :4])


class Surprised(Chancy):
    """Does not know its own last outcome."""

    def recurrent_inference(self, latent_state, option, afterstate=False):
        if afterstate and (option == 2).any():
            raise IndexError("no outcome 2")
        return super().recurrent_inference(latent_state, option, afterstate)


class Renamed(Good):
    """Lacks what its policy asks for once it learns."""

    def forward(self, observation):
        return self.project(observation) if self.training else super().forward(observation)


class Endless(Good):
    def forward(self, observation):
        return super().forward(observation) + (torch.inf if self.training else 0.0)


WRONG = [
    (models.check_initial_weights_are_drawn_from_torch, Shared, r"weight look\.bias differs"),
    (models.check_weights_come_back_from_a_checkpoint, Remembers, "it tells another latent_state"),
    (models.check_outputs_are_rows_of_finite_numbers, Double, "latent_state is torch.float64 of"),
    (models.check_outputs_are_rows_of_finite_numbers, Dividing, "latent_state is not finite"),
    (models.check_rows_do_not_depend_on_each_other, Mixing, "latent_state of a row depends on"),
    (
        models.check_rows_do_not_depend_on_each_other,
        Dreaming,
        "latent_state of a row dep|again",
    ),
    (models.check_gradients_are_finite, Rooted, "a gradient of its outputs is not finite"),
    (
        models.check_a_policy_learns_with_it,
        Renamed,
        r"by AttributeError: .* no attribute 'project' \(test_testing_models\.py line \d+\)",
    ),
    (
        models.check_a_policy_learns_with_it,
        Endless,
        "a learn step of policy 'lz-fakes:maker' on .* told 'total_loss' as",
    ),
    (models.check_heads_have_the_widths_of_actions_and_supports, Wide, r"has shape \(4, 5\); exp"),
    (models.check_supports_decode_what_they_encode, Halved, "reward_support decodes"),
    (
        models.check_it_imagines_step_after_step,
        Growing,
        r"latent state has shape \(4, 16\) after",
    ),
    (models.check_it_imagines_step_after_step, Swelling, r"policy_logits has shape \(4, 5\); exp"),
    (models.check_it_imagines_step_after_step, Torn, r"value of an afterstate has shape \(4, 2\);"),
    (models.check_it_imagines_step_after_step, Short, r"state of an afterstate has shape \(4, 4\)"),
    (models.check_it_imagines_step_after_step, Surprised, "IndexError: no outcome 2"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_model_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^model 'Net': .*({message})"):
        check(subject_of(monkeypatch, wrong))


def test_a_model_that_is_none_or_that_no_policy_makes_is_named(monkeypatch):
    with pytest.raises(AssertionError, match=r"a class derived from torch\.nn\.Module"):
        models.check_a_policy_makes_it(subject_of(monkeypatch, TinyConfig, made=Good))
    with pytest.raises(AssertionError, match=r"no policy that is installed makes it\. Expected"):
        models.check_a_policy_makes_it(subject_of(monkeypatch, Good, made=Wide))


def test_a_model_that_takes_half_steps_is_followed_through_both(monkeypatch):
    models.check_it_imagines_step_after_step(subject_of(monkeypatch, Chancy))


def test_every_check_of_models_has_a_model_that_fails_it():
    tested = {check.__name__ for check, *_ in WRONG} | {"check_a_policy_makes_it"}

    assert tested == {check.name for check in all_checks("model")}


def test_a_model_without_imagination_is_asked_for_none(monkeypatch):
    class Plain(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.line = nn.Linear(width, 3)

        def forward(self, observation):
            return self.line(observation)

    subject = subject_of(monkeypatch, Plain)

    names = {check.name for check in checks_for(subject)}
    assert "check_it_imagines_step_after_step" not in names
    for check in checks_for(subject):
        check.function(subject)
