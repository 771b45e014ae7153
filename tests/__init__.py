"""A package, since a dependency installs a top-level `tests` of its own; ours is found first."""
