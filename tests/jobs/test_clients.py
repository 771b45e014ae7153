"""Clients follow botocore's chain; what is said hides ids, keys and tokens."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.aws.clients import ATTEMPTS, Clients, connect, identity
from launchers.aws.masking import masked
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import ACCOUNT, KEY_ID, REGION, SECRET, SECRETS, TOKEN

pytestmark = pytest.mark.usefixtures("aws_environment")

EMBEDDED = {"name": "embedded"}


def test_identity_asks_once(clients: Clients) -> None:
    assert identity(clients) == ACCOUNT
    clients.sts.get_caller_identity = None  # a second question would fail
    assert identity(clients) == ACCOUNT


def test_clients_lead_where_the_config_says(where: dict[str, Any]) -> None:
    clients = connect(where | {"endpoint_url": "http://127.0.0.1:1"})
    assert clients.sagemaker.meta.endpoint_url == "http://127.0.0.1:1"
    assert clients.s3.meta.endpoint_url == where["s3_endpoint_url"]
    assert clients.region == clients.s3.meta.region_name == REGION


def test_without_an_address_it_is_aws_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect({}).sagemaker.meta.endpoint_url == f"https://api.sagemaker.{REGION}.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    clients = connect({})
    assert clients.sagemaker.meta.endpoint_url == clients.s3.meta.endpoint_url == "http://127.0.0.1:2"


def test_embedded_services_never_lead_to_aws() -> None:
    here = {"endpoint_url": "http://127.0.0.1:3", "s3_endpoint_url": "http://127.0.0.1:4"}
    clients = connect(EMBEDDED | here)
    urls = [client.meta.endpoint_url for client in (clients.sagemaker, clients.s3, clients.sts)]
    assert urls == ["http://127.0.0.1:3", "http://127.0.0.1:4", "http://127.0.0.1:4"]
    for missing in (dict(here, endpoint_url=None), dict(here, s3_endpoint_url=None), {}):
        with pytest.raises(ConfigError, match="no address"):
            connect(EMBEDDED | missing)


def test_a_proxy_does_not_stand_before_this_machine(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    clients = connect(where | {"name": "embedded"})
    assert identity(clients) == ACCOUNT
    assert clients.s3.list_buckets()["Buckets"]


def test_given_credentials_win_over_the_environments() -> None:
    found = connect({}, credentials=("key", "secret"))._session.get_credentials()
    assert (found.access_key, found.secret_key, found.token) == ("key", "secret", None)


def test_calls_are_bounded_and_signed_with_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    config = connect({}).sagemaker.meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": ATTEMPTS}
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    assert "sweepmaker/" in config.user_agent_extra


def test_an_endpoint_is_asked_once_and_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has 60 s to answer; what takes that long once takes as long again."""
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    config = connect({}).runtime.meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}
    assert config.read_timeout > 60
    here = {"name": "embedded", "endpoint_url": "http://127.0.0.1:1", "s3_endpoint_url": "http://127.0.0.1:1"}
    assert connect(here).runtime.meta.config.read_timeout > 120  # it waits for one that is brought back


@pytest.mark.parametrize(
    "said",
    [
        {"AWS_MAX_ATTEMPTS": "7"},
        {"AWS_RETRY_MODE": "adaptive"},
        {"AWS_MAX_ATTEMPTS": "7", "AWS_RETRY_MODE": "adaptive"},
        {"AWS_CONFIG_FILE": "profile"},
    ],
    ids=["attempts", "mode", "both", "profile"],
)
def test_an_endpoint_is_asked_once_whatever_the_environment_says(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "profile").write_text("[default]\nmax_attempts = 7\nretry_mode = adaptive\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    clients = connect({})
    assert clients.runtime.meta.config.retries == {"mode": "standard", "total_max_attempts": 1}
    theirs = clients.sts.meta.config.retries  # all else as they wish
    assert theirs.get("total_max_attempts") == 7 or theirs["mode"] == "adaptive"


def test_the_users_own_retries_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    assert connect({}).sts.meta.config.retries["total_max_attempts"] == 7


def test_the_region_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert connect({}).s3.meta.region_name == "eu-north-1"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"profile": "nobody"}, ["where.profile", "'nobody'", "none: aws configure"]),
        ({"region": "not a region"}, ["where.region", "'not a region'", "us-east-1"]),
        ({"endpoint_url": "127.0.0.1:5000"}, ["where.endpoint_url", "http://"]),
        ({"s3_endpoint_url": "s3.local"}, ["where.s3_endpoint_url", "http://"]),
    ],
    ids=["profile", "region", "address", "address of S3"],
)
def test_a_wrong_setting_is_named(where: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        _ = connect(where).s3
    for word in words:
        assert word in str(raised.value)


def test_an_unknown_profile_lists_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text("[profile work]\nregion = eu-central-1\n[profile home]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    with pytest.raises(ConfigError, match=r"allowed: home, work"):
        connect({"profile": "wrok"})
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert connect({"profile": "work"}).region == "eu-central-1"
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(UserError, match=r"(?s)'gone' \(from AWS_PROFILE\).*where.profile=NAME"):
        connect({})


def test_no_region_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match=r"where.region: no AWS region is set"):
        connect({})


def test_debugging_does_not_write_headers_into_the_log(
    clients: Clients, where: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("boto3", "botocore", "s3transfer", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    connect(where).s3.list_buckets()
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_nothing_of_aws_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys; sys.path[:0] = ['.', 'src']\n"
        "import launchers.jobs.dataset, launchers.jobs.submit, launchers.aws.storage\n"
        "print(*{'boto3', 'botocore', 's3transfer', 'torch', 'rich'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/x", "arn:aws:iam::1234****9012:role/x"),
        (f"s3://sagemaker-us-east-1-{ACCOUNT}/a", "s3://sagemaker-us-east-1-1234****9012/a"),
        (f"key {KEY_ID} is", "key AKIA****MPLE is"),
        ("role id AROAIOSFODNN7EXAMPLE:me", "role id AROA****MPLE:me"),
        (f"secret {SECRET}.", "secret ****."),
        (f"token {TOKEN}", "token ****"),
        ("aws_secret_access_key = short", "aws_secret_access_key = ****"),
        ("X-Amz-Signature=abc&a=b", "X-Amz-Signature=****&a=b"),
        ("http://me:word@proxy:3128/", "http://****@proxy:3128/"),
        ("account 000000000000 is a placeholder", "account 000000000000 is a placeholder"),
        (
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        ),
        ("sha256 " + "ab12" * 16, "sha256 " + "ab12" * 16),
        ("1763941200000 ms, 12345678901 bytes", "1763941200000 ms, 12345678901 bytes"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.lists(st.one_of(st.sampled_from(SECRETS), st.text(" :/.,'\"\n=abz", max_size=6)), max_size=8))
def test_masking_finds_every_secret_and_settles(parts: list[str]) -> None:
    shown = masked(" ".join(parts))
    assert not [secret for secret in SECRETS if secret in shown]
    assert masked(shown) == shown


def test_mapping_and_config_nodes_both_do(where: Mapping[str, Any]) -> None:
    from omegaconf import OmegaConf

    assert connect(OmegaConf.create(dict(where))).account == ACCOUNT
