"""The metric line and the regex that reads it: one module, so that the two cannot drift apart.

A line looks like ``[metric] valid/top1=0.9375 epoch=3 step=120;``. SageMaker runs the regex over a
container's output and takes the last value as the job's (reference: AlgorithmSpecification's
MetricDefinitions, at most 500 characters a regex). The dialect of the service is not documented, so
the regex keeps to classes, ``+`` and one group.
"""

from __future__ import annotations

import math
import re

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@-]*")
ALLOWED = "letters, digits and _ . / @ -, beginning with a letter, a digit or _"


def format_line(name: str, value: float, *, epoch: int, step: int) -> str:
    """One metric as a line, without the line end.

    Args:
        name: as `NAME` and `ALLOWED` have it, such as ``valid/top1``.
        value: any float, printed so that reading it gives the same float again.
        epoch: from 0.
        step: optimizer steps done.

    Raises:
        ValueError: a name that the regex could not find again.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"metric name {name!r}: allowed are {ALLOWED}")
    return f"[metric] {name}={float(value)!r} epoch={epoch} step={step};"


def regex(name: str) -> str:
    """The regex for one metric's lines; its group is the value. nan and inf are not read."""
    return rf"\[metric\] {re.escape(name)}=([0-9eE+\-\.]+) epoch="


def parse(text: str, name: str) -> list[float]:
    """Every finite value of ``name`` in ``text``, in order."""
    return [value for found in re.findall(regex(name), text) if math.isfinite(value := float(found))]
