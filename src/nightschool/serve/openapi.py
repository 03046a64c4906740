"""The OpenAPI 3.1 description of the native routes, made from the table that also routes them."""

from __future__ import annotations

from typing import Any

from nightschool import __version__
from nightschool.serve import native, ollama, openai, responses
from nightschool.serve.fields import Field, schema

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
                "remedy": {"type": "string"},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_FAILURES = {
    "400": "The request makes no sense",
    "401": "No valid bearer token",
    "403": "Wrong Host or foreign Origin",
    "409": "Refused on purpose: a gate or a guard said no",
    "413": "Body too large",
    "415": "Body is not JSON",
    "429": "Too many wrong tokens",
    "503": "A child or the database is not available; try again",
}

_NAME = Field("model", "string", "A model name.", required=True)
DIALECTS: tuple[tuple[str, str, str, tuple[Field, ...]], ...] = (
    ("/v1/chat/completions", "chat", "OpenAI chat completion.", openai.CHAT),
    ("/v1/completions", "complete", "OpenAI text completion.",
     (*openai.COMPLETION, Field("prompt", "string", "The text.", required=True))),
    ("/v1/responses", "respond", "OpenAI response.",
     (*responses.FIELDS, Field("input", "string", "The question.", required=True))),
    ("/v1/embeddings", "embed", "OpenAI embeddings.",
     (_NAME, Field("input", "string", "The text.", required=True))),
    ("/api/chat", "ollama_chat", "Ollama chat.", ollama.CHAT),
    ("/api/generate", "ollama_generate", "Ollama generation.", ollama.GENERATE),
    ("/api/embed", "ollama_embed", "Ollama embeddings.",
     (_NAME, Field("input", "string", "The text.", required=True))),
    ("/api/show", "ollama_show", "Ollama's card of a model.", (_NAME,)),
)  # fmt: skip


def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in native.OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation.name,
            operation.about,
            operation.method,
            operation.fields,
            operation.returns,
            str(operation.status),
        )
    paths["/ns/ask"] = {
        "post": _operation(
            "ask", "Answer a question from your files.", "POST", native.ASK, "The answer", "200"
        )
    }
    paths["/ns/runs/{number}"] = {
        "get": _operation("run", "One night with its score card.", "GET", (), "The run", "200")
        | {"parameters": [_parameter(Field("number", "integer", "Run number.", True), "path")]}
    }
    paths["/ns/receipts/{number}"] = {
        "get": _operation("receipt", "What was forgotten, and what that did.", "GET", (),
                          "The receipt", "200")
        | {"parameters": [_parameter(Field("number", "integer", "Its number.", True), "path")]}
    }  # fmt: skip
    paths["/v1/models"] = {
        "get": _operation("list_models", "Model names.", "GET", (), "A list", "200")
    }
    for path, name, about, fields in DIALECTS:
        paths[path] = {"post": _operation(name, about, "POST", fields, "The answer", "200")}
        # Dialects pass over fields that they do not know, as the clients' own servers do.
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        body["additionalProperties"] = True
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nightschool",
            "version": __version__,
            "description": "A local model that goes to night school on your own files.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
    }


def _operation(
    name: str, about: str, method: str, fields: tuple[Field, ...], returns: str, status: str
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": name,
        "summary": about,
        "responses": {
            status: {
                "description": returns or "Done",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        }
        | {
            code: {
                "description": text,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }
            for code, text in _FAILURES.items()
        },
    }
    if method == "GET":
        found["parameters"] = [_parameter(field, "query") for field in fields]
    elif fields:
        found["requestBody"] = {
            "required": any(field.required for field in fields),
            "content": {"application/json": {"schema": schema(fields)}},
        }
    return found


def _parameter(field: Field, place: str) -> dict[str, Any]:
    return {
        "name": field.name,
        "in": place,
        "required": field.required,
        "description": field.about,
        "schema": {key: value for key, value in field.schema().items() if key != "description"},
    }
