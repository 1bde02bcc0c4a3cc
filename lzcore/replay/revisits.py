"""Which stored positions are gone back to: rows of old segments, the least visited ones first.

Shape letters: B positions drawn together, G segments among which they are drawn.
"""

import numpy as np

from lzcore.base.replay import Array
from lzcore.replay.store import Store

_STRICTNESS = 100.0  # how much a visit counts against a segment


def draw_revisits(store: Store, count: int, partition: float, rng: np.random.Generator) -> Array:
    """Draw eligible rows of the oldest segments, and note in the segments that it happened.

    With n segments that have eligible rows, L of them in this one and L_mean on average, a segment
    that was visited v times has the chance L exp(-100 v (L_mean / L) / n): of segments of one
    length those that were visited less come first, and a row is as likely in a long segment as in
    a short one. Each visit counts for the next one already, so that few segments share a batch.

    Args:
        store: with at least one eligible row.
        count: B.
        partition: the share of the segments, oldest first, that is drawn from; at least one is.
        rng: draws.
    Returns:
        Row ids (B,) int64; a row may be drawn more than once.
    """
    table = store.segments
    drawable = table.tail + np.flatnonzero(table.read("eligible"))
    rows = table.get("eligible", drawable)
    per_visit = _STRICTNESS / len(drawable) * (rows.mean() / rows)
    oldest = slice(max(1, round(partition * len(drawable))))
    segments, rows = drawable[oldest], rows[oldest]
    visits = table.get("visits", segments)
    drawn = _one_after_another(
        np.log(rows) - per_visit[oldest] * visits, per_visit[oldest], rng.random(count)
    )
    visits += np.bincount(drawn, minlength=len(segments))
    table.columns["visits"][table.at(segments)] = visits
    ids: Array = table.get("start", segments[drawn]) + rng.integers(rows[drawn])
    return ids


def _one_after_another(log_weight: Array, per_visit: Array, u: Array) -> Array:
    """Draw B of G segments, each time by what the visits before have left of their weights.

    Args:
        log_weight: (G,) before the first visit.
        per_visit: (G,) what a visit takes off.
        u: (B,) uniforms in [0, 1).
    Returns:
        (B,) int64 numbers of segments.
    """
    log_weight = log_weight.copy()
    drawn = np.empty(len(u), np.int64)
    for place, share in enumerate(u):
        total = np.cumsum(np.exp(log_weight - log_weight.max()))
        drawn[place] = np.searchsorted(total, share * total[-1], side="right")
        log_weight[drawn[place]] -= per_visit[drawn[place]]
    return drawn
