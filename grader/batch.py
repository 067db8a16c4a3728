"""Grade a class: many submissions side by side, one writer."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path

from sqlalchemy.exc import OperationalError

from grader import ahead, launch
from grader.classroom import Classroom
from grader.errors import GraderError
from grader.grade import grade_with, set_aside
from grader.gradebook import Gradebook
from grader.journal import Attempt, Journal, Kind, Spool, fingerprint
from grader.kernels.warm import share, warm
from grader.model import Assignment, Graded, Submission

BATCH = 20  # results that are stored in one transaction
PATIENCE = 2.0  # seconds that one waits for others
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # nobody's result can be stored

Task = tuple[Assignment, Submission, Sequence[int]]  # the last: seeds


def grade_class(
    classroom: Classroom,
    assignment: Assignment,
    students: list[str],
    workers: int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    sandbox: bool = True,
    seeds: Sequence[int] = (0,),
    again: bool = True,
) -> list[Graded]:
    """Grade `students`' submissions of one unit, store each as it comes, return them in order.

    What an earlier call has begun and not stored is stored first. A result that cannot be stored
    is returned as broken, and the others go on.

    Args:
        workers: submissions at a time; by default one for each core, 0 for none but this process.
        on_graded: called when a result is known and cannot be lost any more.
        sandbox: isolate every submission from this machine and from the others.
        seeds: of random numbers, the same for all: equal work earns equal marks. With several,
            each submission is graded with each; the first counts, and tests that do not agree
            are named in a note.
        again: also what has been graded as it is; otherwise its last result is returned.

    Raises:
        SandboxError: this machine cannot do that; nothing has been graded.
        GraderError: somebody else grades this class; or no result can be stored, of a full disk
            or a locked database: what was graded is not lost.
    """
    if sandbox:
        launch.require_sandbox()
    submissions = {student: classroom.submission(student, assignment) for student in students}
    with _opened(classroom) as (journal, gradebook):
        store = Store(journal, gradebook, Spool(classroom.private), assignment)
        done = store.recover()
        if not again:
            latest = journal.latest(assignment.unit)
            for student, submission in submissions.items():
                last = latest.get(student)
                if last is not None and last.is_done and last.input == fingerprint(submission):
                    done[student] = Graded.from_dict(last.graded or {})
        left = [one for one in submissions.values() if again or one.student not in done]
        begun: list[int] = []

        def tasks() -> Iterator[Task]:
            slots = workers or os.cpu_count() or 1
            number = journal.run(slots)
            options = {"seeds": list(seeds), "sandbox": sandbox}
            for first in range(0, len(left), 2 * slots):
                some = left[first : first + 2 * slots]
                begun.extend(journal.begin(number, assignment, some, options))
                yield from ((assignment, one, seeds) for one in some)

        try:
            for place, graded in run(tasks(), workers, sandbox=sandbox):
                done |= store.keep(begun[place], left[place], graded)
                on_graded(done[graded.student])
        finally:
            done |= store.flush()
    return [done[student] for student in students]


@contextlib.contextmanager
def _opened(classroom: Classroom) -> Iterator[tuple[Journal, Gradebook]]:
    """Open what is written to; nobody else writes meanwhile."""
    try:
        with Journal(classroom) as journal, journal.writing(), Gradebook(classroom) as gradebook:
            yield journal, gradebook
    except OperationalError as error:
        raise _stopped(error) from error


@dataclass(frozen=True)
class Change:
    """What a regrade changes in one student's marks of one cell.

    Attributes:
        before, after: points; None where the cell was not there, or waits for a person.
        said_before, says_now: what the student is told.
        why: what is not as it was when it was graded before.
    """

    student: str
    cell: str
    before: float | None
    after: float | None
    said_before: str
    says_now: str
    why: str


def regrade(
    classroom: Classroom,
    assignment: Assignment,
    students: list[str],
    workers: int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    agrees: Callable[[list[Change]], bool],
    sandbox: bool = True,
    seeds: Sequence[int] = (0,),
) -> list[Change]:
    """Grade once more what has been graded, and store it if somebody `agrees`.

    Stopped before that, it goes on when it is called again, and nothing has changed meanwhile.

    Args:
        agrees: is shown what would change. Where nothing would, nobody is asked.
        workers, on_graded, sandbox, seeds: see `grade_class`.

    Raises:
        SandboxError, GraderError: see `grade_class`.
    """
    if sandbox:
        launch.require_sandbox()
    submissions = {student: classroom.submission(student, assignment) for student in students}
    with _opened(classroom) as (journal, gradebook):
        store = Store(journal, gradebook, Spool(classroom.private), assignment)
        store.recover()
        before = journal.latest(assignment.unit)
        version, options = fingerprint(assignment), {"seeds": list(seeds), "sandbox": sandbox}
        spool = Spool(classroom.private, "regraded")
        results: dict[str, tuple[int, Graded]] = {}
        for one in journal.find(spool.attempts()):
            known = spool.load(one.id)
            mine = submissions.get(one.student)
            now = (version, options, mine and fingerprint(mine))
            if known is not None and (one.version, one.options, one.input) == now:
                results[one.student] = (one.id, known)
            elif one.unit == assignment.unit:
                spool.drop(one.id)
        left = [one for name, one in submissions.items() if name in before and name not in results]
        begun: list[int] = []

        def tasks() -> Iterator[Task]:
            number = journal.run(workers or os.cpu_count() or 1)
            for one in left:
                begun.extend(journal.begin(number, assignment, [one], options))
                yield assignment, one, seeds

        for place, graded in run(tasks(), workers, sandbox=sandbox):
            try:
                spool.save(begun[place], graded)
            except OSError as error:
                raise _stopped(error) from error
            results[graded.student] = (begun[place], graded)
            on_graded(graded)

        def why(student: str) -> str:
            was = before[student]
            reasons = {
                "handed in anew": was.input != fingerprint(submissions[student]),
                "the unit has changed": was.version != version,
                "other options": was.options != options,
            }
            found = [reason for reason, holds in reasons.items() if holds]
            return " and ".join(found) or f"chance, or the machine (it was {was.machine})"

        changes = [
            change
            for student in sorted(results)
            for change in _changes(before[student], results[student][1], why(student))
        ]
        if not changes or agrees(changes):
            for attempt, _ in results.values():  # all of them, as good as at once
                spool.give(attempt, store.spool)
            store.recover()
        else:
            for attempt, graded in results.values():
                journal.end_alone(attempt, graded, Kind.DECLINED)
                spool.drop(attempt)
    return changes


def _changes(before: Attempt, after: Graded, why: str) -> Iterator[Change]:
    old = {cell["grade_id"]: cell for cell in (before.graded or {}).get("cells", ())}
    new = {cell.grade_id: cell for cell in after.cells}
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        earlier, later = was["points"] if was else None, now.points if now else None
        if earlier != later or (was is None) != (now is None):
            said, says = was["message"] if was else "", now.message if now else ""
            yield Change(after.student, name, earlier, later, said, says, why)


class Store:
    """Stores results of one unit, many at a time; none that it was given is lost."""

    def __init__(
        self, journal: Journal, gradebook: Gradebook, spool: Spool, assignment: Assignment
    ) -> None:
        self._journal = journal
        self._gradebook = gradebook
        self.spool = spool
        self._assignment = assignment
        self._waiting: list[tuple[int, Submission, Graded]] = []
        self._since = time.monotonic()

    def recover(self) -> dict[str, Graded]:
        """Store what was known when an earlier run was stopped; return it by student."""
        version = fingerprint(self._assignment)
        for attempt in self._journal.find(self.spool.attempts()):
            if attempt.unit != self._assignment.unit:
                continue
            graded = self.spool.load(attempt.id)
            if graded is None or attempt.version != version:
                self.spool.drop(attempt.id)  # without an outcome it is graded again
                continue
            self._waiting.append(
                (attempt.id, Submission(attempt.student, attempt.unit, ()), graded)
            )
        known = {graded.student: graded for _, _, graded in self._waiting}
        return known | self.flush()

    def keep(self, attempt: int, submission: Submission, graded: Graded) -> dict[str, Graded]:
        """Make sure that `graded` is not lost; return by student what has become of results.

        Raises:
            GraderError: nothing can be stored.
        """
        try:
            self.spool.save(attempt, graded)
        except OSError as error:
            raise _stopped(error) from error
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append((attempt, submission, graded))
        full = len(self._waiting) >= BATCH or time.monotonic() - self._since > PATIENCE
        return {graded.student: graded} | (self.flush() if full else {})

    def flush(self) -> dict[str, Graded]:
        """Store all that waits; return those that could not be, by student.

        Raises:
            GraderError: nothing can be stored.
        """
        some, self._waiting = self._waiting, []
        if not some:
            return {}
        try:
            self._store(some)
            return {}
        except Exception:  # one of them is at fault, or all
            return {name: one for each in some for name, one in self._alone(*each).items()}

    def _store(self, some: list[tuple[int, Submission, Graded]]) -> None:
        rows = [(attempt, graded, Kind.GRADED) for attempt, _, graded in some]
        self._gradebook.store(
            self._assignment,
            *(graded for _, _, graded in some),
            also=lambda connection: self._journal.end(rows, connection),
        )
        for attempt, _, _ in some:
            self.spool.drop(attempt)

    def _alone(self, attempt: int, submission: Submission, graded: Graded) -> dict[str, Graded]:
        try:
            self._store([(attempt, submission, graded)])
            return {}
        except Exception as error:
            if isinstance(error, OperationalError) or getattr(error, "errno", None) in FULL:
                raise _stopped(error) from error
            # A file in the way: one student's bad luck.
            reason = f"the result could not be stored: {error}"
            broken = set_aside(self._assignment, submission, reason)
            self._journal.end_alone(attempt, broken, Kind.GRADED)
            self.spool.drop(attempt)
            return {broken.student: broken}


def _stopped(error: Exception) -> GraderError:
    reason = str(getattr(error, "orig", error))
    return GraderError(
        f"results cannot be stored: {reason}\n"
        "Nothing is lost that was stored. Put that right, and run it again: it goes on."
    )


def run(
    tasks: Iterable[Task], workers: int | None = None, *, sandbox: bool = True
) -> Iterator[tuple[int, Graded]]:
    """Grade `tasks` side by side; yield (its place, outcome) of each as it is done.

    A task is taken when there is soon a worker for it.

    Args:
        workers: see `grade_class`.

    Raises:
        SandboxError: this machine cannot isolate kernels.
    """
    if sandbox:
        launch.require_sandbox()
    numbered = enumerate(tasks)
    if workers == 0:
        for place, (assignment, submission, seeds) in numbered:
            yield place, grade_with(assignment, submission, sandbox=sandbox, seeds=seeds)
        return
    count = workers or os.cpu_count() or 1
    while True:
        lost: list[tuple[int, Task]] = []
        for place, task, graded in _side_by_side(numbered, count, sandbox):
            if graded is None:
                lost.append((place, task))
            else:
                yield place, graded
        if not lost:
            return
        # One of those that were under way did it (a pool takes up a few more than it has
        # workers): each of them alone, in a process of its own.
        for suspect in lost:
            [(place, task, graded)] = _side_by_side(iter([suspect]), 1, sandbox)
            assignment, submission, seeds = task
            reason = "it ended the process that graded it"
            yield place, graded or replace(set_aside(assignment, submission, reason), seed=seeds[0])


def _side_by_side(
    numbered: Iterator[tuple[int, Task]], count: int, sandbox: bool
) -> Iterator[tuple[int, Task, Graded | None]]:
    """Yield each task as it is done; with None where a worker was killed, and then no more."""
    # Not fork: kernels are started from threads of the child, and a fork copies no threads.
    context = multiprocessing.get_context("forkserver")
    ahead.begin(sandbox=sandbox)
    # All workers ask one zygote: its imports are paid for once.
    folder = warm().folder if sandbox else None
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(folder,))
    try:
        waiting: dict[Future[Graded], tuple[int, Task]] = {}
        lost: list[tuple[int, Task]] = []
        while True:
            while not lost and len(waiting) < 2 * count:
                one = next(numbered, None)
                if one is None:
                    break
                assignment, submission, seeds = one[1]
                try:
                    future = pool.submit(
                        grade_with, assignment, submission, sandbox=sandbox, seeds=seeds
                    )
                except BrokenProcessPool:
                    lost.append(one)
                    break
                waiting[future] = one
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                place, task = waiting.pop(future)
                try:
                    yield place, task, future.result()
                except BrokenProcessPool:
                    lost.append((place, task))
        yield from ((place, task, None) for place, task in lost)
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
