"""What replies say of a result, a scene and the model."""

from __future__ import annotations

from typing import Any

from twelve.outputs.parts.result import rounded
from twelve.predictor import Predictor, Result, Scene
from twelve.predictor.measured import TaskStanding
from twelve.predictor.synthetic import own_tasks, synthetic_tasks
from twelve.version import __version__
from twelve.web import replies
from twelve.web.fields import MAX_BOXES, MAX_CAPTIONS, MAX_IMAGES, MAX_TEXT, MAX_TURNS
from twelve.web.limits import Limits
from twelve.web.samples import Sample
from twelve.web.service import Service

_NAMES = {"true": "verdict"}
"""Field of a result in Python -> in replies, where a word of JSON would name it."""


def said(result: Result) -> dict[str, Any]:
    """A result as plain values, with its attention if it was requested."""
    attention = None if result.explained is None else result.explained.to_dict()
    values = {_NAMES.get(name, name): value for name, value in result.to_dict().items()}
    return {**values, "attention": attention}


def described_scene(service: Service, name: str, scene: Scene) -> replies.SceneReply:
    """The size and the boxes of a scene, and what is unusual about it."""
    regions = scene.regions
    boxes = rounded([tuple(map(float, box)) for box in regions.boxes])
    return replies.SceneReply(
        id=name,
        width=regions.width,
        height=regions.height,
        boxes=boxes,
        labels=scene.labels or [],
        expires_in=service.limits.scene_seconds,
        warnings=[replies.WarningReply(code=each.code, text=str(each)) for each in scene.warnings],
    )


def describe(
    predictor: Predictor, limits: Limits, samples: list[Sample], digest: str | None = None
) -> replies.ModelReply:
    """What a model can do."""
    drawn, own = synthetic_tasks(predictor.processor), own_tasks(predictor.processor)
    return replies.ModelReply(
        version=__version__,
        parameters=sum(weights.numel() for weights in predictor.model.parameters()),
        digest=digest,
        methods={
            method: [
                replies.TaskChoice(
                    name=name,
                    title=predictor.titles[name],
                    own=name in own,
                    synthetic=name in drawn,
                    left_out=name in predictor.processor.left_out,
                    test_score=predictor.standings.get(name, TaskStanding()).test_score,
                    doubt=predictor.standings.get(name, TaskStanding()).doubt,
                    texts=predictor.processor.own_texts.get(name, []) if name in own else [],
                )
                for name in names
            ]
            for method, names in predictor.methods.items()
        },
        note=predictor.note,
        synthetic=drawn >= predictor.processor.task_outputs.keys() > set(),
        samples=[
            replies.SampleReply(name=sample.name, alt=sample.alt, texts=sample.texts, correct=sample.correct)
            for sample in samples
        ],
        limits=replies.LimitsReply(
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
            max_request_pixels=limits.max_request_pixels,
            text=MAX_TEXT,
            turns=MAX_TURNS,
            boxes=MAX_BOXES,
            images=MAX_IMAGES,
            captions=MAX_CAPTIONS,
            scene_seconds=limits.scene_seconds,
        ),
    )
