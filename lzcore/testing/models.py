"""What every model promises: rows that stand alone, shapes that fit, weights that come back.

A model is made by a policy that takes it: one that names it, or one of its distribution.

Shape letters: B states, A actions, D numbers of a continuous action, Z numbers of a head.
"""

from collections.abc import Iterator
from difflib import SequenceMatcher
from inspect import signature
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lzcore.base.errors import LzError
from lzcore.base.model import NetworkOutput, Support
from lzcore.base.policy import Policy
from lzcore.base.structure import paths_of
from lzcore.registry import Component
from lzcore.testing.promises import promise, require
from lzcore.testing.subject import FLAT_GAME, GAME, Subject
from lzcore.testing.trial import NUM_ENVS, Trial, saved

_KIND = "model.model_type"  # a setting by which policies of several models choose one


# --- making one -----------------------------------------------------------------------------------


class ModelTrial:
    """A model in the hands of a policy."""

    def __init__(self, subject: Subject) -> None:
        """Find a policy that makes the model; AssertionError if there is none."""
        self.subject = subject
        self.trial = self._found()

    @classmethod
    def of(cls, subject: Subject) -> "ModelTrial":
        """Return the trial of a subject, the same one for all of its checks."""
        if cls.__name__ not in subject.memory:
            subject.memory[cls.__name__] = cls(subject)
        return subject.memory[cls.__name__]  # type: ignore[no-any-return]

    def _found(self) -> Trial:
        for trial in self._candidates():
            try:
                made = trial.make(enable_field=["eval"])._model
            except (LzError, ValueError, RuntimeError):  # this policy cannot be made there
                continue
            if type(made) is self.subject.cls:
                return trial
        raise AssertionError(
            "no policy that is installed makes it. Expected one that names it by default_model, "
            "or env= and settings= under which a policy of its distribution does."
        )

    def _candidates(self) -> Iterator[Trial]:
        subject = self.subject
        for policy in _takers(subject):
            for env in [subject.env] if subject.env else [None, GAME, FLAT_GAME]:
                for kind in _kinds(subject, policy):
                    settings = {**kind, **subject.settings}
                    given: Any = {"env": env, "settings": settings, "registry": subject.registry}
                    yield Trial(Subject(policy.qualified, "policy", **given))

    def policy(self, seed: int = 7) -> Policy:
        """Make the policy; its weights are a function of the seed."""
        return self.trial.make(enable_field=["eval"], seed=seed)

    def model(self, seed: int = 7) -> Any:
        """Make the model, ready to be asked."""
        return self.policy(seed)._model.eval()

    def observation(self) -> Tensor:
        """(NUM_ENVS, *O) float32 as the environment shows first."""
        seen = self.trial.seen(self.policy()).observation
        return torch.from_numpy(np.array(seen)).float()

    def actions(self, model: Any, count: int) -> Tensor:
        """(count,) int64 in turn, or (count, D) float32."""
        size = self.trial.spaces.action.size
        if self.trial.is_continuous:
            return torch.linspace(-0.9, 0.9, count * size).reshape(count, size)
        return torch.arange(count) % size


def _takers(subject: Subject) -> list[Component]:
    """Return the policies that may make a model, the likeliest first."""
    if taker := getattr(subject.spec, "policy", ""):
        return [subject.registry.component("policies", taker)]
    models = subject.registry.components("models")
    home = {c.distribution for c in models if c.spec is subject.spec}
    known = [c for c in subject.registry.components("policies") if c.state != "broken"]
    bare = subject.name.rpartition(":")[2]

    def likeness(component: Component) -> float:
        return SequenceMatcher(None, component.spec.default_model, bare).ratio()

    takers = [c for c in known if c.distribution in home or c.spec.default_model == bare]
    return sorted(takers, key=likeness, reverse=True)


def _kinds(subject: Subject, policy: Component) -> list[dict[str, str]]:
    """Return settings by which a policy may choose the model."""
    if getattr(subject.spec, "policy", ""):
        return [{"model.name": subject.name}]
    config = subject.registry.resolve("policies", policy.qualified, "config")
    field = paths_of(config).get(_KIND)
    choices = get_args(field.type) if field is not None else ()
    return [{}, *({_KIND: choice} for choice in choices)]


def _told(model: Any, observation: Tensor) -> dict[str, Tensor]:
    """Return what a model says of observations, by name."""
    if hasattr(model, "initial_inference"):
        return _named(model.initial_inference(observation))
    found = model(observation)
    parts = found if isinstance(found, tuple) else (found,)
    return {f"output {place}": part for place, part in enumerate(parts)}


def _named(output: NetworkOutput) -> dict[str, Tensor]:
    return {name: part for name, part in output._asdict().items() if part is not None}


def _lacks(name: str) -> Any:
    def reason(subject: Subject) -> str | None:
        return None if hasattr(subject.cls, name) else f"it has no {name}"

    return reason


# --- what it is -----------------------------------------------------------------------------------


@promise("model")
def check_a_policy_makes_it(subject: Subject) -> None:
    """It is an nn.Module, and some installed policy takes it."""
    require(
        isinstance(subject.cls, type) and issubclass(subject.cls, nn.Module),
        f"it is {subject.cls!r}; expected a class derived from torch.nn.Module.",
    )
    ModelTrial.of(subject)


@promise("model")
def check_initial_weights_are_drawn_from_torch(subject: Subject) -> None:
    """Two models under one seed of torch have the same weights, all of them finite."""
    trial = ModelTrial.of(subject)
    one, other = trial.model().state_dict(), trial.model().state_dict()
    for name, weight in one.items():
        require(
            torch.equal(weight, other[name]),
            f"its weight {name} differs between two models of one seed; expected the same, drawn "
            "from torch's generator.",
        )
        require(torch.isfinite(weight).all(), f"its weight {name} is not finite at first.")


@promise("model")
def check_weights_come_back_from_a_checkpoint(subject: Subject) -> None:
    """A model with another's state says the same as it, bit for bit."""
    trial = ModelTrial.of(subject)
    one, other, seen = trial.model(), trial.model(seed=8), trial.observation()
    other.load_state_dict(saved(one.state_dict()), strict=True)
    with torch.no_grad():
        ours, theirs = _told(one, seen), _told(other, seen)
    for name, part in ours.items():
        require(
            torch.equal(part, theirs[name]),
            f"it tells another {name} once its state was loaded into a second model; expected "
            "the same bits. Keep everything it needs in parameters and buffers.",
        )


# --- what it says ---------------------------------------------------------------------------------


@promise("model")
def check_outputs_are_rows_of_finite_numbers(subject: Subject) -> None:
    """One float32 row for each observation, in every output."""
    trial = ModelTrial.of(subject)
    with torch.no_grad():
        _require_rows(_told(trial.model(), trial.observation()), NUM_ENVS)


def _require_rows(told: dict[str, Tensor], count: int) -> None:
    for name, part in told.items():
        require(
            part.dtype == torch.float32 and part.shape[:1] == (count,),
            f"its {name} is {part.dtype} of shape {tuple(part.shape)}; expected torch.float32 "
            f"with {count} rows.",
        )
        require(torch.isfinite(part).all(), f"its {name} is not finite; expected numbers.")


@promise("model")
def check_rows_do_not_depend_on_each_other(subject: Subject) -> None:
    """In eval mode a state is judged alike whatever else is in the batch, and again alike."""
    trial = ModelTrial.of(subject)
    model, seen = trial.model(), trial.observation()
    rows = torch.tensor([2, 0])
    with torch.no_grad():
        whole, part, again = (_told(model, x) for x in (seen, seen[rows], seen[rows]))
    for name, found in part.items():
        require(
            torch.allclose(found, whole[name][rows], rtol=1e-4, atol=1e-5),
            f"its {name} of a row depends on the other rows; expected the same in any batch.",
        )
        require(
            torch.equal(found, again[name]),
            f"its {name} is another when it is asked again in eval mode; expected the same.",
        )


@promise("model")
def check_gradients_are_finite(subject: Subject) -> None:
    """What it says can be learned from: some parameters get gradients, all of them finite."""
    trial = ModelTrial.of(subject)
    model = trial.model().train()
    sum(part.square().sum() for part in _told(model, trial.observation()).values()).backward()  # type: ignore[union-attr]
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    require(grads, "no parameter got a gradient from its outputs; expected some.")
    require(
        all(torch.isfinite(grad).all() for grad in grads),
        "a gradient of its outputs is not finite; expected numbers.",
    )


@promise("model")
def check_a_policy_learns_with_it(subject: Subject) -> None:
    """The policy that takes it plays a few episodes and makes a learn step with it."""
    trial = ModelTrial.of(subject).trial
    policy = trial.make()
    told = trial.learn(policy, trial.batch(policy))[0]
    for name, value in told.items():
        require(
            not name.endswith("loss") or np.isfinite(value),
            f"a learn step of {trial.subject} told {name!r} as {value!r}; expected a finite "
            "number.",
        )


@promise("model", left_out=_lacks("initial_inference"))
def check_heads_have_the_widths_of_actions_and_supports(subject: Subject) -> None:
    """Logits of every action, values and rewards as wide as their supports."""
    trial = ModelTrial.of(subject)
    model = trial.model()
    with torch.no_grad():
        output = model.initial_inference(trial.observation())
    _require_widths(trial, model, output)


def _require_widths(trial: ModelTrial, model: Any, output: NetworkOutput, of: str = "") -> None:
    """Check the heads' widths; of an afterstate, whose outcomes the model counts, `of` says so."""
    size = trial.trial.spaces.action.size
    choices = 2 * size if trial.trial.is_continuous else size
    widths = {
        "policy_logits": output.policy_logits.shape[-1] if of else choices,
        "value": model.value_support.size,
        "reward": model.reward_support.size,
    }
    for name, width in widths.items():
        found = tuple(getattr(output, name).shape)
        require(
            found[1:] == (width,),
            f"its {name}{of} has shape {found}; expected ({found[0]}, {width}).",
        )


@promise("model", left_out=_lacks("initial_inference"))
def check_supports_decode_what_they_encode(subject: Subject) -> None:
    """Numbers come back from targets of the heads, which are as wide as the support says."""
    model = ModelTrial.of(subject).model()
    numbers = torch.tensor([0.0, 1.0, -1.0, 0.25, -2.5])
    for name in ("value_support", "reward_support"):
        support: Support = getattr(model, name)
        target = support.encode(numbers)
        require(
            target.shape == (5, support.size),
            f"its {name} encodes 5 numbers in shape {tuple(target.shape)}; expected "
            f"(5, {support.size}).",
        )
        is_weights = support.size > 1
        back = support.decode(target.clamp_min(1e-30).log() if is_weights else target)
        require(
            torch.allclose(back, numbers, atol=0.02),
            f"its {name} decodes {numbers.tolist()} as {back.tolist()}; expected the same numbers.",
        )


@promise("model", left_out=_lacks("recurrent_inference"))
def check_it_imagines_step_after_step(subject: Subject) -> None:
    """Each step, or half of one, takes what the one before it gave, and gives the same shapes."""
    trial = ModelTrial.of(subject)
    model = trial.model()
    with torch.no_grad():
        root = model.initial_inference(trial.observation())
        given, now = trial.actions(model, NUM_ENVS), root
        for step in range(3):
            for of, told in _imagined(model, now, given):
                _require_rows(_named(told), NUM_ENVS)
                _require_widths(trial, model, told, of)
                now, latent = told, tuple(told.latent_state.shape)
                require(
                    latent == root.latent_state.shape,
                    f"its latent state{of} has shape {latent} after "
                    f"{step + 1} steps; expected {tuple(root.latent_state.shape)}, as at the root.",
                )


def _imagined(model: Any, now: NetworkOutput, given: Tensor) -> Iterator[tuple[str, NetworkOutput]]:
    """Yield each half of a step (without chance the whole): its name in messages, what is said."""
    takes = signature(model.recurrent_inference).parameters
    if "afterstate" not in takes:
        memory = {"memory": now.memory} if "memory" in takes else {}
        yield "", model.recurrent_inference(now.latent_state, given, **memory)
        return
    half = model.recurrent_inference(now.latent_state, given)
    yield " of an afterstate", half
    count = half.policy_logits.shape[1]
    outcome = count - 1 - torch.arange(len(given)) % count  # the last one first
    yield "", model.recurrent_inference(half.latent_state, outcome, afterstate=True)
