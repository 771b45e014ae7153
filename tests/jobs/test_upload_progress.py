"""How far an upload is, said on stderr."""

from __future__ import annotations

import pytest

from launchers.aws.clients import Clients
from launchers.aws.storage import Upload, open_storage
from launchers.aws.upload_progress import UploadProgress, readable
from tests.jobs.aws import SECRETS


def in_memory(key: str) -> Upload:
    return Upload(key, b"content", 7, "test objects")


def test_progress_is_said_on_stderr_without_secrets(
    clients: Clients, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.aws.upload_progress._EVERY_S", -1.0)
    storage = open_storage(clients)
    storage.put_all([in_memory("a"), in_memory("b")])
    storage.put_all([in_memory("a"), in_memory("c")])
    out, err = capsys.readouterr()
    assert out == ""
    assert "uploading test objects: 2 of 2 file(s), 14 bytes of 14 bytes" in err
    assert "1 file(s), 7 bytes" in err.splitlines()[-1]
    assert "1 were there already" in err.splitlines()[-1]
    assert not [secret for secret in SECRETS if secret in err]


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with UploadProgress("images", 2, 2_000_000) as progress:
        progress.sent(1_000_000)
        progress.finished()
    assert "uploading images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (5e9, "5.0 GB"),
        (5e12, "5000.0 GB"),
    ],
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable(size) == text
