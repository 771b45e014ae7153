"""sweepmaker: one Hydra config to train, sweep, watch and compare image classifiers."""

__version__ = "0.1.0"
