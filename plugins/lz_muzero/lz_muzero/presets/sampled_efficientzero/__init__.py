"""What Sampled EfficientZero sets differently from Sampled MuZero's presets."""
