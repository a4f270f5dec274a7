"""Error replies of the service: JSON with the problem and its remedy."""

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
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    404: "The image does not exist, or has expired.",
    405: "The path does not support this method.",
    408: "The body did not arrive in time.",
    413: "The body or an image has too many bytes.",
    415: "The content type or image format is not supported.",
    422: "The input is invalid; `error` says why.",
    429: "Too many requests are waiting.",
    503: "The service is stopping, the answer took too long, or the model returned no number.",
}
"""Status -> its description in OpenAPI."""
_DESCRIBED = "see /openapi.json for the form of requests"


class ServiceError(Exception):
    """A request that the service refuses.

    Args:
        status: HTTP status of the reply.
        problem, remedy: texts of the reply.
        retry_after: value of the Retry-After header, in seconds.
        headers: further headers of the reply.
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
    """Error replies of an endpoint, for its OpenAPI description."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in sorted(statuses)}


def install(app: FastAPI) -> None:
    """Turn every error of an application into such a reply."""

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
            404: "no such path",
            405: "this path does not support the method",
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
    """One error of a request, without the input, which may be long or not be text."""
    invalid = error["type"] == "json_invalid"
    # In invalid JSON, the location is a number of characters.
    places = [] if invalid else [str(part)[:40] for part in error["loc"] if part != "body"]
    flaw = f"is not valid JSON ({error['ctx']['error']})" if invalid else error["msg"].removeprefix("Value error, ")
    if not invalid and error["loc"] == ("body",):
        flaw = "expected a JSON object; send it with the header Content-Type: application/json"
    text = f"{'.'.join(places) or 'the body'}: {flaw}"
    return text.encode("utf-8", "replace").decode("utf-8")[:300]
