"""The server's own description: OpenAPI 3.1, held to what it does by a test that tries all of it."""

from __future__ import annotations

from typing import Any

from sweepmaker import __version__

_BASE64 = {"type": "string", "contentEncoding": "base64", "description": "An image in base64."}
_INSTANCE = {
    "oneOf": [
        _BASE64,
        {
            "type": "object",
            "properties": {"image": _BASE64},
            "required": ["image"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"b64": _BASE64},
            "required": ["b64"],
            "additionalProperties": False,
        },
    ]
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ENTRY = {
    "class": {"type": "integer", "minimum": 0, "description": "Number of the class."},
    "label": {"type": "string", "description": "Its name."},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
}
_PREDICTION = {
    "type": "object",
    "properties": {
        **_ENTRY,
        "top": {
            "type": "array",
            "description": "The most probable classes, the first one first.",
            "items": {"type": "object", "properties": _ENTRY, "required": list(_ENTRY)},
        },
    },
    "required": [*_ENTRY, "top"],
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Comes back with the answer and stands in the log; without it, or with other characters "
    "than letters, digits and ._:/+=@-, the server makes one.",
    "schema": {"type": "string"},
}


def describe(payload_mb: float) -> dict[str, Any]:
    """The description, as JSON can have it.

    Args:
        payload_mb: limit of a request's body, 2^20 bytes.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sweepmaker",
            "version": __version__,
            "description": "An image classifier behind the two paths of a SageMaker container.",
        },
        "paths": {
            "/ping": {"get": _ping()},
            "/invocations": {"post": _invocations(payload_mb)},
            "/metrics": {"get": _get("Metrics, in Prometheus's text format", "text/plain")},
            "/openapi.json": {"get": _get("This description", "application/json")},
            "/": {"get": _get("A page to try images on", "text/html")},
        },
        "components": {
            "schemas": {
                "Prediction": _PREDICTION,
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                },
            }
        },
    }


def _ping() -> dict[str, Any]:
    status = {"type": "object", "properties": {"status": {"const": "ready"}}, "required": ["status"]}
    return {
        "summary": "Whether the model answers",
        "parameters": [_REQUEST_ID],
        "responses": {
            "200": {"description": "It does.", "content": {"application/json": {"schema": status}}},
            "503": _error("Not yet, or no longer."),
            **_refused(),
        },
    }


def _invocations(payload_mb: float) -> dict[str, Any]:
    instances = {"type": "array", "minItems": 1, "items": _INSTANCE}
    body = {
        "oneOf": [
            {"type": "object", "properties": {"image": _BASE64}, "required": ["image"],
             "additionalProperties": False},
            {"type": "object", "properties": {"instances": instances}, "required": ["instances"],
             "additionalProperties": False},
        ]
    }  # fmt: skip
    prediction = {"$ref": "#/components/schemas/Prediction"}
    several = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": prediction}},
        "required": ["predictions"],
    }
    return {
        "summary": "Classify an image, or several",
        "description": f"At most {payload_mb:g} MB. Answers JSON, or the class number as plain text: as "
        "Accept says, else text for an image that came as base64 text, JSON for all others.",
        "parameters": [_REQUEST_ID],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": body},
                "image/*": _BINARY,
                "application/octet-stream": _BINARY,
                "text/plain": {"schema": _BASE64},
            },
        },
        "responses": {
            "200": {
                "description": "An object for one image; a list of them for `instances`. As text: the "
                "number of the most probable class, one a line.",
                "content": {
                    "application/json": {"schema": {"anyOf": [prediction, several]}},
                    "text/plain": {"schema": {"type": "string"}},
                },
            },
            "400": _error("Not an image, not base64, not the JSON above."),
            "406": _error("Neither JSON nor plain text is accepted."),
            "408": _error("The body came too slowly."),
            "413": _error("The body, an image's pixels or the number of images are above the limits."),
            "415": _error("A content type that is not read."),
            "422": _error("Each worker that tried this request was ended by it, or took too long."),
            "500": _error("A defect of the server; its log says more."),
            "503": _error("Not ready, or too many requests wait: try again after Retry-After seconds."),
            **_refused(),
        },
    }


def _get(summary: str, kind: str) -> dict[str, Any]:
    schema = {} if kind == "application/json" else {"type": "string"}
    return {
        "summary": summary,
        "parameters": [_REQUEST_ID],
        "responses": {"200": {"description": "OK", "content": {kind: {"schema": schema}}}, **_refused()},
    }


def _refused() -> dict[str, Any]:
    return {
        "403": _error("A page of another site asks."),
        "421": _error("A server for this machine only was asked by another name."),
    }


def _error(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
