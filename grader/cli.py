"""The command line: arguments in, rich output and exit codes out; nothing else.

Exit codes, examples and what to do next are said in `grader.guide`. With ``--json`` the results,
and nothing else, go to stdout; what is only for the eye goes to stderr.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from typer.core import TyperGroup

from grader import guide
from grader.errors import GraderError, SandboxError, UsageError, nearest
from grader.model import Assignment, CellResult, Graded, Limits, Profile, Status, System, Verdict

if TYPE_CHECKING:
    from grader.check.unit import Unit
    from grader.classroom import Classroom
    from grader.cluster import Where
    from grader.place import Collected
    from grader.reference import Run
    from grader.sources import Left
    from grader.validate import Report


class Commands(TyperGroup):
    """All commands; Ctrl-C in any of them is no failure."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("Stopped.")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Build the course, try a lesson, grade a class.",
)
# A pipe or a log has no width of its own; 80 columns would break every line of a table.
out = Console(width=None if sys.stdout.isatty() else 140)
err = Console(stderr=True)

COLOURS = {
    "passed": "green",
    "failed": "red",
    "not_run": "yellow",
    "broken": "magenta",
    "manual": "cyan",
    "graded": "green",
    "needs_manual": "cyan",
    "unreadable": "yellow",
    "collected": "green",
    "unchanged": "dim",
    "needs a look": "yellow",
    "refused": "red",
}
LOG_SECONDS = 30.0  # between two lines on how far it is, where there is no terminal

Units = Annotated[
    list[str] | None,
    typer.Argument(help="Units; all by default.", autocompletion=guide.lessons),
]
HandedIn = Annotated[
    list[str] | None,
    typer.Argument(help="Units; all handed in.", autocompletion=guide.handed_in),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Solutions = Annotated[Path, typer.Option(help="Folder of the lessons' sources.")]
NoSandbox = Annotated[
    bool, typer.Option("--no-sandbox", help="Let submissions do all that you may do.")
]
Class = Annotated[Path, typer.Option("--class", help="Class folder.")]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Keep a new class in this database (postgresql://USER@HOST/NAME); remembered.",
    ),
]
Source = Annotated[
    Path | None, typer.Option(help="Any nbgrader source folder, instead of our course.")
]
Workers = Annotated[int | None, typer.Option(help="Submissions at a time, on this machine.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler: tls://HOST:PORT.")
]
Ca = Annotated[
    Path | None,
    typer.Option("--tls-ca", "--tls-ca-file", help="Who signed the scheduler's key (PEM)."),
]
Cert = Annotated[Path | None, typer.Option("--tls-cert", help="Our certificate (PEM).")]
Key = Annotated[Path | None, typer.Option("--tls-key", help="Our key (PEM).")]
Slurm = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Jobs of workers, as this TOML file says.")
]
GpuSlots = Annotated[int, typer.Option(min=1, help="Submissions that share a GPU.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for a first worker elsewhere.")]
Repeat = Annotated[
    int, typer.Option(min=1, help="Grade so often, with other seeds; name what disagrees.")
]
AllCells = Annotated[
    bool, typer.Option("--all-cells", help="Run also cells on which no mark can depend.")
]
Notebooks = Annotated[Path, typer.Option(help="Folder of the built releases.")]


@app.command()
def build(
    units: Units = None,
    solutions: Solutions = Path("solutions"),
    notebooks: Notebooks = Path("notebooks"),
    check: Annotated[bool, typer.Option("--check", help="Only say what is stale.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build notebooks/ from solutions/."""
    from grader import course as courses
    from grader import release

    course = courses.load_course(solutions)
    for lesson in course.lessons:
        courses.variants(lesson)
    if check:
        changed = release.stale(course, notebooks)
        if as_json:
            _print_json({"stale": [str(notebooks / path) for path in changed]})
        for path in changed:
            err.print(f"stale: {notebooks / path}")
        if changed:
            err.print("Run [bold]grader build[/] and commit what it changes.")
            raise typer.Exit(1)
        if not as_json:
            out.print(f"{notebooks}/ is what a build of {solutions}/ gives.")
        return
    lessons = tuple(course[unit] for unit in units) if units else course.lessons
    release.build(course, lessons, notebooks)
    if as_json:
        keys = ("unit", "title", "minutes", "points")
        built = [{key: getattr(lesson, key) for key in keys} for lesson in lessons]
        _print_json({"built": built})
        return
    for lesson in lessons:
        out.print(
            f"{notebooks / lesson.unit}: {lesson.title}, {lesson.minutes} minutes, "
            f"{lesson.points:g} points"
        )


@app.command()
def figures(
    units: Units = None,
    as_json: AsJson = False,
    solutions: Solutions = Path("solutions"),
) -> None:
    """Draw the expected figures anew, with the reference solutions."""
    from grader import course as courses
    from grader import release
    from grader.reference import run_reference

    course = courses.load_course(solutions)
    lessons = [course[unit] for unit in units] if units else list(course.lessons)
    saved = []
    with _progress("figures", len(lessons)) as advance:
        for lesson in lessons:
            executed = run_reference(course, lesson)
            for path in release.save_figures(lesson, executed):
                size = path.stat().st_size
                saved.append({"unit": lesson.unit, "path": str(path), "bytes": size})
                if not as_json:
                    out.print(f"{path}  {size / 1000:.1f} kB")
            advance(lesson)
    if as_json:
        _print_json(saved)


@app.command()
def measure(
    units: Annotated[
        list[str],
        typer.Argument(help="Units whose experiments are run again.", autocompletion=guide.lessons),
    ],
    solutions: Solutions = Path("solutions"),
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("data/results"),
    page: Annotated[Path, typer.Option(help="The page made of them.")] = Path("docs/results.md"),
    as_json: AsJson = False,
) -> None:
    """Run the full profile with the reference solutions and store what its experiments give.

    Lessons show these results in their quick profile. It takes minutes to hours.
    """
    from grader import course as courses
    from grader import results as stored
    from grader.reference import run_reference

    course = courses.load_course(solutions)
    env = {"CNN_COURSE_RECORD": str(results.absolute())}
    took = {}
    for lesson in [course[unit] for unit in units]:  # all of them there, before hours of work
        with err.status(f"{lesson.unit}: the full profile"):
            began = time.monotonic()
            run_reference(course, lesson, {"profile": "full"}, env)
        took[lesson.unit] = time.monotonic() - began
        if not as_json:
            out.print(f"{lesson.unit}: {took[lesson.unit] / 60:.1f} minutes")
    page.write_text(stored.page(results), encoding="utf-8")
    if as_json:
        measured = [{"unit": unit, "seconds": round(seconds, 1)} for unit, seconds in took.items()]
        _print_json({"units": measured, "results": str(results), "page": str(page)})
    else:
        out.print(f"{results}, {page}")


@app.command()
def run(
    units: Units = None,
    profile: Annotated[Profile, typer.Option(help="What the lessons are to do.")] = Profile.QUICK,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1 or mps; what the lesson's header says by default."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the lesson's own.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time.")] = None,
    cell_seconds: Annotated[
        float | None, typer.Option(min=1, help="Seconds that a cell may take.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write what failed as JUnit XML.")
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Put the executed notebooks there, also failed ones."),
    ] = None,
    cache: Annotated[
        Path, typer.Option(help="Where what passed is kept until something changes.")
    ] = Path(".grader_cache"),
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run everything, and keep nothing.")
    ] = False,
    as_json: AsJson = False,
    solutions: Solutions = Path("solutions"),
) -> None:
    """Execute lessons with their reference solutions; one that is unchanged is not run again."""
    if device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f'no device "{device}": write cpu, cuda, cuda:1 or mps')
    for folder in (artifacts, junit and junit.parent):
        _must_be_writable(folder)
    from grader import course as courses
    from grader import junit as reports
    from grader import reference, runs

    course = courses.load_course(solutions)
    chosen = [course[unit] for unit in dict.fromkeys(units)] if units else course.lessons
    wanted = {"profile": str(profile), "device": device, "seed": seed}
    limits = reference.LIMITS[profile]
    if cell_seconds is not None:
        limits = replace(limits, cell_seconds=cell_seconds)
    passed = "passed before" if no_cache else "passed"
    with _going_on_later(passed), _progress("notebooks", len(chosen)) as advance:

        def tell(one: reference.Run) -> None:
            what = "" if one.unchanged else f", {one.seconds:.0f} s"
            told = f"{one.unit}: {one.result}{what}" + (f": {one.summary}" if one.summary else "")
            err.print(_plain(told), soft_wrap=True)
            advance(one, counts=not one.unchanged)

        done = runs.run(
            course,
            chosen,
            {name: value for name, value in wanted.items() if value is not None},
            limits=limits,
            count=workers,
            cache=None if no_cache else runs.Cache(cache),
            artifacts=artifacts,
            on_done=tell,
        )
    if junit is not None:
        reports.report(done).write(str(junit), pretty=True)
    if as_json:
        _print_json([one.to_dict() for one in done])
    else:
        out.print(_run_table(done))
    if not all(one.passed for one in done):
        raise typer.Exit(1)


@app.command()
def site(
    executed: Annotated[
        Path, typer.Option(help="Executed lessons: grader run --artifacts.")
    ] = Path("build/executed"),
    to: Annotated[Path, typer.Option(help="Folder of the site.")] = Path("build/site"),
    notebooks: Annotated[Path, typer.Option(help="The released lessons.")] = Path("notebooks"),
    docs: Annotated[Path, typer.Option(help="The guides.")] = Path("docs"),
    as_json: AsJson = False,
    solutions: Solutions = Path("solutions"),
) -> None:
    """Make the course's site: executed lessons without their solutions, with search."""
    from grader import course as courses
    from grader import site as making

    course = courses.load_course(solutions)
    with err.status("making pages"):
        pages = to.parent / f"{to.name}-pages"
        making.write_pages(course, executed, notebooks, docs, pages)
        making.build(pages, to)
    if as_json:
        _print_json({"site": str(to / "index.html")})
    else:
        out.print(f"{to / 'index.html'}", soft_wrap=True)


@app.command(name="try")
def try_(
    notebook: Annotated[
        Path | None, typer.Argument(help="Your notebook; without one: how far you are.")
    ] = None,
    cell_seconds: Annotated[float, typer.Option(help="Seconds that a cell may take.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Run the visible checks of your own notebook: one line for each exercise.

    Without a notebook: the units below the folder that you are in, and how far each is.
    """
    from grader.check import unit as units

    if notebook is None:
        found = units.find_units(Path.cwd())
        if not found:
            raise UsageError(
                f"no units in {Path.cwd()}; name a notebook, or go to the course's folder"
            )
        if as_json:
            _print_json({"units": [_unit_found(unit) for unit in found]})
        else:
            out.print(_units_table(found))
        return
    if not notebook.is_file():
        raise UsageError(f"no file {notebook}")
    from grader.grade import try_out

    with err.status(f"running {notebook.name} from top to bottom"):
        cells = try_out(notebook, Limits(cell_seconds=cell_seconds, submission_seconds=1800))
    if as_json:
        cells_found = [cell.to_dict() for cell in cells]
        _print_json({"notebook": str(notebook), "cells": cells_found})
        return
    table = Table(title=notebook.name, title_justify="left")
    for column in ("exercise", "points", "checks", "what it says"):
        table.add_column(column, justify="right" if column == "points" else "left")
    exercises: dict[str, list[CellResult]] = {}
    for cell in cells:
        exercises.setdefault(cell.exercise or cell.grade_id, []).append(cell)
    for exercise, tests in exercises.items():
        points = sum(cell.max_points for cell in tests)
        table.add_row(exercise, f"{points:g}", _checks(tests), _plain(_first_message(tests)))
    out.print(table)
    unit = units.read_unit(notebook)
    if unit is not None:
        out.print(units.line(unit, units.load_passed(unit) or set()))
    err.print("Visible checks only: the grader runs more of them, on other shapes and values.")


@app.command()
def collect(
    unit: Annotated[
        str, typer.Argument(help="The unit that was handed in.", autocompletion=guide.lessons)
    ],
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Folders, archives, notebooks.")
    ],
    class_: Annotated[Path, typer.Option("--class", help="Class folder.")] = Path("classroom"),
    layout: Annotated[
        str, typer.Option("--from", help="auto, exchange, folder, canvas or moodle.")
    ] = "auto",
    roster: Annotated[
        Path | None, typer.Option(help="CSV: id, name, email, canvas id, moodle id, or some.")
    ] = None,
    times: Annotated[
        Path | None, typer.Option(help="CSV: when each was handed in; Moodle's worksheet will do.")
    ] = None,
    timezone: Annotated[
        str, typer.Option(help="In which times are read that do not name theirs.")
    ] = "UTC",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    as_json: AsJson = False,
    solutions: Solutions = Path("solutions"),
    db: Db = None,
) -> None:
    """Bring what students handed in to DIR/submitted/<student>/<unit>/."""
    from grader import collect as collecting
    from grader import course as courses
    from grader.roster import read_people
    from grader.sources import named

    for path in sources:  # before a class is made
        if not path.exists():
            raise UsageError(f"no file or folder {path}")
    kind, zone = named(layout), _zone(timezone)
    people = read_people(roster) if roster else ()
    moments = read_people(times, zone, timed=True) if times else ()
    course = courses.load_course(solutions) if solutions.is_dir() else None
    is_new = not (class_ / "submitted").is_dir()
    with TemporaryDirectory() as empty:  # where there is no class yet a dry run makes none
        classroom = _opened(Path(empty) if dry_run and is_new else class_, None if dry_run else db)
        rows, left = collecting.collect(
            classroom,
            collecting.known_unit(classroom, unit, course),
            sources,
            layout=kind,
            roster=people,
            times=moments,
            zone=zone,
            dry_run=dry_run,
        )
    if as_json:
        document = {
            "unit": unit,
            "submissions": [row.to_dict() for row in rows],
            "left": [vars(one) for one in left],
        }
        _print_json(document)
    else:
        out.print(_collected_table(rows))
        _show_left(left)
        if any(row.time_source == "hint" for row in rows):
            out.print("A hint of the time is no ground for a penalty: --times names better ones.")
        counts = Counter(str(row.outcome) for row in rows)
        out.print(", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "nothing")
        if dry_run:
            made = f" The class {class_} would be made." if is_new else ""
            out.print(_plain(f"A dry run: nothing was changed.{made}"), soft_wrap=True)
        else:
            _say_next(guide.after_collect(unit, class_, rows))


@app.command()
def grade(
    units: HandedIn = None,
    class_: Class = Path("classroom"),
    source: Source = None,
    as_json: AsJson = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    slurm: Slurm = None,
    gpu_slots: GpuSlots = 1,
    wait: Wait = 600.0,
    no_sandbox: NoSandbox = False,
    repeat: Repeat = 1,
    all_cells: AllCells = False,
    solutions: Solutions = Path("solutions"),
    db: Db = None,
) -> None:
    """Grade what a class handed in and nobody has graded yet.

    DIR/submitted/<student>/<unit>/*.ipynb. Stopped at any moment, it goes on where it was.
    """
    is_here = scheduler is None and slurm is None
    classroom = _classroom(class_, starts=is_here, db=db, sandbox=not no_sandbox)
    where = _where(workers, scheduler, (tls_ca, tls_cert, tls_key), slurm, gpu_slots, wait)
    from grader.batch import grade_class
    from grader.cluster import Pool
    from grader.database import shown

    results = []
    with _going_on_later(), Pool(where, sandbox=not no_sandbox, say=_say) as pool:
        for assignment in _assignments(classroom, units, source, solutions, all_cells=all_cells):
            students = classroom.students(assignment.unit)
            with _progress(assignment.unit) as bar:
                results += grade_class(
                    classroom,
                    assignment,
                    students,
                    pool,
                    bar,
                    on_planned=bar.plan,
                    sandbox=not no_sandbox,
                    seeds=range(repeat),
                    again=False,
                )
    if as_json:
        _print_json([graded.to_dict() for graded in results])
    elif not results:
        err.print("Nothing was handed in; bring it here: [bold]grader collect UNIT SOURCE[/]")
    else:
        out.print(_class_table(results))
        out.print(f"{_counts(results)}; gradebook: {shown(classroom.database)}")
        _say_next(guide.after_grade(results, class_))
    if any(graded.status is Status.BROKEN for graded in results):
        raise typer.Exit(1)


@app.command()
def regrade(
    units: HandedIn = None,
    class_: Class = Path("classroom"),
    student: Annotated[
        list[str] | None,
        typer.Option(help="Only this student; may be given again.", autocompletion=guide.students),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Store the new marks without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing.")] = False,
    as_json: AsJson = False,
    source: Source = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    slurm: Slurm = None,
    gpu_slots: GpuSlots = 1,
    wait: Wait = 600.0,
    no_sandbox: NoSandbox = False,
    repeat: Repeat = 1,
    all_cells: AllCells = False,
    solutions: Solutions = Path("solutions"),
    db: Db = None,
) -> None:
    """Grade again what was graded: who changes, on which cell, why; and only then store it."""
    if as_json and not (yes or dry_run):
        raise UsageError("with --json nobody is asked: say --yes or --dry-run, too")
    is_here = scheduler is None and slurm is None
    classroom = _classroom(class_, starts=is_here, db=db, sandbox=not no_sandbox)
    _must_have_handed_in(classroom, units, student or ())
    where = _where(workers, scheduler, (tls_ca, tls_cert, tls_key), slurm, gpu_slots, wait)
    from grader.batch import Change
    from grader.batch import regrade as grade_again
    from grader.cluster import Pool

    def agrees(bar: Bar, changes: list[Change]) -> bool:
        bar.stop()
        if as_json:
            return yes and not dry_run
        table = Table()
        for column in ("student", "cell", "before", "now", "what it says now", "why"):
            table.add_column(column, justify="right" if column in ("before", "now") else "left")
        for one in changes:
            points = [("" if p is None else f"{p:g}") for p in (one.before, one.after)]
            said = one.says_now.splitlines()[0] if one.says_now else ""
            table.add_row(
                _plain(one.student), _plain(one.cell), *points, _plain(said), _plain(one.why)
            )
        out.print(table)
        if dry_run or yes:
            return not dry_run
        try:
            return typer.confirm("Store these marks?", err=True)
        except typer.Abort:
            raise UsageError(
                "there was no answer, so no mark has changed: say --yes or --dry-run"
            ) from None

    regraded = []
    with _going_on_later(), Pool(where, sandbox=not no_sandbox, say=_say) as pool:
        for assignment in _assignments(classroom, units, source, solutions, all_cells=all_cells):
            students = [
                one for one in classroom.students(assignment.unit) if not student or one in student
            ]
            with _progress(assignment.unit) as bar:
                changes = grade_again(
                    classroom,
                    assignment,
                    students,
                    pool,
                    bar,
                    on_planned=bar.plan,
                    agrees=partial(agrees, bar),
                    sandbox=not no_sandbox,
                    seeds=range(repeat),
                )
            stored = bool(changes) and yes and not dry_run
            plain = [asdict(one) for one in changes]
            regraded.append({"unit": assignment.unit, "changes": plain, "stored": stored})
            if not changes and not as_json:
                out.print(f"{assignment.unit}: every mark is what it was.")
    if as_json:
        _print_json(regraded)


@app.command()
def status(
    units: HandedIn = None,
    class_: Class = Path("classroom"),
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Say what is graded, running, waiting and set aside, and how long the rest will take."""
    from grader.progress import progress

    _must_be_a_class(class_)
    classroom = _opened(class_, db)
    for unit in units or ():
        known = classroom.units()
        if unit not in known and not classroom.released(unit).is_dir():
            raise UsageError(f'nobody handed in "{unit}".{nearest(unit, known)}')
    found = progress(classroom, units)
    if as_json:
        _print_json([one.to_dict() for one in found])
        return
    table = Table()
    for column in ("unit", "handed in", "graded", "running", "waiting", "look at", "time left"):
        table.add_column(column, justify="left" if column in ("unit", "look at") else "right")
    for one in found:
        table.add_row(
            _plain(one.unit),
            *(f"{number}" for number in (one.handed_in, one.graded, one.running, one.waiting)),
            _plain(", ".join(one.broken)),
            "" if one.seconds_left is None else f"{timedelta(seconds=round(one.seconds_left))}",
        )
    out.print(table)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(
    context: typer.Context,
    scheduler: Annotated[str, typer.Argument(help="Of a Dask scheduler: tls://HOST:PORT.")],
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots", "--nworkers", min=1, help="Submissions at a time; by cores and memory."
        ),
    ] = None,
    gpu_slots: GpuSlots = 1,
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    lifetime: Annotated[
        str | None, typer.Option(help="Leave after so long, as in 2h or 90m: a job's walltime.")
    ] = None,
) -> None:
    """Grade on this machine for whoever uses that scheduler, until it ends or Ctrl-C.

    Any other option is one of dask worker's, as --interface or --name.
    """
    from grader import workers
    from grader.cluster import must_be_encrypted

    must_be_encrypted(scheduler)
    keys = {"--tls-ca-file": tls_ca, "--tls-cert": tls_cert, "--tls-key": tls_key}
    given = {name: str(value) for name, value in keys.items() if value is not None}
    given |= {"--lifetime": lifetime} if lifetime else {}
    given |= {"--nworkers": f"{slots or workers.slots(Limits().memory_bytes)}", "--nthreads": "1"}
    arguments = [scheduler, *context.args, *(part for pair in given.items() for part in pair)]
    workers.serve(arguments, gpu_slots)


@app.command()
def report(
    class_: Class = Path("classroom"),
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Write the class report (HTML, with plots) from the gradebook."""
    _must_be_a_class(class_)
    from grader.report import write_report

    path = write_report(_opened(class_, db))
    if as_json:
        _print_json({"report": str(path)})
    else:
        out.print(f"report: {path}", soft_wrap=True)


@app.command()
def export(
    to: Annotated[System, typer.Option(help="For whom.")],
    units: Annotated[
        list[str] | None,
        typer.Argument(help="Units; all graded.", autocompletion=guide.handed_in),
    ] = None,
    class_: Annotated[Path, typer.Option("--class", help="Class folder.")] = Path("classroom"),
    template: Annotated[
        Path | None, typer.Option(help="What Canvas or Moodle exported: filled in, else unchanged.")
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="CSV: student, and how the system knows them.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="Where to; DIR/grades-<system>.csv, grades.json.")
    ] = None,
    with_feedback: Annotated[
        bool, typer.Option("--feedback", help="Also a zip of the feedback pages, beside it.")
    ] = False,
    column: Annotated[
        list[str] | None, typer.Option(help="UNIT=NAME, where the system calls it otherwise.")
    ] = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="Convert to what the template says a unit is worth.")
    ] = False,
    include_waiting: Annotated[
        bool, typer.Option("--include-waiting", help="Also scores that wait for a person.")
    ] = False,
    missing_as_zero: Annotated[
        bool, typer.Option("--missing-as-zero", help="A zero for what was not handed in.")
    ] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Write grades for nbgrader, Canvas, Moodle, or as JSON."""
    from grader import export as exports
    from grader import sheets

    _must_be_a_class(class_)
    titles = dict(_column(text) for text in column or ())
    classroom = _opened(class_, db)
    wish = exports.Wish(
        to=to,
        units=tuple(units or ()),
        template=template,
        roster=roster,
        titles=titles,
        waiting=include_waiting,
        zeros=missing_as_zero,
        scale=scale,
    )
    exported = exports.export(classroom, wish)
    problems = list(exported.problems)
    target = file or classroom.grades(to)
    pages, count = b"", 0
    if with_feedback:
        pages, count, lost = exports.feedback(exported, wish)
        problems += lost
    sheets.save(target, exported.content)
    archive = target.with_name(f"{target.stem}-feedback.zip") if with_feedback else None
    if archive is not None:
        sheets.save(archive, pages)
    if as_json:
        _print_json(
            {
                "grades": str(target),
                "scores": exported.count,
                "feedback": str(archive) if archive else None,
                "pages": count,
                "held": list(exported.held),
                "problems": problems,
            }
        )
    else:
        out.print(_plain(f"grades:   {target} ({exported.count} scores)"), soft_wrap=True)
        if archive is not None:
            out.print(_plain(f"feedback: {archive} ({count} pages)"), soft_wrap=True)
    for title, lines in (("No score was written for:", exported.held), ("Not placed:", problems)):
        if lines:
            err.print(f"[yellow]{title}[/]")
        for line in lines:
            err.print(_plain(f"  {line}"), soft_wrap=True)
    if any("waits for a person" in line for line in exported.held):
        err.print("--include-waiting writes what those who wait have so far.")
    if problems:
        raise typer.Exit(1)


@app.command()
def validate(
    units: Units = None,
    mutants: Annotated[
        bool, typer.Option(help="Also change each solution by machine, and look what fails.")
    ] = True,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many mutants of each exercise, instead of all.")
    ] = None,
    exercise: Annotated[
        list[str] | None, typer.Option(help="Only this exercise; may be given again.")
    ] = None,
    as_json: AsJson = False,
    workers: Annotated[int | None, typer.Option(help="Submissions at a time.")] = None,
    no_sandbox: NoSandbox = False,
    solutions: Solutions = Path("solutions"),
) -> None:
    """Grade the course itself: how good are its tests?"""
    from grader import ahead

    ahead.begin(sandbox=not no_sandbox)  # while this process imports
    from grader import course as courses
    from grader import validate as validation

    course = courses.load_course(solutions)
    reports: list[Report] = []
    for lesson in [course[unit] for unit in units] if units else course.lessons:
        with _progress(lesson.unit) as bar:

            def tell(report: Report, done: int, total: int, bar: Bar = bar) -> None:
                found = f", {len(report.problems)} to mend" if report.problems else ""
                bar.plan(total, f"{report.unit}{found}")
                if done:
                    bar()
                else:
                    err.print(f"{report.unit}: {total} gradings: {_plan(report)}")

            report = validation.validate(
                course,
                lesson,
                exercises=exercise or (),
                with_mutants=mutants,
                sample=sample,
                workers=workers,
                sandbox=not no_sandbox,
                tell=tell,
            )
        reports.append(report)
        if not as_json:
            _show_validation(report)
    problems = sum(len(one.problems) for one in reports)
    if as_json:
        _print_json([one.to_dict() for one in reports])
    elif problems:
        out.print(f"[red]{problems} to mend[/]: each is said below the table of its unit.")
    else:
        out.print("Every test is as good as it must be.")
    if problems:
        raise typer.Exit(1)


@app.command()
def demo(
    units: Units = None,
    class_: Annotated[Path, typer.Option("--class", help="Class folder.")] = Path("classroom/demo"),
    as_json: AsJson = False,
    solutions: Solutions = Path("solutions"),
    workers: Annotated[int | None, typer.Option(help="Submissions at a time.")] = None,
    no_sandbox: NoSandbox = False,
    db: Db = None,
) -> None:
    """Make a class of students whose scores are known, grade it, report on it."""
    from grader import course as courses
    from grader import demo as demos
    from grader.batch import grade_class
    from grader.report import write_report

    sandbox = not no_sandbox and _can_isolate()
    course = courses.load_course(solutions)
    lessons = [course[unit] for unit in units] if units else course.lessons
    classroom = demos.open_class(class_, db)
    results = []
    surprises = []
    for lesson in lessons:
        assignment = classroom.assignment(lesson.unit, course)
        people = demos.students(lesson, assignment)
        demos.hand_in(classroom, assignment, people)
        with _progress(lesson.unit) as bar:
            names = [person.name for person in people]
            graded = grade_class(
                classroom,
                assignment,
                names,
                workers,
                bar,
                on_planned=bar.plan,
                sandbox=sandbox,
            )
        results += graded
        surprises += [
            f"{one.student}: {one.score:g}, expected {person.score:g}"
            for one, person in zip(graded, people, strict=True)
            if one.score != person.score
        ]
    page = write_report(classroom)
    if as_json:
        graded_all = [one.to_dict() for one in results]
        _print_json({"report": str(page), "surprises": surprises, "submissions": graded_all})
    else:
        out.print(_class_table(results))
        out.print(f"feedback: {classroom.root / 'feedback'}", soft_wrap=True)
        out.print(f"report:   {page}", soft_wrap=True)
    for surprise in surprises:
        err.print(f"[red]{surprise}[/]")
    if surprises:
        raise typer.Exit(1)
    if not as_json:
        out.print("Every student got the score that was expected.")


@app.command(name="doctor")
def doctor_(as_json: AsJson = False) -> None:
    """Say what this machine can isolate, and what to install for the rest."""
    from grader.kernels import doctor

    table = Table()
    for column in ("", "what", "found", "what to do"):
        table.add_column(column)
    found = doctor.examine()
    for one in found:
        mark = "[green]yes[/]" if one.works else "[red]no[/]" if one.needed else "[yellow]no[/]"
        table.add_row(mark, one.name, _plain(one.detail), "" if one.works else _plain(one.advice))
    if as_json:
        _print_json([asdict(one) for one in found])
    else:
        out.print(table)
    can = not any(one.needed and not one.works for one in found)
    if not as_json:
        out.print(
            "Submissions are isolated here."
            if can
            else "Submissions cannot be isolated here: grading needs --no-sandbox."
        )
    if not can:
        raise typer.Exit(1)


# ---- what commands share ---------------------------------------------------------------------


def _must_be_a_class(folder: Path) -> None:
    if (folder / "submitted").is_dir():
        return
    if Path("submitted").is_dir():
        advice = "This folder is one: say --class ."
    else:
        advice = (
            f"Name yours with --class, or make one: grader collect UNIT SOURCE --class {folder}"
        )
    raise UsageError(
        f"{folder} is not a class folder: it has no submitted/<student>/<unit>/\n{advice}"
    )


def _must_have_handed_in(
    classroom: Classroom, units: list[str] | None, students: Iterable[str]
) -> None:
    known = {name for unit in units or classroom.units() for name in classroom.students(unit)}
    for name in students:
        if name not in known:
            raise UsageError(f'no student "{name}" handed in any of it.{nearest(name, known)}')


def _must_be_writable(folder: Path | None) -> None:
    """See before the work, and not after it, that its outcome can be written."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"nothing can be written to {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"nothing can be written to {folder}: it is not yours to change")


def _where(
    count: int | None,
    scheduler: str | None,
    keys: tuple[Path | None, Path | None, Path | None],
    slurm: Path | None,
    gpu_slots: int,
    wait: float,
) -> Where:
    from grader.cluster import Where
    from grader.slurm import Jobs

    if (count is not None) + (scheduler is not None) + (slurm is not None) > 1:
        raise UsageError("one of --workers, --scheduler and --slurm")
    jobs = Jobs.read(slurm) if slurm else None
    return Where(count, scheduler, *keys, jobs, gpu_slots, wait)


@contextmanager
def _going_on_later(what: str = "was graded") -> Iterator[None]:
    """Say after Ctrl-C what has become of the work."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"Stopped. What {what} is kept; run the same command again, and it goes on.")
        raise typer.Exit(130) from None


def _say_next(lines: Iterable[str]) -> None:
    """Say what a person does now, where nothing reads it by machine."""
    for number, line in enumerate(lines):
        err.print(("[bold]Next[/]  " if number == 0 else "      ") + _plain(line), soft_wrap=True)


def _say(text: str) -> None:
    err.print(f"[yellow]{_plain(text)}[/]", soft_wrap=True)


def _classroom(folder: Path, *, starts: bool, db: str | None, sandbox: bool) -> Classroom:
    """Return the class; `starts` what its workers need here while this process imports."""
    from grader import ahead

    _must_be_a_class(folder)
    if starts:
        ahead.begin(sandbox=sandbox)
    return _opened(folder, db)


def _opened(folder: Path, db: str | None) -> Classroom:
    from grader.classroom import Classroom

    classroom = Classroom(folder)
    classroom.use_database(db)
    return classroom


def _assignments(
    classroom: Classroom,
    units: list[str] | None,
    source: Path | None,
    solutions: Path,
    *,
    all_cells: bool,
) -> Iterator[Assignment]:
    """Make each of `units` an assignment of the class, one after the other."""
    from grader import course as courses

    if source is not None and not source.is_dir():
        raise UsageError(f"no folder {source}")
    course = courses.load_course(solutions) if solutions.is_dir() and source is None else None
    for unit in units or classroom.units():
        try:
            assignment = classroom.assignment(unit, course, source)
        except UsageError as error:
            if units:
                raise
            # Anybody may hand in a folder of any name; it stops nobody else.
            err.print(f"[yellow]Left out:[/] {_plain(str(error))}", soft_wrap=True)
            continue
        yield replace(assignment, lean=False) if all_cells else assignment


# ---- what is printed ------------------------------------------------------------------------


def _print_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def _counts(results: Sequence[Graded]) -> str:
    """``9 submissions: 7 graded, 1 needs manual, 1 unreadable``"""
    counts = Counter(str(one.status).replace("_", " ") for one in results)
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(results)} submission{'' if len(results) == 1 else 's'}: {parts}"


def _column(text: str) -> tuple[str, str]:
    unit, equals, name = text.partition("=")
    if not (unit and equals and name.strip()):
        raise UsageError(f"--column {text}: write UNIT=NAME")
    return unit, name


def _can_isolate() -> bool:
    """Say what is missing where nothing is isolated: the demo's class is our own."""
    from grader.launch import require_sandbox

    try:
        require_sandbox()
    except SandboxError as error:
        err.print(f"[yellow]Not sandboxed:[/] {_plain(str(error))}", soft_wrap=True)
        return False
    return True


def _units_table(found: list[Unit]) -> Table:
    from grader.check import unit as units

    table = Table()
    for column in ("unit", "title", "minutes", "points", "your progress"):
        number = column in ("minutes", "points")
        table.add_column(column, justify="right" if number else "left")
    for unit in found:
        done = units.progress(unit, units.load_passed(unit) or set())
        texts = (unit.name, unit.title, f"{unit.minutes}", f"{unit.points:g}")
        table.add_row(*map(_plain, texts), str(done) if done.points else "not begun")
    return table


def _unit_found(unit: Unit) -> dict[str, Any]:
    from grader.check import unit as units

    done = units.progress(unit, units.load_passed(unit) or set())
    return {
        "unit": unit.name,
        "title": unit.title,
        "minutes": unit.minutes,
        "points": unit.points,
        "notebook": str(unit.notebook),
        "visible": asdict(done),
    }


def _class_table(results: list[Graded]) -> Table:
    table = Table()
    for column in ("student", "score", "status", "lost points in", "notes"):
        justify: Literal["left", "right"] = "right" if column == "score" else "left"
        table.add_column(column, justify=justify, no_wrap=column in ("student", "score"))
    unit = None
    for graded in results:
        if graded.unit != unit:
            unit = graded.unit
            table.add_section()
            table.add_row(f"[bold]{_plain(unit)}[/]")
        colour = COLOURS[str(graded.status)]
        table.add_row(
            _plain(graded.student),
            f"{graded.score:g} / {graded.max_score:g}",
            f"[{colour}]{str(graded.status).replace('_', ' ')}[/]",
            _plain(_lost(graded)),
            _plain("; ".join(note.splitlines()[0] for note in graded.notes)),
        )
    return table


def _collected_table(rows: Sequence[Collected]) -> Table:
    from grader.place import HINT_NOTE  # said once, below the table

    table = Table()
    for column in ("student", "outcome", "handed in (UTC)", "notes"):
        table.add_column(column, no_wrap=column != "notes")
    for row in rows:
        when = f"{row.time:%Y-%m-%d %H:%M}" if row.time else ""
        colour = COLOURS[str(row.outcome)]
        table.add_row(
            _plain(row.student),
            f"[{colour}]{row.outcome}[/]",
            f"{when} ({row.time_source})" if when else "",
            _plain("; ".join(note for note in row.notes if note != HINT_NOTE)),
        )
    return table


def _show_left(left: Sequence[Left]) -> None:
    """Files not taken, by reason; `--json` lists every one."""
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one.reason, []).append(one.path)
    for reason, paths in reasons.items():
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        line = f"not taken: {', '.join(paths[:3])}{more}: {reason}"
        out.print(_plain(line), soft_wrap=True)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f'no time zone "{name}"; one is Europe/Berlin') from None


def _show_validation(report: Report) -> None:
    title = f"{report.unit}: {report.gradings} gradings, the lesson in {report.seconds:.0f} s"
    table = Table(title=title, title_justify="left")
    for column in (
        "exercise", "misconceptions caught", "by hidden tests", "given their hint",
        "alternatives accepted", "mutants killed", "equivalent", "surviving",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "exercise" else "right")
    for one in report.exercises.values():
        wrong, bad = one.misconceptions, len(one.survivors)
        table.add_row(
            one.exercise,
            *(_share(count, wrong) for count in (one.caught, one.hidden, one.hinted)),
            _share(one.accepted, one.alternatives),
            f"{one.killed} / {one.mutants}",
            f"{one.equivalent or ''}",
            f"[red]{bad}[/]" if bad else "",
        )
    out.print(table)
    both = {name: given for name, given in report.explained.items() if len(given) > 1}
    for name, given in both.items():
        out.print(f"[dim]{_plain(name)} is given the hints of {', '.join(given)}[/]")
    for note in report.notes:
        out.print(f"[yellow]{_plain(note)}[/]", soft_wrap=True)
    for problem in report.problems:
        out.print(f"[red]{_plain(problem)}[/]", soft_wrap=True)


def _plan(report: Report) -> str:
    known = report.exercises.values()
    counts = {
        "exercises": len(known),
        "misconceptions": sum(one.misconceptions for one in known),
        "alternatives": sum(one.alternatives for one in known),
        "mutants": sum(one.mutants for one in known),
    }
    named = {what if count > 1 else what[:-1]: count for what, count in counts.items() if count}
    return ", ".join(f"{count} {what}" for what, count in named.items())


def _run_table(runs: Sequence[Run]) -> Table:
    table = Table()
    for column in ("unit", "result", "seconds", "what failed"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for one in runs:
        told = f"[{COLOURS[one.result]}]{one.result}[/]"
        table.add_row(_plain(one.unit), told, f"{one.seconds:.1f}", _plain(one.summary))
    count = Counter(one.result for one in runs)
    words = ", ".join(f"{n} {result}" for result, n in count.items())
    table.add_section()
    table.add_row("", words, f"{sum(one.seconds for one in runs if not one.unchanged):.1f}", "")
    return table


def _share(count: int, total: int) -> str:
    text = f"{count} / {total}" if total else ""
    return text if count == total else f"[red]{text}[/]"


def _lost(graded: Graded) -> str:
    """The exercises in which points were lost, each with how many."""
    lost: dict[str, float] = {}
    for cell in graded.cells:
        missing = cell.max_points - (cell.max_points if cell.points is None else cell.points)
        if missing > 0:
            name = cell.exercise or cell.grade_id
            lost[name] = lost.get(name, 0.0) + missing
    if sum(lost.values()) == graded.max_score:
        return "everything"
    return ", ".join(f"{name} ({points:g})" for name, points in lost.items())


def _checks(tests: list[CellResult]) -> str:
    if all(cell.no_response for cell in tests):
        return "[yellow]no answer yet[/]"
    if all(cell.verdict is Verdict.MANUAL for cell in tests):
        return "[cyan]read by a person[/]"
    passed = sum(cell.verdict is Verdict.PASSED for cell in tests)
    words = "passed" if passed == len(tests) else f"{passed} of {len(tests)} passed"
    return f"[{'green' if passed == len(tests) else 'red'}]{words}[/]"


def _first_message(tests: list[CellResult]) -> str:
    for cell in tests:
        if cell.message and not cell.no_response:
            return f"{cell.grade_id}: {cell.message}" if len(tests) > 1 else cell.message
    return ""


def _plain(text: str) -> str:
    from rich.markup import escape

    # A file's name or text may hold what steers a terminal.
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


class Bar:
    """A progress bar on stderr, with the time left; called with what is done, it moves on by one.

    Where stderr is no terminal, a line from time to time says as much.
    """

    def __init__(self, bar: Progress, title: str, total: int | None) -> None:
        self._bar = bar
        self._id = bar.add_task(title, total=total)
        self._said = time.monotonic()

    def __call__(self, done: object = None, *, counts: bool = True) -> None:
        """Move on; or, where that cost nothing, leave one out."""
        if counts:
            self._bar.advance(self._id)
        else:
            self.plan((self._bar.tasks[self._id].total or 1) - 1)
        if not err.is_terminal and time.monotonic() - self._said > LOG_SECONDS:
            self._said = time.monotonic()
            task = self._bar.tasks[self._id]
            left = (
                ""
                if task.time_remaining is None
                else f", {timedelta(seconds=round(task.time_remaining))} left"
            )
            err.print(f"{task.description}: {task.completed:.0f} of {task.total:.0f}{left}")

    def plan(self, total: float, title: str | None = None) -> None:
        """Know how many there are; or say it in other words."""
        self._bar.update(self._id, total=total, description=title)

    def stop(self) -> None:
        """Leave the terminal to a question."""
        self._bar.stop()


@contextmanager
def _progress(title: str, total: int | None = None) -> Iterator[Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=err,
        # Of all that was done: what takes minutes gives no other ground for an estimate.
        speed_estimate_period=24 * 3600,
        # What is printed meanwhile stands above a bar in a terminal; into a file it goes as it is.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        yield Bar(bar, title, total)


guide.dress(app)


def main() -> None:
    """Run the command line; a mistake, a person's or ours, is one message: `guide.EXIT_CODES`."""
    try:
        app(prog_name="grader")
    except GraderError as error:
        err.print(f"[red]Error:[/] {_plain(str(error))}", soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[red]Error:[/] {_plain(f'{where}{error.strerror or error}')}", soft_wrap=True)
        sys.exit(2)
    except Exception as error:
        with NamedTemporaryFile(
            "w", prefix="grader-", suffix=".txt", encoding="utf-8", delete=False
        ) as file:
            traceback.print_exc(file=file)
        what = _plain(f"{type(error).__name__}: {error}")
        err.print(f"[red]Error:[/] the grader itself has a mistake: {what}", soft_wrap=True)
        err.print(f"Please send us {file.name}, and what you typed.", soft_wrap=True)
        sys.exit(70)


if __name__ == "__main__":
    main()
