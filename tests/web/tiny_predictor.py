"""An untrained model of a few thousand weights that can be asked everything, saved as a trained one is."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import WORDS

from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.regions.looking import Extractor

HEADS = {
    "answer": {"kind": "answer", "size": 3},
    "alignment": {"kind": "alignment", "size": 1},
    "region": {"kind": "region", "size": 1},
    "pair": {"kind": "pair", "size": 2},
    "entailment": {"kind": "entailment", "size": 3},
}
OUTPUTS = {
    "vqa": "answer",
    "gqa": "answer",
    "flickr30k": "alignment",
    "refcoco": "region",
    "visual7w": "region",
    "guesswhat": "region",
    "nlvr2": "pair",
    "snli_ve": "entailment",
}


def save(folder: Path, tasks: tuple[str, ...] = tuple(OUTPUTS)) -> Path:
    """Write the model into ``folder`` and return it."""
    extractor = Extractor("microworld")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    processor = TwelveProcessor.from_tokenizer(folder / "vocab.txt")
    for row, name in enumerate(tasks):
        processor.add_task(name, output=OUTPUTS[name], max_text=16, row=row + 1)
    processor.vocabularies = {"answer": ["red", "green", "blue"]}
    processor.region_recipes = {"coco": extractor.recipe().to_json()}
    processor.region_fingerprints = {"coco": extractor.mark}
    used = {OUTPUTS[name] for name in tasks}
    torch.manual_seed(0)
    model = Twelve(
        TwelveConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
            v_feature_size=extractor.feature_size,
            v_hidden_size=16,
            v_num_hidden_layers=2,
            v_num_attention_heads=2,
            v_intermediate_size=32,
            bi_hidden_size=16,
            bi_num_attention_heads=2,
            t_biattention_id=[0, 1],
            v_biattention_id=[0, 1],
            task_specific_tokens=True,
            heads={key: head for key, head in HEADS.items() if key in used},
        )
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
