"""Error replies of the service: JSON with the problem and its remedy."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from twelve.errors import TwelveError, closest, located_problem, quoted
from twelve.io.invalid import bound, json_beginning, problem_of
from twelve.io.json_file import reason
from twelve.predictor.abilities import UnknownTask
from twelve.predictor.checks import UNSTEERED, control
from twelve.web.fields import FRACTIONS, LEVELS, MAX_ID, PREFIX
from twelve.web.replies import Code, FieldProblem, Problem
from twelve.web.requests import ImageOf

CODES: dict[Code, int] = {
    "unreadable_body": 400,
    "unknown_host": 400,
    "unauthorized": 401,
    "foreign_origin": 403,
    "unknown_path": 404,
    "unknown_scene": 404,
    "unknown_image": 404,
    "wrong_method": 405,
    "slow_body": 408,
    "no_index": 409,
    "too_large": 413,
    "unsupported_type": 415,
    "invalid_input": 422,
    "invalid_image": 422,
    "too_many_pixels": 422,
    "unknown_task": 422,
    "busy": 429,
    "internal_error": 500,
    "stopping": 503,
    "too_slow": 503,
    "no_number": 503,
}
"""Code of an error -> the status of its reply."""
MEANINGS: dict[Code, tuple[str, str]] = {
    "unreadable_body": (
        "The body is not UTF-8, is nested too deeply, has a number of too many digits, or ended early.",
        "Send the whole body; JSON in UTF-8.",
    ),
    "unknown_host": ("The host name is unknown.", "Follow `remedy`."),
    "unauthorized": ("The token is missing or wrong.", "Send the header `Authorization: Bearer TOKEN`."),
    "foreign_origin": ("A web page sent `multipart/form-data`.", "Send the image itself as the body."),
    "unknown_path": ("The path does not exist.", "Follow `remedy`."),
    "unknown_scene": (
        "The scene does not exist, or has expired.",
        "Upload its image again, or do nothing if you wanted to delete the scene.",
    ),
    "unknown_image": ("The image is not in the index, or has changed.", "Follow `remedy`."),
    "wrong_method": ("The path does not support this method.", "Use a method of the header `Allow`."),
    "slow_body": ("The body did not arrive in time.", "Send it faster, or follow `remedy`."),
    "no_index": ("The service has no index of images to search.", "Ask its operator to start it with one."),
    "too_large": (
        "The body or an image has too many bytes.",
        "Send a smaller image, or fewer images in one request.",
    ),
    "unsupported_type": (
        "The content type or image format is not supported.",
        "Send JPEG, PNG, WebP, GIF or BMP, with its type.",
    ),
    "invalid_input": ("The input is invalid; `error` says why.", "Follow `remedy`."),
    "invalid_image": ("The image is damaged, animated or too narrow.", "Follow `remedy`."),
    "too_many_pixels": (
        "An image has too many pixels, or all images of the request together.",
        "Follow `remedy`.",
    ),
    "unknown_task": ("The model has no such task.", "Use a task that `remedy` lists."),
    "busy": (
        "Too many requests are waiting.",
        "Wait for the seconds of the header `Retry-After`, then send the request again.",
    ),
    "internal_error": ("An error of the service.", "Tell the operator of the service, whose log has it."),
    "stopping": ("The service is stopping.", "Wait for the seconds of the header `Retry-After`, then try again."),
    "too_slow": (
        "The answer took too long.",
        "Follow `remedy`; if there is a header `Retry-After`, wait for its seconds first.",
    ),
    "no_number": ("The output of the model is NaN or overflows.", "Follow `remedy`."),
}
"""Code -> its description in OpenAPI, and what to do."""
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_IMAGE_BYTES = "curl --data-binary @photograph.jpg -H 'Content-Type: image/jpeg'"
"""How to send an image; curl's -d would drop its line breaks."""
_JSON = """curl -H 'Content-Type: application/json' -d '{"image": {"scene": "ID"}, ...}'"""
_TEXT = """curl -H 'Content-Type: application/json' -d '{"text": "..."}'"""
_STORED, _SENT = '{"scene": "ID"}', '{"base64": "..."}'
_IMAGE = (
    f"an image is {_STORED}, the id that POST {PREFIX}/scenes replied with, or {_SENT}, the bytes of a file in base64"
)
_ENCODED = r"base64 < FILE | tr -d '\n'"
_BOX = "write each box as [x1, y1, x2, y2]"
_FORMS = {
    **dict.fromkeys(("image", "left", "right"), _STORED),
    "images": f"[{_STORED}]",
    "boxes": "[[x1, y1, x2, y2]]",
    "captions": '["..."]',
    "dialogue": '[{"question": "...", "answer": "yes"}]',
}
"""Fields that are not plain texts, with their form: the value of another field may not fit them."""
TEXTS = {"question", "phrase", "statement", "text", "caption"}
"""Fields that hold what is asked, and one of ``captions``."""
_TYPES = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string, in quotes",
}
"""Type of an error about the type of a value -> how to give it."""
_SHAPES = ("model_type", "model_attributes_type", "list_type", "tuple_type")
"""Types of errors about a value that is no object or no list."""


_FIELDS = 20
"""Maximum number of fields in a reply."""


CODE = "twelve.code"
"""The key in the scope of a request that has the code of its error reply."""


class ServiceError(Exception):
    """A request that the service refuses.

    Args:
        code: kind of the error, which has a status.
        problem, remedy: texts of the reply.
        field: the field of the request that is wrong, if it is one; the problem then begins with it. Empty for the
            whole body.
        retry_after: value of the Retry-After header, in seconds.
        headers: further headers of the reply.
    """

    def __init__(
        self,
        code: Code,
        problem: str,
        remedy: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.fields = None
        if field is not None:
            self.fields = [FieldProblem(path=field, message=problem.removeprefix(f"{field}: "))]
        self.code, self.problem, self.remedy = code, problem, remedy
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def reply(self) -> JSONResponse:
        """The JSON reply."""
        return reply(self.code, self.problem, self.remedy, self.fields, self.headers)


def reply(
    code: Code,
    problem: str,
    remedy: str | None = None,
    fields: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A JSON reply of :class:`twelve.web.replies.Problem`."""
    told = Problem(code=code, error=problem, remedy=remedy, fields=fields)
    return _Reply(told, dict(headers or {}))


class _Reply(JSONResponse):
    """An error reply, which leaves its code in the scope of the request, for the log."""

    def __init__(self, told: Problem, headers: dict[str, str]) -> None:
        super().__init__(told.model_dump(), CODES[told.code], headers)
        self._code = told.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CODE] = self._code
        await super().__call__(scope, receive, send)


def documented(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """The error replies of an endpoint with these codes, for its OpenAPI description: each status lists its codes, in
    words and as the values of ``code``. ``internal_error`` is one of every endpoint."""
    found: dict[int | str, dict[str, Any]] = {}
    listed: set[Code] = {*codes, "internal_error"}
    for status in sorted({CODES[code] for code in listed}):
        own = [code for code in MEANINGS if CODES[code] == status and code in listed]
        found[status] = {
            "model": Problem,
            "description": " ".join(f"`{code}`: {MEANINGS[code][0]}" for code in own),
            # beside the $ref to Problem, whose own enumeration has all codes
            "content": {"application/json": {"schema": {"properties": {"code": {"enum": own}}}}},
        }
    if 429 in found:
        found[429]["headers"] = _RETRY_AFTER
    return found


def install(app: FastAPI) -> None:
    """Turn every error of an application into such a reply."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        return error.reply()

    async def mistaken(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TwelveError)
        return reply("unknown_task" if isinstance(error, UnknownTask) else "invalid_input", error.problem, error.remedy)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        fields = [_field(each, error.body) for each in found]
        problem = "; ".join(located_problem(each.path or "the body", each.message) for each in fields[:3])
        remedy = _remedy(found, request) or described(request)
        return reply("invalid_input", problem or "the request is malformed", remedy, fields[:_FIELDS])

    async def other(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = _allowed(request, (error.headers or {})["Allow"])
            problem = f"{request.url.path[:100]} does not support {request.method[:20]}"
            return reply("wrong_method", problem, _used(request, allowed), headers={"Allow": ", ".join(allowed)})
        if error.status_code != 404:  # FastAPI's 400
            return reply("unreadable_body", _unread(error.__cause__), described(request))
        problem, remedy = "no such path", described(request)
        if meant := _meant(request):
            problem, remedy = f'{problem} (did you mean "{meant[1]}"?)', f"use {' '.join(meant)}; {remedy}"
        return reply("unknown_path", problem, remedy)

    handlers: list[tuple[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]]] = [
        (ServiceError, refused),
        (TwelveError, mistaken),
        (RequestValidationError, invalid),
        (HTTPException, other),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def curl(request: Request) -> str:
    """How to send an image to the URL of a request."""
    return _with_url(_IMAGE_BYTES, request)


def described(request: Request) -> str:
    """Where the form of requests is described."""
    return f"see {str(request.base_url)[:200].rstrip('/')}/docs for the form of requests"


def _meant(request: Request) -> tuple[str, str] | None:
    """Method and path that are meant by a path that does not exist; None where none is near."""
    paths = {path.removeprefix(PREFIX): (path, of) for path, of in request.app.openapi()["paths"].items()}
    asked = re.sub(r"^/api(/v\d+)?(?=/)", "", request.url.path.removeprefix(request.scope.get("root_path", ""))[:100])
    alike = [path for path in paths if path.count("/") == asked.count("/")]
    same = next((path for path in paths if compile_path(path)[0].fullmatch(asked)), None)  # without the version
    near = same or closest(asked, alike) or closest(asked, paths)
    if near is None:
        return None
    path, methods = paths[near]
    method = request.method if request.method.lower() in methods else next(iter(methods)).upper()
    return method, path.replace("{scene}", "ID").replace("{name}", "NAME")


def _allowed(request: Request, own: str) -> list[str]:
    """The methods of a path. An error of a route has only its ``own``, and other routes may have the same path."""
    asked = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    same = (of for path, of in request.app.openapi()["paths"].items() if compile_path(path)[0].fullmatch(asked))
    # The page's files, /docs and /openapi.json are not described.
    methods = [method.upper() for of in same for method in of] or sorted(own.split(", "))
    return list(dict.fromkeys([*methods, *["HEAD"] * ("GET" in methods)]))


def _used(request: Request, allowed: Sequence[str]) -> str:
    """How to send a request to the same path, which takes these methods."""
    if "POST" not in allowed:
        return f"use {' or '.join(method for method in allowed if method != 'HEAD')}; {described(request)}"
    example = {"scenes": _IMAGE_BYTES, "search": _TEXT}.get(request.url.path.rpartition("/")[2], _JSON)
    return f"use POST, for example {_with_url(example, request)}; {described(request)}"


def _with_url(command: str, request: Request) -> str:
    """A command with the token's header, if the request has one, and the request's URL."""
    token = " -H 'Authorization: Bearer TOKEN'" if "authorization" in request.headers else ""
    return f"{command}{token} {quoted(str(request.url.replace(query=''))[:200])}"


def _remedy(errors: Sequence[Mapping[str, Any]], request: Request) -> str | None:
    """What to do about the first error of a request, where its kind tells."""
    first: Mapping[str, Any] = errors[0] if errors else {"type": "", "loc": ()}
    name = str(first["loc"][-1])[:40] if first["loc"] else ""
    where = first["loc"][:-1]
    missing, extra = (
        [str(each["loc"][-1])[:40] for each in errors if each["type"] == kind and each["loc"][:-1] == where]
        for kind in ("missing", "extra_forbidden")
    )
    remedy = None
    if first["loc"] == ("body",):
        pass
    elif first["loc"][:1] == ("query",):
        remedy = f"add ?{name}=NAME to the path, with a name that POST {PREFIX}/search replied with"
    elif name == "base64" and first["type"] == "value_error":
        remedy = _base64(first["input"])
    elif FRACTIONS in first.get("msg", ""):
        remedy = f"multiply x1 and x2 by the width that POST {PREFIX}/scenes replied with, y1 and y2 by the height"
    elif where[-1:] == ("boxes",) and first["type"] in ("value_error", "too_long"):
        remedy = f"{_BOX}, with x1 < x2 and y1 < y2"
    elif first["type"] == "too_short" and name in _FORMS:
        remedy = f"write {_formed(name)}"
    elif first["type"] == "too_long":
        remedy = f"shorten {name} to {first['ctx']['max_length']:,} items"
    elif (most := bound(first)) is not None:
        remedy = f"give a number of {most}"
    elif len(missing) == len(extra) == 1 and name in (*missing, *extra):  # one field under another name
        known = missing[0]
        remedy = f"replace {extra[0]} by {_formed(known)}" if known in _FORMS else f"rename {extra[0]} to {known}"
    elif name in missing and name.isdigit():
        remedy = _BOX
    elif name in missing:
        remedy = f"add {_formed(name)}; {described(request)}"
    elif name in extra:
        remedy = f"remove {name}; {_expected(request, where[1:])}"
    elif first["type"] in _SHAPES and (fields := [part for part in first["loc"] if part in _FORMS]):
        remedy = f"write {_formed(fields[-1])}"
        if isinstance(first["input"], str) and len(first["input"]) > MAX_ID:  # the image itself
            remedy = remedy.replace(_STORED, _SENT)
    elif first["type"] == "literal_error":
        allowed = re.sub("'(.*?)'", lambda each: json.dumps(each[1]), first["ctx"]["expected"])
        remedy = f"give {'.'.join(map(str, first['loc'][1:]))} as {allowed}"
    elif first["type"] in _TYPES:
        remedy = f"give {'.'.join(map(str, first['loc'][1:]))} as {_TYPES[first['type']]}"
        if isinstance(first["input"], str):
            remedy += ", without quotes"
    elif (text := "caption" if "captions" in where else name) in TEXTS:
        if first["type"] == "string_too_long":
            remedy = f"shorten it to {first['ctx']['max_length']:,} characters"
        elif first["type"] == "string_unicode":
            remedy = f"send the {text} in UTF-8, or with both halves of each character: \\ud83d\\ude00"
        else:
            remedy = UNSTEERED if control("") in first["msg"] else f"write a {text}"
    return remedy and remedy.encode("utf-8", "replace").decode("utf-8")


def _base64(text: object) -> str:
    """What to do about a value that is no base64."""
    if not isinstance(text, str):
        return f"write {_SENT}, with the bytes of a file in base64"
    if text.startswith("data:"):
        return "remove the beginning up to and including the comma: data:image/...;base64, is not base64"
    if "\n" in text:
        return rf"remove the line breaks: {_ENCODED}"
    if re.fullmatch(r"[\w=-]+", text, re.ASCII) and {"-", "_"} & {*text}:
        return "replace - by + and _ by /, and add = up to a multiple of four characters"
    return f"encode the whole file: {_ENCODED}"


def _expected(request: Request, place: Sequence[str | int]) -> str:
    """Which fields a place of the request's body has."""
    model: Any = request.scope["route"].body_field.field_info.annotation
    for part in place:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    if model is ImageOf:
        return _IMAGE
    *names, last = sorted(model.model_fields, key=lambda name: not model.model_fields[name].is_required())
    return f"expected {', '.join(names)} or {last}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, such as an optional one or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _formed(name: str) -> str:
    """A field, with its form where that is not a plain text."""
    return f'"{name}": {_FORMS[name]}' if name in _FORMS else name


def _unread(error: BaseException | None) -> str:
    """Why a body is not read, from the error that reading it raised."""
    if isinstance(error, RecursionError):
        return f"the body is nested too deeply for Python; a request needs at most {LEVELS} levels of objects and lists"
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8"
    if "digits" in str(error):
        return f"a number of the body has more than {sys.get_int_max_str_digits():,} digits"
    return "the body cannot be read"


def _place(body: Any, at: Any) -> str:
    """Where in a body of several lines a character is, from its number; empty where it is not known."""
    if not body or not isinstance(body, str) or not isinstance(at, int):
        return ""
    return f" at line {body.count(chr(10), 0, at) + 1}, column {at - body.rfind(chr(10), 0, at)}"


def _field(error: Mapping[str, Any], body: Any) -> FieldProblem:
    """One error of a request, with the beginning of the input, which may be long or not be text."""
    invalid = error["type"] == "json_invalid"
    # In invalid JSON, the location is a number of characters.
    places = [] if invalid else [str(part)[:40] for part in error["loc"] if part != "body"]
    place = _place(body, error["loc"][-1]) if invalid else ""
    flaw = problem_of(error, json_beginning)
    if invalid:
        flaw = f"is not valid JSON ({reason(error['ctx']['error'])}{place})"
    elif error["loc"] == ("body",):
        sent = "nothing" if error["type"] == "missing" else json_beginning(error["input"])
        flaw = f"expected a JSON object, found {sent}"
    elif error["type"] in ("model_type", "model_attributes_type"):
        flaw = f"expected a JSON object, found {json_beginning(error['input'])}" if "dialogue" in places else _IMAGE
    path, message = (text.encode("utf-8", "replace").decode("utf-8")[:300] for text in (".".join(places), flaw))
    return FieldProblem(path=path, message=message)
