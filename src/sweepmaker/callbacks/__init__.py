"""What Lightning calls while it trains: metric lines, the objective, checkpoints, the terminal."""

from sweepmaker.callbacks.best import BestCheckpoint
from sweepmaker.callbacks.ema import AveragedWeights
from sweepmaker.callbacks.lines import MetricLines
from sweepmaker.callbacks.objective import Objective
from sweepmaker.callbacks.progress import EpochLines
from sweepmaker.callbacks.resume import ResumeCheckpoint

__all__ = ["AveragedWeights", "BestCheckpoint", "EpochLines", "MetricLines", "Objective", "ResumeCheckpoint"]
