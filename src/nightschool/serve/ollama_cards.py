"""What the Ollama dialect says of models: version, tags, show and ps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.clock import SystemClock, iso
from nightschool.serve import fields, models, talk
from nightschool.serve.service import Json, Service

VERSION = "0.13.0"
"""The version of Ollama's API that is spoken here; clients switch features by it."""
WIDTH = 384
"""Numbers in a vector of the search encoder."""
LONG_AGO = "2000-01-01T00:00:00Z"
"""The date of what has none: the base model in the box."""


def routes(service: Callable[[], Service]) -> list[Route]:
    """`/api/version`, `tags`, `show` and `ps`."""

    async def version(request: Request) -> Response:
        return JSONResponse({"version": VERSION})

    async def tags(request: Request) -> Response:
        return JSONResponse({"models": await _cards(service())})

    async def ps(request: Request) -> Response:
        engine = (await service().status())["children"]["engine"]
        if engine["pid"] is None or engine["left_s"] is None:
            return JSONResponse({"models": []})
        ends = iso(SystemClock().now() + timedelta(seconds=engine["left_s"]))
        base = await service().model()
        loaded = [
            card
            | {
                "size": engine["memory_bytes"],
                "size_vram": 0,
                "expires_at": ends,
                "context_length": base["context"],
            }
            for card in (await _cards(service()))[:1]
        ]
        return JSONResponse({"models": loaded})

    async def show(request: Request) -> Response:
        raw = await fields.body(request)
        choice = await talk.choose(service(), raw.get("model") or raw.get("name"))
        base = await service().model()
        # Raw names are not listed one by one; they differ in nothing that is shown here.
        name = with_tag(choice.name).replace("nightschool-raw:", "nightschool:")
        cards = await _cards(service())
        found = next((card for card in cards if card["name"] == name), cards[0])
        can = ["completion", "embedding"]
        if choice.raw and "tools" in base["template"]:
            can.append("tools")
        return JSONResponse(
            {
                "modelfile": f"# {choice.name} on {base['name']}; see `nightschool model card`\n"
                f"FROM {base['name']}\n",
                "parameters": "",
                "template": base["template"],
                "license": base["licence"],
                "details": found["details"],
                "model_info": base["metadata"]
                | {
                    "general.architecture": base["architecture"],
                    "general.parameter_count": base["parameters"],
                },
                "capabilities": can,
                "modified_at": found["modified_at"],
            }
        )

    return [
        Route("/api/version", version, methods=["GET"]),
        Route("/api/tags", tags, methods=["GET"]),
        Route("/api/ps", ps, methods=["GET"]),
        Route("/api/show", show, methods=["POST"]),
    ]


def with_tag(name: str) -> str:
    """A name as Ollama lists it: always with a tag."""
    return name if ":" in name else f"{name}:latest"


async def _cards(service: Service) -> list[Json]:
    base, versions = await service.model(), await service.versions()
    made = {f"nightschool:v{row['number']}": row for row in versions}
    details = {
        "parent_model": base["name"],
        "format": "gguf",
        "family": base["architecture"],
        "families": [base["architecture"]],
        "parameter_size": _parameters(base["parameters"]),
        "quantization_level": base["file_type"],
    }
    found = []
    for item in models.listing(versions):
        row = made.get(item["id"], {})
        name = with_tag(item["id"])
        found.append(
            {
                "name": name,
                "model": name,
                "modified_at": row.get("created_at") or LONG_AGO,
                "size": base["size"],
                "digest": row.get("sha256") or base["sha256"],
                "details": details,
            }
        )
    return found


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"
