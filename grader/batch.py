"""Grade a class: many submissions side by side, one writer."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path

from grader import ahead, launch
from grader.classroom import Classroom
from grader.grade import grade, set_aside
from grader.gradebook import Gradebook
from grader.kernels.warm import share, warm
from grader.model import Assignment, Graded, Submission


def _agreed(repeated: list[Graded], seeds: Sequence[int]) -> Graded:
    """Return the grading with the first seed, and in its notes the tests on which others differ."""
    by_seed = {graded.seed: graded for graded in repeated}
    first, *others = (by_seed[seed] for seed in seeds)
    points = {cell.grade_id: cell.points for cell in first.cells}
    notes = [
        f"flaky: {cell.grade_id} earned {points[cell.grade_id]} points with seed {first.seed}, "
        f"{cell.points} with seed {other.seed}"
        for other in others
        for cell in other.cells
        if cell.points != points.get(cell.grade_id)
    ]
    return replace(first, notes=(*first.notes, *notes))


Task = tuple[Assignment, Submission, int]  # the last is a seed


def grade_class(
    classroom: Classroom,
    assignment: Assignment,
    students: list[str],
    workers: int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    sandbox: bool = True,
    seeds: Sequence[int] = (0,),
) -> list[Graded]:
    """Grade `students`' submissions of one unit, store each as it comes, return them in order.

    A result that cannot be stored is returned as broken, and the others go on.

    Args:
        workers: submissions at a time; by default one for each core, 0 for none but this process.
        on_graded: called after a submission has been stored.
        sandbox: isolate every submission from this machine and from the others.
        seeds: of random numbers, the same for all: equal work earns equal marks. With several,
            each submission is graded with each; the first counts, and tests that do not agree
            are named in a note.

    Raises:
        SandboxError: this machine cannot do that; nothing has been graded.
    """
    if sandbox:
        launch.require_sandbox()
    submissions = {student: classroom.submission(student, assignment) for student in students}
    done: dict[str, Graded] = {}
    tasks = [(assignment, one, seed) for one in submissions.values() for seed in seeds]
    repeated: dict[str, list[Graded]] = {}
    with Gradebook(classroom) as gradebook:
        for _, one in run(tasks, workers, sandbox=sandbox):
            others = repeated.setdefault(one.student, [])
            others.append(one)
            if len(others) < len(seeds):
                continue
            graded = _agreed(others, seeds)
            try:
                gradebook.store(assignment, graded)
            except Exception as error:  # a full disk, a file in the way: one student's bad luck
                reason = f"the result could not be stored: {error}"
                graded = set_aside(assignment, submissions[graded.student], reason)
            done[graded.student] = graded
            on_graded(graded)
    return [done[student] for student in students]


def run(
    tasks: list[Task], workers: int | None = None, *, sandbox: bool = True
) -> Iterator[tuple[int, Graded]]:
    """Grade all `tasks` side by side; yield (its place, outcome) of each as it is done.

    Args:
        workers: see `grade_class`.

    Raises:
        SandboxError: this machine cannot isolate kernels.
    """
    if sandbox:
        launch.require_sandbox()
    if workers == 0:
        for place, (assignment, submission, seed) in enumerate(tasks):
            yield place, grade(assignment, submission, sandbox=sandbox, seed=seed)
        return
    count = min(workers or os.cpu_count() or 1, max(1, len(tasks)))
    waiting = list(range(len(tasks)))
    while waiting:
        lost = []
        for place, graded in _side_by_side(tasks, waiting, count, sandbox):
            if graded is None:
                lost.append(place)
            else:
                yield place, graded
        # One of those that were under way did it (a pool takes up a few more than it has
        # workers): each of them alone, in a process of its own.
        suspects, waiting = lost[: 2 * count + 1], lost[2 * count + 1 :]
        for suspect in suspects:
            [(_, graded)] = _side_by_side(tasks, [suspect], 1, sandbox)
            assignment, submission, seed = tasks[suspect]
            reason = "it ended the process that graded it"
            yield suspect, graded or replace(set_aside(assignment, submission, reason), seed=seed)


def _side_by_side(
    tasks: list[Task], places: list[int], count: int, sandbox: bool
) -> Iterator[tuple[int, Graded | None]]:
    """Yield each task as it is done; with None where a worker was killed from outside."""
    # Not fork: kernels are started from threads of the child, and a fork copies no threads.
    context = multiprocessing.get_context("forkserver")
    ahead.begin(sandbox=sandbox)
    # All workers ask one zygote: its imports are paid for once.
    folder = warm().folder if sandbox else None
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(folder,))
    try:
        futures: dict[Future[Graded], int] = {}
        for place in places:
            assignment, submission, seed = tasks[place]
            task = pool.submit(grade, assignment, submission, sandbox=sandbox, seed=seed)
            futures[task] = place
        lost = []
        for task in as_completed(futures):
            try:
                yield futures[task], task.result()
            except BrokenProcessPool:
                lost.append(task)
        yield from ((place, None) for task, place in futures.items() if task in lost)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(zygotes: Path | None) -> None:
    """Use the coordinator's zygotes in this worker, and end when the coordinator is gone."""
    if zygotes is not None:
        share(zygotes)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
