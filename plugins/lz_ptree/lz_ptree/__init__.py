"""Tree search for lzcore in NumPy: the readable reference."""

__version__ = "0.1.0"
