"""Recorded forward passes, retrieval and pretraining pass; any recorded number that is off, or not ours, does not.

Besides the recordings of the original there are directories written here, in the same layout, by a computation of its
own (tests/vilbert_reference.py), for configurations that were not recorded.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from vilbert_reference import Reference

from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.model.checkpoints import write_released
from twelve.model.config import TwelveConfig
from twelve.model.settings import defaults
from twelve.model.vilbert import Twelve
from twelve.parity import forward, pretraining, retrieval
from twelve.parity.report import Difference

RECORDINGS = [
    (forward, "public_multitask", 42),
    (forward, "public_pretraining", 7),
    (retrieval, "public_multitask", 7),
    (pretraining, "public_pretraining", 12),
]


def failed(differences: list[Difference]) -> set[str]:
    return {difference.quantity for difference in differences if not difference.ok}


@pytest.mark.parametrize(("part", "name", "count"), RECORDINGS)
def test_the_original_recordings_pass(goldens: Path, part: Any, name: str, count: int) -> None:
    differences = part.run(goldens / "model" / name)
    assert failed(differences) == set()
    assert len(differences) == count
    assert max(d.largest for d in differences if d.tolerance == 1e-4) < 3e-5


@pytest.fixture
def multitask(goldens: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(goldens / "model" / "public_multitask", tmp_path / "recording"))


@pytest.fixture
def pretrained(goldens: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(goldens / "model" / "public_pretraining", tmp_path / "recording"))


def edit(file: Path, change: Any) -> None:
    if file.suffix == ".json":
        tree = json.loads(file.read_text())
        change(tree)
        file.write_text(json.dumps(tree))
    else:
        tensors = load_file(file)
        change(tensors)
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)


def test_every_recorded_tensor_counts(multitask: Path) -> None:
    """Each one moved by 2e-4 at its first position fails, and no other."""
    names = set(load_file(multitask / "outputs.safetensors"))

    def move(tensors: dict[str, Tensor]) -> None:
        for value in tensors.values():
            value.view(-1)[0] += 2e-4

    edit(multitask / "outputs.safetensors", move)
    assert failed(forward.run(multitask)) == names


def test_padding_does_not_count_and_masked_regions_must_lose(multitask: Path) -> None:
    inputs = load_file(multitask / "inputs.safetensors")
    hidden = inputs["image_attention_mask"] == 0

    def change(tensors: dict[str, Tensor]) -> None:
        tensors["sequence_output_v"][hidden] = 77
        tensors["vision_logit"][hidden] = -12345
        tensors["attn.image.1"].transpose(1, 2)[hidden] = 3

    edit(multitask / "outputs.safetensors", change)
    assert failed(forward.run(multitask)) == set()


def test_outputs_that_are_not_ours_fail(multitask: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["new_output"] = torch.zeros(4)
        tensors["debug.layer.9"] = torch.zeros(4)
        tensors["vil_tri_prediction"] = torch.zeros(4, 4)
        tensors["vil_logit"][0] = torch.nan

    edit(multitask / "outputs.safetensors", change)
    assert failed(forward.run(multitask)) == {"new_output", "debug.layer.9", "vil_tri_prediction", "vil_logit"}


def test_odd_batches_hold_the_alignment_scores(multitask: Path) -> None:
    """Recorded with three rows, the two-image head gives way to the alignment head, and two rows bring it back."""
    before = load_file(multitask / "outputs.safetensors")

    def change(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name] = tensors[name][:3]
        tensors["vil_binary_prediction"] = before["odd_batch.vil_binary_prediction"]
        tensors["odd_batch.vil_binary_prediction"] = before["vil_binary_prediction"][:1]

    edit(multitask / "outputs.safetensors", change)
    edit(multitask / "inputs.safetensors", lambda t: t.update({name: value[:3] for name, value in t.items()}))
    assert failed(forward.run(multitask)) == set()


def test_masks_segments_and_attentions_may_be_absent(multitask: Path) -> None:
    """Without masks the recorded rows that had no padding are still right."""

    def whole(tensors: dict[str, Tensor]) -> None:
        for name in ("attention_mask", "image_attention_mask", "token_type_ids"):
            tensors.pop(name)

    inputs = load_file(multitask / "inputs.safetensors")
    assert bool(inputs["image_attention_mask"].bool().any())
    edit(multitask / "meta.json", lambda t: t.pop("inputs"))
    edit(multitask / "inputs.safetensors", whole)
    assert failed(forward.run(multitask))
    edit(multitask / "inputs.safetensors", lambda t: t.pop("task_ids"))
    with pytest.raises(DataError, match="task_ids are missing"):
        forward.run(multitask)


def test_retrieval_counts_every_number(multitask: Path) -> None:
    edit(multitask / "retrieval_outputs.safetensors", lambda t: t["scores"][1].add_(2e-4))
    edit(multitask / "retrieval_meta.json", lambda t: t["ranks"].__setitem__(0, 3))
    edit(multitask / "retrieval_meta.json", lambda t: t["metrics"].update(meanr=2.0, mrr=0.5))
    assert failed(retrieval.run(multitask)) == {"scores", "ranks", "meanr", "mrr"}
    edit(multitask / "retrieval_meta.json", lambda t: t.update(task_id=8))
    assert "scores" in failed(retrieval.run(multitask))
    edit(multitask / "retrieval_meta.json", lambda t: t.update(target_image_per_caption=[0, 2, 8]))
    with pytest.raises(DataError, match="target_image_per_caption"):
        retrieval.run(multitask)


def test_pretraining_counts_every_number(pretrained: Path) -> None:
    losses = [name for name in load_file(pretrained / "outputs.safetensors") if name.endswith("_loss")]

    def move(tensors: dict[str, Tensor]) -> None:
        for name in losses:
            tensors[name] += 2e-4

    edit(pretrained / "outputs.safetensors", move)
    edit(pretrained / "inputs.safetensors", lambda t: t["objective1_masked_lm_labels"][0].fill_(4))
    edit(
        pretrained / "meta.json",
        lambda t: t["grad_norms_float64_sum_of_three_losses"].update({"bert.t_pooler.dense.weight": 2.4}),
    )
    wrong = failed(pretraining.run(pretrained))
    assert {*losses, "objective1_masked_lm_labels", "gradient norms"} <= wrong
    assert {name for name in wrong if name.endswith("all pairs")} == {
        f"{name} from the labels of all pairs" for name in losses if name.startswith("objective1_")
    }


def test_not_a_number_where_nothing_is_masked_is_our_zero(pretrained: Path) -> None:
    def empty(tensors: dict[str, Tensor]) -> None:
        tensors["masked_lm_labels"].fill_(-1)
        tensors["image_label"].fill_(-1)

    def record(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("objective1_")]:
            tensors.pop(name)
        tensors["masked_lm_loss"].fill_(torch.nan)
        tensors["masked_img_loss"].fill_(torch.nan)

    edit(pretrained / "inputs.safetensors", empty)
    edit(pretrained / "outputs.safetensors", record)
    edit(
        pretrained / "meta.json",
        lambda t: [t.pop(key) for key in ("grad_norms_float64_sum_of_three_losses", "outputs")],
    )
    differences = pretraining.run(pretrained)
    assert failed(differences) == set() and len(differences) == 3
    edit(pretrained / "outputs.safetensors", lambda t: t["next_sentence_loss"].fill_(torch.nan))
    assert failed(pretraining.run(pretrained)) == {"next_sentence_loss"}


@pytest.mark.parametrize(
    ("file", "change", "error", "message"),
    [
        ("meta.json", lambda t: t.update(model_class="BertModel"), DataError, "unknown model class 'BertModel'"),
        ("meta.json", lambda t: t["effective_config"].update(fast_mode=True), ConfigError, "fast_mode .* found True"),
        (
            "meta.json",
            lambda t: t["effective_config"].update(v_biattention_id=[0, 1]),
            ConfigError,
            r"v_biattention_id \[0, 1\]",
        ),
        ("meta.json", lambda t: t["effective_config"].update(bi_hidden_size=32), CheckpointError, "of shape"),
        ("meta.json", lambda t: t.pop("model_class"), DataError, "model_class"),
        ("state.safetensors", lambda t: t.pop("cls.predictions.bias"), CheckpointError, "unknown"),
        ("inputs.safetensors", lambda t: t.pop("image_loc"), DataError, "image_loc"),
        ("inputs.safetensors", lambda t: t.update(image_feat=t["image_feat"][..., :9]), DataError, "image_feat"),
    ],
)
def test_malformed_recordings_are_named(
    multitask: Path, file: str, change: Any, error: type[Exception], message: str
) -> None:
    edit(multitask / file, change)
    with pytest.raises(error, match=message):
        forward.run(multitask)


def test_missing_files_are_named(multitask: Path) -> None:
    (multitask / "outputs.safetensors").unlink()
    with pytest.raises(DataError, match="no such file"):
        forward.run(multitask)
    (multitask / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not readable"):
        forward.run(multitask)
    with pytest.raises(DataError, match=r"retrieval_meta\.json cannot be read: No such file"):
        retrieval.run(multitask / "nowhere")


# --- configurations that were not recorded ------------------------------------------------------------------------
HEADS = {
    "answer": {"kind": "answer", "size": 5},
    "alignment": {"kind": "alignment", "size": 1},
    "region": {"kind": "region", "size": 1},
    "pair": {"kind": "pair", "size": 2},
    "entailment": {"kind": "entailment", "size": 3},
}
RECORDED = {
    **{"answer": "vil_prediction", "alignment": "vil_logit", "entailment": "vil_tri_prediction"},
    **{"pair": "vil_binary_prediction", "region": "vision_logit", "word_logit": "linguisic_logit"},
    **{"pretraining.words": "linguisic_prediction", "pretraining.regions": "vision_prediction"},
}
PRETRAINED = {
    **{"pretraining.words": "prediction_scores_t", "pretraining.regions": "prediction_scores_v"},
    "pretraining.alignment": "seq_relationship_score",
}


def recorded_name(ours: str) -> str:
    """The recording's name of a state or an attention map."""
    kind, _, rest = ours.removeprefix("attn.").partition(".")
    if rest == "embedding":
        return f"debug.{kind}_embedding"
    if ours.startswith("attn."):
        if kind != "connection":
            return f"attn.{kind}.{rest}"
        index, stream = rest.split(".")
        return f"attn.co.{index}.{stream}_to_{'image' if stream == 'text' else 'text'}"
    return f"debug.{ {'text': 'layer', 'image': 'v_layer', 'connection': 'c_layer'}[kind] }.{rest}"


def write_recording(folder: Path, config: TwelveConfig, *, multitask: bool, pairs: int) -> None:
    """A recording directory as the original program would have left it, computed by the reference in float64."""
    torch.manual_seed(pairs)
    model = Twelve(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    state = write_released(model)
    length, regions = 5, 4
    lengths, counts = torch.randint(2, length + 1, (pairs,)), torch.randint(1, regions + 1, (pairs,))
    words, mask = torch.arange(length) < lengths[:, None], torch.arange(regions) < counts[:, None]
    inputs = {
        "input_ids": torch.randint(1, config.vocab_size, (pairs, length)) * words,
        "token_type_ids": torch.randint(0, 2, (pairs, length)),
        "attention_mask": words.long(),
        "image_feat": torch.randn(pairs, regions, config.v_feature_size) * mask[..., None],
        "image_loc": tiny_model.boxes(pairs, regions, 5) * mask[..., None],
        "image_attention_mask": mask.long(),
    }
    if config.task_specific_tokens:
        inputs["task_ids"] = torch.randint(0, config.num_task_tokens, (pairs, 1))
    reference = Reference({name: value.double() for name, value in state.items()}, config.to_dict())
    found = [
        reference.pair(
            inputs["input_ids"][row],
            words[row],
            inputs["token_type_ids"][row],
            int(inputs["task_ids"][row]) if "task_ids" in inputs else None,
            inputs["image_feat"][row].double(),
            inputs["image_loc"][row].double(),
            mask[row],
        )
        for row in range(pairs)
    ]
    states = {name: torch.stack([pair[name] for pair in found]) for name in found[0]}
    outputs = {
        "sequence_output_t": states.pop("words"),
        "sequence_output_v": states.pop("regions"),
        "pooled_output_t": states.pop("pooled_text"),
        "pooled_output_v": states.pop("pooled_image"),
    }
    fused = {
        "fused": states.pop("fused"),
        "words": outputs["sequence_output_t"],
        "regions": outputs["sequence_output_v"],
    }
    logits = reference.heads(fused, mask, multitask=multitask)
    for ours, name in (RECORDED if multitask else PRETRAINED).items():
        if ours == "pair" and pairs % 2:
            outputs[name] = logits["pretraining.alignment"]
        else:
            outputs[name] = logits[ours][..., None] if ours in ("region", "word_logit") else logits[ours]
    outputs |= {recorded_name(name): value for name, value in states.items()}
    tree = {
        **{"vocab_size": config.vocab_size, "model": "bert", "objective": 0, "num_negative": 128, "fast_mode": False},
        **{k: v for k, v in config.to_dict().items() if k in defaults()},
    }
    for key in ("heads", "pretraining", "word_logit", "num_task_tokens", "pooled_dropout", "model_type"):
        tree.pop(key, None)
    name = "VILBertForVLTasks" if multitask else "BertForMultiModalPreTraining"
    folder.mkdir(exist_ok=True)
    (folder / "meta.json").write_text(json.dumps({"config": tree, "effective_config": tree, "model_class": name}))
    save_file(state, folder / "state.safetensors")
    save_file(inputs, folder / "inputs.safetensors")
    save_file({k: v.detach().float().contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")


@st.composite
def configs(draw: st.DrawFn, multitask: bool) -> TwelveConfig:
    text, image, connections = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    places = [
        sorted(draw(st.lists(st.integers(0, layers - 1), min_size=connections, max_size=connections)))
        for layers in (text, image)
    ]
    head = draw(st.sampled_from([2, 4]))
    return TwelveConfig(
        vocab_size=30,
        hidden_size=8 * draw(st.integers(1, 2)),
        num_attention_heads=head,
        intermediate_size=draw(st.integers(3, 12)),
        max_position_embeddings=8,
        v_feature_size=draw(st.integers(2, 9)),
        v_target_size=draw(st.integers(2, 9)),
        v_hidden_size=12,
        v_num_attention_heads=draw(st.sampled_from([1, 3, 4])),
        v_intermediate_size=draw(st.integers(3, 12)),
        bi_hidden_size=8,
        bi_num_attention_heads=head,
        num_hidden_layers=text,
        v_num_hidden_layers=image,
        t_biattention_id=places[0],
        v_biattention_id=places[1],
        task_specific_tokens=multitask and draw(st.booleans()),
        dynamic_attention=draw(st.booleans()),
        fusion_method=draw(st.sampled_from(["mul", "sum"])),
        visual_target=draw(st.sampled_from([0, 1, 2])),
        heads=HEADS if multitask else {},
        pretraining=True,
        word_logit=multitask,
    )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), multitask=st.booleans(), pairs=st.integers(1, 4))
def test_other_configurations_pass(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, multitask: bool, pairs: int
) -> None:
    config = data.draw(configs(multitask))
    folder = tmp_path_factory.mktemp("recording")
    write_recording(folder, config, multitask=multitask, pairs=pairs)
    assert failed(forward.run(folder)) == set()
