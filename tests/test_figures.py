"""Stored figures: light palette pictures that still look like what was drawn."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
from PIL import Image

from grader import release


def saved(pixels: np.ndarray, folder: Path) -> np.ndarray:
    """`pixels` (H, W, 3) as the picture of a marked cell -> the stored picture (H, W, 3)."""
    drawn = io.BytesIO()
    Image.fromarray(pixels).save(drawn, "PNG")
    picture = {"image/png": base64.b64encode(drawn.getvalue()).decode()}
    cell = nbformat.v4.new_code_cell(metadata={"figure": "sky"})
    cell.outputs = [nbformat.v4.new_output("display_data", picture)]
    lesson = SimpleNamespace(path=folder / "lesson.py", unit="01-sky")
    [path] = release.save_figures(lesson, nbformat.v4.new_notebook(cells=[cell]))  # type: ignore[arg-type]
    assert path.stat().st_size < 60_000
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_sky_has_no_bands(tmp_path: Path) -> None:
    """256 colours are too few for each pixel, and enough for the mean of 8 x 8 of them."""
    down, right = np.mgrid[0:160, 0:160] / 159
    sky = np.stack([40 + 200 * down, 60 + 180 * right, 250 - 150 * down * right], axis=-1)
    sky = sky.round().astype(np.uint8)

    def blocks(picture: np.ndarray) -> np.ndarray:
        means: np.ndarray = picture.reshape(20, 8, 20, 8, 3).mean(axis=(1, 3))
        return means

    error = np.abs(blocks(saved(sky, tmp_path)) - blocks(sky))
    assert error.mean() < 0.45  # 0.28; without dithering 0.66


def test_a_chart_is_stored_as_it_was_drawn(tmp_path: Path) -> None:
    """Few colours: each pixel keeps its own."""
    chart = np.full((60, 90, 3), 255, np.uint8)
    chart[20:40, 10:80] = (31, 119, 180)
    chart[50, :] = (0, 0, 0)
    assert np.array_equal(saved(chart, tmp_path), chart)
