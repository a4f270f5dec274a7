"""Exported graphs compute what the model does, for every kind of output and any shape, and need no torch to be used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("onnx", reason="onnx is not installed (extra export)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")

import twelve
from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.export import check as export_check
from twelve.export import export as export_module
from twelve.export import exported
from twelve.export.check import difference, drawn_batch, drawn_batches
from twelve.export.export import WEIGHTS, describe, export, quantise, write_graph
from twelve.export.exported import DESCRIPTION, GRAPH, Exported
from twelve.extras import install
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.bert_tokenizer import wordpieces
from twelve.model.config import TwelveConfig
from twelve.model.network import MASKED
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
KINDS = ("answer", "alignment", "region", "pair", "entailment", "truth", "reply")


def tiny(**changes: Any) -> Twelve:
    torch.manual_seed(0)
    fields: dict[str, Any] = {
        **{"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"intermediate_size": 64, "max_position_embeddings": 16, "v_feature_size": 8, "v_hidden_size": 32},
        **{"v_num_hidden_layers": 2, "v_num_attention_heads": 4, "v_intermediate_size": 64, "bi_hidden_size": 32},
        **{"bi_num_attention_heads": 4, "initializer_range": 0.1, "t_biattention_id": [0, 1]},
        **{"v_biattention_id": [0, 1], "heads": {kind: {"kind": kind, "size": 6} for kind in KINDS}},
    }
    return Twelve(TwelveConfig(**fields | changes)).eval()


def graph_of(model: Twelve, output: str, folder: Path) -> Exported:
    write_graph(model, output, folder / GRAPH)
    processor = TwelveProcessor(wordpieces(tiny_model.WORDS.split()))
    return Exported(folder / GRAPH, describe(model, processor, output))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("saved") / "model")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output(kind: str, tmp_path: Path) -> None:
    model = tiny()
    graph = graph_of(model, kind, tmp_path)
    for batch in drawn_batches(model.config):
        assert difference(model, graph, batch) < 1e-4
    axes = {"region": ["pairs", "regions"], "reply": ["pairs", "regions", 3], "pair": ["pairs/2", 2]}
    wanted = {"answer": ["pairs", 6], "alignment": ["pairs", 1], "entailment": ["pairs", 3], "truth": ["pairs", 2]}
    assert graph.description["outputs"]["logits"]["axes"] == (axes | wanted)[kind]


def test_a_model_that_answers_nothing_differs(tmp_path: Path) -> None:
    model = tiny()
    graph = graph_of(model, "answer", tmp_path)
    model.poolers.text.bias.data.fill_(float("nan"))
    assert difference(model, graph, drawn_batches(model.config)[0]) == float("inf")


@pytest.mark.parametrize("changes", [{"dynamic_attention": True}, {"task_specific_tokens": False}])
def test_other_models(changes: dict[str, Any], tmp_path: Path) -> None:
    model = tiny(**changes)
    graph = graph_of(model, "region", tmp_path)
    assert all(difference(model, graph, batch) < 1e-4 for batch in drawn_batches(model.config))
    assert ("task_rows" in graph.description["inputs"]) == model.config.task_specific_tokens


def test_only_what_the_output_needs(tmp_path: Path) -> None:
    import onnx

    model = tiny()
    for output in ("answer", "region"):
        (tmp_path / output).mkdir()
        write_graph(model, output, tmp_path / output / GRAPH)
    fused, regions = (onnx.load(str(tmp_path / output / GRAPH)).graph for output in ("answer", "region"))
    norms = [sum(node.op_type == "LayerNormalization" for node in graph.node) for graph in (fused, regions)]
    # Each embedding has one; a layer, and each direction of a connection, two; the answer head one.
    assert norms == [2 + 2 * (2 + 2 + 4) + 1, 2 + 2 * (1 + 2 + 3)]
    inside = [{tensor.name for tensor in graph.initializer} for graph in (fused, regions)]
    assert "model.poolers.text.weight" in inside[0] and "model.poolers.text.weight" not in inside[1]


def test_a_difference_is_found(tmp_path: Path) -> None:
    model = tiny()
    graph = graph_of(model, "region", tmp_path)
    batch: dict[str, Tensor | None] = dict(drawn_batches(model.config)[3])
    assert batch["region_mask"] is not None and not bool(batch["region_mask"].all())
    assert difference(model, graph, batch) < 1e-4
    with torch.no_grad():
        model.heads["region"].bias += 0.01
    assert 1e-4 < difference(model, graph, batch) < 0.011
    with torch.no_grad():
        model.heads["region"].bias += float("nan")
    assert difference(model, graph, batch) == float("inf")
    assert MASKED / 2 < -1000


def test_masks_and_pairs_may_be_left_out(tmp_path: Path) -> None:
    model = tiny()
    graph = graph_of(model, "answer", tmp_path)
    batch = drawn_batch(model.config, texts=3, length=6, images=3, regions=4, pairs=3)
    whole: dict[str, Tensor | None] = {name: batch[name] for name in ("input_ids", "task_rows", "boxes")} | {
        "features": batch["features"].half()
    }
    assert difference(model, graph, whole) < 1e-4
    with pytest.raises(ConfigError, match="computes 'answer', not 'region'"):
        graph(**whole, outputs=("region",))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"cannot read this batch: .* at most 16 pieces"):
        graph(**whole | {"input_ids": torch.zeros(3, 20, dtype=torch.int64)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change,message", [("nan", "gives no number"), ("one", r"expected 3 rows of logits, found .*\(1,\)")]
)
def test_a_graph_that_was_tampered_with(change: str, message: str, tmp_path: Path) -> None:
    """Whatever it computes, no answer is made of what is none."""
    import onnx

    model = tiny()
    graph_of(model, "answer", tmp_path)
    batch = drawn_batch(model.config, texts=3, length=6, images=3, regions=4, pairs=3)
    graph = onnx.load(tmp_path / GRAPH)
    if change == "nan":
        for tensor in graph.graph.initializer:
            if tensor.name.startswith("model.heads") and tensor.raw_data:
                count = len(tensor.raw_data) // 4
                tensor.raw_data = np.full(count, np.nan, dtype=np.float32).tobytes()
    else:
        name = graph.graph.output[0].name
        del graph.graph.node[:], graph.graph.initializer[:]
        graph.graph.initializer.append(onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0]))
        graph.graph.node.append(onnx.helper.make_node("Identity", ["one"], [name]))
        graph.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]))
    onnx.save(graph, tmp_path / GRAPH)
    with pytest.raises(CheckpointError, match=rf"model\.onnx: .*{message}.* -> export"):
        Exported(tmp_path / GRAPH, {"output": "answer"})(**batch)


def test_a_folder(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = export(saved, out, output="answer")
    assert sorted(file.name for file in out.iterdir()) == [
        DESCRIPTION, GRAPH, "processor_config.json", "tokenizer.json"
    ]  # fmt: skip
    assert report.difference < 1e-4 and report.bytes == (out / GRAPH).stat().st_size and report.small_bytes is None
    assert report.lines() == [
        f"answer: {report.bytes / 1e6:,.1f} MB; differs from torch by {report.difference:.1e} on random batches only "
        "(no run, so no data)"
    ]
    about = json.loads((out / DESCRIPTION).read_text())
    assert about["labels"] == tiny_model.ANSWERS and about["tasks"] == {
        "vqa": {"row": 0, "max_text": 16, "temperature": 2.0}
    }
    assert about["inputs"]["features"] == {"type": "float32", "axes": ["images", "regions", 192]}
    assert TwelveProcessor.from_pretrained(out).vocabularies["answer"] == tiny_model.ANSWERS
    first = (out / GRAPH).read_bytes()
    export(saved, out, output="answer")
    assert (out / GRAPH).read_bytes() == first


@pytest.mark.parametrize("name", [GRAPH, DESCRIPTION, "tokenizer.json", "processor_config.json"])
def test_a_folder_of_files_of_two_exports(name: str, saved: Path, tmp_path: Path) -> None:
    """Each file is a good one: a graph of another output would answer all the same."""
    export(saved, tmp_path / "one", output="answer")
    export(saved, tmp_path / "two", output="entailment" if name in (GRAPH, DESCRIPTION) else "answer")
    for file in (tmp_path / "two").iterdir() if name not in (GRAPH, DESCRIPTION) else ():
        if file.suffix == ".json":
            file.write_text(file.read_text() + "\n")  # as good, but another
    Exported.open(tmp_path / "one")
    shutil.copyfile(tmp_path / "two" / name, tmp_path / "one" / name)
    wrong = DESCRIPTION if name == GRAPH else name
    with pytest.raises(CheckpointError, match=rf"{wrong}: not the file that was exported with model\.onnx") as told:
        Exported.open(tmp_path / "one")
    assert "\n" not in str(told.value)


def test_a_graph_that_names_no_description(saved: Path, tmp_path: Path) -> None:
    import onnx

    export(saved, tmp_path / "out", output="answer")
    graph = onnx.load(tmp_path / "out" / GRAPH)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "out" / GRAPH)
    with pytest.raises(CheckpointError, match=r"export\.json: not the file that was exported"):
        Exported.open(tmp_path / "out")


def test_eight_bits(saved: Path, tmp_path: Path) -> None:
    report = export(saved, tmp_path / "out", output="region", int8=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == [DESCRIPTION, GRAPH]
    assert report.small_bytes == (tmp_path / "out" / GRAPH).stat().st_size < report.bytes
    assert report.small_difference is not None and 1e-5 < report.small_difference < 0.2
    assert report.seconds.keys() == {"torch", "float32", "int8"} and len(report.lines()) == 3
    opened = Exported.open(tmp_path / "out")
    assert opened.description["precision"] == "int8"
    model = Twelve.from_pretrained(saved).eval()
    assert all(difference(model, opened, batch) < 0.2 for batch in drawn_batches(model.config))


def test_features_of_any_range_survive_eight_bits(tmp_path: Path) -> None:
    # As in a trained model: a feature's range is large, and what tells images apart is another one's, a thousandth.
    model = tiny(heads={"answer": {"kind": "answer", "size": 6}})
    std = torch.tensor([1000.0, *[1.0] * 7])
    model.standardise_regions(torch.zeros(8), std)
    graph_of(model, "answer", tmp_path)
    quantise(tmp_path / GRAPH, tmp_path / "small.onnx")
    small = Exported(tmp_path / "small.onnx", {"output": "answer"})
    batch: dict[str, Tensor | None] = dict(drawn_batches(model.config)[3])
    assert batch["features"] is not None
    assert difference(model, small, batch | {"features": batch["features"] * std}) < 0.1


def test_weights_beyond_two_gigabytes_lie_beside_the_graph(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "LARGEST", 50_000)
    for precision in (False, True):
        out = tmp_path / str(precision)
        report = export(saved, out, output="answer", int8=precision)
        assert (out / WEIGHTS).is_file() and (out / GRAPH).is_file()
        size = (out / WEIGHTS).stat().st_size + (out / GRAPH).stat().st_size
        assert size == (report.small_bytes if precision else report.bytes)
        model = Twelve.from_pretrained(saved).eval()
        assert difference(model, Exported.open(out), drawn_batches(model.config)[0]) < (0.2 if precision else 1e-4)


def test_what_people_get_wrong(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r'no output \'anser\' \(did you mean "answer"\?\) -> it has alignment, answer'
    ):
        export(saved, tmp_path / "out", output="anser")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="contains something that does not belong to an export"):
        export(saved, tmp_path / "mine", output="answer")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    export(saved, tmp_path / "again", output="answer")
    export(saved, tmp_path / "again", output="answer")
    (tmp_path / "again" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"does not belong to an export \(notes\.txt\)"):
        export(saved, tmp_path / "again", output="answer")
    with monkeypatch.context() as patched:
        patched.setattr(export_check, "TOLERANCE", 0.0)
        with pytest.raises(CheckpointError, match="differs from the model by"):
            export(saved, tmp_path / "out", output="answer")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match="no such file"):
        Exported.open(tmp_path)
    (tmp_path / DESCRIPTION).write_text('{"output": "answer"}')
    (tmp_path / GRAPH).write_text("no graph")
    with pytest.raises(CheckpointError, match=r"model\.onnx: not a graph"):
        Exported.open(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=f"needs onnxruntime, .* run: {re.escape(install('export'))}$"):
        export(saved, tmp_path / "out", output="answer")
    assert exported.needed("json") is json


def test_the_example_of_the_docs(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, use = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    saved = shutil.copytree(saved, tmp_path / "saved")
    processor = TwelveProcessor.from_pretrained(saved)
    processor.left_out = ("vqa",)
    processor.save_pretrained(saved)
    predictor = twelve.load(saved)
    scenes = []
    for seed, name in ((1, "boat"), (2, "second")):
        image = draw(sample_scene(np.random.default_rng(seed)), seed=seed)
        image.save(f"{name}.jpg")
        scenes.append(predictor.scene(Image.open(f"{name}.jpg")))
        exec(save.replace("runs/mine", str(saved)).replace("boat.", f"{name}."), {})
    (tmp_path / "use.py").write_text("import sys\n\nsys.modules['torch'] = sys.modules['twelve'] = None\n" + use)
    located = scenes[0].locate("the red ball")
    verified = predictor.verify(*scenes, "both show a ball")
    answered = scenes[0].answer("what colour is the ball ?")
    for output, task, said, wanted, confidence in (
        ("answer", "vqa", answered.text, answered.answer, answered.confidence),
        ("region", "refcoco", located.text, list(located.box or ()), located.confidence),
        ("pair", "nlvr2", verified.text, verified.true, verified.confidence),
    ):
        export(saved, tmp_path / output, output=output)
        images = ["boat.npz", "second.npz"] if output == "pair" else ["boat.npz"]
        command = [sys.executable, "use.py", output, task, said, *images]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        left_out = [warning for warning in answered.warnings if warning.code == "left_out_task"]
        assert len(left_out) == 1 and done.stderr == (f"warning: {left_out[0]}\n" if task == "vqa" else "")
        found = json.loads(done.stdout)
        assert found["confidence"] == pytest.approx(confidence, abs=1e-4)
        assert found["found"] == (pytest.approx(wanted) if output == "region" else wanted)
