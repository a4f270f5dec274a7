"""``twelve push``: a trained model on the hub, with its processor, its results and a card that says what they mean."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from math import prod
from pathlib import Path

from twelve.config import load_run
from twelve.errors import CheckpointError, ConfigError, quoted
from twelve.evaluation.results import read_results
from twelve.io import files
from twelve.io.hub import HUB_NAME, inside, upload
from twelve.model.network import STALE
from twelve.model.opening import open_network
from twelve.model.processor import FILES
from twelve.model.tensors import weights_of
from twelve.progress import counted, enumerated
from twelve.run_folder import INDEX, WEIGHTS, RunFolder, model_folder
from twelve.runs.card import FILE, write_card
from twelve.runs.card_origin import Origin
from twelve.runs.measured_data import other_files
from twelve.runs.run_card import kept_scores, origin_of, own_tasks_of

_NAME = re.compile(r"(?!.*(--|\.\.))(\b[\w.-]{1,96}\b/)\b[\w.-]{1,96}\b(?<!\.git)", re.ASCII)
"""What the hub takes: huggingface_hub/utils/_validators.py."""


def hub_name(name: str) -> str:
    """``owner/model``, from it or from ``hub:owner/model``.

    Raises:
        ConfigError: it is neither, or the hub does not take such names.
    """
    plain = name.removeprefix(HUB_NAME)
    if not _NAME.fullmatch(plain):
        remedy = "name your account and the model, each of letters, digits and single - . _ between them: owner/model"
        raise ConfigError(f"expected owner/model, found {name!r}", remedy=remedy)
    return plain


def push(run: Path, name: str, *, licence: str | None = None, private: bool = False, message: str = "") -> str:
    """Push a model to the hub as one commit, and return its URL.

    Args:
        run: a run's folder, or a model's folder.
        name: ``owner/model``; the repository is made if there is none.
        licence: see :func:`assemble`.
        private: of a new repository.

    Raises:
        CheckpointError: the model is damaged, its results are those of an earlier model, or the hub refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        assemble(run, Path(folder), name, licence=licence)
        return upload(
            Path(folder), hub_name(name), private=private, message=message or "A model of twelve", stale=STALE
        )


def assemble(run: Path, out: Path, name: str, *, licence: str | None = None) -> list[Path]:
    """Write the files that :func:`push` would push, and return them.

    They are the model (config.json, safetensors), its processor, ``evaluation.json`` if it was evaluated, and the card
    README.md. Nothing else of the run's folder is copied.

    Args:
        out: an empty folder, or none.
        licence: of the weights, an identifier of the hub such as ``cc-by-4.0``; None for ``other``, or Apache-2.0 if
            the data are a microworld.

    Raises:
        ConfigError: ``out`` holds something, or ``name`` is not owner/model.
        CheckpointError: the model is damaged, or one of its files is a link that leads out of its folder.
    """
    name = hub_name(name)
    files.check_folder(out)
    if out.exists() and any(out.iterdir()):
        raise ConfigError("expected an empty folder, found files", file=out, remedy="name a new folder")
    saved = model_folder(run)
    model, processor = open_network(saved)  # so that nothing damaged is pushed
    origin, results = _origin(run, saved)
    own = own_tasks_of(run) if saved != run else {}
    names = (
        [WEIGHTS]
        if (saved / WEIGHTS).is_file()
        else [INDEX, *sorted(p.name for p in saved.glob("model-*.safetensors"))]
    )
    with files.replacing(out) as partial:
        partial.mkdir(exist_ok=True)
        for each in ("config.json", *names, *FILES):
            shutil.copyfile(inside(saved, each), partial / each)
        if results is not None:
            shutil.copyfile(inside(results.parent, results.name), partial / results.name)
        size = sum(prod(weight.shape) for weight in weights_of(saved).values())
        if origin is None:
            text = inside(saved, FILE).read_text(encoding="utf-8", errors="replace")
            (partial / FILE).write_text(_renamed(text, name), encoding="utf-8")
        else:
            origin = replace(origin, source=f"{HUB_NAME}{name}", licence=licence)
            write_card(partial, model.config, processor, origin, size, own)
    return sorted(out.iterdir())


def _renamed(card: str, name: str) -> str:
    """The card that a model has, with another name of the model: in the head, and where the model is opened."""
    before = re.search("(?<=^model-index:\n- name: ).*$", card, re.MULTILINE)
    if before is not None:
        card = card[: before.start()] + name + card[before.end() :]
    for known in ("PATH OF THIS FOLDER", *([] if before is None else [f"{HUB_NAME}{before[0]}", before[0]])):
        card = card.replace(f'twelve.load("{known}")', f'twelve.load("{HUB_NAME}{name}")')
    return card


def _origin(run: Path, saved: Path) -> tuple[Origin | None, Path | None]:
    """What a card says about a model, and the file of its results; None to keep the card that the model has.

    Raises:
        CheckpointError: the results are those of an earlier model.
    """
    if saved == run:
        known = files.is_there(saved / FILE, CheckpointError)
        return (None if known else Origin("How this model was made is not recorded."), None)
    folder = RunFolder(run)
    if not files.is_there(folder.evaluation, CheckpointError):
        return origin_of(run, kept_scores(run)), None
    results, facts = read_results(folder.evaluation)
    if (since := folder.outdated(facts)) is not None:
        problem = f"measured after {counted(since, 'iteration')}, and the run was trained on since then"
        raise CheckpointError(problem, file=folder.evaluation, remedy=f"twelve evaluate {quoted(run)}")
    machine = facts.get("machine")
    made_by = str(machine.get("processor", "")) if isinstance(machine, dict) else ""
    return origin_of(run, kept_scores(run), results, made_by), folder.evaluation


def lacking(run: Path) -> str | None:
    """What a card will lack, as a line that says how to add it: results, or those of the test files as they are."""
    if model_folder(run) == run:
        return None
    if files.is_there(file := RunFolder(run).evaluation, CheckpointError):
        changed, _ = other_files(Path(load_run(run).data), read_results(file)[0])
        verb = "has" if len(changed) == 1 else "have"
        said = (
            f"warning: {enumerated(changed)} {verb} changed since the evaluation, so the card has scores of other lines"
        )
        return f"{said}; to measure them again: twelve evaluate {quoted(run)}" if changed else None
    return f"the card has no results, since the run was not evaluated; to add them: twelve evaluate {quoted(run)}"
