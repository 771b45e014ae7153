"""Why a trial failed, in few characters: what counts first, whole characters, no secrets."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.config.errors import ConfigError
from sweepmaker.container import failure
from sweepmaker.container.redaction import HIDDEN, without_secrets


def boom(message: str) -> None:
    raise ValueError(message)


def raised(message: str) -> ValueError:
    try:
        boom(message)
    except ValueError as error:
        return error
    raise AssertionError


def test_an_exception_has_its_message_then_the_last_frame() -> None:
    first, second, third = failure.of_error(raised("no such thing")).splitlines()
    assert first == "ValueError: no such thing"
    assert re.fullmatch(r"at .*test_failure\.py:\d+ boom", second)
    assert re.fullmatch(r"at .*test_failure\.py:\d+ raised", third)


def test_what_a_user_can_mend_has_no_frames() -> None:
    try:
        raise ConfigError("is no number", key="lr", fix="lr=0.1")
    except ConfigError as error:
        assert failure.of_error(error) == "ConfigError: lr: is no number\n  fix: lr=0.1"


def test_frames_fit_beside_a_long_message() -> None:
    text = failure.clip(failure.of_error(raised("x" * 5000)))
    assert len(text) <= failure.LIMIT and "boom" in text


def test_a_missing_package_comes_with_the_cure() -> None:
    error = ModuleNotFoundError("No module named 'lightning'")
    assert "job.packages=index" in failure.of_error(error)


def test_run_json_knows_best() -> None:
    frames = ["/opt/ml/code/src/sweepmaker/run/training.py:10 train", "/usr/lib/site-packages/torch/x.py:1 f"]
    known = {"failure": {"type": "RuntimeError", "message": "CUDA", "frames": frames}}
    assert (
        failure.of_record(known)
        == "RuntimeError: CUDA\nat sweepmaker/run/training.py:10 train\nat torch/x.py:1 f"
    )
    assert failure.of_record({"failure": None}) is None
    assert failure.of_record({"failure": "text"}) is None
    assert (
        failure.of_record({"failure": {"type": "DataError", "message": "bad", "frames": frames}})
        == "DataError: bad"
    )


TRACE = """epoch 1/3
Traceback (most recent call last):
  File "/old.py", line 1, in old
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 26, in <module>
    main()
  File "/usr/lib/python3.11/site-packages/hydra/main.py", line 94, in decorated_main
    _run_hydra(
    ^^^^^^^^^^^
mine.errors.Broken: it broke: badly
on two lines
"""
TOLD = """Broken: it broke: badly
on two lines
at hydra/main.py:94 decorated_main
at /opt/ml/code/train.py:26 <module>"""
SHORT = """Traceback (most recent call last):
  File "a", line 1, in b
StopIteration
"""


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("a\nerror: lrr: no such key\n  allowed: lr\n", 2, "ConfigError: lrr: no such key\n  allowed: lr"),
        ("error: old\nerror: new\n", 1, "Error: new"),
        (TRACE, 1, TOLD),
        (SHORT, 1, "StopIteration\nat a:1 b"),
        ("Segmentation\n\nfault\n", 139, "exit code 139: Segmentation\nfault"),
        ("", 3, "exit code 3: no message"),
    ],
)  # fmt: skip
def test_the_end_of_the_output_tells_the_rest(text: str, code: int, expected: str) -> None:
    assert failure.of_output(text, code) == expected


@given(st.text(max_size=3000))
def test_any_text_is_short_and_plain(text: str) -> None:
    clipped = failure.clip(text + "\ud800")
    assert len(clipped) <= 1024
    assert clipped.encode("utf-8").decode("utf-8") == clipped
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", clipped)


def test_the_first_characters_are_kept() -> None:
    assert failure.clip("a" + "é" * 5000).startswith("aé") and len(failure.clip("é" * 5000)) == 1024


def test_a_failure_that_is_told_already_stays(tmp_path: Path) -> None:
    path = tmp_path / "output" / "failure"
    failure.write(path, "the cause")
    failure.write(path, "a consequence")
    assert path.read_text() == "the cause"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("denied for AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
        ("ASIAXXXXXXXXXXXXXXXX", "ASIAXXXXXXXXXXXXXXXX"),
        ("GET https://anna:hunter22@host/x", "hunter22"),
        ("Authorization: Bearer abc.def-ghi123", "abc.def-ghi123"),
        ("https://b.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef&x=1", "0123456789abcdef"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ('{"password": "hunter2hunter2"}', "hunter2hunter2"),
        ("hf_abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuv"),
        ("value of MY_TOKEN is correct-horse", "correct-horse"),
        ("value of MY_TOKEN is " + "x" * 750 + " correct-horse", "correct"),
    ],
)
def test_secrets_do_not_leave(
    text: str, secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "correct-horse")
    for told in (text, failure.of_error(raised(text)), failure.of_output(f"error: {text}", 2)):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        failure.write(path, told)
        assert secret not in path.read_text()
        assert HIDDEN in path.read_text() or len(text) > 700


@pytest.mark.parametrize(
    "text", ["lr: 0.1", "commit 0123456789abcdef0123456789abcdef01234567", "at sweepmaker/run/task.py:10 run",
             "token recognition error at: '='", "s3://bucket/key", "arn:aws:iam::role/x"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_a_long_text_is_looked_through_soon() -> None:
    assert without_secrets("secret-" * 100_000)


def test_the_tail_of_a_stream_passes_everything_on() -> None:
    stream = io.StringIO()
    tail = failure.Tail(stream, characters=5)
    print("one", file=tail)  # type: ignore[arg-type]
    tail.writelines(["two", "three"])
    assert stream.getvalue() == "one\ntwothree"
    assert tail.text == "three" and tail.getvalue() == stream.getvalue()
