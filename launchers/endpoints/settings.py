"""What conf/deploy.yaml may hold of an endpoint, and which keys an endpoint has no use for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from launchers.aws import where as places
from launchers.limits import has_gpu
from launchers.limits.hosting import ANSWER_S, PAYLOAD_MB, SERVERLESS_PAYLOAD_MB
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.rules import NOTHING, TEXT, Rule, either, integer, matching, one_of
from sweepmaker.serving import settings as serving

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # CreateEndpoint, EndpointName
_A_NAME = matching(_NAME, "up to 63 letters, digits and hyphens, a letter or digit at both ends")
MEMORIES = tuple(range(1024, 6145, 1024))

RULES: dict[str, Rule] = {
    **places.RULES,
    "name": either(_A_NAME, NOTHING),
    "register": either(_A_NAME, NOTHING),
    "endpoint.instance": Rule(
        lambda value: isinstance(value, str) and value.startswith("ml.") and value.count(".") == 2,
        "a machine of SageMaker's, such as ml.m5.large or ml.g5.xlarge",
    ),
    "endpoint.count": integer(1),
    "endpoint.serverless.memory_mb": either(one_of(*MEMORIES), NOTHING),
    "endpoint.serverless.concurrency": integer(1, 200),
    "endpoint.startup_s": integer(60, 3600),
    "endpoint.image": either(TEXT, NOTHING),
}
_GROUPS = ("where", "endpoint", "endpoint.serverless")
# of a server on this machine, and there is no variable by which a container would be told
_ONLY_HERE = (
    "host",
    "port",
    "batch",
    "limits.pixels",
    "limits.instances",
    "limits.queue",
    "images",
    "output",
)


@dataclass(frozen=True)
class Machines:
    """What an endpoint runs on, or pays for by the request.

    Attributes:
        instance: machine type; empty for a serverless endpoint.
        count: machines.
        memory_mb: of a serverless endpoint; 0 for machines.
        concurrency: requests at a time, serverless.
    """

    instance: str
    count: int
    memory_mb: int
    concurrency: int

    @property
    def serverless(self) -> bool:
        return self.memory_mb > 0

    def cost(self) -> str:
        """In words: the machines, and the most that an hour of it may take."""
        if self.serverless:
            memory = self.memory_mb / 1024
            most = f"at most {self.concurrency * memory:g} GB hours an hour, nothing while nobody asks"
            return f"serverless, {memory:g} GB, {self.concurrency} requests at a time: {most}"
        hours = f"{self.count} instance hour{'s' if self.count > 1 else ''} each hour"
        return f"{self.count} x {self.instance}: {hours}, until it is deleted"


def machines(cfg: DictConfig) -> Machines:
    """Of a checked config."""
    asked, serverless = cfg.endpoint, cfg.endpoint.serverless
    if serverless.memory_mb is None:
        return Machines(str(asked.instance), int(asked.count), 0, 0)
    return Machines("", 0, int(serverless.memory_mb), int(serverless.concurrency))


def validate(cfg: DictConfig, lines: Sequence[str]) -> serving.Options:
    """Check the config of one ``deploy.py`` that is about an endpoint.

    Args:
        cfg: of it.
        lines: the command line's overrides.

    Returns:
        what is to be served, and how.

    Raises:
        ConfigError: an unknown key, a value that is not allowed, or two that don't go together.
    """
    options = serving.options(cfg)
    places.known_keys(cfg, RULES, _GROUPS)
    places.check_values(cfg, RULES)
    places.check_network(cfg.where)
    if options.action in ("delete", "invoke") and cfg.name is None:
        raise ConfigError(
            "is needed: which endpoint?",
            key="name",
            fix=f"python deploy.py action=list where={cfg.where.name} shows those that there are",
        )
    if options.action == "deploy":
        _deployable(cfg, lines)
    elif cfg.dry_run and options.action != "delete":
        raise ConfigError(f"goes with action=deploy, and this is action={options.action}", key="dry_run")
    return options


def _deployable(cfg: DictConfig, lines: Sequence[str]) -> None:
    given = {str(line).lstrip("+").partition("=")[0] for line in lines}
    for key in sorted(given):
        if any(key == one or key.startswith(f"{one}.") for one in _ONLY_HERE):
            raise ConfigError(
                "is about a server or files on this machine, not about an endpoint",
                key=key,
                fix="leave it out",
            )
    serverless = cfg.endpoint.serverless.memory_mb is not None
    if serverless and (cfg.where.subnets or cfg.where.network_isolation):
        key = "where.subnets" if cfg.where.subnets else "where.network_isolation"
        raise ConfigError(
            "a serverless endpoint has neither a VPC nor isolation",
            key=key, fix="leave it out, or endpoint.serverless.memory_mb=null",
        )  # fmt: skip
    kind = "a serverless endpoint" if serverless else "an endpoint"
    most_mb = SERVERLESS_PAYLOAD_MB if serverless else PAYLOAD_MB
    # the default is more than a serverless endpoint takes, which is told less then
    if cfg.limits.payload_mb > most_mb and ("limits.payload_mb" in given or not serverless):
        raise ConfigError(f"{kind} takes {most_mb} MB", key="limits.payload_mb", allowed=f"at most {most_mb}")
    if cfg.limits.timeout_s > ANSWER_S:
        raise ConfigError(
            f"an endpoint has to answer within {ANSWER_S} seconds",
            key="limits.timeout_s", allowed=f"at most {ANSWER_S}",
        )  # fmt: skip
    if cfg.engine == "compile" and (serverless or not has_gpu(str(cfg.endpoint.instance))):
        raise ConfigError(
            f"compile is for a GPU, and {kind if serverless else cfg.endpoint.instance} has none",
            key="engine", allowed=", ".join(name for name in serving.ENGINES if name != "compile"),
            fix="engine=auto, or endpoint.instance=ml.g5.xlarge",
        )  # fmt: skip
    if cfg.register is not None and cfg.name is not None:
        raise ConfigError(
            "is an endpoint's, and register makes none", key="name", fix="leave name out, or register"
        )
