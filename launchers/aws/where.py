"""What conf/where may hold, and how any key of the job side is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from omegaconf import DictConfig, OmegaConf

from launchers.aws.masking import masked
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.schema import BOOLEAN, NOTHING, TEXT, Rule, either, one_of

_BUCKET = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")  # S3's naming rules
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
NAMES = Rule(
    lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value), "a list of names"
)
_SERVER = Rule(
    lambda value: (
        isinstance(value, dict)
        and all(one is None or isinstance(one, str | int | float | dict) for one in value.values())
    ),
    "{setting: value} of the server, or null where endpoint_url says where one is",
)
_TEXT_OR_NULL = either(TEXT, NOTHING)

RULES: dict[str, Rule] = {
    "where.name": one_of("sagemaker", "embedded"),
    **dict.fromkeys(
        (
            "where.profile",
            "where.endpoint_url",
            "where.s3_endpoint_url",
            "where.role",
            "where.kms_key",
        ),
        _TEXT_OR_NULL,
    ),
    "where.region": either(
        Rule(
            lambda value: isinstance(value, str) and bool(_REGION.fullmatch(value)),
            "a region such as us-east-1",
        ),
        NOTHING,
    ),
    "where.root": _TEXT_OR_NULL,
    "where.server": either(_SERVER, NOTHING),
    "where.bucket": either(
        Rule(
            lambda value: isinstance(value, str) and bool(_BUCKET.fullmatch(value)),
            "the name of a bucket (3 to 63 of a-z, 0-9, . and -), without s3://",
        ),
        NOTHING,
    ),
    "where.prefix": Rule(
        lambda value: isinstance(value, str) and bool(value.strip("/")) and ".." not in value.split("/"),
        "a path inside the bucket, such as sweepmaker",
    ),
    "where.bucket_owner": either(
        Rule(lambda value: str(value).isdigit() and len(str(value)) == 12, "12 digits, quoted"),
        NOTHING,
    ),
    "where.subnets": NAMES,
    "where.security_groups": NAMES,
    "where.network_isolation": BOOLEAN,
    "where.encrypt_traffic": BOOLEAN,
}


def check_network(where: DictConfig) -> None:
    """
    Raises:
        ConfigError: half of a VPC.
    """
    if bool(where.subnets) != bool(where.security_groups):
        lacking = "where.subnets" if where.security_groups else "where.security_groups"
        raise ConfigError("is needed too: a VPC is subnets and security groups", key=lacking)


def known_keys(cfg: DictConfig, rules: Mapping[str, Rule], groups: Iterable[str]) -> None:
    """
    Raises:
        ConfigError: a key in one of ``groups`` that no rule is about, or one of them is no group.
    """
    for group in groups:
        known = {key.removeprefix(f"{group}.").split(".")[0] for key in rules if key.startswith(f"{group}.")}
        allowed = ", ".join(sorted(known))
        found = OmegaConf.select(cfg, group)
        if not OmegaConf.is_dict(found):
            wrong = f"{masked(repr(found))} is not allowed: there are keys below it"
            raise ConfigError(wrong, key=group, allowed=allowed)
        for key in found:
            if key not in known:
                raise ConfigError("there is no such key", key=f"{group}.{key}", allowed=allowed)


def check_values(cfg: DictConfig, rules: Mapping[str, Rule]) -> None:
    """
    Raises:
        ConfigError: a value that its rule does not allow; account ids in it are masked.
    """
    for key, rule in rules.items():
        value = OmegaConf.select(cfg, key, throw_on_resolution_failure=True)
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if not rule.passes(plain):
            raise ConfigError(f"{masked(repr(value))} is not allowed", key=key, allowed=rule.allowed)
