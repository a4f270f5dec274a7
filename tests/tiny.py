"""A data root small enough for tests: five tasks in their official layouts, regions whose features tell the colours.

Every image has one large region and two small ones; the large one's colour is what the annotations speak of.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from twelve.regions.store.arrow_format import schema
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

COLOURS = ("red", "green", "blue")
FEATURES = 8
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "what",
    "colour",
    "is",
    "it",
    "?",
    "a",
    "the",
    "thing",
    "one",
    "both",
    "are",
    "red",
    "green",
    "blue",
    "someone",
    "sings",
    "very",
    "big",
    "small",
]
TASKS = ("vqa", "flickr30k", "refcoco", "nlvr2", "snli_ve")


def colour_of(image: int) -> int:
    return (image * 7 + image // 3) % len(COLOURS)


def regions_of(image_id: str, number: int) -> Regions:
    rng = np.random.default_rng(number)
    colours = [(colour_of(number) + shift) % len(COLOURS) for shift in range(3)]
    features = 0.1 * rng.standard_normal((3, FEATURES))
    features[np.arange(3), colours] += 3
    features[0, -1] += 3  # the large one
    boxes = np.array([[0, 0, 60, 60], [60, 0, 100, 40], [60, 50, 90, 90]], dtype=np.float32)
    return Regions(
        image_id=image_id,
        width=100,
        height=100,
        boxes=boxes,
        features=features.astype(np.float16),
        scores=np.array([0.5, 0.9, 0.4], dtype=np.float32),
        class_ids=np.zeros(3, dtype=np.int16),
    )


def write_regions(folder: Path, images: dict[str, int], fingerprint: str = "tiny-1") -> None:
    """``images``: id with source -> number."""
    for source in sorted({image.split("/")[0] for image in images}):
        (folder / source).mkdir(parents=True, exist_ok=True)
        found = [regions_of(image, number) for image, number in images.items() if image.split("/")[0] == source]
        with PartWriter(
            folder / source / "tiny.arrow",
            schema(
                feature_size=FEATURES,
                scores=True,
                class_ids=True,
                metadata={"fingerprint": fingerprint, "backbone": "tiny"},
            ),
        ) as writer:
            for start in range(0, len(found), 16):
                writer.write(found[start : start + 16])
            writer.finish({})


def write_json(path: Path, tree: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make(root: Path, train: int = 24, val: int = 8) -> Path:
    """Write the data root (and its regions/) and return it."""
    images: dict[str, int] = {}
    splits = {"train": range(train), "val": range(train, train + val)}
    flickr, refs, instances = [], [], {"images": [], "annotations": [], "categories": [], "info": {}, "licenses": []}
    for split, numbers in splits.items():
        questions, annotations, pairs, entailments = [], [], [], []
        for number in numbers:
            colour = COLOURS[colour_of(number)]
            images[f"coco/{number}"] = images[f"flickr30k/{9000 + number}"] = number
            questions.append({"image_id": number, "question": "what colour is it ?", "question_id": number * 1000})
            annotations.append(
                {
                    "question_id": number * 1000,
                    "image_id": number,
                    "question_type": "what colour",
                    "answer_type": "other",
                    "multiple_choice_answer": colour,
                    "answers": [{"answer": colour, "answer_confidence": "yes", "answer_id": i + 1} for i in range(10)],
                }
            )
            captions = [
                f"a {colour} thing",
                f"the {colour} one is big",
                f"it is {colour}",
                f"very {colour}",
                f"{colour}",
            ]
            flickr.append(
                {
                    "filename": f"{9000 + number}.jpg",
                    "imgid": number,
                    "split": split,
                    "sentids": [number * 5 + i for i in range(5)],
                    "sentences": [
                        {"raw": caption, "tokens": caption.split(), "imgid": number, "sentid": number * 5 + i}
                        for i, caption in enumerate(captions)
                    ],
                }
            )
            instances["images"].append(
                {"id": 9000 + number, "file_name": f"{9000 + number}.jpg", "width": 100, "height": 100}
            )
            boxes = [[0, 0, 60, 60], [60, 0, 40, 40], [60, 50, 30, 40]]
            for place, box in enumerate(boxes):
                ann, named = number * 3 + place, COLOURS[(colour_of(number) + place) % 3]
                instances["annotations"].append(
                    {"id": ann, "image_id": 9000 + number, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
                )
                refs.append(
                    {
                        "ref_id": ann,
                        "ann_id": ann,
                        "image_id": 9000 + number,
                        "category_id": 1,
                        "file_name": f"{9000 + number}.jpg",
                        "split": split,
                        "sent_ids": [ann],
                        "sentences": [
                            {
                                "sent_id": ann,
                                "sent": f"the {named} one",
                                "raw": f"the {named} one",
                                "tokens": ["the", named, "one"],
                            }
                        ],
                    }
                )
            name = "train" if split == "train" else "dev"
            for side in (0, 1):
                images[f"nlvr2/{name}-{number}-0-img{side}"] = number + side * (number % 2)
            right = COLOURS[colour_of(number + number % 2)]
            for index, said in enumerate(COLOURS):
                pairs.append(
                    {
                        "identifier": f"{name}-{number}-0-{index}",
                        "sentence": f"both are {said}",
                        "label": str(colour == said and right == said),
                    }
                )
                label = "entailment" if said == colour else "contradiction"
                entailments.append((f"it is {said}", label))
            entailments.append(("someone sings", "neutral"))
            for index, (text, label) in enumerate(entailments[-4:]):
                entailments[len(entailments) - 4 + index] = {
                    "gold_label": label,
                    "sentence2": text,
                    "sentence1": "",
                    "captionID": f"{9000 + number}.jpg#0",
                    "pairID": f"{9000 + number}.jpg#{index}",
                    "Flickr30K_ID": str(9000 + number),
                }
        header = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": f"{split}2014"}
        write_json(
            root / "vqa" / f"v2_OpenEnded_mscoco_{split}2014_questions.json",
            header | {"task_type": "Open-Ended", "questions": questions},
        )
        write_json(root / "vqa" / f"v2_mscoco_{split}2014_annotations.json", header | {"annotations": annotations})
        write_lines(root / "nlvr2" / f"{name}.json", pairs)
        write_lines(root / "snli_ve" / f"snli_ve_{name}.jsonl", entailments)
    write_json(root / "flickr30k" / "dataset_flickr30k.json", {"dataset": "flickr30k", "images": flickr})
    write_json(root / "refcoco" / "instances.json", instances)
    (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))
    write_regions(root / "regions", images)
    (root / "tokenizer").mkdir(exist_ok=True)
    (root / "tokenizer" / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return root


def tree(root: Path, run: Path, **changes: Any) -> dict[str, Any]:
    """A configuration that trains a few seconds on :func:`make`'s data."""
    rates = {"vqa": 3e-3, "flickr30k": 6e-3, "refcoco": 3e-3, "nlvr2": 6e-3, "snli_ve": 6e-3}
    splits = {"vqa": "val", "flickr30k": "val", "refcoco": "val", "nlvr2": "dev", "snli_ve": "dev"}
    return {
        "run": str(run),
        "data": str(root),
        "sources": {"refcoco": "flickr30k"},
        "tasks": {
            task: {"test_split": splits[task], "batch_size": 8, "learning_rate": rates[task], "max_text": 12}
            for task in TASKS
        },
        "hold_out": "test+val",
        "val_fraction": 0.2,
        "seed": 3,
        "vocabulary": {"min_count": 1},
        "model": {
            "tokenizer": str(root / "tokenizer"),
            "architecture": {
                "vocab_size": len(WORDS),
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 64,
                "max_position_embeddings": 16,
                "v_hidden_size": 32,
                "v_num_hidden_layers": 2,
                "v_num_attention_heads": 4,
                "v_intermediate_size": 64,
                "bi_hidden_size": 32,
                "bi_num_attention_heads": 4,
                # Far fewer and narrower layers than usual: larger weights let them learn within seconds.
                "initializer_range": 0.1,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "v_hidden_dropout_prob": 0.0,
                "v_attention_probs_dropout_prob": 0.0,
                "t_biattention_id": [0, 1],
                "v_biattention_id": [0, 1],
            },
        },
        "optimizer": {"head_learning_rate": 6e-3, "bias_correction": True},
        "training": {"iterations": 12, "eval_every": 4, "save_every": 4, "log_every": 1, "threads": 1},
        "evaluation": {"derangements": 1, "resamples": 200, "batch_size": 32},
    } | changes
