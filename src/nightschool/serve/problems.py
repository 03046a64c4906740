"""How an error looks over HTTP: one JSON shape, the OpenAI dialect's, on every route but Ollama's.

{"error": {"message": "...", "type": "invalid_request_error", "param": null,
           "code": "not_found", "remedy": "..."}}

Under /api it is {"error": "..."}, as Ollama's clients expect it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from nightschool import errors

RETRY_S = 1
"""What a client is told to wait when a child died: it is restarted by the next request."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer."""

    status: int
    code: str
    message: str
    remedy: str = ""
    param: str | None = None
    retry_s: int | None = None

    def body(self) -> dict[str, Any]:
        kind = {
            401: "authentication_error",
            403: "permission_error",
            429: "rate_limit_error",
        }.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        text = f"{self.message} {self.remedy}".strip()
        return {
            "error": {
                "message": text,
                "type": kind,
                "param": self.param,
                "code": self.code,
                "remedy": self.remedy,
            }
        }

    def plain(self) -> dict[str, Any]:
        """The body in Ollama's shape."""
        return {"error": f"{self.message} {self.remedy}".strip()}

    def response(self, path: str = "") -> Response:
        """The answer on this path, in the shape of its dialect."""
        headers = {}
        if self.retry_s is not None:
            headers["Retry-After"] = str(self.retry_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = self.plain() if path.startswith("/api/") else self.body()
        return JSONResponse(body, self.status, headers)


_STATUS: tuple[tuple[type[errors.NightschoolError], int, str], ...] = (
    (errors.NotFound, 404, "not_found"),
    (errors.UsageError, 400, "bad_request"),
    (errors.TooLittle, 409, "too_little"),
    (errors.Refused, 409, "refused"),
    (errors.SourceError, 409, "source_unavailable"),
    (errors.Interrupted, 503, "interrupted"),
    (errors.ChildError, 503, "engine_unavailable"),
    (errors.ModelError, 503, "model_unavailable"),
    (errors.StoreError, 503, "store_unavailable"),
)


def of(error: errors.NightschoolError) -> Problem:
    """The problem that tells a client of `error`; a dead child is worth another try."""
    if isinstance(error, Invalid):
        return Problem(400, "bad_request", error.message, error.remedy, error.param)
    if isinstance(own := getattr(error, "problem", None), Problem):
        return own
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            retry = RETRY_S if isinstance(error, errors.ChildError | errors.Interrupted) else None
            return Problem(status, code, error.message, error.remedy, retry_s=retry)
    return Problem(500, "failed", error.message, error.remedy)


class Invalid(errors.UsageError):
    """A request field is missing or wrong; `param` names it."""

    def __init__(self, message: str, param: str | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.param = param
