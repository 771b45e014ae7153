"""The job side: everything that knows SageMaker. Imported from a clone; no wheel holds it."""
