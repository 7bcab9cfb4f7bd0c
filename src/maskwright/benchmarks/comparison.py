"""Networks trained for the same time on the same data, and what each came to; `compare` runs it.

The folder of a comparison:

comparison.json  settings, machine, a row a model; written anew after every model
runs/NAME/       log, result and run folder of each
report.html      the page
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.benchmarks.comparison_report import comparison_report, headline_of, ranked
from maskwright.benchmarks.comparison_row import ComparisonRow
from maskwright.core.errors import ConfigError
from maskwright.core.files import write_json
from maskwright.core.tables import find_pandas
from maskwright.report import Report, render_fragment
from maskwright.training.run_folder import environment

if TYPE_CHECKING:
    import pandas

FILE = "comparison.json"


class Comparison:
    """The settings and rows of a comparison, kept on disk.

    Attributes:
        folder: of its files.
        settings: what every row has in common; a comparison goes on only with the same.
        rows: by name, in the order of training.
        facts: what a measurement must name, of training and of the timing.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin, or go on with the one that lies in `folder`.

        Raises:
            ConfigError: it has other settings, or is damaged.
        """
        self.folder = folder
        self.settings = json.loads(json.dumps(settings))
        self.rows: dict[str, ComparisonRow] = {}
        self.facts: dict[str, Any] = {"training": environment()}
        if (folder / FILE).exists():
            self._go_on()

    def _go_on(self) -> None:
        before = read_record(self.folder)
        for name, value in self.settings.items():
            if before["settings"].get(name) != value:
                raise ConfigError(
                    f"{self.folder} holds a comparison with {name} "
                    f"{before['settings'].get(name)}, but got {value}; give the same settings to "
                    "go on with it, or another folder."
                )
        rows = [ComparisonRow.from_dict(row) for row in before["rows"]]
        self.rows = {row.name: row for row in rows}
        self.facts = {key: before[key] for key in ("training", "timing") if key in before}

    def keep(self, row: ComparisonRow) -> None:
        """Take a row in, in the place of an older one, and write the file."""
        self.rows[row.name] = row
        self.write()

    def write(self) -> None:
        """Write the file anew."""
        write_json(self.folder / FILE, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.facts,
            "settings": self.settings,
            "rows": [asdict(row) for row in self.rows.values()],
        }

    def report(self) -> Report:
        """The page of all that is known so far."""
        return comparison_report(list(self.rows.values()), self.settings, self.facts)

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a model, the most accurate first, with the fields of `ComparisonRow`.

        Raises:
            ConfigError: pandas is not installed.
        """
        rows = [asdict(row) for row in ranked(list(self.rows.values()))]
        table: pandas.DataFrame = find_pandas("to_dict()").DataFrame(rows)
        return table

    def __repr__(self) -> str:
        rows = ranked(list(self.rows.values()))
        best = next((row for row in rows if row.score is not None), None)
        told = "none trained" if best is None else f"best {best.name}"
        if best is not None and best.score is not None:
            told += f" with {headline_of(rows)} {best.score:.3f}"
        return f"Comparison({str(self.folder)!r}, {len(rows)} networks, {told})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the page."""
        return render_fragment(self.report())


def read_record(folder: Path) -> dict[str, Any]:
    """What comparison.json holds.

    Args:
        folder: of a comparison, or the file itself.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    path = folder if folder.suffix == ".json" else folder / FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = [ComparisonRow.from_dict(row) for row in record["rows"]], dict(record["settings"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"expected a comparison in {path}, but it can't be read ({error}); give the folder of "
            "an earlier maskwright compare."
        ) from error
    return dict(record)
