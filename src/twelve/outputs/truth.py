"""Is a statement true of one image (FOIL: Shekhar et al. 2017).

The original gave this the head of two images (outputs/pair.py), which halves a batch and so never fitted one; here
it has a head of its own.
"""

from __future__ import annotations

from typing import ClassVar

from twelve.outputs.classes import Classes


class Truth(Classes):
    """True or False; ``Example.target`` is a bool, or None where it is not known."""

    kind: ClassVar[str] = "truth"
    skill: ClassVar[str] = "verification"
    classes: ClassVar[tuple[str | bool, ...]] = (True, False)
