"""``twelve predict``, ``twelve match``: a trained model and images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[str, typer.Argument(help="A run's folder, a model's folder, or hub:owner/model.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="An image, or a folder of them (several times).")]
Texts = list[str] | None
Weights = Annotated[str | None, typer.Option(help="The region network's weights, if they came from a file.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
TASK = "Whose kind of question it is (twelve tasks); the model's first if absent."
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def predict(
    run: Run,
    image: Images = None,
    ask: Annotated[Texts, typer.Option(help="A question (several times).")] = None,
    locate: Annotated[Texts, typer.Option(help="A phrase to point at (several times).")] = None,
    entails: Annotated[Texts, typer.Option(help="A statement to judge (several times).")] = None,
    task: Annotated[str | None, typer.Option(help=TASK)] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Below this score (0..1), nothing counts as found by --locate.")
    ] = None,
    jsonl: Annotated[Path | None, typer.Option(help="A file that asks one thing a line (docs/predict.md).")] = None,
    out: Annotated[Path | None, typer.Option(help="Write one JSON object a line here.")] = None,
    draw: Annotated[Path | None, typer.Option(help="Write the images, drawn on, into this folder.")] = None,
    as_json: Json = False,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Ask a trained model about images; exit code 1 when some could not be answered."""
    from twelve.errors import ConfigError
    from twelve.predictor import command, lines, loading
    from twelve.predictor.checks import check_threshold

    texts = {"answer": ask or [], "locate": locate or [], "entails": entails or []}
    if jsonl is None and not (image and any(texts.values())):
        raise ConfigError("nothing to ask", remedy="give --image and --ask, --locate or --entails; or --jsonl FILE")
    if jsonl is not None and (image or any(texts.values())):
        raise ConfigError("--jsonl names its images and questions itself", remedy="leave the other options out")
    check_threshold(threshold)
    if threshold is not None and jsonl is None and not locate:
        raise ConfigError("--threshold is for --locate, which is not given", remedy="leave it out")
    if jsonl is not None:
        requests = lines.requests_in(jsonl, task, threshold)
    else:
        requests = lines.requests_of(lines.images_in(image or []), texts, task, threshold)
    lines.check_images(image for request in requests for image in request.images)
    command.check_outputs(requests, out=out, draw=draw, jsonl=jsonl)
    folder = loading.find(run)
    command.check(loading.abilities_of(folder), requests)
    command.check_extractor(weights, device)
    outcomes = command.predict(loading.load(folder, weights=weights, device=device), requests)
    names = command.short_names(image for request in requests for image in request.images)
    missing = command.write(outcomes, out=out, as_json=as_json, draw=draw, stream=sys.stdout, names=names)
    raise typer.Exit(int(missing > 0))


def match(
    run: Run,
    captions: Annotated[list[str], typer.Argument(help="Sentences to search the images with.")],
    images: Annotated[list[Path], typer.Option(help="A folder of images, or an image (several times).")],
    task: Annotated[str | None, typer.Option(help=TASK)] = None,
    top: Annotated[int, typer.Option(min=1, help="Show the best so many.")] = 5,
    regions: Annotated[Path | None, typer.Option(help="A region store that holds some of the images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print requests as JSON.")] = False,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Search images with sentences; exit code 1 when some could not be read."""
    from twelve.errors import RegionError, one_line
    from twelve.outputs.parts.result import percent
    from twelve.predictor import command, lines, loading

    files = lines.images_in(images)
    lines.check_images(files)
    if regions is not None and not regions.exists():
        raise RegionError("no regions here", file=regions, remedy="name a folder of twelve regions extract")
    folder = loading.find(run)
    command.check_captions(loading.abilities_of(folder), captions, task)
    command.check_extractor(weights, device)
    predictor = loading.load(folder, weights=weights, device=device)
    found, failed = command.match(predictor, files, captions, regions=regions, task=task)
    for file, why in failed.items():
        print(one_line(f"left out: {file}: {why}"), file=sys.stderr)
    command.warn(found.warnings, set())
    if as_json:
        typer.echo(found.to_json())
        raise typer.Exit(int(bool(failed)))
    names = command.short_names(map(Path, found.images))
    for row, caption in enumerate(captions):
        typer.echo(one_line(caption))
        for place, (name, share) in enumerate(found.ranked_images(row)[:top], start=1):
            typer.echo(f"  {place}. {one_line(names[Path(name)])} ({percent(share)})")
    raise typer.Exit(int(bool(failed)))


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
    detector: Annotated[Path | None, typer.Option(help="detectron_model.pth: to look at images as well.")] = None,
) -> None:
    """Turn a released checkpoint into a folder that requests here opens."""
    from twelve.errors import ConfigError
    from twelve.runs.convert import convert as run

    named: dict[str, Path] = {}
    for pair in labels or ():
        key, equals, file = pair.partition("=")
        if not equals or not key or not file:
            raise ConfigError(f"cannot read --labels {pair!r}", remedy="write --labels answer=FILE")
        named[key] = Path(file)
    folder, lacking = run(weights, out, config=config, tokenizer=tokenizer, labels=named, detector=detector)
    for what in lacking:
        print(f"lacks {what}", file=sys.stderr)
    typer.echo(str(folder))


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a model folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    output: Annotated[str, typer.Option(help="Which head, e.g. answer (the model card names them).")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise the layers, and measure what that costs.")] = False,
) -> None:
    """Write an ONNX graph of one output, checked against the model."""
    from twelve.predictor import loading
    from twelve.predictor.abilities import check_head

    check_head(output, loading.abilities_of(loading.find(str(run))).heads, run)  # before torch is imported
    from twelve.export.export import export as write

    for line in write(run, out, output=output, int8=int8).lines():
        typer.echo(line)


def serve(
    run: Run,
    host: Annotated[str, typer.Option(help="Where to listen; by default this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8012,
    name: Annotated[list[str] | None, typer.Option(help="A further host name it answers to (several times).")] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="TWELVE_TOKEN", help="A secret that whoever asks must send; as an option, it shows in ps."),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Whoever can reach it may ask.")] = False,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Serve a trained model: a page and an HTTP API (docs/service.md). Keeps no upload on disk."""
    from twelve.predictor import command, loading

    command.check_extractor(weights, device)
    loading.abilities_of(loading.find(run))
    from twelve.web import serve as run_service  # says what to install where the extra is missing

    run_service(
        run, host=host, port=port, names=name or (), weights=weights, device=device, token=token, no_token=no_token
    )


EXAMPLES: dict[Callable[..., None], str] = {
    predict: 'twelve predict runs/first --image boat.jpg --ask "what colour is the boat?"',
    match: 'twelve match runs/first "a red boat" --images photographs',
    export: "twelve export runs/first exported --output answer",
    serve: "twelve serve runs/first",
    convert: "twelve convert multi_task_model.bin released --labels answer=trainval_label2ans.pkl",
}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command, example in EXAMPLES.items():
        app.command(epilog=f"Example: {example}")(command)
