"""A binary tree of sums: draws a leaf in proportion to its mass in O(log N).

Shape letters: n leaves addressed at once.
"""

import numpy as np
import numpy.typing as npt

Masses = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class SumTree:
    """Non-negative masses at the leaves 0..size-1, each inner node the sum of its two children.

    Node 1 is the root, node i has the children 2i and 2i+1, and leaf j is node width + j. An inner
    node is always exactly the float64 sum of its children, so equal leaves give equal trees,
    whatever happened before.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.depth = max(size - 1, 0).bit_length()
        self.width = 1 << self.depth
        self._node = np.zeros(2 * self.width)

    @property
    def total(self) -> float:
        """The mass of all leaves."""
        return float(self._node[1])

    def get(self, leaves: Indices) -> Masses:
        """Return (n,) masses."""
        return self._node.take(leaves + self.width)

    def set(self, leaves: Indices, masses: Masses | float) -> None:
        """Set (n,) masses; where a leaf is named twice, the last one counts."""
        node = self._node
        place = leaves + self.width
        node[place] = masses
        for _ in range(self.depth):
            place = place >> 1
            left = place << 1
            node[place] = node.take(left) + node.take(left + 1)

    def set_range(self, first: int, masses: Masses) -> None:
        """Set the masses of the leaves from `first` on, which lie side by side."""
        low, high = self.width + first, self.width + first + len(masses)
        self._node[low:high] = masses
        while low > 1:
            low, high = low >> 1, (high + 1) >> 1
            below = self._node[2 * low : 2 * high]
            self._node[low:high] = below[::2] + below[1::2]

    def find(self, mass: Masses) -> Indices:
        """Return the leaf in which each running sum lies.

        Args:
            mass: (n,) in [0, total); there must be some mass.
        Returns:
            (n,) int64: the first leaf j with mass < leaf 0 + ... + leaf j. It never is a leaf
            without mass, also not where rounding carries `mass` past the end of a subtree.
        """
        node = self._node
        place = np.ones(len(mass), np.int64)
        for _ in range(self.depth):
            place <<= 1
            left = node.take(place)
            right = (mass >= left) & (node.take(place + 1) > 0.0)
            mass = np.where(right, mass - left, mass)
            place += right
        return place - self.width
