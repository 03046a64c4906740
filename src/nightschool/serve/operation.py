"""One method of one native path: what the router and the OpenAPI description are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from nightschool.serve.fields import Field
from nightschool.serve.service import Json, Service

Handler = Callable[[Service, Json], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `call` takes the service and the checked values."""

    method: str
    path: str
    name: str
    about: str
    call: Handler
    fields: tuple[Field, ...] = ()
    returns: str = ""
    status: int = 200


async def named(name: str, value: Awaitable[Any]) -> Json:
    """A list becomes an object with one member, so that more can be added beside it."""
    return {name: await value}
