"""All that one deployment will do, known before it does any of it; a dry run shows it."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from launchers.aws import account
from launchers.aws.account import Account
from launchers.aws.masking import NO_ACCOUNT, masked
from launchers.aws.storage import PLACEHOLDER_BUCKET, Upload
from launchers.aws.upload_progress import readable
from launchers.endpoints import keys, pack, request
from launchers.endpoints.request import MARK, RUN, Call, Parts
from launchers.endpoints.settings import Machines, machines
from launchers.endpoints.source import Source
from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.settings import Options

_LONGEST_NAME = 63  # CreateEndpoint, EndpointName
_AT_TIMES = ("where.role", "where.bucket")  # not each deployment needs them


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        name: of the endpoint, or of the model package group.
        calls: in their order.
        upload: the model, where it lies on this machine.
        machines: what it will run on.
        mark: value of the tag that says that this very deployment made something.
        registers: a model package is made, and no endpoint.
    """

    name: str
    calls: Sequence[Call]
    upload: Upload | None
    machines: Machines
    mark: str
    registers: bool

    def lines(self) -> list[str]:
        """What would be uploaded and made, and what it may cost."""
        found = [] if self.upload is None else [
            f"upload: {self.upload.what}, {readable(self.upload.size)} -> {self.upload.key}"
        ]  # fmt: skip
        if self.registers:
            found.append(f"model package group {self.name}: one more version, which waits for approval")
        else:
            found.append(f"endpoint {self.name}: {self.machines.cost()}")
        return [masked(line) for line in found]

    def show(self) -> None:
        """The dry run: the requests alone on stdout."""
        calls = [{"operation": call.operation, "request": call.request} for call in self.calls]
        print(json.dumps({"requests": calls}, indent=2), flush=True)


@contextmanager
def make(cfg: DictConfig, options: Options, source: Source, place: Account) -> Iterator[Plan]:
    """The plan of one deployment; what is packed for it is there until the end of the block.

    Raises:
        ConfigError: no image, role or bucket where one is needed, or something that SageMaker would refuse.
        UserError: the model cannot be read.
    """
    lacking = _lacking(cfg, source)
    image = _image(cfg, place.region, lacking)
    if lacking and not cfg.dry_run:
        raise account.unset(lacking, "the endpoint runs")
    wanted = machines(cfg)
    if wanted.serverless and source.address.endswith("/"):
        raise ConfigError(
            f"a serverless endpoint takes a packed model only, and {source.run} has left its files unpacked",
            key="endpoint.serverless.memory_mb",
            fix="endpoint.serverless.memory_mb=null, or collect the job and deploy its folder (run=FOLDER)",
        )
    unset = [key for key in place.missing if key not in _AT_TIMES or key.removeprefix("where.") in lacking]
    if unset and cfg.dry_run:
        print(f"not set, shown as placeholders: {', '.join(unset)}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="sweepmaker-") as scratch:
        upload, address = None, source.address
        if source.folder is not None:
            upload = _packed(source, Path(scratch), cfg.where.prefix)
            address = f"s3://{place.bucket}/{upload.key}"
        mark = secrets.token_hex(8)
        name = cfg.register or cfg.name or account.mint_name(
            source.label, datetime.now(), longest=_LONGEST_NAME
        )  # fmt: skip
        parts = Parts(str(name), image, place.role, address, {MARK: mark, RUN: source.tag})
        build = request.registration if cfg.register else request.deployment
        calls = build(cfg, options, wanted, parts)
        keys.check(calls)
        yield Plan(parts.name, calls, upload, wanted, mark, bool(cfg.register))


def _packed(source: Source, scratch: Path, prefix: str) -> Upload:
    assert source.folder is not None
    packed = pack.pack(source.folder, scratch / pack.NAME)
    key = f"{prefix.strip('/')}/models/{packed.digest[:32]}/{pack.NAME}"
    return Upload(key, packed.path, packed.size, f"model of {source.run}", packed.sha256)


def _lacking(cfg: DictConfig, source: Source) -> list[str]:
    """Which of role and bucket are needed and not set."""
    uploads = source.folder is not None or source.address.startswith(f"s3://{PLACEHOLDER_BUCKET}/")
    needed = {"role": not cfg.register, "bucket": uploads}
    return [key for key, is_needed in needed.items() if is_needed and not cfg.where[key]]


def _image(cfg: DictConfig, region: str, lacking: Sequence[str]) -> str:
    """The image that serves: AWS has none for PyTorch any more, so it is the user's.

    Args:
        cfg: of the deployment.
        region: of the account.
        lacking: what else is needed, which is said at once.

    Raises:
        ConfigError: it is needed and not set.
    """
    if cfg.endpoint.image:
        return str(cfg.endpoint.image)
    if cfg.where.name == "embedded":
        return "sweepmaker"  # a name only: the server starts this checkout's own
    if cfg.dry_run:
        print("not set, shown as a placeholder: endpoint.image", file=sys.stderr)
        return f"{NO_ACCOUNT}.dkr.ecr.{region}.amazonaws.com/sweepmaker:unset"
    raise ConfigError(
        "is needed: AWS's own PyTorch images for inference have ended",
        key="endpoint.image",
        allowed="the address of an image that answers `serve`, in a registry of your account",
        fix="docker/Dockerfile makes one (its first lines say how), push it, then "
        "endpoint.image=ACCOUNT.dkr.ecr.REGION.amazonaws.com/sweepmaker:TAG"
        f"{''.join(f'; where.{key} is needed, too' for key in lacking)}; without AWS: where=embedded",
    )
