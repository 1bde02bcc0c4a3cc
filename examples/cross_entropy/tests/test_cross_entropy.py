import numpy as np
from cross_entropy.policy import elite

from lzcore.testing import parametrize_with_checks


@parametrize_with_checks("cross_entropy")
def test_cross_entropy_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("cross-entropy-agent", kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


def test_the_best_episodes_are_imitated_ties_included():
    returns = np.array([1.0, 5.0, 2.0, 5.0, 3.0])

    assert elite(returns, 0.2).tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert elite(returns, 1.0).tolist() == [1.0] * 5
