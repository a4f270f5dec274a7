"""Error replies of the service: JSON with the problem and its remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twelve.errors import TwelveError, quoted
from twelve.io.invalid import bound, problem_of
from twelve.io.json_file import reason
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
_IMAGE_BYTES = "curl --data-binary @photograph.jpg -H 'Content-Type: image/jpeg'"
"""How to send an image; curl's -d would drop its line breaks."""
_JSON = """curl -H 'Content-Type: application/json' -d '{"image": {"scene": "ID"}, ...}'"""
_IMAGE = (
    'an image is {"scene": "ID"}, the id that POST /api/scenes replied with, or {"image": "..."}, the bytes of a file '
    "in base64"
)
_FORMS = {
    **dict.fromkeys(("image", "left", "right"), '{"scene": "ID"}'),
    "images": '[{"scene": "ID"}]',
    "boxes": "[[x1, y1, x2, y2]]",
    "captions": '["..."]',
    "dialogue": '[{"question": "...", "answer": "yes"}]',
}
"""Fields that are not plain texts, with their form: the value of another field may not fit them."""
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
        found = error.errors()
        problem = "; ".join(_said(each, error.body) for each in found[:3]) or "the request is malformed"
        return reply(422, problem, _remedy(found) or _DESCRIBED)

    async def other(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            problem = f"{request.url.path[:100]} does not support {request.method[:20]}"
            return reply(405, problem, _used(request, allowed), error.headers)
        known = {
            400: "the body cannot be read",
            404: "no such path",
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


def curl(request: Request) -> str:
    """How to send an image to the address of a request."""
    return _addressed(_IMAGE_BYTES, request)


def _used(request: Request, allowed: str) -> str:
    """How to send a request to the same path, which takes these methods."""
    if "POST" not in allowed:
        return f"use {allowed or 'another method'}; {_DESCRIBED}"
    example = _IMAGE_BYTES if request.url.path.endswith("/scenes") else _JSON
    return f"use POST, for example {_addressed(example, request)}; {_DESCRIBED}"


def _addressed(command: str, request: Request) -> str:
    """A command with the token's header, if the request has one, and the request's address."""
    token = " -H 'Authorization: Bearer TOKEN'" if "authorization" in request.headers else ""
    return f"{command}{token} {quoted(str(request.url.replace(query=''))[:200])}"


def _remedy(errors: Sequence[Mapping[str, Any]]) -> str | None:
    """What to do about the first error of a request, where its kind tells."""
    first: Mapping[str, Any] = errors[0] if errors else {"type": "", "loc": ()}
    name = str(first["loc"][-1])[:40] if first["loc"] else ""
    where = first["loc"][:-1]
    missing, extra = (
        [str(each["loc"][-1])[:40] for each in errors if each["type"] == kind and each["loc"][:-1] == where]
        for kind in ("missing", "extra_forbidden")
    )
    remedy = None
    if (most := bound(first)) is not None:
        remedy = f"give a number of {most}"
    elif len(missing) == len(extra) == 1 and name in (*missing, *extra):  # one field under another name
        known = missing[0]
        remedy = f"replace {extra[0]} by {_formed(known)}" if known in _FORMS else f"rename {extra[0]} to {known}"
    elif name in missing:
        remedy = f"add {_formed(name)}; {_DESCRIBED}"
    elif name in extra:
        remedy = f"remove {name}; {_DESCRIBED}"
    return remedy and remedy.encode("utf-8", "replace").decode("utf-8")


def _formed(name: str) -> str:
    """A field, with its form where that is not a plain text."""
    return f'"{name}": {_FORMS[name]}' if name in _FORMS else name


def _place(body: Any, at: Any) -> str:
    """Where in a body of several lines a character is, from its number; empty where it is not known."""
    if not isinstance(body, str) or not isinstance(at, int):
        return ""
    return f" at line {body.count(chr(10), 0, at) + 1}, column {at - body.rfind(chr(10), 0, at)}"


def _said(error: Mapping[str, Any], body: Any) -> str:
    """One error of a request, with the beginning of the input, which may be long or not be text."""
    invalid = error["type"] == "json_invalid"
    # In invalid JSON, the location is a number of characters.
    places = [] if invalid else [str(part)[:40] for part in error["loc"] if part != "body"]
    place = _place(body, error["loc"][-1]) if invalid else ""
    flaw = f"is not valid JSON ({reason(error['ctx']['error'])}{place})" if invalid else problem_of(error)
    if not invalid and error["loc"] == ("body",):
        flaw = "expected a JSON object; send it with the header Content-Type: application/json"
    if error["type"] in ("model_type", "model_attributes_type") and len(error["loc"]) > 1 and "dialogue" not in places:
        flaw = _IMAGE
    text = f"{'.'.join(places) or 'the body'}: {flaw}"
    return text.encode("utf-8", "replace").decode("utf-8")[:300]
