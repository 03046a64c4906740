"""Embeddings in the OpenAI dialect: unit vectors of the search encoder, 384 numbers each."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.serve import fields, talk
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Service
from nightschool.serve.streaming import while_connected

MAX_INPUTS = 256
WIDTH = 384


def routes(service: Callable[[], Service]) -> list[Route]:
    """`POST /v1/embeddings`."""

    async def embeddings(request: Request) -> Response:
        raw = await fields.body(request)
        choice = await talk.choose(service(), raw.get("model"))
        texts = talk.prompts(raw.get("input"), "input", MAX_INPUTS)
        form = raw.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise Invalid("'encoding_format' is float or base64.", "encoding_format")
        if raw.get("dimensions") not in (None, WIDTH):
            raise Invalid(f"'dimensions' is {WIDTH}: vectors are not cut.", "dimensions")
        made = await while_connected(request, service().embed(texts))
        data = [
            {"object": "embedding", "index": i, "embedding": pack(v) if form == "base64" else v}
            for i, v in enumerate(made["vectors"])
        ]
        usage = {"prompt_tokens": made["tokens"], "total_tokens": made["tokens"]}
        return JSONResponse({"object": "list", "data": data, "model": choice.name, "usage": usage})

    return [Route("/v1/embeddings", embeddings, methods=["POST"])]


def pack(vector: list[float]) -> str:
    """Little-endian float32 in base64, as the openai package unpacks it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
