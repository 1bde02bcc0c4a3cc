"""What EfficientZero sets differently from MuZero's presets."""
