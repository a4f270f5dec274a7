"""What exported graphs and their 8-bit versions gain and cost.

    python benchmarks/export.py --run quickstart/run

Two parts, written output by output into one JSON with the machine named (``--paper region`` measures that one again).
At the paper's sizes, random weights: bytes, and the time of a batch in torch, in onnxruntime and with 8-bit weights, in
turns in this one run, medians. Of a trained run: every output's graph against torch on the whole reported split of each
task: how often they choose the same, and the official number of both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from twelve.export.check import compared, difference, drawn_batch, drawn_batches, samples_of, seconds_of
from twelve.export.export import GRAPH, describe, open_model, quantise, size_of, write_graph
from twelve.export.exported import Exported
from twelve.model.bert_tokenizer import wordpieces
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.runs.convert import PAPER
from twelve.training.provenance import machine

HEADS = {"answer": {"kind": "answer", "size": 3129}, "region": {"kind": "region", "size": 1}}
SHAPES = {
    "one question, one image": {"texts": 1, "length": 12, "images": 1, "regions": 101, "pairs": 1},
    "16 questions, 16 images": {"texts": 16, "length": 12, "images": 16, "regions": 101, "pairs": 16},
}
EVERYTHING = 1 << 40
GALLERY = 100
"""Images that a caption is ranked against."""


def graphs(model: Twelve, processor: TwelveProcessor, output: str, folder: Path) -> dict[str, Any]:
    """The float32 and the 8-bit graph, opened, with their sizes and the seconds it took to write them."""
    found: dict[str, Any] = {}
    description = describe(model, processor, output)
    for name in ("float32", "int8"):
        (folder / name).mkdir(exist_ok=True)
        started = time.perf_counter()
        if name == "float32":
            write_graph(model, output, folder / name / GRAPH)
        else:
            quantise(folder / "float32" / GRAPH, folder / name / GRAPH)
        found[f"{name} written in, s"] = round(time.perf_counter() - started, 1)
        found[f"{name}, MB"] = round(size_of(folder / name) / 1e6, 1)
        found[name] = Exported(folder / name / GRAPH, description)
    return found


def timed(model: Twelve, plain: Exported, small: Exported, shape: dict[str, int], rounds: int) -> dict[str, float]:
    """Median seconds and ratios of one shape of batch, nothing padded."""
    inputs: dict[str, Any] = drawn_batch(model.config, **shape)
    inputs |= {"text_mask": None, "region_mask": None}
    models = {"torch": model, "float32": plain, "int8": small}
    seconds = seconds_of(models, inputs, plain.output, rounds)
    return {
        **{f"{name}, ms": round(1000 * value, 1) for name, value in seconds.items()},
        "float32 over torch": round(seconds["torch"] / seconds["float32"], 2),
        "int8 over torch": round(seconds["torch"] / seconds["int8"], 2),
        "int8 over float32": round(seconds["float32"] / seconds["int8"], 2),
    }


def paper_size(outputs: Sequence[str], rounds: int, out: Path) -> None:
    torch.manual_seed(0)
    model = Twelve(TwelveConfig(**PAPER, heads=HEADS)).eval()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    processor = TwelveProcessor(wordpieces([*special, *map(str, range(PAPER["vocab_size"] - len(special)))]))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    for output in outputs:
        with tempfile.TemporaryDirectory() as folder:
            wrote = graphs(model, processor, output, Path(folder))
            plain, small = wrote.pop("float32"), wrote.pop("int8")
            wrote["float32 difference"] = max(difference(model, plain, batch) for batch in drawn_batches(model.config))
            wrote |= {name: timed(model, plain, small, shape, rounds) for name, shape in SHAPES.items()}
        keep(out, "paper's sizes, random weights", output, wrote | {"parameters": parameters, "rounds": rounds})


def of_run(run: Path, rounds: int, out: Path) -> None:
    model, processor, config = open_model(run)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    for output in model.config.heads:
        samples, lacking = samples_of(config, processor, output, EVERYTHING)
        if not samples:
            print(f"{output} left out: {lacking}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrote = graphs(model, processor, output, Path(folder))
            plain, small = wrote.pop("float32"), wrote.pop("int8")
            for sample in samples:
                split = sample.task.test_split
                wrote[sample.name] = {"split": split, "examples": len(sample.examples)}
                for name, graph in (("float32", plain), ("int8", small)):
                    same, scores = compared(model, graph, sample, GALLERY)
                    wrote[sample.name][f"{name} chooses the same, %"] = round(100 * same, 2)
                    if scores is not None:
                        wrote[sample.name] |= {"torch": round(scores[0], 2), name: round(scores[1], 2)}
            inputs = samples[0].batches()[0].inputs()
            seconds = seconds_of({"torch": model, "float32": plain, "int8": small}, inputs, output, 4 * rounds)
            wrote["batch, ms"] = {name: round(1000 * value, 2) for name, value in seconds.items()}
        keep(out, "trained run", output, wrote | {"parameters": parameters})


def keep(out: Path, part: str, output: str, wrote: dict[str, Any]) -> None:
    """Add what was measured of one output."""
    tree = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    made_by = machine()
    wrote["commit"] = made_by.pop("commit")
    tree |= {"machine": made_by, "threads": torch.get_num_threads()}
    tree.setdefault(part, {})[output] = wrote
    out.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    print(output, json.dumps(wrote, indent=1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run with its data at hand")
    parser.add_argument("--paper", nargs="*", choices=list(HEADS), default=list(HEADS), help="at the paper's sizes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "export.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.run is not None:
        of_run(arguments.run, arguments.rounds, arguments.out)
    paper_size(arguments.paper, arguments.rounds, arguments.out)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
