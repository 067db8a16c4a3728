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

from grader.errors import AssignmentError, GraderError

CONFIG_FILE = '''"""nbgrader's settings for this class; everything of nbgrader's may be set here."""

from grader.interop import configure

c = get_config()  # noqa: F821 -- nbgrader provides it
configure(c)
'''

WAIT = 60  # seconds for which SQLite lets others work


def configure(c: Any) -> None:
    """Set what the course needs in nbgrader's configuration object `c`.

    Cells are executed by our engine (past errors, with limits), feedback pages are ours, what is
    exported or shown in the formgrader runs nothing, and the database exists before nbgrader asks
    a program on PATH to make it.
    """
    c.CourseDirectory.course_id = "cnn-course"
    c.Autograde.autograde_preprocessors = [
        "grader.execute.JudgedExecute",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.ExportApp.plugin_class = "grader.export.QuotedCsvExport"
    # The formgrader shows submissions with nbconvert, in a page that may do what a teacher may.
    c.HTMLExporter.sanitize_html = True
    c.GenerateFeedback.exporter_class = "grader.feedback.FeedbackExporter"
    if Path("source").is_dir():  # a class folder, and not a clone of the course
        ensure_database(f"sqlite:///{Path.cwd() / 'gradebook.db'}")


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
        except Exception as error:  # the file is a person's program: anything can happen
            raise GraderError(f"{path}: {type(error).__name__}: {error}") from None
    config.CourseDirectory.root = str(folder.resolve())
    return config


def database_url(folder: Path, config: Config) -> str:
    """Return the gradebook's SQLAlchemy address."""
    url = config.CourseDirectory.get("db_url")
    return str(url) if url else f"sqlite:///{folder.resolve() / 'gradebook.db'}"


def patient(url: str) -> str:
    """Return the address by which SQLite waits longer for others: they may click through it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and "timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"timeout": f"{WAIT}"})
    return parsed.render_as_string(hide_password=False)


def ensure_database(url: str) -> None:
    """Create nbgrader's tables at `url` and stamp their version, unless they are there.

    nbgrader's own `Gradebook` runs the program ``alembic`` for the version and fails where it is
    not on PATH; here alembic is a library.
    """
    from alembic.config import Config as AlembicConfig
    from alembic.script import ScriptDirectory
    from nbgrader.api import Base
    from nbgrader.dbutil import ALEMBIC_DIR
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(url, future=True)
    try:
        if "student" in inspect(engine).get_table_names():
            return
        alembic = AlembicConfig()
        alembic.set_main_option("script_location", ALEMBIC_DIR.replace("%", "%%"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # alembic on options that nbgrader's scripts leave out
            head = ScriptDirectory.from_config(alembic).get_current_head()
        Base.metadata.create_all(bind=engine)
        with engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            )
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
    finally:
        engine.dispose()


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
        ensure_database(database)
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
    from nbgrader.api import Gradebook

    with Gradebook(database) as gradebook:
        assignment = gradebook.find_assignment(unit)
        return {
            (notebook.name, cell.name): cell.source
            for notebook in assignment.notebooks
            for cell in notebook.source_cells
        }
