"""A server asked by many clients at once with payloads that nobody means to send, and what came of it."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from sweepmaker.serving import inference
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.model import Model
from tests.serving.mutations import Mutations
from tests.serving.server.servers import Server

CLIENTS = 4  # fewer than the queue holds, so that nothing is refused for that
_ACCEPTS = (
    None,
    "application/json",
    "text/plain",
    "*/*",
    "image/png",
    "text/*;q=0.5, application/json;q=0.1",
)


@dataclass
class Found:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    most_bytes: int = 0  # resident, of the largest worker
    lock: threading.Lock = field(default_factory=threading.Lock)


def fuzz(server: Server, model: Model, *, count: int, seed: int) -> Found:
    """Send ``count`` payloads and judge each answer by what the handler says in this process.

    Args:
        server: serves the same artifact with the same engine as ``model`` has.
        model: the judge.
        count: payloads.
        seed: of them.
    """
    found = Found()
    threads = [
        threading.Thread(target=_client, args=(server, model, count // CLIENTS, seed + number, found))
        for number in range(CLIENTS)
    ]
    watching = threading.Event()
    watch = threading.Thread(target=_watch, args=(server, found, watching))
    for thread in (*threads, watch):
        thread.start()
    for thread in threads:
        thread.join()
    watching.set()
    watch.join()
    return found


def _client(server: Server, model: Model, count: int, seed: int, found: Found) -> None:
    mutations = Mutations(seed)
    connection = server.connect()
    for number in range(count):
        body, kind = mutations.payload()
        accept = _ACCEPTS[(seed + number) % len(_ACCEPTS)]
        headers = {key: text for key, text in (("content-type", kind), ("accept", accept)) if text}
        begun = time.monotonic()
        try:
            answer = server.ask("POST", "/invocations", body, connection, **headers)
        except (OSError, http.client.HTTPException) as error:
            problem: str | None = f"dropped: {error!r}"
            status = 0
        else:
            status = answer.status
            with found.lock:  # torch in this process: one at a time
                problem = _wrong(model, body, kind, accept, status, answer.body)
        took = time.monotonic() - begun
        with found.lock:
            found.statuses[status] += 1
            found.slowest_s = max(found.slowest_s, took)
            if problem is not None:
                found.wrong.append(f"seed {seed}, payload {number}, {kind}, {accept}: {problem}")
    connection.close()


def _wrong(
    model: Model, body: bytes, kind: str | None, accept: str | None, status: int, said: bytes
) -> str | None:
    """What is wrong with an answer; None: it is the handler's."""
    try:
        images = inference.input_fn(body, kind)
        expected = 200, inference.output_fn(inference.predict_fn(images, model), accept)[0]
    except RequestError as error:
        expected = error.status, b""
    if status != expected[0]:
        return f"{status} instead of {expected[0]}: {said[:200]!r}"
    if status == 200 and said != expected[1]:
        return f"{said[:200]!r} instead of {expected[1][:200]!r}"
    if status != 200 and not (said.startswith(b'{"error": "') and len(said) > 20):
        return f"no message: {said[:200]!r}"
    return None


def _watch(server: Server, found: Found, end: threading.Event) -> None:
    while not end.wait(0.1):
        for worker in server.workers():
            try:
                found.most_bytes = max(found.most_bytes, worker.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
