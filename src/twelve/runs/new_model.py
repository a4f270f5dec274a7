"""A new model for a run: its sizes and heads follow from the configuration and the data, its weights are random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from twelve.data.examples.columns import distinct_images
from twelve.data.prepare import Prepared, prepare, sources_of
from twelve.errors import ConfigError, RegionError, quoted
from twelve.model.bert_tokenizer import load_tokenizer
from twelve.model.checkpoints import load_text_encoder, text_config_from
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.model.wordpieces import tokenizer_from
from twelve.regions.recipe import recipe_of
from twelve.regions.store.region_store import RegionStore
from twelve.settings import RunConfig
from twelve.tasks.base import TOKEN_ROWS
from twelve.training.continued import architecture, contrast_size, reserved_rows, start_heads

STATISTICS_IMAGES = 1000
"""Training images whose features determine how the region embedding is scaled."""

Start: TypeAlias = tuple[Twelve, TwelveProcessor, Prepared, list[str]]
"""The model of a run, its processor, the data, and the tasks that the model has been trained on before."""


def new_model(config: RunConfig) -> Start:
    """A model of the configured sizes. Its text encoder is the configured one, everything else is random.

    Raises:
        ConfigError: the sizes do not suit the tokenizer, the texts or the regions; or the configuration names a model
            to start from (:func:`twelve.runs.train.beginning` starts from it).
        RegionError: the regions are of several extractors, or not finite.
        DataError: see :func:`twelve.data.prepare.prepare`.
    """
    if config.model.init:
        remedy = (
            "call twelve.runs.train.beginning(config), which starts from it; for a new model, set model.init to null"
        )
        raise ConfigError("new_model starts from no other model", record="model.init", remedy=remedy)
    data = prepare(config)
    heads = _heads(data)
    processor = _processor(config, data, heads)
    fields = _fields(config, data, processor, heads)
    torch.manual_seed(config.seed)
    try:
        model = Twelve(TwelveConfig(**fields))
    except ConfigError as error:
        raise ConfigError(error.problem, record="model.architecture", remedy=error.remedy) from None
    model.standardise_regions(*_statistics(data))
    start_heads(model, data, data.tasks.values(), processor, config.seed)
    if config.model.text_encoder is not None:
        load_text_encoder(model, config.model.text_encoder)
    return model, processor, data, []


def _heads(data: Prepared) -> dict[str, dict[str, Any]]:
    """Output -> the kind and the size of its head."""
    return {
        key: {"kind": output.head_kind, "size": max(1, len(data.vocabularies.get(key, ())))}
        for key, output in ((task.task.output, task.output) for task in data.tasks.values())
        if output.own_head
    }


def _processor(config: RunConfig, data: Prepared, heads: dict[str, dict[str, Any]]) -> TwelveProcessor:
    """The processor: its tokenizer, tasks and vocabularies, and how the regions were made."""
    named = config.model.tokenizer or config.model.text_encoder
    processor = TwelveProcessor(load_tokenizer(named) if named else tokenizer_from(_texts(data)))
    processor.max_regions = config.model.max_regions
    processor.use_task_tokens(_task_tokens(config))
    rows = config.model.architecture.get("num_task_tokens")
    rows = rows if isinstance(rows, int) else TOKEN_ROWS  # the model's own check names what is no number
    for name, task in data.tasks.items():
        key, row = task.task.output, task.task.token
        processor.add_task(name, output=key, max_text=task.max_text, row=row, reserved=reserved_rows(), rows=rows)
    for key, vocabulary in data.vocabularies.items():
        processor.vocabularies[key] = list(vocabulary)
    processor.use_heads(heads)
    sources = sources_of(data)
    _check_one_extractor(data.store, sources)
    for source in sources:
        processor.region_fingerprints[source] = data.store.fingerprint(source)
        processor.region_recipes |= recipe_of(data.store.metadata(source), source)
    return processor


def _fields(
    config: RunConfig, data: Prepared, processor: TwelveProcessor, heads: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The fields of the model's configuration: ``model.architecture``, and what follows from the data."""
    encoder, given = config.model.text_encoder, config.model.architecture
    asked = architecture(data, given.get("visual_target"))
    fields: dict[str, Any] = {"task_specific_tokens": processor.task_tokens != "none", **asked}
    fields |= {"vocab_size": processor.vocab_size} if encoder is None else text_config_from(encoder)
    fields |= {"v_feature_size": data.store.feature_size, "heads": heads}
    fields["contrast"] = contrast_size(config)
    for key, source in (("heads", "tasks"), ("contrast", "contrast section")):
        if key in given:
            problem = f"{key} follows from the {source}"
            raise ConfigError(problem, record=f"model.architecture.{key}", remedy="leave it out")
    fields |= given
    _check_fit(fields, data, processor, asked)
    return fields


def _task_tokens(config: RunConfig) -> str:
    """The kind of task tokens; those of the released configurations (``task_specific_tokens``) are of each dataset."""
    released = config.model.architecture.get("task_specific_tokens")
    asked = config.model.task_tokens or ("none" if released is False else "dataset")
    if isinstance(released, bool) and released != (asked != "none"):
        raise ConfigError(
            f"expected task_specific_tokens {str(asked != 'none').lower()}, as model.task_tokens is {asked!r}, found "
            f"{str(released).lower()}",
            record="model.architecture.task_specific_tokens",
            remedy="leave it out",
        )
    return asked


def _texts(data: Prepared) -> Iterator[str]:
    return (text for task in data.tasks.values() for example in task.train for text in (example.text, *example.options))


def _check_fit(fields: Mapping[str, Any], data: Prepared, processor: TwelveProcessor, asked: Mapping[str, Any]) -> None:
    """The sizes asked for suit the tokenizer, the texts and the regions; better said before a run folder exists."""
    wanted = {
        "vocab_size": (processor.vocab_size, "word pieces of the tokenizer"),
        "max_position_embeddings": (max(processor.max_text.values()), "word pieces of the longest text (max_text)"),
    }
    for name, (least, what) in wanted.items():
        if fields.get(name, least) < least:
            raise ConfigError(
                f"{name} is {fields[name]}, but there are {least} {what}",
                record="model.architecture",
                remedy=f"give {name} at least {least}",
            )
    if fields["v_feature_size"] != data.store.feature_size:
        raise ConfigError(
            f"v_feature_size is {fields['v_feature_size']}, the regions in {data.store.root} have "
            f"{data.store.feature_size} features",
            record="model.architecture",
            remedy="leave v_feature_size out",
        )
    for name, value in asked.items():
        if fields[name] != value:
            raise ConfigError(
                f"{name} is {fields[name]!r}, pretraining on these regions needs {value!r}",
                record="model.architecture",
                remedy=f"leave {name} out",
            )


def _statistics(data: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (F,) of region features, every task's images counting the same."""
    means, squares = [], []
    for task in data.tasks.values():
        images = distinct_images(task.train)
        step = max(1, len(images) // (STATISTICS_IMAGES // len(data.tasks)))
        total = square = torch.zeros(())
        count = 0
        for image in images[::step]:
            features = data.store.gather([image]).features[0, 1:].double()
            total, square, count = total + features.sum(0), square + features.square().sum(0), count + len(features)
        means.append(total / count)
        squares.append(square / count)
        if not bool(torch.isfinite(total).all()):
            raise RegionError(
                "features that are not finite numbers",
                file=data.store.root,
                record=task.task.name,
                remedy="delete the files that hold them and extract their images again; those that are damaged are "
                f"found by: twelve regions verify {quoted(data.store.root)}",
            )
    mean = torch.stack(means).mean(0)
    variance = torch.stack(squares).mean(0) - mean.square()
    return mean.float(), variance.clamp_min(1e-6).sqrt().float()


def _check_one_extractor(store: RegionStore, sources: Sequence[str]) -> None:
    """Raise RegionError unless all regions are of one extractor; their boxes may be of several kinds."""
    for source in sources:
        (first, *_), (made, *_) = store.made(sources[0]), store.made(source)
        if differs := made.difference(first, boxes=False):
            wrong, like = (source, first.recipe) if first.recipe else (sources[0], made.recipe)
            raise RegionError(
                f"the regions are of {differs[0]}, those of {sources[0]!r} of {differs[1]}",
                file=store.root / source,
                remedy=f"move {store.root / wrong} elsewhere and run: {store.command(wrong, like=like)}",
            )
