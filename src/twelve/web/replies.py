"""Replies of the API, and its errors. Boxes are xyxy pixels of the image after its EXIF rotation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from twelve.outputs.parts.warned import WarningCode
from twelve.web.fields import Box, Label

Code = Literal[
    "unreadable_body",
    "unknown_host",
    "unauthorized",
    "foreign_origin",
    "unknown_path",
    "unknown_scene",
    "unknown_image",
    "wrong_method",
    "slow_body",
    "no_index",
    "too_large",
    "unsupported_type",
    "invalid_input",
    "invalid_image",
    "too_many_pixels",
    "unknown_task",
    "busy",
    "internal_error",
    "stopping",
    "too_slow",
    "no_number",
]
"""Kinds of errors. Programs rely on them: within v1, some may be added, but none is renamed."""


class FieldProblem(BaseModel):
    """What is wrong with a field of a request."""

    path: str = Field(description="the field, such as image.scene; empty for the whole body")
    message: str = Field(description="what is wrong with it")


class Problem(BaseModel):
    """An error, and what to do about it."""

    code: Code = Field(description="kind of the error; within v1 it keeps its name and meaning")
    error: str = Field(description="what is wrong, for people")
    remedy: str | None = Field(None, description="what to do about it, for people")
    fields: list[FieldProblem] | None = Field(None, description="the fields that are wrong, if they are known")


class WarningReply(BaseModel):
    """A reason to doubt a reply."""

    code: WarningCode = Field(description="kind of the warning; within v1 it keeps its name and meaning")
    text: str = Field(description="the warning, for people; the text may change")


_RELIABLE = (
    "false if a warning says that the reply may be meaningless: then do not trust confidence, even if it is calibrated"
)
_CALIBRATED = (
    "whether training has calibrated the confidence; otherwise compare values, do not read them as probabilities"
)


class SceneReply(BaseModel):
    """A scene: an image that the service stores with its regions."""

    id: str = Field(description="the scene id, for the field scene of a request")
    width: int = Field(description="pixels, after the EXIF rotation")
    height: int = Field(description="pixels, after the EXIF rotation")
    boxes: list[Box] = Field(description="regions of the image, without the whole image")
    labels: list[str] = Field(description="the detector's class for each box; empty if it names no classes")
    expires_in: float = Field(description="seconds for which the scene is stored after the last question about it")
    warnings: list[WarningReply] = Field(default=[], description="reasons to doubt replies about the scene")


class AttentionReply(BaseModel):
    """Attention between words and regions."""

    words: list[str] = Field(description="word pieces of the text")
    boxes: list[Box] = Field(description="the first is the whole image")
    words_to_regions: list[list[float]] = Field(
        description="for each word, how much it attends to each box; mean over connections and heads; adds up to 1"
    )
    regions_to_words: list[list[float]] = Field(
        description="for each box, how much it attends to each word; mean over connections and heads; adds up to 1"
    )
    strongest: list[list[float]] = Field(
        description="for each box and word, the largest attention of a head of the first connection, 0 to 1; the "
        "values of a box may add up to more than 1"
    )


_ASKED = "what was asked"
_TASK = "name of the task that answered"
_CONFIDENCE = "the estimated probability that it is correct, 0 to 1"
_SHARED_BOX = "the best box; null: below the threshold"


class _Reply(BaseModel):
    text: str = Field(description=_ASKED)
    task: str = Field(description=_TASK)
    confidence: float = Field(
        description="the estimated probability that the answer (class, box, verdict) is correct, 0 to 1"
    )
    calibrated: bool = Field(description=_CALIBRATED)
    reliable: bool = Field(description=_RELIABLE)
    warnings: list[WarningReply] = Field(default=[], description="reasons to doubt the answer")
    attention: AttentionReply | None = Field(None, description="null unless the request has explain: true")


class AnswerAlternative(BaseModel):
    answer: str = Field(description="one of the best answers")
    confidence: float = Field(description=_CONFIDENCE)


class AnswerReply(_Reply):
    answer: str = Field(description="the best answer")
    alternatives: list[AnswerAlternative] = Field(
        description="the best answers with the confidence of each, best first"
    )


class BoxAlternative(BaseModel):
    box: Box
    confidence: float = Field(description=_CONFIDENCE)


class LocateReply(_Reply):
    box: Box | None = Field(description=_SHARED_BOX)
    alternatives: list[BoxAlternative] = Field(description="the best boxes with the confidence of each, best first")
    unlikely: bool = Field(default=False, description="the phrase probably refers to nothing in the image")


class CandidateAlternative(BaseModel):
    index: int = Field(description="index of the box in the request")
    box: Box
    confidence: float = Field(description=_CONFIDENCE)


class CandidateShare(BaseModel):
    index: int = Field(description="index of the box in the request")
    share: float = Field(description="the estimated probability of this box if exactly one of them is correct")


class ChooseReply(_Reply):
    index: int | None = Field(description="index of the box in the request; null: below the threshold")
    box: Box | None = Field(description=_SHARED_BOX)
    alternatives: list[CandidateAlternative] = Field(description="all boxes with the confidence of each, best first")
    shares: list[CandidateShare] = Field(
        description="each box with its estimated probability if exactly one of them is correct, not its confidence; "
        "they add up to 1"
    )


class GuessReply(ChooseReply):
    pass


class LabelAlternative(BaseModel):
    label: Label
    confidence: float = Field(description=_CONFIDENCE)


class EntailsReply(_Reply):
    label: Label
    alternatives: list[LabelAlternative] = Field(description="all classes with the confidence of each, best first")


class VerifyReply(_Reply):
    verdict: bool = Field(description="whether the statement is true")


class DependsReply(BaseModel):
    """The confidence of a result, and that of the same result without each region."""

    text: str = Field(description=_ASKED)
    task: str = Field(description=_TASK)
    value: str = Field(description="the answer or class with the highest confidence")
    confidence: float = Field(description="the estimated probability that the value is correct, 0 to 1, with all boxes")
    calibrated: bool = Field(description=_CALIBRATED)
    reliable: bool = Field(description=_RELIABLE)
    boxes: list[Box] = Field(description="the regions that the model reads, without the whole image; the left's first")
    confidence_without: list[float] = Field(description="confidence of the same value without each of the boxes")
    labels: list[str] = Field(description="the detector's class for each box; empty if it names no classes")
    sides: list[str] = Field(description="image of each box, left or right; empty if there is one image")
    warnings: list[WarningReply] = Field(default=[], description="reasons to doubt the confidence")


class RankedImage(BaseModel):
    index: int = Field(description="index of the image in the request")
    share: float = Field(
        description="the estimated probability that the caption describes this image, if it describes exactly one of "
        "the images"
    )


class RankedCaption(BaseModel):
    caption: str = Field(description="as in the request")
    images: list[RankedImage] = Field(description="all ranked images, best first; shares sum to 1")


class MatchReply(BaseModel):
    task: str = Field(description=_TASK)
    calibrated: bool = Field(description=_CALIBRATED)
    reliable: bool = Field(description=_RELIABLE)
    captions: list[RankedCaption] = Field(description="in the order of the request")
    shortlist: int | None = Field(description="number of images that were ranked for each caption; null: all")
    logits: list[list[float | None]] = Field(description="captions x images; null where an image was not ranked")
    warnings: list[WarningReply] = Field(
        default=[], description="reasons to doubt the shares; images are named by index"
    )


class FoundImage(BaseModel):
    image: str = Field(description="name of the image: its relative path")
    share: float = Field(
        description="the estimated probability that the text describes this image, if it describes exactly one that "
        "was ranked"
    )


class SearchReply(BaseModel):
    """The images of the service's index that match a text best."""

    text: str = Field(description=_ASKED)
    task: str = Field(description=_TASK)
    calibrated: bool = Field(description=_CALIBRATED)
    reliable: bool = Field(description=_RELIABLE)
    images: list[FoundImage] = Field(description="best first; shares of all images that were ranked sum to 1")
    ranked: int = Field(description="number of images that were ranked: those on the shortlist that could be read")
    indexed: int = Field(description="number of images in the index")
    skipped: list[str] = Field(
        description="images on the shortlist that are gone, have changed since they were indexed, or cannot be read"
    )
    digest: str | None = Field(description="SHA-256 of the model's weights, as in the reply about the model")
    warnings: list[WarningReply] = Field(default=[], description="reasons to doubt the shares; images are named")


class TaskChoice(BaseModel):
    """A task of a method."""

    name: str = Field(description="for the field task of a request")
    title: str = Field(description="name of its dataset, for people")
    own: bool = Field(description="whether a user defined the task; its title is then the text of the user")
    synthetic: bool = Field(description="whether its data were synthetic stand-ins for the dataset")
    left_out: bool = Field(False, description="whether this task was not part of the last training")
    test_score: str | None = Field(
        None,
        description="the score of the task on its test examples, in words; null if the model has changed since the "
        "evaluation, or if the score is not shown to be above every baseline",
    )
    doubt: str | None = Field(
        None,
        description="a sentence with the scores of the task and of a baseline that the task is not shown to beat; "
        "otherwise null",
    )
    texts: list[str] = Field(
        [], description="a few usual texts of the training data, if a user defined the task and its run recorded them"
    )


class SampleReply(BaseModel):
    """A sample image."""

    name: str = Field(description="last part of its path")
    alt: str = Field(description="what it shows, in words")
    texts: dict[str, str] = Field(description="a text to ask with each method")
    correct: str | None = Field(
        None,
        description="the correct reply to these texts, if the image is a test image (only this machine gets these)",
    )


class LimitsReply(BaseModel):
    """The limits of the service."""

    max_bytes: int = Field(description="of an image, and of all images in one JSON request")
    max_pixels: int = Field(description="of an image")
    max_request_pixels: int = Field(description="pixels of all images in one JSON request")
    text: int = Field(description="characters of a text")
    turns: int = Field(description="turns of a dialogue")
    boxes: int = Field(description="boxes of a request")
    images: int = Field(description="images of a request")
    captions: int = Field(description="captions of a request")
    scene_seconds: float = Field(description="seconds for which a scene is stored after the last question about it")


class ModelReply(BaseModel):
    """What the model can do, and the limits of the service."""

    version: str = Field(description="version of twelve")
    parameters: int = Field(description="number of parameters of the model")
    digest: str | None = Field(description="SHA-256 of the file of the weights; null if there is none")
    methods: dict[str, list[TaskChoice]] = Field(description="the tasks of each method; the first is the default")
    note: str | None = Field(description="a note for users, if there is one")
    synthetic: bool = Field(description="whether it was trained on synthetic images only")
    samples: list[SampleReply] = Field(description="images to try")
    indexed: int | None = Field(None, description="number of images that can be searched; null: there is no index")
    limits: LimitsReply


class Health(BaseModel):
    status: Literal["ok"] = Field(description="always the same; an error has another HTTP status")
    waiting: int = Field(description="number of accepted requests without an answer")
    scenes: int = Field(description="number of stored scenes")
