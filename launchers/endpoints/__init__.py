"""From a model to an endpoint: what is deployed, its requests, waiting, clearing up."""
