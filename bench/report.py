"""What the class report finds, and how long it takes.

    python bench/report.py similar            # pairs among the course's own variants, and copies
    python bench/report.py class DIR N [N...]  # the report on N students; DIR: a graded demo class

`similar` takes each exercise's right solutions, which were written to be different, and its known
mistakes, which mostly are a solution with one thing changed: each as the answer of another student.
Then it adds a copy of each right solution, disguised more and more. `class` multiplies the students
of a demo class in a copy of it; each has two answers of other people's, chosen by chance, so that
classmates share some and nobody all.
"""

from __future__ import annotations

import ast
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import nbformat
from nbgrader.api import Assignment, Grade, Student, SubmittedAssignment, SubmittedNotebook
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, select

from grader import database, fingerprints, similar
from grader.classroom import Classroom
from grader.course import Course, exports, load_course, variants
from grader.demo import disguised
from grader.fingerprints import ENOUGH, Answer, alike, fingerprint
from grader.lesson import Lesson
from grader.report import write_report

REPOSITORY = Path(__file__).parents[1]
out = Console(width=120)


# ---- disguises ------------------------------------------------------------------------------


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            yield body


def reordered(source: str) -> str:
    """Return `source` with neighbouring assignments swapped that need nothing of each other."""
    tree = ast.parse(source)
    for body in _bodies(tree):
        place = 0
        while place + 1 < len(body):
            one, other = body[place : place + 2]
            if (
                isinstance(one, ast.Assign)
                and isinstance(other, ast.Assign)
                and not {n for t in one.targets for n in _names(t)} & _names(other)
                and not {n for t in other.targets for n in _names(t)} & _names(one)
            ):
                body[place : place + 2] = [other, one]
                place += 1
            place += 1
    return ast.unparse(tree)


def padded(source: str) -> str:
    """Return `source` with a print in the middle of each block of two statements or more."""
    tree = ast.parse(source)
    for body in _bodies(tree):
        if len(body) > 1 and body is not getattr(tree, "body", None):
            body.insert(len(body) // 2, ast.parse("print('here')").body[0])
    return ast.unparse(tree)


DISGUISES: dict[str, Callable[[str], str]] = {
    "names, comments, layout": disguised,
    "and statements reordered": lambda source: reordered(disguised(source)),
    "and prints put in": lambda source: padded(reordered(disguised(source))),
}


# ---- what is found --------------------------------------------------------------------------


def _given(lesson: Lesson) -> list[Answer]:
    return list(similar.given(REPOSITORY / "notebooks" / lesson.unit))


def _pairs(people: dict[str, str], given: list[Answer]) -> set[frozenset[str]]:
    """Return which two of a class, whose members have each done this one exercise, are listed."""
    answers = {name: {"it": Answer(source)} for name, source in people.items()}
    return {frozenset(pair.students) for pair in alike(answers, given)}


def of_the_course(course: Course) -> None:
    """Count pairs among different people's solutions, and copies that are found."""
    table = Table(title="Two answers to one exercise, alone in a class", title_justify="left")
    for column in ("unit", "exercises", "right, listed", "known mistakes, listed", "too short"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    found = dict.fromkeys(DISGUISES, 0)
    sums = [0] * 6
    for lesson in course.lessons:
        given, row = _given(lesson), [0] * 6
        known = {piece for one in given for piece in fingerprint(one)}
        for exercise, reference in exports(lesson).items():
            mine = [one for one in variants(lesson) if one.exercise == exercise]
            right = {one.name: one.source for one in mine if one.is_right} | {"": reference}
            wrong = {one.name: one.source for one in mine if not one.is_right}
            for people, place in ((right, 0), (wrong, 2)):
                # Alone with each other: in so small a class nothing is common but to both.
                for pair in combinations(people, 2):
                    row[place + 1] += 1
                    row[place] += bool(_pairs({name: people[name] for name in pair}, given))
            for source in right.values():
                row[5] += 1
                if len(fingerprint(Answer(source)) - known) < ENOUGH:
                    row[4] += 1
                    continue
                for name, disguise in DISGUISES.items():
                    copy = {"one": source, "other": disguise(source)}
                    found[name] += bool(_pairs(copy, given))
        table.add_row(
            lesson.unit,
            f"{len(exports(lesson))}",
            *(f"{row[n]} / {row[n + 1]}" for n in (0, 2, 4)),
        )
        sums = [a + b for a, b in zip(sums, row, strict=True)]
    table.add_section()
    table.add_row("all", "", *(f"{sums[n]} / {sums[n + 1]}" for n in (0, 2, 4)))
    out.print(table)
    long = sums[5] - sums[4]
    for name, count in found.items():
        out.print(f"copies found, {name}: {count} / {long} ({count / long:.1%})")


# ---- how long it takes ----------------------------------------------------------------------


def multiplied(folder: Path, target: Path, students: int) -> Classroom:
    """Copy a graded class of one unit, and add students with mixed answers up to `students`."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("submitted", "feedback"))
    (target / "submitted").mkdir()
    classroom, rng = Classroom(target), random.Random(0)
    unit = next(path.name for path in (target / "release").iterdir())
    models = sorted(path.parent.name for path in (target / "autograded").glob(f"*/{unit}"))
    programs = {
        name: nbformat.read(next(classroom.autograded(name, unit).glob("*.ipynb")), 4)
        for name in models
    }
    with database.gradebook(classroom.database) as gradebook:
        connection = gradebook.db.connection()
        assignment = connection.scalar(select(Assignment.id).where(Assignment.name == unit))
        known = {name: gradebook.find_submission(unit, name).notebooks[0] for name in models}
        marks = {
            name: connection.execute(
                select(Grade.__table__).where(Grade.notebook_id == book.id)
            ).mappings()
            for name, book in known.items()
        }
        marks = {name: [dict(row) for row in rows] for name, rows in marks.items()}
        for number in range(students - len(models)):
            model, name = rng.choice(models), f"student-{number:05}"
            ids = {"id": f"{number}", "student_id": name, "assignment_id": assignment}
            book = {"id": f"b{number}", "assignment_id": f"{number}"}
            book["notebook_id"] = known[model].notebook_id
            connection.execute(insert(Student.__table__).values(id=name, lms_user_id=name))
            connection.execute(insert(SubmittedAssignment.__table__).values(**ids))
            connection.execute(insert(SubmittedNotebook.__table__).values(**book))
            rows = [
                row | {"id": f"g{number}-{n}", "notebook_id": book["id"]}
                for n, row in enumerate(marks[model])
            ]
            connection.execute(insert(Grade.__table__), rows)
            _write(classroom, unit, name, model, programs, rng)
        gradebook.db.commit()
    return classroom


def _write(
    classroom: Classroom,
    unit: str,
    name: str,
    model: str,
    programs: dict[str, nbformat.NotebookNode],
    rng: random.Random,
) -> None:
    """Write the graded notebook of a student who has two answers of others."""
    folder = classroom.autograded(name, unit)
    folder.mkdir(parents=True)
    shutil.copy(classroom.record(model, unit), folder)
    notebook = nbformat.from_dict(programs[model])
    answers = [n for n, cell in enumerate(notebook.cells) if similar.is_answer(cell.metadata)]
    changed = rng.sample(answers, k=min(2, len(answers)))
    cells = list(notebook.cells)
    for place in changed:
        other = programs[rng.choice(list(programs))].cells
        if len(other) == len(cells):
            cells[place] = other[place]
    path = next(classroom.autograded(model, unit).glob("*.ipynb"))
    (folder / path.name).write_text(json.dumps({**notebook, "cells": cells}), encoding="utf-8")


def of_a_class(folder: Path, sizes: list[int]) -> None:
    """Measure the report on classes of these sizes."""
    table = Table(title="The report on a class", title_justify="left")
    for column in ("students", "CPU s", "of these similar", "pairs", "MB of HTML"):
        table.add_column(column, justify="right")
    for students in sizes:
        with tempfile.TemporaryDirectory() as name:
            classroom = multiplied(folder, Path(name) / "class", students)
            began = time.process_time()
            page = write_report(classroom)
            whole = time.process_time() - began
            unit = next(path.name for path in (classroom.root / "release").iterdir())
            everybody = sorted(path.name for path in (classroom.root / "autograded").iterdir())
            fingerprints._pieces.cache_clear()
            began = time.process_time()
            pairs = similar.find(classroom, unit, everybody)
            alone = time.process_time() - began
            size = page.stat().st_size / 1e6
            table.add_row(
                f"{students}", f"{whole:.1f}", f"{alone:.1f}", f"{len(pairs)}", f"{size:.1f}"
            )
    out.print(table)


if __name__ == "__main__":
    if sys.argv[1:] == ["similar"]:
        of_the_course(load_course(REPOSITORY / "solutions"))
    elif len(sys.argv) > 3 and sys.argv[1] == "class":
        of_a_class(Path(sys.argv[2]), list(map(int, sys.argv[3:])))
    else:
        sys.exit(__doc__)
