"""Grade a class: many submissions side by side, one writer."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import OperationalError

from grader.classroom import Classroom
from grader.cluster import Pool, Task, Where
from grader.errors import GraderError
from grader.grade import set_aside
from grader.gradebook import Gradebook
from grader.journal import Attempt, Journal, Kind, Spool, fingerprint
from grader.model import Assignment, Graded, Submission

BATCH = 20  # results that are stored in one transaction
PATIENCE = 2.0  # seconds that one waits for others
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # nobody's result can be stored


def grade_class(
    classroom: Classroom,
    assignment: Assignment,
    students: list[str],
    where: Pool | Where | int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    on_planned: Callable[[int], None] = lambda left: None,
    sandbox: bool = True,
    seeds: Sequence[int] = (0,),
    again: bool = True,
) -> list[Graded]:
    """Grade `students`' submissions of one unit, store each as it comes, return them in order.

    What an earlier call has begun and not stored is stored first. A result that cannot be stored
    is returned as broken, and the others go on.

    Args:
        where: see `grader.cluster`; a number is so many processes of this machine, 0 none but this.
        on_graded: called when a result is known and cannot be lost any more.
        on_planned: told how many are left to grade, before the first.
        sandbox: isolate every submission from this machine and from the others.
        seeds: of random numbers, the same for all: equal work earns equal marks. With several,
            each submission is graded with each; the first counts, and tests that do not agree
            are named in a note.
        again: also what has been graded as it is; otherwise its last result is returned.

    Raises:
        SandboxError, ClusterError: that cannot be done, or not any longer.
        GraderError: somebody else grades this class; or no result can be stored, of a full disk
            or a locked database: what was graded is not lost.
    """
    submissions = _submissions(classroom, assignment, students)
    with _pool(where, sandbox) as pool, _opened(classroom) as (journal, gradebook):
        store = Store(journal, gradebook, Spool(classroom.private), assignment)
        done = store.recover()
        if not again:
            latest = journal.latest(assignment.unit)
            for student, submission in submissions.items():
                last = latest.get(student)
                if last is not None and last.is_done and last.input == fingerprint(submission):
                    done[student] = Graded.from_dict(last.graded or {})
        left = [one for one in submissions.values() if again or one.student not in done]
        on_planned(len(left))
        attempts = Attempts(journal, pool, assignment, left, seeds, _options(seeds, sandbox))
        try:
            for place, graded in pool.grade(attempts):
                done |= store.keep(attempts.begun[place], left[place], graded)
                on_graded(done[graded.student])
        finally:
            done |= store.flush()
    return [done[student] for student in students]


def _submissions(
    classroom: Classroom, assignment: Assignment, students: list[str]
) -> dict[str, Submission]:
    known = classroom.receipts(assignment.unit)
    return {student: classroom.submission(student, assignment, known) for student in students}


def _options(seeds: Sequence[int], sandbox: bool) -> dict[str, Any]:
    """Return what is written of how an attempt was graded."""
    return {"seeds": list(seeds), "sandbox": sandbox}


class Attempts:
    """Tasks for a pool, each of which is in the journal before it is given out.

    Attributes:
        begun: numbers of the attempts, by the place of their task.
    """

    def __init__(
        self,
        journal: Journal,
        pool: Pool,
        assignment: Assignment,
        submissions: Sequence[Submission],
        seeds: Sequence[int],
        options: dict[str, Any],
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._assignment = assignment
        self._submissions = submissions
        self._seeds = seeds
        self._options = options
        self.begun: list[int] = []

    def __iter__(self) -> Iterator[Task]:
        if not self._submissions:
            return
        number = self._journal.run(self._pool.slots(self._assignment))
        version = fingerprint(self._assignment)
        unit = self._assignment.unit
        while len(self.begun) < len(self._submissions):
            # One transaction for as many as are soon under way: there may be more workers by now.
            first, count = len(self.begun), self._pool.slots(self._assignment)
            some = self._submissions[first : first + count]
            self.begun += self._journal.begin(number, unit, version, some, self._options)
            yield from ((self._assignment, one, self._seeds) for one in some)


@contextlib.contextmanager
def _pool(where: Pool | Where | int | None, sandbox: bool) -> Iterator[Pool]:
    """Use a pool of somebody's, or one for this alone."""
    if isinstance(where, Pool):
        yield where
        return
    with Pool(where, sandbox=sandbox) as pool:
        yield pool


@contextlib.contextmanager
def _opened(classroom: Classroom) -> Iterator[tuple[Journal, Gradebook]]:
    """Open what is written to; nobody else writes meanwhile."""
    try:
        with Journal(classroom) as journal, journal.writing(), Gradebook(classroom) as gradebook:
            yield journal, gradebook
    except OperationalError as error:
        raise _stopped(error) from error
    except OSError as error:
        if error.errno in FULL:
            raise _stopped(error) from error
        raise


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
    where: Pool | Where | int | None = None,
    on_graded: Callable[[Graded], None] = lambda graded: None,
    *,
    on_planned: Callable[[int], None] = lambda left: None,
    agrees: Callable[[list[Change]], bool],
    sandbox: bool = True,
    seeds: Sequence[int] = (0,),
) -> list[Change]:
    """Grade once more what has been graded, and store it if somebody `agrees`.

    Stopped before that, it goes on when it is called again, and nothing has changed meanwhile.

    Args:
        agrees: is shown what would change. Where nothing would, nobody is asked.
        where, on_graded, on_planned, sandbox, seeds: see `grade_class`.

    Raises:
        SandboxError, ClusterError, GraderError: see `grade_class`.
    """
    submissions = _submissions(classroom, assignment, students)
    with _pool(where, sandbox) as pool, _opened(classroom) as (journal, gradebook):
        store = Store(journal, gradebook, Spool(classroom.private), assignment)
        store.recover()
        before = journal.latest(assignment.unit)
        version, options = fingerprint(assignment), _options(seeds, sandbox)
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
        on_planned(len(left))
        attempts = Attempts(journal, pool, assignment, left, seeds, options)
        for place, graded in pool.grade(attempts):
            try:
                spool.save(attempts.begun[place], graded)
            except OSError as error:
                raise _stopped(error) from error
            results[graded.student] = (attempts.begun[place], graded)
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
        rows = [(attempt, graded, _kind(graded)) for attempt, _, graded in some]
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


def _kind(graded: Graded) -> Kind:
    return Kind.ASIDE if graded.aside else Kind.GRADED


def _stopped(error: Exception) -> GraderError:
    reason = str(getattr(error, "orig", error))
    return GraderError(
        f"results cannot be stored: {reason}\n"
        "Nothing is lost that was stored. Put that right, and run it again: it goes on."
    )
