"""Grade the course itself: is each test as good as it must be?

A solution earns full marks, whatever the seed; the release earns nothing; each misconception fails
the tests that it names, also when only the hidden ones are left, and its hint is what its author
reads; each alternative passes; each machine-made mutant fails, or stands in ``equivalents.toml``
with the reason why it is no mistake.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution

from grader import demo, names, release
from grader.classroom import Classroom
from grader.clean import grade_id
from grader.cluster import run
from grader.course import Course, Variant, exports, variants
from grader.errors import LessonError, UsageError, nearest
from grader.judge.trial import hidden_lines
from grader.kernels import devices
from grader.lesson import Lesson, Role
from grader.model import Assignment, CellResult, Graded, Submission, Verdict
from grader.mutants import Mutant, mutants

SEEDS = (0, 1, 2, 3)
QUICK_SECONDS = 60.0  # of the whole lesson in its quick profile
EQUIVALENTS = "equivalents.toml"


@dataclass
class ExerciseReport:
    """How good the tests of one exercise are.

    Attributes:
        caught: misconceptions that fail exactly the test cells that they name.
        misconceptions: how many there are.
        hidden: of these, those that hidden tests alone catch.
        hinted: of these, those whose own hint is in the feedback.
        accepted: alternatives with full marks.
        alternatives: how many there are.
        killed: mutants that fail a test.
        mutants: how many there are.
        equivalent: mutants that need not fail, each with a reason on record.
        survivors: mutants that pass every test, and nobody has said why.
    """

    exercise: str
    caught: int = 0
    misconceptions: int = 0
    hidden: int = 0
    hinted: int = 0
    accepted: int = 0
    alternatives: int = 0
    killed: int = 0
    mutants: int = 0
    equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)


@dataclass
class Report:
    """What `validate` has found in one unit.

    Attributes:
        problems: what must be mended, one line each; survivors among them.
        notes: what depends on the machine and its load, and is no mistake.
        explained: {misconception: misconceptions whose hint it is given}.
        seconds: of the whole lesson with its reference solutions, in its quick profile.
        gradings: how many submissions were graded for it.
    """

    unit: str
    exercises: dict[str, ExerciseReport]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    explained: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    gradings: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return the plain form that ``grader validate --json`` prints."""
        exercises = [
            {**asdict(one), "survivors": [mutant.change for mutant in one.survivors]}
            for one in self.exercises.values()
        ]
        return {**asdict(self), "exercises": exercises, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Case:
    """One submission that is graded, and what is done with the outcome."""

    assignment: Assignment
    submission: Submission
    seed: int
    judge: Callable[[Graded], None]


def validate(
    course: Course,
    lesson: Lesson,
    *,
    exercises: Collection[str] = (),
    with_mutants: bool = True,
    sample: int | None = None,
    workers: int | None = None,
    sandbox: bool = True,
    tell: Callable[[Report, int, int], None] = lambda report, done, total: None,
) -> Report:
    """Grade all that is known of `lesson`, right and wrong.

    Args:
        exercises: only these, while an author works on them; by default all, and the lesson itself.
        sample: of each exercise's mutants only so many, from all over its solution.
        workers: gradings at a time; by default one for each core.
        tell: is told before the first grading and after each: what was found, how many are done,
            and how many there are.

    Raises:
        LessonError: ``equivalents.toml`` has a mistake.
        UsageError: no such exercise.
        SandboxError: this machine cannot isolate kernels.
    """
    known = [cell.exercise for cell in lesson.of(Role.EXERCISE)]
    for name in exercises:
        if name not in known:
            raise UsageError(f'no exercise "{name}" in {lesson.unit}.{nearest(name, known)}')
    chosen = exercises or known
    report = Report(lesson.unit, {name: ExerciseReport(name) for name in known if name in chosen})
    report.problems += _unknown_names(lesson)
    with tempfile.TemporaryDirectory() as folder:
        assignment = devices.here(Classroom(Path(folder) / "class").assignment(lesson.unit, course))
        report.problems += _leaks(course, lesson, Path(folder) / "release")
    cases = list(_variant_cases(lesson, assignment, report))
    if not exercises:
        cases = [*_whole_cases(lesson, assignment, report), *cases]
    equivalents = Equivalents(lesson)
    spoilers = Spoilers()
    cases += _spoiling_cases(lesson, assignment, report, spoilers)
    if with_mutants:
        cases += _mutant_cases(lesson, assignment, report, equivalents, sample)
    tasks = [(case.assignment, case.submission, (case.seed,)) for case in cases]
    report.gradings = len(cases)
    tell(report, 0, len(cases))
    for done, (place, graded) in enumerate(run(tasks, workers, sandbox=sandbox), 1):
        cases[place].judge(graded)
        tell(report, done, len(cases))
    report.problems += spoilers.unnoticed()
    if with_mutants and sample is None:
        report.problems += equivalents.stale(chosen)
    return report


# ---- what people wrote ----------------------------------------------------------------------


def _submission(
    lesson: Lesson, whose: Assignment, name: str, answers: dict[str, str]
) -> Submission:
    content = demo.notebook(lesson, whose, exports(lesson) | answers)
    return Submission(name, lesson.unit, ((lesson.notebook, content),))


def _whole_cases(lesson: Lesson, assignment: Assignment, report: Report) -> Iterator[Case]:
    whole = replace(assignment, lean=False)
    for seed in SEEDS:
        # Once with every cell, as a student runs it; then only what marks depend on.
        used = whole if seed == SEEDS[0] else assignment
        yield Case(used, _submission(lesson, used, "reference", {}), seed, _full(report, seed))
    released = assignment.notebooks[0].released.encode()
    blank = Submission("release", lesson.unit, ((lesson.notebook, released),))
    yield Case(assignment, blank, 0, _zero(report))


def _variant_cases(lesson: Lesson, assignment: Assignment, report: Report) -> Iterator[Case]:
    reference = exports(lesson)
    for variant in variants(lesson):
        if variant.exercise not in report.exercises:
            continue
        answers = {variant.exercise: variant.source}
        own = assignment
        if not any(
            variant.exercise in names.used(source)
            for name, source in reference.items()
            if name != variant.exercise
        ):
            own = _only(assignment, variant.exercise)  # no other test can tell the difference
        one = _submission(lesson, own, variant.name, answers)
        if variant.is_right:
            report.exercises[variant.exercise].alternatives += 1
            yield Case(own, one, 0, _accepted(report, variant))
            continue
        report.exercises[variant.exercise].misconceptions += 1
        yield Case(own, one, 0, _caught(report, variant))
        hidden = _only_hidden(_only(replace(assignment, misconceptions=()), variant.exercise))
        alone = _submission(lesson, hidden, variant.name, answers)
        yield Case(hidden, alone, 0, _hidden(report, variant))


def _tests(graded: Graded) -> list[CellResult]:
    return [cell for cell in graded.cells if cell.verdict is not Verdict.MANUAL]


def _failed(graded: Graded) -> list[CellResult]:
    return [cell for cell in _tests(graded) if cell.verdict is not Verdict.PASSED]


def _odd(report: Report, what: str, graded: Graded) -> bool:
    """Whether `graded` is no verdict at all; it is then a problem."""
    broken = [cell for cell in graded.cells if cell.verdict is Verdict.BROKEN]
    if broken or not graded.cells:
        why = "; ".join([*graded.notes, *(cell.message for cell in broken)][:2])
        report.problems.append(f"{what} could not be graded: {why[:500]}")
    return bool(broken) or not graded.cells


def _full(report: Report, seed: int) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        which = f"seed {seed}"
        if _odd(report, f"the solution ({which})", graded):
            return
        for cell in _failed(graded):
            line = f"the solution ({which}) fails {cell.grade_id}: {cell.message[:300]}"
            report.problems.append(line)
        if seed == SEEDS[0]:
            report.seconds = graded.seconds
            if report.seconds > QUICK_SECONDS:
                report.notes.append(f"the quick profile should take {QUICK_SECONDS:.0f} s at most")

    return judge


def _zero(report: Report) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        if not _odd(report, "the release", graded):
            paid = [cell.grade_id for cell in _tests(graded) if cell.points]
            report.problems += [f"the release is paid for {name}" for name in paid]

    return judge


def _accepted(report: Report, variant: Variant) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        what = f"{variant.exercise}: the alternative {variant.name}"
        if _odd(report, what, graded):
            return
        failed = _failed(graded)
        report.exercises[variant.exercise].accepted += not failed
        report.problems += [f"{what} fails {one.grade_id}: {one.message[:300]}" for one in failed]

    return judge


def _caught(report: Report, variant: Variant) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        what = f"{variant.exercise}: the misconception {variant.name}"
        if _odd(report, what, graded):
            return
        failed = _failed(graded)
        names = {cell.grade_id for cell in failed}
        if names == set(variant.fails):
            report.exercises[variant.exercise].caught += 1
        else:
            wanted = ", ".join(sorted(variant.fails))
            report.problems.append(
                f"{what} fails {', '.join(sorted(names)) or 'nothing'}, not {wanted}"
            )
        own = [cell for cell in failed if cell.exercise == variant.exercise]
        given = list(dict.fromkeys(name for cell in own for name in cell.misconceptions))
        report.explained[f"{variant.exercise}: {variant.name}"] = given
        if variant.name in given:
            report.exercises[variant.exercise].hinted += 1
        else:
            report.problems.append(f"{what} is not given its hint, but {given or 'none'}")

    return judge


def _hidden(report: Report, variant: Variant) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        what = f"{variant.exercise}: the misconception {variant.name}"
        if _odd(report, f"{what}, hidden tests alone,", graded):
            return
        if _failed(graded):
            report.exercises[variant.exercise].hidden += 1
        else:
            report.problems.append(f"{what} passes the hidden tests")

    return judge


# ---- who spoils the arguments ---------------------------------------------------------------

SPOILS = """
import numpy
{source}
def {name}(*args, _right={name}, **named):
    for one in (*args, *named.values()):
        if isinstance(one, numpy.ndarray):
            {does}
    return _right(*args, **named)
"""


class Spoilers:
    """A function may write zeros into its arguments, and be right about what is left of them.

    A test that computes what it expects after the call believes it. Whether a test hands over
    arrays at all tells a function that refuses them.
    """

    def __init__(self) -> None:
        self._passed: dict[str, set[str]] = {}

    def passes(self, exercise: str, does: str) -> None:
        """Remember that a function that `does` this passed all tests of `exercise`."""
        self._passed.setdefault(exercise, set()).add(does)

    def unnoticed(self) -> list[str]:
        """Return a line for each exercise whose tests do not notice."""
        return [
            f"{exercise}: no test notices a function that writes zeros into its arguments"
            for exercise, passed in self._passed.items()
            if passed == {"one[...] = 0"}
        ]


def _spoiling_cases(
    lesson: Lesson, assignment: Assignment, report: Report, spoilers: Spoilers
) -> Iterator[Case]:
    reference = exports(lesson)
    for exercise, source in reference.items():
        if exercise not in report.exercises or f"def {exercise}(" not in source:
            continue  # a class
        own = _only(replace(assignment, misconceptions=()), exercise)
        for does in ("one[...] = 0", "raise TypeError"):
            spoiled = SPOILS.format(source=source, name=exercise, does=does)
            content = demo.notebook(lesson, own, reference | {exercise: spoiled})
            submission = Submission("spoils", lesson.unit, ((lesson.notebook, content),))
            yield Case(own, submission, 0, _spoils(report, spoilers, exercise, does))


def _spoils(
    report: Report, spoilers: Spoilers, exercise: str, does: str
) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        if _odd(report, f"{exercise}: who spoils its arguments", graded):
            return
        if not _failed(graded):
            spoilers.passes(exercise, does)

    return judge


# ---- mutants --------------------------------------------------------------------------------


class Equivalents:
    """Mutants that are no mistakes: ``equivalents.toml`` beside the lesson.

    [[equivalent]]
    exercise = "conv2d"
    before = "range(kH)"
    after = "range(0, kH)"
    because = "it is the same loop"
    """

    def __init__(self, lesson: Lesson) -> None:
        self.path = lesson.path.with_name(EQUIVALENTS)
        self._known = set(exports(lesson))
        self._reasons: dict[tuple[str, str, str], str] = {}
        self._used: set[tuple[str, str, str]] = set()
        if not self.path.exists():
            return
        try:
            entries = tomllib.loads(self.path.read_text(encoding="utf-8")).get("equivalent", [])
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LessonError(self.path, 1, f"not TOML: {error}") from None
        for entry in entries:
            if set(entry) != {"exercise", "before", "after", "because"} or not entry["because"]:
                wanted = "exercise, before, after, because"
                raise LessonError(self.path, 1, f"an equivalent of {sorted(entry)}", wanted)
            self._reasons[entry["exercise"], entry["before"], entry["after"]] = entry["because"]

    def excuses(self, exercise: str, mutant: Mutant) -> bool:
        """Whether there is a reason on record why `mutant` may pass."""
        key = (exercise, mutant.before, mutant.after)
        self._used.add(key)
        return key in self._reasons

    def stale(self, exercises: Collection[str]) -> list[str]:
        """Return a line for every entry, of `exercises` or of none, that no survivor needs."""
        return [
            f"{self.path.name}: no mutant of {exercise} survives with {before} -> {after}"
            for exercise, before, after in self._reasons.keys() - self._used
            if exercise in exercises or exercise not in self._known
        ]


def _mutant_cases(
    lesson: Lesson,
    assignment: Assignment,
    report: Report,
    equivalents: Equivalents,
    sample: int | None,
) -> Iterator[Case]:
    reference = exports(lesson)
    for exercise, source in reference.items():
        if exercise not in report.exercises:
            continue
        own = _only(replace(assignment, misconceptions=()), exercise)
        # A mutant may never end. Ten times what anything here takes is enough.
        own = replace(
            own, limits=replace(own.limits, cell_seconds=min(10.0, own.limits.cell_seconds))
        )
        every = list(mutants(source))
        step = max(1, -(-len(every) // sample)) if sample else 1
        for mutant in every[::step]:
            report.exercises[exercise].mutants += 1
            content = demo.notebook(lesson, own, reference | {exercise: mutant.source})
            submission = Submission("mutant", lesson.unit, ((lesson.notebook, content),))
            yield Case(own, submission, 0, _killed(report, exercise, mutant, equivalents))


def _killed(
    report: Report, exercise: str, mutant: Mutant, equivalents: Equivalents
) -> Callable[[Graded], None]:
    def judge(graded: Graded) -> None:
        mine = report.exercises[exercise]
        if _odd(report, f"{exercise}: the mutant {mutant.change}", graded):
            return
        if _failed(graded):
            mine.killed += 1
        elif equivalents.excuses(exercise, mutant):
            mine.equivalent += 1
        else:
            mine.survivors.append(mutant)
            report.problems.append(f"{exercise}: this change survives: {mutant.change}")

    return judge


# ---- parts of an assignment -----------------------------------------------------------------


def _rebuilt(
    assignment: Assignment, change: Callable[[NotebookNode], NotebookNode | None]
) -> Assignment:
    """Return `assignment` with `change` made to each of its test cells, None to leave it out."""

    def made(text: str) -> str:
        notebook = nbformat.reads(text, as_version=4)
        kept = []
        for cell in notebook.cells:
            is_test = cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)
            changed = change(cell) if is_test else cell
            if changed is not None:
                kept.append(changed)
        notebook.cells = kept
        return str(nbformat.writes(notebook))

    notebooks = tuple(
        replace(one, sealed=made(one.sealed), released=made(one.released))
        for one in assignment.notebooks
    )
    return replace(assignment, notebooks=notebooks)


def _only(assignment: Assignment, exercise: str) -> Assignment:
    """Return `assignment` with the tests of one exercise alone."""
    return _rebuilt(
        assignment, lambda cell: cell if grade_id(cell).rpartition("-")[0] == exercise else None
    )


def _only_hidden(assignment: Assignment) -> Assignment:
    """Return `assignment` with visible tests taken out."""

    def change(cell: NotebookNode) -> NotebookNode:
        hidden = hidden_lines(cell.source)
        lines = cell.source.splitlines()
        cell.source = "\n".join(line for n, line in enumerate(lines, 1) if n in hidden)
        return cell

    return _rebuilt(assignment, change)


# ---- what can be seen without running anything ----------------------------------------------


def _unknown_names(lesson: Lesson) -> list[str]:
    """Names that a test uses and nothing defines, or that are not for tests to use."""
    known: set[str] = set()
    shown: set[str] = set()  # bound by a cell of the lesson that is no answer
    problems = []
    for cell in lesson.cells:
        if cell.markdown:
            continue
        try:
            if cell.role is Role.TESTS:
                missing = names.used(cell.source) - known - names.bound(cell.source)
                problems += [f"{cell.name} uses {name}, which nothing defines" for name in missing]
                problems += [
                    f"{cell.name} uses {name} of the lesson, which a student may change"
                    for name in names.used(cell.source) & shown
                ]
            imported = set(names.imports(cell.source))
            known |= names.bound(cell.source) | imported
            if cell.role in (Role.CODE, Role.LOCKED):
                shown |= names.bound(cell.source) - imported
        except SyntaxError:
            continue  # a magic
    return problems


def _leaks(course: Course, lesson: Lesson, folder: Path) -> list[str]:
    """Lines of solutions and hidden tests that the release shows."""
    try:
        release.build(course, (lesson,), folder)
    except LessonError as error:
        return [str(error)]
    return []
