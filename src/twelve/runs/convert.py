"""``twelve convert``: turns a released checkpoint of the original program into a model folder.

The released file holds weights alone. Its configuration is that of the paper, since numbers of attention heads cannot
be read from weights; the tokenizer, the names of the answers, and the region detector are files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.data.vocabulary import check_labels, read_label_map
from twelve.errors import ConfigError, DataError, found_in, nearest
from twelve.formats.pickles import read_pickle
from twelve.io import files
from twelve.model.bert_tokenizer import load_tokenizer
from twelve.model.checkpoints import read_released, read_released_config
from twelve.model.network import CONFIG, SAVED
from twelve.model.processor import FILES, TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.model.weights import load_weights
from twelve.outputs import get_output
from twelve.runs.card import FILE as CARD
from twelve.runs.card import write_card
from twelve.runs.card_origin import Origin
from twelve.tasks.base import all_tasks

if TYPE_CHECKING:
    from twelve.model.config import TwelveConfig

PAPER: Mapping[str, Any] = {
    **{"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2},
    **{"v_feature_size": 2048, "v_target_size": 1601, "v_hidden_size": 1024, "v_num_hidden_layers": 6},
    **{"v_num_attention_heads": 8, "v_intermediate_size": 1024, "bi_hidden_size": 1024, "bi_num_attention_heads": 8},
    **{"t_biattention_id": [6, 7, 8, 9, 10, 11], "v_biattention_id": [0, 1, 2, 3, 4, 5], "fusion_method": "mul"},
}
"""Sizes of the paper's model, in the names of the released configuration."""

TOKENIZER = "bert-base-uncased"


def convert(
    weights: Path,
    out: Path,
    *,
    config: Path | None = None,
    tokenizer: str = TOKENIZER,
    labels: Mapping[str, Path] | None = None,
    detector: Path | None = None,
) -> tuple[Path, list[str]]:
    """Write the model folder.

    Args:
        weights: the released file (``multi_task_model.bin``, ``pytorch_model_*.bin``).
        out: the folder; it may hold an earlier model, which is replaced, and nothing else.
        config: the released JSON configuration; None: that of the paper.
        tokenizer: vocab.txt, tokenizer.json, a folder with one of these, ``package:MODULE`` or a hub name.
        labels: output key -> file with its answers in the order of the head's columns: JSON, or the released pickle (a
            list, or answer -> row).
        detector: ``detectron_model.pth``, which lets the model take images.

    Returns:
        The folder, and what is missing in it, in words.

    Raises:
        CheckpointError, ConfigError: the weights do not fit the configuration.
        ConfigError: ``out`` holds anything but a model.
        DataError: labels cannot be read, or their number is not that of the head's columns.
    """
    files.check_replaceable(out, marks=(CONFIG, *FILES), names=(*SAVED, CARD), what="a model")
    state = load_weights(weights)
    built = read_released_config(dict(PAPER) if config is None else config, state)
    model = Twelve(built)
    with found_in(weights):
        model.load_state_dict(read_released(state, built))
    processor = TwelveProcessor(load_tokenizer(tokenizer))
    if processor.vocab_size != built.vocab_size:
        raise ConfigError(
            f"the tokenizer has {processor.vocab_size} word pieces, the model {built.vocab_size}",
            file=tokenizer,
            remedy="give the tokenizer that the model was trained with (bert-base-uncased)",
        )
    lacking = _vocabularies(processor, built, labels or {})
    processor.use_task_tokens("dataset" if built.task_specific_tokens else "none")
    _tasks(processor, built)
    if detector is None:
        lacking.append(
            "a detector (--detector detectron_model.pth): it can only read regions that were extracted before"
        )
    else:
        _detector(processor, detector)
    with files.replacing(out) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
        words = f"Converted from the released checkpoint `{weights.name}` of the paper's authors."
        parameters = sum(parameter.numel() for parameter in model.parameters())
        write_card(partial, built, processor, Origin(words), parameters)
    return out, lacking


def _vocabularies(processor: TwelveProcessor, config: TwelveConfig, labels: Mapping[str, Path]) -> list[str]:
    """Set the answers of every head; returns notes on those without names, which are numbered."""
    asked = {key: head["size"] for key, head in config.heads.items() if get_output(head["kind"]).needs_vocabulary}
    for key in labels:
        if key not in asked:
            raise ConfigError(
                f"the checkpoint has no head {key!r} with answers{nearest(key, asked)}",
                remedy=f"it has {', '.join(asked) or 'none'}",
            )
    lacking = []
    for key, size in asked.items():
        if key not in labels:
            processor.vocabularies[key] = [f"answer {number}" for number in range(size)]
            lacking.append(f"the names of the {size} answers of {key} (--labels {key}=FILE): they are numbered")
            continue
        names = read_labels(labels[key])
        if len(names) != size:
            raise DataError(
                f"{len(names)} answers, the head {key} has {size}",
                file=labels[key],
                remedy="give the file that belongs to this checkpoint",
            )
        processor.vocabularies[key] = names
    return lacking


def read_labels(path: Path) -> list[str]:
    """Answers of a JSON file or a plain pickle, in the order of their rows.

    Raises:
        DataError: it holds anything else.
    """
    if path.suffix in (".p", ".pkl", ".pickle"):
        return check_labels(read_pickle(path), path)
    return read_label_map(path)


def _tasks(processor: TwelveProcessor, config: TwelveConfig) -> None:
    """Add those of the twelve tasks whose heads the model has, with their rows of the token table."""
    for task in sorted(all_tasks().values(), key=lambda task: task.token):
        head = config.heads.get(task.output)
        if not task.extra and head is not None and head["kind"] == task.kind:
            processor.add_task(
                task.name,
                output=task.output,
                max_text=min(task.defaults.max_text, config.max_position_embeddings),
                row=task.token,
                rows=config.num_task_tokens,
            )


def _detector(processor: TwelveProcessor, weights: Path) -> None:
    from twelve.regions.extraction.extractor import Extractor
    from twelve.regions.extractor_config import ExtractorConfig

    extractor = Extractor(ExtractorConfig("x152", str(weights)))
    sources = {task.source for task in all_tasks().values() if task.name in processor.task_outputs}
    for source in sorted(sources):
        processor.region_fingerprints[source] = extractor.mark
        processor.region_recipes[source] = extractor.recipe().to_json()
