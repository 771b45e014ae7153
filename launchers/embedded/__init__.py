"""A local SageMaker: the service's own API on this machine, with real trials behind it."""
