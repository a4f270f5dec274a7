"""What the service answers where it cannot do what was asked: JSON with the problem and its remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twelve.errors import TwelveError
from twelve.web.schemas import Problem

MEANINGS = {
    400: "the request is malformed",
    401: "the service wants a token, and this is not it",
    404: "no such image: it expired, or was never here",
    405: "there is nothing of this kind here",
    408: "the body did not arrive in time",
    413: "too many bytes",
    415: "a kind of content that is not read",
    422: "what was sent cannot be used; says why",
    429: "too many requests are waiting",
    503: "the service is stopping, the answer took too long, or the model gives none",
}
"""Status -> what it means, for people."""
_DESCRIBED = "see /openapi.json for what is read"
_FLAWS = {
    "missing": "is missing",
    "extra_forbidden": "is no key that is read here",
    "string_type": "must be a text",
    "string_too_short": "is empty",
    "string_too_long": "has more than {max_length:,} characters",
    "string_unicode": "has half a character",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "is too short: at least {min_length}",
    "too_long": "is too long: at most {max_length}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "bool_type": "must be true or false",
    "literal_error": "must be {expected}",
    "json_invalid": "is no JSON ({error})",
    "value_error": "{error}",
}
"""Pydantic's name of a flaw -> what is said of it; of the others, what pydantic says."""


class ServiceError(Exception):
    """A request that is refused.

    Args:
        status: of the reply.
        problem, remedy: for the person who sent it.
        retry_after: seconds after which to try again.
        headers: further ones of the reply.
    """

    def __init__(
        self,
        status: int,
        problem: str,
        remedy: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem)
        self.status, self.problem, self.remedy = status, problem, remedy
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def reply(self) -> JSONResponse:
        """The JSON reply."""
        return reply(self.status, self.problem, self.remedy, self.headers)


def reply(
    status: int, problem: str, remedy: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A JSON reply of :class:`twelve.web.schemas.Problem`."""
    return JSONResponse(Problem(error=problem, remedy=remedy).model_dump(), status, dict(headers or {}))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Replies that the OpenAPI description of an endpoint lists."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in sorted(statuses)}


def install(app: FastAPI) -> None:
    """Make every error of an application one of these replies."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        return error.reply()

    async def mistaken(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TwelveError)
        return reply(422, error.problem, error.remedy)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return reply(422, "; ".join(map(_said, error.errors()[:3])) or "the request is malformed", _DESCRIBED)

    async def other(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        known = {
            400: "the body cannot be read",
            404: "there is nothing at this address",
            405: "this address does not take this method",
        }
        problem = known.get(error.status_code, str(error.detail))
        return reply(error.status_code, problem, _DESCRIBED, error.headers)

    handlers: list[tuple[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]]] = [
        (ServiceError, refused),
        (TwelveError, mistaken),
        (RequestValidationError, invalid),
        (HTTPException, other),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def _said(error: Mapping[str, Any]) -> str:
    """One flaw of a request; never what was sent, which may be of any length and no text at all."""
    kind = error["type"]
    # Of text that is no JSON, the place is a number of characters.
    places = [] if kind == "json_invalid" else [str(part)[:40] for part in error["loc"] if part != "body"]
    flaw = _FLAWS[kind].format(**error.get("ctx", {})) if kind in _FLAWS else str(error["msg"])
    text = f"{'.'.join(places) or 'the body'}: {flaw}"
    return text.encode("utf-8", "replace").decode("utf-8")[:300]
