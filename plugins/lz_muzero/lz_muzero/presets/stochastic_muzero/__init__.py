"""Stochastic MuZero's settings, most of them MuZero's: a file says what differs."""
