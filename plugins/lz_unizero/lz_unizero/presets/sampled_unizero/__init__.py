"""Settings to start Sampled UniZero from: what differs from UniZero's, and vectors of actions."""
