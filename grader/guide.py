"""What the command line says of itself: examples, exit codes, names to complete, what to do next.

`dress` gives each command its examples; a test runs every line of them through the real parser.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

import typer

from grader.model import Graded, Status

EXIT_CODES = {
    0: "done",
    1: "done, and something is not as it should be: a stale notebook, a test that lets a "
    "mistake through, a submission on which the grader failed, a grade that has no place",
    2: "not done, because of what was typed or given: one message says what to do",
    70: "not done, because of a mistake in the grader: the message names a file to send us",
    130: "stopped by Ctrl-C; the same command goes on where it was",
}

EXAMPLES = {
    "For students": {
        "try": {
            "grader try notebooks/02-convolution/convolution.ipynb": "before you hand it in",
            "grader try convolution.ipynb --cell-seconds 300": "on a slow machine",
        },
    },
    "For instructors": {
        "demo": {
            "grader demo 02-convolution": "a class in classroom/demo, to look around in",
        },
        "doctor": {
            "grader doctor": "before the first class is graded on this machine",
        },
        "collect": {
            "grader collect 02-convolution submissions.zip": "what Canvas or Moodle gave you",
            "grader collect 02-convolution exchange/cnn-course --dry-run": "only say what is there",
            "grader collect 02-convolution all.zip --roster roster.csv --times times.csv": "names "
            "and times, for late penalties",
        },
        "grade": {
            "grader grade": "all that was handed in to classroom/ and is not graded yet",
            "grader grade 02-convolution --workers 2": "one unit, two submissions at a time",
            "grader grade ps1 --source my-course/source": "an nbgrader assignment of your own",
        },
        "status": {
            "grader status": "how far it is, from a second terminal",
            "grader status --json": "for a script",
        },
        "regrade": {
            "grader regrade 02-convolution": "after a test was corrected; asks before it stores",
            "grader regrade 02-convolution --student ada --yes": "one student, without asking",
            "grader regrade --dry-run --json": "whose marks would change",
        },
        "report": {
            "grader report": "writes classroom/report/index.html",
        },
        "export": {
            "grader export --to canvas --template Grades.csv": "fills in what Canvas exported",
            "grader export 02-convolution --to moodle --template Worksheet.csv --feedback": "with "
            "a zip of feedback pages",
            "grader export --to json --out grades.json": "all that is known",
        },
        "worker": {
            "grader worker tls://lab-1:8786 --tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem":
            "on each machine that grades",
        },
    },
    "For authors": {
        "build": {
            "grader build": "notebooks/ from solutions/",
            "grader build --check": "is what is committed up to date?",
        },
        "figures": {
            "grader figures 02-convolution": "after a cell that draws one was changed",
        },
        "measure": {
            "grader measure 09-training": "hours: the full profile of a unit",
        },
        "validate": {
            "grader validate 02-convolution": "how good are its tests?",
            "grader validate 02-convolution --exercise conv2d --no-mutants": "while you write them",
        },
    },
}  # fmt: skip


def dress(app: typer.Typer) -> None:
    """Give every command of `app` its examples and its place in ``grader --help``."""
    found = {
        name: (panel, lines)
        for panel, commands in EXAMPLES.items()
        for name, lines in commands.items()
    }
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        if name in found:
            command.rich_help_panel, lines = found[name]
            command.epilog = _paragraphs(
                "Examples",
                *(f"[cyan]{line}[/]  [dim]# {what}[/]" for line, what in lines.items()),
            )
    app.info.epilog = _paragraphs(
        "Exit codes",
        *(f"[cyan]{code:4}[/]  {what}" for code, what in EXIT_CODES.items()),
        "Examples: [cyan]grader COMMAND --help[/]. The way of a class: docs/instructor.md.",
    )


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(parts)


# ---- what comes next --------------------------------------------------------------------------


def after_collect(unit: str, folder: Path, *, came: bool) -> list[str]:
    """Return what a person does when submissions have been collected."""
    return [f"grade them: grader grade {unit}{_class(folder)}"] if came else []


def after_grade(results: Sequence[Graded], folder: Path) -> Iterator[str]:
    """Yield what a person does when a class has been graded: first what nobody else can do."""
    where = _class(folder)
    broken = [one for one in results if one.status is Status.BROKEN]
    for unit in dict.fromkeys(one.unit for one in broken):
        names = [one.student for one in broken if one.unit == unit]
        options = "".join(f" --student {quote(name)}" for name in names[:3])
        more = f" (and {len(names) - 3} more)" if len(names) > 3 else ""
        yield (
            f"the grader failed on {', '.join(names[:3])}{more}, and the notes above say why; try "
            f"again: grader regrade {unit}{options}{where}"
        )
    waiting = Counter(one.unit for one in results if one.status is Status.NEEDS_MANUAL)
    for unit, count in waiting.items():
        yield (
            f"{count} of {unit} wait for a person to read answers: cd {quote(str(folder))} && "
            "jupyter lab, then Nbgrader, Formgrader, Manual Grading"
        )
    yield f"the class at a glance: grader report{where}"
    yield f"for the students: {folder}/feedback/<student>/<unit>/"
    yield "for Canvas or Moodle, in their own files: grader export --help"


def _class(folder: Path) -> str:
    return "" if folder == Path("classroom") else f" --class {quote(str(folder))}"


# ---- names that a shell completes -------------------------------------------------------------


def lessons(context: typer.Context, incomplete: str) -> list[str]:
    """Return the course's units that begin so; nothing where there is no course."""
    folder = Path(context.params.get("solutions") or "solutions")
    return _names(folder, incomplete, "[0-9]*")


def handed_in(context: typer.Context, incomplete: str) -> list[str]:
    """Return the units that begin so and that somebody handed in; the course's where none is."""
    found = _names(_submitted(context), incomplete, "*/*")
    return found or lessons(context, incomplete)


def students(context: typer.Context, incomplete: str) -> list[str]:
    """Return the students of the class that begin so."""
    return _names(_submitted(context), incomplete, "*")


def _submitted(context: typer.Context) -> Path:
    return Path(context.params.get("class_") or "classroom") / "submitted"


def _names(folder: Path, incomplete: str, pattern: str) -> list[str]:
    with contextlib.suppress(OSError):
        found = {path.name for path in folder.glob(pattern) if path.is_dir()}
        return sorted(name for name in found if name.startswith(incomplete) and name[0] != ".")
    return []
