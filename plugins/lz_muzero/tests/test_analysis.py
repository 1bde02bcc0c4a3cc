"""What a learn step tells of the inside of its networks, if it is asked: norms, silent neurons.

Shape letters: B samples of a batch, K unroll steps.
"""

from typing import ClassVar

import pytest
import torch
from lz_muzero.monitor import ANALYSIS
from lz_muzero.policy import MuZeroPolicy

from lzcore.base import ConfigError

DORMANT = ["analysis/dormant_ratio_encoder", "analysis/dormant_ratio_dynamics"]
NORMS = list(ANALYSIS[3:])
ASKING_FOR_DORMANT = [
    {"cal_dormant_ratio": True},
    {"analysis_dormant_ratio": True},
    {"model": {"analysis_dormant_ratio": True}},
]
ASKING_FOR_NORMS = [{"analysis_sim_norm": True}, {"model": {"analysis_sim_norm": True}}]


@pytest.fixture(params=["vectors", "pictures"])
def seeing(request, make_policy, pictures):
    """A function from settings to a policy of either family, awake: no head says 0."""

    def make(*given, **options):
        layers = [pictures] if request.param == "pictures" else []
        policy = make_policy(*layers, *given, **options)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in policy._model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return policy

    return make


def learned(policy, fill):
    return policy.learn_mode.forward(fill(policy).sample(8, policy))


# --- norms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asking", ASKING_FOR_NORMS)
def test_norms_are_those_of_the_root_latents_and_their_gradients(seeing, fill, asking):
    policy = seeing({"model": {"use_sim_norm": True}}, asking)
    data = fill(policy).sample(8, policy)
    batch, target = policy._on_device(data)
    told = policy.learn_mode.forward(data)

    twin, latents = seeing({"model": {"use_sim_norm": True}}), []
    hook = twin._model.train().root_norm.register_forward_hook(
        lambda layer, args, output: latents.extend((args[0], output))
    )
    unrolled = twin._unroll(batch)
    hook.remove()
    parts = twin._losses(unrolled, batch, target)
    loss = sum(w * parts[name] for name, w in twin._loss_weights().items()).mean() / 3  # K
    gradients = torch.autograd.grad(loss, latents)
    expected = [x.flatten(1).norm(dim=1).mean().item() for x in (*latents, *gradients)]
    assert [told[name] for name in NORMS] == pytest.approx(expected, rel=1e-4)
    assert told["analysis/latent_state_l2_norms"] == pytest.approx(expected[1], rel=1e-5)


def test_without_sim_norm_both_sides_are_the_same(seeing, fill):
    policy = seeing({"model": {"use_sim_norm": False}, "analysis_sim_norm": True})
    told = learned(policy, fill)
    before, after, grad_before, grad_after = (told[name] for name in NORMS)

    assert before == after > 0.0
    assert grad_before == grad_after > 0.0


# --- dormant neurons ------------------------------------------------------------------------------


@pytest.mark.parametrize("asking", ASKING_FOR_DORMANT)
def test_the_shares_of_dormant_neurons_are_told_under_any_name(seeing, fill, asking):
    everything, nothing = ({"dormant_threshold": t} for t in (1e9, 0.0))

    assert [learned(seeing(asking, everything), fill)[name] for name in DORMANT] == [1.0, 1.0]
    assert all(learned(seeing(asking, nothing), fill)[name] < 0.5 for name in DORMANT)


def test_neurons_that_are_put_to_sleep_are_found(make_policy, fill):
    policy = make_policy(cal_dormant_ratio=True, dormant_threshold=0.0)
    hidden = policy._model.representation[1]  # 16 neurons, the encoder's only ones
    with torch.no_grad():
        hidden.norm.weight[:4] = 0.0
        hidden.norm.bias[:4] = -1.0

    assert learned(policy, fill)[DORMANT[0]] == pytest.approx(4 / 16, abs=1e-6)


def test_the_dynamics_are_judged_over_all_steps_of_the_unroll(make_policy, fill):
    policy = make_policy(cal_dormant_ratio=True)
    batch, _ = policy._on_device(fill(policy).sample(8, policy))
    policy._unroll(batch)

    probe = policy._activity[DORMANT[1]]
    assert [len(passes) for passes in probe._passes.values()] == [3, 3]  # layers, K passes


def test_searches_are_not_counted(make_policy, fill):
    policy = make_policy(cal_dormant_ratio=True)
    policy.collect_mode.forward(torch.ones(2, 4))
    fill(policy).sample(8, policy)

    assert not any(probe._passes for probe in policy._activity.values())


def test_it_changes_nothing_that_is_learned(seeing, fill):
    asked, plain = seeing({"cal_dormant_ratio": True}), seeing()
    one, other = learned(asked, fill), learned(plain, fill)

    assert all(one[k] == other[k] for k in one if k not in (*DORMANT, "value_priority_orig"))
    pairs = zip(asked._model.parameters(), plain._model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(m._forward_hooks for m in plain._model.modules())


def test_a_variant_that_leaves_analysis_out_tells_it_when_asked(make_policy, fill):
    class Quiet(MuZeroPolicy):
        untold: ClassVar = frozenset(ANALYSIS)

    for asking in (*ASKING_FOR_DORMANT, *ASKING_FOR_NORMS):
        policy = make_policy(asking, policy_class=Quiet)
        assert list(learned(policy, fill))[: len(ANALYSIS)] == list(ANALYSIS)
    assert not set(ANALYSIS) & set(learned(make_policy(policy_class=Quiet), fill))


@pytest.mark.parametrize(
    ("asking", "missing"),
    [("cal_dormant_ratio", "representation"), ("analysis_sim_norm", "root_norm")],
)
def test_a_model_without_such_a_network_is_refused(make_policy, open_model, asking, missing):
    with pytest.raises(ConfigError, match=rf"`{missing}` of the model, and OpenModel has none"):
        make_policy({asking: True}, model=open_model())
