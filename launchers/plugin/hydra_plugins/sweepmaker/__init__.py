"""Hydra plugin: a sweep becomes one SageMaker tuning job."""
