"""MuZero for lzcore: plans in learned states."""

__version__ = "0.1.0"
