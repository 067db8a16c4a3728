"""nbgrader's side of the house: its configuration, its database, its generate step.

`configure` is what every class folder's ``nbgrader_config.py`` calls, so that nbgrader's own
commands (autograde, generate_feedback, export, formgrader) work there.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from grader import database as databases
from grader.errors import AssignmentError, GraderError, UsageError

CONFIG_FILE = '''"""nbgrader's settings for this class; everything of nbgrader's may be set here."""

from grader.interop import configure

c = get_config()  # noqa: F821 -- nbgrader provides it
configure(c)
'''


def configure(c: Any) -> None:
    """Set what the course needs in nbgrader's configuration object `c`.

    Submissions are graded by our grader, feedback pages are ours, what is exported or shown in the
    formgrader runs nothing, and the database exists before nbgrader asks a program on PATH to make
    it.
    """
    c.CourseDirectory.course_id = "cnn-course"
    # All that nbgrader does itself between a submission and its marks is done by our grader.
    c.Autograde.exporter_class = "grader.autograde.AutogradeExporter"
    c.Autograde.sanitize_preprocessors = []
    c.Autograde.autograde_preprocessors = []
    c.ExportApp.plugin_class = "grader.export.QuotedCsvExport"
    # The formgrader shows submissions with nbconvert, in a page that may do what a teacher may.
    c.HTMLExporter.sanitize_html = True
    c.GenerateFeedback.exporter_class = "grader.feedback.FeedbackExporter"
    if Path("source").is_dir():  # a class folder, and not a clone of the course
        databases.ensure_tables(database_url(Path.cwd(), c))


def ensure_class(folder: Path) -> None:
    """Make `folder` a class folder: nbgrader's configuration and its subfolders."""
    try:
        for name in ("source", "submitted"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = folder / "nbgrader_config.py"
        if not config.exists():
            config.write_text(CONFIG_FILE, encoding="utf-8")
    except OSError as error:
        raise GraderError(f"{folder} cannot be a class folder: {error}") from None


def class_config(folder: Path) -> Config:
    """Return nbgrader's configuration as `folder`'s ``nbgrader_config.py`` sets it."""
    config = Config()
    path = folder / "nbgrader_config.py"
    if path.exists():
        try:
            config = PyFileConfigLoader(path.name, path=str(folder)).load_config()
        except GraderError:  # its database cannot be used, see `configure`
            raise
        except Exception as error:  # the file is a person's program: anything can happen
            raise GraderError(f"{path}: {type(error).__name__}: {error}") from None
    config.CourseDirectory.root = str(folder.resolve())
    return config


def database_url(folder: Path, config: Config) -> str:
    """Return the gradebook's SQLAlchemy address."""
    url = config.CourseDirectory.get("db_url")
    return databases.normal(str(url)) if url else f"sqlite:///{folder.resolve() / 'gradebook.db'}"


def choose_database(folder: Path, address: str) -> None:
    """Keep the class at `address` from now on: its ``nbgrader_config.py`` says so.

    So whoever names it once and forgets it the next time has no marks in two databases, and
    nbgrader's own commands find it, too.

    Raises:
        UsageError: the class has another one already, or the database holds another class.
        GraderError: the database cannot be used.
    """
    address = databases.normal(address)
    if databases.without_password(address) != address:
        raise UsageError(
            "no password in --db, please: other users can read it in the list of processes, and it "
            "would stand in nbgrader_config.py. Put it into ~/.pgpass, or where PGPASSFILE or "
            "PGPASSWORD in the environment say"
        )
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise UsageError("a database in memory is soon gone; name a file: sqlite:///FILE")
        address = databases.normal(f"sqlite:///{Path(str(url.database)).resolve()}")
    path = folder / "nbgrader_config.py"
    config = class_config(folder)
    has = database_url(folder, config)
    if databases.without_password(has) == address:
        return
    if config.CourseDirectory.get("db_url"):
        raise UsageError(
            f"the class is kept in {databases.shown(has)}, says {path}, and --db names {address}: "
            "with marks in both nobody could tell which count. Leave --db out, or change that line"
        )
    if databases.is_there(has) and not databases.is_empty(has):
        raise UsageError(
            f"the class is kept in {make_url(has).database}, and --db names {address}: with marks "
            "in both nobody could tell which count. To begin anew there, take that file away"
        )
    line = f"c.CourseDirectory.db_url = {address!r}"
    if not databases.is_empty(address):
        raise UsageError(
            f"{address} holds a class already; each has a database of its own. If it is this one, "
            f"say so in {path}, above configure(c):\n    {line}"
        )
    before = path.read_text(encoding="utf-8")
    # Above it: there it is asked for the tables, and an old file has nothing else in it.
    after, found = re.subn(r"(?m)^(?=configure\(c\))", lambda _: f"{line}\n", before, count=1)
    _replace(path, after)
    if not found or class_config(folder).CourseDirectory.get("db_url") != address:
        _replace(path, before)
        raise UsageError(f"{path} is not as we wrote it; say there:\n    {line}")


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def generate_assignment(config: Config, unit: str, *, database: str | None) -> None:
    """Run ``nbgrader generate_assignment`` for `unit`: source/ -> release/, cells -> database.

    Args:
        config: with ``CourseDirectory.root`` set.
        database: its address, or None to keep no record.

    Raises:
        AssignmentError: nbgrader refused the source; its log is the message.
    """
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    config = config.copy()
    if database is None:
        config.SaveCells.enabled = False
        config.GenerateAssignment.no_database = True
    else:
        config.CourseDirectory.db_url = database
        databases.ensure_tables(database)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbformat on missing ids, nbconvert on alt text: not ours
        api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
        result = api.generate_assignment(unit, force=True, create=True)
    if not result["success"]:
        reason = _reason(result.get("log") or "") or str(result.get("error"))[-1500:]
        raise AssignmentError(f"nbgrader cannot make an assignment of {unit}:\n{reason}")


def _reason(log: str) -> str:
    """Return why nbgrader failed: the last lines of tracebacks, or else its error messages."""
    lines = [line for line in log.splitlines() if line.strip()]
    raised = [line.strip() for line in lines if re.match(r"\s+[\w.]*(Error|Exception): ", line)]
    messages: list[str] = []
    is_error = False
    for line in lines:
        level = re.match(r"\[(\w+)\] ", line)
        is_error = level[1] in ("ERROR", "CRITICAL") if level else is_error
        if is_error:
            messages.append(line)
    return "\n".join((raised or messages)[-12:])


def source_cells(database: str, unit: str) -> dict[tuple[str, str], str]:
    """Return {(notebook, grade_id): source with hidden tests} as nbgrader recorded it."""
    with databases.gradebook(database) as gradebook:
        assignment = gradebook.find_assignment(unit)
        return {
            (notebook.name, cell.name): cell.source
            for notebook in assignment.notebooks
            for cell in notebook.source_cells
        }
