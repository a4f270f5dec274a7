"""The images, words and objects that the files of official size (official_files.py) are about.

Everything is drawn from fixed seeds, each image's objects from its own, so that files and regions, written apart, agree
and nothing large is held. Counts are those of the complete releases: as the tasks of this package state them, else of
their papers, else (numbers of objects and images that no source states) of the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUESTIONS = {
    "vqa": {"train2014": 443_757, "val2014": 214_354, "test2015": 447_793, "test-dev2015": 107_394},
    "gqa balanced": {"train": 943_000, "val": 132_062, "testdev": 12_578, "test": 95_336, "challenge": 50_726},
    "gqa all": {"train": 14_305_356, "val": 2_011_853, "testdev": 172_174, "test": 1_340_048, "challenge": 713_449},
    "gqa submission": {"submission": 4_237_524},
    "vg_qa": {"all": 1_445_322},
    "coco": {"train": 414_113, "restval": 152_634, "val": 25_010, "test": 25_010},
    "flickr30k": {"train": 145_000, "val": 5_070, "test": 5_000},
    "refcoco": {"train": 120_624, "val": 10_834, "testA": 5_657, "testB": 5_095},
    "refcoco+": {"train": 120_191, "val": 10_758, "testA": 5_726, "testB": 4_889},
    "refcocog": {"train": 80_512, "val": 4_896, "test": 9_602},
    "visual7w": {"train": 93_813, "val": 36_990, "test": 57_265},
    "guesswhat": {"train": 113_221, "valid": 23_739, "test": 23_785},
    "nlvr2": {"train": 86_373, "dev": 6_982, "test1": 6_967, "test2": 6_970},
    "snli_ve": {"train": 529_527, "dev": 17_858, "test": 17_901},
}
"""Folder (and kind of files) -> split -> examples."""
IMAGES = {
    "vqa": {"train2014": 82_783, "val2014": 40_504, "test2015": 81_434, "test-dev2015": 36_807},
    "gqa": {"train": 72_140, "val": 10_234, "testdev": 398, "test": 2_987, "challenge": 1_590},
    "vg_qa": {"all": 108_077, "coco": 51_208},
    "coco": {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000},
    "flickr30k": {"train": 29_000, "val": 1_014, "test": 1_000, "all": 31_783},
    "refcoco": {"train": 16_994, "val": 1_500, "testA": 750, "testB": 750},
    "refcoco+": {"train": 16_992, "val": 1_500, "testA": 750, "testB": 750},
    "refcocog": {"train": 21_899, "val": 1_300, "test": 2_600},
    "visual7w": {"train": 23_595, "val": 9_303, "test": 14_402},
    "guesswhat": {"train": 46_794, "valid": 9_844, "test": 9_899},
    "nlvr2": {"train": 51_585, "dev": 4_051, "test1": 4_041, "test2": 4_074},
    "snli_ve": {"train": 29_783, "dev": 1_000, "test": 1_000},
}
"""Folder -> split -> images; of NLVR2, pairs of images."""
SIZES = ((640, 480), (480, 640), (640, 427), (500, 375))
WORDS, ANSWERS = 12_000, 1_842
MOST_OBJECTS, LEAST_OBJECTS = 20, 3


def of_scale(count: int, scale: float, least: int = 2) -> int:
    return count if scale == 1 else min(count, max(least, round(count * scale)))


_TURNS = [math.tau * step / 24 for step in range(24)]
_CIRCLE = [((1 + math.cos(turn)) / 2, (1 + math.sin(turn)) / 2) for turn in _TURNS]


@dataclass(frozen=True)
class Thing:
    """An object of an image: box x, y, width, height in pixels."""

    number: int
    category: int
    box: tuple[float, float, float, float]

    @property
    def outline(self) -> str:
        """A polygon of COCO's usual length."""
        x, y, width, height = self.box
        return "[" + ", ".join(f"{x + width * a:.2f}, {y + height * b:.2f}" for a, b in _CIRCLE) + "]"


class World:
    """Ids of images, and words.

    Args:
        scale: share of the official numbers of examples and images, 0..1.
        seed: of everything drawn.
    """

    def __init__(self, scale: float = 1.0, seed: int = 0) -> None:
        self.scale, self.seed = scale, seed

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *key))

    def questions(self, name: str) -> dict[str, int]:
        return {split: of_scale(count, self.scale, 60) for split, count in QUESTIONS[name].items()}

    def sizes(self, name: str) -> dict[str, int]:
        return {split: of_scale(count, self.scale) for split, count in IMAGES[name].items()}

    # --- images -----------------------------------------------------------------------------------------------
    @cached_property
    def coco(self) -> dict[str, NDArray[np.int64]]:
        """train2014, val2014 and test2015."""
        return _parted(self.rng(1).permutation(581_929) + 1, self.sizes("vqa"), ("train2014", "val2014", "test2015"))

    @cached_property
    def genome(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids of Visual Genome, and the id of the same photograph in COCO (0: none)."""
        rng, sizes = self.rng(2), self.sizes("vg_qa")
        ids = np.sort(rng.permutation(2_417_997)[: sizes["all"]] + 1)
        labelled = np.concatenate([self.coco["train2014"], self.coco["val2014"]])
        also = np.zeros(len(ids), np.int64)
        also[rng.permutation(len(ids))[: sizes["coco"]]] = rng.permutation(labelled)[: sizes["coco"]]
        return ids, also

    def of_genome(self, name: str, key: int) -> dict[str, NDArray[np.int64]]:
        """Visual Genome's images of a dataset's splits; Visual7W's are all in COCO."""
        ids, also = self.genome
        found = ids[also > 0] if name == "visual7w" else ids
        return _parted(self.rng(3, key).permutation(found), self.sizes(name), tuple(self.sizes(name)))

    def gqa(self) -> dict[str, list[str]]:
        parts = self.of_genome("gqa", 0)
        sizes = self.sizes("gqa")
        found = {split: list(map(str, parts[split].tolist())) for split in ("train", "val")}
        others = iter(self.rng(4).permutation(600_000).tolist())
        return found | {
            split: [f"n{next(others)}" for _ in range(sizes[split])] for split in sizes if split not in found
        }

    def captioned(self) -> dict[str, NDArray[np.int64]]:
        """Karpathy's split of COCO."""
        val = self.rng(5).permutation(self.coco["val2014"])
        return {"train": self.coco["train2014"]} | _parted(val, self.sizes("coco"), ("restval", "val", "test"))

    @cached_property
    def flickr(self) -> NDArray[np.int64]:
        return np.sort(self.rng(6).permutation(9_000_000)[: self.sizes("flickr30k")["all"]] * 797 + 36_979)

    def of_flickr(self, name: str, key: int) -> dict[str, NDArray[np.int64]]:
        sizes = self.sizes(name)
        return _parted(self.rng(7, key).permutation(self.flickr), sizes, [split for split in sizes if split != "all"])

    def of_coco(self, name: str, key: int) -> dict[str, NDArray[np.int64]]:
        """COCO's images of a dataset's splits: referring expressions are about train2014 alone."""
        parts = ("train2014",) if name.startswith("ref") else ("train2014", "val2014")
        ids = np.concatenate([self.coco[part] for part in parts])
        return _parted(self.rng(8, key).permutation(ids), self.sizes(name), tuple(self.sizes(name)))

    def pairs(self, split: str) -> Iterator[str]:
        """NLVR2's pairs of images: split-set-pair."""
        return (f"{split}-{number // 4}-{number % 4}" for number in range(self.sizes("nlvr2")[split]))

    @cached_property
    def training_images(self) -> frozenset[int]:
        return frozenset(self.coco["train2014"].tolist())

    def file_name(self, image: int) -> str:
        """The name of an image of COCO's 2014 release."""
        part = "train2014" if image in self.training_images else "val2014"
        return f"COCO_{part}_{image:012d}.jpg"

    @staticmethod
    def size(image: int) -> tuple[int, int]:
        return SIZES[image % len(SIZES)]

    def things(self, image: int, least: int = LEAST_OBJECTS, *, whole: bool = False) -> list[Thing]:
        """The objects of an image, all inside it. ``whole``: coordinates are integers."""
        rng, (wide, high) = self.rng(9, image), self.size(image)
        count = int(rng.integers(least, MOST_OBJECTS + 1 if least == LEAST_OBJECTS else least + 1))
        numbers = rng.random((count, 5)) * (0.65 * wide, 0.65 * high, 0.3 * wide, 0.3 * high, 80)
        numbers += (1, 1, 8, 8, 1)
        rows = np.round(numbers, 0 if whole else 2).tolist()
        return [
            Thing(20 * image + place, int(row[4]), tuple(map(int, row[:4])) if whole else tuple(row[:4]))  # type: ignore[arg-type]
            for place, row in enumerate(rows)
        ]

    # --- words ------------------------------------------------------------------------------------------------
    @cached_property
    def words(self) -> NDArray[Any]:
        """Words of letters, the short ones first, which are the frequent ones."""
        rng, found = self.rng(10), dict[str, None]()
        while len(found) < WORDS:
            length = 3 + len(found) * 7 // WORDS
            found["".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, length))] = None
        return np.array(list(found), dtype=object)

    def drawn(self, rng: np.random.Generator, count: int, most: int = WORDS) -> list[str]:
        """Words whose frequency falls with their rank (Zipf)."""
        return self.words[(most ** rng.random(count)).astype(np.int64) - 1].tolist()

    def texts(self, rng: np.random.Generator, count: int, least: int, longest: int, most: int = WORDS) -> list[str]:
        """Texts of ``least`` to ``longest`` words."""
        ends = np.cumsum(rng.integers(least, longest + 1, count))
        flat, start, found = self.drawn(rng, int(ends[-1]) if count else 0, most), 0, []
        for end in ends.tolist():
            found.append(" ".join(flat[start:end]))
            start = end
        return found


def _parted(ids: NDArray[np.int64], sizes: dict[str, int], names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    ends = np.cumsum([sizes[name] for name in names])
    assert ends[-1] <= len(ids), f"{ends[-1]} of {len(ids)}"
    return dict(zip(names, np.split(ids[: ends[-1]], ends[:-1]), strict=True))
