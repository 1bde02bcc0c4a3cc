"""The distribution and all that it brings keep the promises that `lzcore.testing` checks."""

from lzcore.registry import get_registry
from lzcore.testing import parametrize_with_checks
from lzcore.testing.kit import parametrize_subjects
from lzcore.testing.subject import Subject

DISTRIBUTION = "lz-alphazero"
OURS = [c for c in get_registry().components() if c.distribution == DISTRIBUTION]


@parametrize_with_checks(DISTRIBUTION, kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


@parametrize_subjects(*(Subject(c.name, "policy") for c in OURS if c.kind == "policies"))
def test_every_policy_keeps_its_promises(subject, check):
    check(subject)


@parametrize_subjects(*(Subject(c.name, "model") for c in OURS if c.kind == "models"))
def test_every_model_keeps_its_promises(subject, check):
    check(subject)
