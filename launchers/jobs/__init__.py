"""From a config to a job: search space, request, source bundle, uploads, one create call."""
