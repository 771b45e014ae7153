"""Downloads against a server in this process: hashes, silence, and what is left behind."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from sweepmaker.models.fetch import UnobtainableError, fetch_from_hub, fetch_url

CONTENT = b"weights" * 1000
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


class _Server(ThreadingHTTPServer):
    """Serves CONTENT at every path; a path with ``stall`` in it stops half-way."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.released = threading.Event()
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        stalls = "stall" in self.path
        self._answer(CONTENT[: len(CONTENT) // 2] if stalls else CONTENT)
        if stalls:
            self.server.released.wait(30)

    def _answer(self, body: bytes) -> None:
        self.server.requests.append(self.command)
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "*")
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def _url(server: _Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def test_downloads_once(server: _Server, checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = _url(server, f"net-{DIGITS}.pth")
    file = fetch_url(url, 5)
    assert file == checkpoints / f"net-{DIGITS}.pth"
    assert file.read_bytes() == CONTENT
    asked = len(server.requests)
    assert fetch_url(url, 5) == file
    assert len(server.requests) == asked
    said = capsys.readouterr()
    assert said.out == ""
    assert "downloading" in said.err


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("net-00000000.pth", "invalid hash"),
        (f"stall-{DIGITS}.pth", "timed out"),
        (f"missing-{DIGITS}.pth", "404"),
    ],
)
def test_a_failed_download_leaves_nothing(server: _Server, checkpoints: Path, path: str, reason: str) -> None:
    with pytest.raises(UnobtainableError, match=reason):
        fetch_url(_url(server, path), 0.5 if reason == "timed out" else 20)
    assert not checkpoints.exists() or not list(checkpoints.iterdir())
    assert socket.getdefaulttimeout() is None


def test_no_answer_ends_in_time(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(UnobtainableError):
            fetch_url(f"http://127.0.0.1:{silent.getsockname()[1]}/a-12345678.pth", 0.3)
        assert time.monotonic() - start < 5


def test_name_lookup_that_hangs_ends_in_time(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    released = threading.Event()

    def hang(*args: object, **kwargs: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(UnobtainableError, match=r"no answer from nowhere\.invalid in 0\.2 s"):
        fetch_url("https://nowhere.invalid/a-12345678.pth", 0.2)
    assert time.monotonic() - start < 5
    released.set()


def test_zero_asks_the_cache_only(server: _Server, checkpoints: Path) -> None:
    with pytest.raises(UnobtainableError, match="weights_timeout_s=0"):
        fetch_url(_url(server, "a-12345678.pth"), 0)
    assert not server.requests


def test_folder_that_cannot_be_made(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "file"))
    with pytest.raises(UnobtainableError, match="failed"):
        fetch_url(_url(server, f"net-{DIGITS}.pth"), 5)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_hub_offline(hub_cache: Path) -> None:
    with pytest.raises(UnobtainableError, match="HF_HUB_OFFLINE"):
        fetch_from_hub("timm/some.net", None, 5)


@pytest.mark.parametrize("filename", ["model.safetensors", "pytorch_model.bin"])
def test_hub_cache_needs_no_network(hub_cache: Path, filename: str) -> None:
    repository = hub_cache / "models--timm--some.net"
    commit = "0" * 40
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / filename).write_bytes(CONTENT)
    assert fetch_from_hub("timm/some.net", None, 5).read_bytes() == CONTENT
