"""Reads the JSON bodies of requests."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from twelve.io.json_file import DECODER, Twice
from twelve.web.problems import ServiceError


class _Request(Request):
    repeated: str | None = None
    """A key that occurs twice in an object of the body."""

    async def json(self) -> Any:
        """The body; raises JSONDecodeError for a key that occurs twice, of which Python would drop one."""
        try:
            return DECODER.decode((await self.body()).decode("utf-8-sig"))
        except Twice as error:
            self.repeated = str(error)[:60]
            raise JSONDecodeError("", "", 0) from None  # FastAPI replies to any other error with 400


class JsonRoute(APIRoute):
    """A route that refuses a JSON body with a key that occurs twice."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            own = _Request(request.scope, request.receive)
            try:
                return await handle(own)
            except RequestValidationError:
                if own.repeated is None:
                    raise
            problem = f"the key {own.repeated!r} is repeated"
            raise ServiceError("invalid_input", problem, "write each key of an object once", field="")

        return handled
