"""Rebuild a runnable notebook: the source's cells, the student's answers, nothing else.

Of the student's file only text is taken: that of answer cells, of cells that were never locked,
and of cells that the student added, in place. Tags, metadata, outputs, test cells and everything
else come from the source.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

from grader import names
from grader.errors import SubmissionError
from grader.model import SourceNotebook

MAX_FILE = 50_000_000  # bytes; a notebook with many pictures has a few million
MAX_CELLS = 5_000  # a long lesson has two hundred
MAX_TEXT = 3_000_000  # characters of source in all cells
MAX_COMMAS = 6_000_000  # about as many values has the JSON; each takes 100 bytes once it is read
MAX_CELL = 500_000  # characters of source in one cell
MAX_ATTACHMENTS = 8_000_000  # bytes of pictures that a student may attach to written answers
MAX_NOTES = 20
PICTURES = ("image/png", "image/jpeg")


@dataclass(frozen=True)
class Theirs:
    """What is taken from one cell of the student's file."""

    kind: str
    text: str
    id: str
    grade_id: str
    attachments: tuple[tuple[str, str, str], ...] = ()  # (name, type, base64)


ARCHIVES = (b"PK", b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ")  # how they begin
KINDS = ("code", "markdown", "raw")


def read(content: bytes) -> tuple[list[Theirs], list[str]]:
    """Return the cells of a submitted file and notes on what was odd.

    Raises:
        SubmissionError: it is not a notebook; the message says why.
    """
    if len(content) > MAX_FILE:
        raise SubmissionError(
            f"the file has more than {MAX_FILE:,} bytes, and no more are read: clear the outputs"
        )
    if not content.strip():
        raise SubmissionError("the file is empty")
    if content.startswith(ARCHIVES):
        raise SubmissionError("an archive, not a notebook: the notebook itself is to be handed in")
    if content.count(b",") > MAX_COMMAS:
        raise SubmissionError("the file has too many values to be a notebook: clear the outputs")
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SubmissionError(f"not a notebook: byte {error.start} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise SubmissionError(
            f"not a notebook: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (RecursionError, ValueError):
        raise SubmissionError("not a notebook: its JSON is nested or written too wildly") from None
    if not isinstance(document, dict):
        raise SubmissionError("not a notebook: there is JSON in it, but no cells")
    notes: list[str] = []
    cells = document.get("cells")
    if cells is None and document.get("worksheets") is not None:
        notes.append("written in notebook format 3; converted")
        cells = _format_3(document)
    if not isinstance(cells, list):
        raise SubmissionError("not a notebook: it has no list of cells")
    if len(cells) > MAX_CELLS:
        raise SubmissionError(f"the file has {len(cells):,} cells; at most {MAX_CELLS:,} are read")
    room = [MAX_ATTACHMENTS]
    found = [_theirs(cell, notes, room) for cell in cells]
    left = MAX_TEXT
    for place, one in enumerate(found):
        left -= len(one.text) if one is not None else 0
        if left < 0:
            found[place] = None
            notes.append(f"the cells have more than {MAX_TEXT:,} characters; the last were dropped")
    notes = [writable(note) for note in dict.fromkeys(notes)]
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"and {len(notes) - MAX_NOTES:,} remarks more"]
    return [cell for cell in found if cell is not None], notes


def writable(text: str) -> str:
    """Return `text` without lone surrogates and NULs: they can stand in JSON, but in no file."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _format_3(document: dict[str, Any]) -> object:
    try:
        document = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}} | document
        notebook = nbformat.from_dict(document)
        return nbformat.convert(notebook, 4).cells
    except Exception:  # a converter on a stranger's bytes: whatever it raises means the same
        raise SubmissionError("not a notebook: format 3, and it cannot be converted") from None


def _theirs(cell: object, notes: list[str], room: list[int]) -> Theirs | None:
    if not isinstance(cell, dict):
        notes.append("something that is not a cell was dropped")
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        notes.append("a cell without text was dropped")
        return None
    if len(source) > MAX_CELL:
        notes.append(f"a cell of {len(source):,} characters was dropped; {MAX_CELL:,} are read")
        return None
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    identity = cell.get("id")
    kind = cell.get("cell_type")
    return Theirs(
        kind=kind if isinstance(kind, str) else "",
        text=writable(source),
        id=identity if isinstance(identity, str) else "",
        grade_id=grade_id if isinstance(grade_id, str) else "",
        attachments=tuple(_attachments(cell.get("attachments"), notes, room)),
    )


def _attachments(
    attachments: object, notes: list[str], room: list[int]
) -> list[tuple[str, str, str]]:
    kept = []
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        for kind, text in data.items() if isinstance(data, dict) else ():
            if kind not in PICTURES or not isinstance(text, str) or len(text) > room[0]:
                named = "".join(c for c in kind[:40] if c.isprintable())
                notes.append(f"an attachment of type {named} was dropped")
                continue
            try:
                base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                notes.append("an attachment that is no picture was dropped")
                continue
            room[0] -= len(text)
            kept.append((writable(name), kind, text))
    return kept


# ---- putting it together --------------------------------------------------------------------


def clean(source: SourceNotebook, content: bytes) -> tuple[NotebookNode, list[str]]:
    """Return the notebook that is run for a submitted file, and notes for student and teacher.

    Raises:
        SubmissionError: the file cannot be read.
    """
    theirs, notes = read(content)
    sealed = nbformat.reads(source.sealed, as_version=4)
    released = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in nbformat.reads(source.released, as_version=4).cells
        if grade_id(cell)
    }
    matched, free = _match(sealed.cells, theirs, released)
    has_ids = any(cell.id and cell.id in {s.get("id") for s in sealed.cells} for cell in theirs)
    cells = [_free(cell, f"free-{n}") for n, cell in free.get(-1, [])]
    for index, ours in enumerate(sealed.cells):
        answer = matched.get(index)
        cell = _merge(ours, answer, released, has_ids, notes)
        if cell is not None:
            cells.append(cell)
        cells += [_free(added, f"free-{n}") for n, added in free.get(index, [])]
    sealed.cells = cells
    return sealed, notes


def grade_id(cell: NotebookNode) -> str:
    """Return the cell's nbgrader name; empty where nbgrader has no part in it."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def is_locked(cell: NotebookNode) -> bool:
    """Whether the source's text of this cell holds, whatever the student wrote."""
    role = cell.metadata.get("nbgrader", {})
    if not role or role.get("solution"):
        return False
    return bool(role.get("grade") or role.get("locked") or role.get("task"))


def _match(
    sealed: list[NotebookNode], theirs: list[Theirs], released: dict[str, str]
) -> tuple[dict[int, Theirs], dict[int, list[tuple[int, Theirs]]]]:
    """Return {index of ours: theirs} and {index of ours that it follows: added cells}."""
    targets = _targets(sealed, theirs, released)
    candidates: dict[int, list[int]] = {}
    for position, index in enumerate(targets):
        if index is not None:
            candidates.setdefault(index, []).append(position)
    chosen = {
        index: _original(sealed[index], positions, theirs, released)
        for index, positions in candidates.items()
    }
    free: dict[int, list[tuple[int, Theirs]]] = {}
    anchor = -1
    for position, (cell, index) in enumerate(zip(theirs, targets, strict=True)):
        if index is not None and chosen[index] == position:
            anchor = index
        elif cell.kind in ("code", "markdown"):
            free.setdefault(anchor, []).append((position, cell))
    return {index: theirs[position] for index, position in chosen.items()}, free


def _targets(
    sealed: list[NotebookNode], theirs: list[Theirs], released: dict[str, str]
) -> list[int | None]:
    """Return for each of their cells the index of ours that it claims to be.

    By id, by nbgrader's name, by text (the second of two equal cells is the second of ours too),
    and at last by what it defines: the only cell that defines what an answer must define is it.
    """
    by_id = {cell.get("id"): i for i, cell in enumerate(sealed) if cell.get("id")}
    by_name = {grade_id(cell): i for i, cell in enumerate(sealed) if grade_id(cell)}
    targets = [by_id.get(cell.id, by_name.get(cell.grade_id)) for cell in theirs]
    left = [i for i in range(len(sealed)) if i not in targets]
    by_text: dict[tuple[str, str], list[int]] = {}
    for i in left:
        text = released.get(grade_id(sealed[i]), sealed[i].source)
        by_text.setdefault((sealed[i].cell_type, text.strip()), []).append(i)
    for position, cell in enumerate(theirs):
        if targets[position] is None:
            same = by_text.get((cell.kind, cell.text.strip()))
            targets[position] = same.pop(0) if same else None
    free = [
        (position, _defined(cell.text))
        for position, cell in enumerate(theirs)
        if targets[position] is None and cell.kind == "code"
    ]
    for i in left:
        wanted = _defined(released.get(grade_id(sealed[i]), ""))
        if i in targets or is_locked(sealed[i]) or sealed[i].cell_type != "code" or not wanted:
            continue
        found = [position for position, defined in free if wanted <= defined]
        if len(found) == 1:
            targets[found[0]] = i
    return targets


def _defined(source: str) -> set[str]:
    try:
        return names.bound(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a student's, not yet Python
        return set()


def _original(
    ours: NotebookNode, positions: list[int], theirs: list[Theirs], released: dict[str, str]
) -> int:
    """Of several cells that claim to be `ours`, return the one that is; the others are copies."""
    exact = [p for p in positions if theirs[p].id and theirs[p].id == ours.get("id")]
    if is_locked(ours):
        return (exact or positions)[-1]
    untouched = released.get(grade_id(ours), ours.source).strip()
    changed = [p for p in positions if theirs[p].text.strip() != untouched]
    # An answer that was written into a pasted copy is an answer. Of copies without ids the last
    # is the one whose names the student's own run ended with.
    return ([p for p in exact if p in changed] or changed or exact or positions)[-1]


def _merge(
    ours: NotebookNode,
    answer: Theirs | None,
    released: dict[str, str],
    has_ids: bool,
    notes: list[str],
) -> NotebookNode | None:
    cell = copy.deepcopy(ours)
    cell.pop("attachments", None)
    if "attachments" in ours:
        cell.attachments = copy.deepcopy(ours.attachments)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    name = grade_id(ours)
    if is_locked(ours):
        if answer is None:
            notes.append(f"cell {name} was missing and has been put back")
        elif "parameters" in ours.metadata.get("tags", []):
            pass  # a person may have tried another profile
        elif answer.text.strip() != released.get(name, ours.source).strip():
            notes.append(f"cell {name} had been changed; the course's own was used")
        return cell
    if answer is None:
        if name:
            notes.append(f"answer cell {name} is missing; graded as left empty")
            return cell
        # Without ids a changed cell and a deleted one look alike: nothing is put back by guess.
        return cell if has_ids else None
    if name and answer.grade_id != name:
        notes.append(f"answer cell {name} had lost its name; found by its place in the file")
    if answer.kind != ours.cell_type and name:
        kind = answer.kind if answer.kind in KINDS else "strange"
        notes.append(f"cell {name} had been made a {kind} cell; read as {ours.cell_type}")
    cell.source = answer.text
    if cell.cell_type == "markdown" and answer.attachments:
        cell.attachments = _pictures(answer)
    return cell


def _free(cell: Theirs, identity: str) -> NotebookNode:
    if cell.kind == "code":
        return nbformat.v4.new_code_cell(cell.text, id=identity)
    node = nbformat.v4.new_markdown_cell(cell.text, id=identity)
    if cell.attachments:
        node.attachments = _pictures(cell)
    return node


def _pictures(cell: Theirs) -> NotebookNode:
    pictures: dict[str, dict[str, str]] = {}
    for name, kind, text in cell.attachments:
        pictures.setdefault(name, {})[kind] = text
    return nbformat.from_dict(pictures)
