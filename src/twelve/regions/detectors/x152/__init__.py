"""ResNeXt-152 Faster R-CNN with a feature pyramid: the detector whose region features ViLBERT and 12-in-1 use.

Written from its configuration and from what the original program (vqa-maskrcnn-benchmark) computes, with torch and
torchvision alone; ``twelve regions parity`` compares it with recordings of that program.
"""

from twelve.regions.detectors.x152.detector import X152, Look, Precision, build
from twelve.regions.detectors.x152.preprocessing import Prepared
from twelve.regions.detectors.x152.records import Layout, Record
from twelve.regions.detectors.x152.sizes import PAPER, Sizes

__all__ = ["PAPER", "X152", "Layout", "Look", "Precision", "Prepared", "Record", "Sizes", "build"]
