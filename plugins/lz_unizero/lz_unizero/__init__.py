"""UniZero: a transformer over observations and actions that a tree search plans with."""

__version__ = "0.1.0"
