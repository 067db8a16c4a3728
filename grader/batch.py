"""Grade a class: many submissions side by side, one writer."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path

from grader import ahead, launch
from grader.classroom import Classroom
from grader.grade import grade, set_aside
from grader.gradebook import Gradebook
from grader.kernels.warm import share, warm
from grader.model import Assignment, Graded, Submission


def grade_class(
    classroom: Classroom,
    assignment: Assignment,
    students: list[str],
    workers: int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    sandbox: bool = True,
) -> list[Graded]:
    """Grade `students`' submissions of one unit, store each as it comes, return them in order.

    A result that cannot be stored is returned as broken, and the others go on.

    Args:
        workers: submissions at a time; by default one for each core, 0 for none but this process.
        on_graded: called after a submission has been stored.
        sandbox: isolate every submission from this machine and from the others.

    Raises:
        SandboxError: this machine cannot do that; nothing has been graded.
    """
    if sandbox:
        launch.require_sandbox()
    submissions = {student: classroom.submission(student, assignment) for student in students}
    done: dict[str, Graded] = {}
    with Gradebook(classroom) as gradebook:
        for graded in _graded(assignment, list(submissions.values()), workers, sandbox):
            try:
                gradebook.store(assignment, graded)
            except Exception as error:  # a full disk, a file in the way: one student's bad luck
                reason = f"the result could not be stored: {error}"
                graded = set_aside(assignment, submissions[graded.student], reason)
            done[graded.student] = graded
            on_graded(graded)
    return [done[student] for student in students]


def _graded(
    assignment: Assignment, submissions: list[Submission], workers: int | None, sandbox: bool
) -> Iterator[Graded]:
    if workers == 0:
        yield from (grade(assignment, one, sandbox=sandbox) for one in submissions)
        return
    count = min(workers or os.cpu_count() or 1, max(1, len(submissions)))
    waiting = submissions
    while waiting:
        lost = []
        for submission, graded in _side_by_side(assignment, waiting, count, sandbox):
            if graded is None:
                lost.append(submission)
            else:
                yield graded
        # One of those that were under way did it (a pool takes up a few more than it has
        # workers): each of them alone, in a process of its own.
        suspects, waiting = lost[: 2 * count + 1], lost[2 * count + 1 :]
        for suspect in suspects:
            [(_, graded)] = _side_by_side(assignment, [suspect], 1, sandbox)
            yield graded or set_aside(assignment, suspect, "it ended the process that graded it")


def _side_by_side(
    assignment: Assignment, submissions: list[Submission], count: int, sandbox: bool
) -> Iterator[tuple[Submission, Graded | None]]:
    """Yield each submission as it is done; with None where a worker was killed from outside."""
    # Not fork: kernels are started from threads of the child, and a fork copies no threads.
    context = multiprocessing.get_context("forkserver")
    ahead.begin(sandbox=sandbox)
    # All workers ask one zygote: its imports are paid for once.
    folder = warm().folder if sandbox else None
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(folder,))
    try:
        tasks: dict[Future[Graded], Submission] = {
            pool.submit(grade, assignment, one, sandbox=sandbox): one for one in submissions
        }
        lost = []
        for task in as_completed(tasks):
            try:
                yield tasks[task], task.result()
            except BrokenProcessPool:
                lost.append(task)
        yield from ((submission, None) for task, submission in tasks.items() if task in lost)
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
