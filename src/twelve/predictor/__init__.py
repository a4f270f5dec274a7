"""Using a trained model: extract an image's regions once, then ask any number of questions.

model = twelve.load("examples/quickstart-model")
scene = model.scene("examples/scene.jpg")
scene.answer("what colour is the boat?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twelve.outputs.answer import Answered as Answered
    from twelve.outputs.pair import Verified as Verified
    from twelve.outputs.parts.result import Judged as Judged
    from twelve.outputs.parts.result import Result as Result
    from twelve.outputs.region import Chosen as Chosen
    from twelve.outputs.region import Located as Located
    from twelve.predictor.attention import Attention as Attention
    from twelve.predictor.dependence import Dependence as Dependence
    from twelve.predictor.index import index_folders as index_folders
    from twelve.predictor.index import remove_from_index as remove_from_index
    from twelve.predictor.loading import load as load
    from twelve.predictor.matched import Matched as Matched
    from twelve.predictor.predictor import Predictor as Predictor
    from twelve.predictor.questions import Question as Question
    from twelve.predictor.scene import Scene as Scene

# Imported when first used, so that what is asked can be checked before torch is there.
_LAZY = {
    "Answered": "outputs.answer",
    "Attention": "predictor.attention",
    "Chosen": "outputs.region",
    "Dependence": "predictor.dependence",
    "index_folders": "predictor.index",
    "Judged": "outputs.parts.result",
    "load": "predictor.loading",
    "Located": "outputs.region",
    "Matched": "predictor.matched",
    "Predictor": "predictor.predictor",
    "Question": "predictor.questions",
    "remove_from_index": "predictor.index",
    "Result": "outputs.parts.result",
    "Scene": "predictor.scene",
    "Verified": "outputs.pair",
}
__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"twelve.{_LAZY[name]}"), name)
