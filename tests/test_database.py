"""A class may be kept in PostgreSQL: which database it is, what goes wrong there, who writes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from builders import COURSE, SOLVED, answered, as_file, hand_in
from nbgrader.api import Gradebook as Database
from postgres import PASSWORD, Server

from grader import batch, cli, database
from grader.batch import grade_class, regrade
from grader.classroom import Classroom
from grader.course import Course
from grader.entries import entries
from grader.errors import GraderError, UsageError
from grader.export import COLUMNS, nbgrader_rows
from grader.journal import Journal, Spool
from grader.model import Assignment, Graded, Status

UNIT = "01-adding"


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    """An empty database."""
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture
def grader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The command line: exit code, and all that it said."""
    monkeypatch.setattr(cli.out, "_width", 500)
    monkeypatch.setattr(cli.err, "_width", 500)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return run


def config(classroom: Classroom) -> str:
    """The class's settings."""
    return (classroom.root / "nbgrader_config.py").read_text(encoding="utf-8")


# ---- which database -------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_an_address_is_understood_as_people_write_it(scheme: str) -> None:
    assert database.normal(f"{scheme}://ada@host/db") == "postgresql+psycopg://ada@host/db"


@pytest.mark.parametrize(
    "address", ["postgresql://u:sesame@h/db", "postgresql://u@h/db?password=sesame"]
)
def test_a_password_is_never_shown_nor_written(classroom: Classroom, address: str) -> None:
    assert "sesame" not in database.shown(address)
    assert "sesame" not in database.without_password(address)
    with pytest.raises(UsageError, match=r"no password in --db.*PGPASSFILE") as refused:
        classroom.use_database(address)
    assert "sesame" not in str(refused.value) + config(classroom)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "no database's address"),
        ("postgresql://u:sesame@h:port/db", "no database's address"),
        ("mysql://u@h/db", "SQLite or PostgreSQL, and not in mysql"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_what_is_no_database_is_refused(classroom: Classroom, address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        classroom.use_database(address)
    assert "sesame" not in str(refused.value)


def test_a_class_s_database_is_remembered(
    classroom: Classroom,
    course: Course,
    address: str,
    server: Server,
    grader: Callable[..., tuple[int, str]],
) -> None:
    unit = classroom.assignment(UNIT, course).notebooks[0].released
    (classroom.root / "gradebook.db").unlink()
    hand_in(classroom, "ada", UNIT, "adding", answered(unit, add=SOLVED))
    grade = ("grade", "--class", classroom.root, "--solutions", COURSE, "--no-sandbox")
    for options in (("--db", address), (), ("--db", address)):
        code, said = grader(*grade, *options)
        assert code == 0
        assert "gradebook: postgresql+psycopg://grader@/" in said
    assert config(classroom).count("db_url") == 1
    assert not (classroom.root / "gradebook.db").exists()
    with Database(classroom.database) as book:
        assert book.find_submission(UNIT, "ada").score == 3.0
    for command in ("status", "report", ("export", "--to", "json")):
        words = (command,) if isinstance(command, str) else command
        assert grader(*words, "--class", classroom.root, "--db", address)[0] == 0

    other = server.database()
    code, said = grader("status", "--class", classroom.root, "--db", other)
    assert code == 2
    assert "with marks in both nobody could tell which count" in said
    server.drop(other)


def test_a_class_with_marks_does_not_begin_in_another_database(
    classroom: Classroom, course: Course, address: str
) -> None:
    classroom.assignment(UNIT, course)
    with pytest.raises(UsageError, match=r"is kept in .*gradebook\.db.*take that file away"):
        classroom.use_database(address)
    assert "db_url" not in config(classroom)


def test_an_empty_gradebook_is_in_nobody_s_way(classroom: Classroom, address: str) -> None:
    with Journal(classroom):
        database.ensure_tables(classroom.database)
    classroom.use_database(address)
    assert classroom.database == database.normal(address)


def test_two_classes_are_not_kept_in_one_database(
    classroom: Classroom, course: Course, address: str, tmp_path: Path
) -> None:
    classroom.use_database(address)
    classroom.assignment(UNIT, course)
    other = Classroom(tmp_path / "other")
    with pytest.raises(UsageError, match=r"holds a class already.*\n.*db_url = 'postgresql\+psy"):
        other.use_database(address)
    path = other.root / "nbgrader_config.py"
    line = f"c.CourseDirectory.db_url = {address!r}\n"
    path.write_text(config(other) + line, encoding="utf-8")  # by hand, as the message says
    other.use_database(address)
    assert other.database == classroom.database


def test_settings_that_a_person_has_changed_stay_as_they_are(
    classroom: Classroom, address: str
) -> None:
    path = classroom.root / "nbgrader_config.py"
    hidden = config(classroom).replace("\nconfigure(c)", "\nif True:\n    configure(c)")
    for text in ("c = get_config()\n", hidden):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match="is not as we wrote it; say there"):
            classroom.use_database(address)
        assert config(classroom) == text


def test_sqlite_elsewhere_is_found_from_any_folder(
    classroom: Classroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classroom.use_database("sqlite:///marks.db")
    monkeypatch.chdir("/")
    assert classroom.database == f"sqlite:///{tmp_path / 'marks.db'}"


def test_the_demo_takes_an_empty_database_alone(
    server: Server, address: str, tmp_path: Path, grader: Callable[..., tuple[int, str]]
) -> None:
    line = ("demo", UNIT, "--class", tmp_path / "demo", "--solutions", COURSE, "--no-sandbox")
    classroom = Classroom(tmp_path / "other")
    classroom.use_database(address)
    server.sql("INSERT INTO student (id) VALUES ('ada')", sa.make_url(address).database or "")
    code, said = grader(*line, "--db", address)
    assert code == 2
    assert "is not empty; make a new one for the demo" in said
    assert not (tmp_path / "demo").exists()


def test_nbgrader_s_commands_work_on_it(
    classroom: Classroom, course: Course, address: str, tmp_path: Path
) -> None:
    """With neither alembic nor jupyter on PATH; the tables are made where there are none."""
    classroom.use_database(address)
    unit = classroom.assignment(UNIT, course)
    released = unit.notebooks[0].released
    hand_in(classroom, "ada", UNIT, "adding", answered(released, add=SOLVED))
    with (classroom.root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write("c.AutogradeExporter.sandbox = False\nc.Classroom.trust_timestamps = True\n")
    for line in (["autograde", UNIT], ["export"], ["generate_feedback", UNIT]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *line],
            cwd=classroom.root,
            env={"HOME": str(tmp_path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    assert "ada,,,,3.0" in (classroom.root / "grades.csv").read_text(encoding="utf-8")
    assert (classroom.feedback("ada", UNIT) / "adding.html").is_file()
    assert not (classroom.root / "gradebook.db").exists()
    graded = grade_class(classroom, unit, ["ada"], where=0, sandbox=False)
    assert [one.score for one in graded] == [3.0]


# ---- what goes wrong there ------------------------------------------------------------------


def test_what_is_wrong_is_said_with_what_to_do(
    server: Server, address: str, classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sa.make_url(address).database
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    server.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name or "")
    tcp = f"127.0.0.1:{server.port}/{name}"
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "5")
    for wrong, *said in (
        (address.replace(str(name), "nowhere"), '"nowhere" does not exist', "createdb nowhere"),
        (address.replace("grader@", "guest@"), "permission denied", f"{name} OWNER TO guest"),
        (f"postgresql://grader@{tcp}", "no password supplied", "~/.pgpass"),
        (f"postgresql://nobody@{tcp}", "see to the user's name"),
        (f"postgresql://grader@127.0.0.1:1/{name}", "refused", "is the server at work"),
        (f"postgresql://grader@host.invalid/{name}", "is the server at work"),
        (f"postgresql://grader@/{name}?host=/nowhere", "is the server at work"),
    ):
        with pytest.raises(GraderError) as refused:
            classroom.use_database(wrong)
        for words in said:
            assert words in str(refused.value)
        assert "SQL" not in str(refused.value).replace("PGSQL", "").replace("PostgreSQL", "")
    assert "db_url" not in config(classroom)
    server.sql("DROP OWNED BY guest CASCADE; DROP ROLE guest", name or "")


def test_a_password_comes_from_the_environment(
    server: Server, address: str, classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sa.make_url(address).database
    tcp = f"postgresql://grader@127.0.0.1:{server.port}/{name}"
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(GraderError, match="authentication failed"):
        classroom.use_database(tcp)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    classroom.use_database(tcp)
    with Journal(classroom) as journal, journal.writing():
        assert journal.is_being_written
    assert PASSWORD not in config(classroom)


def test_a_missing_driver_is_named(classroom: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(GraderError, match=r"pip install 'psycopg\[binary\]'"):
        classroom.use_database("postgresql://u@h/db")


@pytest.fixture
def unit(classroom: Classroom, course: Course, address: str) -> Assignment:
    """01-adding, handed in by three students, in PostgreSQL."""
    classroom.use_database(address)
    made = classroom.assignment(UNIT, course)
    for student in ("ada", "bob", "eve"):
        node = answered(made.notebooks[0].released, add=SOLVED)
        hand_in(classroom, student, UNIT, "adding", node)
    return made


def grade(classroom: Classroom, unit: Assignment, **options: Any) -> dict[str, Graded]:
    """Grade what nobody has graded."""
    given: dict[str, Any] = {"where": 0, "again": False, "sandbox": False} | options
    people = ["ada", "bob", "eve"]
    return {one.student: one for one in grade_class(classroom, unit, people, **given)}


def attempts(classroom: Classroom) -> list[int]:
    """The number of attempts at each submission."""
    with Journal(classroom) as book:
        return [len(book.history(UNIT, student)) for student in ("ada", "bob", "eve")]


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_stops_in_between_stops_the_run_and_nothing_is_lost(
    classroom: Classroom,
    unit: Assignment,
    server: Server,
    comes_back: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Back at once or not: the lock is gone, and somebody else may write now."""
    monkeypatch.setattr(batch, "PATIENCE", 3600.0)  # else a slow machine has stored it before

    def stop(graded: Graded) -> None:
        if graded.student == "bob":
            server.stop()
            if comes_back:
                server.start()

    said = "terminating connection|connection broke off" if comes_back else "connection"
    try:
        with pytest.raises(GraderError, match=f"results cannot be stored: .*({said})"):
            grade(classroom, unit, on_graded=stop)
    finally:
        if not comes_back:
            server.start()
    assert Spool(classroom.private).attempts()
    before = attempts(classroom)
    assert {name: one.score for name, one in grade(classroom, unit).items()} == {
        "ada": 3.0,
        "bob": 3.0,
        "eve": 3.0,
    }
    assert Spool(classroom.private).attempts() == []
    assert attempts(classroom)[:2] == before[:2] == [1, 1], "what was known is graded once"


def test_a_regrade_stops_so_too(classroom: Classroom, unit: Assignment, server: Server) -> None:
    grade(classroom, unit)

    def stop(graded: Graded) -> None:
        server.stop()
        server.start()

    again: dict[str, Any] = {"where": 0, "sandbox": False, "agrees": lambda changes: True}
    with pytest.raises(GraderError, match="connection"):
        regrade(classroom, unit, ["ada", "bob"], on_graded=stop, **again)
    assert regrade(classroom, unit, ["ada", "bob"], **again) == []
    assert attempts(classroom) == [2, 2, 1]


def test_one_writer_on_all_machines(
    classroom: Classroom, unit: Assignment, tmp_path: Path, server: Server
) -> None:
    """Another machine has another folder with another lock file, and the same database."""
    elsewhere = Classroom(tmp_path / "elsewhere")
    (elsewhere.root / "nbgrader_config.py").write_text(config(classroom), encoding="utf-8")
    with Journal(classroom) as here, Journal(elsewhere) as there:
        assert not there.is_being_written
        with here.writing():
            assert there.is_being_written
            me = f"by process {os.getpid()} on "
            with pytest.raises(GraderError, match=me), there.writing():
                pass
            assert here.is_being_written
        assert not there.is_being_written
        with there.writing(), pytest.raises(GraderError, match="being graded already"):
            grade(classroom, unit)
    assert attempts(classroom) == [0, 0, 0]


def test_the_lock_ends_with_its_holder_and_is_no_open_transaction(
    classroom: Classroom, unit: Assignment, tmp_path: Path, server: Server
) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from grader.classroom import Classroom\nfrom grader.journal import Journal\n"
        "with Journal(Classroom(Path(sys.argv[1]))) as book, book.writing():\n"
        "    print('mine', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(classroom.root)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with contextlib.closing(holder.stdout) as said, Journal(classroom) as book:
        assert said.readline() == "mine\n"
        assert book.is_being_written
        engine = sa.create_engine(classroom.database)
        with engine.connect() as connection:
            states = sa.text("SELECT state FROM pg_stat_activity WHERE application_name LIKE :who")
            who = {"who": f"process {holder.pid} on%"}
            assert connection.execute(states, who).scalars().all() == ["idle"]
        engine.dispose()
        holder.kill()
        holder.wait()
        until = time.monotonic() + 10
        while book.is_being_written and time.monotonic() < until:
            time.sleep(0.05)
        with book.writing():
            pass


def test_text_that_postgresql_does_not_take_loses_no_result(
    classroom: Classroom, unit: Assignment
) -> None:
    """Half a character, and NUL, in what a student's code says; and in the file itself."""
    released = unit.notebooks[0].released
    odd = "def add(a, b):\n    raise ValueError(print(chr(0xd800)) or chr(0) + chr(0xd800))"
    file = as_file(answered(released, add=odd, why_commutes="\0 \ud800"))
    hand_in(classroom, "bob", UNIT, "adding", file)
    found = grade(classroom, unit)
    assert [found[name].status for name in ("ada", "bob", "eve")] == [
        Status.GRADED,
        Status.NEEDS_MANUAL,
        Status.GRADED,
    ]
    with Journal(classroom) as book:
        assert book.latest(UNIT)["bob"].graded == found["bob"].to_dict()
    said = "".join(cell.message for cell in found["bob"].cells)
    assert "\0" in said, repr(said)


def test_a_name_that_nbgrader_s_tables_do_not_hold_is_said_before_anything_is_graded(
    classroom: Classroom, address: str
) -> None:
    names = ["a" * 128, "b" * 129]
    for name in names:
        classroom.submitted(name, UNIT).mkdir(parents=True)
    assert classroom.students(UNIT) == names
    classroom.use_database(address)
    with pytest.raises(UsageError, match="more than 128 characters; rename it"):
        classroom.students(UNIT)


@pytest.mark.databases
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader links before it adds
def test_students_are_in_one_order_wherever_they_are_kept(classroom: Classroom) -> None:
    """PostgreSQL sorts as a language does: a, ä, B."""
    names = ["a", "ä", "B"]
    with database.gradebook(classroom.database) as book:
        book.add_assignment(UNIT)
        for name in names:
            book.add_student(name)
            book.add_submission(UNIT, name)
        assert [one.student for one in entries(classroom, book, UNIT)] == sorted(names)
        rows = [row[COLUMNS.index("student_id")] for row in nbgrader_rows(book)]
    assert rows == sorted(names) == ["B", "a", "ä"]
