"""What every command has: examples, completion, JSON, exit codes, and a word on what comes next."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import pytest
import typer
from builders import COURSE, REPOSITORY, SOLVED, answered, content, isolates

from grader import cli, guide
from grader.kernels import doctor
from grader.model import Assignment, Graded, Status

COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
EXAMPLES = [
    line
    for panel in guide.EXAMPLES.values()
    for examples in panel.values()
    for line in examples.values()
]
PAGE = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
DOCUMENTED = dict(
    re.findall(r"### `grader ([^`]+?)(?: --json)?`\n.*?```json\n(.*?)```", PAGE, re.S)
)
# In this process, and in a sandbox where there is one: its kernels start sooner.
HERE = ("--workers", 0, *(() if doctor.obstacle() is None else ("--no-sandbox",)))
ANSWERS = {
    "ada": {"add": SOLVED, "why_commutes": "Both are counted."},
    "bob": {"add": "def add(a, b):\n    return a - b"},
}


class Said(NamedTuple):
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def grader(*arguments: object) -> Said:
    """Run the command line as a person does, in a wide terminal."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(cli.out, "_width", 500)
        patch.setattr(cli.err, "_width", 500)
        patch.setattr(sys, "stdin", io.StringIO())  # nobody is there
        patch.setattr(sys, "argv", ["grader", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def once(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let a function that takes long do its work once, and give the same when asked again."""
    real, kept = resolve_name(name), []

    def work(*arguments: object, **options: object) -> object:
        if not kept:
            kept.append(real(*arguments, **options))
        return kept[0]

    patch.setattr(name, work)


# ---- a class, looked at with every command ---------------------------------------------------


@pytest.fixture(scope="module")
def room(adding: Assignment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a course and an archive of submissions, and the working directory of all."""
    folder = tmp_path_factory.mktemp("room")
    shutil.copytree(COURSE, folder / "solutions")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for student, answers in ANSWERS.items():
            node = answered(adding.notebooks[0].released, **answers)
            archive.writestr(f"{student}/01-adding/adding.ipynb", content(node))
            (folder / f"{student}.ipynb").write_bytes(content(node))
        archive.writestr("zoe/01-adding/adding.ipynb", b"")
        archive.writestr("ada/01-adding/notes.txt", b"")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def collected(room: Path) -> dict[str, Said]:
    """The archive collected into classroom/, as JSON; and looked at once more."""
    return {
        "json": grader("collect", "01-adding", "all.zip", "--json"),
        "table": grader("collect", "01-adding", "all.zip"),
    }


@pytest.fixture(scope="module")
def graded(collected: dict[str, Said]) -> dict[str, Said]:
    """The class graded, and asked for once more."""
    options = ("grade", *HERE)
    return {"json": grader(*options, "--json"), "table": grader(*options)}


def keys(value: Any) -> Any:
    """The names in a document, at every level: of a list those of its first item."""
    if isinstance(value, dict) and value:
        return {name: keys(one) for name, one in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


def is_as_documented(name: str, document: Any) -> bool:
    """Whether the page shows the same names; what is empty in either says nothing of its items."""
    return is_like(document, json.loads(DOCUMENTED[name]))


def is_like(document: Any, documented: Any) -> bool:
    """Whether both have the same names; what is empty in either says nothing of its items."""

    def alike(ours: Any, page: Any) -> bool:
        if isinstance(ours, dict) and isinstance(page, dict):
            return ours.keys() == page.keys() and all(alike(ours[k], page[k]) for k in ours)
        if isinstance(ours, list) and isinstance(page, list):
            return alike(ours[0], page[0])
        return ours is None or page is None

    return alike(keys(document), keys(documented))


def row(table: str, name: str) -> str:
    """The line of a table that begins with `name`."""
    [found] = [line for line in table.splitlines() if re.match(rf"[│┃]? *{re.escape(name)} ", line)]
    return found


def test_what_was_collected(collected: dict[str, Said]) -> None:
    document, table = collected["json"].json, collected["table"]
    assert is_as_documented("collect", document)
    assert [(one["student"], one["outcome"]) for one in document["submissions"]] == [
        ("ada", "collected"),
        ("bob", "collected"),
        ("zoe", "collected"),
    ]
    [left] = document["left"]
    assert left["path"].endswith("notes.txt")
    assert "unchanged" in row(table.out, "ada")
    assert left["reason"] in table.out
    assert "grade them: grader grade 01-adding\n" in table.err
    assert "Next" not in collected["json"].err


def test_what_was_graded(graded: dict[str, Said]) -> None:
    document, table = graded["json"].json, graded["table"]
    assert is_as_documented("grade", document)
    assert [(one["student"], one["score"], one["status"]) for one in document] == [
        ("ada", 3.0, "needs_manual"),
        ("bob", 0.0, "graded"),
        ("zoe", 0.0, "unreadable"),
    ]
    for one in document:
        line = row(table.out, one["student"])
        assert f"{one['score']:g} / {one['max_score']:g}" in line
        assert one["status"].replace("_", " ") in line
    assert "3 submissions: 1 needs manual, 1 graded, 1 unreadable" in table.out
    assert (
        "wait for a person to read answers (1 of 01-adding): cd classroom && jupyter lab"
        in table.err
    )
    assert "grader report" in table.err
    assert "Next" not in graded["json"].err


def test_how_far_it_is(graded: dict[str, Said]) -> None:
    [document] = grader("status", "--json").json
    assert is_as_documented("status", [document])
    numbers = [document[name] for name in ("handed_in", "graded", "running", "waiting")]
    assert numbers == [3, 3, 0, 0]
    numbers = re.findall(r" (\d+) ", row(grader("status").out, "01-adding"))
    assert numbers == ["3", "3", "0", "0"]


def test_what_a_regrade_would_change(graded: dict[str, Said], room: Path) -> None:
    asked = ("regrade", *HERE, "--student", "ada")
    nobody = grader(*asked, "--json")
    assert (nobody.code, nobody.out) == (2, "")
    assert "say --yes or --dry-run" in nobody.err
    source = room / "solutions" / "01-adding" / "adding.py"
    was = source.read_text()
    source.write_text(was.replace('add(2, 3) == 5, "', 'add(2, 3) == 6, "'))
    try:
        document = grader(*asked, "--dry-run", "--json").json
        alone = grader(*asked)  # whom nobody answers
        assert alone.code == 2
        assert is_as_documented("regrade", document)
        [unit] = document
        [change] = unit["changes"]
        assert (change["student"], change["before"], change["after"]) == ("ada", 2.0, 0.0)
        assert unit["stored"] is False
        for shown in (change["cell"], change["says_now"], change["why"]):
            assert shown in row(alone.out, "ada")
        assert "say --yes or --dry-run" in alone.err
        assert grader("grade", "--json").json[0]["score"] == 3.0
    finally:
        source.write_text(was)


def test_the_report(graded: dict[str, Said]) -> None:
    document = grader("report", "--json").json
    assert is_as_documented("report", document)
    assert Path(document["report"]).is_file()
    assert document["report"] in grader("report").out


def test_an_export(graded: dict[str, Said], room: Path) -> None:
    options = ("export", "--to", "nbgrader", "--feedback")
    document = grader(*options, "--json").json
    assert is_as_documented("export", document)
    table = grader(*options)
    assert Path(document["grades"]).is_file()
    assert Path(document["feedback"]).is_file()
    for shown in (document["grades"], f"({document['scores']} scores)", document["feedback"]):
        assert shown in table.out
    [waits] = document["held"]
    assert waits in table.err
    assert "--include-waiting" in table.err
    assert grader("export", "--to", "json", "--out", room / "g.json").code == 0
    assert is_as_documented("export --to json", json.loads((room / "g.json").read_text()))


def test_a_student_s_notebook(room: Path) -> None:
    document = grader("try", "ada.ipynb", "--json").json
    assert is_as_documented("try", document)
    assert [cell["verdict"] for cell in document["cells"]] == ["passed", "passed", "manual"]
    assert "passed" in row(grader("try", "ada.ipynb").out, "add")


def test_how_far_a_student_is(
    adding: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert grader("try").code == 2
    solved = answered(adding.notebooks[0].released, **ANSWERS["ada"])
    unit = tmp_path / "notebooks" / "01-adding"
    unit.mkdir(parents=True)
    (unit / "adding.ipynb").write_bytes(content(solved))
    assert "not begun" in row(grader("try").out, "01-adding")
    assert "1 of 1 exercises" in grader("try", unit / "adding.ipynb").out
    assert "1 of 1 exercises" in row(grader("try").out, "01-adding")
    [found] = (document := grader("try", "--json").json)["units"]
    [fence] = re.findall(r"Without a notebook, the units.*?```json\n(.*?)```", PAGE, re.S)
    assert is_like(document, json.loads(fence))
    assert found["visible"]["exercises"] == 1


@isolates
def test_a_demo(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once(monkeypatch, "grader.batch.grade_class")
    once(monkeypatch, "grader.report.write_report")
    document = grader("demo", "01-adding", "--json").json
    assert is_as_documented("demo", document)
    assert document["surprises"] == []
    table = grader("demo", "01-adding")
    for one in document["submissions"]:
        assert f"{one['score']:g} / {one['max_score']:g}" in row(table.out, one["student"])
    assert document["report"] in table.out
    assert "Every student got the score that was expected." in table.out


@isolates
def test_the_course_s_own_tests(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = room / "solutions" / "01-adding" / "misconceptions.py"
    was = source.read_text()
    source.write_text(was.replace("return a - b", "return b + a"))  # which is right
    once(monkeypatch, "grader.validate.validate")
    options = ("validate", "01-adding", "--exercise", "add", "--sample", 1, "--workers", 0)
    try:
        found, table = grader(*options, "--json"), grader(*options)
    finally:
        source.write_text(was)
    assert found.code == table.code == 1
    assert is_as_documented("validate", found.json)
    [document] = found.json
    [add] = document["exercises"]
    assert add["caught"] < add["misconceptions"] == 2
    assert f"{add['killed']} / {add['mutants']}" in row(table.out, "add")
    assert document["problems"]
    for problem in document["problems"]:
        assert problem in table.out
    count, total = len(document["problems"]), document["gradings"]
    assert f"{count} to mend: each is said below the table" in table.out
    # How far it was, and what had been found so far.
    assert f"01-adding: {total} gradings: 1 exercise, 2 misconceptions" in found.err
    assert re.search(rf"^01-adding, \d to mend .* {total}/{total} ", found.err, re.M)


def test_what_this_machine_can_isolate(room: Path) -> None:
    document, table = grader("doctor", "--json"), grader("doctor")
    assert is_as_documented("doctor", document.json)
    assert document.code == table.code
    for one in document.json:
        assert one["name"] in table.out


def test_building(room: Path) -> None:
    stale = grader("build", "--check", "--json")
    assert stale.code == 1
    assert "notebooks/01-adding/adding.ipynb" in stale.json["stale"]
    document = grader("build", "--json").json
    assert is_as_documented("build", document)
    assert grader("build", "--check", "--json").json == {"stale": []}
    table = grader("build").out
    for one in document["built"]:
        assert f"{one['title']}, {one['minutes']} minutes, {one['points']:g} points" in table


def test_executing(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("run", "01-adding")
    document = grader(*options, "--json").json
    assert document[0]["result"] == "passed"
    assert "unchanged" in row(grader(*options).out, "01-adding")
    source = room / "solutions" / "01-adding" / "adding.py"
    was = source.read_text()
    source.write_text(was + "\n# %%\nunknown_name\n")
    once(monkeypatch, "grader.runs.run")
    try:
        failed = grader(*options, "--json")
        assert failed.code == 1
        assert is_as_documented("run", failed.json)
        assert failed.json[0]["failed"][0]["place"] in grader(*options).out
    finally:
        source.write_text(was)


def test_figures_and_measurements(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = room / "solutions" / "02-doubling" / "doubling.py"
    was = source.read_text()
    drawn = '\n# %% figure="line"\nimport matplotlib.pyplot as plt\n\n_ = plt.plot([1, 2])\n'
    drawn += "\n# %% [markdown]\n# ![A line](figures/line.png)\n"
    source.write_text(was + drawn)
    try:
        document = grader("figures", "02-doubling", "--json").json
        assert is_as_documented("figures", document)
        [one] = document
        assert Path(one["path"]).stat().st_size == one["bytes"]
        assert (
            f"{one['path']}  {one['bytes'] / 1000:.1f} kB" in grader("figures", "02-doubling").out
        )
        folders = ("--results", room / "results", "--page", room / "results.md")
        (room / "results").mkdir()
        once(monkeypatch, "grader.reference.run_reference")
        document = grader("measure", "01-adding", *folders, "--json").json
        assert is_as_documented("measure", document)
        assert document["page"] in grader("measure", "01-adding", *folders).out
    finally:
        source.write_text(was)


# ---- help, examples, completion --------------------------------------------------------------


def test_every_command_has_json_and_says_so_on_the_page() -> None:
    have = {name for name, one in COMMANDS.items() if any("--json" in p.opts for p in one.params)}
    assert set(COMMANDS) - have == {"worker"}  # which serves until it ends
    assert {name.split()[0] for name in DOCUMENTED} == have


def test_every_command_has_examples() -> None:
    shown = {name for panel in guide.EXAMPLES.values() for name in panel}
    assert shown == set(COMMANDS)


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_understood(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    assert program == "grader"
    context = COMMANDS[name].make_context(name, arguments)
    assert context.args == []  # nothing that would be passed on unread
    helped = re.sub(r"\s+", " ", grader(name, "--help").out)
    assert line in helped


def test_help_has_the_exit_codes_and_so_has_the_page() -> None:
    helped = re.sub(r"\s+", " ", grader("--help").out)
    for code, what in guide.EXIT_CODES.items():
        assert f"{code} {what}" in helped
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.M))
    assert rows == {str(code): what for code, what in guide.EXIT_CODES.items()}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("grader gra", {"grade"}),
        ("grader grade 01", {"01-adding"}),
        ("grader grade nothing", set()),
        ("grader validate 0", {"01-adding", "02-doubling"}),
        ("grader regrade --student b", {"bob"}),
        ("grader regrade --class nowhere --student b", set()),
        ("grader grade --no-s", {"--no-sandbox"}),
        ("grader export --to can", {"canvas"}),
    ],
)
def test_a_shell_completes(
    typed: str,
    offered: set[str],
    room: Path,
    collected: dict[str, Said],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"COMP_WORDS": typed, "COMP_CWORD": f"{len(shlex.split(typed)) - 1}"}
    for name, value in asked.items() | {("_GRADER_COMPLETE", "complete_bash")}:
        monkeypatch.setenv(name, value)
    assert set(grader().out.split()) == offered


# ---- exit codes, and what is said with them --------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("grade --class nowhere", "Name yours with --class, or make one: grader collect UNIT SO"),
        ("report --class nowhere", "Name yours with --class, or make one: grader collect"),
        ("status --class nowhere", "nowhere is not a class folder"),
        ("grade 01-addign", "Did you mean 01-adding?"),
        ("status 01-addign", 'nobody handed in "01-addign". Did you mean 01-adding?'),
        ("regrade --student bop", 'no student "bop" handed in any of it. Did you mean bob?'),
        ("validate 01-addign", "Did you mean 01-adding?"),
        ("build --solutions nowhere", "go to the folder of the course, or name it with --solutio"),
        ("collect 01-adding no.zip --class new", "no file or folder no.zip"),
        ("grade --workers 1 --slurm s.toml", "one of --workers, --scheduler and --slurm"),
        ("worker tcp://10.1.2.3:8786", "write tls://HOST:PORT"),
        ("grad", "Did you mean 'grade'"),
        ("grade --clas x", "--class"),
        ("measure 01-adding 09", 'no unit "09"'),
    ],
)
def test_a_mistake_of_a_person_s_is_code_2_and_says_what_to_do(
    line: str, says: str, room: Path, collected: dict[str, Said]
) -> None:
    done = grader(*shlex.split(line))
    assert done.code == 2
    assert says in re.sub(r"[\s│]+", " ", done.err)
    assert "Traceback" not in done.err
    assert not (room / "new").exists()  # nothing was made before it was seen


def test_inside_a_class_folder_it_says_how_to_name_it(
    room: Path, collected: dict[str, Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room / "classroom")
    assert "This folder is one: say --class ." in grader("grade").err


def test_a_file_that_cannot_be_written_is_code_2(room: Path, graded: dict[str, Said]) -> None:
    (room / "file").write_text("")
    done = grader("build", "--notebooks", "file/notebooks")
    assert done.code == 2
    assert "Error: file" in done.err
    assert "Traceback" not in done.err


def test_a_mistake_of_ours_is_code_70_and_leaves_a_file_to_send(
    room: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("grader.kernels.doctor.examine", lambda: 1 / 0)
    done = grader("doctor")
    assert done.code == 70
    assert "the grader itself has a mistake: ZeroDivisionError" in done.err
    [file] = tmp_path.glob("grader-*.txt")
    assert str(file) in done.err
    assert "Traceback" in file.read_text()
    assert "Traceback" not in done.err


def test_a_submission_on_which_the_grader_failed_is_code_1_and_named(
    graded: dict[str, Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Graded("eve's", "01-adding", Status.BROKEN, (), notes=("why",))
    monkeypatch.setattr("grader.batch.grade_class", lambda *_, **__: [one])
    done = grader("grade", "01-adding", *HERE)
    assert done.code == 1
    assert "the grader failed on eve's" in done.err
    assert """try again: grader regrade 01-adding --student 'eve'"'"'s'\n""" in done.err
    assert grader("grade", *HERE, "--json").code == 1


def test_nothing_handed_in_says_how_to_bring_it(tmp_path: Path) -> None:
    (tmp_path / "submitted").mkdir()
    done = grader("grade", "--class", tmp_path, *HERE)
    assert done.code == 0
    assert "grader collect UNIT SOURCE" in done.err


def test_ctrl_c_is_code_130_and_no_traceback(room: Path, collected: dict[str, Said]) -> None:
    run = [
        "import sys, time",
        "from grader import cli",
        "from grader.kernels import doctor",
        "doctor.examine = lambda: print('now') or time.sleep(60)",
        "sys.argv = ['grader', 'doctor']",
        "cli.main()",
    ]
    process = subprocess.Popen(
        [sys.executable, "-uc", "\n".join(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "Stopped.\n")


# ---- progress --------------------------------------------------------------------------------


def test_in_a_log_a_line_from_time_to_time_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "LOG_SECONDS", 0.0)
    with cli._progress("01-adding") as bar:
        bar.plan(3)
        for _ in range(2):
            time.sleep(0.01)
            bar()
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"01-adding: 1 of 3.*", lines[0])
    assert re.fullmatch(r"01-adding: 2 of 3, 0:00:0[01] left", lines[1])
    assert "2/3" in lines[-1]
