"""Using a trained model: look at an image once, then ask.

model = twelve.load("runs/real-sample")
scene = model.look("photograph.jpg")
scene.answer("what colour is the boat?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twelve.predictor.attention import Attention
    from twelve.predictor.loading import load
    from twelve.predictor.predictor import Predictor
    from twelve.predictor.questions import Question
    from twelve.predictor.results import Answer, Chosen, Judged, Located, Matched, Result, Verified
    from twelve.predictor.scene import Scene

# Imported when first used, so that what is asked can be checked before torch is there.
_LAZY = {
    "Attention": "attention",
    "load": "loading",
    "Predictor": "predictor",
    "Question": "questions",
    **dict.fromkeys(("Answer", "Chosen", "Judged", "Located", "Matched", "Result", "Verified"), "results"),
    "Scene": "scene",
}
__all__ = [
    "Answer",
    "Attention",
    "Chosen",
    "Judged",
    "Located",
    "Matched",
    "Predictor",
    "Question",
    "Result",
    "Scene",
    "Verified",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
