"""Tree search for lzcore in C++: PUCT, Gumbel, chance, sampled actions."""

__version__ = "0.1.0"
