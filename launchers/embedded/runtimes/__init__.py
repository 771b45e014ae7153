"""How a trial's process is started."""

from __future__ import annotations

import sys
from pathlib import Path

from launchers.embedded.runtimes import linux
from launchers.embedded.runtimes.spec import Runtime


def open_runtime(name: str, *, root: Path, toolkit_python: Path | None = None) -> Runtime:
    """The runtime ``fork``, ``process`` or ``toolkit``.

    Args:
        name: of it.
        root: the server's folder; what runs is marked with it.
        toolkit_python: for ``toolkit``: the interpreter beside sagemaker-training; None: .venv-toolkit.

    Raises:
        ConfigError: there is no such runtime, or it cannot work on this machine.
    """
    # late: a warm process imports this package too, and is to hold as little of it as it can
    from launchers.embedded.runtimes.fork import Fork
    from launchers.embedded.runtimes.starter import Starter
    from launchers.embedded.runtimes.toolkit import Toolkit
    from sweepmaker.config.errors import ConfigError

    if name == "toolkit":
        return Toolkit(root, toolkit_python)
    if name == "process":
        return Starter(root, Path(sys.executable))
    if name != "fork":
        raise ConfigError(f"is {name!r}", key="runtime", allowed="auto | fork | process | toolkit")
    if not linux.HERE:
        raise ConfigError(
            "a process that has loaded torch cannot be forked safely here",
            key="runtime", allowed="auto | process",
        )  # fmt: skip
    return Fork(root)


def default_name() -> tuple[str, str]:
    """(the runtime that suits this machine, why)"""
    if linux.HERE:
        return "fork", "a warm process is forked for each trial"
    return "process", f"forking after torch is loaded is not safe on {sys.platform}"
