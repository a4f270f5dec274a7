"""Values in requests and replies of the API, and their limits."""

from __future__ import annotations

import binascii
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema

from twelve.evaluation.shortlist import PLACES
from twelve.formats.records import steering
from twelve.outputs import OUTPUTS
from twelve.outputs.parts.result import named
from twelve.predictor.checks import CHOOSING, METHODS, control

PREFIX = "/api/v1"
"""What the paths of the API begin with; api.js of the page has it too."""
MAX_ID = 64
"""Characters of a scene id, and of the name of a sample."""
MAX_WORD = 100
"""Characters of the name of a task or of a method."""
MAX_TEXT = 2000
MAX_TURNS = 20
MAX_BOXES = 100
MAX_IMAGES = 64
"""Images of ``match``."""
MAX_ASKED = 2
"""Images of ``ask``."""
MAX_CAPTIONS = 32
MAX_PLACES = PLACES
MAX_NAME = 4096
"""Characters of the name of an image of the index."""
MAX_COORDINATE = 1e6
LEVELS = 3
"""Levels of objects and lists that the most deeply nested valid request has."""

FRACTIONS = "expected a box in pixels of the image, found fractions of it"
"""What is wrong with a box between 0 and 1."""


def _framing(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    if not (box[2] > box[0] and box[3] > box[1]):
        raise ValueError("a box is x1, y1, x2, y2 in pixels, with x1 < x2 and y1 < y2")
    if min(box) >= 0 and max(box) <= 1:
        raise ValueError(FRACTIONS)
    return box


def _something(text: str) -> str:
    if not text.strip():
        raise ValueError("contains only spaces")
    if (mark := steering(text)) is not None:
        raise ValueError(control(mark))
    return text


def _unpacked(text: object) -> bytes:
    try:
        return binascii.a2b_base64(text if isinstance(text, str) else "=", strict_mode=True)
    except ValueError:  # binascii.Error is one; non-ASCII text raises another
        raise ValueError("is not base64 (A-Z, a-z, 0-9, + and /, padded with =, without line breaks)") from None


Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE, allow_inf_nan=False)]
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x1, y1, x2, y2 in pixels of the image after its EXIF rotation"),
]
# JSON has no tuples, so strict mode would refuse a list.
GivenBox = Annotated[
    tuple[Coordinate, Coordinate, Coordinate, Coordinate],
    Field(strict=False, description="x1, y1, x2, y2 in pixels of the image after its EXIF rotation, not fractions"),
    AfterValidator(_framing),
]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_something)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Threshold = Annotated[Share | None, Field(description="confidence below which box is null in the reply")]
Encoded = Annotated[bytes, BeforeValidator(_unpacked), WithJsonSchema({"type": "string", "contentEncoding": "base64"})]
TaskName = Annotated[str, Field(max_length=MAX_WORD)]
ASKED = [method for method in METHODS if method not in CHOOSING]
MEASURED = [name for name in ASKED if any(name in each.methods and each.reads == "fused" for each in OUTPUTS.values())]
LABELS: list[JsonValue] = [
    named(label) for each in OUTPUTS.values() if "entails" in each.methods for label in getattr(each, "classes", ())
]
Label = Annotated[str, Field(description="of a task of two classes, true or false", json_schema_extra={"enum": LABELS})]
# Only the description enumerates them: the error of an unknown one names those of the model.
AskedMethod = Annotated[str, Field(max_length=MAX_WORD, json_schema_extra={"enum": ASKED})]
MeasuredMethod = Annotated[str, Field(max_length=MAX_WORD, json_schema_extra={"enum": MEASURED})]
