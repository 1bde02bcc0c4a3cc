"""Tree search for lzcore in C++, with the PUCT rule."""

__version__ = "0.1.0"
