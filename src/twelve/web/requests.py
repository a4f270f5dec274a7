"""Requests of the API. Boxes are xyxy pixels of the image after its EXIF rotation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from twelve.evaluation.shortlist import PLACES
from twelve.settings import MOST_WEIGHT
from twelve.web.fields import (
    MAX_ASKED,
    MAX_BOXES,
    MAX_CAPTIONS,
    MAX_ID,
    MAX_IMAGES,
    MAX_PLACES,
    MAX_TURNS,
    PREFIX,
    AskedMethod,
    Encoded,
    GivenBox,
    MeasuredMethod,
    TaskName,
    Text,
    Threshold,
)

_GIVEN: list[JsonValue] = [
    {"required": [name], "properties": {name: {"type": "string"}, other: {"type": "null"}}}
    for name, other in (("scene", "base64"), ("base64", "scene"))
]


class _Closed(BaseModel):
    """Unknown keys are errors, as are numbers and booleans in quotes."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ImageOf(_Closed):
    """An image: either ``scene`` (a scene id) or ``base64`` (the file; not stored). The other one is
    absent or null."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _GIVEN})

    scene: str | None = Field(None, max_length=MAX_ID, description="scene id")
    base64: Encoded | None = Field(None, description="a file in base64, without line breaks")

    @model_validator(mode="after")
    def _one(self) -> ImageOf:
        if (self.scene is None) == (self.base64 is None):
            raise ValueError(
                f'give either {{"scene": ID}}, the id that POST {PREFIX}/scenes replied with, '
                'or {"base64": BASE64}, a file'
            )
        return self


class _Asking(_Closed):
    task: TaskName | None = Field(
        None, description=f"one of those in {PREFIX}/model; by default, the first of the method"
    )


class Explained(_Asking):
    """A request for a result, whose attention can be requested too."""

    explain: bool = Field(False, description="add the attention between words and regions to the reply")


class AnswerRequest(Explained):
    """A question about an image."""

    image: ImageOf
    question: Text


class LocateRequest(Explained):
    """A phrase that refers to something in an image."""

    image: ImageOf
    phrase: Text
    threshold: Threshold = None


class EntailsRequest(Explained):
    """A statement about an image."""

    image: ImageOf
    statement: Text


class ChooseRequest(Explained):
    """A question that one of several boxes answers."""

    image: ImageOf
    question: Text
    boxes: list[GivenBox] = Field(min_length=1, max_length=MAX_BOXES)
    threshold: Threshold = None


class Turn(_Closed):
    """A question of a dialogue and its answer."""

    question: Text
    answer: Literal["yes", "no", "n/a"]


class GuessRequest(Explained):
    """A dialogue that is about one of several boxes."""

    image: ImageOf
    dialogue: list[Turn] = Field(
        min_length=1, max_length=MAX_TURNS, description='an answer in it is "yes", "no" or "n/a"'
    )
    boxes: list[GivenBox] = Field(min_length=1, max_length=MAX_BOXES)
    threshold: Threshold = None


class VerifyRequest(Explained):
    """A statement about two images."""

    left: ImageOf
    right: ImageOf
    statement: Text


class AskRequest(Explained):
    """A text for any method that takes a text and no boxes."""

    method: AskedMethod
    text: Text
    images: list[ImageOf] = Field(min_length=1, max_length=MAX_ASKED)


class DependsRequest(_Asking):
    """A question or statement about an image or two, whose result is measured without each region."""

    image: ImageOf
    right: ImageOf | None = Field(None, description="for verify, the right image; the other one is then the left")
    text: Text
    method: MeasuredMethod = "answer"


class MatchRequest(_Asking):
    """Captions and images, to be matched each with each."""

    images: list[ImageOf] = Field(min_length=1, max_length=MAX_IMAGES)
    captions: list[Text] = Field(min_length=1, max_length=MAX_CAPTIONS)
    shortlist: Annotated[int, Field(ge=0, le=MAX_IMAGES)] | None = Field(
        None, description="images to rank for a caption, chosen by the contrast head; 0: all"
    )
    contrast_weight: float = Field(
        0.0, ge=0, le=MOST_WEIGHT, description="weight of the contrast head's logit beside the model's own"
    )


class SearchRequest(_Asking):
    """A caption, to find images of the service's index that match it."""

    text: Text
    top: int = Field(5, ge=1, le=MAX_PLACES, description="number of best images to reply with, if as many are ranked")
    shortlist: int = Field(
        PLACES, ge=1, le=MAX_PLACES, description="images to rank, chosen by the contrast head; fewer take less time"
    )
    contrast_weight: float = Field(
        1.0, ge=0, le=MOST_WEIGHT, description="weight of the contrast head's logit beside the model's own"
    )
