"""ResNeXt-152 Faster R-CNN with a feature pyramid: the detector whose region features ViLBERT and 12-in-1 use.

Implemented with torch and torchvision from the configuration and the output of the original program
(vqa-maskrcnn-benchmark). ``twelve regions parity`` compares it with recordings of that program.
"""

from twelve.regions.detectors.x152.detector import NAME, X152, Encoded, build, build_from
from twelve.regions.detectors.x152.preprocessing import Scaled
from twelve.regions.detectors.x152.sizes import PAPER, X152Sizes

__all__ = ["NAME", "PAPER", "X152", "Encoded", "Scaled", "X152Sizes", "build", "build_from"]
