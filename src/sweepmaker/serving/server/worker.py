"""A worker: one process with one model that answers what the front hands to it, a batch at a time.

It is a process of its own, and not a thread of the front, so that a crash in a decoder's native code, an
image that eats the memory, or a computation that never ends costs this process only. Measured on two
cores, two of them also answer twice as many requests as one, which Python's lock keeps threads from.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import logging
import os
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psutil

from sweepmaker.config.errors import EXIT_FAILED, UserError
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.server import wire
from sweepmaker.serving.server.plan import READERS
from sweepmaker.serving.settings import Limits

_WARM_UP = 3  # requests: the first ones allocate what later ones use again
_NO_MEMORY = b"the request needs more memory than there is"


@dataclass(frozen=True)
class Reply:
    """What is answered to one request, and the seconds that it took to read the image and to compute."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after_s: int | None = None
    read_s: float = 0.0
    model_s: float = 0.0

    @property
    def header(self) -> dict[str, Any]:
        """Everything but the body, for the front."""
        return {key: value for key, value in vars(self).items() if key != "body"}


class Handler:
    """The four functions of a handler module, over one model.

    Args:
        settings: of the worker, as the front sends them.

    Raises:
        UserError: the model cannot be loaded.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._module: Any = importlib.import_module(settings["handler"])
        self._context = SimpleNamespace(limits=Limits(**settings["limits"]))
        self.model: Any = self._module.model_fn(settings["model_dir"], self._context)
        # a GPU computes a batch while one core decodes an image; on a CPU every core has its own worker
        readers = min(READERS, settings["cores"]) if self.device.startswith("cuda") else 1
        self._readers = ThreadPoolExecutor(readers) if readers > 1 else None

    @property
    def device(self) -> str:
        """What the model computes on, as torch names it."""
        return str(getattr(getattr(self.model, "engine", None), "device", "cpu"))

    def warm_up(self) -> None:
        """Answer a generated image, the whole way.

        Raises:
            RequestError: the handler refuses it.
        """
        request = {"content_type": "image/png", "accept": "application/json"}
        for _ in range(_WARM_UP):
            reply = self.answer([request], [_sample()])[0]
            if reply.status != 200:
                said = reply.body.decode("utf-8", "replace")
                raise RequestError(
                    reply.status,
                    f"the warm-up (a gray image/png, Accept: application/json) is not answered: {said}",
                )

    def answer(self, requests: Sequence[Mapping[str, Any]], bodies: Sequence[bytearray]) -> list[Reply]:
        """A reply to each request, whatever is in it."""
        start = time.perf_counter()
        given = list(zip(requests, bodies, strict=True))
        if self._readers is not None and len(given) > 1:
            read = list(self._readers.map(lambda one: self._read(*one), given))
        else:
            read = [self._read(*one) for one in given]
        reading = (time.perf_counter() - start) / len(given)
        good = [index for index, images in enumerate(read) if not isinstance(images, Reply)]
        computed = dict(zip(good, self._compute([read[index] for index in good]), strict=True))
        replies = []
        for index, request in enumerate(requests):
            said = computed.get(index, read[index])
            reply = said if isinstance(said, Reply) else self._say(said[0], request, said[1])
            replies.append(dataclasses.replace(reply, read_s=reading))
        return replies

    def _read(self, request: Mapping[str, Any], body: bytearray) -> Any:
        """The images of a request, or the reply that refuses it."""
        return _guarded(lambda: self._module.input_fn(body, request["content_type"], self._context))

    def _compute(self, asked: Sequence[Any]) -> list[Any]:
        """``(prediction, seconds)`` for the images of each request, or the reply that it failed."""
        if len(asked) > 1 and (together := self._together(asked)) is not None:
            return together
        return [self._alone(images) for images in asked]

    def _alone(self, images: Any) -> Any:
        start = time.perf_counter()
        prediction = _guarded(lambda: self._module.predict_fn(images, self.model, self._context))
        seconds = time.perf_counter() - start
        return prediction if isinstance(prediction, Reply) else (prediction, seconds)

    def _together(self, asked: Sequence[Any]) -> list[Any] | None:
        """As `_compute`, in one batch; None where this handler's predictions cannot be taken apart again."""
        try:
            everything = [image for images in asked for image in images]
        except TypeError:  # its input_fn returns no list
            return None
        start = time.perf_counter()
        whole: Any = _guarded(lambda: self._module.predict_fn(everything, self.model, self._context))
        seconds = time.perf_counter() - start
        probabilities = getattr(whole, "probabilities", None)
        if isinstance(whole, Reply) or probabilities is None or not dataclasses.is_dataclass(whole):
            return None  # each alone: then only that one fails which is at fault
        change: Any = dataclasses.replace
        found, at = [], 0
        for images in asked:
            marks = {name: getattr(images, name) for name in ("single", "as_text") if hasattr(images, name)}
            part = probabilities[at : at + len(images)]
            found.append((change(whole, probabilities=part, **marks), seconds))
            at += len(images)
        return found

    def _say(self, prediction: Any, request: Mapping[str, Any], seconds: float) -> Reply:
        def say() -> Reply:
            said = self._module.output_fn(prediction, request["accept"], self._context)
            body, content_type = said if isinstance(said, tuple) else (said, request["accept"] or "")
            if not isinstance(body, str | bytes | bytearray) or not isinstance(content_type, str):
                raise TypeError("output_fn returns text or bytes, alone or with a content type, not "
                                f"{type(body).__name__} and {type(content_type).__name__}")  # fmt: skip
            content = body.encode() if isinstance(body, str) else bytes(body)
            return Reply(200, content, content_type, model_s=seconds)

        reply: Reply = _guarded(say)
        return reply


def _guarded(work: Any) -> Any:
    """What ``work`` returns, or the reply for what it raises."""
    try:
        return work()
    except RequestError as error:
        return Reply(error.status, error.message.encode(), retry_after_s=error.retry_after_s)
    except MemoryError:
        return Reply(413, _NO_MEMORY)
    except Exception as error:
        if isinstance(error, _torch_error("OutOfMemoryError")):
            return Reply(413, _NO_MEMORY)
        if isinstance(error, _torch_error("AcceleratorError")):
            raise  # the device answers nothing any more in this process: another takes its place
        traceback.print_exc()  # a defect of the handler: the log has it, the client does not
        return Reply(500, b"the handler failed; the server's log says why")


def _torch_error(name: str) -> tuple[type[BaseException], ...]:
    """The class of that name; none where a handler has no need of torch."""
    kind = getattr(sys.modules.get("torch"), name, None)
    return (kind,) if isinstance(kind, type) else ()


def run(channel: socket.socket, settings: Mapping[str, Any]) -> int:
    """The whole life of a worker; the exit code of its process."""
    os.environ.update(settings["environment"])
    try:
        handler = Handler(settings)
        handler.warm_up()
    except (UserError, RequestError) as error:
        code = error.exit_code if isinstance(error, UserError) else EXIT_FAILED
        return _failed(channel, str(error), code)
    except Exception as error:
        traceback.print_exc()
        return _failed(channel, f"the model cannot be loaded: {type(error).__name__}: {error}", EXIT_FAILED)
    _without_decoders_words()
    try:
        wire.send(channel, {"ready": _description(handler)})
        while True:
            header, bodies = wire.receive(channel)
            replies = handler.answer(header["requests"], bodies)
            del bodies
            wire.send(channel, {"replies": [reply.header for reply in replies]}, [r.body for r in replies])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0  # the front has ended, or wants no more of this worker


def _without_decoders_words() -> None:
    """Decoders say what is odd about a file: as warnings, which Python keeps for ever, and on stderr.

    Whoever sends broken images could fill the log. What Python code writes to stderr is still logged.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _failed(channel: socket.socket, message: str, code: int) -> int:
    sys.stderr.flush()
    wire.send(channel, {"failed": message, "code": code})
    return code


def _description(handler: Handler) -> dict[str, Any]:
    """What the front has to know of a worker: how it computes, and the memory that is its own (bytes)."""
    gpus = 0
    if handler.device.startswith("cuda"):
        import torch

        gpus = torch.cuda.device_count()
    return {
        "engine": getattr(getattr(handler.model, "engine", None), "name", None),
        "device": handler.device,
        "gpus": gpus,
        "classes": len(getattr(handler.model, "classes", ())),
        "memory": _own_memory(),
    }


def _own_memory() -> int:
    process = psutil.Process()
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return int(process.memory_info().rss)


def _sample() -> bytearray:
    """A small gray image."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (127, 127, 127)).save(buffer, "PNG")
    return bytearray(buffer.getvalue())
