"""The server that ``where.server`` asks for: the one that works in ``where.root``, started where none does.

Only its command line and its files are known here; what it is made of is not imported. It goes on
when this process ends, and ends by itself some time after its last job and request.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError, UserError

MODULE = "launchers.embedded"
CHECKOUT = Path(__file__).resolve().parents[2]
_START_S = 120.0  # libraries on a slow disk, and jobs that an earlier server left
_LOOK_S = 0.05
_ANSWER_S = 10.0
_TAIL = 15  # lines of the log that are shown
_OWN = "idle_s"  # of the command; everything else is a setting of the server

_children: list[subprocess.Popen[bytes]] = []  # kept, or Python would complain of one that still runs


@dataclass(frozen=True)
class Server:
    """Where it answers, and what requests to it are signed with."""

    endpoint_url: str
    s3_endpoint_url: str
    credentials: tuple[str, str]
    """Access key id and secret key."""

    def filled(self, where: Mapping[str, Any]) -> dict[str, Any]:
        """``where`` with the server's addresses."""
        return {**where, "endpoint_url": self.endpoint_url, "s3_endpoint_url": self.s3_endpoint_url}


def wanted(where: Mapping[str, Any]) -> bool:
    """Whether ``where`` leaves the addresses to a server of ours."""
    return where.get("server") is not None and not where.get("endpoint_url")


def root_of(where: Mapping[str, Any]) -> Path:
    """The server's folder."""
    return Path(str(where.get("root") or ".embedded")).expanduser().absolute()


def find(where: Mapping[str, Any]) -> Server | None:
    """The server of ``where.root``, if one runs and answers; nothing is started."""
    root = root_of(where)
    try:
        told = json.loads((root / "server.json").read_bytes())
        address = str(told["endpoint_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # its number may be another's, and its time by a clock that was set: only a living server has the lock
    if not _is_held(root / "lock") or not _answers(address):
        return None
    return Server(address, str(told.get("s3_endpoint_url") or address), _key(root / "key.json"))


def ensure(where: Mapping[str, Any], command: Sequence[str] | None = None) -> Server:
    """The server of ``where.root``: the running one, or a new one.

    Args:
        where: a ``conf/where`` node with ``root`` and ``server`` (settings; ``idle_s``: seconds).
        command: what starts it instead of this project's own module.

    Raises:
        UserError: it could not be started; its last words are in the message.
    """
    root = root_of(where)
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)  # what is in it runs as code
    except OSError as error:
        raise ConfigError(f"{root} cannot be made: {error.strerror}", key="where.root") from None
    settings = {key: value for key, value in dict(where.get("server") or {}).items() if value is not None}
    with _alone(root):
        if (running := find(where)) is not None:
            if set(settings) - {_OWN}:
                told = " ".join(f"where.server.{key}" for key in settings if key != _OWN)
                print(f"the server of {root} runs already; {told} is for the next one", file=sys.stderr)
            return running
        return _start(root, _command(root, settings, command))


def _command(root: Path, settings: Mapping[str, Any], command: Sequence[str] | None) -> list[str]:
    words = [*(command or (sys.executable, "-m", MODULE)), "--root", str(root), "--port", "0"]
    if settings.get(_OWN) is not None:
        words += ["--idle", str(settings[_OWN])]
    return [*words, *(f"{key}={_text(value)}" for key, value in settings.items() if key != _OWN)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _start(root: Path, command: list[str]) -> Server:
    print(f"starting the embedded server in {root}", file=sys.stderr, flush=True)
    with (root / "server.log").open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C here is not for it
        )
    _children.append(process)
    try:
        line = _first_line(process, time.monotonic() + _START_S)
        told = json.loads(line)
        endpoint = str(told["endpoint_url"])
        server = Server(endpoint, str(told.get("s3_endpoint_url") or endpoint), _key(Path(told["key_file"])))
    except BaseException as error:
        _end(process)
        if not isinstance(error, ValueError | KeyError | TypeError):
            raise
        if (running := _started_by_hand(root)) is not None:
            return running
        raise _dead(root, begin, process.returncode) from None
    finally:
        assert process.stdout is not None
        process.stdout.close()
    return server


def _first_line(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What it writes first; as much as there is when it ends or the time is over."""
    assert process.stdout is not None
    handle, found = process.stdout.fileno(), b""
    while not found.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([handle], [], [], left)
        if ready:
            more = os.read(handle, 65536)
            if not more:
                break
            found += more
    return found


def _started_by_hand(root: Path) -> Server | None:
    """The server that somebody else began to start in this very moment."""
    deadline = time.monotonic() + _START_S
    while _is_held(root / "lock") and time.monotonic() < deadline:
        if (running := find({"root": str(root)})) is not None:
            return running
        time.sleep(_LOOK_S)
    return None


def _is_held(path: Path) -> bool:
    """Whether a server has the lock of its root."""
    with contextlib.suppress(FileNotFoundError), path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ANSWER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _dead(root: Path, begin: int, code: int | None) -> UserError:
    path = root / "server.log"
    with path.open("rb") as log:
        log.seek(begin)
        lines = log.read().decode(errors="replace").splitlines()[-_TAIL:]
    told = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
    return UserError(
        f"the embedded server did not start (exit code {code}); the end of {path}:\n{told}",
        key="where.server",
    )


def _environment() -> dict[str, str]:
    """The user's, without what is about AWS: no trial shall find real credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    paths = (str(CHECKOUT), str(CHECKOUT / "src"), kept.get("PYTHONPATH"))
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return kept


def _key(path: Path) -> tuple[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return str(found["access_key_id"]), str(found["secret_access_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the server's key cannot be read from {path}: {error}", key="where.root") from None


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(address, timeout=_ANSWER_S).close()
    except urllib.error.HTTPError as refused:  # who doesn't sign is refused: it is at work
        refused.close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One launch after another looks for the server and starts it."""
    deadline = time.monotonic() + _START_S
    with (root / "start.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another launch has been starting the server of {root} for long"
                    ) from None
                time.sleep(_LOOK_S)
        yield
