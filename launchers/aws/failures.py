"""What AWS and the network answer, as one message: what is wrong, which key, what to do.

Account ids, keys and tokens are masked in all of them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from launchers.aws import refusals
from launchers.aws.answers import WITHOUT_ACCOUNT, Refusal, again, message, sign_in
from launchers.aws.masking import masked
from sweepmaker.config.errors import UserError

_NO_ADDRESS = ("EndpointConnectionError", "UnknownEndpointError", "EndpointResolutionError")
_LOST = (
    "ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError", "IncompleteReadError",
    "HTTPClientError", "ConnectionError",
)  # fmt: skip
_FETCHING = ("CredentialRetrievalError", "MetadataRetrievalError", "RefreshWithMFAUnsupportedError")
_SIGN_IN_AGAIN = (
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "SSOError", "TokenRetrievalError", "NoAuthTokenError",
    "LoginRefreshRequired", "LoginTokenLoadError", "LoginError",
)  # fmt: skip


def explain(error: BaseException, where: Mapping[str, Any] | None = None) -> UserError | None:
    """The message for an error of boto3 and botocore; None for any other error.

    Args:
        error: what was raised; an error that boto3 wrapped into another is found too.
        where: the ``conf/where`` node in use, for the profile's and the region's name.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = where or {}
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ClientError):
            return refusals.explain(Refusal.of(seen, where))
        if isinstance(seen, BotoCoreError):
            return _by_kind(seen, where)
        seen = seen.__cause__ or seen.__context__
    return None


@contextlib.contextmanager
def explained(where: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Within, an error that `explain` knows is raised as its `UserError` instead."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        known = explain(error, where)
        if known is None:
            raise
        # the original would put ids and addresses into a traceback
        raise known from None


def is_absent(error: Exception) -> bool:
    """Whether the service says that it has nothing of that name."""
    answer = getattr(error, "response", None)
    text = str(answer.get("Error", {}).get("Message", "")) if isinstance(answer, dict) else ""
    absent = re.search(r"not found|could not find|can't find|does not exist", text, re.IGNORECASE)
    known = code_of(error).startswith("ResourceNotFound")
    return known or (code_of(error) == "ValidationException" and absent is not None)


def code_of(error: Exception) -> str:
    """The code in a service's refusal; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _by_kind(error: Exception, where: Mapping[str, Any]) -> UserError:
    names = [kind.__name__ for kind in type(error).__mro__]
    for kinds, explanation in _KINDS:
        if any(name in kinds for name in names):
            return explanation(error, where)
    return message(f"AWS cannot be used: {error}")


def _no_credentials(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(
        "no AWS credentials were found (environment, ~/.aws, SSO, the role of an instance or container)",
        fix=f"aws configure, or aws sso login and where.profile=NAME; {WITHOUT_ACCOUNT}",
    )


def _partial_credentials(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(
        f"the AWS credentials are not complete: {error}",
        fix=f"set what is missing beside it (for a profile: aws configure); {WITHOUT_ACCOUNT}",
    )


def _credentials_failed(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(
        f"the AWS credentials could not be fetched: {error}",
        fix=f"{sign_in(where)}; what that profile says: aws configure list; {WITHOUT_ACCOUNT}",
    )


def _profile(error: Exception, where: Mapping[str, Any]) -> UserError:
    import botocore.session

    session = botocore.session.Session(profile=None)
    known = ", ".join(sorted(session.full_config.get("profiles", {}))) or "there are none: aws configure"
    asked = where.get("profile")
    if asked:
        return message(f"there is no AWS profile {asked!r}", key="where.profile", allowed=known)
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    return message(
        f"there is no AWS profile {name!r} (from AWS_PROFILE)", allowed=known, fix="where.profile=NAME"
    )


def _region(error: Exception, where: Mapping[str, Any]) -> UserError:
    asked = where.get("region")
    return message(
        f"{asked!r} is not a region" if asked else "no AWS region is set",
        key="where.region",
        allowed="a region such as us-east-1 or eu-central-1",
        fix="where.region=REGION, AWS_DEFAULT_REGION=REGION, or aws configure set region REGION",
    )


def _signed_out(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message("the sign-in to AWS has expired or was never done", fix=sign_in(where))


def _config_file(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(f"the AWS configuration cannot be used: {error}", fix="mend ~/.aws/config")


def _proxy(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(
        f"the proxy does not answer: {error}",
        fix="check HTTPS_PROXY and HTTP_PROXY; addresses to reach without it go into NO_PROXY",
    )


def _certificate(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(
        f"the connection is not trusted: {error}",
        fix="where a company's proxy signs connections: AWS_CA_BUNDLE=FILE with its certificate",
    )


def _unreachable(error: Exception, where: Mapping[str, Any]) -> UserError:
    own = where.get("endpoint_url") or where.get("s3_endpoint_url")
    if own:
        return message(
            f"nothing answers: {error}",
            key="where.endpoint_url",
            fix="start what should answer there, or correct where.endpoint_url and where.s3_endpoint_url",
        )
    return message(
        f"AWS cannot be reached: {error}",
        fix="check the network and HTTPS_PROXY, and that where.region exists; in a network without "
        "internet, endpoints for sagemaker.api, s3 and sts are needed",
    )


def _lost(error: Exception, where: Mapping[str, Any]) -> UserError:
    return again(f"the connection to AWS broke and did not come back: {error}", fix="run it again")


def _parameters(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(f"the request is not well-formed: {error}")


def _missing_package(error: Exception, where: Mapping[str, Any]) -> UserError:
    return message(f"a package is missing for these credentials: {error}", fix="pip install 'boto3[crt]'")


# the first one that fits: subclasses stand before what they are derived from
_KINDS = (
    (("NoCredentialsError",), _no_credentials),
    (("PartialCredentialsError",), _partial_credentials),
    (("ProfileNotFound",), _profile),
    (("NoRegionError", "InvalidRegionError", "UnknownRegionError"), _region),
    (_SIGN_IN_AGAIN, _signed_out),
    (_FETCHING, _credentials_failed),
    (("ConfigParseError", "ConfigNotFound", "InvalidConfigError"), _config_file),
    (("ProxyConnectionError", "InvalidProxiesConfigError"), _proxy),
    (("SSLError",), _certificate),
    ((*_NO_ADDRESS, "ConnectTimeoutError"), _unreachable),
    (_LOST, _lost),
    (("ParamValidationError", "ValidationError"), _parameters),
    (("MissingDependencyException",), _missing_package),
)  # fmt: skip

__all__ = ["code_of", "explain", "explained", "is_absent", "masked"]
