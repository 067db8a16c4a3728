"""``nbgrader export`` with every field quoted as it must be.

nbgrader's own plugin joins fields with commas as they are: a name with a comma moves the columns,
and one that begins with ``=`` is a formula to the spreadsheet that opens the file.
"""

from __future__ import annotations

import csv
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import CsvExportPlugin

COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)  # nbgrader's
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes


class QuotedCsvExport(CsvExportPlugin):  # type: ignore[misc]  # nbgrader ships no types
    """See the module; the columns and options are nbgrader's."""

    def export(self, gradebook: Gradebook) -> None:
        """Write ``grades.csv``, or the file that nbgrader's option ``--to`` names."""
        with open(self.to or "grades.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for assignment in gradebook.assignments:
                if self.assignment and assignment.name not in self.assignment:
                    continue
                for student in gradebook.students:
                    if not self.student or student.id in self.student:
                        row = _row(gradebook, assignment, student)
                        writer.writerow([_text(row[column]) for column in COLUMNS])


def _row(gradebook: Gradebook, assignment: Any, student: Any) -> dict[str, Any]:
    row = {
        "assignment": assignment.name,
        "duedate": assignment.duedate,
        "student_id": student.id,
        "last_name": student.last_name,
        "first_name": student.first_name,
        "email": student.email,
        "max_score": assignment.max_score,
        "timestamp": None,
        "raw_score": 0.0,
        "late_submission_penalty": 0.0,
        "score": 0.0,
    }
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:  # handed nothing in
        return row
    penalty = submission.late_submission_penalty
    return row | {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
    }


def _text(value: object) -> object:
    """A text that a spreadsheet would compute gets an apostrophe, by which it stays a text."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value
