"""Endpoints at awkward moments: requests beside an update, two at once, a server that begins or ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from launchers.embedded.hosting import host as host_module
from launchers.embedded.hosting.host import Host
from launchers.embedded.hosting.hosts import Hosts
from tests.embedded.hosting import Site, until


@pytest.fixture(scope="module")
def dogs(one: Site) -> Site:
    """With an endpoint that is in service, and the config of another."""
    one.deploy("dogs", "old")
    assert one.ended("dogs")["EndpointStatus"] == "InService"
    return one


def told(one: Site, name: str) -> dict[str, Any]:
    return dict(json.loads(one.invoke(name)["Body"].read()))


def test_a_port_of_another_endpoint_is_not_believed(dogs: Site) -> None:
    """Only what the process itself says, since another may have got a port that was free a moment ago."""
    with dogs.hosts.serving("dogs", 1) as host:
        assert host is not None
        foreign = json.dumps({"url": f"http://127.0.0.1:{host.port}", "pid": told(dogs, "dogs")["pid"]})
    folder = dogs.parts.root.endpoint("cats")
    folder.mkdir()
    (folder / "log").write_text(f"{foreign}\n")  # as an earlier process of the endpoint has left it
    dogs.deploy("cats", foreign)  # and as it prints the model's text, with something before it
    assert dogs.ended("cats")["EndpointStatus"] == "InService"
    assert told(dogs, "cats")["text"] == foreign
    assert told(dogs, "cats")["env"]["SAGEMAKER_BIND_TO_PORT"] == "0"  # the kernel's choice, no guess of ours
    assert told(dogs, "dogs")["text"] == "old"


def test_an_endpoints_log_does_not_grow_for_ever(dogs: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dogs.parts.root.endpoint("dogs")
    monkeypatch.setattr(host_module, "_LARGEST_LOG", 1)
    until((folder / "log.1").exists, "older log")
    until(lambda: (folder / "log").stat().st_size == 0, "new log")
    assert "serving old" in (folder / "log.1").read_text()
    assert "serving old" in dogs.log("dogs")


def test_an_update_that_cannot_even_start_leaves_the_old_process(
    dogs: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Host, given_up: Any) -> bool:
        raise OSError(28, "No space left on device")

    pid = told(dogs, "dogs")["pid"]
    with monkeypatch.context() as patch:
        patch.setattr(Host, "start", full)
        dogs.client.update_endpoint(EndpointName="dogs", EndpointConfigName="dogs")
        described = dogs.ended("dogs")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "dogs")
    assert "Request to service failed" in described["FailureReason"]
    assert "No space left on device" in capsys.readouterr().err
    assert told(dogs, "dogs")["pid"] == pid


def test_a_request_that_was_given_the_old_process_gets_its_answer(dogs: Site) -> None:
    with dogs.hosts.serving("dogs", 1) as old:
        assert old is not None
        pid = told(dogs, "dogs")["pid"]
        dogs.client.update_endpoint(EndpointName="dogs", EndpointConfigName="dogs")
        dogs.ended("dogs")
        until(lambda: told(dogs, "dogs")["pid"] != pid, "new process")
        assert not old.ended(0.5)
        assert old._answers()  # it has not connected before this
    until(lambda: old._handle is None, "end of the old process")


def test_a_process_that_goes_between_two_looks_is_waited_for(one: Site) -> None:
    """None is no answer while the endpoint is in service: its next process is about to be there."""
    looks: list[Host | None] = [None, None]

    class Flickering:
        host = object()

        @contextmanager
        def one_request(self) -> Iterator[Any]:
            yield looks.pop() if looks else "the next process"

    hosts = Hosts(one.parts, lambda: pytest.fail("nothing is to be started"))
    hosts._state = SimpleNamespace(get=lambda *_: SimpleNamespace(status="InService"))  # type: ignore[assignment]
    hosts._lives["dogs"] = (Flickering(), threading.Thread())  # type: ignore[assignment]
    with hosts.serving("dogs", 5) as found:
        assert found == "the next process"


def test_a_server_that_begins_spares_what_clients_have_just_made(dogs: Site) -> None:
    """It answers already while it brings back what was there before."""
    before, stray = told(dogs, "dogs")["pid"], dogs.parts.root.endpoint("stray")
    stray.mkdir()
    dogs.hosts.start()
    assert not stray.exists()
    assert dogs.parts.root.endpoint("dogs").is_dir()
    assert dogs.client.describe_endpoint(EndpointName="dogs")["EndpointStatus"] == "InService"
    assert told(dogs, "dogs")["pid"] == before


def test_a_server_that_ends_while_an_endpoint_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SimpleNamespace(name="dogs", status="Failed")
    state = SimpleNamespace(get=lambda *_: job)
    hosts = Hosts(SimpleNamespace(state=state), lambda: pytest.fail("no process"))  # type: ignore[arg-type, return-value]
    failed: list[BaseException] = []
    looked, free = threading.Event(), []

    def close() -> None:
        if hosts._lock.acquire(blocking=False):  # a close could have come in here, and found no thread yet
            hosts._lock.release()
            free.append("while a thread was being started")
        looked.set()
        try:
            hosts.close()
        except BaseException as error:
            failed.append(error)

    closer, start = threading.Thread(target=close), threading.Thread.start

    def started(thread: threading.Thread) -> None:
        if thread is not closer and not closer.is_alive():
            start(closer)
            assert looked.wait(60)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", started)
        hosts.wake("dogs")
    assert looked.is_set()
    closer.join()
    assert (free, failed) == ([], [])
