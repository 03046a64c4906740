"""Goal G1c: a cut stream stops the work in the new revision and not in the old one (G1b: stdio)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from nightschool.serve.mount import McpMount
from service_harness import until
from slow_door import LEGACY, MODERN, Slow, Stream, slow_door


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Slow, int]]:
    slow = Slow()
    with slow_door(slow) as port:
        yield slow, port


def progress(stream: Stream) -> Iterator[float]:
    for event in stream.events():
        if event.get("method") == "notifications/progress":
            yield event["params"]["progress"]


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_cut_stream_is_a_cancellation_in_the_new_revision(
    served: tuple[Slow, int], after: int
) -> None:
    slow, port = served
    before = len(slow.calls)
    stream = Stream(port, MODERN)
    stream.call("x")
    seen = list(itertools.islice(progress(stream), after))
    until(lambda: len(slow.calls) > before, 10, "the question reached the service")
    cut = stream.cut()
    call = slow.calls[-1]
    until(lambda: call.ended_at, 2, "the work stopped")
    assert call.ended_at - cut <= 1.0 and not call.finished
    assert seen == sorted(set(seen)) and len(seen) == after


def test_a_cut_stream_is_no_cancellation_in_the_old_revision(served: tuple[Slow, int]) -> None:
    slow, port = served
    stream = Stream(port, LEGACY)
    stream.call("x")
    next(progress(stream))
    stream.cut()
    call = slow.calls[-1]
    until(lambda: call.ended_at, 20, "the work ended")
    assert call.finished and call.steps == slow.steps


def test_progress_ends_with_the_answer(served: tuple[Slow, int]) -> None:
    _, port = served
    stream = Stream(port, MODERN)
    stream.call("x")
    events = list(stream.events())
    stream.cut()
    steps = [e["params"]["progress"] for e in events[:-1]]
    assert steps == sorted(set(steps)) and len(steps) >= 3
    assert events[-1]["result"]["structuredContent"]["text"] == "a"


def test_g0_a_door_that_does_not_hear_the_cut_is_seen(
    served: tuple[Slow, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hearing = McpMount.__call__

    async def deaf(self: McpMount, scope: Any, receive: Any, send: Any) -> None:
        async def only_body() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                await asyncio.Event().wait()
            return message

        await hearing(self, scope, only_body, send)

    monkeypatch.setattr(McpMount, "__call__", deaf)
    with pytest.raises(AssertionError):
        test_a_cut_stream_is_a_cancellation_in_the_new_revision(served, 1)
