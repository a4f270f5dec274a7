"""ViLBERT as a plain program computes it: padded float32 batches, an image for every question, all layers at all
positions, all heads. benchmarks/forward.py compares with it, and compares it with the recordings of the original.

Axes: P pairs, L text length with the task token, R regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from twelve.model.checkpoints import write_released
from twelve.parity.models import Inputs, open_model
from twelve.parity.recording import Tensors

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "swish": F.silu}
GOLDENS = Path(__file__).parents[1] / "tests" / "goldens" / "model" / "public_multitask"
RELEASED = {
    "answer": "vil_prediction",
    "answer_gqa": "vil_prediction_gqa",
    "alignment": "vil_logit",
    "entailment": "vil_tri_prediction",
    "pair": "vil_binary_prediction",
    "region": "vision_logit",
}
"""Head -> its name in the released program."""


class Plain:
    """``weights``: released name -> tensor; ``config``: the released configuration's names."""

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        self.weights, self.config = weights, config

    def linear(self, states: Tensor, name: str) -> Tensor:
        return F.linear(states, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, states: Tensor, name: str) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return F.layer_norm(states, weight.shape, weight, self.weights[f"{name}.bias"], 1e-12)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
        query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        return context.transpose(1, 2).flatten(2)

    def feed_forward(self, states: Tensor, inner: str, outer: str, activation: str) -> Tensor:
        hidden = ACTIVATIONS[activation](self.linear(states, f"{inner}.dense"))
        return self.norm(self.linear(hidden, f"{outer}.dense") + states, f"{outer}.LayerNorm")

    def layer(self, states: Tensor, mask: Tensor, name: str, heads: int, activation: str) -> Tensor:
        query, key, value = (self.linear(states, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        out = f"{name}.attention.output"
        context = self.attend(query, key, value, mask, heads)
        states = self.norm(self.linear(context, f"{out}.dense") + states, f"{out}.LayerNorm")
        return self.feed_forward(states, f"{name}.intermediate", f"{name}.output", activation)

    def connection(
        self, text: Tensor, image: Tensor, words: Tensor, regions: Tensor, name: str
    ) -> tuple[Tensor, Tensor]:
        config, heads = self.config, self.config["bi_num_attention_heads"]
        projected = {
            f"{part}{number}": self.linear(states, f"{name}.biattention.{part}{number}")
            for number, states in ((1, image), (2, text))
            for part in ("query", "key", "value")
        }
        over_regions = self.attend(projected["query2"], projected["key1"], projected["value1"], regions, heads)
        over_words = self.attend(projected["query1"], projected["key2"], projected["value2"], words, heads)
        out = f"{name}.biOutput"
        image = self.norm(self.linear(over_words, f"{out}.dense1") + image, f"{out}.LayerNorm1")
        text = self.norm(self.linear(over_regions, f"{out}.dense2") + text, f"{out}.LayerNorm2")
        image = self.feed_forward(image, f"{name}.v_intermediate", f"{name}.v_output", config["v_hidden_act"])
        return self.feed_forward(text, f"{name}.t_intermediate", f"{name}.t_output", config["hidden_act"]), image

    def classify(self, states: Tensor, name: str) -> Tensor:
        hidden = self.norm(F.gelu(self.linear(states, f"{name}.logit_fc.0")), f"{name}.logit_fc.2")
        return self.linear(hidden, f"{name}.logit_fc.3")

    def __call__(
        self,
        ids: Tensor,
        words: Tensor,
        segments: Tensor | None,
        tasks: Tensor | None,
        features: Tensor,
        boxes: Tensor,
        regions: Tensor,
    ) -> dict[str, Tensor]:
        """Logits by the package's names, of pairs of row i with row i; ``words`` (P, L) and ``regions`` (P, R) bool."""
        config, weights = self.config, self.weights
        table = "bert.embeddings"
        text = F.embedding(ids, weights[f"{table}.word_embeddings.weight"])
        text = text + weights[f"{table}.position_embeddings.weight"][: ids.shape[1]]
        text = text + F.embedding(ids.new_zeros(ids.shape) if segments is None else segments,
                                  weights[f"{table}.token_type_embeddings.weight"])  # fmt: skip
        if tasks is not None:
            task = F.embedding(tasks, weights[f"{table}.task_embeddings.weight"])[:, None]
            text = torch.cat([text[:, :1], task, text[:, 1:]], 1)
            words = torch.cat([words[:, :1], torch.ones_like(words[:, :1]), words[:, 1:]], 1)
        text = self.norm(text, f"{table}.LayerNorm")
        image = self.linear(features.float(), "bert.v_embeddings.image_embeddings")
        image = image + self.linear(boxes, "bert.v_embeddings.image_location_embeddings")
        image = self.norm(image, "bert.v_embeddings.LayerNorm")
        done = {"layer": 0, "v_layer": 0}

        def run(states: Tensor, mask: Tensor, stream: str, upto: int) -> Tensor:
            prefix = "v_" if stream == "v_layer" else ""
            heads, activation = config[f"{prefix}num_attention_heads"], config[f"{prefix}hidden_act"]
            for index in range(done[stream], upto):
                states = self.layer(states, mask, f"bert.encoder.{stream}.{index}", heads, activation)
            done[stream] = upto
            return states

        for index, (t, v) in enumerate(zip(config["t_biattention_id"], config["v_biattention_id"], strict=True)):
            text, image = run(text, words, "layer", t), run(image, regions, "v_layer", v)
            text, image = self.connection(text, image, words, regions, f"bert.encoder.c_layer.{index}")
        image = run(image, regions, "v_layer", config["v_num_hidden_layers"])
        text = run(text, words, "layer", config["num_hidden_layers"])
        pooled = (
            self.linear(text[:, 0], "bert.t_pooler.dense").relu(),
            self.linear(image[:, 0], "bert.v_pooler.dense").relu(),
        )
        fused = pooled[0] * pooled[1] if config["fusion_method"] == "mul" else pooled[0] + pooled[1]
        logits = {
            "region": self.linear(image, RELEASED["region"]).squeeze(-1).masked_fill(~regions, -10000.0),
            "pair": self.classify(fused.view(len(fused) // 2, -1), RELEASED["pair"]),
        }
        logits |= {head: self.classify(fused, RELEASED[head]) for head in ("answer", "answer_gqa")}
        return logits | {head: self.linear(fused, RELEASED[head]) for head in ("alignment", "entailment")}


def difference_from_goldens() -> float:
    """Largest difference of any logit from the recordings of the original program."""
    _, model = open_model(GOLDENS)
    given = Inputs.read(Tensors(GOLDENS / "inputs.safetensors"), model)
    assert given.text_mask is not None and given.region_mask is not None
    with torch.inference_mode():
        found = Plain(write_released(model), model.config.to_dict())(
            given.input_ids,
            given.text_mask,
            given.segment_ids,
            given.task_rows,
            given.features,
            given.boxes,
            given.region_mask,
        )
    recorded = Tensors(GOLDENS / "outputs.safetensors").tensors
    differences = {name: (logits - recorded[RELEASED[name]].view_as(logits)).abs() for name, logits in found.items()}
    differences["region"] = differences["region"][given.region_mask]
    return max(float(difference.max()) for difference in differences.values())
