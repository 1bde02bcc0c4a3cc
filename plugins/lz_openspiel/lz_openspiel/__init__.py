"""Board games and games of chance: those of OpenSpiel, as simulators and as environments."""

__version__ = "0.1.0"
