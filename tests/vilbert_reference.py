"""The model written down once more, from its description alone, to hold the package's against.

Everything the package avoids is done here: padded rows, one copy of text and image for each pair, every layer at every
position, -10000 added to masked scores, one pair and one attention head at a time. Weights go by their released names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MASKED = -10000.0


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


ACTIVATIONS = {"gelu": gelu, "relu": lambda x: x.clamp(min=0), "swish": lambda x: x * torch.sigmoid(x)}


class Reference:
    """``weights``: released name -> tensor; ``config``: the released configuration's names."""

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        self.weights, self.config = weights, config

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> tuple[Tensor, Tensor]:
        """Context (Q, D) and probabilities (N, Q, K) from (Q, D), (K, D), (K, D) and a 0/1 mask (K,)."""
        size = query.shape[1] // heads
        contexts, probabilities = [], []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size) + (1 - mask)[None, :] * MASKED
            exponents = torch.exp(scores - scores.max(dim=1, keepdim=True).values.detach())
            share = exponents / exponents.sum(dim=1, keepdim=True)
            contexts.append(share @ value[:, part])
            probabilities.append(share)
        return torch.cat(contexts, dim=1), torch.stack(probabilities)

    def feed_forward(self, x: Tensor, inner: str, outer: str, activation: str) -> Tensor:
        hidden = ACTIVATIONS[activation](self.linear(x, f"{inner}.dense"))
        return self.norm(self.linear(hidden, f"{outer}.dense") + x, f"{outer}.LayerNorm")

    def layer(self, x: Tensor, mask: Tensor, name: str, heads: int, activation: str, gates: Any = None) -> Any:
        query, key, value = (self.linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        if gates is not None:
            query, key = query * gates[0], key * gates[1]
        context, shares = self.attend(query, key, value, mask, heads)
        out = f"{name}.attention.output"
        x = self.norm(self.linear(context, f"{out}.dense") + x, f"{out}.LayerNorm")
        return self.feed_forward(x, f"{name}.intermediate", f"{name}.output", activation), shares

    def connection(self, text: Tensor, image: Tensor, masks: tuple[Tensor, Tensor], name: str) -> Any:
        config, heads = self.config, self.config["bi_num_attention_heads"]
        query, key, value = {}, {}, {}
        for number, stream in ((1, image), (2, text)):
            query[number] = self.linear(stream, f"{name}.biattention.query{number}")
            key[number] = self.linear(stream, f"{name}.biattention.key{number}")
            value[number] = self.linear(stream, f"{name}.biattention.value{number}")
        over_regions, text_shares = self.attend(query[2], key[1], value[1], masks[1], heads)
        over_words, image_shares = self.attend(query[1], key[2], value[2], masks[0], heads)
        out = f"{name}.biOutput"
        image = self.norm(self.linear(over_words, f"{out}.dense1") + image, f"{out}.LayerNorm1")
        text = self.norm(self.linear(over_regions, f"{out}.dense2") + text, f"{out}.LayerNorm2")
        image = self.feed_forward(image, f"{name}.v_intermediate", f"{name}.v_output", config["v_hidden_act"])
        text = self.feed_forward(text, f"{name}.t_intermediate", f"{name}.t_output", config["hidden_act"])
        return text, image, text_shares, image_shares

    def pair(
        self,
        ids: Tensor,
        text_mask: Tensor,
        segments: Tensor,
        task: int | None,
        features: Tensor,
        boxes: Tensor,
        mask: Tensor,
    ) -> dict[str, Tensor]:
        """States, attention probabilities and pooled vectors of one text with one image."""
        config, found = self.config, {}
        rows = []
        for position, piece in enumerate(ids.tolist()):
            rows.append(
                self.weights["bert.embeddings.word_embeddings.weight"][piece]
                + self.weights["bert.embeddings.position_embeddings.weight"][position]
                + self.weights["bert.embeddings.token_type_embeddings.weight"][int(segments[position])]
            )
        words = text_mask.to(rows[0])
        if task is not None:
            rows.insert(1, self.weights["bert.embeddings.task_embeddings.weight"][task])
            words = torch.cat([words[:1], words.new_ones(1), words[1:]])
        text = self.norm(torch.stack(rows), "bert.embeddings.LayerNorm")
        image = self.norm(
            self.linear(features, "bert.v_embeddings.image_embeddings")
            + self.linear(boxes, "bert.v_embeddings.image_location_embeddings"),
            "bert.v_embeddings.LayerNorm",
        )
        regions = mask.to(image)
        found["text.embedding"], found["image.embedding"] = text, image

        def run_text(upto: int) -> None:
            nonlocal text, text_done
            for index in range(text_done, upto):
                name = f"bert.encoder.layer.{index}"
                text, shares = self.layer(text, words, name, config["num_attention_heads"], config["hidden_act"])
                found[f"text.{index}"], found[f"attn.text.{index}"] = text, shares
            text_done = upto

        def run_image(upto: int) -> None:
            nonlocal image, image_done
            for index in range(image_done, upto):
                name, gates = f"bert.encoder.v_layer.{index}", None
                if config["dynamic_attention"]:
                    mean = (text * words[:, None]).sum(0) / words.sum()
                    gates = [
                        1 + torch.sigmoid(self.linear(mean[None], f"{name}.attention.self.dyLinear_{which}"))
                        for which in "qk"
                    ]
                heads, activation = config["v_num_attention_heads"], config["v_hidden_act"]
                image, shares = self.layer(image, regions, name, heads, activation, gates)
                found[f"image.{index}"], found[f"attn.image.{index}"] = image, shares
            image_done = upto

        text_done = image_done = 0
        for index, (t, v) in enumerate(zip(config["t_biattention_id"], config["v_biattention_id"], strict=True)):
            run_text(t)
            run_image(v)
            name = f"bert.encoder.c_layer.{index}"
            text, image, text_shares, image_shares = self.connection(text, image, (words, regions), name)
            found[f"connection.{index}.text"], found[f"connection.{index}.image"] = text, image
            found[f"attn.connection.{index}.text"], found[f"attn.connection.{index}.image"] = text_shares, image_shares
        run_image(config["v_num_hidden_layers"])
        run_text(config["num_hidden_layers"])
        found["words"], found["regions"] = text, image
        found["pooled_text"] = self.linear(text[0], "bert.t_pooler.dense").clamp(min=0)
        found["pooled_image"] = self.linear(image[0], "bert.v_pooler.dense").clamp(min=0)
        both = found["pooled_text"], found["pooled_image"]
        found["fused"] = both[0] * both[1] if config["fusion_method"] == "mul" else both[0] + both[1]
        return found

    def classify(self, x: Tensor, name: str) -> Tensor:
        hidden = self.norm(gelu(self.linear(x, f"{name}.logit_fc.0")), f"{name}.logit_fc.2")
        return self.linear(hidden, f"{name}.logit_fc.3")

    def heads(self, found: Mapping[str, Tensor], region_mask: Tensor, *, multitask: bool = True) -> dict[str, Tensor]:
        """Logits from states stacked over pairs, by the package's names; ``region_mask`` (P, R) 0/1. ``multitask``: the
        heads of the twelve datasets besides those of pretraining."""
        fused = found["fused"]
        transformed = {}
        for stream, name in (("words", "cls.predictions.transform"), ("regions", "cls.imagePredictions.transform")):
            hidden = ACTIVATIONS[self.config["hidden_act"]](self.linear(found[stream], f"{name}.dense"))
            transformed[stream] = self.norm(hidden, f"{name}.LayerNorm")
        decoder = self.weights["bert.embeddings.word_embeddings.weight"]
        logits = {
            "pretraining.words": transformed["words"] @ decoder.T + self.weights["cls.predictions.bias"],
            "pretraining.regions": self.linear(transformed["regions"], "cls.imagePredictions.decoder"),
            "pretraining.alignment": self.linear(fused, "cls.bi_seq_relationship"),
        }
        if not multitask:
            return logits
        logits |= {
            "answer": self.classify(fused, "vil_prediction"),
            "alignment": self.linear(fused, "vil_logit"),
            "entailment": self.linear(fused, "vil_tri_prediction"),
            "region": self.linear(found["regions"], "vision_logit")[..., 0] + (1 - region_mask.to(fused)) * MASKED,
            "word_logit": self.linear(found["words"], "linguisic_logit")[..., 0],
        }
        if len(fused) % 2 == 0:
            beside = torch.stack([torch.cat([fused[i], fused[i + 1]]) for i in range(0, len(fused), 2)])
            logits["pair"] = self.classify(beside, "vil_binary_prediction")
        return logits
