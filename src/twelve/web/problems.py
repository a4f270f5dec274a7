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
    404: "no such picture: it expired, or was never here",
    405: "there is nothing of this kind here",
    408: "the body did not arrive in time",
    413: "too many bytes",
    415: "a kind of content that is not read",
    422: "what was sent cannot be used; says why",
    429: "too many requests are waiting",
    503: "the service is stopping, or the answer took too long",
}
"""Status -> what it means, for people."""


class ServiceError(Exception):
    """A request that is refused.

    Args:
        status: of the reply.
        problem, remedy: for the person who sent it.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, problem: str, remedy: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(problem)
        self.status, self.problem, self.remedy, self.retry_after = status, problem, remedy, retry_after

    def reply(self) -> JSONResponse:
        """The JSON reply."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return reply(self.status, self.problem, self.remedy, headers)


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
        return reply(422, "; ".join(map(_said, error.errors()[:3])) or "the request is malformed")

    async def other(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return reply(error.status_code, str(error.detail), headers=error.headers)

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
    place = ".".join(str(part)[:40] for part in error["loc"] if part != "body")
    text = f"{place}: {error['msg']}" if place else str(error["msg"])
    return text.encode("utf-8", "replace").decode("utf-8")[:300]
