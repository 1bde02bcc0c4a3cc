"""AlphaZero for lzcore: plans with the rules of a game."""

__version__ = "0.1.0"
