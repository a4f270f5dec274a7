"""``twelve predict``, ``match``, ``index``, ``export``, ``push`` and ``convert``: using a trained model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twelve.cli.options import Device, Precision, Run, Weights, labels_by_head, warn_unfinished
from twelve.cli.serve import serve

Images = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="PATH", help="An image, or a folder with subfolders (repeatable)."),
]
Texts = list[str] | None
TASK = "The task that answers (see twelve tasks); by default, the first task of the right kind."
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Top = Annotated[
    int | None, typer.Option(min=1, help="Number of best matches to show.", show_default="5; with --json, all")
]
Shortlist = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Images to rank for a caption, chosen by the contrast head; 0: all.",
        show_default="128 with --index, or if the model has the head and there are more than 2,000 pairs",
    ),
]
ContrastWeight = Annotated[
    float | None,
    typer.Option(
        help="Weight of the contrast head's logit, added to the model's logit; 1 often ranks better than 0.",
        show_default="1 with --index, otherwise 0",
    ),
]
Index = Annotated[
    Path | None, typer.Option(help="A file that keeps the contrast head's vectors of the images for later searches.")
]


def predict(
    run: Run,
    image: Images = None,
    ask: Annotated[Texts, typer.Option(metavar="TEXT", help="A question (repeatable).")] = None,
    locate: Annotated[Texts, typer.Option(metavar="TEXT", help="A phrase to locate (repeatable).")] = None,
    entails: Annotated[Texts, typer.Option(metavar="TEXT", help="A statement to judge (repeatable).")] = None,
    task: Annotated[str | None, typer.Option(help=TASK)] = None,
    threshold: Annotated[float | None, typer.Option(help="Minimum confidence (0..1) for a box of --locate.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="A file with one question per line (docs/predict.md).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file: JSON lines, or a table if it ends in .csv.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Write the annotated images to this folder.")] = None,
    as_json: Json = False,
    weights: Weights = None,
    device: Device = "cpu",
    precision: Precision = "auto",
) -> None:
    """Ask a trained model about images.

    The exit code is 1 if a question could not be answered."""
    from twelve.errors import ConfigError
    from twelve.predictor import asked

    asked.check_order(run, image or [], "twelve predict MODEL --image IMAGE --ask TEXT")
    texts = {"answer": ask or [], "locate": locate or [], "entails": entails or []}
    if jsonl is None and not any(texts.values()):
        kinds = "--ask, --locate or --entails"
        remedy = f"add {kinds}" if image else f"give --image and {kinds}; or --jsonl FILE"
        raise ConfigError("no question to ask", remedy=remedy)
    if jsonl is None and not image:
        raise ConfigError("no image to ask about", remedy="add --image FILE, or --image FOLDER for all images in it")
    if jsonl is not None and (image or any(texts.values())):
        raise ConfigError("--jsonl already contains images and questions", remedy="omit --image and the questions")
    if threshold is not None:
        from twelve.predictor.checks import check_threshold

        check_threshold(threshold)
        if jsonl is None and not locate:
            raise ConfigError("--threshold requires --locate", remedy="omit it, or add --locate")
    images = asked.images_in(image or [], besides=draw)
    asked.check_images(images)
    folder = asked.find(run)
    from twelve.predictor import command, lines, loading

    if jsonl is not None:
        requests = lines.requests_in(jsonl, task, threshold)
        corrections = {image: request.correction for request in reversed(requests) for image in request.images}
        asked.check_images((image for request in requests for image in request.images), corrections)
    else:
        requests = lines.requests_of(images, texts, task, threshold)
    command.check_outputs(requests, out=out, draw=draw, jsonl=jsonl)
    abilities = loading.abilities_of(folder)
    command.check(abilities, requests)
    command.check_extractor(weights, device)
    predictor = loading.opened(folder, abilities.own, weights=weights, device=device, precision=precision)
    warn_unfinished(folder)
    command.note_synthetic(abilities)
    outcomes = command.predict(predictor, requests)
    named = [jsonl] if jsonl is not None else image
    names = asked.short_names((image for request in requests for image in request.images), named)
    with_task = abilities.names_its_task
    missing = command.write(
        outcomes, out=out, as_json=as_json, draw=draw, stream=sys.stdout, names=names, with_task=with_task
    )
    if as_json or out is not None:  # lines of text say it themselves
        command.note_uncalibrated(predictor, requests)
    raise typer.Exit(int(missing > 0))


def match(
    run: Run,
    captions: Annotated[list[str], typer.Argument(help="Captions to search the images for.")],
    images: Annotated[
        list[Path], typer.Option(metavar="PATH", help="An image, or a folder with subfolders (repeatable).")
    ],
    task: Annotated[str | None, typer.Option(help=TASK)] = None,
    top: Top = None,
    regions: Annotated[Path | None, typer.Option(help="A region store with regions of some of the images.")] = None,
    shortlist: Shortlist = None,
    contrast_weight: ContrastWeight = None,
    index: Index = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: all ranked images, or those of --top.")] = False,
    weights: Weights = None,
    device: Device = "cpu",
    precision: Precision = "auto",
) -> None:
    """Find the images that match captions.

    The exit code is 1 if an image could not be read."""
    from twelve.errors import RegionError
    from twelve.io.files import check_file
    from twelve.predictor import asked

    asked.check_order(run, images, "twelve match MODEL CAPTION --images IMAGE")
    asked.check_captions(captions)
    if contrast_weight:
        from twelve.predictor.checks import check_weight

        check_weight(contrast_weight)
    files = asked.images_in(images)
    asked.check_images(files)
    if regions is not None and not regions.exists():
        remedy = "pass a folder written by twelve regions extract"
        raise RegionError("no such region store", file=regions, remedy=remedy)
    folder = asked.find(run)
    from twelve.predictor import command, loading

    abilities = loading.abilities_of(folder)
    command.check_captions(abilities, captions, task)
    if shortlist or contrast_weight or index is not None:
        loading.check_contrast(folder)
    if index is not None:
        check_file(index)
    command.check_extractor(weights, device)
    predictor = loading.opened(folder, abilities.own, weights=weights, device=device, precision=precision)
    warn_unfinished(folder)
    command.note_synthetic(abilities)
    found = predictor.search(
        files,
        captions,
        index=index,
        task=task,
        shortlist=shortlist,
        contrast_weight=contrast_weight,
        regions=regions,
        progress=True,
    )
    with_task = abilities.names_its_task("match")
    names = asked.short_names(files, images)
    command.write_matches(found, typer.echo, top=top, as_json=as_json, names=names, with_task=with_task)
    raise typer.Exit(int(bool(found.skipped)))


def index(
    file: Annotated[Path, typer.Argument(help="A file that twelve match --index made.")],
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="Remove this folder and its subfolders from the index (repeatable; a path as in the list, or "
            "relative to the current folder).",
        ),
    ] = None,
) -> None:
    """List the folders of an index, or remove some.

    Needs no model. The images themselves are kept."""
    from twelve.errors import one_line
    from twelve.predictor import index_folders, remove_from_index
    from twelve.progress import counted, tell

    if remove:
        count = remove_from_index(file, *remove)
        tell(f"{file}: took out {counted(count, 'image')}; a running service finds them until it is restarted")
    for folder, count in sorted(index_folders(file).items()):
        typer.echo(one_line(f"{folder}: {counted(count, 'image')}"))


def convert(
    weights: Annotated[Path, typer.Argument(help="A released checkpoint, e.g. multi_task_model.bin.")],
    out: Annotated[Path, typer.Argument(help="The model folder to write.")],
    config: Annotated[Path | None, typer.Option(help="Its JSON configuration.", show_default="the paper's")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="vocab.txt, a folder, package:MODULE or a hub name.")
    ] = "bert-base-uncased",
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="HEAD=FILE", help="A head's answers in order: JSON or the released pickle."),
    ] = None,
    detector: Annotated[Path | None, typer.Option(help="detectron_model.pth, to read images as well.")] = None,
) -> None:
    """Convert a released checkpoint to a model folder.

    All commands can open the folder."""
    from twelve.errors import one_line, shown
    from twelve.runs.convert import convert as run

    named = labels_by_head(labels or ())
    folder, lacking = run(weights, out, config=config, tokenizer=tokenizer, labels=named, detector=detector)
    for what in lacking:
        print(one_line(f"lacks {what}"), file=sys.stderr)
    typer.echo(shown(str(folder)))


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a model folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    output: Annotated[str, typer.Option(help="The head to export, e.g. answer (the model card lists them).")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantize layers and measure the effect.")] = False,
) -> None:
    """Export one output as a checked ONNX graph.

    Checks that the graph gives the same results as the model."""
    from twelve.predictor import asked

    folder = asked.find(str(run))
    from twelve.predictor import loading
    from twelve.predictor.abilities import check_head

    check_head(output, loading.abilities_of(folder).heads, run)  # before torch is imported
    from twelve.errors import shown
    from twelve.export.export import export as write

    for line in write(run, out, output=output, int8=int8).lines():
        typer.echo(shown(line))


def push(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a model folder.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/MODEL", help="The model's name on the hub.")],
    licence: Annotated[
        str | None,
        typer.Option(
            help="The licence of the weights, e.g. cc-by-4.0.", show_default="other; for a microworld: apache-2.0"
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", metavar="FOLDER", help="Write the files to this folder, and push nothing."),
    ] = None,
) -> None:
    """Push a model with its card to the hub.

    The model, its processor, its results and its card become one commit; twelve.load("hub:owner/model") opens it.
    Log in first: hf auth login.
    """
    from twelve.errors import shown
    from twelve.predictor import asked

    asked.find(run)
    from twelve.runs import push as pushing

    pushing.hub_name(name)
    if (line := pushing.lacking(run)) is not None:
        print(shown(line), file=sys.stderr)
    if dry_run is None:
        typer.echo(shown(pushing.push(run, name, licence=licence, private=private)))
        return
    for file in pushing.assemble(run, dry_run, name, licence=licence):
        typer.echo(shown(f"{file} ({file.stat().st_size:,} bytes)"))


EXAMPLES: dict[Callable[..., None], str] = {
    predict: 'twelve predict examples/quickstart-model --image examples/scene.jpg --ask "what colour is the boat?"',
    match: 'twelve match examples/quickstart-model "a red boat" --images examples',
    index: "twelve index vectors --remove photographs/2024",
    export: "twelve export examples/quickstart-model exported --output answer",
    serve: "twelve serve examples/quickstart-model",
    push: "twelve push examples/quickstart-model owner/model --dry-run pushed",
    convert: "twelve convert multi_task_model.bin released --labels answer=trainval_label2ans.pkl",
}


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    for command, example in EXAMPLES.items():
        app.command(epilog=f"Example: {example}")(command)
