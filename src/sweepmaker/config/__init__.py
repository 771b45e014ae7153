"""Schema, errors and automatic choices. Nothing here imports torch: a typo answers at once."""
