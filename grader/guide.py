"""What the command line says of itself: examples, exit codes, what to do next, names to complete.

`dress` gives each command its examples; a test runs every one of them through the parser.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer

from grader.model import Graded, Status

if TYPE_CHECKING:
    from grader.place import Collected

# docs/commands.md has them too; a test compares the two.
EXIT_CODES = {
    0: "done",
    1: "done, and something was found that needs you; it is named",
    2: "not done: a mistake in what was typed or given; the message says which",
    70: "not done: a mistake in the grader; the message names a file to send us",
    130: "stopped by Ctrl-C; what was finished is kept, so run it again",
}

# By who types them, in the order in which they are needed.
EXAMPLES = {
    "For students": {
        "try": {
            "before you hand it in": "grader try notebooks/02-convolution/convolution.ipynb",
            "how far you are, in all units": "grader try",
            "on a slow machine": "grader try convolution.ipynb --cell-seconds 300",
        },
    },
    "For instructors": {
        "doctor": {"before the first class is graded on a machine": "grader doctor"},
        "demo": {"a class in classroom/demo to look around in": "grader demo 02-convolution"},
        "collect": {
            "what Canvas or Moodle let you download": "grader collect 02-convolution all.zip",
            "look first, change nothing": "grader collect 02-convolution all.zip --dry-run",
            "with names, and with times for late penalties": "grader collect 02-convolution "
            "all.zip --roster roster.csv --times times.csv",
        },
        "grade": {
            "all that was handed in to classroom/ and is not graded yet": "grader grade",
            "one unit of another class, two submissions at a time": "grader grade 02-convolution "
            "--class autumn --workers 2",
            "an nbgrader assignment of your own": "grader grade ps1 --source my-course/source",
        },
        "status": {
            "how far it is, from a second terminal": "grader status",
            "for a script": "grader status --json",
        },
        "regrade": {
            "after a test was corrected; asks before it stores": "grader regrade 02-convolution",
            "one student, without asking": "grader regrade 02-convolution --student ada --yes",
            "whose marks would change?": "grader regrade --dry-run --json",
        },
        "report": {"classroom/report/index.html": "grader report"},
        "export": {
            "fill in what Canvas exported": "grader export --to canvas --template Grades.csv",
            "Moodle's worksheet, and a zip of feedback pages": "grader export 02-convolution "
            "--to moodle --template Worksheet.csv --feedback",
            "all that is known": "grader export --to json --out grades.json",
        },
        "worker": {
            "on each machine that grades": "grader worker tls://lab-1:8786 --tls-ca ca.pem "
            "--tls-cert cert.pem --tls-key key.pem"
        },
    },
    "For authors": {
        "build": {
            "notebooks/ from solutions/": "grader build",
            "is what is committed up to date?": "grader build --check",
        },
        "run": {
            "do all lessons run, with their solutions?": "grader run",
            "one, in full, on a GPU": "grader run 09-training --profile full --device cuda",
        },
        "validate": {
            "how good are its tests?": "grader validate 02-convolution",
            "while you write them": "grader validate 02-convolution --exercise conv2d --no-mutants",
        },
        "figures": {"after a cell that draws one was changed": "grader figures 02-convolution"},
        "measure": {"hours: the full profile of a unit": "grader measure 09-training"},
        "site": {"after grader run --artifacts build/executed": "grader site"},
    },
}


def dress(app: typer.Typer) -> None:
    """Give every command of `app` its examples and its place in ``grader --help``."""
    found = {
        name: (panel, lines)
        for panel, commands in EXAMPLES.items()
        for name, lines in commands.items()
    }
    order = list(found)

    def name_of(command: typer.models.CommandInfo) -> str:
        return str(command.name or getattr(command.callback, "__name__", ""))

    def place(command: typer.models.CommandInfo) -> int:
        name = name_of(command)
        return order.index(name) if name in found else len(order)

    app.registered_commands.sort(key=place)
    for command in app.registered_commands:
        if name_of(command) in found:
            command.rich_help_panel, examples = found[name_of(command)]
            lines = (f"  [dim]# {what}[/]\n  [cyan]{line}[/]" for what, line in examples.items())
            command.epilog = "\n".join(["Examples:", *lines])
    codes = (f"  [cyan]{code:3}[/]  {what}" for code, what in EXIT_CODES.items())
    app.info.epilog = "\n".join(
        [
            "Exit codes:",
            *codes,
            "",
            "Each command has examples: [cyan]grader grade --help[/]",
            "From nothing to a graded class: docs/instructor.md",
        ]
    )


# ---- what comes next --------------------------------------------------------------------------


def after_collect(unit: str, folder: Path, rows: Sequence[Collected]) -> Iterator[str]:
    """Yield what a person does when submissions have been collected."""
    from grader.place import Outcome

    if any(row.outcome in (Outcome.COLLECTED, Outcome.UNCHANGED) for row in rows):
        yield f"grade them: grader grade {unit}{_class(folder)}"
    doubtful = [row.student for row in rows if row.outcome is Outcome.NEEDS_LOOK]
    if doubtful:
        yield (
            f"of {', '.join(doubtful[:3])}{' and others' if len(doubtful) > 3 else ''} nothing was "
            "taken: collect the right file alone, as its note says"
        )


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
    if waiting:
        units = ", ".join(f"{count} of {unit}" for unit, count in waiting.items())
        yield (
            f"wait for a person to read answers ({units}): cd {quote(str(folder))} && jupyter lab, "
            "then Nbgrader, Formgrader, Manual Grading"
        )
    yield f"the class at a glance: grader report{where}"
    yield f"a page for each student: {folder}/feedback/<student>/<unit>/"
    yield "grades for Canvas or Moodle: grader export --help"


def _class(folder: Path) -> str:
    return "" if folder == Path("classroom") else f" --class {quote(str(folder))}"


# ---- names that a shell completes -------------------------------------------------------------


def lessons(context: typer.Context, incomplete: str) -> list[str]:
    """Return the course's units that begin so; nothing where there is no course."""
    folder = Path(context.params.get("solutions") or "solutions")
    return _names(folder, incomplete, "[0-9]*")


def handed_in(context: typer.Context, incomplete: str) -> list[str]:
    """Return the units that begin so and that somebody handed in; the course's where none is."""
    return _names(_submitted(context), incomplete, "*/*") or lessons(context, incomplete)


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
