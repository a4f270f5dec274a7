"""A trained model's output as an ONNX graph, with all that is needed to use it without torch.

The graph is recorded by torch's tracer (``dynamo=False``): the other exporter gives the same numbers, takes twenty to
fifty times as long and needs one package more. What a tracer may fix by mistake, the size of an axis, is found by
running the graph on batches of other sizes.
Axes: T texts, I images, P pairs, L text length, R regions.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from twelve.data.examples.store import checksum
from twelve.errors import CheckpointError, ConfigError
from twelve.export.check import Report, check, drawn_batch, examine, samples_of
from twelve.export.exported import DESCRIPTION, GRAPH, MARK, Exported, needed
from twelve.io import files
from twelve.model.model_outputs import ImageStates, TextStates
from twelve.model.opening import open_saved
from twelve.model.processor import FILES, TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.predictor.abilities import check_head
from twelve.predictor.warnings import of_task
from twelve.settings import RunConfig
from twelve.version import __version__

OPSET = 17
"""The first in which layer normalisation is one operator; every onnxruntime since 1.12 has it."""
LARGEST = 2**31 - 2**20
"""Bytes that a graph's file may have: protocol buffers end at 2 GB. Weights of a larger one lie beside it."""
WEIGHTS = f"{GRAPH}.data"
AXES: Mapping[str, tuple[str, ...]] = {
    "input_ids": ("texts", "length"),
    "text_mask": ("texts", "length"),
    "task_rows": ("texts",),
    "features": ("images", "regions"),
    "boxes": ("images", "regions"),
    "region_mask": ("images", "regions"),
    "pair_text": ("pairs",),
    "pair_image": ("pairs",),
}
"""Inputs of a graph with their axes of any size, the first ones."""


def export(run_or_model_folder: str | Path, out: Path, *, output: str, int8: bool = False) -> Report:
    """Write a folder with the graph of one output, its description and the processor's files.

    Args:
        run_or_model_folder: a run's folder, a folder written by ``save_pretrained``, or a hub name. With a run's data
            at hand the graph is also compared with the model on them.
        out: the folder; an earlier export there is replaced, if it holds nothing else.
        output: a key of the model's heads.
        int8: quantise the linear layers' weights to 8 bits, and measure what that gains and costs.

    Raises:
        ConfigError: there is no such output, or a package of the extra ``export`` is missing.
        CheckpointError: there is no model, or the graph does not compute what the model does.
        TwelveError: ``out`` cannot be written, or holds something else than an export.
    """
    needed("onnx")
    needed("onnxruntime")
    files.check_replaceable(out, marks=(DESCRIPTION, GRAPH), names=(WEIGHTS, *FILES), what="an export")
    model, processor, config = open_model(run_or_model_folder)
    check_head(output, model.config.heads, run_or_model_folder)
    with files.replacing(out) as partial:
        partial.mkdir()
        description = describe(model, processor, output)
        write_graph(model, output, partial / GRAPH)
        seal(partial, description | {"precision": "float32"}, processor)
        exported = Exported.open(partial)
        samples, lacking = samples_of(config, processor, output)
        report = check(model, exported, samples, lacking, size=size_of(partial))
        if int8:
            (partial / "int8").mkdir()
            quantise(partial / GRAPH, partial / "int8" / GRAPH)
            seal(partial / "int8", description | {"precision": "int8"}, processor)
            small = Exported.open(partial / "int8")
            report = examine(report, model, exported, small, samples, size=size_of(partial / "int8"))
            del exported, small
            for file in partial.glob(f"{GRAPH}*"):
                file.unlink()
            for file in (partial / "int8").iterdir():
                file.rename(partial / file.name)
            (partial / "int8").rmdir()
    return report


def seal(folder: Path, description: Mapping[str, Any], processor: TwelveProcessor) -> None:
    """Write what belongs to a folder's graph, and write into it which description is its own. The description has the
    checksums of the other files, so a folder in which files of two exports were mixed is noticed."""
    processor.save_pretrained(folder)
    others = {file.name: checksum(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != GRAPH}
    tree = json.dumps({**description, "files": others}, indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(tree + "\n", encoding="utf-8")
    onnx = needed("onnx")
    mark = onnx.StringStringEntryProto(key=MARK, value=checksum(folder / DESCRIPTION))
    with open(folder / GRAPH, "ab") as stream:  # fields at the end of a protocol buffer are added to those before
        stream.write(onnx.ModelProto(metadata_props=[mark]).SerializeToString())


def size_of(folder: Path) -> int:
    """Bytes of a graph with its weights."""
    return sum(file.stat().st_size for file in folder.glob(f"{GRAPH}*"))


def open_model(path: str | Path) -> tuple[Twelve, TwelveProcessor, RunConfig | None]:
    """The model, its processor, and the configuration of the run, if it is one."""
    from transformers.utils.logging import disable_progress_bar

    from twelve.config import load_run
    from twelve.run_folder import RunFolder, model_folder

    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, config = Path(path), None
    if folder.exists():
        config = load_run(folder) if files.is_there(RunFolder(folder).config, ConfigError) else None
        folder = model_folder(folder)
    model, processor = open_saved(folder)
    model.to(dtype=torch.float32).eval()  # type: ignore[call-arg]
    return model, processor, config


# --- the graph ---------------------------------------------------------------------------------------------------
class Whole(nn.Module):
    """One output of all pairs as a function of tensors alone, none of them optional."""

    def __init__(self, model: Twelve, output: str) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits; ``inputs`` in the order of :data:`AXES`, without ``task_rows`` where there are no task tokens."""
        named = dict(zip(_names(self.model), inputs, strict=True))
        texts = self.model.encode_texts(named["input_ids"], named["text_mask"], task_rows=named.get("task_rows"))
        images = self.model.encode_images(named["features"], named["boxes"], named["region_mask"])
        # Gathered here: the model looks whether pairs are the identity, which a graph must not be recorded with.
        texts = TextStates(texts.sequences.take(named["pair_text"]))
        images = ImageStates(images.sequences.take(named["pair_image"]))
        logits: Tensor = self.model.fuse(texts, images, outputs=(self.output,)).logits[self.output]
        return logits


def _names(model: Twelve) -> list[str]:
    return [name for name in AXES if name != "task_rows" or model.config.task_specific_tokens]


def write_graph(model: Twelve, output: str, file: Path) -> None:
    """Record what ``output`` needs of the model; beyond 2 GB the weights go into a file of their own."""
    onnx = needed("onnx")
    names = _names(model)
    batch = drawn_batch(model.config, texts=3, length=7, images=4, regions=5, pairs=6)
    axes = {name: dict(enumerate(AXES[name])) for name in names}
    axes["logits"] = {place: axis for place, axis in enumerate(_logit_axes(model, output)) if isinstance(axis, str)}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of sizes that become constants; that none has is checked
        torch.onnx.export(
            Whole(model, output).eval(),
            tuple(batch[name] for name in names),
            str(file),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    apart = [path for path in file.parent.iterdir() if path != file]
    if apart or file.stat().st_size > LARGEST:  # a file for each weight is what torch writes beyond 2 GB
        graph = onnx.load(str(file))
        for path in (*apart, file):
            path.unlink()
        onnx.save_model(graph, str(file), save_as_external_data=True, location=WEIGHTS)


def quantise(file: Path, out: Path) -> None:
    """Weights of the linear layers as 8-bit integers, one scale a column; activations are quantised as they come.

    The projections of features and boxes stay as they are: each feature has its own range, of which one scale for all
    leaves nothing (accuracy fell to chance). Weights use 7 of the 8 bits: processors without VNNI add products of full
    ones in 16 bits, which overflow.
    """
    quantization = needed("onnxruntime.quantization")
    large = (file.parent / WEIGHTS).is_file()
    nodes = needed("onnx").load(str(file), load_external_data=False).graph.node
    raw = {*AXES, *(node.output[0] for node in nodes if node.op_type == "Cast" and node.input[0] in AXES)}
    logging.disable(logging.WARNING)  # it advises to optimise the graph first, which onnxruntime does when it runs it
    try:
        quantization.quantize_dynamic(
            str(file),
            str(out),
            op_types_to_quantize=["MatMul"],  # those with weights; products of activations stay as they are
            nodes_to_exclude=[node.name for node in nodes if node.op_type == "MatMul" and node.input[0] in raw],
            per_channel=True,
            reduce_range=True,
            use_external_data_format=large,
        )
    finally:
        logging.disable(logging.NOTSET)


# --- its description ---------------------------------------------------------------------------------------------
def describe(model: Twelve, processor: TwelveProcessor, output: str) -> dict[str, Any]:
    """All that one must know to use the graph, as JSON."""
    config, kind = model.config, get_output(model.config.heads[output]["kind"])
    last = {"features": [config.v_feature_size], "boxes": [5]}
    types = {"text_mask": "bool", "region_mask": "bool", "features": "float32", "boxes": "float32"}
    logits = _logit_axes(model, output)
    return {
        "written_by": f"twelve {__version__}",
        "model": GRAPH,
        "opset": OPSET,
        "output": output,
        "kind": kind.kind,
        "inputs": {
            name: {"type": types.get(name, "int64"), "axes": [*AXES[name], *last.get(name, [])]}
            for name in _names(model)
        },
        "outputs": {"logits": {"type": "float32", "axes": logits}},
        "longest_text": config.max_position_embeddings,
        "most_regions": 1 + processor.max_regions,
        "pairs_a_row": 2 if logits[0] == "pairs/2" else 1,
        "labels": list(kind.labels(processor.vocabularies.get(output, []))),
        "confidence": kind.shown_as,
        "tasks": {
            task: {
                **({"row": processor.token_rows[task]} if task in processor.token_rows else {}),
                "max_text": processor.max_text[task],
                "temperature": processor.temperatures.get(task, 1.0),
                **({"warning": str(*of_task(processor, task))} if task in processor.left_out else {}),
            }
            for task, key in processor.task_outputs.items()
            if key == output
        },
        "special": {token: processor.special[token] for token in ("[CLS]", "[SEP]", "[PAD]")},
    }


@torch.inference_mode()
def _logit_axes(model: Twelve, output: str) -> list[str | int]:
    """``"pairs"`` or ``"pairs/2"``, then ``"regions"`` where it is them, and sizes."""
    shapes = []
    for pairs, regions in ((2, 3), (4, 5)):
        batch = drawn_batch(model.config, texts=1, length=3, images=1, regions=regions, pairs=pairs)
        shapes.append(Whole(model, output)(*(batch[name] for name in _names(model))).shape)
    first, second = shapes
    if first[0] not in (1, 2):
        raise CheckpointError(f"{first[0]} rows of logits for 2 pairs", remedy="choose another output")
    rest: list[str | int] = ["regions" if a != b else int(a) for a, b in zip(first[1:], second[1:], strict=True)]
    return ["pairs" if first[0] == 2 else "pairs/2", *rest]
