"""Settings to start from for `gumbel_muzero`: what they change of MuZero's."""
