"""Middleware in front of every endpoint: host names, token, limits on bodies and waiting requests, metrics.

It reads each body into memory, within the limits, before an endpoint runs. So nothing is spooled to disk, and a client
that sends slowly does not delay others.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Collection
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelve.web.fields import PREFIX
from twelve.web.limits import MARKS, Limits
from twelve.web.log import REQUESTS
from twelve.web.problems import CODE, ServiceError, described, reply
from twelve.web.service import Service
from twelve.web.uploads import check_encoding, check_json, check_kind

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every reply: the page may load from this service only, and nothing may be cached but the page's
files, which have a ``Cache-Control`` of their own."""
REQUEST_ID = "X-Request-ID"
"""Header of every reply, by which a client and the log name the same request."""
UPLOADS = f"{PREFIX}/scenes"
"""The path that takes images."""
SAMPLES = f"{PREFIX}/samples/{{name}}"
"""The path of the samples."""
HEALTH = "/health"
"""The path that is read under any host name: probes know the IP address alone, and the reply has two numbers."""
METRICS = "/metrics"
"""The path that may need a token of its own, which opens nothing else."""
_PROBES = (HEALTH, METRICS)
"""Paths that are read every few seconds."""
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    "Access-Control-Allow-Headers": f"Authorization, Content-Type, {REQUEST_ID}",
    "Access-Control-Max-Age": "3600",
}
"""Headers of the reply to a browser that asks whether a page of another origin may send a request; for an hour."""
_EXPOSED = f"Location, Retry-After, {REQUEST_ID}"
"""Headers of replies that pages of other origins can read, besides those that they always can."""
_BODIES = frozenset({"POST", "PUT", "PATCH"})
STATIC, OTHER = "static", "other"
"""Names under which the files of the page, and paths that do not exist, are counted and logged."""
_QUIET = frozenset({*_PROBES, STATIC, SAMPLES})
"""What the log has only if it fails."""
_SCHEMES = {name.lower(): name for name in ("ApiKey", "Basic", "Digest", "Negotiate", "NTLM", "Token")}
"""Schemes that an error names; any other word before the token may be a part of a secret."""
_LOG = logging.getLogger(REQUESTS)


class Gate:
    """ASGI middleware.

    Args:
        hosts: host names that requests may use, except for ``/health``; empty to allow any. A fixed list prevents DNS
            rebinding, by which a web page could reach a service on its visitor's machine.
        token: the token that requests must send as ``Authorization: Bearer TOKEN``, or two with a space between, either
            of which will do; None to require none.
        metrics_token: likewise, the token for :data:`METRICS`; None for the same as for other paths.
        free: paths that can be read without the token, under the names by which they are counted.
        paths: those that are counted and logged under their own names, such as ``/api/v1/scenes/{scene}``; a URL
            may contain a scene id.
        json: paths that take JSON.
        files: paths of the page's files, which are counted and logged under one name.
        origins: origins whose pages may send requests and read every reply, also errors (CORS).
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        hosts: Collection[str],
        token: str | None = None,
        metrics_token: str | None = None,
        free: Collection[str] = (),
        paths: Collection[str] = (),
        json: Collection[str] = (),
        files: Collection[str] = (),
        origins: Collection[str] = (),
    ) -> None:
        self._app, self._service, self._hosts = app, service, {host.lower() for host in hosts}
        self._tokens, self._free, self._json = (token or "").split(), frozenset(free), frozenset(json)
        self._metrics_tokens = (metrics_token or "").split()
        self._paths = {path: compile_path(path)[0] for path in paths}
        self._files, self._origins = frozenset(files), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, method, name = time.perf_counter(), 0, scope["method"], _request_id(scope)
        scope, asked = _prefixed(scope)

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = {key.lower() for key, _ in message["headers"]}
                own = HEADERS | self._for_origin(scope) | {REQUEST_ID: name}
                more = [(key.lower().encode(), value.encode()) for key, value in own.items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in named)]
            await send(message)

        try:
            await self._through(scope, asked, receive, answered)
        except ServiceError as error:
            await error.reply()(scope, receive, answered)
        except asyncio.CancelledError:  # uvicorn stops, and timeout_graceful_shutdown has passed
            if not status:
                stopping = ServiceError("stopping", "the service is stopping", "try again later", retry_after=5)
                await stopping.reply()(scope, receive, answered)
        except Exception:  # the server writes it to its log
            if not status:
                problem = reply("internal_error", "internal error", "see the log of the service")
                await problem(scope, receive, answered)
            raise
        finally:
            seconds, status = time.perf_counter() - start, status or 500
            path = self._named(asked)
            self._service.metrics.requests.labels(path, str(status)).inc()
            self._service.metrics.seconds.labels(path).observe(seconds)
            self._service.answered += path not in _PROBES
            if path not in _QUIET or status >= 400:
                code = scope.get(CODE)
                told = {"method": method[:20], "path": path, "status": status, "code": code}
                said = "%(method)s %(path)s %(status)d %(ms)d ms %(id)s"
                said = said.replace("%(status)d", "%(status)d %(code)s") if code else said
                _LOG.info(said, {**told, "ms": round(1000 * seconds), "id": name})

    def _named(self, asked: str) -> str:
        """The name under which a request for a path is counted and logged."""
        if asked in self._files:
            return STATIC
        return next((each for each, form in self._paths.items() if form.fullmatch(asked)), OTHER)

    def _for_origin(self, scope: Scope) -> dict[str, str]:
        """Headers of a reply, by which a browser lets a page of an allowed origin read it."""
        if not self._origins:
            return {}
        told, given = {"Vary": "Origin"}, _headers(scope, b"origin")
        if len(given) == 1 and given[0] in self._origins:
            told |= {"Access-Control-Allow-Origin": given[0], "Access-Control-Expose-Headers": _EXPOSED}
        return told

    async def _through(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        service = self._service
        if self._hosts and path != HEALTH and _host(scope) not in self._hosts:
            raise ServiceError(
                "unknown_host",
                "unknown host name",
                "use the URL that the service printed, or start it with --name NAME",
            )
        if scope["method"] == "OPTIONS" and "Access-Control-Allow-Origin" in self._for_origin(scope):
            # Browsers send no token with this question. Starlette's CORSMiddleware would answer it in front of the
            # gate: without an id, and neither logged nor counted.
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)
            return
        own = path == METRICS and bool(self._metrics_tokens)
        tokens = self._metrics_tokens if own else self._tokens
        if tokens and not (scope["method"] in ("GET", "HEAD") and self._named(path) in self._free):
            _check_token(_headers(scope, b"authorization"), tokens, "metrics token" if own else "token")
        if any(mark < " " or mark == "\x7f" for mark in path):
            # A route's pattern also matches before a final line break, so /health%0a would be /health.
            raise ServiceError("unknown_path", "no such path", described(Request(scope)))
        if scope["method"] == "HEAD":  # answered like GET, without the body
            scope["method"], send = "GET", _without_body(send)
        if scope["method"] not in _BODIES:
            await self._app(scope, receive, send)
            return
        json = scope["method"] == "POST" and path in self._json
        if json:
            check_json(Request(scope))
        elif (scope["method"], path) == ("POST", UPLOADS):
            check_kind(Request(scope))
        check_encoding(Request(scope))
        more = True

        async def noted() -> Message:
            nonlocal more
            message = await receive()
            more = message.get("more_body", False)
            return message

        try:
            await self._admitted(scope, noted, send, json=json)
        except ServiceError as error:
            if more and error.code == "busy":
                await _discard(noted, service.limits)
            raise

    async def _admitted(self, scope: Scope, receive: Receive, send: Send, *, json: bool) -> None:
        """Read the body of a request, and let the application reply, if there is a place for it."""
        service, body = self._service, bytearray()
        service.admit()
        try:
            await self._read(scope, receive, body, json=json)
            if json:
                _check_text(body)
                _check_marks(body, service.limits.max_marks, Request(scope))
            service.admit()
            with ExitStack() as slot:
                slot.enter_context(service.pace.accepted())

                async def answered(message: Message) -> None:
                    slot.close()  # a client that reads slowly must not occupy a place
                    await send(message)

                await self._app(scope, _replayed(bytes(body), receive), answered)
        finally:
            service.held -= len(body)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray, *, json: bool) -> None:
        """Fill ``body``; its bytes count as held as soon as they arrive."""
        service, limits = self._service, self._service.limits
        declared = _header(scope, b"content-length")
        if re.fullmatch("[0-9]+", declared) and int(declared[:20]) > limits.max_body:
            raise _too_long(limits, scope, json=json)
        try:
            async with asyncio.timeout(limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ServiceError("unreadable_body", "the client disconnected")
                    part = message.get("body", b"")
                    body += part
                    service.held += len(part)
                    more = message.get("more_body", False)
                    if len(body) > limits.max_body:
                        raise _too_long(limits, scope, json=json)
                    if service.held > limits.max_held_bytes:
                        raise service.busy()
        except TimeoutError:
            remedy = "send it faster, or ask the operator of the service for more time (--body-seconds)"
            raise ServiceError(
                "slow_body", f"the body did not arrive within {limits.body_seconds:g} seconds", remedy
            ) from None


async def _discard(receive: Receive, limits: Limits) -> None:
    """Read the rest of a body, and drop it. A client that asked to close the connection after the reply would lose the
    reply otherwise: a connection with unread bytes is reset."""
    left, more = limits.max_body, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limits.body_seconds):
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message.get("more_body", False)


def _without_body(send: Send) -> Send:
    """A ``send`` that drops the body of a reply."""

    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns a body that was already read."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check_marks(body: bytearray, most: int, request: Request) -> None:
    """Raise ServiceError for JSON with more keys and values than any request needs. Base64 contains no such marks."""
    if len(body) > most and len(body) - len(body.translate(None, b'[]{}:,"')) > most:
        raise ServiceError(
            "invalid_input",
            f"the JSON has more than {most:,} {MARKS}",
            described(request),
        )


def _check_text(body: bytearray) -> None:
    """Raise ServiceError for a body that is not UTF-8. JSON contains no NUL, and UTF-16 many: Python would read it."""
    try:
        if b"\0" not in body and (body.isascii() or body.decode()):
            return
    except UnicodeDecodeError:
        pass
    raise ServiceError("unreadable_body", "the body is not UTF-8", "send the JSON in UTF-8")


def _too_long(limits: Limits, scope: Scope, *, json: bool) -> ServiceError:
    """413, with the limit of images where the body has some: a file may be too large by itself."""
    remedy = f"send an image of at most {limits.max_bytes:,} bytes"
    if json:
        remedy = (
            f"send images of at most {limits.max_bytes:,} bytes together, before base64, or upload each to {UPLOADS}"
        )
    if scope["path"].endswith("/search"):
        remedy = "send a shorter text"
    return ServiceError("too_large", f"the body has more than {limits.max_body:,} bytes", remedy)


def _check_token(given: list[str], tokens: list[str], called: str) -> None:
    """Raise ServiceError unless exactly one header is given and it contains a token. Compares in constant time."""
    scheme, _, said = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    kind = scheme.lower()
    right = sum(hmac.compare_digest(said.strip().encode("latin-1"), each.encode()) for each in tokens)
    if kind != "bearer" or not right:
        alone = len(given) == 1 and not said.strip()
        problem = f"the {called} is wrong"
        if not given or (alone and kind in ("", "bearer")):
            problem = f"the {called} is missing"
        elif kind in _SCHEMES:
            problem = f"expected Bearer, found {_SCHEMES[kind]}"
        elif alone:
            problem = f"the word Bearer is missing before the {called}"
        elif kind not in ("", "bearer"):
            problem = "expected Bearer, found another word"
        raise ServiceError(
            "unauthorized",
            problem,
            f"send the header Authorization: Bearer TOKEN, with the {called} that the service was started with",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _prefixed(scope: Scope) -> tuple[Scope, str]:
    """A request with the path under which a proxy or another application serves this one, and its own path below that.

    Any client can send the header of a proxy. It changes the URLs in the reply to this request alone, so a plain
    path is believed.
    """
    given, root, path = _headers(scope, b"x-forwarded-prefix"), scope.get("root_path", "").rstrip("/"), scope["path"]
    if not path.startswith(root):  # the other application has a root_path, which its proxy removes from requests
        path = scope.get("app_root_path", "") + path
    plain = len(given) == 1 and re.fullmatch(r"(/(?!\.+(/|$))[\w.~-]{1,32}){1,4}/?", given[0], re.ASCII)
    prefix = given[0].rstrip("/") if plain else ""
    # Starlette's base_url has app_root_path, which would be that of the other application.
    rooted = {"root_path": prefix + root, "app_root_path": prefix + root, "path": prefix + path}
    return {**scope, **rooted}, path.removeprefix(root) or "/"


def _request_id(scope: Scope) -> str:
    """The id that the client gave its request, if that is short and in plain ASCII; otherwise a random one."""
    given = _headers(scope, REQUEST_ID.lower().encode())
    return given[0] if len(given) == 1 and re.fullmatch("[!-~]{1,64}", given[0]) else secrets.token_hex(8)


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _header(scope: Scope, name: bytes) -> str:
    return next(iter(_headers(scope, name)), "")


def _host(scope: Scope) -> str:
    """The host name of a request, without the port."""
    return re.sub(r":\d*$", "", _header(scope, b"host")).strip("[]").lower()
