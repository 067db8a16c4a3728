"""Results of experiments that take longer than a lesson may, kept beside the data.

A lesson's quick profile shows what was measured once; its full profile measures again:

    depth = measured("12-residual", "depth", run, seeds=range(5), again=profile == "full")
    depth.rows, str(depth)  # [{"plain20": 61.2, ...}, ...], "5 seeds, CPU, 412 s, torch 2.13.0"

With CNN_COURSE_RECORD set to a folder what is measured is written there, one JSON file a unit:
`grader measure UNIT` does so with the reference solutions, into data/results/.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from data.dataset import DataError

RESULTS = Path(__file__).parent / "results"
RECORD_VARIABLE = "CNN_COURSE_RECORD"


@dataclass(frozen=True)
class Measured:
    """What an experiment gave.

    rows     one dict a seed, of numbers, text and lists
    seeds    in the order of rows
    on       the data and whatever else a reader must know, one line
    device   "CPU, 2 cores", or the GPU's name
    seconds  of all seeds together, wall clock
    torch, day   torch's version, the day (ISO 8601)
    """

    rows: list[dict[str, Any]]
    seeds: list[int]
    on: str
    device: str
    seconds: float
    torch: str
    day: str

    def column(self, key: str) -> list[Any]:
        """The values of `key`, one a seed. Raises KeyError where a row has none."""
        return [row[key] for row in self.rows]

    def __str__(self) -> str:
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        on = f"{self.on}; " if self.on else ""
        return f"{on}{seeds}, {self.device}, {self.seconds:.0f} s, torch {self.torch}, {self.day}"


def measured(
    unit: str,
    name: str,
    run: Callable[[int], dict[str, Any]],
    *,
    seeds: Iterable[int] = range(3),
    on: str = "",
    device: str = "cpu",
    again: bool = False,
) -> Measured:
    """The stored result of experiment `name` of `unit`, or `run(seed)` for each seed if `again`.

    run     seed -> a dict that JSON can hold, the same keys for each seed
    device  torch's name of the device that run computes on

    Raises DataError where nothing is stored, or what is stored cannot be read.
    """
    if not again:
        return _stored(unit, name)
    began = time.monotonic()
    seeds = list(seeds)
    rows = [run(seed) for seed in seeds]
    seconds = round(time.monotonic() - began, 1)
    import torch  # NumPy's units have no need of it, and `import data` stays cheap

    where = f"CPU, {os.cpu_count()} cores"
    if device.startswith("cuda"):
        where = torch.cuda.get_device_name(device)
    elif device != "cpu":
        where = f"{device}, {platform.machine()}"
    day = date.today().isoformat()
    version = torch.__version__.split("+")[0]
    result = Measured(rows, seeds, on, where, seconds, version, day)
    # As a reader of the file gets them: (1, 2) is [1, 2] in both profiles.
    result = Measured(**json.loads(json.dumps(asdict(result), allow_nan=False)))
    if folder := os.environ.get(RECORD_VARIABLE):
        _record(Path(folder) / f"{unit}.json", name, result)
    return result


def results(path: Path) -> dict[str, Measured]:
    """All results in a unit's file by their experiments' names; none where there is no such file.

    Raises DataError for a file of something else.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: Measured(**result) for name, result in stored.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a file of results ({error})") from None


def _stored(unit: str, name: str) -> Measured:
    all_results = results(RESULTS / f"{unit}.json")
    if name not in all_results:
        raise DataError(f'no result "{name}" of {unit} is stored: run its full profile')
    return all_results[name]


def _record(path: Path, name: str, result: Measured) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    all_results = results(path) | {name: result}
    ordered = {name: asdict(all_results[name]) for name in sorted(all_results)}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
