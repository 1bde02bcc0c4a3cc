"""Root noise as a pure function of each root's seed: no row depends on another.

Shape letters: B roots, E edges.
"""

import numpy as np
import numpy.typing as npt

from lzcore.base.seeding import Seeds, derive_seed, open_uniform, uniform

# tags that keep these draws apart from each other and from those that the tree makes of a seed
_NOISE = 0x6E6F697365
_GUMBEL = 0x67756D62656C
_ROUNDS = 16  # rejection rounds; each accepts more than 95 in 100
_DRAWS = 3 * _ROUNDS + 1


def dirichlet_noise(
    seeds: Seeds, legal_actions: npt.NDArray[np.bool_], alpha: float
) -> npt.NDArray[np.float64]:
    """Draw Dirichlet(alpha, ..., alpha) over the legal actions of each root.

    Args:
        seeds: (B,) uint64.
        legal_actions: (B, E) bool, at least one True in each row.
        alpha: concentration, > 0.
    Returns:
        (B, E) float64; rows sum to 1 and are 0 where illegal.
    Raises:
        ValueError: alpha is not above 0, a root has no legal action, or seeds are not one a root.
    Source:
        Gamma variates by Marsaglia and Tsang, ACM TOMS 26 (2000), raised to alpha < 1 with U^(1/a)
        and normalised in log space, so that small alphas do not underflow.
    """
    if not 0.0 < alpha < np.inf:
        raise ValueError(f"alpha is {alpha}; expected a number above 0.")
    _check_seeds(seeds, len(legal_actions))
    empty = np.flatnonzero(~legal_actions.any(axis=1))
    if len(empty):
        raise ValueError(
            f"legal_actions allows no action at root {empty[0]}; expected at least one True in "
            "each row. Leave states without a move out of the batch."
        )
    log_gamma = _log_gamma_variates(seeds, legal_actions.shape[1], alpha)
    log_gamma = np.where(legal_actions, log_gamma, -np.inf)
    weights = np.exp(log_gamma - log_gamma.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def gumbel_noise(seeds: Seeds, num_edges: int, scale: float = 1.0) -> npt.NDArray[np.float64]:
    """Draw scale * Gumbel(0, 1) for each edge of each root, all independent.

    Args:
        seeds: (B,) uint64.
        num_edges: E.
        scale: >= 0; 0 gives zeros, a search without noise.
    Returns:
        (B, E) float64, finite.
    Raises:
        ValueError: scale is below 0 or not finite, or seeds are not (B,) uint64.
    """
    if not 0.0 <= scale < np.inf:
        raise ValueError(f"scale is {scale}; expected a number, 0 or more.")
    _check_seeds(seeds, np.size(seeds))
    keys = derive_seed(seeds, _GUMBEL)
    return scale * -np.log(-np.log(open_uniform(keys[:, None], np.arange(num_edges))))


def _check_seeds(seeds: Seeds, num_roots: int) -> None:
    found = (getattr(seeds, "dtype", type(seeds).__name__), np.shape(seeds))
    if found != (np.dtype(np.uint64), (num_roots,)):
        raise ValueError(
            f"seeds are {found[0]} of shape {found[1]}; expected uint64 of shape ({num_roots},). "
            "Pass one for each root."
        )


def _log_gamma_variates(seeds: Seeds, num_edges: int, alpha: float) -> npt.NDArray[np.float64]:
    """Logarithms of Gamma(alpha, 1) variates (B, E), each from its own counters."""
    counters = np.arange(num_edges)[:, None] * _DRAWS + np.arange(4)
    u = _open(seeds, counters)  # (B, E, 4): the boost, then the first round
    boost = np.log(u[..., 0]) / alpha
    log_v, accepted = _proposal(u[..., 1], u[..., 2], u[..., 3], alpha)
    for round_ in range(1, _ROUNDS):
        if accepted.all():
            break
        row, edge = np.nonzero(~accepted)
        at = edge * _DRAWS + 1 + 3 * round_
        u = _open(seeds[row], at[:, None] + np.arange(3), paired=True)
        log_v[row, edge], accepted[row, edge] = _proposal(u[:, 0], u[:, 1], u[:, 2], alpha)
    return log_v + boost


def _proposal(
    u1: npt.NDArray[np.float64],
    u2: npt.NDArray[np.float64],
    u3: npt.NDArray[np.float64],
    alpha: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Propose ln Gamma(alpha + 1) variates from three uniforms, and say which to keep."""
    d = alpha + 2.0 / 3.0
    x = np.sqrt(-2.0 * np.log(u1)) * np.cos(2.0 * np.pi * u2)  # Box-Muller normal
    root = 1.0 + x / np.sqrt(9.0 * d)
    log_v = 3.0 * np.log(np.maximum(root, 1e-300))
    keep = (root > 0.0) & (np.log(u3) < 0.5 * x * x + d * (1.0 - np.exp(log_v) + log_v))
    return np.log(d) + log_v, keep


def _open(
    seeds: Seeds, counters: npt.NDArray[np.int64], *, paired: bool = False
) -> npt.NDArray[np.float64]:
    """Uniforms in (0, 1) for every seed and counter, or for seeds paired with counter rows."""
    keys = derive_seed(seeds, _NOISE)
    keys = keys[:, None] if paired else keys[:, None, None]
    return uniform(keys, counters) + 2.0**-54
