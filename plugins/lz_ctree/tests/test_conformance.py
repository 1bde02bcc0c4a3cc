"""The distribution and all that it brings keep the promises that `lzcore.testing` checks."""

from lzcore.testing import parametrize_with_checks


@parametrize_with_checks("lz_ctree")
def test_the_tree_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("lz-ctree")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)
