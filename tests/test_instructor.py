"""docs/instructor.md leads from nothing to a graded class: its commands are typed as it says."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from builders import COURSE, REPOSITORY, SOLVED, answered, content, isolates

from grader import release
from grader.course import load_course
from grader.model import Assignment

PAGE = (REPOSITORY / "docs" / "instructor.md").read_text(encoding="utf-8")
# The page speaks of the first real unit; the class of this test has the smallest one.
UNIT = {"02-convolution": "01-adding"}
GRADES = """\
Student,ID,SIS User ID,SIS Login ID,Section,01-adding (555)
    Points Possible,,,,,5
"Doe, Jane",101,S1,jane,A,
"Roe, Bob",102,S2,bob,A,
"Poe, Max",103,S3,max,A,
"Zed, Zoe",104,S4,zoe,A,
"""


def commands() -> list[str]:
    """What the page says to type, step by step; what needs a network or a browser is not ``sh``."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    for real, small in UNIT.items():
        lines = [line.replace(real, small) for line in lines]
    return lines


@pytest.fixture
def desk(tmp_path: Path, adding: Assignment) -> Path:
    """A folder with the course, what Canvas let an instructor download, and nothing else."""
    shutil.copytree(COURSE, tmp_path / "solutions")
    course = load_course(tmp_path / "solutions")
    release.build(course, course.lessons, tmp_path / "notebooks")
    wrong = "def add(a, b):\n    return a - b"
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as archive:
        for name, answer in (("doejane_101_9001", SOLVED), ("roebob_LATE_102_9002", wrong)):
            node = answered(adding.notebooks[0].released, add=answer)
            archive.writestr(f"{name}_adding.ipynb", content(node))
        archive.writestr("poemax_103_9003_adding.ipynb", b"")
    (tmp_path / "Grades.csv").write_text(GRADES)
    return tmp_path


@isolates
def test_its_commands_take_a_person_from_nothing_to_a_graded_class(desk: Path) -> None:
    said = {}
    here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in commands():
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=desk,
            env=os.environ | {"PATH": here, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[line] = done.stdout + done.stderr
        if "--dry-run" in line:
            assert not (desk / "classroom").exists()
    assert {line.split()[1] for line in said if line.startswith("grader")} == {
        *("doctor", "collect", "grade", "report", "export")
    }
    with zipfile.ZipFile(desk / "01-adding.zip") as archive:
        assert "01-adding/adding.ipynb" in archive.namelist()
    assert "3 submissions: 2 graded, 1 unreadable" in said["grader grade"]
    with (desk / "classroom" / "grades-canvas.csv").open(newline="") as file:
        scores = {row[0]: row[-1] for row in csv.reader(file)}
    assert scores == {
        "Student": "01-adding (555)",
        "    Points Possible": "5",
        "Doe, Jane": "3",
        "Roe, Bob": "0",
        "Poe, Max": "0",
        "Zed, Zoe": "",
    }
    with zipfile.ZipFile(desk / "classroom" / "grades-canvas-feedback.zip") as archive:
        assert len(archive.namelist()) == 3
    # What the page says one finds, and where.
    assert (desk / "classroom" / "report" / "index.html").is_file()
    assert (desk / "classroom" / "feedback" / "doejane-101" / "01-adding").is_dir()


def test_every_step_that_grades_is_typed_by_that_test() -> None:
    """A command that nobody runs would not be missed: only these need more than this machine."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M)
    plain = [block for language, block in blocks if not language]
    assert [re.findall(r"^(?:sudo )?(\w+)", block, re.M) for block in plain] == [
        ["apt", "git", "python3", "pip"],
        ["grader"],  # the demo: test_demo.py, test_commands.py
        ["cd"],  # the formgrader: test_formgrader.py
    ]
