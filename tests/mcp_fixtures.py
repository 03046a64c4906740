"""What MCP's conformance suite calls by name: tools, prompts and resources for tests only.

They are added to the real server of `nightschool.serve.mcp` by the benchmark that runs the suite,
and stand in no normal start (`tests/test_mcp.py` holds that). Names and texts are those
that the suite's scenarios look for.
"""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.types import (
    AudioContent,
    ClientCapabilities,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingCapability,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

warnings.filterwarnings("ignore", category=MCPDeprecationWarning)

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
STEP_S = 0.05
MISSING_CAPABILITY = -32021


def add(server: MCPServer[Any]) -> None:
    """All fixtures, on a server that serves its own tools too."""
    _contents(server)
    _talking_back(server)
    _asking_again(server)
    _resources(server)
    _prompts(server)
    _plumbing(server)
    for made in (*server._tool_manager._tools.values(), *server._prompt_manager._prompts.values()):
        made.description = made.description or "A fixture of the conformance suite."


def _contents(server: MCPServer[Any]) -> None:
    """One tool for each kind of content."""

    @server.tool()
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool()
    def test_image_content() -> list[ImageContent]:
        return [ImageContent(type="image", data=PNG, mime_type="image/png")]

    @server.tool()
    def test_audio_content() -> list[AudioContent]:
        return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]

    @server.tool()
    def test_embedded_resource() -> list[EmbeddedResource]:
        return [_embedded("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool()
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        return [
            TextContent(type="text", text="Multiple content types test:"),
            ImageContent(type="image", data=PNG, mime_type="image/png"),
            _embedded(
                "test://mixed-content-resource", '{"test":"data","value":123}', "application/json"
            ),
        ]

    @server.tool()
    def test_error_handling() -> str:
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool()
    def test_headers(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "",
        value: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Value"})] = 0,
    ) -> str:
        return f"{region} {value}"

    @server.tool()
    def json_schema_2020_12_tool(name: str = "") -> str:
        return name

    # The suite looks whether keywords that pydantic never writes reach the client unchanged.
    server._tool_manager._tools["json_schema_2020_12_tool"].parameters = SCHEMA_2020_12


class _Person(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class _Defaults(BaseModel):
    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(
        default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]}
    )
    verified: bool = Field(default=True)


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": const, "title": title} for const, title in pairs]


class _Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(
        json_schema_extra={
            "oneOf": _titled(("value1", "First"), ("value2", "Second"), ("value3", "Third"))  # type: ignore[dict-item]
        }
    )
    untitledMulti: list[str] = Field(
        json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2", "option3"]}}
    )
    titledMulti: list[str] = Field(
        json_schema_extra={
            "items": {"anyOf": _titled(("value1", "First"), ("value2", "Second"))}  # type: ignore[dict-item]
        }
    )
    legacyEnum: str = Field(
        json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]}
    )


def _talking_back(server: MCPServer[Any]) -> None:
    """Tools that report, log, or ask the client while they run (2025-11-25 and older)."""

    async def log(context: Context[Any, Any], text: str) -> None:
        await context.info(text)

    async def elicited(context: Context[Any, Any], message: str, schema: type[BaseModel]) -> str:
        found = await context.elicit(message=message, schema=schema)
        data = found.data.model_dump_json() if found.action == "accept" else "{}"
        return f"action={found.action}, content={data}"

    @server.tool()
    async def test_tool_with_logging(context: Context[Any, Any]) -> str:
        await log(context, "Tool execution started")
        await asyncio.sleep(STEP_S)
        await log(context, "Tool processing data")
        await asyncio.sleep(STEP_S)
        await log(context, "Tool execution completed")
        return "Tool with logging executed successfully"

    @server.tool()
    async def test_logging_tool(context: Context[Any, Any]) -> str:
        await log(context, "A message that nobody may get who did not ask for it")
        return "logged"

    @server.tool()
    async def test_tool_with_progress(context: Context[Any, Any]) -> str:
        for done in (0, 50, 100):
            await context.report_progress(done, 100)
            await asyncio.sleep(STEP_S)
        return "done"

    @server.tool()
    async def test_sampling(prompt: str, context: Context[Any, Any]) -> str:
        message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        found = await context.session.create_message(
            [message], max_tokens=100, related_request_id=context.request_id
        )
        assert isinstance(found.content, TextContent)
        return f"LLM response: {found.content.text}"

    @server.tool()
    async def test_elicitation(message: str, context: Context[Any, Any]) -> str:
        return f"User response: {await elicited(context, message, _Person)}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(context: Context[Any, Any]) -> str:
        return f"Elicitation completed: {await elicited(context, 'Review the defaults', _Defaults)}"

    @server.tool()
    async def test_elicitation_sep1330_enums(context: Context[Any, Any]) -> str:
        return f"Elicitation completed: {await elicited(context, 'Choose', _Choices)}"

    @server.tool()
    async def test_missing_capability(context: Context[Any, Any]) -> str:
        if not context.session.check_client_capability(
            ClientCapabilities(sampling=SamplingCapability())
        ):
            raise MCPError(
                MISSING_CAPABILITY,
                "This tool needs the client's sampling.",
                {"requiredCapabilities": {"sampling": {}}},
            )
        return "sampling is there"

    @server.tool()
    async def test_trigger_tool_change(context: Context[Any, Any]) -> str:
        await context.notify_tools_changed()
        return "said so"

    @server.tool()
    async def test_trigger_prompt_change(context: Context[Any, Any]) -> str:
        await context.notify_prompts_changed()
        return "said so"


def _question(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(text: str, most: int) -> CreateMessageRequest:
    said = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[said], max_tokens=most))


def _answer(context: Context[Any, Any], key: str) -> ElicitResult | None:
    given = (context.input_responses or {}).get(key)
    return given if isinstance(given, ElicitResult) and given.action == "accept" else None


def _asking_again(server: MCPServer[Any]) -> None:
    """Tools that answer "I need more" and go on when they are called again (2026-07-28)."""

    async def greet(context: Context[Any, Any]) -> str | InputRequiredResult:
        found = _answer(context, "user_name")
        if found is None or not (found.content or {}).get("name"):
            asked = _question("What is your name?", "name")
            return InputRequiredResult(input_requests={"user_name": asked})
        return f"Hello, {(found.content or {})['name']}!"

    server.tool(name="test_input_required_result_elicitation")(greet)
    server.tool(name="test_streaming_elicitation")(greet)

    @server.tool()
    async def test_input_required_result_sampling(
        context: Context[Any, Any],
    ) -> str | InputRequiredResult:
        given = (context.input_responses or {}).get("capital_question")
        if not isinstance(given, CreateMessageResult):
            asked = _sample("What is the capital of France?", 100)
            return InputRequiredResult(input_requests={"capital_question": asked})
        return str(getattr(given.content, "text", ""))

    @server.tool()
    async def test_input_required_result_list_roots(
        context: Context[Any, Any],
    ) -> str | InputRequiredResult:
        given = (context.input_responses or {}).get("client_roots")
        if not isinstance(given, ListRootsResult):
            return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
        return ", ".join(str(root.uri) for root in given.roots)

    async def confirmed(context: Context[Any, Any]) -> str | InputRequiredResult:
        if _answer(context, "confirm") is None or context.request_state != "asked":
            asked = _question("Please confirm", "ok", "boolean")
            return InputRequiredResult(input_requests={"confirm": asked}, request_state="asked")
        return "state-ok"

    server.tool(name="test_input_required_result_request_state")(confirmed)
    server.tool(name="test_input_required_result_tampered_state")(confirmed)

    @server.tool()
    async def test_input_required_result_multiple_inputs(
        context: Context[Any, Any],
    ) -> str | InputRequiredResult:
        given = context.input_responses or {}
        if not {"user_name", "greeting", "client_roots"} <= set(given):
            return InputRequiredResult(
                input_requests={
                    "user_name": _question("What is your name?", "name"),
                    "greeting": _sample("Generate a greeting", 50),
                    "client_roots": ListRootsRequest(),
                },
                request_state="asked",
            )
        return "all three came"

    @server.tool()
    async def test_input_required_result_multi_round(
        context: Context[Any, Any],
    ) -> str | InputRequiredResult:
        if context.request_state == "second" and _answer(context, "step2") is not None:
            return "both steps are done"
        if context.request_state == "first" and _answer(context, "step1") is not None:
            asked = _question("Step 2: What is your favorite color?", "color")
            return InputRequiredResult(input_requests={"step2": asked}, request_state="second")
        asked = _question("Step 1: What is your name?", "name")
        return InputRequiredResult(input_requests={"step1": asked}, request_state="first")

    @server.tool()
    async def test_input_required_result_capabilities(
        context: Context[Any, Any],
    ) -> str | InputRequiredResult:
        declared = context.client_capabilities
        asked: dict[str, Any] = {}
        if declared is not None and declared.sampling is not None:
            asked["sample"] = _sample("Say something", 20)
        if declared is not None and declared.elicitation is not None:
            asked["ask"] = _question("What is your name?", "name")
        return InputRequiredResult(input_requests=asked) if asked else "nothing to ask"


def _resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "Watched resource content"


def _prompts(server: MCPServer[Any]) -> None:
    def said(content: Any) -> dict[str, Any]:
        return {"role": "user", "content": content}

    @server.prompt()
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[dict[str, Any]]:
        inside = _embedded(resourceUri, "Embedded resource content for testing.")
        return [said(inside), said("Please process the embedded resource above.")]

    @server.prompt()
    def test_prompt_with_image() -> list[dict[str, Any]]:
        image = ImageContent(type="image", data=PNG, mime_type="image/png")
        return [said(image), said("Please analyze the image above.")]

    @server.prompt()
    async def test_input_required_result_prompt(context: Context[Any, Any]) -> Any:
        found = _answer(context, "user_context")
        if found is None:
            asked = _question("What context should the prompt use?", "context")
            return InputRequiredResult(input_requests={"user_context": asked})
        return f"Use this context: {(found.content or {}).get('context')}"


def _plumbing(server: MCPServer[Any]) -> None:
    """Completion, subscriptions and the log level, which our own server has no use for."""

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        known = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
        return Completion(values=known, total=len(known), has_more=False)

    async def nothing(context: Any, params: Any) -> EmptyResult:
        return EmptyResult()

    low = server._lowlevel_server
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, nothing)
    low.add_request_handler("resources/unsubscribe", SubscribeRequestParams, nothing)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, nothing)


def _embedded(uri: str, text: str, kind: str = "text/plain") -> EmbeddedResource:
    inside = TextResourceContents(uri=uri, mime_type=kind, text=text)
    return EmbeddedResource(type="resource", resource=inside)
