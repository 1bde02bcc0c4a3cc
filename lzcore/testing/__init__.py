"""Checks that a plugin of anyone is held to: plain functions that raise AssertionError.

`parametrize_with_checks` makes a test of each check of a component; `lz plugin check` runs the
same ones without pytest. A check needs no fixture, no GPU and no network.
"""

from lzcore.testing.kit import parametrize_with_checks

__all__ = ["parametrize_with_checks"]
