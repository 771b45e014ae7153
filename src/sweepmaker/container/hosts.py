"""The machines of a job: which one this is, and what Lightning has to know to join them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweepmaker.config.errors import ConfigError
from sweepmaker.container.overrides import read_object

# AWS's PyTorch images use the same one
_PORT = "7777"


@dataclass(frozen=True)
class Hosts:
    """The machines of a job.

    Args:
        names: of every machine, in the same order on each of them.
        current: this one's.
        interface: the network interface between them, or "".
    """

    names: tuple[str, ...] = ("algo-1",)
    current: str = "algo-1"
    interface: str = ""

    @classmethod
    def read(cls, path: Path) -> Hosts:
        """From ``resourceconfig.json``; one machine where there is no such file.

        Raises:
            ConfigError: the file is not what the platform writes.
        """
        if not path.is_file():
            return cls()
        content = read_object(path)
        names, current = content.get("hosts"), content.get("current_host")
        interface = content.get("network_interface_name") or ""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{path}: hosts is no list of names")
        if not isinstance(interface, str) or not isinstance(current, str) or current not in names:
            raise ConfigError(f"{path}: current_host {ascii(current)[:80]} is not among the hosts")
        return cls(tuple(sorted(names)), current, interface)

    @property
    def rank(self) -> int:
        """This machine's number, from 0."""
        return self.names.index(self.current)

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What Lightning and its collectives read; nothing on one machine or under torchrun."""
        if len(self.names) == 1 or "TORCHELASTIC_RUN_ID" in environment:
            return {}
        found = {
            "MASTER_ADDR": self.names[0],
            "MASTER_PORT": environment.get("MASTER_PORT", _PORT),
            "NODE_RANK": str(self.rank),
        }
        if self.interface:
            for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
                found[name] = environment.get(name, self.interface)
        return found

    def overrides(self) -> list[str]:
        """What the config has to know: how many machines, and that only the first keeps a record."""
        if len(self.names) == 1:
            return []
        lines = [f"++trainer.num_nodes={len(self.names)}"]
        if self.rank:
            lines += ["hydra.output_subdir=null", f"hydra.job.name=train_node_{self.rank}"]
        return lines

    def is_main_process(self) -> bool:
        """Whether this process is the one that leaves results: first machine, first of its ranks."""
        return self.rank == 0 and is_first_here() and os.environ.get("RANK", "0") == "0"


def is_first_here() -> bool:
    """Whether this is the machine's first process; torchrun starts one a GPU."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
