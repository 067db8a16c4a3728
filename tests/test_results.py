"""docs/results.md says what data/results/ holds."""

from __future__ import annotations

import json
from pathlib import Path

from grader import results

ROOT = Path(__file__).parents[1]


def test_the_page_is_made_of_what_is_stored() -> None:
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert written == results.page(ROOT / "data" / "results"), "run: grader measure UNIT"


def test_numbers_have_their_spread_and_curves_stay_in_the_file(tmp_path: Path) -> None:
    stored = {
        "depth": {
            "rows": [
                {"plain": {"20": 1.0, "56": 2000}, "pair": [1, 80], "curve": [1] * 9},
                {"plain": {"20": 3.0, "56": 1000}, "pair": [3, 82], "curve": [2] * 9},
            ],
            "seeds": [0, 1],
            "on": "glyphs",
            "device": "CPU, 2 cores",
            "seconds": 61.2,
            "torch": "2.13.0",
            "day": "2026-11-21",
        }
    }
    (tmp_path / "12-x.json").write_text(json.dumps(stored))
    page = results.page(tmp_path)
    assert "## 12-x" in page
    assert "**depth**: glyphs; 2 seeds, CPU, 2 cores, 61 s, torch 2.13.0, 2026-11-21" in page
    assert "| plain, 20 | 2 ± 1.414 (1 to 3) |" in page
    assert "| plain, 56 | 1,500 ± 707.1 (1,000 to 2,000) |" in page
    assert "| pair | 2 ± 1.414; 81 ± 1.414 |" in page
    assert "| curve" not in page
