"""The queue before the engine is fair, bounded, and loses no place to a client that left."""

from __future__ import annotations

import asyncio

import pytest

from nightschool.errors import ChildError
from nightschool.serve import turns
from nightschool.serve.turns import Turns, name_of


def test_clients_take_turns_and_each_ones_oldest_goes_first() -> None:
    async def play() -> list[str]:
        queue, order = Turns(at_once=1), []
        gate = asyncio.Event()

        async def work(client: str, number: int) -> None:
            async with queue.turn(client):
                order.append(f"{client}{number}")
                await gate.wait()

        first = asyncio.create_task(work("greedy", 0))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(work("greedy", n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        rest += [asyncio.create_task(work("modest", n)) for n in range(2)]
        await asyncio.sleep(0)
        assert queue.waiting == 7
        gate.set()
        await asyncio.gather(first, *rest)
        return order

    order = asyncio.run(play())
    assert order[:5] == ["greedy0", "greedy1", "modest0", "greedy2", "modest1"]
    assert order[5:] == ["greedy3", "greedy4", "greedy5"]


def test_whoever_leaves_while_waiting_or_working_gives_the_place_back() -> None:
    async def play() -> None:
        queue = Turns(at_once=1)
        gate = asyncio.Event()

        async def work() -> None:
            async with queue.turn("x"):
                await gate.wait()

        tasks = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()  # it waits
        tasks[0].cancel()  # it works
        await asyncio.sleep(0.01)
        tasks[2].cancel()  # its turn came in this moment
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.wait_for(tasks[3], 2)
        assert queue.waiting == 0 and queue._inside == 0

    asyncio.run(play())


def test_a_queue_that_is_full_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 2)

    async def play() -> None:
        queue = Turns(at_once=1)
        async with queue.turn("a"):
            waiting = [asyncio.create_task(_take(queue)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(ChildError, match="Too many requests"):
                async with queue.turn("b"):
                    pass
        await asyncio.gather(*waiting)

    asyncio.run(play())


async def _take(queue: Turns) -> None:
    async with queue.turn("a"):
        pass


def test_a_clients_name_is_what_it_calls_itself() -> None:
    agent = (b"user-agent", b"OpenAI/Python")
    assert name_of([agent]) == "OpenAI/Python"
    assert name_of([agent, (b"x-client-name", b"editor")]) == "editor"
    assert name_of([]) == ""
