"""One embedded SageMaker at work: its parts put together, its first words, its end."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from launchers.embedded.api.calls import Api
from launchers.embedded.conductor import Conductor
from launchers.embedded.faults import Faults
from launchers.embedded.hosting.hosts import Hosts
from launchers.embedded.hosting.invoke import Answer, Invocations
from launchers.embedded.images import Images
from launchers.embedded.key import Key, environment
from launchers.embedded.logs import show_again
from launchers.embedded.parts import Parts
from launchers.embedded.root import BUCKET, REGION, ROLE, Root
from launchers.embedded.runtimes.strays import kill_strays
from launchers.embedded.services.app import Services
from launchers.embedded.services.server import Server
from launchers.embedded.settings import Settings, cores_of, gpus_of
from launchers.embedded.slots import Slots
from launchers.embedded.state import State
from sweepmaker.config.errors import ConfigError

_LOOK_S = 0.2


def serve(root: Root, settings: Settings, *, port: int, idle_s: float | None) -> None:
    """Serve until SIGTERM or SIGINT, or until nothing has happened for ``idle_s`` seconds.

    Prints one line of JSON with the addresses on stdout, everything else on stderr. At the end running
    trials are asked to save what they have; they go on with the next server of this root.

    Raises:
        UserError: the root is served already, or a setting or the port cannot be used.
    """
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    with root.held(), _at_work(root, settings, port) as (server, busy):
        print(json.dumps(_first_words(root, server.port)), flush=True)
        print(f"serving {root.folder} at {_address(server.port)}", file=sys.stderr, flush=True)
        last = time.monotonic()
        while not told.wait(_LOOK_S):
            if busy():
                last = time.monotonic()
            if idle_s is not None and time.monotonic() - max(last, server.last_request) > idle_s:
                print(f"nothing has happened for {idle_s:g} s: this server ends", file=sys.stderr)
                break


@contextmanager
def _at_work(root: Root, settings: Settings, port: int) -> Iterator[tuple[Server, Callable[[], bool]]]:
    """A server, and whether a job or an endpoint is going on; the caller has the root's lock."""
    if count := kill_strays(root.folder):
        print(f"{count} processes of an earlier server were left; they are ended", file=sys.stderr)
    key = Key.of_root(root.key)
    with ExitStack() as ends:
        images = Images(settings, root)
        ends.callback(images.close)
        state = State(root.state)
        ends.callback(state.close)

        def call(operation: str, body: dict[str, Any]) -> dict[str, Any]:
            return api.call(operation, body)

        def invoke(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            faults.before_call("InvokeEndpoint")
            return invocations(path, headers, body)

        services = Services(root.s3, key, call, invoke)
        ends.callback(services.close)
        services.store.ensure_bucket(BUCKET)
        try:
            server = Server(services, port)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"{port} cannot be used: {error}", key="--port") from None
        show_again(state, root, services.logs)
        faults = Faults(root)
        parts = Parts(
            root=root,
            settings=settings,
            state=state,
            store=services.store,
            logs=services.logs,
            runtime=images,
            slots=Slots(cores_of(settings), gpus_of(settings)),
            faults=faults,
            environment=environment(_address(server.port), key),
        )
        conductor, hosts = Conductor(parts), Hosts(parts, lambda: images.serving)
        api = Api(state, conductor, hosts, services.store, faults.before_call)
        invocations = Invocations(state, hosts)
        server.start()
        ends.callback(server.stop)
        root.announce(_address(server.port))
        ends.callback(root.server.unlink, missing_ok=True)
        conductor.start()
        ends.callback(conductor.close)
        hosts.start()
        ends.callback(hosts.close)
        yield server, lambda: conductor.busy() or hosts.busy()


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _first_words(root: Root, port: int) -> dict[str, Any]:
    pid = json.loads(root.server.read_text(encoding="utf-8"))["pid"]
    return {
        "root": str(root.folder),
        "pid": pid,
        "endpoint_url": _address(port),
        "s3_endpoint_url": _address(port),
        "region": REGION,
        "bucket": BUCKET,
        "role": ROLE,
        "key_file": str(root.key),
        "environment": environment(_address(port), Key.of_root(root.key)),
    }
