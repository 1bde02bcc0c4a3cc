"""Settings to start from for `sampled_alphazero`: what they change of AlphaZero's."""
