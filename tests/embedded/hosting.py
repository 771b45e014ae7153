"""Endpoints in this process: real services, state and processes, and a small container behind them."""

from __future__ import annotations

import io
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from launchers.embedded.api.calls import Api
from launchers.embedded.faults import Faults
from launchers.embedded.hosting import host as host_module
from launchers.embedded.hosting.hosts import Hosts
from launchers.embedded.hosting.invoke import Invocations
from launchers.embedded.parts import Parts
from launchers.embedded.root import BUCKET, ROLE, Root
from launchers.embedded.runtimes import open_runtime
from launchers.embedded.services.app import Answer
from launchers.embedded.settings import Settings
from launchers.embedded.slots import Slots
from launchers.embedded.state import State
from tests.embedded.serving import Running, serving

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sweepmaker:1"
DEADLINE_S = 60.0

# It answers with what it got and has; a model may tell it to misbehave.
CONTAINER = """\
import http.server, json, os, pathlib, signal, sys, threading, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
files = sorted(p.relative_to(base / "model").as_posix() for p in (base / "model").rglob("*") if p.is_file())
text = (base / "model" / "text").read_text() if "text" in files else ""
print(f"serving {text}", flush=True)
if text == "dies":
    sys.exit("no such weights")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        self.answer(503 if text == "unready" else 200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body == b"die":
            os._exit(3)
        if body == b"slow":
            time.sleep(1.0)
        if body.isdigit():
            return self.answer(int(body), b"you asked for it")
        headers = {k.lower(): v for k, v in self.headers.items()}
        told = {"headers": headers, "body": body[:99].decode("latin-1"), "bytes": len(body),
                "text": text, "files": files, "env": dict(os.environ), "pid": os.getpid()}
        self.answer(200, json.dumps(told).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "seen")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
server.daemon_threads = False
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}", "pid": os.getpid()}), flush=True)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.02)
server.server_close()
"""


def container(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the small container started instead of the real one."""
    path = folder / "container.py"
    path.write_text(CONTAINER)
    monkeypatch.setattr(host_module, "COMMAND", (sys.executable, str(path)))


class Work:
    """Stands for what carries jobs out."""

    def wake(self) -> None: ...
    def stop_trial(self, name: str, why: str) -> None: ...
    def forget(self, name: str) -> None: ...


class Site:
    """Services with endpoints, and clients of them."""

    def __init__(self, running: Running, parts: Parts, hosts: Hosts) -> None:
        self.running = running
        self.parts = parts
        self.hosts = hosts
        self.client = running.client("sagemaker")
        self.runtime = running.client("sagemaker-runtime")

    def put_model(self, key: str, files: Mapping[str, str]) -> str:
        """A model.tar.gz in S3; its address."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        self.running.client("s3").put_object(Bucket=BUCKET, Key=key, Body=buffer.getvalue())
        return f"s3://{BUCKET}/{key}"

    def deploy(self, name: str, text: str = "", *, variant: Any = None, container: Any = None) -> None:
        """Model, endpoint config and endpoint of one name."""
        data = self.put_model(f"{name}/model.tar.gz", {"text": text})
        self.client.create_model(
            ModelName=name,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": data, **(container or {})},
            ExecutionRoleArn=ROLE,
        )
        machines = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.client.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {"VariantName": "AllTraffic", "ModelName": name, **(machines if variant is None else variant)}
            ],
        )
        self.client.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def ended(self, name: str, *statuses: str) -> dict[str, Any]:
        """The endpoint, once it has one of these statuses."""
        wanted = statuses or ("InService", "Failed")
        found: dict[str, Any] = {}

        def there() -> bool:
            nonlocal found
            found = self.client.describe_endpoint(EndpointName=name)
            return found["EndpointStatus"] in wanted

        until(there, f"{name} {wanted}")
        return found

    def invoke(self, name: str, body: bytes = b"x", **more: Any) -> dict[str, Any]:
        answered: dict[str, Any] = self.runtime.invoke_endpoint(EndpointName=name, Body=body, **more)
        return answered

    def refused(self, name: str, body: bytes = b"x", **more: Any) -> dict[str, Any]:
        """What a failing request gets."""
        with pytest.raises(ClientError) as caught:
            self.invoke(name, body, **more)
        assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
        return dict(caught.value.response)

    def log(self, name: str) -> list[str]:
        """What is in the endpoint's log group."""
        logs, group = self.running.client("logs"), f"/aws/sagemaker/Endpoints/{name}"
        found = logs.describe_log_streams(logGroupName=group)["logStreams"]
        streams = [stream["logStreamName"] for stream in found]
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        ]


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Services with endpoints for the root ``folder``; as a server they end, and may begin again."""
    root = Root.open(folder)
    (root.folder / "s3").mkdir(exist_ok=True)
    runtime = open_runtime("process", root=root.folder)
    state = State(root.state)
    answers: dict[str, Any] = {}

    def call(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(answers["api"].call(operation, body))

    def invoke(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        found: Answer = answers["invoke"](path, headers, body)
        return found

    with serving(root.folder, call, invoke) as running:
        running.services.store.ensure_bucket(BUCKET)
        parts = Parts(
            root=root, settings=Settings(), state=state, store=running.services.store,
            logs=running.services.logs, runtime=lambda _: runtime, slots=Slots((0,)), faults=Faults(root),
            environment={},
        )  # fmt: skip
        hosts = Hosts(parts, lambda: runtime)
        answers |= {"api": Api(state, Work(), hosts, parts.store), "invoke": Invocations(state, hosts)}
        hosts.start()
        try:
            yield Site(running, parts, hosts)
        finally:
            hosts.close()
            runtime.close()
            state.close()


@contextmanager
def site_of_its_own(folder: Path) -> Iterator[Site]:
    """A site whose endpoints have the small container, for a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        container(patch, folder)
        with site(folder / "root") as found:
            yield found


def until(there: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    begin = time.monotonic()
    while not there():
        assert time.monotonic() - begin < deadline_s, f"no {what} after {deadline_s} s"
        time.sleep(0.02)


def together(count: int, work: Callable[[int], None]) -> None:
    """``work`` in so many threads at once."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
