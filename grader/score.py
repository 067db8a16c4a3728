"""Executed notebook -> verdicts. No kernel, no disk.

Points are paid for proof that a test cell ran to its end, never for the absence of an error.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from nbformat import NotebookNode
from nbgrader.utils import compute_checksum, is_grade, is_solution, is_task

from grader.clean import grade_id
from grader.model import CellResult, Verdict
from grader.proof import LIMITS, Proof, note

ASSERTIONS = ("AssertionError", "CheckFailed")


def results(name: str, notebook: NotebookNode) -> tuple[CellResult, ...]:
    """Return the verdict on each graded cell of the executed `notebook`, in order."""
    stopped: dict[str, str] = {}  # answer cells that ended in an error: {name: error}
    answers = {grade_id(cell) for cell in notebook.cells if is_solution(cell)}
    found = []
    for cell in notebook.cells:
        if is_grade(cell) or is_task(cell):
            found.append(replace(_result(name, cell, stopped), exercise=exercise_of(cell, answers)))
        if cell.cell_type == "code" and is_solution(cell) and _proof(cell) is not Proof.OK:
            stopped[grade_id(cell)] = _error(cell) or str(_proof(cell))
    return tuple(found)


def unanswered(notebook: NotebookNode) -> tuple[str, ...]:
    """Return the names of answer cells whose text is as it was released."""
    return tuple(
        grade_id(cell) for cell in notebook.cells if is_solution(cell) and _is_untouched(cell)
    )


def limits(notebook: NotebookNode) -> list[str]:
    """Return a note for each cell of the executed `notebook` that met a limit."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and _proof(cell) in LIMITS:
            name = grade_id(cell) or "a cell that carries no mark"
            found.append(note(_proof(cell), name, _error(cell)))
    return found


def blank(
    name: str, notebook: NotebookNode, verdict: Verdict, reason: str
) -> tuple[CellResult, ...]:
    """Return `verdict` for every graded cell: nothing of the submission could be run.

    What is the grader's fault waits for a person; what is the submission's earns zero.
    """
    points = None if verdict is Verdict.BROKEN else 0.0
    answers = {grade_id(cell) for cell in notebook.cells if is_solution(cell)}
    return tuple(
        CellResult(
            notebook=name,
            grade_id=grade_id(cell),
            points=points,
            max_points=float(cell.metadata.nbgrader.points),
            verdict=verdict,
            message=reason,
            exercise=exercise_of(cell, answers),
        )
        for cell in notebook.cells
        if is_grade(cell) or is_task(cell)
    )


def settle(notebook: NotebookNode) -> NotebookNode:
    """Change the outputs of test cells in place so that nbgrader's own reading agrees with ours.

    nbgrader fails a cell for anything on stderr and for any error output, also one that was
    caught, and pays the first number that a cell echoes.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code" or not is_grade(cell) or is_solution(cell):
            continue
        # Where there is no proof, the engine has put an error output there.
        is_ok = _proof(cell) is Proof.OK
        value, problem = _returned(cell) if is_ok else (None, "")
        last = next((o for o in cell.outputs[::-1] if o.output_type == "execute_result"), None)
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream":
                output.name = "stdout"
            elif output.output_type == "error" and is_ok:
                text = "\n".join(output.get("traceback") or [output.get("ename", "")])
                output = NotebookNode(output_type="stream", name="stdout", text=text)
            elif output.output_type == "execute_result" and (value is None or output is not last):
                output = NotebookNode(
                    output_type="display_data", data=output.data, metadata=output.metadata
                )
            elif output.output_type == "execute_result":
                output.data["text/plain"] = repr(value)
            outputs.append(output)
        if problem:
            outputs.append(
                NotebookNode(
                    output_type="error", ename="BrokenTest", evalue=problem, traceback=[problem]
                )
            )
        cell.outputs = outputs
    return notebook


def exercise_of(cell: NotebookNode, answers: set[str]) -> str:
    """Return the answer cell that a test named ``answer-part`` belongs to, if there is one."""
    exercise, _, _ = grade_id(cell).rpartition("-")
    return exercise if exercise in answers else ""


# ---- one cell -------------------------------------------------------------------------------


def _result(name: str, cell: NotebookNode, stopped: dict[str, str]) -> CellResult:
    maximum = float(cell.metadata.nbgrader.points)
    seconds = float(cell.metadata.get("judged", {}).get("seconds", 0.0))
    points: float | None = None
    verdict, message, silent = Verdict.MANUAL, "", False
    if is_solution(cell) and _is_untouched(cell):
        points, verdict, message, silent = 0.0, Verdict.FAILED, "No response.", True
    elif cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
        points, verdict, message = _tested(cell, maximum, stopped)
    return CellResult(
        name,
        grade_id(cell),
        points,
        maximum,
        verdict,
        seconds,
        message,
        no_response=silent,
        misconceptions=tuple(cell.metadata.get("explained", ())),
    )


def _tested(
    cell: NotebookNode, maximum: float, stopped: dict[str, str]
) -> tuple[float | None, Verdict, str]:
    proof = _proof(cell)
    if proof is Proof.NOT_RUN:
        return 0.0, Verdict.NOT_RUN, f"not run: {_error(cell)}"
    if proof is Proof.ERROR:
        if _error(cell).startswith(("SyntaxError", "IndentationError")) and not _parses(
            cell.source
        ):
            return None, Verdict.BROKEN, "the test cell itself is not Python"
        return 0.0, Verdict.FAILED, _explain(_error(cell), stopped)
    if proof is not Proof.OK:
        return 0.0, Verdict.FAILED, f"{proof}: {_error(cell)}"
    value, problem = _returned(cell)
    if problem:
        return None, Verdict.BROKEN, problem
    points = maximum if value is None else value
    if points < maximum:
        return points, Verdict.FAILED, f"{points:g} of {maximum:g} points"
    return points, Verdict.PASSED, ""


def _returned(cell: NotebookNode) -> tuple[float | None, str]:
    """Return the number that a test cell returns (partial credit), and what is wrong with it.

    Only the value of the cell's own last expression counts: a number that was printed, displayed
    or echoed by the student's code is none of it.
    """
    values = [output for output in cell.outputs if output.output_type == "execute_result"]
    if not values or not _ends_in_expression(cell.source):
        return None, ""
    text = values[-1].get("data", {}).get("text/plain", "")
    # NumPy 2 writes np.float64(0.5), torch writes tensor(0.5, dtype=torch.float64)
    match = re.fullmatch(r"(?:np\.\w+|array|tensor)\(([^,]+)(?:, .*)?\)", str(text).strip())
    try:
        value = float(match.group(1) if match else text)
    except (ValueError, TypeError):
        return None, ""  # nbgrader: any other value means full marks
    maximum = float(cell.metadata.nbgrader.points)
    if not 0 <= value <= maximum:
        return None, f"the test returned {value:g}, which is not within its {maximum:g} points"
    return value, ""


def _ends_in_expression(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return True  # an IPython magic: leave the decision to IPython
    return bool(body) and isinstance(body[-1], ast.Expr)


def _explain(error: str, stopped: dict[str, str]) -> str:
    kind, _, text = error.partition(": ")
    if kind in ASSERTIONS:
        return text or "an assert failed"
    if kind == "NotImplementedError":
        return text or "not written yet"
    missing = re.fullmatch(r"name '(\w+)' is not defined", text.split(". ")[0])
    if kind == "NameError" and missing and stopped:
        name = missing.group(1)
        cell = name if name in stopped else next(iter(stopped))
        return f"{name} is not defined: the cell {cell} stopped with {stopped[cell]}"
    return error


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _proof(cell: NotebookNode) -> Proof:
    return Proof(cell.metadata.get("judged", {}).get("status", Proof.NOT_RUN))


def _error(cell: NotebookNode) -> str:
    return str(cell.metadata.get("judged", {}).get("error", ""))


def _is_untouched(cell: NotebookNode) -> bool:
    checksum = cell.metadata.nbgrader.get("checksum")
    return bool(checksum) and checksum == compute_checksum(cell)
