"""Settings to start from for `gumbel_alphazero`: what they change of AlphaZero's."""
