"""Checks that plugins hold themselves to: plain functions that raise AssertionError.

They need nothing but NumPy, and torch where they train, so that a plugin's tests can call them
from any test runner.
"""
