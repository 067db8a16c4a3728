"""Each lesson of solutions/, executed with its reference solutions in its quick profile."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from nbformat import NotebookNode
from PIL import Image

from grader import course as courses
from grader import runs

ROOT = Path(__file__).parents[1]
COURSE = courses.load_course(ROOT / "solutions")
CACHE = runs.Cache(ROOT / runs.CACHE)  # what `grader run` has executed is not executed again

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[lesson.unit for lesson in COURSE.lessons])
def executed(request: pytest.FixtureRequest) -> tuple[str, NotebookNode]:
    """A unit, and its notebook as executed."""
    [run] = runs.run(COURSE, [COURSE[request.param]], {"profile": "quick"}, cache=CACHE)
    assert run.passed, run.summary
    return run.unit, run.executed


def test_expected_figures_are_what_the_reference_draws(executed: tuple[str, NotebookNode]) -> None:
    """Loosely: renderers and fonts differ, a wrong picture differs more."""
    unit, notebook = executed
    drawn = {}
    for cell in notebook.cells:
        if cell.metadata.get("figure"):
            data = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            drawn[cell.metadata.figure] = Image.open(io.BytesIO(base64.b64decode(data[-1])))
    figures = ROOT / "solutions" / unit / "figures"
    assert set(drawn) == {path.stem for path in figures.glob("*.png")}
    for name, picture in drawn.items():
        expected = Image.open(figures / f"{name}.png")
        assert np.allclose(expected.size, picture.size, rtol=0.15), name
        here, there = (
            np.asarray(p.convert("L").resize((96, 64)), dtype=float) for p in (picture, expected)
        )
        assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.8, name


def test_a_lesson_takes_a_minute_at_most_by_a_wide_margin(
    executed: tuple[str, NotebookNode],
) -> None:
    """The quick profile's promise is 60 s on two cores; only what is far beyond it fails here."""
    seconds = sum(c.metadata.judged.seconds for c in executed[1].cells if "judged" in c.metadata)
    assert seconds < 180


def test_expected_figures_are_light() -> None:
    figures = list((ROOT / "solutions").glob("*/figures/*.png"))
    assert figures
    assert all(path.stat().st_size < 60_000 for path in figures)
