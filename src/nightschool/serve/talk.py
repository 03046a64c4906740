"""What the dialects share: reading messages, tools and stop texts; writing marks and sources.

The engine's `chat` operation is one for all of them (see `engine.requests`); a dialect only says
the same in its own words.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from nightschool.serve import models
from nightschool.serve.fields import Field
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Json, Service

MAX_MESSAGES, MAX_TOOLS, MAX_STOPS = 200, 64, 4
ROLES = {"system", "developer", "user", "assistant", "tool"}
_TEXT = Field("content", "string", "", required=True)
_EMPTY = Field("content", "string", "")
_CARRIES = {"generator": "retrieval", "quote": "retrieval", "weights": "weights"}


async def choose(service: Service, name: Any) -> models.Choice:
    """The model a request names. Raises Invalid or UnknownModel."""
    wanted = Field("model", "string", "", required=True).check(name)
    return models.choose(wanted, await service.versions())


# -- reading -----------------------------------------------------------------------------------


def messages(given: Any, name: str = "messages") -> list[Json]:
    """A checked conversation for the engine. It must end with the user or a tool's result:
    words put into the assistant's mouth are refused (see docs/security.md)."""
    if not isinstance(given, list) or not given:
        raise Invalid(f"{name!r} must be a list that is not empty.", name)
    if len(given) > MAX_MESSAGES:
        raise Invalid(f"More than {MAX_MESSAGES} messages.", name)
    found = [_message(item, f"{name}[{at}]") for at, item in enumerate(given)]
    if found[-1]["role"] not in ("user", "tool"):
        raise Invalid(
            "The last message must be the user's: answers are not continued from given words.", name
        )
    return found


def _message(item: Any, where: str) -> Json:
    if not isinstance(item, dict) or item.get("role") not in ROLES:
        raise Invalid(f"{where} needs a role: {', '.join(sorted(ROLES))}.", where)
    role = "system" if item["role"] == "developer" else item["role"]
    if item.get("images"):
        raise Invalid(f"{where}: only text content is supported.", where)
    found: Json = {"role": role}
    calls = item.get("tool_calls")
    if calls:
        if role != "assistant" or not isinstance(calls, list) or len(calls) > MAX_TOOLS:
            raise Invalid(f"{where}: only the assistant has tool calls.", where)
        found["tool_calls"] = [_earlier_call(call, where) for call in calls]
    text = content(item.get("content"), where)
    found["content"] = (_EMPTY if calls or role in ("tool", "assistant") else _TEXT).check(text)
    return found


def content(given: Any, where: str) -> str:
    """Text content, also when it comes as a list of text parts. Raises Invalid for images."""
    if given is None:
        return ""
    if isinstance(given, list):
        parts = [
            part["text"]
            for part in given
            if isinstance(part, dict)
            and part.get("type") in ("text", "input_text", "output_text")
            and isinstance(part.get("text"), str)
        ]
        if len(parts) != len(given):
            raise Invalid(f"{where}: only text content is supported.", where)
        return "\n".join(parts)
    if not isinstance(given, str):
        raise Invalid(f"{where}: the content must be text.", where)
    return given


def _earlier_call(call: Any, where: str) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Invalid(f"{where}: a tool call needs a function with a name.", where)
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{where}: a tool call's arguments are no JSON.", where) from error
    if not isinstance(arguments, dict):
        raise Invalid(f"{where}: a tool call's arguments must be an object.", where)
    return {"name": function["name"], "arguments": arguments}


def tools(given: Any, wish: Any, choice: models.Choice) -> Json:
    """`tools` and `tool_choice` for the engine; nothing when none are to be used."""
    if not given or wish == "none":
        return {}
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        raise Invalid(f"'tools' is a list of at most {MAX_TOOLS}.", "tools")
    if not choice.raw:
        foreign = any(isinstance(item, dict) and item.get("type") == "mcp" for item in given)
        if wish in (None, "auto") and not foreign:
            # Agents send their tools with everything. Where the model may do without them it does,
            # and the answer's note says so.
            return {"tools_unused": True}
        raise Invalid(
            "Tools are not offered together with your files: no text in a file may cause a call. "
            "Use the model `nightschool-raw`, and Nightschool's own tools over MCP.",
            "tools",
        )
    found, servers = [], []
    for at, item in enumerate(given):
        if isinstance(item, dict) and item.get("type") == "mcp":
            servers.append(_server(item, f"tools[{at}]"))
            continue
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Invalid(f"tools[{at}] needs a function with a name.", "tools")
        parameters = function.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise Invalid(f"tools[{at}]: 'parameters' must be a JSON schema.", "tools")
        found.append({"type": "function", "function": {
            "name": function["name"], "description": str(function.get("description") or ""),
            "parameters": parameters or {"type": "object", "properties": {}}}})  # fmt: skip
    name = wish.get("function", wish).get("name") if isinstance(wish, dict) else wish
    if name is not None and not isinstance(name, str):
        raise Invalid("'tool_choice' is none, auto, required or a function.", "tool_choice")
    asked: Json = {"tools": found, "tool_choice": name or "auto"}
    return asked | {"servers": servers} if servers else asked


def _server(item: Json, where: str) -> Json:
    """An MCP server that the user added, by its label. A client cannot name an address: what is
    connected to is the user's choice alone."""
    label, only = item.get("server_label"), item.get("allowed_tools")
    if not isinstance(label, str) or item.get("server_url"):
        raise Invalid(
            f"{where} needs the 'server_label' of a server that was added with `nightschool mcp "
            "add`; addresses are not taken from requests.",
            "tools",
        )
    if only is not None and not (isinstance(only, list) and all(isinstance(n, str) for n in only)):
        raise Invalid(f"{where}: 'allowed_tools' is a list of names.", "tools")
    return {"label": label, "only": only}


def stop(value: Any) -> list[str]:
    """Stop texts, from a text or a list of texts."""
    found = [value] if isinstance(value, str) else value if value is not None else []
    if (
        not isinstance(found, list)
        or len(found) > MAX_STOPS
        or not all(isinstance(item, str) and 0 < len(item) <= 200 for item in found)
    ):
        raise Invalid(f"'stop' is a text or a list of at most {MAX_STOPS} texts.", "stop")
    return found


def prompts(given: Any, name: str, most: int) -> list[str]:
    """One text or several. Raises Invalid, also for lists of token numbers."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise Invalid(f"{name!r} is a text or a list of texts.", name)
    if len(texts) > most:
        raise Invalid(f"{name!r} has more than {most} texts.", name)
    field = Field(name, "string", "", required=True)
    return [field.check(text) for text in texts]


# -- writing -----------------------------------------------------------------------------------


async def last(source: AsyncGenerator[Json, None]) -> Json:
    """The result of a request whose pieces nobody wants."""
    result: Json = {}
    async with contextlib.aclosing(source) as found:
        async for message in found:
            result = message.get("result", result)
    return result


def marks(result: Json, wanted: bool = True) -> str:
    """What is put behind an answer's text for clients that show text only: `[1]` and its source."""
    citations = result.get("citations") or ()
    if not wanted or not citations or result.get("finish_reason") == "length":
        return ""
    signs = "".join(f"[{item['mark']}]" for item in citations)
    sources = "\n".join(f"[{item['mark']}] {item['locator']}" for item in citations)
    return f" {signs}\n\n{sources}"


def extension(result: Json) -> Json:
    """What other servers do not have: where the answer comes from. Clients ignore or show it."""
    names = ("carried_by", "citations", "version", "base", "supported", "note", "seconds")
    found = {name: result[name] for name in names if name in result}
    if result.get("confidence"):
        found["confidence"] = result["confidence"]
    if result.get("id"):
        found["id"] = result["id"]  # for feedback
    if result.get("mcp_calls"):
        found["mcp_calls"] = result["mcp_calls"]
    return found | {"carried": _CARRIES.get(str(result.get("carried_by")), "nobody")}


def wants_marks(raw: Mapping[str, Any], plain: bool) -> bool:
    """Whether the text ends with its sources: not in a JSON form, nor when the client asks for
    `"nightschool": {"marks": false}`."""
    own = raw.get("nightschool")
    return plain and not (isinstance(own, dict) and own.get("marks") is False)
