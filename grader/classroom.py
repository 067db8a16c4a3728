"""A class folder in nbgrader's layout: all its paths, its assignments, what students handed in.

DIR/source/<unit>/              what nbgrader makes the assignment from
DIR/release/<unit>/             what students were given
DIR/submitted/<student>/<unit>/ what they handed in
DIR/autograded/<student>/<unit>/  the executed notebooks and graded.json, verdicts and messages
DIR/feedback/<student>/<unit>/, DIR/gradebook.db, DIR/report/, DIR/grades-<system>.csv, grades.json
DIR/.grader/                    the lock of who grades, outcomes that are not stored yet, our units
"""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from grader import interop, needed, receipts, release
from grader.clean import MAX_FILE, grade_id, writable
from grader.course import Course, parameters, source_notebook, variants, without_markers
from grader.errors import UsageError, nearest
from grader.lesson import Lesson, Role
from grader.model import RECORD, Assignment, Limits, Misconception, SourceNotebook, Submission
from grader.receipts import Receipts

MAX_ID = 128  # characters of a student's id in nbgrader's tables; SQLite does not count them
MAX_STAMP = 1000  # bytes of a timestamp.txt
MAX_SUPPORT = 20_000_000  # bytes of one support file that travels with an assignment


@dataclass(frozen=True)
class Classroom:
    """The one place that knows where things lie in a class folder."""

    root: Path

    def __post_init__(self) -> None:
        interop.ensure_class(self.root)

    @property
    def config(self) -> Config:
        """nbgrader's configuration of this class."""
        return interop.class_config(self.root)

    @property
    def database(self) -> str:
        """SQLAlchemy address of the gradebook."""
        return interop.database_url(self.root, self.config)

    def use_database(self, address: str | None) -> None:
        """Keep the class at `address` from now on, if one is named; see `interop.choose_database`.

        Raises:
            GraderError: it cannot be kept there.
        """
        if address is not None:
            interop.choose_database(self.root, address)

    @property
    def report(self) -> Path:
        """Folder of the class report."""
        return self.root / "report"

    @property
    def private(self) -> Path:
        """Folder of what nobody but the grader reads."""
        return self.root / ".grader"

    def grades(self, system: str) -> Path:
        """File of the grades as they are exported for a system."""
        return self.root / ("grades.json" if system == "json" else f"grades-{system}.csv")

    def source(self, unit: str) -> Path:
        """Folder that the assignment is made from."""
        return self.root / "source" / unit

    def released(self, unit: str) -> Path:
        """Folder of what students were given."""
        return self.root / "release" / unit

    def submitted(self, student: str, unit: str) -> Path:
        """Folder that a student handed in."""
        return self.root / "submitted" / student / unit

    def autograded(self, student: str, unit: str) -> Path:
        """Folder of a student's executed notebooks."""
        return self.root / "autograded" / student / unit

    def record(self, student: str, unit: str) -> Path:
        """File of a submission's verdicts, messages and notes."""
        return self.autograded(student, unit) / RECORD

    def feedback(self, student: str, unit: str) -> Path:
        """Folder of a student's feedback pages."""
        return self.root / "feedback" / student / unit

    # ---- who handed in what -----------------------------------------------------------------

    def students(self, unit: str) -> list[str]:
        """Return the students who handed in anything for `unit`, in order.

        Raises:
            UsageError: a student's folder has a name that no database can hold.
        """
        folder = self.root / "submitted"
        names = sorted(
            path.name
            for path in folder.iterdir()
            if not path.name.startswith(".") and _is_there(path / unit)
        )
        for name in names:
            if writable(name) != name:
                raise UsageError(f"{folder}/{writable(name)}: its name is not UTF-8; rename it")
            # Joiners are part of how Persian and Hindi are spelled.
            if not name.replace("\u200c", "").replace("\u200d", "").isprintable():
                raise UsageError(f"{folder}/{name!a}: its name cannot be printed; rename it")
            if len(name) > MAX_ID and self.database.startswith("postgresql"):
                raise UsageError(f"{folder}/{name} has more than {MAX_ID} characters; rename it")
        return names

    def units(self) -> list[str]:
        """Return the units that anybody handed in, in order."""
        folder = self.root / "submitted"
        return sorted(
            {
                unit.name
                for student in folder.iterdir()
                if student.is_dir() and not student.name.startswith(".")
                for unit in _entries(student)
                if _is_there(unit) and not unit.name.startswith(".")
            }
        )

    def submission(
        self, student: str, assignment: Assignment, known: Receipts | None = None
    ) -> Submission:
        """Read what `student` handed in; odd files become notes, never errors.

        Args:
            known: `receipts` of the unit; who reads many submissions reads them once.
        """
        folder = self.submitted(student, assignment.unit)
        wanted = [notebook.name for notebook in assignment.notebooks]
        notes: list[str] = []
        found: dict[str, bytes] = {}
        others: list[Path] = []
        strange: list[str] = []
        for link in (folder.parent, folder):
            if link.is_symlink():
                note = f"the folder {writable(link.name)} is a link and was not followed"
                return Submission(student, assignment.unit, (), (note,))
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            note = f"the folder cannot be read: {error.strerror}"
            return Submission(student, assignment.unit, (), (note,))
        for path in paths:
            if path.name.startswith("._"):
                continue  # macOS's notes on the file of that name
            if path.suffix.lower() != ".ipynb":
                if not path.name.startswith(".") and path.name != "timestamp.txt":
                    strange.append(writable(path.name))
                continue
            if path.stem in wanted:
                content = _content(path, notes)
                if content is not None:
                    found[path.stem] = content
            else:
                others.append(path)
        if len(wanted) == 1 and not found and len(others) == 1:
            content = _content(others[0], notes)
            if content is not None:
                notes.append(f"{writable(others[0].name)} was read as {wanted[0]}.ipynb")
                found[wanted[0]] = content
        else:
            notes += [
                f"{writable(path.name)} is no notebook of this unit and was not read"
                for path in others
            ]
        if strange and not found and not others:
            names = ", ".join(strange[:5])
            notes.insert(0, f"no notebook was handed in, but {names}")
        when, note = self.handed_in(student, assignment.unit, known)
        notes += [note] if note else []
        stamp = f"{when:{receipts.STAMP_FORMAT}}" if when else ""
        return Submission(student, assignment.unit, tuple(found.items()), tuple(notes), stamp)

    def receipts(self, unit: str, student: str | None = None) -> Receipts:
        """Return what was written down when submissions of `unit` were collected."""
        return receipts.read(self.database, unit, student)

    def handed_in(
        self, student: str, unit: str, known: Receipts | None = None
    ) -> tuple[datetime | None, str]:
        """Return when it was handed in, in UTC, by somebody's word who is not the student; a note.

        A receipt says so. What ``timestamp.txt`` says counts only where there is no receipt for
        what lies there, and the class's ``nbgrader_config.py`` sets
        ``c.Classroom.trust_timestamps``: nobody can see who has written that file.

        Args:
            known: `receipts` of the unit, where they have been read already.
        """
        folder = self.submitted(student, unit)
        if folder.is_symlink() or folder.parent.is_symlink():
            return None, ""
        try:
            books = notebooks_in(folder)
        except OSError:
            return None, ""
        if known is None:
            known = self.receipts(unit, student)
        receipt = known.get((student, receipts.digest(books)))
        if receipt is not None:
            return receipt.time, ""
        said = _stamp(folder / receipts.STAMP)
        if said is None:
            return None, ""
        if self.config.Classroom.get("trust_timestamps") is True:
            return said, f"handed in at {said:%Y-%m-%d %H:%M} UTC by its {receipts.STAMP}"
        return None, (
            f"its {receipts.STAMP} was not used: grader collect has not brought it, so nobody can "
            "tell who wrote the time"
        )

    # ---- assignments ------------------------------------------------------------------------

    def assignment(
        self, unit: str, course: Course | None = None, source: Path | None = None
    ) -> Assignment:
        """Make `unit` an assignment of this class, by nbgrader's own step, and return it.

        The unit comes from `source` (any nbgrader source folder) where one is named, else from
        our course, else from the class's own ``source/``. What our course gave is kept: whoever
        asks without the course gets it as it was then.

        Raises:
            UsageError: there is no such unit, or only one that another version has kept.
            AssignmentError: nbgrader refuses the source.
        """
        if Path(unit).name != unit or unit in ("", ".."):  # it becomes the name of a folder
            raise UsageError(f'"{unit}" is not the name of a unit.{nearest(unit, self.units())}')
        ours = source is None and course is not None and unit in course
        if source is None and not ours and self._kept(unit).exists():
            return self._remembered(unit)
        parameters: tuple[tuple[str, str | int], ...] = ()
        environment: tuple[tuple[str, str], ...] = (("NBGRADER_EXECUTION", "autograde"),)
        limits = self._limits()
        if source is not None:
            _import(source, unit, self.root)
        elif course is not None and unit in course:
            release.write_source(course, course[unit], self.source(unit))
            limits = course[unit].limits
            parameters = _parameters(course[unit])
            environment = ()
        elif not self.source(unit).is_dir():
            known = [lesson.unit for lesson in course.lessons] if course else []
            raise UsageError(f'no unit "{unit}".{nearest(unit, known)}')
        # nbgrader finds a class's autotests.yml only from the class's folder.
        shared = self.root / "autotests.yml"
        if shared.exists() and not (self.source(unit) / shared.name).exists():
            shutil.copy(shared, self.source(unit))
        interop.generate_assignment(self.config, unit, database=self.database)
        sealed = interop.source_cells(self.database, unit)
        notebooks = []
        for path in sorted(self.released(unit).glob("*.ipynb")):
            released = _with_ids(nbformat.read(path, as_version=4))
            text = nbformat.writes(released)
            for cell in released.cells:
                cell.source = sealed.get((path.stem, grade_id(cell)), cell.source)
            notebooks.append(SourceNotebook(path.stem, nbformat.writes(released), text))
        if not notebooks:
            raise UsageError(f"{self.source(unit)} holds no notebook")
        made = Assignment(
            unit=unit,
            notebooks=tuple(notebooks),
            files=tuple(_support(self.source(unit))),
            limits=limits,
            environment=environment if not ours else (),
            lean=ours,
            **(_known(course[unit]) if ours and course is not None else {}),
            parameters=parameters,
        )
        self._keep(made, ours=ours)
        return made

    def _kept(self, unit: str) -> Path:
        return self.private / "units" / f"{unit}.json"

    def _keep(self, assignment: Assignment, *, ours: bool) -> None:
        """Keep what cannot be made from ``source/`` again: misconceptions, limits, the judge."""
        path = self._kept(assignment.unit)
        if not ours:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(assignment.to_dict()), encoding="utf-8")
        beside.replace(path)

    def _remembered(self, unit: str) -> Assignment:
        try:
            return Assignment.from_dict(json.loads(self._kept(unit).read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError):
            raise UsageError(
                f"{unit} was prepared by another version of the grader; where the course's "
                f"solutions/ are, run: grader grade {unit} --class {self.root}"
            ) from None

    def _limits(self) -> Limits:
        seconds = self.config.Execute.get("timeout") or Limits.cell_seconds
        return Limits(cell_seconds=float(seconds))


def _known(lesson: Lesson) -> dict[str, Any]:
    """What our own lesson tells beyond what any nbgrader source holds."""
    wrong = [variant for variant in variants(lesson) if not variant.is_right]
    known = [
        Misconception(one.exercise, one.name, one.hint, one.source, one.fails) for one in wrong
    ]
    source = source_notebook(lesson).cells
    names = [cell.name for cell in lesson.of(Role.EXERCISE)]
    tests = {cell.name for cell in lesson.of(Role.TESTS)}
    code = [cell for cell in source if cell.cell_type == "code" and cell.id not in tests]
    worlds = []
    for name in names:
        must = needed.mark(code, {cell.id for cell in code if cell.id != name})
        cells = [
            (cell.id, without_markers(cell.source)) for n, cell in enumerate(code) if n in must
        ]
        worlds.append((name, tuple(cells)))
    return {
        "judged": lesson.judged,
        "misconceptions": tuple(known),
        "worlds": tuple(worlds),
        "gpu": lesson.gpu,
        "without_gpu": lesson.without_gpu,
    }


def _parameters(lesson: Lesson) -> tuple[tuple[str, str | int], ...]:
    """What is injected; a device only where the lesson asks for its name."""
    asked = parameters(lesson)
    device = (("device", "cuda" if lesson.gpu else "cpu"),) if "device" in asked else ()
    return (("profile", lesson.profile), ("seed", 0), *device)


def notebooks_in(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Return (name without ``.ipynb``, content) of a submission's regular files."""
    books = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ipynb" and stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                books.append((path.stem, file.read(MAX_FILE + 1)))
    return tuple(books)


def _stamp(path: Path) -> datetime | None:
    """Return the time in UTC that nbgrader's file says; None where it says none."""
    from nbgrader.utils import parse_utc

    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_STAMP:
            return None
        text = path.read_text(encoding="utf-8").strip()
        return parse_utc(text).replace(tzinfo=UTC) if text else None
    except (OSError, ValueError, OverflowError):
        return None


def _is_there(folder: Path) -> bool:
    """Whether it is a folder; one that we may not look at is, too."""
    try:
        return folder.is_dir()
    except PermissionError:
        return True


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where we may not look."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _with_ids(notebook: NotebookNode) -> NotebookNode:
    """Make `notebook` one of format 4.5: cells that we add to it have ids, so all have."""
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{index}")
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    return notebook


def _content(path: Path, notes: list[str]) -> bytes | None:
    """Return the file's content, or None and a note for what should not be opened at all."""
    status, name = path.lstat(), writable(path.name)
    if stat.S_ISLNK(status.st_mode):
        notes.append(f"{name} is a link and was not followed")
        return None
    if not stat.S_ISREG(status.st_mode):
        notes.append(f"{name} is not a regular file and was not opened")
        return None
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        notes.append(f"{name} cannot be read: {error.strerror}")
        return None


def _import(source: Path, unit: str, root: Path) -> None:
    """Copy a foreign assignment, found as SOURCE/<unit> or as SOURCE itself, into the class."""
    folder = source / unit if (source / unit).is_dir() else source
    if not any(folder.glob("*.ipynb")):
        units = [path.name for path in source.iterdir() if path.is_dir()] if source.is_dir() else []
        raise UsageError(f'no unit "{unit}" in {source}.{nearest(unit, units)}')
    target = root / "source" / unit
    if folder.resolve() != target.resolve():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    for shared in (source / "autotests.yml", source.parent / "autotests.yml"):
        if shared.exists() and not (target / shared.name).exists():
            shutil.copy(shared, target)


def _support(folder: Path) -> list[tuple[str, bytes]]:
    """Return the files beside the notebooks that a kernel must find in its folder."""
    return [
        (str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".ipynb"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.stat().st_size <= MAX_SUPPORT
    ]
