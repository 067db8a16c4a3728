"""How grading grows: with workers, and with submissions.

    python bench/scale.py workers [students]        # 1, 2, 4 workers (as far as cores go)
    python bench/scale.py coordinator [submissions] # what one coordinator can store
    python bench/scale.py many [students] [units]   # a term: is the last as quick as the first?

`workers` grades the demo class of 02-convolution. `coordinator` lets workers answer at once, with
a result that one of them has really had, so that all that is left is the coordinator's own work:
the journal, the scheduler, the gradebook, notebooks and pages on disk. `many` grades small
submissions and watches the coordinator's memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from grader import demo, workers
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.cluster import Pool
from grader.course import load_course
from grader.model import Assignment, Graded, Submission

REPOSITORY = Path(__file__).parents[1]
TINY = REPOSITORY / "tests" / "cases" / "course" / "01-adding"
LESSON = "02-convolution"
out = Console(width=120)


def cpu() -> float:
    """Return the CPU seconds of this process: the coordinator, with its scheduler."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def demo_class(students: int) -> Iterator[tuple[Classroom, Assignment, list[str]]]:
    """Make a class of `students` copies of the demo's."""
    course = load_course(REPOSITORY / "solutions")
    lesson = course[LESSON]
    with tempfile.TemporaryDirectory() as folder:
        classroom = demo.open_class(Path(folder) / "class")
        assignment = classroom.assignment(LESSON, course)
        # Who never ends waits for his limit, and measures nothing of ours.
        people = [p for p in demo.students(lesson, assignment) if p.name != "loops_forever"]
        names = [f"{people[n % len(people)].name}-{n}" for n in range(students)]
        some = [replace(people[n % len(people)], name=name) for n, name in enumerate(names)]
        demo.hand_in(classroom, assignment, some)
        yield classroom, assignment, names


def with_workers(students: int = 40) -> None:
    """Grade one class with 1, 2 and 4 workers."""
    table = Table(title=f"{students} submissions of {LESSON}", title_justify="left")
    for column in ("workers", "seconds", "submissions/s", "speed-up", "coordinator, CPU ms each"):
        table.add_column(column, justify="right")
    first = 0.0
    for count in [n for n in (1, 2, 4, 8, 16) if n <= (os.cpu_count() or 1)]:
        with demo_class(students) as (classroom, assignment, names), Pool(count) as pool:
            grade_class(classroom, assignment, names[:2], pool)  # imports are paid for
            began, used = time.monotonic(), cpu()
            grade_class(classroom, assignment, names, pool)
            seconds, used = time.monotonic() - began, cpu() - used
        rate = students / seconds
        first = first or rate
        own = 1000 * used / students
        table.add_row(
            f"{count}", f"{seconds:.1f}", f"{rate:.2f}", f"{rate / first:.2f}", f"{own:.0f}"
        )
    out.print(table)


def replay(
    assignment: bytes, submission: Submission, sandbox: bool, seeds: Sequence[int]
) -> Graded:
    """Answer as a worker would, at once."""
    result: Graded = RESULTS[len(submission.student) % len(RESULTS)]
    return replace(result, student=submission.student)


RESULTS: list[Graded] = []


def of_coordinator(submissions: int = 1000) -> None:
    """Measure what a coordinator can take."""
    with demo_class(submissions) as (classroom, assignment, names), Pool() as pool:
        grade_class(classroom, assignment, names[:2], pool)  # imports are paid for
        RESULTS.extend(grade_class(classroom, assignment, names[:8], pool))
        mean = statistics.fmean(one.seconds for one in RESULTS)
        workers.work, real = replay, workers.work
        try:
            began, used = time.monotonic(), cpu()
            grade_class(classroom, assignment, names, pool)
            seconds, used = time.monotonic() - began, cpu() - used
        finally:
            workers.work = real
    rate = submissions / seconds
    out.print(
        f"{submissions} results of {LESSON} in {seconds:.1f} s: {rate:.0f} a second, "
        f"{1000 * used / submissions:.1f} ms of the coordinator's CPU each.\n"
        f"A submission takes a worker {mean:.2f} s here: one coordinator feeds {rate * mean:.0f}."
    )


def of_a_term(students: int = 300, units: int = 17) -> None:
    """Grade small submissions of many units; print how memory and pace change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(units):
            shutil.copytree(TINY, folder / "course" / f"{number + 1:02}-adding")
        course = load_course(folder / "course")
        classroom = demo.open_class(folder / "class")
        table = Table(title=f"{students} students, {units} units", title_justify="left")
        own = "coordinator, CPU ms each"  # what other work on the machine does not change
        for column in ("unit", "seconds", "first hundred", "last hundred", own, "memory, MB"):
            table.add_column(column, justify="right")
        with Pool() as pool:
            for lesson in course.lessons:
                assignment = classroom.assignment(lesson.unit, course)
                people = demo.students(lesson, assignment)
                people = [p for p in people if p.name != "loops_forever"]
                some = [
                    replace(people[n % len(people)], name=f"student-{n:03}")
                    for n in range(students)
                ]
                demo.hand_in(classroom, assignment, some)
                when: list[float] = [time.monotonic()]
                used = cpu()
                grade_class(
                    classroom,
                    assignment,
                    [one.name for one in some],
                    pool,
                    lambda graded, when=when: when.append(time.monotonic()),
                )
                hundred = min(100, students // 2)
                table.add_row(
                    lesson.unit,
                    f"{when[-1] - when[0]:.0f}",
                    f"{when[hundred] - when[0]:.1f} s",
                    f"{when[-1] - when[-hundred - 1]:.1f} s",
                    f"{1000 * (cpu() - used) / students:.0f}",
                    f"{psutil.Process().memory_info().rss / 1e6:.0f}",
                )
                out.print(f"{lesson.unit}: {when[-1] - when[0]:.0f} s", highlight=False)
        out.print(table)


if __name__ == "__main__":
    what = {"workers": with_workers, "coordinator": of_coordinator, "many": of_a_term}
    if len(sys.argv) < 2 or sys.argv[1] not in what:
        sys.exit(__doc__)
    what[sys.argv[1]](*map(int, sys.argv[2:]))
