"""Runs of lessons as JUnit XML, which every CI system reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

from junitparser import Failure, JUnitXml, TestCase, TestSuite

from grader.reference import Run

# XML has no way to write these; a traceback can hold any.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def report(runs: Iterable[Run]) -> JUnitXml:
    """Return one suite a unit: a case for the notebook, and one for each cell that failed.

    The notebook's case is there in every run under the same name, so that its history can be
    followed; a cell's says in which line of which file to look.
    """
    document = JUnitXml("grader run")
    for run in runs:
        suite = TestSuite(run.unit)
        case = TestCase(f"{run.notebook}.ipynb", run.unit, round(run.seconds, 3))
        if run.unchanged:
            case.system_out = "unchanged: not run again"
        if not run.passed:
            case.result = [_failure(run.summary, "")]
        suite.add_testcase(case)
        for cell in run.failed:
            one = TestCase(f"{run.notebook}.ipynb: {cell.name}", run.unit)
            text = f"{cell.place}\n\n{cell.source}\n\n{cell.traceback}"
            one.result = [_failure(f"{cell.status}: {cell.error}", text)]
            suite.add_testcase(one)
        document.add_testsuite(suite)
    return document


def _failure(message: str, text: str) -> Failure:
    failure = Failure(UNWRITABLE.sub("\ufffd", message))
    failure.text = UNWRITABLE.sub("\ufffd", text)
    return failure
