"""Results that are kept: what was measured comes back, and only the full profile measures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import data.measurements
from data import DataError, measured


def never(seed: int) -> dict[str, Any]:
    raise AssertionError(f"seed {seed} was run")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of results, empty and recorded into."""
    monkeypatch.setattr(data.measurements, "RESULTS", tmp_path)
    monkeypatch.setenv("CNN_COURSE_RECORD", str(tmp_path))
    return tmp_path


def test_what_was_measured_comes_back_without_another_run(results: Path) -> None:
    first = measured(
        "12-x", "depth", lambda seed: {"plain": seed / 2, "curve": (1, seed)}, again=True, on="toys"
    )
    measured("12-x", "another", lambda seed: {"y": 1}, seeds=[7], again=True)
    stored = measured("12-x", "depth", never)
    assert stored == first
    assert stored.seeds == [0, 1, 2]
    assert stored.column("plain") == [0.0, 0.5, 1.0]
    assert stored.column("curve") == [[1, 0], [1, 1], [1, 2]]
    assert str(stored).startswith("toys; 3 seeds, CPU, ")
    assert str(measured("12-x", "another", never)).startswith("1 seed, ")


def test_the_full_profile_of_a_student_writes_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CNN_COURSE_RECORD")
    measured("12-x", "depth", lambda seed: {"y": seed}, again=True)
    assert not list(results.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, 'no result "depth" of 12-x is stored'),
        ("{}", 'no result "depth" of 12-x is stored'),
        ("{", "not a file of results"),
        ('{"depth": {"rows": []}}', "not a file of results"),
    ],
)
def test_what_is_not_there_is_said(results: Path, text: str | None, message: str) -> None:
    if text is not None:
        (results / "12-x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        measured("12-x", "depth", never)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_cannot_be_kept_is_refused_at_once(results: Path, value: object) -> None:
    run: Callable[[int], dict[str, Any]] = lambda seed: {"y": value}  # noqa: E731  # a table
    with pytest.raises((ValueError, TypeError)):
        measured("12-x", "depth", run, again=True)
    assert not list(results.iterdir())


def test_importing_data_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, data; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
