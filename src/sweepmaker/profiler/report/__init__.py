"""What the profiler leaves in a run folder: the page, one JSON for each rule, and the summary."""
