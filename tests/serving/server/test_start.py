"""A start that cannot be: one message and an exit code; and the way from the command line to the model."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.server.settings import Settings
from tests.images import photo_jpeg
from tests.serving.models import make_model
from tests.serving.server.servers import STAND_IN, command, ended, listening, until


def error_of(done: object) -> str:
    """The one message on stderr, beside the log."""
    return "".join(line for line in done.stderr.splitlines(True) if not line.startswith("{"))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_trained_model_answers_and_says_what_was_chosen(tmp_path: Path) -> None:
    with listening(command(make_model(tmp_path), "--threads", "1", "--engine", "eager")) as server:
        server.ready()
        found = server.ask("POST", "/invocations", photo_jpeg(0), content_type="image/jpeg")
        assert found.status == 200 and found.json["label"] in ("cat", "dog", "owl")
        assert len(found.json["top"]) == 3
        as_text = server.ask("POST", "/invocations", photo_jpeg(0), accept="text/plain")
        assert as_text.body == str(found.json["class"]).encode()
        assert server.ask("POST", "/invocations", photo_jpeg(0), accept="image/png").status == 406
        plan = server.plan()
        assert plan["engine"] == "eager" and "cores" in plan["reason"]
        until(lambda: any("engine = eager" in line["line"] for line in server.events("output")))
        assert server.end() == 0
        assert server.plain == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "code", "message"),
    [
        (lambda model: (model / "model.safetensors").unlink(), 1, "model.safetensors"),
        (lambda model: (model / "model.json").unlink(), 1, "model.json"),
        (lambda model: (model / "model.safetensors").write_bytes(b"\0" * 100), 1, "model.safetensors"),
        (lambda model: _cut(model / "model.safetensors"), 1, "model.safetensors"),
        (lambda model: _classes(model / "model.json"), 1, "classes"),
    ],
    ids=["no weights", "no description", "zeros", "cut", "classes"],
)
def test_a_broken_artifact_stops_the_start(tmp_path: Path, break_it: object, code: int, message: str) -> None:
    model = make_model(tmp_path)
    break_it(model)  # type: ignore[operator]
    done = ended(command(model))
    said = error_of(done)
    assert done.returncode == code, done.stderr
    assert said.startswith("error: ") and message in said and "Traceback" not in done.stderr
    assert said.count("error: ") == 1


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _classes(path: Path) -> None:
    description = json.loads(path.read_text())
    path.write_text(json.dumps(description | {"classes": ["cat"]}))


def test_a_handler_that_fails_or_is_not_there_stops_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    done = ended(command(tmp_path, "--handler", STAND_IN), SERVING_BREAK=str(broken))
    assert done.returncode == 1
    assert error_of(done) == "error: the model is broken\n  fix: mend it\n"
    done = ended(command(tmp_path, "--handler", "no.such.module"))
    assert done.returncode == 1
    assert error_of(done).startswith("error: the model cannot be loaded: ")
    assert "No module named 'no'" in done.stderr


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = ended([*command(tmp_path, "--handler", STAND_IN), "--port", port])
    assert done.returncode == 2
    assert error_of(done).startswith(f"error: port: cannot listen on 127.0.0.1, port {port}: ")
    assert "port=0" in error_of(done)


@pytest.mark.parametrize("host", ["no such host", "a..b", "x" * 70, "192.0.2.1"])
def test_a_host_that_is_none(host: str, tmp_path: Path) -> None:
    done = ended(command(tmp_path, "--handler", STAND_IN, "--host", host))
    assert done.returncode == 2
    assert error_of(done).startswith(f"error: host: this machine has no address '{host}")
    assert "0.0.0.0" in error_of(done)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--port", "70000"), "--port"),
        (("--port", "x"), "--port"),
        (("--workers", "0"), "--workers"),
        (("--workers", "1.5"), "--workers"),
        (("--payload-mb", "-1"), "--payload-mb"),
        (("--payload-mb", "nan"), "--payload-mb"),
        (("--timeout-s", "inf"), "--timeout-s"),
        (("--engine", "warp"), "--engine"),
        (("--batch-max", "many"), "--batch-max"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], key: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings.read(["--model-dir", "x", *options], {})
    assert error.value.key == key and error.value.allowed


def test_sagemaker_s_variables_count_where_the_command_line_says_nothing() -> None:
    variables = {
        "SAGEMAKER_BIND_TO_PORT": "8081",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "20",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "4",
        "SWEEPMAKER_ENGINE": "eager",
    }
    found = Settings.read(["--model-dir", "m", "--workers", "auto"], variables)
    assert (found.port, found.workers, found.engine) == (8081, None, "eager")
    assert (found.limits.timeout_s, found.limits.payload_mb) == (20.0, 4.0)
    with pytest.raises(ConfigError) as error:
        Settings.read(["--model-dir", "m"], {"SAGEMAKER_BIND_TO_PORT": "no"})
    assert error.value.key == "SAGEMAKER_BIND_TO_PORT"


def test_help_is_quick_to_load() -> None:
    """Neither torch nor the HTTP side is needed to say what is wrong with a command line."""
    program = (
        "import sys, sweepmaker.serving.server.__main__; print(*{'torch', 'uvicorn'} & set(sys.modules))"
    )
    assert ended([sys.executable, "-c", program]).stdout.split() == []
