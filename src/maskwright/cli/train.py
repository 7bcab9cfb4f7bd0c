"""`maskwright train`: labelled photos -> weights that are scored."""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from maskwright.core.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.training import TrainResult


class TrainCommand(TyperCommand):
    """`train`, or with --resume `go_on`, which must know what was typed and what is a default."""

    def invoke(self, ctx: Any) -> Any:
        """Choose between the two; of many processes' errors, tell one."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return self._invoke(ctx)
        from maskwright.training import one_voice

        with one_voice():
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        if not ctx.params["resume"]:
            return super().invoke(ctx)
        typed = {
            name: value
            for name, value in ctx.params.items()
            if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"
        }
        data = typed.pop("data", None)
        del typed["resume"]
        typed.pop("out", None)
        return go_on(data, Path(ctx.params["out"]), typed)


def train(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="The labelled set: a folder or a COCO file; several are one set."),
    ] = None,
    model: Annotated[str, typer.Option(help="See maskwright models.")] = "unet-lite0",
    budget: Annotated[str, typer.Option(help="Time for everything, such as 30m or 1h30m.")] = "",
    epochs: Annotated[float | None, typer.Option(help="Instead of a budget.")] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of a budget.")] = None,
    size: Annotated[str, typer.Option(help="Network input, HEIGHTxWIDTH.")] = "",
    resize: Annotated[
        str, typer.Option(help="How images come to it: stretch, letterbox, pad or auto.")
    ] = "auto",
    batch: Annotated[int, typer.Option(help="Images a step, of all processes.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    weights: Annotated[
        str,
        typer.Option(
            help="Initial weights: a file (.safetensors, .pth), an address (https://...), or the "
            "name of one of the authors' in maskwright models NAME.",
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/train"),
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--overwrite",
            help="Go on with the run that lies there, as its config.json says; or replace it.",
        ),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Class to leave out.")] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="A file of settings, such as a run's recipe.yaml; options come first."),
    ] = None,
    channels: Annotated[
        int, typer.Option(help="Of the images: 1 grey, 3 RGB, 4 such as RGB-NIR.")
    ] = 3,
    highest: Annotated[
        int, typer.Option(help="Their value of full brightness: 255, 4095 of 12 bits, 65535.")
    ] = 255,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, such as lr=3e-4, loss='ce + 0.5*dice', seed=1, "
            "augmentation.flip=0 or encoder=resnet18 (repeatable).",
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(help="Where figures go: csv, tensorboard, mlflow or wandb (repeatable)."),
    ] = None,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="Tell every setting with its default.")
    ] = False,
) -> None:
    """Train on labelled photos.

    Trains on the split train, scores on val, keeps the best weights and writes a report. Without a
    length (--budget, --epochs or --steps) it takes 30 minutes. A run that was ended goes on with
    --resume --out FOLDER. Many processes train together when torchrun starts them:
    torchrun --nproc-per-node 2 -m maskwright train DATA.
    """
    from maskwright.cli.console import bar, console, parse_size
    from maskwright.training import DEFAULT_LOGS, Terminal, read_recipe
    from maskwright.training.by_name import train as run

    given = {"model": model, "budget": budget, "epochs": epochs, "steps": steps, "size": size,
             "resize": resize, "batch": batch, "device": device}  # fmt: skip
    typed: dict[str, Any] = {
        name: value
        for name, value in given.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    if list_settings:
        named = {} if recipe is None else read_recipe(recipe)
        _show_settings(typed.get("model") or named.get("model") or model)
        return
    if not data:
        raise ConfigError("expected the labelled set, DATA, got none: maskwright train DATA.")
    if "size" in typed:
        typed["size"] = parse_size(size)
    result = run(
        data if len(data) > 1 else data[0],
        out=out,
        weights=weights,
        recipe=recipe,
        ignore=ignore or (),
        channels=channels,
        highest=highest,
        overwrite=resume is False,
        logs=log or DEFAULT_LOGS,
        progress=Terminal(console),
        downloading=bar,
        **(typed | _other_settings(set_ or (), run)),
    )
    _tell(result)


def _other_settings(pairs: Sequence[str], run: Callable[..., Any]) -> dict[str, Any]:
    """Those of --set; what has an option of its own, or is none, is refused."""
    from maskwright.cli.console import parse_settings

    settings = parse_settings(pairs)
    for name in settings.keys() & (inspect.signature(run).parameters.keys() - {"model"}):
        raise ConfigError(f"no setting {name!r} (got {settings[name]!r}); see --help.")
    return settings


def _show_settings(model: str) -> None:
    from maskwright.cli.console import say
    from maskwright.training import list_settings

    for owner, settings in list_settings(model).items():
        say(f"{owner}:")
        for setting in settings:
            default = f" = {setting.default}" if setting.default else ""
            say(f"  {setting.name}{default}  ({setting.kind})")
            for line in textwrap.wrap(setting.meaning, 88):
                say(f"      {line}")
    say("Give one with --set NAME=VALUE, or in a file with --recipe FILE.")


def go_on(data: Sequence[Path] | None, out: Path, given: Mapping[str, Any]) -> None:
    """Resume the run in a folder.

    Args:
        data: where the set lies now; None takes what config.json tells.
        out: the run's folder.
        given: the other options that were typed, by name; they must be those of the run.

    Raises:
        ConfigError: no run lies there, or the options or the data are others than the run's.
    """
    import maskwright.formats as formats
    from maskwright.architectures import architecture
    from maskwright.cli.console import console
    from maskwright.training import DEFAULT_LOGS, RunFolder, Terminal, resume

    settings = RunFolder.reopen(out).settings()
    device, logs = given.get("device"), given.get("log") or DEFAULT_LOGS
    _refuse_other_settings(
        settings, {name: v for name, v in given.items() if name not in ("device", "log")}
    )
    root = list(data) if data else settings["data"]
    tasks = architecture(settings["architecture"]).card.tasks
    dataset = formats.read(root, tasks=tasks)
    left = [name for name in dataset.classes.names if name not in settings["classes"]]
    if left:  # by --ignore, when the run was started
        dataset = formats.read(root, ignore=left, tasks=tasks)
    _tell(resume(dataset, out, device=device, progress=Terminal(console), logs=logs))


def _refuse_other_settings(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from maskwright.cli.console import parse_settings, parse_size

    augmentation = {f"augmentation.{key}": v for key, v in settings["augmentation"].items()}
    stored = {**settings["options"], **augmentation, **settings, "model": settings["architecture"]}
    wanted = {name: value for name, value in given.items() if name != "set_"}
    if "size" in wanted:
        wanted["size"] = parse_size(wanted["size"])
    wanted |= parse_settings(given.get("set_", ()))
    for name, value in wanted.items():
        plain = list(value) if isinstance(value, tuple) else value
        if name not in stored or stored[name] != plain:
            kept = f"has {name} {stored[name]}" if stored.get(name) is not None else "is decided"
            raise ConfigError(
                f"with --resume, the run's own settings hold: it {kept}, but got {name} {value}. "
                "Leave it out, or start another run."
            )


def _tell(result: TrainResult) -> None:
    """Say what came out.

    Raises:
        KeyboardInterrupt: that ended the run, for the exit code.
    """
    if result.scores is not None:
        for line in result.told:
            _say(line)
        _say(f"trained for {result.seconds / 60:.1f} min")
        _say(f"weights: {result.folder / 'best.safetensors'}")
        _say(f"report:  {result.folder / 'report.html'}")
    if result.interrupted:
        raise KeyboardInterrupt


def _say(text: str) -> None:
    """Print a line, in the first of many processes only."""
    from maskwright.cli.console import say

    if int(os.environ.get("RANK", 0)) == 0:
        say(text)
