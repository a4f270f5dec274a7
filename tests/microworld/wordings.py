"""The wordings of the tasks whose texts are phrases about scenes."""

from __future__ import annotations

from twelve.microworld.writers import captions, guesswhat, nlvr2, refer, snli_ve, visual7w

DATASETS = {
    "coco": captions.COCO,
    "flickr30k": captions.FLICKR30K,
    "refcoco": refer.REFCOCO,
    "refcoco+": refer.REFCOCO_PLUS,
    "refcocog": refer.REFCOCOG,
    "visual7w": visual7w.WORDINGS,
    "guesswhat": guesswhat.WORDINGS,
    "nlvr2": nlvr2.WORDINGS,
    "snli_ve": snli_ve.WORDINGS,
}
