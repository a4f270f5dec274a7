"""A model of random weights that can be asked everything, with the microworld's detector, in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from twelve.model.bert_tokenizer import wordpieces
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] what colour is the ball ? a red green blue thing both show start stop answer yes "
    "no one it very big small"
)
ANSWERS = ["red", "green", "blue", "yes", "no", "2"]
TASKS = {
    "vqa": ("answer", "answer"),
    "coco": ("alignment", "alignment"),
    "refcoco": ("region", "region"),
    "visual7w": ("region", "region"),
    "guesswhat": ("region", "region"),
    "nlvr2": ("pair", "pair"),
    "snli_ve": ("entailment", "entailment"),
}
"""Task -> its head and the head's kind."""


def make(
    folder: Path,
    tasks: Mapping[str, tuple[str, str]] = TASKS,
    answers: Sequence[str] = ANSWERS,
    seed: int = 0,
    contrast: int = 0,
) -> Path:
    """Write the model folder and return it."""
    extractor = Extractor(ExtractorConfig("microworld"))
    processor = TwelveProcessor(
        wordpieces(WORDS.split()),
        vocabularies={"answer": answers},
        token_rows={task: row for row, task in enumerate(tasks)},
        task_outputs={task: head for task, (head, _) in tasks.items()},
        max_text=dict.fromkeys(tasks, 16),
        region_fingerprints={"coco": extractor.mark},
        region_recipes={"coco": extractor.recipe().to_json()},
        temperatures={"vqa": 2.0},
    )
    torch.manual_seed(seed)
    model = Twelve(
        TwelveConfig(
            vocab_size=processor.vocab_size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
            v_feature_size=extractor.feature_size,
            v_hidden_size=32,
            v_num_hidden_layers=2,
            v_num_attention_heads=4,
            v_intermediate_size=64,
            bi_hidden_size=32,
            bi_num_attention_heads=4,
            initializer_range=0.1,
            t_biattention_id=[0, 1],
            v_biattention_id=[0, 1],
            task_specific_tokens=True,
            contrast=contrast,
            heads={head: {"kind": kind, "size": len(answers)} for head, kind in tasks.values()},
        )
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def boxes(*shape: int, **options: Any) -> torch.Tensor:
    """(I, R, 5) boxes as a model takes them, at random but for region 0, which is the whole image."""
    made = torch.rand(*shape, **options)
    made[:, 0] = torch.tensor((0.0, 0.0, 1.0, 1.0, 1.0))
    return made
