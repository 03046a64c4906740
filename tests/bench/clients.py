"""Every endpoint of every dialect through real clients, unmodified: openai, ollama, the MCP SDK.

python tests/bench/clients.py [--quick]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "bench")]

import ollama  # noqa: E402
import openai  # noqa: E402
from service_clients import QUESTIONS, mcp_client  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from service_harness import Service, copy_vault, service  # noqa: E402

SCHEMA = {"type": "object", "properties": {"when": {"type": "string", "maxLength": 30}},
          "required": ["when"]}  # fmt: skip
NAMES = ("nightschool", "nightschool:base", "nightschool-raw")


class Tally:
    """Counts what a client did and what was right."""

    def __init__(self, report: Report) -> None:
        self.report, self.right, self.tried = report, 0, 0

    def attempt(self, name: str, work: Callable[[], Any]) -> None:
        self.tried += 1
        try:
            good = bool(work())
        except (openai.OpenAIError, ollama.ResponseError, AssertionError, ValueError) as error:
            self.report.say(f"{name}: {error!r}")
            return
        self.right += good
        if not good:
            self.report.say(f"{name} failed")


def through_openai(tally: Tally, door: Service, questions: tuple[str, ...]) -> None:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=300) as client:
        chat, said = client.chat.completions, [{"role": "user", "content": questions[0]}]
        tally.attempt("models", lambda: "nightschool" in [m.id for m in client.models.list()])
        tally.attempt("model", lambda: client.models.retrieve("nightschool-raw").id)
        for name in NAMES:
            for question in questions:
                told: Any = [{"role": "user", "content": question}]
                whole = chat.create(model=name, messages=told, max_tokens=40)
                text = whole.choices[0].message.content or ""
                tally.attempt(f"chat {name}", lambda w=whole: w.usage.total_tokens > 0)
                streamed = "".join(
                    piece.choices[0].delta.content or ""
                    for piece in chat.create(
                        model=name, messages=told, max_tokens=40, stream=True
                    )
                    if piece.choices
                )  # fmt: skip
                tally.attempt(f"stream {name}", lambda a=streamed, b=text: a.strip() == b.strip())
            tally.attempt(
                f"completion {name}",
                lambda n=name: client.completions.create(
                    model=n, prompt=questions[0], max_tokens=8
                ).choices[0].finish_reason,
            )  # fmt: skip
            tally.attempt(
                f"response {name}",
                lambda n=name: client.responses.create(model=n, input=questions[0]).output_text,
            )
            tally.attempt(
                f"response stream {name}",
                lambda n=name: [
                    event.type
                    for event in client.responses.create(model=n, input=questions[0], stream=True)
                ][-1].startswith("response."),
            )
            form: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}
            tally.attempt(
                f"schema {name}",
                lambda n=name, f=form: set(
                    json.loads(
                        chat.create(model=n, messages=said, response_format=f, max_tokens=80)  # type: ignore[arg-type]
                        .choices[0].message.content
                    )
                ) == {"when"},
            )  # fmt: skip
        tally.attempt(
            "logprobs",
            lambda: chat.create(
                model="nightschool-raw", messages=said, logprobs=True, top_logprobs=2, max_tokens=3,  # type: ignore[arg-type]
            ).choices[0].logprobs.content,
        )  # fmt: skip
        tally.attempt(
            "embeddings",
            lambda: len(client.embeddings.create(model="nightschool", input=["a", "b"]).data) == 2,
        )
        options_and_errors(tally, client, said)
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key="x", max_retries=0) as client:
        try:
            client.models.list()
            tally.attempt("401", lambda: False)
        except openai.AuthenticationError:
            tally.attempt("401", lambda: True)


def options_and_errors(tally: Tally, client: openai.OpenAI, said: Any) -> None:
    """Seed, stop, JSON, usage of a stream, and requests that are refused."""
    create: Any = client.chat.completions.create

    def text(model: str = "nightschool-raw", **options: Any) -> str:
        done = create(model=model, messages=said, **options).choices[0]
        return done.message.content or ""

    def seeded() -> bool:
        drawn = {"max_tokens": 12, "temperature": 0.9}
        return text(seed=7, **drawn) == text(seed=7, **drawn)

    def stopped() -> bool:
        whole = text("nightschool")
        word = whole[len(whole) // 2 :][:5]
        return bool(word) and word not in text("nightschool", stop=[word])

    def formed() -> bool:
        form = {"type": "json_object"}
        done = create(model="nightschool-raw", messages=said, response_format=form, max_tokens=200)
        whole = done.choices[0].finish_reason == "stop"
        return not whole or isinstance(json.loads(done.choices[0].message.content), dict)

    def counted() -> bool:
        told = {"stream": True, "stream_options": {"include_usage": True}}
        *_, last = create(model="nightschool", messages=said, **told)
        return bool(last.usage.total_tokens > 0)

    tally.attempt("seed", seeded)
    tally.attempt("stop", stopped)
    tally.attempt("json object", formed)
    tally.attempt("usage of a stream", counted)
    long = [{"role": "user", "content": "One word after another. " * 5000}]
    for name, status, model, messages in (
        ("unknown model", 404, "nobody", said),
        ("no messages", 400, "nightschool", []),
        ("a message of no role", 400, "nightschool", [{"content": "x"}]),
        ("oversized", 400, "nightschool-raw", long),
    ):

        def refused(status: int = status, model: str = model, messages: Any = messages) -> bool:
            try:
                create(model=model, messages=messages)
            except openai.APIStatusError as error:
                body: Any = error.body
                return error.status_code == status and {"message", "type", "code"} <= set(body)
            return False

        tally.attempt(name, refused)


def through_ollama(tally: Tally, door: Service, questions: tuple[str, ...]) -> None:
    headers = {"Authorization": f"Bearer {door.token}"}
    with ollama.Client(host=door.url, headers=headers, timeout=300) as llama:
        limit = {"num_predict": 40}
        tally.attempt("tags", lambda: len(llama.list().models) >= 3)
        for name in NAMES:
            told = [{"role": "user", "content": questions[0]}]
            whole = llama.chat(model=name, messages=told, options=limit)
            tally.attempt(f"chat {name}", lambda w=whole: w.done and w.eval_count is not None)
            lines = list(llama.chat(model=name, messages=told, options=limit, stream=True))
            text = "".join(line.message.content or "" for line in lines)
            tally.attempt(
                f"chat stream {name}",
                lambda a=text, b=whole: a.strip() == (b.message.content or "").strip(),
            )
            tally.attempt(f"show {name}", lambda n=name: llama.show(n).details.family == "llama")  # type: ignore[union-attr]
            tally.attempt(
                f"generate {name}",
                lambda n=name: llama.generate(model=n, prompt=questions[0], options=limit).done,
            )
            tally.attempt(
                f"generate schema {name}",
                lambda n=name: set(
                    json.loads(llama.generate(model=n, prompt="When?", format=SCHEMA).response)
                ) == {"when"},
            )  # fmt: skip
        tally.attempt("ps", lambda: len(llama.ps().models) == 1)
        tally.attempt("embed", lambda: len(llama.embed("nightschool", ["a", "b"]).embeddings) == 2)
        tally.attempt("embeddings", lambda: len(llama.embeddings("nightschool", "a").embedding))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    questions = QUESTIONS[:1] if options.quick else QUESTIONS
    with service() as door, tempfile.TemporaryDirectory() as folder:
        door.watch(copy_vault(Path(folder)))
        for name, work in (("openai", through_openai), ("ollama", through_ollama)):
            tally = Tally(report)
            work(tally, door, questions)
            report.exactly(f"{name}_wrong_calls", tally.tried - tally.right, 0, tally.tried)
        for transport in ("http", "stdio"):
            for mode in ("legacy", "2026-07-28"):
                right, _ = asyncio.run(mcp_client(door, transport, mode, 1))
                report.exactly(f"mcp_{transport}_{mode}_calls_right", right, 7, 7)
    report.say("MCP's conformance suite and Inspector need Node: see tests/bench/conformance.py")
    report.finish()


if __name__ == "__main__":
    main()
