"""Secrets are refused, and no message ever shows one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from launchers.limits import violations
from launchers.limits.shown import LONGEST, shown
from tests.limits.good import TRAINING, TUNING, full, spoiled

# made up, and put together here so that no scanner takes them for real ones
ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"
GITHUB = "ghp_" + "a1B2" * 9
HUGGING_FACE = "hf_" + "aB3" * 11
PRIVATE = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE"
ADDRESS = "https://anna:" + "hunter2@packages.example/x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_ACCESS_KEY_ID", "anything"),
        ("AWS_SESSION_TOKEN", "FwoGZXIvYXdzE"),
        ("HF_TOKEN", "x1"),
        ("GITHUBTOKEN", "x1"),
        ("db.password", "hunter2"),
        ("DB_PASSWORD", "123456"),
        ("client-secret", "s3cr"),
        ("password", "0123"),
        ("WANDB_API_KEY", "0123"),
        ("STRIPE.APIKEY", "0123"),
        ("key", ACCESS_KEY),
        ("args", f"--key={ACCESS_KEY} --fast"),
        ("x", GITHUB),
        ("x", HUGGING_FACE),
        ("x", PRIVATE),
        ("PIP_ADDRESS", ADDRESS),
    ],
)
@pytest.mark.parametrize(
    ("operation", "place"),
    [
        (TUNING, "TrainingJobDefinition.StaticHyperParameters"),
        (TUNING, "TrainingJobDefinition.Environment"),
        (TRAINING, "HyperParameters"),
        (TRAINING, "Environment"),
    ],
)
def test_a_secret_is_refused_and_never_shown(operation: str, place: str, name: str, value: str) -> None:
    # of a length that other rules refuse too: their messages show the value
    for text in (value, value + " " * 3000):
        found = violations(operation, spoiled(operation, {place: {name: text}}))
        assert f"{place}['{name}']" in [one.path for one in found]
        everything = " ".join(f"{one.path} {one.message} {one.allowed} {one.fix}" for one in found)
        assert value not in everything and value[:12] + "..." not in everything


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("model.tokenizer", "bert"),
        ("class_token", "true"),
        ("max_tokens", "512"),
        ("token_dropout", "1e-1"),
        ("DB_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:db"),
        ("DB_SECRET", "arn:aws:secretsmanager:us-east-1:123456789012:secret:db"),
        ("SECRET_NAME", "prod/db"),
        ("HF_TOKEN_PATH", "/opt/ml/token"),
        ("use_api_key", "no"),
        ("WANDB_API_KEY", ""),
        ("commit", "0c1d2e3f" * 5),
        ("uri", "s3://bucket/a:b@c"),
        ("when", "2026-01-02T03:04:05"),
    ],
)
def test_what_only_sounds_like_a_secret_passes(name: str, value: str) -> None:
    assert violations(TRAINING, spoiled(TRAINING, {"HyperParameters": {name: value}})) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"Tags[0]": {"Key": "password", "Value": "hunter2"}}, "Tags[0].Value"),
        ({"Tags[0].Value": ACCESS_KEY}, "Tags[0].Value"),
        ({"net.Values": ["a", ACCESS_KEY]}, "net.Values[1]"),
        ({"algorithm.TrainingImage": ADDRESS}, "algorithm.TrainingImage"),
        ({"static.x": [{"y": ACCESS_KEY}]}, "static['x'][0].y"),
    ],
)
def test_keys_are_found_at_every_place(changes: dict[str, Any], path: str) -> None:
    found = violations(TUNING, spoiled(TUNING, changes))
    path = full(path)
    assert path in [one.path for one in found], found
    assert all(ACCESS_KEY not in one.message and "hunter2" not in one.message for one in found)


def test_a_secret_as_a_name_is_not_shown_either() -> None:
    found = violations(TUNING, spoiled(TUNING, {"static": {ACCESS_KEY: "x"}, ACCESS_KEY: 1}))
    assert found and all(ACCESS_KEY not in one.path + one.message + one.allowed for one in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (1.5, "1.5"),
        ("\x1b[31mred", "'\\x1b[31mred'"),
        ("\ud800", "'\\ud800'"),
        (10**5000, "a number of hundreds of digits"),
        (["x", ACCESS_KEY], "['x', (hidden)]"),
        ("role of 123456789012", "'role of 1234****9012'"),
        ("000000000000", "'000000000000'"),
    ],
    ids=itertools.count(),
)
def test_how_values_are_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_shown_values_are_short() -> None:
    nested: list[Any] = ["x" * 500] * 50
    for _ in range(3000):
        nested = [nested]
    for value in ("x" * 10**6, nested, {"k" * 99: list(range(999))}, b"x" * 999):
        assert len(shown(value)) <= LONGEST
