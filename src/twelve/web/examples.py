"""An example of every request and reply, for the description of the API: questions about ``examples/scene.jpg``,
searches of ``examples/tutorial/images/mine``, and what ``examples/quickstart-model`` replies."""

from __future__ import annotations

from typing import Any

from twelve.version import __version__
from twelve.web.fields import PREFIX

IMAGE = {"scene": "ID"}
"""A scene: ``ID`` stands for the id that the service replied with."""
DIGEST = "ff057c1ba68d7e6feaa35d15e5bfc287035f73e9d080736832e4f77d2df747f4"
_BOXES = [[88, 99, 137, 125], [71, 69, 96, 90], [42, 24, 69, 52]]
_REPLIED = [[float(side) for side in box] for box in _BOXES]


def _reply(text: str, task: str, confidence: float, **others: Any) -> dict[str, Any]:
    rest = {"calibrated": True, "reliable": True, "warnings": [], "attention": None}
    return {"text": text, "task": task, "confidence": confidence, **rest, **others}


def _candidates(*best: tuple[int, float, float]) -> dict[str, Any]:
    """What is said of the boxes, from (index, confidence, share) of each."""
    return {
        "alternatives": [{"index": index, "box": _REPLIED[index], "confidence": alone} for index, alone, _ in best],
        "shares": [{"index": index, "share": share} for index, _, share in best],
    }


def _task(name: str, title: str, score: str) -> dict[str, Any]:
    measured = f"{score} synthetic test examples, better than every baseline"
    rest: dict[str, Any] = {"own": False, "synthetic": True, "left_out": False, "doubt": None, "texts": []}
    return {"name": name, "title": title, "test_score": measured, **rest}


CLIENT = """\
from twelve.client import Client

service = Client("http://127.0.0.1:8012")
scene = service.scene("examples/scene.jpg")
reply = scene.answer("what colour is the boat?")
print(f"{reply['answer']} ({reply['confidence']:.0%})")  # red (97%)
"""
"""A program that uses the client: that of docs/http-api.md."""

EXAMPLES: dict[str, dict[str, Any]] = {
    "ImageOf": IMAGE,
    "AnswerRequest": {"image": IMAGE, "question": "what colour is the boat?"},
    "LocateRequest": {"image": IMAGE, "phrase": "the big blue bottle"},
    "EntailsRequest": {"image": IMAGE, "statement": "there is a red boat"},
    "ChooseRequest": {"image": IMAGE, "question": "which one is a boat?", "boxes": _BOXES},
    "GuessRequest": {
        "image": IMAGE,
        "dialogue": [{"question": "is it a boat?", "answer": "yes"}],
        "boxes": _BOXES,
    },
    "VerifyRequest": {"left": IMAGE, "right": IMAGE, "statement": "both images contain a boat"},
    "AskRequest": {"method": "answer", "text": "what colour is the boat?", "images": [IMAGE]},
    "DependsRequest": {"image": IMAGE, "text": "what colour is the boat?"},
    "MatchRequest": {"images": [IMAGE], "captions": ["a red boat"]},
    "SearchRequest": {"text": "a green boat", "top": 3, "shortlist": 10},
    "SceneReply": {
        "id": "ID",
        "width": 160,
        "height": 128,
        "boxes": [[88.425674, 98.752869, 136.940536, 125.396088], [70.967575, 69.14045, 95.799118, 89.652611]],
        "labels": ["car", "boat"],
        "expires_in": 900.0,
        "warnings": [],
    },
    "AnswerReply": _reply(
        "what colour is the boat?",
        "vqa",
        0.968784,
        answer="red",
        alternatives=[{"answer": "red", "confidence": 0.968784}, {"answer": "purple", "confidence": 0.0526149}],
    ),
    "LocateReply": _reply(
        "the big blue bottle",
        "refcoco",
        0.955654,
        box=[93.720184, 0.0, 113.524841, 48.753437],
        alternatives=[{"box": [93.720184, 0.0, 113.524841, 48.753437], "confidence": 0.955654}],
        unlikely=False,
    ),
    "EntailsReply": _reply(
        "there is a red boat",
        "snli_ve",
        0.967624,
        label="entailment",
        alternatives=[
            {"label": "entailment", "confidence": 0.967624},
            {"label": "contradiction", "confidence": 0.0170444},
            {"label": "neutral", "confidence": 0.0153321},
        ],
    ),
    "ChooseReply": _reply(
        "which one is a boat?",
        "visual7w",
        0.978168,
        index=1,
        box=_REPLIED[1],
        **_candidates((1, 0.978168, 0.999876), (0, 0.00335303, 0.000075079), (2, 0.0021946, 0.0000490831)),
    ),
    "GuessReply": _reply(
        "is it a boat? yes",
        "guesswhat",
        0.874702,
        index=1,
        box=_REPLIED[1],
        **_candidates((1, 0.874702, 0.983188), (0, 0.0671828, 0.0101434), (2, 0.0452085, 0.00666856)),
    ),
    "VerifyReply": _reply("both images contain a boat", "nlvr2", 0.997508, verdict=True),
    "DependsReply": {
        "text": "what colour is the boat?",
        "task": "vqa",
        "value": "red",
        "confidence": 0.968784,
        "calibrated": True,
        "reliable": True,
        "boxes": [[88.425674, 98.752869, 136.940536, 125.396088], [70.967575, 69.14045, 95.799118, 89.652611]],
        "confidence_without": [0.963219, 0.0256999],
        "labels": ["car", "boat"],
        "sides": [],
        "warnings": [],
    },
    "MatchReply": {
        "task": "coco",
        "calibrated": True,
        "reliable": True,
        "captions": [{"caption": "a red boat", "images": [{"index": 0, "share": 1.0}]}],
        "shortlist": None,
        "logits": [[-2.733009]],
        "warnings": [],
    },
    "SearchReply": {
        "text": "a green boat",
        "task": "coco",
        "calibrated": False,
        "reliable": True,
        "images": [
            {"image": "examples/tutorial/images/mine/08.jpg", "share": 0.535607},
            {"image": "examples/tutorial/images/mine/24.jpg", "share": 0.438647},
            {"image": "examples/tutorial/images/mine/38.jpg", "share": 0.0222645},
        ],
        "ranked": 10,
        "indexed": 40,
        "skipped": [],
        "digest": DIGEST,
        "warnings": [],
    },
    "ModelReply": {
        "version": __version__,
        "parameters": 2000872,
        "digest": DIGEST,
        "methods": {
            "answer": [_task("vqa", "VQA v2", "74.9% on 2,040"), _task("gqa", "GQA", "74.6% on 1,199")],
            "locate": [_task("refcoco", "RefCOCO", "90.2% on 674")],
        },
        "note": "This model was trained on synthetic images only, not on photographs.",
        "synthetic": True,
        "samples": [],
        "indexed": None,
        "limits": {
            "max_bytes": 16_000_000,
            "max_pixels": 36_000_000,
            "max_request_pixels": 144_000_000,
            "text": 2000,
            "turns": 20,
            "boxes": 100,
            "images": 64,
            "captions": 32,
            "scene_seconds": 900.0,
        },
    },
    "Health": {"status": "ok", "waiting": 0, "scenes": 1},
    "Problem": {
        "code": "invalid_input",
        "error": "question contains only spaces",
        "remedy": "write a question",
        "fields": [{"path": "question", "message": "contains only spaces"}],
    },
}
"""Name of a schema -> an example."""


def add_examples(description: dict[str, Any]) -> None:
    """Add the examples to an OpenAPI description. FastAPI would drop their nulls."""
    for name, schema in description["components"]["schemas"].items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    asked = description["paths"][f"{PREFIX}/ask"]["post"]["responses"]["200"]["content"]["application/json"]
    asked["example"] = EXAMPLES["AnswerReply"]
