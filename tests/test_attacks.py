"""Notebooks that want to do harm, each with what must become of it.

An attack is a py:percent notebook in ``attacks/<family>/``, named by what it does. Its header says
what is required, under ``jupyter:``::

    attack:
      does: one line on what it tries
      statuses: [error, ok | not run]   of each code cell: `grader.proof.Proof`, | for either
      limits: {cell_seconds: 3}         where the quick ones of these tests will not do
      prints: a pattern                 what its output must match, to show that it did try
      never: a pattern                  what no output may match
      tests: {1: error}                 cells that a judge runs in a second run, and what is
                                        required of them there
      wins: why                         it succeeds where the tests run in the student's kernel
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jupytext
import pytest
from builders import isolates, printed, strangers, wait_until_gone
from nbformat import NotebookNode

from grader import engine
from grader.judge.kernel import JudgedCells
from grader.model import Limits
from grader.proof import Proof

ATTACKS = Path(__file__).parent / "attacks"
KEYS = {"does", "statuses", "limits", "prints", "never", "tests", "wins"}
LIMITS = Limits(
    cell_seconds=4,
    submission_seconds=30,
    memory_bytes=400_000_000,
    disk_bytes=50_000_000,
    file_bytes=20_000_000,
    inodes=1000,
    processes=64,
    output_bytes=200_000,
    pictures=5,
)

pytestmark = isolates


@dataclass(frozen=True)
class Attack:
    """A file of ``attacks/``."""

    name: str
    notebook: NotebookNode
    wanted: dict[str, Any]

    @property
    def limits(self) -> Limits:
        """The limits that it runs under.

        One that has to meet another limit than that of time is given the time to do it, on a
        slow machine too.
        """
        choices = [*self.wanted["statuses"], *self.wanted.get("tests", {}).values()]
        statuses = {one for choice in choices for one in choice.split(" | ")}
        patient = {} if Proof.TIME in statuses else {"cell_seconds": 60, "submission_seconds": 120}
        return replace(LIMITS, **(patient | self.wanted.get("limits", {})))


def load(path: Path) -> Attack:
    """Return the attack in the file `path`."""
    notebook = jupytext.read(path)
    wanted = notebook.metadata.pop("attack")
    assert wanted.keys() <= KEYS, f"{path}: {sorted(wanted.keys() - KEYS)}"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    return Attack(f"{path.parent.name}/{path.stem}", notebook, wanted)


FOUND = [load(path) for path in sorted(ATTACKS.glob("*/*.py"))]


@pytest.mark.parametrize("attack", FOUND, ids=lambda attack: attack.name)
def test_what_becomes_of_an_attack(attack: Attack, tmp_path: Path) -> None:
    before = strangers()
    executed = engine.run(attack.notebook, tmp_path, attack.limits, {})
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    got = [cell.metadata["judged"]["status"] for cell in code]
    shown = "\n".join(printed(cell) + "\n".join(errors(cell)) for cell in code)
    wanted = attack.wanted["statuses"]
    assert len(got) == len(wanted), (got, shown)
    for status, choice in zip(got, wanted, strict=True):
        assert status in choice.split(" | "), (got, shown[:3000])
    if "prints" in attack.wanted:
        assert re.search(attack.wanted["prints"], shown), shown[:3000]
    if "never" in attack.wanted:
        assert not re.search(attack.wanted["never"], shown), shown[:3000]
    assert wait_until_gone(before), "it left processes behind"


@pytest.mark.parametrize(
    "attack", [one for one in FOUND if "tests" in one.wanted], ids=lambda attack: attack.name
)
def test_an_attack_on_a_test_wins_nothing_where_a_judge_runs_it(
    attack: Attack, tmp_path: Path
) -> None:
    before = strangers()
    code = [cell for cell in attack.notebook.cells if cell.cell_type == "code"]
    wanted = {code[place].id: choice for place, choice in attack.wanted["tests"].items()}
    prelude = ("import numpy as np", "from grader import check")
    (tmp_path / "judge").mkdir()
    (tmp_path / "student").mkdir()
    tests = JudgedCells(frozenset(wanted), prelude, tmp_path / "judge", 0)
    executed = engine.run(attack.notebook, tmp_path / "student", attack.limits, {}, tests=tests)
    got = {cell.id: cell.metadata.judged for cell in executed.cells if cell.id in wanted}
    for name, choice in wanted.items():
        assert got[name]["status"] in choice.split(" | "), got
    assert wait_until_gone(before), "it left processes behind"


def errors(cell: NotebookNode) -> list[str]:
    """Return the errors that a cell shows."""
    return [f"{o.ename}: {o.evalue}" for o in cell.outputs if o.output_type == "error"]
