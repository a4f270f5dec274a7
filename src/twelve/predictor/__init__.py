"""Using a trained model: look at a picture once, then ask.

model = twelve.load("runs/real-sample")
scene = model.look("photograph.jpg")
scene.answer("what colour is the boat?")
"""

from twelve.predictor.attention import Attention
from twelve.predictor.loading import load
from twelve.predictor.predictor import Predictor
from twelve.predictor.questions import Question
from twelve.predictor.results import Answer, Chosen, Judged, Located, Matched, Result, Verified
from twelve.predictor.scene import Scene

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
