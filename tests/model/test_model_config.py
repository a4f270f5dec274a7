"""Nothing in the model's configuration is accepted silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from twelve.errors import ConfigError
from twelve.model.config import TwelveConfig

HEADS = {"answer": {"kind": "answer", "size": 7}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 768}, r"hiden_size.*did you mean \"hidden_size\""),
        ({"num_labels": 3129}, "unknown setting 'num_labels'"),
        ({"output_hidden_states": True}, "unknown setting"),
        ({"hidden_size": 770}, "hidden_size must be a multiple of num_attention_heads 12, found 770"),
        ({"v_hidden_size": 1023}, "v_hidden_size must be a multiple of v_num_attention_heads 8, found 1023"),
        ({"bi_hidden_size": 1022}, "bi_hidden_size must be a multiple of bi_num_attention_heads 8, found 1022"),
        ({"v_biattention_id": [0, 1]}, r"equally many connections.*v_biattention_id \[0, 1\]"),
        ({"t_biattention_id": [6, 7, 8, 10, 9, 11]}, "must be in increasing order"),
        ({"t_biattention_id": [6, 7, 8, 9, 10, 13]}, "must name layers from 0 to num_hidden_layers 12, found 13"),
        ({"v_biattention_id": [-1, 1, 2, 3, 4, 5]}, "found -1"),
        ({"t_biattention_id": [6, 7, 8, 9, 10, 11.0]}, "list of integers"),
        ({"t_biattention_id": "6"}, "list of integers"),
        ({"hidden_size": "768"}, "integer"),
        ({"hidden_size": True}, "integer"),
        ({"v_num_hidden_layers": 0}, "at least 1"),
        ({"hidden_dropout_prob": 1.0}, "up to, but not including, 1"),
        ({"pooled_dropout": -0.1}, "up to, but not including, 1"),
        ({"initializer_range": 0}, "above 0"),
        ({"hidden_act": "gelu_new"}, "one of gelu, relu, swish"),
        ({"fusion_method": "cat"}, "one of mul, sum"),
        ({"visual_target": 3}, "one of 0, 1, 2"),
        ({"visual_target": False}, "one of 0, 1, 2"),
        ({"dynamic_attention": 1}, "true or false"),
        ({"heads": []}, "heads must map"),
        ({"heads": {"a.b": HEADS["answer"]}}, "cannot name a head"),
        ({"heads": {"words": HEADS["answer"]}}, "cannot name a head"),
        ({"heads": {"answer": {"kind": "answer"}}}, "kind and a size"),
        ({"heads": {"answer": {"kind": "answer", "size": 0}}}, "size of at least 1, found .* and 0"),
    ],
)
def test_what_cannot_be_used_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TwelveConfig(**changes)


def test_a_change_after_construction_is_checked_too() -> None:
    config = TwelveConfig()
    config.hidden_size = 770
    with pytest.raises(ConfigError, match="770"):
        config.check()


def test_written_and_read_back_equal(tmp_path: Path) -> None:
    config = TwelveConfig(heads=HEADS, num_hidden_layers=11, t_biattention_id=[0], v_biattention_id=[6])
    config.save_pretrained(tmp_path)
    for read in (TwelveConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(read, TwelveConfig)
        assert read.to_diff_dict() == config.to_diff_dict()
    text = (tmp_path / "config.json").read_text().replace('"hidden_size"', '"hidden_sise"')
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"hidden_sise.*hidden_size"):
        TwelveConfig.from_pretrained(tmp_path)


def test_configurations_share_no_lists() -> None:
    first, second = TwelveConfig(heads=HEADS), TwelveConfig()
    first.t_biattention_id.append(3)
    first.heads["answer"]["size"] = 9
    assert second.t_biattention_id == [6, 7, 8, 9, 10, 11]
    assert second.heads == {} and HEADS["answer"]["size"] == 7


@pytest.mark.parametrize(
    ("text", "image", "steps"),
    [
        ([1], [0], "T0 C0 I0 I1 T1 T2"),
        ([2, 2], [0, 1], "T0 T1 C0 I0 C1 I1 T2"),
        ([0, 3], [2, 2], "I0 I1 C0 T0 T1 T2 C1"),
        ([], [], "I0 I1 T0 T1 T2"),
    ],
)
def test_steps_in_the_original_order(text: list[int], image: list[int], steps: str) -> None:
    config = TwelveConfig(num_hidden_layers=3, v_num_hidden_layers=2, t_biattention_id=text, v_biattention_id=image)
    letters = {"text": "T", "image": "I", "connection": "C"}
    assert " ".join(f"{letters[kind]}{index}" for kind, index in config.steps) == steps
