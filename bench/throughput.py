"""Grade one class twice, with ``nbgrader autograde`` and with ``grader grade``, and compare.

    python bench/throughput.py --submissions 60 --json result.json

Both grade the same files with the same kernel environment. What is counted: wall time of the
command, and CPU time of every process that it leads to, daemons included. Both must give the same
marks, except where nbgrader loses a submission or pays for what did not run: those are listed.

Then the grader's own cost is taken apart: the CPU time of the run less what the same cells use in
one bare process, and where it goes.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import io
import json
import math
import mmap
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import nbformat
import psutil
import typer
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from rich.console import Console
from rich.table import Table

from grader import clean, demo, engine, feedback, gradebook, launch, needed, score
from grader import grade as grading
from grader.classroom import Classroom
from grader.course import load_course
from grader.kernels import provisioner
from grader.kernels.zygote import PRELOAD
from grader.model import Assignment, Graded, Limits

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "solutions"
ENDLESS_FROM = 20  # submissions: in a smaller class the endless loop would be all that is measured
SAMPLE = 10  # submissions of which the breakdown is made
LEFT_BEHIND = 60  # seconds that a command's daemons may outlive it

# One thread a kernel, for both. Settings of whoever runs this stay away from both.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

out = Console(width=None if sys.stdout.isatty() else 120)


class Lesson(StrEnum):
    """What the class hands in."""

    TINY = "tiny"  # next to nothing to compute: measures the grader
    DEMO = "demo"  # the class of ``grader demo``: measures a lesson


@dataclass(frozen=True)
class Student:
    """Who hands in `content`, and the points that it must earn without a person's."""

    name: str
    content: bytes
    score: float


@dataclass
class Run:
    """One command, with all processes that it led to.

    Attributes:
        seconds: until the command itself had ended.
        cpu_seconds: user and system, of everything.
    """

    seconds: float
    cpu_seconds: float
    exit_code: int


@dataclass
class Difference:
    """A submission to which the two give different marks."""

    student: str
    known: float
    grader: float | None
    nbgrader: float | None
    why: str
    is_theirs: bool  # nbgrader loses or misjudges it, and ours is as known


@dataclass
class Part:
    """One line of the breakdown: milliseconds of CPU time for one submission."""

    name: str
    milliseconds: float


@dataclass
class Result:
    """All that was found for one lesson."""

    lesson: str
    submissions: int
    cells: int  # code cells of the notebook
    cells_run: float = 0.0  # of which the grader ran so many, on average
    grader: list[Run] = field(default_factory=list)
    nbgrader: list[Run] = field(default_factory=list)
    cells_cpu_seconds: float = 0.0  # of all submissions, in a bare process
    limit_cpu_seconds: float = 0.0  # the part of it that cells used until their time limit
    own_cpu_seconds: float = 0.0  # of one submission
    differences: list[Difference] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    once: list[Part] = field(default_factory=list)


# ---- the classes ----------------------------------------------------------------------------

SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
TINY_CELLS = (
    ("markdown", "", 0, "# Softmax\n\nA lesson that computes next to nothing."),
    ("code", "", 0, "import matplotlib.pyplot as plt\nimport numpy as np\nimport torch"),
    (
        "code",
        "softmax",
        0,
        '''\
        def softmax(x):
            """Return the softmax of `x` along its last axis."""
            ### BEGIN SOLUTION
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            return e / e.sum(axis=-1, keepdims=True)
            ### END SOLUTION''',
    ),
    (
        "code",
        "",
        0,
        """\
        fig, ax = plt.subplots(figsize=(4, 3))
        ax.plot(softmax(np.linspace(-3, 3, 50)))
        ax.set_title("softmax of a line")
        plt.show()""",
    ),
    ("code", "softmax-sum", 1, "assert np.isclose(softmax(np.arange(5.0)).sum(), 1)"),
    ("code", "softmax-shape", 1, "assert softmax(np.zeros((3, 4))).shape == (3, 4)"),
    ("code", "softmax-rows", 1, "assert np.allclose(softmax(np.ones((2, 3))).sum(axis=-1), 1)"),
    (
        "code",
        "softmax-torch",
        1,
        """\
        x = np.random.default_rng(0).normal(size=(4, 7))
        assert np.allclose(softmax(x), torch.softmax(torch.from_numpy(x), dim=-1).numpy())""",
    ),
    (
        "code",
        "softmax-large",
        1,
        """\
        assert np.isfinite(softmax(np.array([0.0, 1.0]))).all()
        ### BEGIN HIDDEN TESTS
        with np.errstate(all="ignore"):
            assert np.isfinite(softmax(np.array([1000.0, 0.0]))).all()
        ### END HIDDEN TESTS""",
    ),
)
TINY_ANSWERS = {  # name: (points, answer)
    "right": (
        5,
        "def softmax(x):\n    e = np.exp(x - x.max(axis=-1, keepdims=True))\n"
        "    return e / e.sum(axis=-1, keepdims=True)",
    ),
    "torch": (
        5,
        "def softmax(x):\n    return torch.softmax(torch.from_numpy(x), dim=-1).numpy()",
    ),
    "overflows": (
        4,
        "def softmax(x):\n    e = np.exp(x)\n    return e / e.sum(axis=-1, keepdims=True)",
    ),
    "whole_array": (3, "def softmax(x):\n    e = np.exp(x - x.max())\n    return e / e.sum()"),
    "blank": (0, None),
}


def tiny_source(folder: Path) -> None:
    """Write nbgrader's source folder of the tiny lesson."""
    cells = []
    for number, (kind, name, points, text) in enumerate(TINY_CELLS):
        text = textwrap.dedent(text)
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        cell = new(text, id=name or f"cell-{number}")
        if name:
            cell.metadata["nbgrader"] = {
                "grade": points > 0,
                "grade_id": name,
                "locked": points > 0,
                "schema_version": 3,
                "solution": points == 0,
                "task": False,
                "cell_type": kind,
            } | ({"points": points} if points else {})
        cells.append(cell)
    folder.mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": SPEC})
    nbformat.write(notebook, folder / "tiny.ipynb")


def tiny_students(assignment: Assignment, count: int) -> list[Student]:
    """Return a class that knows five answers."""
    people = []
    for number in range(count):
        name = list(TINY_ANSWERS)[number % len(TINY_ANSWERS)]
        points, answer = TINY_ANSWERS[name]
        notebook = nbformat.reads(assignment.notebooks[0].released, as_version=4)
        for cell in notebook.cells:
            if clean.grade_id(cell) == "softmax" and answer is not None:
                cell.source = answer
        text: str = nbformat.writes(notebook)
        people.append(Student(f"s{number:03}-{name}", text.encode(), points))
    return people


def demo_students(everybody: list[demo.Student], count: int) -> list[Student]:
    """Return `count` of the demo's class: one of each kind, then some of the others, or all anew.

    The wrong and right answers are chosen evenly from the whole lesson.
    """
    kinds = ["perfect", "kills_the_kernel", "no_notebook", "syntax_error", "blank"]
    kinds += ["loops_forever"] * (count >= ENDLESS_FROM)
    by_name = {student.name: student for student in everybody}
    special = [by_name[name] for name in kinds][:count]
    others = [s for s in everybody if s.name not in {*kinds, "loops_forever"}]
    wanted = min(count - len(special), len(others))
    chosen = special + [others[i * len(others) // wanted] for i in range(wanted)]
    return [
        Student(
            chosen[i % len(chosen)].name + (f"-{i // len(chosen)}" if i >= len(chosen) else ""),
            chosen[i % len(chosen)].content,
            chosen[i % len(chosen)].score,
        )
        for i in range(count)
    ]


@dataclass(frozen=True)
class Class:
    """A class that has handed in, twice: as `grader grade` and as nbgrader alone have it.

    Attributes:
        ours, theirs: folders that are copied for each run.
        options: of ``grader grade``: where the lesson comes from.
    """

    unit: str
    ours: Path
    theirs: Path
    students: list[Student]
    assignment: Assignment
    options: list[str]


def make_class(lesson: Lesson, count: int, folder: Path) -> Class:
    """Make the class of `lesson` in `folder`."""
    ours, theirs = folder / "ours", folder / "theirs"
    made = Classroom(folder / "made")
    people: list[Student]
    if lesson is Lesson.TINY:
        unit, options = "tiny", ["--source", str(folder / "source")]
        tiny_source(folder / "source" / unit)
        assignment = made.assignment(unit, source=folder / "source")
        people = tiny_students(assignment, count)
    else:
        course = load_course(SOLUTIONS)
        unit, options = "02-convolution", ["--solutions", str(SOLUTIONS)]
        assignment = made.assignment(unit, course)
        people = demo_students(demo.students(course[unit], assignment), count)
    for root in (ours, theirs):
        for student in people:
            target = root / "submitted" / student.name / unit
            target.mkdir(parents=True)
            (target / f"{assignment.notebooks[0].name}.ipynb").write_bytes(student.content)
    # nbgrader has what it needs before the clock starts; ours makes its assignment when it grades.
    shutil.copytree(made.source(unit), theirs / "source" / unit)
    (theirs / "nbgrader_config.py").write_text(
        "c = get_config()\n"
        'c.CourseDirectory.course_id = "bench"\n'
        f"c.Execute.timeout = {math.ceil(assignment.limits.cell_seconds)}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", unit]
    log = folder / "generate.log"
    if measure(command, theirs, log).exit_code:
        raise SystemExit(f"nbgrader cannot make the assignment: {log.read_text()[-2000:]}")
    return Class(unit, ours, theirs, people, assignment, options)


# ---- commands and what they use -------------------------------------------------------------

# The parent of a command and of all that loses its parent below it: zygotes are daemons, and
# only who waits for a process learns what it used. Prints wall seconds, CPU seconds, exit code.
REAPER = f"""
import ctypes, os, resource, signal, sys, time
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
began = time.monotonic()
command = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                         file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
seconds = code = None
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        break
    if pid == command:
        seconds, code = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        signal.alarm({LEFT_BEHIND})
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, code)
"""


def measure(command: list[str], folder: Path, log: Path) -> Run:
    """Run `command` in `folder` and wait for it and for every process that it led to.

    Raises:
        SystemExit: a process was left behind that does not end.
    """
    settings = folder.parent / "settings"
    settings.mkdir(exist_ok=True)
    environment = os.environ | THREADS
    environment |= {"JUPYTER_CONFIG_DIR": str(settings), "IPYTHONDIR": str(settings)}
    here = str(Path(sys.executable).parent)  # nbgrader asks for the program alembic
    environment["PATH"] = f"{here}:{environment.get('PATH', os.defpath)}"
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-S", "-c", REAPER, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: left processes behind; see {log}")
    seconds, cpu, code = done.stdout.split()
    return Run(float(seconds), float(cpu), int(code))


def run_grader(made: Class, folder: Path, workers: int | None) -> Run:
    """Grade a copy of the class, in `folder`, with the command of this project."""
    shutil.copytree(made.ours, folder)
    command = [sys.executable, "-m", "grader.cli", "grade", made.unit, "--class", str(folder)]
    command += made.options + (["--workers", str(workers)] if workers is not None else [])
    run = measure(command, folder, folder / "log.txt")
    if run.exit_code:
        raise SystemExit(f"grader grade: {(folder / 'log.txt').read_text()[-2000:]}")
    return run


def run_without_kernels(made: Class, folder: Path, workers: int) -> Run:
    """Grade no notebooks, one a worker: what a run costs once, the zygote left out."""
    for number in range(workers):
        target = folder / "submitted" / f"s{number}" / made.unit
        target.mkdir(parents=True)
        (target / f"{made.assignment.notebooks[0].name}.ipynb").write_bytes(b"no notebook")
    command = [sys.executable, "-m", "grader.cli", "grade", made.unit, "--class", str(folder)]
    command += [*made.options, "--workers", str(workers), "--no-sandbox"]
    return measure(command, folder, folder / "log.txt")


def run_nbgrader(made: Class, folder: Path) -> Run:
    """Grade a copy of the class, in `folder`, with nbgrader as it comes."""
    shutil.copytree(made.theirs, folder)
    command = [sys.executable, "-m", "nbgrader", "autograde", made.unit]
    # It exits with 1 where one submission fails; the others are graded.
    return measure(command, folder, folder / "log.txt")


# ---- marks ----------------------------------------------------------------------------------

Marks = dict[str, dict[str, float]]  # {student: {test cell: points}}


def stored(folder: Path, made: Class) -> Marks:
    """Return the automatic marks in the gradebook of `folder`; a student without any is left out.

    nbgrader removes the folder of a submission on which it fails, and leaves its rows.
    """
    found: Marks = {}
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as database:
        for student in made.students:
            if not (folder / "autograded" / student.name / made.unit).is_dir():
                continue
            with contextlib.suppress(MissingEntry):
                submission = database.find_submission(made.unit, student.name)
                found[student.name] = {
                    grade.name: grade.auto_score
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                    if grade.auto_score is not None
                }
    return found


def compare(made: Class, ours: Path, theirs: Path | None) -> list[Difference]:
    """Return who has other marks than the other one gives, or other than are known."""
    left = stored(ours, made)
    right = stored(theirs, made) if theirs is not None else left
    found = []
    for student in made.students:
        mine, other = left.get(student.name), right.get(student.name)
        a = sum(mine.values()) if mine is not None else None
        b = sum(other.values()) if other is not None else None
        if mine == other and a == student.score:
            continue
        if a != student.score:
            why = "the grader's is not the score that is known"
        elif mine is None or other is None:
            why = "nbgrader failed on it and stored no marks"
        else:
            names = sorted(n for n in mine.keys() | other.keys() if mine.get(n) != other.get(n))
            why = "; ".join(
                f"{name}: nbgrader {other.get(name, 0.0):g}, grader {mine.get(name, 0.0):g}"
                f"{_verdict(ours, made, student.name, name)}"
                for name in names
            )
        found.append(Difference(student.name, student.score, a, b, why, a == student.score))
    return found


def _verdict(folder: Path, made: Class, student: str, name: str) -> str:
    path = folder / "autograded" / student / made.unit / "graded.json"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["grade_id"] == name:
            verdict = cell["verdict"].replace("_", " ")
            return f" ({verdict}{': ' + cell['message'] if cell['message'] else ''})"
    return ""


# ---- the cells alone ------------------------------------------------------------------------


def cells_alone(executed: list[Path]) -> list[tuple[float, float]]:
    """Return the CPU seconds that the cells of each `executed` notebook use without any kernel.

    One warm process forks a child for each notebook; the child runs its cells as plain Python and
    draws its figures. To be called in a process of its own.

    Returns:
        for each (of all cells, of those that ran until their time limit)
    """
    os.environ["MPLBACKEND"] = "agg"
    for name in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _draw_once()
    gc.collect()
    gc.freeze()
    found = []
    for path in executed:
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        used = mmap.mmap(-1, 16)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(path.parent, folder, dirs_exist_ok=True)
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    _run_alone(cells, folder, used)
                os._exit(0)
            os.waitpid(child, 0)
        total, late = struct.unpack("dd", used)
        found.append((total, late))
    return found


def _draw_once() -> None:
    """Draw a figure: fonts and the parser of formulas are then known, as they are to a zygote."""
    import matplotlib.pyplot as plt

    plt.figure().subplots().set_title("$x^2$ and text")
    plt.savefig(io.BytesIO(), format="png", bbox_inches="tight")
    plt.close("all")


NOT_STARTED = ("not run", "not needed")


def _run_alone(cells: list[NotebookNode], folder: str, used: mmap.mmap) -> None:
    os.chdir(folder)
    sys.path.insert(0, "")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("grader", "data")]:
        del sys.modules[name]  # a kernel imports them anew
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    import matplotlib.pyplot as plt
    from IPython.core.pylabtools import print_figure

    began, late = _cpu(), 0.0
    for cell in cells:
        judged = cell.metadata.get("judged", {"status": "not run"})
        if judged["status"] in NOT_STARTED:
            continue
        before, is_endless = _cpu(), judged["status"] == "time limit"
        with contextlib.suppress(BaseException):
            if is_endless:
                signal.setitimer(signal.ITIMER_REAL, judged["seconds"])
            _run_cell(cell.source, vars(main))
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in plt.get_fignums():
            with contextlib.suppress(Exception):
                print_figure(plt.figure(number), fmt="png", bbox_inches="tight")
        plt.close("all")
        late += (_cpu() - before) * is_endless
        struct.pack_into("dd", used, 0, _cpu() - began, late)


def _cells_run(path: Path) -> int:
    cells = nbformat.read(path, as_version=4).cells
    found = [cell.metadata["judged"]["status"] for cell in cells if "judged" in cell.metadata]
    return sum(status not in NOT_STARTED for status in found)


def _run_cell(source: str, names: dict[str, Any]) -> None:
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
        repr(value)


def _cpu() -> float:
    return time.process_time() + _children()


# ---- where it goes --------------------------------------------------------------------------


class Clock:
    """CPU time of this process by what it is doing: each moment counts for the innermost name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._names: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count what is done meanwhile for `name`."""
        self._charge()
        self._names.append(name)
        try:
            yield
        finally:
            self._charge()
            self._names.pop()

    def watch(self, owner: Any, function: str, name: str) -> None:
        """Count every call of ``owner.function`` for `name`."""
        original: Callable[..., Any] = getattr(owner, function)

        def counted(*arguments: Any, **options: Any) -> Any:
            with self.on(name):
                return original(*arguments, **options)

        setattr(owner, function, counted)

    def _charge(self) -> None:
        now = time.process_time()
        if self._names:
            name = self._names[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def take_apart(made: Class, folder: Path, cells_seconds: dict[str, float]) -> list[list[Part]]:
    """Return what one submission costs, part by part, and what a run costs once.

    To be called in a process of its own, for it changes functions of the grader.

    Args:
        cells_seconds: of the students to be graded, what their cells use alone.
    """
    clock = Clock()
    with clock.on("making the assignment"):
        classroom = Classroom(folder)
        if made.unit == "tiny":
            assignment = classroom.assignment("tiny", source=Path(made.options[1]))
        else:
            assignment = classroom.assignment(made.unit, load_course(SOLUTIONS))
    children = _children()
    with clock.on("looking whether kernels can be isolated"):
        launch.require_sandbox()
    once, clock.seconds = clock.seconds, {}
    once["looking whether kernels can be isolated"] += _children() - children

    kernels: dict[int, float] = {}  # {room: CPU seconds}
    cleanup = provisioner.WarmProvisioner.cleanup

    async def counted(self: Any, restart: bool = False) -> None:
        await cleanup(self, restart)
        kernels[self._room] = self.usage().cpu_seconds

    provisioner.WarmProvisioner.cleanup = counted  # type: ignore[method-assign]

    # A kernel without cells: start and end.
    empty = nbformat.v4.new_notebook(metadata={"kernelspec": SPEC})
    with tempfile.TemporaryDirectory() as name:
        engine.run(empty, Path(name), Limits(), {})
        zygote = _zygote()
        once["zygote: imports and first drawing"] = sum(zygote.cpu_times()[:2])
        kernels.clear()
        before = time.process_time()
        for _ in range(SAMPLE):
            engine.run(empty, Path(name), Limits(), {})
        client_start = (time.process_time() - before) / SAMPLE
        kernel_start = statistics.mean(kernels.values())

    for owner, function, label in (
        (clean, "clean", "clean: rebuilding the notebook"),
        (needed, "mark", "needed: which cells a mark depends on"),
        (engine, "run", "client"),
        (score, "results", "score"),
        (score, "settle", "score"),
        (gradebook.Gradebook, "_penalties", "gradebook: late penalties"),
        (gradebook.Gradebook, "_write", "gradebook: files"),
        (feedback, "pages", "feedback pages"),
    ):
        clock.watch(owner, function, label)
    submissions = [classroom.submission(student, assignment) for student in cells_seconds]
    with gradebook.Gradebook(classroom) as book:
        book.store(assignment, grading.grade(assignment, submissions[0]))  # the first is slower
        kernels.clear()
        clock.seconds = {}
        before_zygote, before_children = zygote.cpu_times(), _children()
        graded: list[Graded] = []
        for submission in submissions:
            with clock.on("grade: folders, notebook to text"):
                graded.append(grading.grade(assignment, submission))
        zygote_now = zygote.cpu_times()
        children = _children() - before_children
        for one in graded:
            with clock.on("gradebook: database"):
                book.store(assignment, one)
    count = len(graded)
    zygote_self = (sum(zygote_now[:2]) - sum(before_zygote[:2])) / count
    zygote_children = (sum(zygote_now[2:4]) - sum(before_zygote[2:4])) / count
    kernel = sum(kernels.values()) / count
    share = len(kernels) / count  # some submissions need no kernel
    mine = {name: seconds / count for name, seconds in clock.seconds.items()}
    client = mine.pop("client", 0.0)
    alone = sum(cells_seconds.values()) / count
    parts = {
        "zygote: fork, and building rooms": zygote_self,
        "room: bubblewrap": max(0.0, zygote_children - kernel),
        "kernel: start and end": kernel_start * share,
        "kernel: cells, beyond what they use alone": kernel - kernel_start * share - alone,
        "client: start and end": client_start * share,
        "client: cells": client - client_start * share,
        "rm -rf of the folder": children / count,
        **mine,
    }
    return [_parts(parts), _parts(once)]


def _zygote() -> psutil.Process:
    """Return this process's zygote, when no kernel runs."""
    for process in psutil.Process().children(recursive=True):
        program, *arguments = process.cmdline() or [""]
        if "python" in Path(program).name and "zygote" in " ".join(arguments):
            return process
    raise SystemExit("there is no zygote")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _parts(seconds: dict[str, float]) -> list[Part]:
    found = [Part(name, 1000 * one) for name, one in seconds.items()]
    return sorted(found, key=lambda part: -part.milliseconds)


IMPORTS = "import grader.cli, grader.batch, grader.classroom, grader.course"


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `function` gives in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# ---- one lesson -----------------------------------------------------------------------------


def bench(
    lesson: Lesson, count: int, repeat: int, workers: int | None, nbgrader: bool, folder: Path
) -> Result:
    """Measure `lesson` in the empty `folder`."""
    made = make_class(lesson, count, folder)
    sealed = nbformat.reads(made.assignment.notebooks[0].sealed, as_version=4)
    result = Result(lesson, count, sum(cell.cell_type == "code" for cell in sealed.cells))
    for number in range(repeat):
        with out.status(f"{lesson}: grader grade, run {number + 1} of {repeat}"):
            result.grader.append(run_grader(made, folder / f"grader-{number}", workers))
        if nbgrader:
            with out.status(f"{lesson}: nbgrader autograde, run {number + 1} of {repeat}"):
                result.nbgrader.append(run_nbgrader(made, folder / f"nbgrader-{number}"))
    ours, theirs = folder / "grader-0", folder / "nbgrader-0" if nbgrader else None
    result.differences = compare(made, ours, theirs)
    with out.status(f"{lesson}: the cells alone"):
        executed = sorted((ours / "autograded").glob(f"*/{made.unit}/*.ipynb"))
        alone = dict(zip(executed, elsewhere(cells_alone, executed), strict=True))
        result.cells_run = sum(map(_cells_run, executed)) / count
        result.cells_cpu_seconds = sum(total for total, _ in alone.values())
        result.limit_cpu_seconds = sum(late for _, late in alone.values())
    used = statistics.median(run.cpu_seconds for run in result.grader)
    result.own_cpu_seconds = (used - result.cells_cpu_seconds) / count
    with out.status(f"{lesson}: where it goes"):
        shutil.copytree(made.ours, folder / "apart")
        # No endless loops: they would be all that is seen.
        sample = [(path, total) for path, (total, late) in alone.items() if late == 0.0]
        step = max(1, len(sample) // SAMPLE)
        seconds = {path.parent.parent.name: total for path, total in sample[::step][:SAMPLE]}
        result.parts, result.once = elsewhere(take_apart, made, folder / "apart", seconds)
        imports = measure([sys.executable, "-c", IMPORTS], folder, folder / "log.txt")
        number = min(workers if workers is not None else os.cpu_count() or 1, count)
        start = run_without_kernels(made, folder / "start", number)
    known = {part.name: part.milliseconds for part in result.once}
    rest = 1000 * (start.cpu_seconds - imports.cpu_seconds) - known["making the assignment"]
    result.once += [
        Part("imports of the command", 1000 * imports.cpu_seconds),
        Part(f"starting {number} workers, and the rest of the command", rest),
    ]
    result.once.sort(key=lambda part: -part.milliseconds)
    return result


# ---- what is printed ------------------------------------------------------------------------


def show(result: Result) -> None:
    """Print the tables of one lesson."""
    title = (
        f"{result.lesson}: {result.submissions} submissions of {result.cells} code cells, "
        f"of which the grader runs {result.cells_run:.1f}"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("seconds", "submissions/s", "CPU s/submission", "throughput"):
        table.add_column(column, justify="right")
    base = _rate(result, result.nbgrader)
    for name, runs in (("nbgrader autograde", result.nbgrader), ("grader grade", result.grader)):
        if runs:
            cpu = statistics.median(run.cpu_seconds for run in runs) / result.submissions
            rate = _rate(result, runs)
            table.add_row(
                name,
                f"{result.submissions / rate:.1f}",
                f"{rate:.2f}",
                f"{cpu:.2f}",
                f"{rate / base:.1f} x" if base else "",
            )
    out.print(table)
    late = result.limit_cpu_seconds
    out.print(
        f"The cells alone: {result.cells_cpu_seconds / result.submissions:.3f} CPU seconds for "
        f"one submission" + (f" ({late:.1f} s of them all until a time limit)." if late else ".")
    )
    out.print(
        f"[bold]Own overhead: {result.own_cpu_seconds:.3f} CPU seconds for one submission.[/]"
    )
    _show_parts("Where it goes, for one submission", result.parts, 1)
    _show_parts("Once for a run", result.once, result.submissions)
    parts = sum(part.milliseconds for part in result.parts)
    parts += sum(part.milliseconds for part in result.once) / result.submissions
    out.print(f"Of {1000 * result.own_cpu_seconds:.0f} ms these tables explain {parts:.0f} ms.")
    _show_differences(result)


def _rate(result: Result, runs: list[Run]) -> float:
    return result.submissions / statistics.median(r.seconds for r in runs) if runs else 0.0


def _show_parts(title: str, parts: list[Part], share: int) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("part")
    table.add_column("CPU ms", justify="right")
    if share > 1:
        table.add_column("of one submission", justify="right")
    for part in [*parts, Part("sum", sum(part.milliseconds for part in parts))]:
        row = [part.name, f"{part.milliseconds:.1f}"]
        table.add_row(*row, *([f"{part.milliseconds / share:.1f}"] if share > 1 else []))
    out.print(table)


def _show_differences(result: Result) -> None:
    same = result.submissions - len(result.differences)
    against = "as known, and nbgrader's the same" if result.nbgrader else "as known"
    out.print(f"Marks: {same} of {result.submissions} {against}.")
    if not result.differences:
        return
    table = Table()
    for column in ("student", "known", "grader", "nbgrader", "why"):
        table.add_column(column, justify="right" if column in ("known",) else "left")
    for one in result.differences:
        points = ["none" if p is None else f"{p:g}" for p in (one.grader, one.nbgrader)]
        colour = "" if one.is_theirs else "[red]"
        table.add_row(colour + one.student, f"{one.known:g}", *points, one.why)
    out.print(table)


def main(
    submissions: Annotated[int, typer.Option(help="How many hand in.", min=1)] = 60,
    repeat: Annotated[int, typer.Option(help="Runs of each; medians are shown.", min=1)] = 1,
    workers: Annotated[int | None, typer.Option(help="Of the grader; one a core.")] = None,
    lesson: Annotated[list[Lesson] | None, typer.Option(help="Which; both by default.")] = None,
    nbgrader: Annotated[bool, typer.Option(help="Run nbgrader too.")] = True,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write results to it.")] = None,
) -> None:
    """Compare ``grader grade`` with ``nbgrader autograde``."""
    os.environ.update(THREADS)  # for our own processes too, which run cells alone
    machine = {
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.system(),
    }
    out.print(f"{machine['cores']} cores, load {machine['load_before']:.1f} before the start")
    results = []
    for one in lesson or list(Lesson):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results.append(bench(one, submissions, repeat, workers, nbgrader, Path(folder)))
        show(results[-1])
    if as_json is not None:
        document = {"machine": machine, "lessons": [asdict(result) for result in results]}
        as_json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if any(not one.is_theirs for result in results for one in result.differences):
        raise typer.Exit(1)  # we are wrong, and not nbgrader


if __name__ == "__main__":
    typer.run(main)
