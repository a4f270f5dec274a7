"""The OpenAPI description is true: requests drawn from it, and requests that break it, get replies that it lists."""

from __future__ import annotations

import contextlib
from unittest import SkipTest

import pytest
from fastapi import FastAPI

pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install 'twelve-vl[dev]')")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    status_code_conformance,
)
from starlette.types import Receive, Scope, Send


@pytest.fixture(scope="session")
def described(app: FastAPI) -> schemathesis.BaseSchema:
    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which must outlive the client that is made for each request."""
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", kept)


# That replies have the schema is FastAPI's own check; this one does not know prefixItems.
CHECKED = [
    CHECKS.get_one("not_a_server_error"),
    status_code_conformance,
    content_type_conformance,
]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_replies_are_those_that_are_described(mode: GenerationMode, described: schemathesis.BaseSchema) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 18
    for operation in operations:

        @settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def conforms(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKED)

        # Of an endpoint without parameters no wrong request can be made.
        with contextlib.suppress(Unsatisfiable, SkipTest):
            conforms()
