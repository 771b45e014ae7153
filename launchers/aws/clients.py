"""boto3 clients from ``conf/where``: botocore's own chain of credentials, bounded retries, few words.

boto3 is imported when the first client is needed: a dry run never gets there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import sweepmaker
from launchers.aws import embedded_server
from launchers.aws.failures import explained
from launchers.aws.masking import masked as masked
from launchers.limits.model import loader
from sweepmaker.config.errors import ConfigError, UserError

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
ATTEMPTS = 5  # calls in all, with botocore's exponential waits between them
ASKING_TIMEOUT_S = 70  # of an endpoint, which may take 60 s to answer
ASKING_TIMEOUT_HERE_S = 130  # likewise, after waiting 60 s for one that is brought back
UPLOAD_THREADS = 8

# variables of a botocore session: (key of the profile, environment, default, conversion)
_NO_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
# at DEBUG they write signed headers, session token included
_TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3")


class Clients:
    """The service clients of one account and region, each made when first used.

    Make them with `connect`. Not for several threads at once (a client, once made, is).

    Args:
        where: with the addresses in use.
        session: boto3's.
        region: in use.
        given: what `connect` was called with, to connect so again; None: ``where``.
    """

    def __init__(
        self, where: Mapping[str, Any], session: Any, region: str, given: Mapping[str, Any] | None = None
    ) -> None:
        self.where = where
        self.region = region
        self.given = where if given is None else given
        self._session = session
        self._credentials: tuple[str, str] | None = None

    @cached_property
    def sagemaker(self) -> Any:
        """SageMaker, at ``where.endpoint_url`` where that is set."""
        return self._client("sagemaker", self.where.get("endpoint_url"))

    @cached_property
    def s3(self) -> Any:
        """S3, at ``where.s3_endpoint_url`` where that is set."""
        endpoint = self.where.get("s3_endpoint_url")
        # an address of one's own rarely answers to <bucket>.<address>
        style = {"addressing_style": "path"} if endpoint else None
        return self._client("s3", endpoint, s3=style, max_pool_connections=2 * UPLOAD_THREADS)

    @cached_property
    def runtime(self) -> Any:
        """What endpoints are asked through; it has an address of its own, but where one server is all.

        A request that is slow is slow again, and computed again: it is sent once, whatever the
        environment says of retries.
        """
        here = self._all_in_one()
        patience = ASKING_TIMEOUT_HERE_S if here else ASKING_TIMEOUT_S
        return self._client("sagemaker-runtime", here, attempts=1, read_timeout=patience)

    @cached_property
    def logs(self) -> Any:
        """CloudWatch Logs, likewise."""
        return self._client("logs", self._all_in_one())

    @cached_property
    def sts(self) -> Any:
        """STS; where the services are embedded, beside their S3, since AWS must not be asked then."""
        embedded = self.where.get("name") == "embedded"
        own = self.where.get("s3_endpoint_url") or self.where.get("endpoint_url")
        return self._client("sts", own if embedded else None)

    @cached_property
    def account(self) -> str:
        """The caller's account id, asked of STS once."""
        with explained(self.where):
            return str(self.sts.get_caller_identity()["Account"])

    def again(self) -> Clients:
        """New clients of the same account, as they would be made now; no server is started for them.

        Raises:
            UserError: as `connect`.
        """
        return connect({**self.given, "region": self.region}, credentials=self._credentials, start=False)

    def _all_in_one(self) -> str | None:
        address = self.where.get("endpoint_url")
        return address if self.where.get("name") == "embedded" or _is_here(address) else None

    def _client(
        self, service: str, endpoint: str | None, *, attempts: int | None = None, **settings: Any
    ) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            user_agent_extra=f"sweepmaker/{sweepmaker.__version__}",
            # a proxy of the network cannot reach this machine's own services
            proxies={} if _is_here(endpoint) else None,
            **self._retries(attempts),
            **{"read_timeout": READ_TIMEOUT_S, **settings},
        )
        with explained(self.where):
            return self._session.client(
                service, region_name=self.region, endpoint_url=endpoint or None, config=config
            )

    def _retries(self, attempts: int | None) -> dict[str, Any]:
        """``attempts`` where a service needs so many; else the environment's or profile's, else ours."""
        session = self._session._session
        theirs = session.get_config_variable("max_attempts") is not None or "AWS_RETRY_MODE" in os.environ
        if attempts is None and theirs:
            return {}
        return {"retries": {"mode": "standard", "total_max_attempts": attempts or ATTEMPTS}}


def connect(
    where: Mapping[str, Any], *, credentials: tuple[str, str] | None = None, start: bool = True
) -> Clients:
    """Clients for the account and network that ``where`` (a ``conf/where`` node) describes.

    Nothing is sent. Without ``credentials`` (access key id, secret key) botocore looks for them:
    environment, profile, SSO, container and instance role; ``AWS_ENDPOINT_URL`` is honoured.

    Args:
        where: one with ``server`` and no address has the server found, or started, and its key used.
        credentials: to use instead of looking for some; the user's files are not read then.
        start: False: a server that does not run is an error.

    Raises:
        ConfigError: no such profile, no region, an address that is none, boto3 is not installed.
        UserError: the server cannot be started, or does not run and shall not be started.
    """
    given = where
    if embedded_server.wanted(where):
        server = embedded_server.ensure(where) if start else embedded_server.find(where)
        if server is None:
            raise UserError(f"no server runs in {embedded_server.root_of(where)}", key="where.root")
        where, credentials = server.filled(where), server.credentials
        given = {**given, "root": str(embedded_server.root_of(given))}  # wherever it is read again
    _check_addresses(where)
    try:
        import boto3.session
        import botocore.session
    except ImportError as error:
        raise ConfigError(
            "jobs need boto3, which is not installed here", fix="pip install 'boto3>=1.43'"
        ) from error
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)
    key_id, secret = credentials or (None, None)
    with explained(where):
        core = botocore.session.Session(session_vars=_NO_FILES if credentials else None)
        core.register_component("data_loader", loader())
        session = boto3.session.Session(
            botocore_session=core,
            profile_name=None if credentials else where.get("profile") or None,
            region_name=where.get("region") or None,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        )
        core.get_scoped_config()  # a profile that does not exist is said now
        made = Clients(where, session, _region(session), given)
        made._credentials = credentials
        return made


def identity(clients: Clients) -> str:
    """The caller's account id (12 digits), asked of STS once for these clients.

    Raises:
        UserError: no credentials, expired ones, no network.
    """
    return clients.account


def _region(session: Any) -> str:
    # boto3 reads AWS_DEFAULT_REGION only; every other AWS SDK reads AWS_REGION, and containers set that
    region = session.region_name or os.environ.get("AWS_REGION")
    if not region:
        from botocore.exceptions import NoRegionError

        raise NoRegionError()
    return str(region)


def _is_here(address: str | None) -> bool:
    host = urlsplit(address or "").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _check_addresses(where: Mapping[str, Any]) -> None:
    keys = ("endpoint_url", "s3_endpoint_url")
    for key in keys:
        address = where.get(key)
        if address and not str(address).startswith(("http://", "https://")):
            raise ConfigError(
                f"{masked(address)!r} is not an address",
                key=f"where.{key}",
                allowed="http://... or https://...",
            )
    if where.get("name") == "embedded" and not all(where.get(key) for key in keys):
        # without an address boto3 would take AWS's own
        raise ConfigError(
            "the embedded services have no address",
            key="where.endpoint_url",
            fix="where.endpoint_url=http://127.0.0.1:PORT where.s3_endpoint_url=http://127.0.0.1:PORT, "
            "or dry_run=true to see what would be sent",
        )
