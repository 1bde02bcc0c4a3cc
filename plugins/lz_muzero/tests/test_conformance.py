"""The distribution and all that it brings keep the promises that `lzcore.testing` checks."""

from lzcore.registry import get_registry
from lzcore.testing import parametrize_with_checks
from lzcore.testing.kit import parametrize_subjects
from lzcore.testing.subject import GAME, Subject

DISTRIBUTION = "lz-muzero"
OURS = [c for c in get_registry().components() if c.distribution == DISTRIBUTION]
VARIANTS = (  # what settings and environments make of a policy
    ("muzero", None, {"model.model_type": "mlp_context"}),
    ("muzero", None, {"reuse_search": True, "buffer_reanalyze_freq": 1.0, "use_priority": True}),
    ("efficientzero", None, {"reuse_search": True, "buffer_reanalyze_freq": 1.0}),
    ("muzero", GAME, {"model.self_supervised_learning_loss": True}),
    ("sampled_muzero", "Pendulum-v1", {}),
    ("sampled_efficientzero", "Pendulum-v1", {}),
)


@parametrize_with_checks(DISTRIBUTION, kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


@parametrize_subjects(*(Subject(c.name, "policy") for c in OURS if c.kind == "policies"))
def test_every_policy_keeps_its_promises(subject, check):
    check(subject)


@parametrize_subjects(
    *(Subject(name, "policy", env=env, settings=given) for name, env, given in VARIANTS)
)
def test_every_kind_of_search_and_observation_keeps_them_too(subject, check):
    check(subject)


@parametrize_subjects(*(Subject(c.name, "model") for c in OURS if c.kind == "models"))
def test_every_model_keeps_its_promises(subject, check):
    check(subject)
