"""`maskwright predict`: a bundle on photos, videos and cameras, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskwright.cli.refining import RefineOption, RefineSettings, settings_of

if TYPE_CHECKING:
    from maskwright.jobs import VideoSummary
    from maskwright.runtimes import Predictor, Tiled


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] SOURCES...",
            help="A .mask bundle, checkpoint or run folder; then photos, one folder of them, "
            "videos, cameras (0, /dev/video0) or addresses (rtsp://..., http://...). Without a "
            "model, the one for football pitches that ships with Maskwright.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    overwrite: Annotated[
        bool, typer.Option(help="Write into a folder that holds earlier predictions.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option(help="Go on past damaged photos and videos that end early; counted.")
    ] = False,
    tile: Annotated[
        str,
        typer.Option(
            help="For images much larger than the model's input: overlapping tiles of that size "
            "(auto), or of HEIGHTxWIDTH pixels of the image."
        ),
    ] = "",
    overlap: Annotated[
        float | None, typer.Option(help="With --tile: share of a tile's side; 0.25 unless given.")
    ] = None,
    every: Annotated[int, typer.Option(help="Of videos: answer each N-th frame only.")] = 1,
    limit: Annotated[
        int | None, typer.Option(help="Of videos and cameras: end after so many answers.")
    ] = None,
    video: Annotated[
        bool, typer.Option(help="Of videos and cameras: write the annotated video.")
    ] = True,
    timeout: Annotated[
        float, typer.Option(help="Seconds without a frame after which a camera has stopped.")
    ] = 10.0,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    runtime: Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")] = "auto",
    refine: RefineOption = "",
    set_: RefineSettings = None,
) -> None:
    """Segment photos, videos and cameras.

    Of photos, writes masks as palette PNGs, overlays to look at, and the objects where the model
    finds any; of videos and cameras an annotated video and a line of JSON a frame. Ctrl-C ends a
    camera; what was written is whole.
    """
    import maskwright.jobs as jobs
    from maskwright.api import open_predictor, refine_answers
    from maskwright.cli.console import put_tiles, say, split_model
    from maskwright.jobs.predict import take_folder
    from maskwright.runtimes.capture import is_video

    settings = settings_of(refine, set_, "--refine")
    model, sources = split_model(paths)
    videos = jobs.video_names(source for source in sources if is_video(source))
    photos = [Path(source) for source in sources if source not in videos]
    whole = open_predictor(model, threads, runtime)
    refine_answers(whole, refine, settings, say)
    predictor = put_tiles(whole, tile, overlap)
    if photos:
        _photos(predictor, photos, list(map(Path, videos)), out, overwrite, skip_bad)
    else:
        take_folder(out, list(map(Path, videos)), predictor.card.name, overwrite=overwrite)
    failed = []
    for source, name in videos.items():
        told = _video(predictor, source, out, name, every, limit, video, timeout, skip_bad)
        if told is not None and told.interrupted:
            raise KeyboardInterrupt
        if told is None or told.failed:
            failed.append(source)
    if failed:
        say(f"{len(failed)} of {len(videos)} videos and cameras ended early")


def _photos(
    predictor: Predictor | Tiled,
    photos: Sequence[Path],
    beside: Sequence[Path],
    out: Path,
    overwrite: bool,
    skip_bad: bool,
) -> None:
    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, say
    from maskwright.core.files import refuse_output

    if beside:
        refuse_output(out, "predictions", beside)
    with bar("predicting") as progress:
        summary = jobs.predict_files(
            predictor,
            photos[0] if len(photos) == 1 else photos,
            out,
            overwrite=overwrite,
            skip_bad=skip_bad,
            progress=progress,
        )
    for path, why in summary.bad:
        say(f"skipped {path}: {why}")
    times = ", ".join(f"{name} {1000 * spent:.1f} ms" for name, spent in summary.mean_times.items())
    facts = predictor.runtime
    say(f"{summary.images} images with {facts.get('name')}: {times} on average")
    say(f"masks and overlays: {summary.out}")


def _video(
    predictor: Predictor | Tiled,
    source: str,
    out: Path,
    name: str,
    every: int,
    limit: int | None,
    video: bool,
    timeout: float,
    skip_bad: bool,
) -> VideoSummary | None:
    """Predict one, and say what came; None for one without a frame, with `skip_bad`."""
    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, say
    from maskwright.core.errors import DataError

    try:
        with bar(f"predicting {name}") as progress:
            done = jobs.predict_video(
                predictor, source, out, name, every=every, limit=limit, video=video,
                timeout=timeout, progress=progress,
            )  # fmt: skip
    except DataError as error:
        if not skip_bad:
            raise
        say(f"skipped {source}: {error}")
        return None
    speed = done.frames / max(done.seconds, 1e-9)
    say(f"{source}: {done.frames} frames answered, {speed:.1f} a second; {done.read} read, "
        f"{done.dropped} dropped, {done.damaged} damaged")  # fmt: skip
    say(f"{f'annotated video: {done.video}; ' if done.video else ''}lines: {done.lines}")
    if done.failed and not skip_bad:
        raise DataError(f"{done.complaint} (What came before is written.)")
    if done.complaint:
        say(done.complaint)
    return done
