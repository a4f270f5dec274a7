"""Sizes of a drawn world that takes a second to make."""

from __future__ import annotations

from twelve.microworld.world import WorldSizes

SIZES = WorldSizes(
    coco_train2014=(24, 12),
    coco_val2014=(6, 16),
    coco_test2015=(0, 4),
    vg_train=(12, 6),
    vg_val=(0, 6),
    vg_testdev=(0, 6),
    flickr30k=(30, 12),
    nlvr2_train=(12, 0),
    nlvr2_dev=(0, 6),
    nlvr2_test1=(0, 6),
)
