"""What programs are made from: names, summaries and groups of the operations in the OpenAPI description."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.testclient import TestClient

NAMES = {
    "images": ["upload_image", "get_image", "forget_image"],
    "questions": ["answer", "locate", "entails", "depends", "choose", "guess", "verify", "ask", "match"],
    "service": ["model", "sample", "health", "metrics"],
}
VERBS = "Answer|Ask|Check|Choose|Delete|Guess|Locate|Match|Measure|Return|Tell|Upload"


def test_operations_have_short_names_summaries_and_groups(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    assert described["info"]["description"] and [tag["name"] for tag in described["tags"]] == list(NAMES)
    operations = [each for path in described["paths"].values() for each in path.values()]
    found = [(*each["tags"], each["operationId"]) for each in operations]
    assert found == [(tag, name) for tag, names in NAMES.items() for name in names]
    for each in operations:
        assert re.fullmatch(rf"({VERBS}) [^.`]{{5,70}}", each["summary"]), each["summary"]
        assert each.get("description", "It.").endswith(".")
    assert len({each["summary"] for each in operations}) == len(operations)


def test_a_busy_service_says_when_to_come_again(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    replies = [each["responses"] for path in described["paths"].values() for each in path.values()]
    busy = [reply["429"]["headers"]["Retry-After"] for reply in replies if "429" in reply]
    assert len(busy) == 12 and all(header["schema"]["type"] == "integer" for header in busy)
