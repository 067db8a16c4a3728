"""Everything that the grader raises on purpose.

    GraderError                 what a person did or gave cannot be worked with; no traceback
    ├── UsageError              a name, a path or an option that does not exist
    ├── LessonError             a mistake in a lesson's source: file, line, advice
    ├── AssignmentError         an nbgrader source folder that nbgrader itself refuses
    ├── SubmissionError         a submitted file that cannot be read (becomes a stored verdict)
    ├── SandboxError            this machine cannot isolate a kernel; says what is missing
    ├── DeviceError             no GPU, or one that is not empty: grade it elsewhere, or later
    └── ClusterError            there are no workers, or they cannot be reached

`grader.check.CheckFailed` stands apart: it is a student's, and `check` imports nothing of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class GraderError(Exception):
    """Base of all errors that the command line shows as one message and exit code 2."""


class UsageError(GraderError):
    """A unit, file or option that was named does not exist."""


class LessonError(GraderError):
    """A mistake in a lesson's source.

    Args:
        path: the lesson's file.
        line: 1-based line of the cell or key at fault.
        problem: what is wrong.
        advice: what to write instead.
    """

    def __init__(self, path: Path, line: int, problem: str, advice: str = "") -> None:
        self.path = path
        self.line = line
        self.problem = problem
        self.advice = advice
        super().__init__(f"{path}:{line}: {problem}" + (f"\n    {advice}" if advice else ""))


class AssignmentError(GraderError):
    """nbgrader could not make an assignment of a source folder."""


class SubmissionError(GraderError):
    """A submitted file cannot be read; the message is the reason that the student is given."""


class SandboxError(GraderError):
    """A kernel cannot be isolated here, and nobody has typed that it need not be."""


class DeviceError(GraderError):
    """A GPU that is needed is not there, does not answer, or holds what is somebody else's.

    Nothing is known of the submission: another slot can grade it, or this one later.
    """


class ClusterError(GraderError):
    """There is nobody who grades: no scheduler, no worker, or none that may."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``' Did you mean X?'`` for the known word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
