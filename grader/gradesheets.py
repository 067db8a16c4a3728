"""Canvas's gradebook and Moodle's worksheet: students and units are found in them, scores put in.

Nothing else of a file changes. What cannot be placed is said, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from grader import sheets
from grader.errors import UsageError, nearest
from grader.sheets import Sheet, key, normal, number

# What is known of a person -> how a list calls the column; each system has its own names.
ROSTER = {
    "login": ("login", "login_id", "sis_login_id", "username"),
    "sis": ("sis", "sis_user_id", "id_number"),
    "canvas": ("canvas_id",),
    "moodle": ("moodle_id", "identifier"),
    "lms": ("lms_user_id",),  # either of them
    "email": ("email", "email_address"),
    "name": ("name", "full_name"),
    "section": ("section",),
}
CANVAS = {"login": "SIS Login ID", "sis": "SIS User ID", "canvas": "ID", "name": "Student"}
MOODLE = {
    "moodle": "Identifier",
    "email": "Email address",
    "login": "Username",
    "sis": "ID number",  # like the username only where a site shows it
    "name": "Full name",
}
ENGLISH = "(switch Moodle to English, there and for the upload)"
CANVAS_HEAD = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
CANVAS_PEOPLE = (*CANVAS_HEAD, "LastName", "FirstName", "Integration ID", "Root Account")
CANVAS_TOTALS = r"(Current|Final) (Score|Points|Grade)|Override (Score|Grade|Status)"
CLOSED = {"EX": "is excused in Canvas (EX)", "N/A": "was not assigned it in Canvas (N/A)"}
SAME = 0.005  # points; Canvas writes two digits behind the point


@dataclass(frozen=True)
class Scores:
    """What is known of one unit.

    Attributes:
        title: what the system calls it.
        given: {student: score} of those whose score counts.
        held: students who handed in and whose score is not to be written.
    """

    unit: str
    title: str
    max_score: float
    given: Mapping[str, float]
    held: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Person:
    """A student, and by what a system may know them.

    Attributes:
        student: the name of the folder in ``submitted/``.
        roster: {field: value} that a teacher wrote down; where it speaks, nothing else counts.
        known: the same, of nbgrader's gradebook.
    """

    student: str
    roster: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return what is known of a field, or an empty text."""
        return self.roster.get(name, "") or self.known.get(name, "")


@dataclass(frozen=True)
class Filled:
    """A finished sheet.

    Attributes:
        count: scores in it that are ours, zeros for what was not handed in included.
        problems: a line for each student and unit that found no place.
        places: {student: their row}.
        folders: {student: name of their folder in a zip of feedback for Moodle}.
    """

    sheet: Sheet
    count: int
    problems: tuple[str, ...]
    places: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """Where the scores of a unit go.

    Attributes:
        factor: what a score is multiplied by.
        closed: tells why a row may not be given a score; empty where it may.
    """

    scores: Scores
    place: int
    factor: float
    closed: Callable[[Sequence[str], float], str]


def read_roster(path: Path) -> dict[str, dict[str, str]]:
    """Return {student: {field: value}} of a teacher's list.

    The column ``student`` (or, as in nbgrader's lists, ``id``) names folders in ``submitted/``.
    The others are called as in `ROSTER`, or as Canvas or Moodle call them.

    Raises:
        UsageError: it has no such column, a student twice, or cannot be read.
    """
    sheet = sheets.read(path, wide=True)
    own = sheet.column("student", "student_id")
    names = dict(ROSTER)
    if own is None:
        own = sheet.column("id")
    else:
        names["lms"] = (*ROSTER["lms"], "id")
    if own is None:
        raise UsageError(
            f"{path} has no column student with the names of the folders in submitted/, only "
            f"{', '.join(sheet.head)}"
        )
    columns = {name: sheet.column(*titles) for name, titles in names.items()}
    first, last = sheet.column("first_name"), sheet.column("last_name")
    roster: dict[str, dict[str, str]] = {}
    for row in sheet.rows:
        student = _at(row, own)
        if not student:
            continue
        if student in roster:
            raise UsageError(f"{path} has {student} twice")
        found = {name: _at(row, place) for name, place in columns.items()}
        found["name"] = found["name"] or f"{_at(row, first)} {_at(row, last)}".strip()
        for system in ("canvas", "moodle"):
            found[system] = found[system] or found["lms"]
        roster[student] = {name: value for name, value in found.items() if value}
    return roster


# ---- Canvas ---------------------------------------------------------------------------------


def fill_canvas(
    sheet: Sheet,
    units: Sequence[Scores],
    people: Mapping[str, Person],
    *,
    scale: bool = False,
    zeros: bool = False,
) -> Filled:
    """Put scores into the gradebook that Canvas exported.

    Args:
        scale: to what an assignment is worth in Canvas.
        zeros: for whoever handed nothing in and has no score there.

    Raises:
        UsageError: it is no such file, or fits none of the units.
    """
    for name in ("ID", "Section"):
        if sheet.column(name) is None:
            raise UsageError(f"{sheet.path} is no gradebook of Canvas's: it has no column {name}")
    rows = [place for place, row in enumerate(sheet.rows) if not _is_note(row)]
    if not rows:
        raise UsageError(f"{sheet.path} lists no students")
    worth = next((row for row in sheet.rows if "Points Possible" in _at(row, 0)), ())
    columns: list[Column] = []
    problems = []
    for scores in units:
        place, problem = _assignment(sheet, scores)
        if place is None:
            problems.append(problem)
            continue
        if place in {column.place for column in columns}:
            raise UsageError(f"{sheet.path}: two units cannot both be {sheet.head[place]}")
        if "read only" in _at(worth, place):
            raise UsageError(f"{sheet.path}: nobody may write into {sheet.head[place]}")
        factor = _factor(sheet, scores, number(_at(worth, place)), scale)
        columns.append(Column(scores, place, factor, _closed_in_canvas(place)))
    if not columns:
        raise UsageError("\n".join(problems))
    numbers = [column.place for column in columns]
    filled = _fill(sheet, rows, CANVAS, columns, people, zeros, numbers)
    return replace(filled, problems=(*problems, *filled.problems))


def _assignment(sheet: Sheet, scores: Scores) -> tuple[int | None, str]:
    """Return the column of a unit, or why there is none.

    Canvas puts its number behind an assignment's name: ``Neurons (12345)``.
    """
    people = {key(name) for name in CANVAS_PEOPLE}
    names = {
        place: normal(name)
        for place, name in enumerate(sheet.head)
        if key(name) not in people and not re.search(CANVAS_TOTALS, name)
    }
    titles = {place: re.sub(r"\s*\(\d+\)$", "", name) for place, name in names.items()}
    wanted = normal(scores.title)
    naming = f'--column "{scores.unit}=NAME"'
    for known, same in ((names, str), (titles, str), (titles, str.casefold)):
        found = [place for place, name in known.items() if same(name) == same(wanted)]
        if len(found) > 1:
            both = " and ".join(names[place] for place in found)
            raise UsageError(f"{sheet.path} has {both}: say which with {naming}")
        if found:
            return found[0], ""
    advice = nearest(wanted, titles.values())
    return None, f"{scores.unit}: no assignment {wanted} there.{advice} See also {naming}"


def _is_note(row: Sequence[str]) -> bool:
    """Whether a row is of no student: points possible, how grades are posted, nothing at all."""
    posting = r"\s*((Muted|Manual Posting).*)?\s*"
    return "Points Possible" in _at(row, 0) or all(re.fullmatch(posting, text) for text in row)


def _closed_in_canvas(place: int) -> Callable[[Sequence[str], float], str]:
    return lambda row, _: CLOSED.get(_at(row, place).upper(), "")


def new_canvas(
    units: Sequence[Scores], people: Mapping[str, Person], *, zeros: bool = False
) -> Filled:
    """Make a file for Canvas's import from a roster.

    Without a byte order mark: Canvas takes it for a part of its first column's name.
    """

    def known(person: Person) -> tuple[str, ...]:
        found = tuple(person.roster.get(name, "") for name in ("canvas", "sis", "login"))
        name = person.get("name") or person.student
        return (name, *found, person.roster.get("section", "")) if any(found) else ()

    rows, count, problems = _rows(units, people, known, zeros, "SIS Login ID, SIS User ID or ID")
    worth = ("    Points Possible", "", "", "", "", *(scores.max_score for scores in units))
    head = (*CANVAS_HEAD, *(scores.title for scores in units))
    return Filled(Sheet(None, _ours(head), tuple(map(_ours, (worth, *rows)))), count, problems)


# ---- Moodle ---------------------------------------------------------------------------------


def fill_moodle(
    sheet: Sheet,
    scores: Scores,
    people: Mapping[str, Person],
    *,
    scale: bool = False,
    zeros: bool = False,
) -> Filled:
    """Put the scores of one unit into the grading worksheet of Moodle's assignment.

    Args:
        scale: to the worksheet's maximum grade.
        zeros: for whoever handed nothing in and has no grade there.

    Raises:
        UsageError: it is no such file.
    """
    identifier, grade = sheet.column("Identifier"), sheet.column("Grade")
    for name, place in (("Identifier", identifier), ("Grade", grade)):
        if place is None:
            raise UsageError(
                f"{sheet.path} is no grading worksheet of Moodle's: it has no column {name}, only "
                f"{', '.join(sheet.head)} {ENGLISH}"
            )
    assert grade is not None
    most = sheet.column("Maximum Grade")
    if most is None:
        raise UsageError(f"{sheet.path} has no column Maximum Grade: this assignment has no points")
    rows = [place for place, row in enumerate(sheet.rows) if any(row)]
    if not rows:
        raise UsageError(f"{sheet.path} lists no students")
    maxima = {_at(sheet.rows[row], most) for row in rows}
    if len(maxima) != 1 or (maximum := number(maxima.pop())) is None:
        raise UsageError(f"{sheet.path}: Maximum Grade is not one number")
    factor = _factor(sheet, scores, maximum, scale)
    changeable = sheet.column("Grade can be changed")

    def closed(row: Sequence[str], value: float) -> str:
        if _at(row, changeable).casefold() == "no":
            return "has a grade that Moodle does not let change"
        too_much = f"has {value:g} of {maximum:g}, and Moodle passes over what is more"
        return too_much if value > maximum + SAME else ""

    column = Column(scores, grade, factor, closed)
    filled = _fill(sheet, rows, MOODLE, [column], people, zeros, (grade, most))
    full = sheet.column("Full name")
    folders = {
        student: _folder(_at(sheet.rows[row], full), _at(sheet.rows[row], identifier))
        for student, row in filled.places.items()
    }
    return replace(filled, folders=folders)


def new_moodle(
    units: Sequence[Scores],
    people: Mapping[str, Person],
    *,
    zeros: bool = False,
    listed: bool = False,
) -> Filled:
    """Make a file for the import of Moodle's gradebook: a column that says who, one for each unit.

    With a byte order mark: Moodle takes it away, and Excel needs it.

    Args:
        listed: there is a roster; else a folder's name is taken for the username.
    """

    def known(name: str) -> Callable[[Person], tuple[str, ...]]:
        def values(person: Person) -> tuple[str, ...]:
            own = "" if listed or name == "email" else person.student
            value = person.get(name) or own
            return (value,) if value else ()

        return values

    # The one by which more of them are known.
    name = max(("email", "login"), key=lambda one: sum(map(len, map(known(one), people.values()))))
    title = MOODLE[name]
    rows, count, problems = _rows(units, people, known(name), zeros, title)
    head = (title, *(scores.title for scores in units))
    sheet = Sheet(None, _ours(head), tuple(map(_ours, rows)), bom=True)
    folders = {
        student: _folder(person.get("name") or student, person.get("moodle"))
        for student, person in people.items()
        if re.search(r"\d$", person.get("moodle"))
    }
    return Filled(sheet, count, problems, folders=folders)


def _folder(name: str, identifier: str) -> str:
    """Return a folder's name as Moodle takes it apart: at underscores, in four."""
    participant = re.sub(r"^.*?(\d+)$", r"\1", identifier)
    plain = re.sub(r"[_/\\\s]+", " ", name).strip() or "Participant"
    return f"{plain}_{participant}_assignsubmission_file_"


# ---- both -----------------------------------------------------------------------------------


def _factor(sheet: Sheet, scores: Scores, maximum: float | None, scale: bool) -> float:
    if maximum is None or abs(maximum - scores.max_score) <= SAME:
        return 1.0
    both = f"{scores.unit} has {scores.max_score:g} points, and {maximum:g} in {sheet.path}"
    if not scale:
        raise UsageError(f"{both}; make them equal there, or convert with --scale")
    if not scores.max_score or not maximum:
        raise UsageError(f"{both}: that cannot be converted")
    return maximum / scores.max_score


def _fill(
    sheet: Sheet,
    rows: Sequence[int],
    fields: Mapping[str, str],
    columns: Sequence[Column],
    people: Mapping[str, Person],
    zeros: bool,
    numbers: Iterable[int],
) -> Filled:
    """Put scores into the `rows` of students, and nothing anywhere else.

    Args:
        fields: {what is known of a person: the column's name}; names alone identify nobody.
        numbers: columns whose numbers tell the decimal sign.
    """
    directory = _Directory(sheet, rows, fields)
    wanted = {student for c in columns for student in (*c.scores.given, *c.scores.held)}
    found, lost = directory.find(people[student] for student in sorted(wanted))
    cells = [list(row) for row in sheet.rows]
    point = sheet.point(numbers)
    problems = [f"{student}: {why}" for student, why in sorted(lost.items())]
    count = 0
    for column in columns:
        scores = column.scores
        for student, score in sorted(scores.given.items()):
            if student not in found:
                continue
            row = cells[found[student]]
            if why := column.closed(row, score * column.factor):
                problems.append(f"{student}: {why}: {scores.unit}")
                continue
            _put(row, column.place, sheets.written(score * column.factor, point))
            count += 1
        if not zeros:
            continue
        if lost.keys() & {*scores.given, *scores.held}:
            problems.append(f"{scores.unit}: no zeros were written, for one may be of those above")
            continue
        taken = {found[student] for student in (*scores.given, *scores.held)}
        for place in rows:
            row = cells[place]
            empty = _at(row, column.place) in ("", "-")
            if place not in taken and empty and not column.closed(row, 0.0):
                _put(row, column.place, "0")
                count += 1
    filled = replace(sheet, rows=tuple(map(tuple, cells)))
    return Filled(filled, count, tuple(problems), places=found)


class _Directory:
    """Who is in which row of a sheet."""

    def __init__(self, sheet: Sheet, rows: Sequence[int], fields: Mapping[str, str]) -> None:
        self.sheet = sheet
        self.columns = {
            name: place
            for name, title in fields.items()
            if (place := sheet.column(title)) is not None
        }
        self.names = self.columns.pop("name", None)
        self._exact: dict[tuple[str, str], set[int]] = {}
        self._folded: dict[tuple[str, str], set[int]] = {}
        for row in rows:
            for name, place in self.columns.items():
                for value in _forms(name, _at(sheet.rows[row], place)):
                    same = self._exact.setdefault((name, value), set())
                    if same and name != "email":  # several people may share an address
                        title = sheet.head[place]
                        raise UsageError(f"{sheet.path} has {title} {value} in two rows")
                    same.add(row)
                    self._folded.setdefault((name, value.casefold()), set()).add(row)

    def find(self, people: Iterable[Person]) -> tuple[dict[str, int], dict[str, str]]:
        """Return {student: row}, and {student: why there is none}."""
        found: dict[str, int] = {}
        lost: dict[str, str] = {}
        for person in people:
            rows = self._rows(person)
            if len(rows) == 1:
                [found[person.student]] = rows
            else:
                lost[person.student] = self._why(person, rows)
        shared: dict[int, list[str]] = {}
        for student, row in found.items():
            shared.setdefault(row, []).append(student)
        for same in shared.values():
            if len(same) > 1:
                for student in same:
                    del found[student]
                    lost[student] = f"{' and '.join(same)} are the same row of {self.sheet.path}"
        return found, lost

    def _rows(self, person: Person) -> set[int]:
        listed = {n: value for n, value in person.roster.items() if n in self.columns}
        if listed:  # who is somebody else by the roster is not looked for by a like name
            return self._any(listed.items())
        address = person.roster.get("email", "")
        own = ((name, person.student) for name in self.columns)
        for known in ([("login", address)], person.known.items(), own):
            if rows := self._any(known):
                return rows
        # Collected without a roster: folders are called by a system's name and number together.
        made = re.fullmatch(r"(.+)-(\d+)", person.student)
        numbers = [name for name in ("canvas", "moodle") if name in self.columns]
        rows = self._any((name, made[2]) for name in numbers) if made else set()
        return {row for row in rows if made and self._name(row) == key(made[1])}

    def _name(self, row: int) -> str:
        return key(_at(self.sheet.rows[row], self.names))

    def _any(self, known: Iterable[tuple[str, str]]) -> set[int]:
        rows: set[int] = set()
        for name, value in known:
            value = normal(value)
            exact = self._exact.get((name, value))
            rows |= exact or self._folded.get((name, value.casefold()), set())
        return rows

    def _why(self, person: Person, rows: set[int]) -> str:
        path = self.sheet.path
        if rows:
            return f"may be any of {len(rows)} rows of {path}; a --roster can tell"
        values = [value for _, value in self._exact]
        listed = ", ".join(v for n, v in person.roster.items() if n in self.columns)
        own = listed or person.student
        return f"not found in {path}{f' as {listed}' if listed else ''}.{nearest(own, values)}"


def _forms(name: str, value: str) -> set[str]:
    """Return by what a value may be called: ``Participant 123`` also by its number."""
    participant = re.fullmatch(r"Participant (\d+)", value) if name == "moodle" else None
    return ({value} if value else set()) | ({participant[1]} if participant else set())


def _rows(
    units: Sequence[Scores],
    people: Mapping[str, Person],
    known: Callable[[Person], tuple[str, ...]],
    zeros: bool,
    needed: str,
) -> tuple[list[tuple[object, ...]], int, tuple[str, ...]]:
    """Return the rows of a new sheet, how many scores are in them, and who has no row.

    Who has no score has no row: an empty field takes away what the system has.
    """
    rows: list[tuple[object, ...]] = []
    problems = []
    count = 0
    for student, person in sorted(people.items()):
        points = [
            scores.given.get(student, 0.0 if zeros and student not in scores.held else None)
            for scores in units
        ]
        handed_in = any(student in {*scores.given, *scores.held} for scores in units)
        if not known(person):
            if handed_in:
                problems.append(f"{student}: no {needed} of theirs is known; a --roster can tell")
        elif any(value is not None for value in points):
            rows.append((*known(person), *points))
            count += sum(value is not None for value in points)
    return rows, count, tuple(problems)


def _ours(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(
        sheets.written(value) if isinstance(value, float) else sheets.safe(value)
        for value in values
    )


def _at(row: Sequence[str], place: int | None) -> str:
    """Return a field as it is compared; empty where the row ends before it."""
    return normal(row[place]) if place is not None and place < len(row) else ""


def _put(row: list[str], place: int, text: str) -> None:
    row += [""] * (place + 1 - len(row))
    row[place] = text
