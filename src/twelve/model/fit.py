"""Whether a saved processor and a model belong together."""

from __future__ import annotations

from pathlib import Path

from twelve.errors import CheckpointError
from twelve.model.bert_tokenizer import TOKENIZER_FILE
from twelve.model.processor import TwelveProcessor
from twelve.model.processor_file import CONFIG_FILE, SAVED
from twelve.model.settings import Settings


def check_fit(processor: TwelveProcessor, config: Settings, folder: Path) -> None:
    """Check that a saved processor matches its model.

    Raises:
        CheckpointError: the processor refers to a head, row or position that the model lacks, or has another number of
            word pieces or labels.
    """

    from twelve.outputs import get_output

    def must(fits: bool, record: str, wanted: object, found: object) -> None:
        if not fits:
            problem = f"expected {wanted}, as in the model, found {found}"
            raise CheckpointError(problem, file=folder / CONFIG_FILE, record=record, remedy=SAVED)

    if processor.vocab_size != config.vocab_size:
        problem = f"expected {config.vocab_size} word pieces, as in the model, found {processor.vocab_size}"
        raise CheckpointError(problem, file=folder / TOKENIZER_FILE, remedy=SAVED)
    heads, rows, longest = config.heads, config.num_task_tokens, config.max_position_embeddings
    own = [*heads, *(("pretraining",) if config.pretraining else ())]
    for task, key in processor.task_outputs.items():
        must(key in own, f"task_outputs.{task}", f"one of {', '.join(own)}" if own else "no task", repr(key))
        must(task in processor.max_text, f"max_text.{task}", f"a number up to {longest}", "none")
        must(not config.task_specific_tokens or task in processor.token_rows, f"token_rows.{task}", "a row", "none")
        if key in heads and get_output(heads[key]["kind"]).needs_vocabulary:
            must(key in processor.vocabularies, f"vocabularies.{key}", f"{heads[key]['size']} labels", "none")
    for task, row in processor.token_rows.items():
        must(row < rows, f"token_rows.{task}", f"a row below {rows}", row)
    for task, most in processor.max_text.items():
        must(3 <= most <= longest, f"max_text.{task}", f"3 to {longest} word pieces", most)
    for key, labels in processor.vocabularies.items():
        must(key in heads, f"vocabularies.{key}", f"one of {', '.join(heads)}", repr(key))
        must(len(labels) == heads[key]["size"], f"vocabularies.{key}", f"{heads[key]['size']} labels", len(labels))
