"""Published weight files: from the cache, or from the network within a time-out."""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import torch


def first_line(error: Exception) -> str:
    """What an error says, cut to one line; some say nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class UnobtainableError(Exception):
    """The file is not in the cache and can't be had now; the text says why in a few words."""


def fetch_url(url: str, timeout_s: float) -> Path:
    """A file of torch.hub's, from its cache or downloaded into it; its hash is torch's to check.

    Args:
        url: address; the file's name carries the first digits of its SHA-256.
        timeout_s: seconds to wait for an answer, and for each piece after it; 0: cache only.

    Raises:
        UnobtainableError: not cached, and no network, no answer, or no room for it.
    """
    name = Path(urlparse(url).path).name
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if target.is_file():
        return target
    require_answer(url, timeout_s)
    digits = re.search(r"-([a-f0-9]{8,})\.", name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(timeout_s):
            print(f"downloading {url}", file=sys.stderr, flush=True)
            torch.hub.download_url_to_file(
                url, str(target), digits.group(1) if digits else None, sys.stderr.isatty()
            )
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's word for a wrong hash
        raise UnobtainableError(f"download of {url} failed: {error}") from error
    return target


def fetch_from_hub(repository: str, filename: str | None, timeout_s: float) -> Path:
    """A weights file of the Hugging Face hub, from its cache or downloaded into it.

    Args:
        repository: ``owner/name``, with ``@revision`` where one is meant.
        filename: the file, or None for the repository's safetensors, else its pickled state dict.
        timeout_s: as in ``fetch_url``.

    Raises:
        UnobtainableError: not cached, and offline (``HF_HUB_OFFLINE``), no answer, or no such file.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, _, revision = repository.partition("@")
    candidates = [filename] if filename else ["model.safetensors", "pytorch_model.bin"]
    for candidate in candidates:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(name, candidate, revision=revision or None, local_files_only=True))
    if constants.HF_HUB_OFFLINE:
        raise UnobtainableError(f"{name} is not in the cache and HF_HUB_OFFLINE is set")
    require_answer(constants.ENDPOINT, timeout_s)
    reason = ""
    for candidate in candidates:
        try:
            return Path(hf_hub_download(name, candidate, revision=revision or None, etag_timeout=timeout_s))
        except Exception as error:  # the client's HTTP library, and so its errors, change
            reason = f"{type(error).__name__}: {first_line(error)}"
    raise UnobtainableError(f"download of {name} failed: {reason}")


def require_answer(url: str, timeout_s: float) -> None:
    """Return when the host of ``url`` answers at all, through a proxy where one is set.

    The question is asked in a thread: a socket's time-out doesn't cover the look-up of the host's
    name, which without DNS can take half a minute.

    Raises:
        UnobtainableError: no answer within ``timeout_s``.
    """
    host = urlparse(url).netloc
    if timeout_s <= 0:
        raise UnobtainableError("not in the cache, and model.weights_timeout_s=0 allows no network")
    answers: queue.Queue[Exception | None] = queue.Queue()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "sweepmaker"})
        try:
            urllib.request.urlopen(request, timeout=timeout_s).close()
        except Exception as error:
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        error = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise UnobtainableError(f"not in the cache, no answer from {host} in {timeout_s:g} s") from None
    if error is not None:
        raise UnobtainableError(f"not in the cache, {host} can't be reached: {error}") from error


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Sockets made meanwhile give up after ``seconds`` of silence (torch.hub sets no limit)."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
