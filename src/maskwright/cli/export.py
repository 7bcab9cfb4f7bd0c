"""`maskwright export`: a checkpoint -> a bundle, through the gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from maskwright.core.card import Postprocess
    from maskwright.export import ExportReport, PrecisionReport


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint or run folder.")],
    images: Annotated[
        Path | None, typer.Option(help="Real photos for the gate: a folder; writes fp32.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Instead: the labelled set, to choose a precision on.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="With --data: auto, fp32, fp16, bf16 or int8.")
    ] = "auto",
    max_drop: Annotated[
        float, typer.Option(help="With --data: points of the score that a precision may lose.")
    ] = 0.5,
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("model.mask"),
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="The bundle can give class probabilities, to blend tiles."
        ),
    ] = False,
    postprocess: Annotated[
        str, typer.Option(help="Let the bundle refine its answers: dense-crf or guided-filter.")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of --postprocess, such as iterations=3 (repeatable)."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="How many of --images the gate compares.")] = 16,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="With --data: write the figures as JSON, too.")
    ] = None,
) -> None:
    """Write a bundle that runs without torch.

    One file, written only if it answers as the checkpoint does on real photos. With --data it is
    in the fastest precision that loses little enough on the labelled photos.
    """
    from maskwright.api import find_checkpoint
    from maskwright.core.errors import ConfigError
    from maskwright.core.files import refuse_output
    from maskwright.core.machine import thread_count

    thread_count(threads)
    if (images is None) == (data is None):
        raise ConfigError(
            "expected either --images PHOTOS (plain fp32) or --data SET (choose the precision), "
            f"got {'neither' if data is None else 'both'}."
        )
    read = [checkpoint, find_checkpoint(checkpoint), images, data]
    refuse_output(out, "bundle", read)
    if record is not None:
        refuse_output(record, "record", read, "--record")
    settings = {
        "threads": threads,
        "probabilities": probabilities,
        "postprocess": _postprocess(postprocess, set_ or []),
    }
    if images is not None:
        if record is not None:
            raise ConfigError(f"--record {record} goes with --data SET; give it, or leave it out.")
        if precision not in ("auto", "fp32"):
            raise ConfigError(
                f"--precision {precision} needs labelled photos to measure its loss on: give "
                "--data SET instead of --images."
            )
        report = _plain(checkpoint, images, out, count, **settings)
    else:
        precise = _precise(
            checkpoint,
            data or Path(),
            out,
            precision=precision,
            max_drop=max_drop,
            **settings,
        )
        report = precise.export
        if record is not None:
            _record(precise, record)
    _tell(report)


def _postprocess(name: str, pairs: list[str]) -> Postprocess | None:
    from maskwright.cli.refining import settings_of
    from maskwright.refine import Refinement

    settings = settings_of(name, pairs, "--postprocess")
    return Refinement.of(name, settings).to_postprocess() if name else None


def _plain(checkpoint: Path, images: Path, out: Path, count: int, **settings: Any) -> ExportReport:
    from maskwright.api import find_checkpoint
    from maskwright.architectures import read_card
    from maskwright.core.errors import ConfigError
    from maskwright.core.pixels import read_as
    from maskwright.export import export_checkpoint
    from maskwright.jobs import find_inputs

    if count < 1:
        raise ConfigError(f"expected --count 1 or more for the gate to compare, got {count}.")
    photos = list(find_inputs(images).values())
    chosen = photos[:: max(1, len(photos) // count)][:count]
    pixels = read_card(find_checkpoint(checkpoint)).pixels
    return export_checkpoint(
        find_checkpoint(checkpoint),
        out,
        [read_as(photo, pixels) for photo in chosen],
        **settings,
    )


def _precise(checkpoint: Path, data: Path, out: Path, **settings: Any) -> PrecisionReport:
    import maskwright.formats as formats
    from maskwright.api import find_checkpoint
    from maskwright.cli.console import bar, say, show_table
    from maskwright.export import export_checkpoint_precise

    dataset = formats.read(data)
    for note in dataset.notes:
        say(note)
    with bar("scoring") as progress:
        report = export_checkpoint_precise(
            find_checkpoint(checkpoint),
            out,
            dataset,
            progress=progress,
            **settings,
        )
    headline = report.figures[0].headline
    show_table(
        ("precision", "ms", "graph MiB", f"{headline} on the slice", "drop, points"),
        [
            (
                str(each.route),
                f"{each.median_ms:.1f}",
                f"{each.graph_bytes / 2**20:.2f}",
                f"{each.score:.4f}",
                f"{each.drop:.2f}",
            )
            for each in report.figures
        ]
        + [("PyTorch eager", f"{report.eager_ms:.1f}", "–", "–", "–")],
    )
    say(report.why)
    drop = report.drop
    value, low, high = (100 * share for share in (drop.value, drop.low, drop.high))
    say(f"drop on validation: {value:.2f} points of {headline}, {drop.confidence:.0%} interval "
        f"{low:.2f} to {high:.2f} ({drop.images} images)")  # fmt: skip
    return report


def _record(report: PrecisionReport, path: Path) -> None:
    from maskwright.core.files import write_json
    from maskwright.training.run_folder import environment

    write_json(path, {**environment(), **report.to_dict()})


def _tell(report: ExportReport) -> None:
    from maskwright.cli.console import say

    for runtime, share in report.agreement.items():
        say(f"{runtime} agrees with torch on {share:.4%} of the {report.compared} of "
            f"{report.images} images (worst {report.worst[runtime]:.4%})")  # fmt: skip
    say(f"bundle: {report.path} ({report.bytes_on_disk / 2**20:.2f} MiB)")
