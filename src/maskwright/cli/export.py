"""`maskwright export`: a checkpoint -> a bundle, through the gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
    from maskwright.cli.console import bar, say
    from maskwright.cli.refining import settings_of
    from maskwright.core.errors import ConfigError
    from maskwright.core.files import find_checkpoint, refuse_output
    from maskwright.export import PrecisionReport, by_name

    if record is not None:
        read = [checkpoint, find_checkpoint(checkpoint), images, data]
        refuse_output(record, "record", read, "--record")
        if data is None:
            raise ConfigError(f"--record {record} goes with --data SET; give it, or leave it out.")
    report = by_name.export(
        checkpoint,
        images=images,
        data=data,
        precision=precision,
        max_drop=max_drop,
        out=out,
        probabilities=probabilities,
        postprocess=postprocess,
        settings=settings_of(postprocess, set_, "--postprocess"),
        count=count,
        threads=threads,
        note=say,
        bar=bar,
    )
    if isinstance(report, PrecisionReport):
        _tell_precisions(report)
        if record is not None:
            _record(report, record)
        report = report.export
    _tell(report)


def _tell_precisions(report: PrecisionReport) -> None:
    from maskwright.cli.console import say, show_table

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
