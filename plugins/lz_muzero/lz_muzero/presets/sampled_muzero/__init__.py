"""Settings to start Sampled MuZero from: what differs from MuZero's, and vectors of actions."""
