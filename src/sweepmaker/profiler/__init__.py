"""Where the time of a run went: samples and a step clock -> rules -> a report that says what to change."""
