"""What changes with progress: learning rate, temperature and epsilon as plain functions."""

import math
from typing import Literal


def piecewise_factor(learn_step: int, threshold: int) -> float:
    """Return the factor on the learning rate: 1, then 0.1, then 0.01.

    Args:
        learn_step: optimiser steps taken so far.
        threshold: the steps after which it stays at 0.01; 0.1 begins half way.
    """
    if learn_step < threshold / 2:
        return 1.0
    return 0.1 if learn_step < threshold else 0.01


def cosine_factor(learn_step: int, total: int) -> float:
    """Return the factor on the learning rate along a half wave of the cosine, from 1 to 0.

    Args:
        learn_step: optimiser steps taken so far.
        total: the steps after which it stays at 0.
    """
    return 0.5 * (1.0 + math.cos(math.pi * min(learn_step, total) / total))


def collect_temperature(learn_step: int, *, fixed: float, decays: bool, threshold: int) -> float:
    """Return the temperature of visit counts when collecting.

    Args:
        learn_step: optimiser steps taken so far.
        fixed: the temperature if it does not decay.
        decays: whether it goes 1.0, 0.5, 0.25 instead.
        threshold: steps; 0.5 begins at a half of it, 0.25 at three quarters.
    """
    if not decays:
        return fixed
    if learn_step < 0.5 * threshold:
        return 1.0
    return 0.5 if learn_step < 0.75 * threshold else 0.25


def collect_epsilon(
    env_step: int, *, kind: Literal["linear", "exp"], start: float, end: float, decay: float
) -> float:
    """Return the probability of a uniform legal action when collecting.

    Args:
        env_step: environment steps collected so far.
        kind: linear reaches `end` after `decay` steps; exp approaches it with that time constant.
        start: at step 0.
        end: at last.
        decay: environment steps.
    """
    if kind == "linear":
        return start - (start - end) * min(env_step, decay) / decay
    return (start - end) * math.exp(-env_step / decay) + end
