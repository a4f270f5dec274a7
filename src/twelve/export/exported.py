"""An exported model, run by onnxruntime in the place of :class:`twelve.Twelve`.

Axes: T texts, I images, P pairs, L text length, R regions.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from twelve.data.examples.store import checksum
from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.extras import install
from twelve.io.hub import inside
from twelve.io.json_file import read_object
from twelve.model.model_outputs import TwelveOutput

GRAPH = "model.onnx"
"""In an export's folder."""
DESCRIPTION = "export.json"
"""Beside it: names, axes, and what the numbers mean."""
MARK = "export.json sha256"
"""Key of a graph's metadata: the checksum of its description."""


def needed(module: str) -> Any:
    """A module of the extra ``export``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ConfigError(
            f"exporting needs {package}, which is not installed", remedy=f"run: {install('export')}"
        ) from None


class Texts(NamedTuple):
    """As ``Twelve.encode_texts`` takes them: the graph computes them together with the pairs."""

    input_ids: Tensor
    mask: Tensor | None
    task_rows: Tensor | None


class Images(NamedTuple):
    """As ``Twelve.encode_images`` takes them."""

    features: Tensor
    boxes: Tensor
    mask: Tensor | None


class Exported:
    """A graph that :func:`twelve.export.export.export` wrote, called like the model that it came from.

    Attributes:
        output: the one output key that it computes.
        description: what export.json says.
        device: where its inputs are wanted.
    """

    device = torch.device("cpu")
    contrasts = False

    def __init__(self, graph: Path, description: dict[str, Any], threads: int | None = None) -> None:
        runtime = needed("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what it refuses is raised as well, and said in one line
        options.intra_op_num_threads = threads or torch.get_num_threads()
        try:
            self._session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # the library's exceptions share no base but this
            first = str(problem).strip().splitlines()[0]
            raise CheckpointError(f"not a graph: {first}", file=graph, remedy="export the model again") from None
        self._graph = graph
        self.output: str = description["output"]
        self.description = description

    @classmethod
    def open(cls, folder: Path, threads: int | None = None) -> Exported:
        """An export's folder; ``threads``: None for as many as torch uses.

        Raises:
            CheckpointError: it holds no export, a damaged one, or files of several.
            ConfigError: onnxruntime is not installed.
        """
        description = read_object(inside(folder, DESCRIPTION), remedy="export the model again")
        if not isinstance(description.get("output"), str):
            raise CheckpointError("output is missing", file=folder / DESCRIPTION, remedy="export the model again")
        exported = cls(inside(folder, GRAPH), description, threads)
        exported._check_files(folder)
        return exported

    def _check_files(self, folder: Path) -> None:
        """Raises CheckpointError for a description or another file that is not the graph's own."""
        marked, files = self._session.get_modelmeta().custom_metadata_map.get(MARK), self.description.get("files")
        known = {DESCRIPTION: marked, **(files if isinstance(files, dict) else {})}
        for name, wanted in known.items():
            if checksum(inside(folder, name)) != wanted:
                raise CheckpointError(
                    f"not the file that was exported with {GRAPH}: changed, or of another export",
                    file=folder / name,
                    remedy="export the model again, into a folder of its own",
                )

    def train(self, mode: bool) -> Exported:
        """Nothing: a graph only predicts."""
        return self

    def __call__(
        self,
        input_ids: Tensor,
        features: Tensor,
        boxes: Tensor,
        text_mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        task_rows: Tensor | None = None,
        pair_text: Tensor | None = None,
        pair_image: Tensor | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> TwelveOutput:
        """As ``Twelve.forward``: masks and pairs may be left out."""
        texts, images = Texts(input_ids, text_mask, task_rows), Images(features, boxes, region_mask)
        return self.fuse(texts, images, pair_text, pair_image, outputs=outputs)

    def encode_texts(
        self, input_ids: Tensor, text_mask: Tensor | None = None, task_rows: Tensor | None = None
    ) -> Texts:
        return Texts(input_ids, text_mask, task_rows)

    def encode_images(self, features: Tensor, boxes: Tensor, region_mask: Tensor | None = None) -> Images:
        return Images(features, boxes, region_mask)

    def fuse(
        self,
        texts: Texts,
        images: Images,
        pair_text: Tensor | None = None,
        pair_image: Tensor | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> TwelveOutput:
        """As ``Twelve.fuse``.

        Raises:
            ConfigError: another output is asked for than the one exported.
            DataError: the batch has a shape that the graph does not take.
            CheckpointError: what it computes is no number, or not of these pairs.
        """
        if outputs is not None and tuple(outputs) != (self.output,):
            asked = ", ".join(outputs)
            raise ConfigError(f"the export computes {self.output!r}, not {asked!r}", remedy="export that output")
        everything = {
            "input_ids": texts.input_ids,
            "text_mask": _all(texts.input_ids) if texts.mask is None else texts.mask,
            "task_rows": texts.task_rows,
            "features": images.features.float(),
            "boxes": images.boxes.float(),
            "region_mask": _all(images.features[..., 0]) if images.mask is None else images.mask,
            "pair_text": torch.arange(len(texts.input_ids)) if pair_text is None else pair_text,
            "pair_image": torch.arange(len(images.features)) if pair_image is None else pair_image,
        }
        fed = {name: tensor.numpy() for name, tensor in everything.items() if tensor is not None}
        try:
            (logits,) = self._session.run(None, fed)
        except Exception as problem:
            raise DataError(
                f"the graph cannot read this batch: {str(problem).strip().splitlines()[0]}",
                remedy=f"look at {DESCRIPTION}: texts of at most {self.description.get('longest_text')} pieces",
            ) from None
        rows = len(fed["pair_text"]) // (2 if self.description.get("pairs_a_row") == 2 else 1)
        if logits.ndim < 2 or len(logits) != rows:
            shape = f"expected {rows} rows of logits, found numbers of shape {logits.shape}"
            raise CheckpointError(shape, file=self._graph, remedy="export the model again")
        if np.isnan(logits).any():
            raise CheckpointError("the graph gives no number", file=self._graph, remedy="export a sound model again")
        return TwelveOutput(logits={self.output: torch.from_numpy(logits)})


def _all(like: Tensor) -> Tensor:
    """A mask (T, L) or (I, R) that hides nothing."""
    return torch.ones(like.shape, dtype=torch.bool)
