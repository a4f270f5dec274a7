"""The endpoints. They reply with JSON; an invalid request gets a 4xx reply (:mod:`twelve.web.problems`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from twelve.errors import InputError, nearest
from twelve.predictor import Predictor
from twelve.predictor.checks import METHODS, Turn
from twelve.web import replies, requests
from twelve.web.described import describe, described_scene, said
from twelve.web.fields import ASKED, MAX_ID, MAX_NAME, MEASURED, PREFIX
from twelve.web.json_route import JsonRoute
from twelve.web.problems import TEXTS, ServiceError, documented
from twelve.web.replies import Code
from twelve.web.samples import Sample
from twelve.web.service import Service
from twelve.web.uploads import FORM, IMAGES, file_of

_BYTES = {"type": "string", "format": "binary", "description": "the file"}
_FILE = {
    "type": "object",
    "description": "one part, of any name",
    "properties": {"file": _BYTES},
    "additionalProperties": _BYTES,
    "minProperties": 1,
    "maxProperties": 1,
}
_BODIES = {kind: {"schema": _FILE if kind == FORM else _BYTES} for kind in (*IMAGES, FORM)}
_UPLOAD = {"requestBody": {"required": True, "content": _BODIES}}
OPEN: tuple[Code, ...] = ("unknown_host", "stopping")
"""Codes of the errors of an endpoint that needs no token."""
CLOSED: tuple[Code, ...] = (*OPEN, "unauthorized")
"""Those of an endpoint that needs one."""
_SENT: tuple[Code, ...] = (
    *CLOSED,
    "unreadable_body",
    "slow_body",
    "too_large",
    "unsupported_type",
    "invalid_input",
    "busy",
    "too_slow",
    "no_number",
)
"""Those of an endpoint that takes a body."""
_WITH_IMAGES: tuple[Code, ...] = (*_SENT, "invalid_image", "too_many_pixels")
"""Those of an endpoint that takes images."""
_ASKED = documented(*_WITH_IMAGES, "unknown_scene", "unknown_task")
_UPLOADED = documented(*_WITH_IMAGES, "foreign_origin")
_SEARCHED = documented(*_SENT, "no_index", "unknown_task")
_SHOWN = documented(*CLOSED, "unknown_image", "no_index", "invalid_input", "busy", "too_slow")
_STORED = documented(*CLOSED, "unknown_scene", "unknown_path", "invalid_input")
_LOCATION = {"description": "Where the scene is, relative to the path of the request.", "schema": {"type": "string"}}
_CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": {"Location": _LOCATION}}}
SceneId = Annotated[str, Path(min_length=1, max_length=MAX_ID, description="scene id")]
SampleName = Annotated[str, Path(min_length=1, max_length=MAX_ID, description=f"one of those in {PREFIX}/model")]
ImageName = Annotated[str, Query(min_length=1, max_length=MAX_NAME, description="its name in the reply to a search")]
TAGS = {
    "scenes": "Upload an image once. The service stores it with its regions as a scene, in memory, until some time "
    "after the last question. Ask about the scene by its id.",
    "questions": "Each request names its scene by the id, or contains the bytes of the image in base64.",
    "search": "For a service that was started with an index of images; others reply with 409.",
    "service": f"{PREFIX}/model lists the methods and limits of this service, and its samples to try.",
}
"""Tags of the endpoints, in the order of their groups."""


def routes(service: Service, samples: list[Sample], digest: str | None = None) -> list[APIRouter]:
    """Everything under :data:`~twelve.web.fields.PREFIX`."""
    found = [APIRouter(prefix=PREFIX, tags=[tag], route_class=JsonRoute) for tag in TAGS]
    scenes, questions, searched, about = found
    _keep(scenes, service)
    _single(questions, service)
    _depends(questions, service)
    _boxes(questions, service)
    _several(questions, service)
    _search(searched, service, digest)
    _describe(about, service, samples, digest)
    return found


def _describe(router: APIRouter, service: Service, samples: list[Sample], digest: str | None) -> None:
    described = describe(service.predictor, service.limits, samples, digest)
    described.indexed = service.indexed
    by_name = {sample.name: sample for sample in samples}

    @router.get(
        "/model",
        response_description="The tasks of the model and the limits of the service.",
        responses=documented(*CLOSED),
    )
    async def model() -> replies.ModelReply:
        """Describe the model and the limits of the service."""
        return described

    @router.get(
        "/samples/{name}",
        response_description="The image.",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}, **documented(*OPEN, "unknown_path", "invalid_input")},
    )
    async def sample(name: SampleName) -> Response:
        """Return a sample image."""
        if name not in by_name:
            raise ServiceError("unknown_path", "there is no such sample", f"see {PREFIX}/model")
        return Response(by_name[name].png, media_type="image/png")


def _keep(router: APIRouter, service: Service) -> None:
    @router.post(
        "/scenes",
        status_code=201,
        response_description="The new scene: its id, size and boxes.",
        openapi_extra=_UPLOAD,
        responses=_UPLOADED | _CREATED,
    )
    async def upload_image(request: Request, response: Response) -> replies.SceneReply:
        """Upload an image.

        The service extracts its regions and stores both as a scene, so that you can ask about it by its id. The body is
        the file itself, or `multipart/form-data` whose only part is the file. A form from a browser (a request with the
        header `Origin`) is refused, because any web page could send one.
        """
        scene = await service.scene(file_of(await request.body(), request))
        name = service.scenes.add(scene)
        response.headers["Location"] = f"scenes/{name}"  # relative, so that it is right below a path of a proxy
        return described_scene(service, name, scene)

    @router.get("/scenes/{scene}", response_description="The size and the boxes of the scene.", responses=_STORED)
    async def get_scene(scene: SceneId) -> replies.SceneReply:
        """Return the size and the boxes of a scene."""
        return described_scene(service, scene, service.scenes.get(scene))

    @router.delete(
        "/scenes/{scene}",
        response_description="The scene is deleted.",
        status_code=204,
        response_class=Response,
        responses=_STORED,
    )
    async def delete_scene(scene: SceneId) -> None:
        """Delete a scene."""
        service.scenes.remove(scene)


def _single(router: APIRouter, service: Service) -> None:
    @router.post(
        "/answer", response_description="The best answers with the confidence of each, best first.", responses=_ASKED
    )
    async def answer(asked: requests.AnswerRequest) -> replies.AnswerReply:
        """Answer a question about an image."""
        return replies.AnswerReply(**await _result(service, "answer", asked.question, {"image": asked.image}, asked))

    @router.post(
        "/locate",
        response_description="The best box, and the best boxes with the confidence of each.",
        responses=_ASKED,
    )
    async def locate(asked: requests.LocateRequest) -> replies.LocateReply:
        """Locate what a phrase refers to."""
        return replies.LocateReply(**await _result(service, "locate", asked.phrase, {"image": asked.image}, asked))

    @router.post(
        "/entails",
        response_description="The class with the highest confidence, and the confidence of all classes.",
        responses=_ASKED,
    )
    async def entails(asked: requests.EntailsRequest) -> replies.EntailsReply:
        """Check whether an image entails a statement."""
        return replies.EntailsReply(**await _result(service, "entails", asked.statement, {"image": asked.image}, asked))


def _depends(router: APIRouter, service: Service) -> None:
    @router.post(
        "/depends",
        response_description="The answer or class, its confidence, and its confidence without each box.",
        responses=_ASKED,
    )
    async def depends(asked: requests.DependsRequest) -> replies.DependsReply:
        """Measure how much the confidence falls without each region.

        The confidence is that of an answer, or of the result of another method.
        """
        _check_method(asked.method, MEASURED, service.predictor)
        if asked.right is None and METHODS.get(asked.method) == 2:
            raise ServiceError(
                "invalid_input",
                f"right: {asked.method} takes two images, found one",
                "add right, the right image",
                field="right",
            )
        _check_words(asked, service.predictor)
        images = {"image": asked.image} | ({} if asked.right is None else {"right": asked.right})
        found = await service.depends(asked.method, asked.text, images, asked.task)
        return replies.DependsReply(**found.to_dict())


def _boxes(router: APIRouter, service: Service) -> None:
    @router.post("/choose", response_description="The best box, and the confidence of all boxes.", responses=_ASKED)
    async def choose(asked: requests.ChooseRequest) -> replies.ChooseReply:
        """Choose the box that answers a question."""
        return replies.ChooseReply(**await _result(service, "choose", asked.question, {"image": asked.image}, asked))

    @router.post("/guess", response_description="The best box, and the confidence of all boxes.", responses=_ASKED)
    async def guess(asked: requests.GuessRequest) -> replies.GuessReply:
        """Guess which box a dialogue is about."""
        turns: list[Turn] = [(turn.question, turn.answer) for turn in asked.dialogue]
        return replies.GuessReply(**await _result(service, "guess", turns, {"image": asked.image}, asked))


def _several(router: APIRouter, service: Service) -> None:
    @router.post("/verify", response_description="Whether the statement is true, and the confidence.", responses=_ASKED)
    async def verify(asked: requests.VerifyRequest) -> replies.VerifyReply:
        """Check whether a statement is true of two images.

        The attention is that of the left image.
        """
        images = {"left": asked.left, "right": asked.right}
        return replies.VerifyReply(**await _result(service, "verify", asked.statement, images, asked))

    # A further output has replies of its own.
    every = [getattr(replies, f"{method.capitalize()}Reply", dict[str, Any]) for method in ASKED]

    @router.post(
        "/ask",
        response_description="What the endpoint of the method replies with.",
        response_model=None,
        responses=_ASKED | {200: {"model": reduce(or_, every)}},
    )
    async def ask(asked: requests.AskRequest) -> dict[str, Any]:
        """Call any method by its name.

        The method takes a text and no boxes: `answer`, `entails`, `verify` or `locate`. The method of an output of your
        own has no endpoint: name it here. The fields of the reply depend on the method. Those of the example are of
        `answer`.
        """
        _check_method(asked.method, ASKED, service.predictor)
        return await _result(service, asked.method, asked.text, _by_path(asked.images), asked)

    @router.post("/match", response_description="The images for each caption, best first.", responses=_ASKED)
    async def match(asked: requests.MatchRequest) -> replies.MatchReply:
        """Match captions with images.

        Every caption is scored with every image, or with those on its shortlist.
        """
        _check_words(asked, service.predictor)
        chosen = asked.shortlist, asked.contrast_weight
        found = await service.match(_by_path(asked.images), asked.captions, asked.task, *chosen)
        told = found.to_dict()
        for each in told["captions"]:  # an image's name is its index
            each["images"] = [{"index": ranked["image"], "share": ranked["share"]} for ranked in each["images"]]
        return replies.MatchReply(**told)


def _search(router: APIRouter, service: Service, digest: str | None) -> None:
    @router.post("/search", response_description="The images that match best, with their shares.", responses=_SEARCHED)
    async def search(asked: requests.SearchRequest) -> replies.SearchReply:
        """Find the images that match a caption.

        The contrast head chooses a shortlist among the images of the service's index, and the model ranks it, as
        `twelve match --index` does.
        """
        _check_words(asked, service.predictor)
        found = await service.search(asked.text, asked.task, asked.shortlist, asked.contrast_weight)
        told = {} if found.matched is None else found.matched.to_dict(asked.top)
        return replies.SearchReply(
            text=asked.text,
            task=service.predictor.task_for("match", asked.task),
            calibrated=told.get("calibrated", False),
            reliable=told.get("reliable", True),
            images=[replies.FoundImage(**each) for ranked in told.get("captions", ()) for each in ranked["images"]],
            ranked=0 if found.matched is None else len(found.matched.images),
            indexed=service.indexed or 0,
            skipped=found.skipped,
            digest=digest,
            warnings=told.get("warnings", []),
        )

    @router.get(
        "/thumbnail",
        response_description="The thumbnail.",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **_SHOWN},
    )
    async def thumbnail(image: ImageName) -> Response:
        """Return a thumbnail of an image that can be searched."""
        return Response(await service.thumbnail(image), media_type="image/jpeg")


async def _result(
    service: Service,
    method: str,
    text: str | Sequence[Turn],
    images: Mapping[str, requests.ImageOf],
    asked: requests.Explained,
) -> dict[str, Any]:
    """The fields of a method's reply to a request, whose texts are checked first."""
    _check_words(asked, service.predictor)
    found = await service.ask(
        method,
        text,
        images,
        task=asked.task,
        explain=asked.explain,
        threshold=getattr(asked, "threshold", None),
        boxes=getattr(asked, "boxes", ()),
    )
    return said(found)


def _by_path(images: Sequence[requests.ImageOf]) -> dict[str, requests.ImageOf]:
    """The images of a list by their paths in the request."""
    return {f"images.{place}": image for place, image in enumerate(images)}


def _check_method(method: str, taken: Sequence[str], predictor: Predictor) -> None:
    """Raise ServiceError for a method that the model does not have, or that an endpoint does not take."""
    able = [each for each in taken if each in predictor.methods]
    if method not in able:
        known = " or ".join(", ".join(able).rsplit(", ", 1)) or "another model"
        own = method in predictor.methods and method not in ASKED
        problem = f"method: expected {known}, found {method}{nearest(method, able)}"
        raise ServiceError(
            "invalid_input", problem, f"use POST {PREFIX}/{method}" if own else f"use {known}", field="method"
        )


def _check_words(asked: BaseModel, predictor: Predictor) -> None:
    """Raise ServiceError, which names the field, for a text without words that the model can read."""
    for field, text in _texts(asked):
        try:
            predictor.check_words(text)
        except InputError as error:
            raise ServiceError("invalid_input", f"{field}: {error.problem}", error.remedy, field=field) from None


def _texts(asked: BaseModel) -> Iterator[tuple[str, str]]:
    """The texts of a request, with the path of each."""
    yield from ((name, text) for name, text in asked if name in TEXTS)
    yield from ((f"captions.{place}", text) for place, text in enumerate(getattr(asked, "captions", ())))
    yield from (
        (f"dialogue.{place}.question", turn.question) for place, turn in enumerate(getattr(asked, "dialogue", ()))
    )
