"""Request bodies: one description of each field serves validation and OpenAPI alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from nightschool.serve.problems import Invalid

MAX_TEXT = 100_000
"""Characters in one text field; longer ones could never fit a context anyway."""
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a request body or query. `kind` is a JSON Schema type name."""

    name: str
    kind: str
    about: str
    required: bool = False
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        found: dict[str, Any] = {"type": self.kind, "description": self.about}
        if self.kind == "string":
            found |= {"maxLength": MAX_TEXT}
            if self.required:
                found["minLength"] = 1
        if self.low is not None:
            found["minimum"] = self.low
        if self.high is not None:
            found["maximum"] = self.high
        if self.choices:
            found["enum"] = list(self.choices)
        if self.default is not None:
            found["default"] = self.default
        return found

    def check(self, value: Any) -> Any:
        """The value, or Invalid that names the field and what was expected."""
        wrong = isinstance(value, bool) and self.kind in ("integer", "number")
        if wrong or not isinstance(value, _TYPES[self.kind]):
            raise Invalid(f"{self.name!r} must be of type {self.kind}.", self.name)
        if self.kind == "string":
            if self.required and not value.strip():
                raise Invalid(f"{self.name!r} must not be empty.", self.name)
            if len(value) > MAX_TEXT:
                raise Invalid(f"{self.name!r} is over {MAX_TEXT} characters.", self.name)
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise Invalid(f"{self.name!r} is not valid Unicode text.", self.name)
        if self.choices and value not in self.choices:
            raise Invalid(f"{self.name!r} must be one of {', '.join(self.choices)}.", self.name)
        if self.low is not None and not value >= self.low:
            raise Invalid(f"{self.name!r} must be at least {self.low}.", self.name)
        if self.high is not None and not value <= self.high:
            raise Invalid(f"{self.name!r} must be at most {self.high}.", self.name)
        return value


def read(fields: Sequence[Field], raw: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """All fields' values, defaults filled in. Unknown names are refused when `strict`."""
    known = {field.name for field in fields}
    if strict and (unknown := sorted(set(raw) - known)):
        raise Invalid(f"Unknown field {unknown[0]!r}.", unknown[0])
    values: dict[str, Any] = {}
    for field in fields:
        value = raw.get(field.name)
        if value is None:
            if field.required:
                raise Invalid(f"{field.name!r} is missing.", field.name)
            values[field.name] = field.default
        else:
            values[field.name] = field.check(value)
    return values


def read_query(fields: Sequence[Field], query: Mapping[str, str]) -> dict[str, Any]:
    """Like `read`, for a query string: numbers are parsed first."""
    raw: dict[str, Any] = {}
    kinds = {field.name: field.kind for field in fields}
    for name, text in query.items():
        if kinds.get(name) == "integer":
            if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 15:
                raise Invalid(f"{name!r} must be a whole number.", name)
            raw[name] = int(text)
        else:
            raw[name] = text
    return read(fields, raw)


def schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The object of all fields in JSON Schema."""
    return {
        "type": "object",
        "properties": {field.name: field.schema() for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


async def body(request: Request) -> dict[str, Any]:
    """The JSON object of a request body; an empty body is an empty object."""
    data = await request.body()
    if not data.strip():
        return {}
    try:
        parsed = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(f"The body is not valid JSON: {text}.") from error
    if not isinstance(parsed, dict):
        raise Invalid("The body must be a JSON object.")
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
