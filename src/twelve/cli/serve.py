"""``twelve serve``: a model as a web page and an HTTP API."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from twelve.cli.options import Device, Precision, Run, Weights, grouped, warn_unfinished
from twelve.web.limits import MARKS, RANGES, Limits

_LIMITS = Limits()


def _limit(name: str, text: str) -> Any:
    """The option of a limit of the service, within its range."""
    least, most = RANGES[name]
    return typer.Option(min=least, max=most, metavar="SECONDS" if name.endswith("seconds") else "N", help=text)


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """The options of the limits of a service: :class:`twelve.web.limits.Limits`, whose fields they are."""

    max_waiting: Annotated[
        int, _limit("max_waiting", "Accepted requests without an answer; further requests get 429.")
    ] = _LIMITS.max_waiting
    answer_seconds: Annotated[float, _limit("answer_seconds", "Seconds to answer a request.")] = _LIMITS.answer_seconds
    body_seconds: Annotated[float, _limit("body_seconds", "Seconds for the body of a request to arrive.")] = (
        _LIMITS.body_seconds
    )
    stop_seconds: Annotated[
        float, _limit("stop_seconds", "Seconds to finish accepted requests after a stop signal.")
    ] = _LIMITS.stop_seconds
    max_batch: Annotated[int, _limit("max_batch", "Questions in one forward pass.")] = _LIMITS.max_batch
    max_bytes: Annotated[int, _limit("max_bytes", "Bytes of an image, and of all images in one JSON request.")] = (
        _LIMITS.max_bytes
    )
    max_pixels: Annotated[int, _limit("max_pixels", "Pixels of an image.")] = _LIMITS.max_pixels
    max_request_pixels: Annotated[int, _limit("max_request_pixels", "Pixels of all images in one JSON request.")] = (
        _LIMITS.max_request_pixels
    )
    max_marks: Annotated[int, _limit("max_marks", f"{MARKS.capitalize()} in one JSON request.")] = _LIMITS.max_marks
    max_held_bytes: Annotated[int, _limit("max_held_bytes", "Bytes of the bodies of all requests together.")] = (
        _LIMITS.max_held_bytes
    )
    max_scenes: Annotated[int, _limit("max_scenes", "Stored scenes.")] = _LIMITS.max_scenes
    max_scene_bytes: Annotated[int, _limit("max_scene_bytes", "Bytes of the stored scenes together.")] = (
        _LIMITS.max_scene_bytes
    )
    scene_seconds: Annotated[
        float, _limit("scene_seconds", "Seconds for which a scene is stored after the last question about it.")
    ] = _LIMITS.scene_seconds


@grouped
def serve(
    run: Run,
    host: Annotated[str, typer.Option(help="The address to listen on; by default only this machine.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="The port; by default 8012, or the next free port. 0 chooses any free port.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A host name of the service (repeatable). With --name, only these names and localhost are accepted; "
            "without it, --host 0.0.0.0 accepts every name.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="TWELVE_TOKEN",
            help="A secret that clients must send, or two, separated by a space. Prefer the environment variable: "
            "options are visible in ps.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TWELVE_TOKEN_FILE",
            help="A file with the token of --token, or with two: for secrets of Docker, Kubernetes or systemd.",
        ),
    ] = None,
    metrics_token: Annotated[
        str | None,
        typer.Option(
            envvar="TWELVE_METRICS_TOKEN",
            help="The secret that /metrics needs instead of --token; it opens nothing else.",
        ),
    ] = None,
    metrics_token_file: Annotated[
        Path | None, typer.Option(envvar="TWELVE_METRICS_TOKEN_FILE", help="A file with the token of --metrics-token.")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Allow requests without a token.")] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="An origin whose web pages may use the API, such as https://app.example.org (repeatable).",
        ),
    ] = None,
    log_requests: Annotated[
        bool,
        typer.Option("--log-requests", help="Log the method, path, status and time of each request to stderr."),
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Like --log-requests, but write all of stderr as JSON lines.")
    ] = False,
    index: Annotated[
        Path | None,
        typer.Option(help="A file that twelve match --index made; requests can then search its images."),
    ] = None,
    regions: Annotated[
        Path | None, typer.Option(help="With --index: a region store with regions of some of its images.")
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
    precision: Precision = "auto",
    *,
    limits: LimitOptions,
) -> None:
    """Serve a model as a web page and an HTTP API.

    docs/service.md and docs/http-api.md describe them. Uploads are kept in memory only,
    never on disk."""
    from twelve.predictor import asked
    from twelve.web import access, listening, log

    if log_json:
        log.begin()
    checked = Limits(**asdict(limits))
    token = access.given(token, token_file, access.TOKEN)
    metrics_token = access.given(metrics_token, metrics_token_file, access.METRICS_TOKEN)
    access.check_access(
        host,
        port or 0,
        token,
        no_token=no_token,
        metrics_token=metrics_token,
        names=name or (),
        origins=allow_origin or (),
    )
    folder = asked.find(run)
    listening.bound(run, host, port).close()
    _check_served(run, folder, weights=weights, device=device, index=index, regions=regions)
    warn_unfinished(folder)
    log.say("loading", f"loading {run}")
    from twelve.web import serve as run_service  # raises an error that names the missing extra

    run_service(
        run,
        host=host,
        port=port,
        names=name or (),
        weights=weights,
        device=device,
        precision=precision,
        limits=checked,
        token=token,
        no_token=no_token,
        metrics_token=metrics_token,
        allow_origins=allow_origin or (),
        log_requests="json" if log_json else log_requests,
        index=index,
        regions=regions,
    )


def _check_served(
    run: str, folder: Path, *, weights: str | None, device: str, index: Path | None, regions: Path | None
) -> None:
    """Check a model, its extractor and the index before they are loaded, which takes long."""
    from twelve.errors import ConfigError
    from twelve.predictor import command, loading

    command.check_extractor(weights, device)
    abilities = loading.abilities_of(folder)
    if regions is not None and index is None:
        raise ConfigError("--regions requires --index", remedy="omit it, or add --index")
    if index is not None:
        from twelve.predictor.index import check_index

        abilities.task_for("match")
        loading.check_contrast(folder, "serve without --index")
        check_index(run, index)
