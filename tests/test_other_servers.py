"""Tools of MCP servers that the user added: real servers, with a scripted and a real model."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from command import nightschool
from nightschool.daemon import servers, toolbox
from nightschool.daemon.servers import OtherServer
from nightschool.daemon.toolbox import Wanted
from nightschool.errors import ChildError, NotFound, StoreError, UsageError
from nightschool.paths import Home
from service_harness import service
from tool_model import with_template

SCRIPT = str(Path(__file__).with_name("other_server.py"))


def other(log: Path, *allow: str) -> OtherServer:
    return OtherServer("gauge", sys.executable, (SCRIPT, str(log)), allow)


class Scripted:
    """A model that calls what its script says, and remembers what it was shown."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.calls, self.asked = list(calls), list[Mapping[str, Any]]()

    async def __call__(self, params: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        self.asked.append(params)
        call = self.calls[len(self.asked) - 1] if len(self.asked) <= len(self.calls) else None
        if call is None or not params.get("tools"):
            yield {"delta": "done"}
        found = [{"name": call[0], "arguments": call[1]}] if call and params.get("tools") else []
        text = "" if found else "done"
        yield {"result": {"text": text, "tool_calls": found, "tokens": 2, "prompt_tokens": 5}}


def talk(
    home: Home, wanted: Sequence[Wanted], model: Scripted, **more: Any
) -> tuple[str, dict[str, Any]]:
    async def run() -> tuple[str, dict[str, Any]]:
        text, result = "", {}
        params = {"messages": [{"role": "user", "content": "When is high tide?"}], **more}
        async for message in toolbox.converse(home, wanted, params, model):
            text += message.get("delta", "")
            result = message.get("result", result)
        return text, result

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_the_model_calls_an_added_servers_tool_and_goes_on_with_what_it_said(
    home: Home, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    model = Scripted(("gauge__tide", {"town": "Almere"}), ("gauge__broken", {}))
    text, result = talk(home, [Wanted(other(log))], model, tool_choice="required")
    assert (text, result["text"]) == ("done", "done")
    assert log.read_text().splitlines() == ["tide Almere", "broken"]
    first, second, third = model.asked
    assert {tool["function"]["name"] for tool in first["tools"]} == {"gauge__tide", "gauge__broken"}
    assert (first["tool_choice"], second["tool_choice"]) == ("required", "auto")
    said = second["messages"][-1]
    assert said["role"] == "tool" and "14:07" in said["content"]
    assert len(said["content"]) <= toolbox.LONGEST
    assert "gauge is gone" in third["messages"][-1]["content"]
    assert [(c["tool"], c["failed"]) for c in result["mcp_calls"]] == [
        ("tide", False), ("broken", True)]  # fmt: skip
    assert (result["prompt_tokens"], result["tokens"]) == (15, 6)


def test_a_tool_that_may_change_something_is_offered_only_when_the_user_allowed_it(
    home: Home, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    model = Scripted(("gauge__wipe", {"what": "all"}))
    _, result = talk(home, [Wanted(other(log))], model)
    # The call is nobody's whom we serve: it goes back to the client, and nothing was wiped.
    assert not log.exists() and result["tool_calls"][0]["name"] == "gauge__wipe"
    model = Scripted(("gauge__wipe", {"what": "all"}))
    talk(home, [Wanted(other(log, "wipe"), frozenset({"wipe"}))], model)
    assert log.read_text() == "wipe all\n"
    assert [tool["function"]["name"] for tool in model.asked[0]["tools"]] == ["gauge__wipe"]


def test_a_model_that_never_stops_calling_is_stopped(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = Scripted(*[("gauge__tide", {"town": str(n)}) for n in range(50)])
    text, result = talk(home, [Wanted(other(log))], model)
    assert text == "done" and len(result["mcp_calls"]) == toolbox.ROUNDS
    assert "tools" not in model.asked[-1]


def test_a_server_that_does_not_start_is_said_to_the_client(home: Home) -> None:
    dead = OtherServer("dead", sys.executable, ("-c", "raise SystemExit(3)"))
    with pytest.raises(ChildError, match="dead did not start"):
        talk(home, [Wanted(dead)], Scripted())
    with pytest.raises(ChildError, match="did not start"):
        talk(home, [Wanted(OtherServer("gone", "/no/such/program"))], Scripted())


def test_added_servers_are_kept_privately_and_checked(home: Home, tmp_path: Path) -> None:
    assert servers.load(home) == {}
    servers.add(home, other(tmp_path / "log", "wipe"))
    assert servers.find(home, "gauge") == other(tmp_path / "log", "wipe")
    if os.name == "posix":
        assert stat.S_IMODE(home.servers.stat().st_mode) == 0o600
    for bad in ("", "a b", "../x", "x" * 30):
        with pytest.raises(UsageError):
            servers.add(home, OtherServer(bad, "x"))
    servers.remove(home, "gauge")
    with pytest.raises(NotFound):
        servers.remove(home, "gauge")
    for text in ("{", "[]", '{"mcpServers": {"a": {"args": []}}}',
                 '{"mcpServers": {"a": {"command": "x", "args": [1]}}}'):  # fmt: skip
        home.servers.write_text(text)
        with pytest.raises(StoreError):
            servers.load(home)


def test_a_request_reaches_an_added_server_through_the_whole_service(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = with_template(tmp_path / "tools.gguf")
    with service(environment={"NIGHTSCHOOL_MODEL": str(model)}) as door:
        done = nightschool(
            door.home.root, "mcp", "add", "gauge", "--json", "--", sys.executable, SCRIPT, str(log)
        )
        assert done.code == 0, done.error
        assert done.json["tools"] == ["gauge__tide", "gauge__broken"]
        assert done.json["not_offered"] == ["wipe"]
        named: Any = {"type": "mcp", "server_label": "gauge", "allowed_tools": ["tide"]}
        with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=120) as client:

            def ask(name: str, tool: Any, **more: Any) -> Any:
                said: Any = [{"role": "user", "content": "When is high tide in Almere?"}]
                return client.chat.completions.create(
                    model=name, messages=said, tools=[tool], max_tokens=120, **more
                )

            reply = ask("nightschool-raw", named, tool_choice="required")
            (call,) = reply.nightschool["mcp_calls"][:1]
            assert (call["server"], call["tool"]) == ("gauge", "tide")
            assert log.read_text().startswith("tide ")
            assert reply.choices[0].finish_reason in ("stop", "length")
            spoken = client.responses.create(
                model="nightschool-raw", input="Tide?", tools=[named], tool_choice="required",
                max_output_tokens=120,
            )  # fmt: skip
            assert spoken.status in ("completed", "incomplete")
            assert log.read_text().count("tide ") >= 2
            with pytest.raises(openai.BadRequestError, match="together with your files"):
                ask("nightschool", named)  # no passage of a file may cause a call
            with pytest.raises(openai.NotFoundError, match="No MCP server"):
                ask("nightschool-raw", named | {"server_label": "other"})
            with pytest.raises(openai.BadRequestError, match="addresses are not taken"):
                ask("nightschool-raw", named | {"server_url": "http://127.0.0.1:9/mcp"})
