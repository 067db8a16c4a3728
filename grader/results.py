"""docs/results.md: the stored results of the lessons' experiments, as a page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.measurements import Measured, results

LONG = 8  # numbers: a longer list is a curve

HEAD = """# Results

What the lessons' longer experiments gave: mean ± standard deviation over the seeds (smallest to
largest); several numbers stand in the order of the file. Curves are in the files that this page is
made of, `data/results/`. `grader measure UNIT`
runs a unit's experiments again (its full profile, with the reference solutions) and makes this
page anew.
"""


def page(folder: Path) -> str:
    """Return the page (Markdown) on all files of results in `folder`."""
    parts = [HEAD]
    for path in sorted(folder.glob("*.json")):
        parts.append(f"## {path.stem}\n")
        for name, result in results(path).items():
            parts.append(f"**{name}**: {result}\n")
            rows = list(_rows(result))
            if rows:
                parts.append("| measured | value |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _rows(result: Measured) -> Iterator[str]:
    """One row for each number of the experiment, and for each short list of numbers."""
    flat = [dict(_numbers(row)) for row in result.rows]
    for key in flat[0] if flat else ():
        places = zip(*(row[key] for row in flat if key in row), strict=False)
        texts = [_spread(values, short=len(flat[0][key]) > 1) for values in places]
        yield f"| {key.replace('|', ',')} | {'; '.join(texts)} |"


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, list[float]]]:
    """The numbers of a row by their names, each as a list; long lists are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}, {key}" if name else str(key))
        return
    values = value if isinstance(value, list) else [value]
    if len(values) <= LONG and all(isinstance(one, int | float) for one in values):
        yield name, [float(one) for one in values]


def _spread(values: Sequence[float], *, short: bool) -> str:
    text = _figure(statistics.mean(values))
    if len(values) > 1:
        text += f" ± {_figure(statistics.stdev(values))}"
        if not short:
            text += f" ({_figure(min(values))} to {_figure(max(values))})"
    return text


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
