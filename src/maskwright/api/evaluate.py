"""`maskwright.evaluate`: a model, or anybody's predictions on files, against a labelled set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.api.models import is_model, open_predictor, refine_answers, tasks_of_model
from maskwright.core.card import ModelCard
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import refuse_output, write_json
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.core.telling import Bars, Note, no_bar, no_note
from maskwright.jobs import Find, Scores
from maskwright.metrics import Interval, PairedInterval
from maskwright.runtimes import Predictor

Model = Path | str | Predictor


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation(Scores):
    """The scores, and what `evaluate` found around them.

    Attributes:
        scored: the model or predictions, as they were named.
        remark: a sentence where these images have chosen the model's weights; "" elsewhere.
        spans: score -> 95 % interval over the images, where `ci` asked for them.
        other: what it was held against, as it was named; "" without.
        against: the scores of that.
        gains: score -> how much better the first is, with the 95 % interval over the same images.
    """

    scored: str
    remark: str = ""
    spans: Mapping[str, Interval] = field(default_factory=dict)
    other: str = ""
    against: Scores | None = None
    gains: Mapping[str, PairedInterval] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: those of `Scores`, and what was found around them."""
        plain = {"scored": self.scored, **super().to_dict()}
        if self.spans:
            plain["intervals"] = {name: value.to_dict() for name, value in self.spans.items()}
        if self.against is not None:
            plain["against"] = {"scored": self.other, **self.against.to_dict()}
            plain["gains"] = {name: value.to_dict() for name, value in self.gains.items()}
        return plain


def evaluate(
    found: Model,
    data: Dataset | Path | str,
    split: str = "",
    *,
    ignore: Iterable[str] = (),
    stands_for: Mapping[str, str] | None = None,
    protocol: str = "coco",
    ci: bool = False,
    against: Model | None = None,
    vertices: str = "centre",
    skip_bad: bool = False,
    threads: int | None = None,
    out: Path | str | None = None,
    report: Path | str | None = None,
    refine: str = "",
    settings: Mapping[str, Any] | None = None,
    note: Note = no_note,
    bar: Bars = no_bar,
) -> Evaluation:
    """Score a model, or predictions on files: class maps, objects, panoptic segments, labels.

        maskwright.evaluate("model.mask", "data", split="test")

    Whatever both sides hold is scored at the images' own resolution, over all images together.

    Args:
        found: a model (bundle, checkpoint, run folder, or what `maskwright.load` gave), or
            predictions on files: a folder of masks or YOLO rows, a COCO .json.
        data: the labelled set: a path, or what `maskwright.read` gave.
        split: which one; val, test or all unless given.
        ignore: classes to leave out, of the truth and of what was found.
        stands_for: name of a class in what was found -> the class of the set that it counts as,
            such as {"ball": "background"}, or "void". Classes go by their names; what the set
            lacks is void unless it stands here, and told.
        protocol: for objects: coco, voc07, voc10, cityscapes, ultralytics-8.3 or
            ultralytics-8.4 (ultralytics: the newest).
        ci: 95 % intervals over the images, in `spans`.
        against: another model or predictions, for a paired comparison.
        vertices: what corners of YOLO polygons mean: centre or edge.
        skip_bad: go on past faulty images; counted.
        threads: of a model that is opened here; all cores unless given.
        out: a file for the scores as JSON.
        report: a file for an HTML page.
        refine: refine class maps by the image: dense-crf or guided-filter; "none" where a bundle
            does so by itself and shall not.
        settings: of `refine`, such as {"iterations": 3}.
        note: told what was read and decided.
        bar: opens a progress bar of this title.

    Raises:
        DataError: nothing that was found is labelled; a file is at fault, without `skip_bad`.
        ConfigError: no class in common, an unknown split, protocol or way to refine; an output that
            would replace an input.
        ModelFileError: a model that can't be opened.
    """
    _refuse(out, report, [found, against, data])
    dataset = _read(data, [*ignore], not skip_bad, tasks_of_model(found))
    for told in dataset.notes:
        note(told)
    meant = formats.AnswerClasses.of(dataset, stands_for)
    order = (split,) if split else ("val", "test", "all", "train")
    samples = dataset.split(*order)
    opening = _Opening(dataset, samples, meant, stands_for or {}, note)

    def score(side: Model, asked: tuple[str, Mapping[str, Any]]) -> _Scored:
        find, tasks, card = opening.open(side, vertices, threads, asked)
        with bar(f"scoring {_short(side)}") as progress:
            scores = jobs.score(
                samples,
                find,
                dataset.classes,
                tasks=tasks,
                protocol=protocol,
                skip_bad=skip_bad,
                progress=progress,
            )
        return _Scored(find, scores, card)

    first = score(found, (refine, settings or {}))
    second = None if against is None else score(against, ("", {})).scores
    intervals = first.scores.intervals() if ci or report is not None else {}
    result = Evaluation(
        **{one.name: getattr(first.scores, one.name) for one in fields(Scores)},
        scored=_named(found),
        remark=_remark(first.card, dataset, next(name for name in order if name in dataset.splits)),
        spans=intervals if ci else {},
        other="" if against is None else _named(against),
        against=second,
        gains={} if second is None else jobs.compare(first.scores, second),
    )
    if out is not None:
        write_json(Path(out), result.to_dict())
    if report is not None:
        around = jobs.Around(
            intervals=intervals,
            gains=result.gains,
            other="" if against is None else _short(against),
            remark=result.remark,
        )
        title = f"{_short(found)} on {dataset.root.name}"
        jobs.write_score_report(report, title, result, samples, first.find, around)
    return result


def _refuse(
    out: Path | str | None,
    report: Path | str | None,
    inputs: Sequence[Dataset | Model | None],
) -> None:
    """Refuse outputs that would replace an input."""
    read = [Path(one) for one in inputs if isinstance(one, Path | str)]
    if out is not None:
        refuse_output(Path(out), "scores", read)
    if report is not None:
        refuse_output(Path(report), "page", read, "--report")


def _read(
    data: Dataset | Path | str, ignore: Sequence[str], strict: bool, tasks: Collection[Task]
) -> Dataset:
    if not isinstance(data, Dataset):
        return formats.read(data, ignore=ignore, strict=strict, tasks=tasks)
    return formats.read(data.root, ignore=ignore, strict=strict) if ignore else data


class _Scored(NamedTuple):
    """What answers for a sample, its scores, and the card where it is a model."""

    find: Find
    scores: Scores
    card: ModelCard | None


@dataclass(frozen=True, eq=False)
class _Opening:
    """What opens whatever is to be scored on a labelled set."""

    dataset: Dataset
    samples: Sequence[Sample]
    meant: formats.AnswerClasses
    stands_for: Mapping[str, str]
    note: Note

    def open(
        self,
        found: Model,
        vertices: str,
        threads: int | None,
        refining: tuple[str, Mapping[str, Any]],
    ) -> tuple[Find, frozenset[Task], ModelCard | None]:
        """What answers for a sample, the tasks it answers, a model's card."""
        name, settings = refining
        if settings and not name:
            raise ConfigError(
                f"expected refine beside settings {dict(settings)}, got none; name it."
            )
        if isinstance(found, Predictor):
            if name:
                raise ConfigError(
                    f"expected a model's path beside refine {name!r}, got a predictor; set its "
                    "refinement instead."
                )
            return self._answers(found)
        if is_model(Path(found)):
            predictor = open_predictor(found, threads)
            refine_answers(predictor, name, settings, self.note)
            return self._answers(predictor)
        path = Path(found)
        if name:
            raise ConfigError(f"--refine needs a model, which sees the images; {path} is none.")
        if vertices not in ("centre", "edge"):
            raise ConfigError(f"expected --vertices centre or edge, got {vertices!r}.")
        return self._predictions(path, vertices)

    def _predictions(self, path: Path, vertices: str) -> tuple[Find, frozenset[Task], None]:
        options = {"vertices": vertices}
        try:
            predictions = formats.read_predictions(
                path, self.dataset, self.samples, options, self.stands_for
            )
        except DataError as error:
            if path.is_dir() and not any(path.iterdir()):
                raise DataError(f"{error} (Or a run folder, with best.safetensors.)") from None
            raise
        for told in predictions.notes:
            self.note(told)
        return predictions.read, predictions.tasks, None

    def _answers(self, predictor: Predictor) -> tuple[Find, frozenset[Task], ModelCard]:
        """A model's answers, its classes matched by their names."""
        card, classes = predictor.card, self.dataset.classes
        find, tasks = jobs.answers_of(predictor), jobs.tasks_of(card.tasks)
        if card.classes.names == classes.names and not self.stands_for:
            return find, tasks, card
        ids, notes = self.meant.ids_of(card.classes.names, f"the model {card.name}")
        for told in notes:
            self.note(told)

        def find_recast(sample: Sample, size: tuple[int, int]) -> Segmentation:
            return formats.recast(find(sample, size), ids, classes)

        return find_recast, tasks, card


def _named(found: Model) -> str:
    return str(found) if isinstance(found, Path | str) else found.card.name


def _short(found: Model) -> str:
    return Path(found).name if isinstance(found, Path | str) else found.card.name


def _remark(card: ModelCard | None, dataset: Dataset, split: str) -> str:
    """What is to be said where these images have chosen the model's weights."""
    chosen = card.measured.get("validation", {}) if card is not None else {}
    if split != "val" or chosen.get("data") != dataset.root.name:
        return ""
    other = "; --split test has not." if "test" in dataset.splits else "."
    return (
        "These images (val) have chosen the model's weights, so expect a little less on new ones"
        + other
    )
