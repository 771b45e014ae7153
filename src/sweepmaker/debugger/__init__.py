"""Rules that watch a run while it trains: observations -> rules -> findings.

The callback (`sweepmaker.debugger.callback`) takes observations and stores them; rules
(`sweepmaker.debugger.rules`) are plain Python and NumPy over that stream, so that they can be asked
again, with other thresholds, once the run is over (`sweepmaker.debugger.offline`).
"""
