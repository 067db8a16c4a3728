"""`grader run`: the lessons themselves, executed; what passed is kept until something changes."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest
from builders import COURSE, printed
from junitparser import JUnitXml
from nbformat import NotebookNode

import data
import grader
from grader import cli, engine, runs, workers
from grader.course import Course, load_course
from grader.errors import GraderError
from grader.reference import Prepared, Run, prepare, run_reference
from grader.runs import Cache

Command = Callable[..., tuple[int, str, str]]

HANGING = """

# %%
while True:
    pass
"""
FAILING = """

# %%
raise ValueError("\\x1b[31mred\\x00")

# %% [markdown]
# Two lines of text.

# %%
print("not the end")
unknown_name
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line as a person does: (exit code, what it printed, what it said)."""
    monkeypatch.setattr(cli.out, "_width", 500)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grader", "run", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def solutions(tmp_path: Path) -> Path:
    """A copy of the small course, to be changed."""
    return Path(shutil.copytree(COURSE, tmp_path / "solutions"))


@pytest.fixture(scope="module")
def adding(course: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Run]:
    """Unit 01-adding, ready, and as it ran."""
    prepared = prepare(course, course["01-adding"], tmp_path_factory.mktemp("run") / "01-adding")
    [run] = runs.run(course, [course["01-adding"]])
    assert run.passed
    return prepared, run


def add(solutions: Path, unit: str, text: str) -> Path:
    """Put cells to the end of a lesson, and return its file."""
    [path] = [one for one in (solutions / unit).glob("*.py") if one.stem != "misconceptions"]
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return path


def said(executed: NotebookNode) -> str:
    return "".join(printed(cell) for cell in executed.cells if cell.cell_type == "code")


# ---- what is run, and what is not ------------------------------------------------------------


def test_an_unchanged_lesson_is_not_run_again_and_says_so(
    command: Command, solutions: Path, tmp_path: Path
) -> None:
    call = ("--solutions", solutions, "--cache", tmp_path / "cache", "--json")
    code, first, _ = command(*call, "--artifacts", tmp_path / "first")
    assert (code, [one["result"] for one in json.loads(first)]) == (0, ["passed", "passed"])
    code, second, progress = command(*call, "--artifacts", tmp_path / "second")
    assert (code, [one["result"] for one in json.loads(second)]) == (0, ["unchanged", "unchanged"])
    assert "01-adding: unchanged" in progress
    assert [one["seconds"] for one in json.loads(second)] == [
        one["seconds"] for one in json.loads(first)
    ]
    for unit in ("01-adding/adding", "02-doubling/doubling"):
        kept, made = (tmp_path / name / f"{unit}.ipynb" for name in ("second", "first"))
        assert kept.read_bytes() == made.read_bytes()
    assert (tmp_path / "second" / "02-doubling" / "previously.py").exists()

    # A parameter counts where a lesson has it, and a change where it could be noticed.
    again = json.loads(command(*call, "--seed", 3)[1])
    assert [one["result"] for one in again] == ["passed", "unchanged"]
    add(solutions, "02-doubling", "\n\n# %%\nprint(double(4))\n")
    again = json.loads(command(*call)[1])
    assert [one["result"] for one in again] == ["unchanged", "passed"]


def test_parameters_and_devices_reach_the_notebook(
    command: Command, solutions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = add(
        solutions,
        "01-adding",
        '\n\n# %%\nimport os\n\nprint(seed, device, os.environ.get("CUDA_VISIBLE_DEVICES"))\n',
    )
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("seed = 0\n", 'seed = 0\ndevice = ""\n'), encoding="utf-8")
    call = ("01-adding", "--solutions", solutions, "--no-cache", "--artifacts", tmp_path / "out")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("GRADER_PRETEND_GPUS", str(tmp_path / "gpus"))
    (tmp_path / "gpus").mkdir()
    code, _, told = command(*call, "--device", "cuda")
    assert code == 2
    assert "no GPU is in reach" in told
    (tmp_path / "gpus" / "one").touch()
    assert command(*call, "--device", "cuda", "--seed", 7, "--profile", "full")[0] == 0
    out = said(nbformat.read(tmp_path / "out" / "01-adding" / "adding.ipynb", as_version=4))
    assert "full: 2 + 3 = 5" in out
    assert "7 cuda None" in out
    assert command(*call, "--device", "cpu")[0] == 0
    out = said(nbformat.read(tmp_path / "out" / "01-adding" / "adding.ipynb", as_version=4))
    assert "quick: 2 + 3 = 5" in out
    assert out.endswith("0 cpu \n")  # it sees no GPU


def test_a_notebook_that_fails_or_hangs_stops_no_other_and_says_where(
    command: Command, solutions: Path, tmp_path: Path
) -> None:
    failing = add(solutions, "01-adding", FAILING)
    lines = failing.read_text(encoding="utf-8").splitlines()
    shutil.copytree(solutions / "02-doubling", solutions / "03-hanging")
    hanging = add(solutions, "03-hanging", HANGING)
    junit, out = tmp_path / "reports" / "junit.xml", tmp_path / "out"
    call = ("--solutions", solutions, "--cache", tmp_path / "cache", "--workers", 2)
    call += ("--cell-seconds", 5, "--junit", junit, "--artifacts", out)
    code, printed_json, _ = command(*call, "--json")
    assert code == 1
    first, second, third = json.loads(printed_json)
    assert [one["result"] for one in (first, second, third)] == ["failed", "passed", "failed"]
    raises = lines.index('raise ValueError("\\x1b[31mred\\x00")')  # from 0: the marker's from 1
    unknown = lines.index('print("not the end")')
    assert [one["place"] for one in first["failed"]] == [
        f"{failing}:{raises}",
        f"{failing}:{unknown}",
    ]
    assert first["failed"][1]["error"] == "NameError: name 'unknown_name' is not defined"
    [endless] = third["failed"]
    assert endless["status"] == "time limit"
    assert endless["place"].startswith(f"{hanging}:")

    suites = {suite.name: list(suite) for suite in JUnitXml.fromfile(str(junit))}
    assert {unit: len(cases) for unit, cases in suites.items()} == {
        "01-adding": 3,
        "02-doubling": 1,
        "03-hanging": 2,
    }
    notebook, *cells = suites["01-adding"]
    assert (notebook.name, notebook.classname) == ("adding.ipynb", "01-adding")
    assert notebook.result[0].message.startswith(f"{failing}:{raises}: ValueError")
    assert notebook.result[0].message.endswith("(and 1 more)")
    assert "unknown_name\n" in cells[1].result[0].text
    assert "Traceback" in cells[1].result[0].text
    assert [case.result for case in suites["02-doubling"]] == [[]]

    executed = nbformat.read(out / "01-adding" / "adding.ipynb", as_version=4)
    errors = [o.ename for c in executed.cells for o in c.get("outputs", ()) if "ename" in o]
    assert errors == ["ValueError", "NameError"]
    assert "not the end" in said(executed)

    # Only what passed is kept.
    code, table, _ = command(*call[:-4])
    assert code == 1
    assert "1 unchanged" in table
    assert "2 failed" in table


def test_a_notebook_whose_kernel_does_not_start_stops_no_other(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = engine.run

    def breaks(notebook: NotebookNode, folder: Path, *rest: object, **more: object) -> NotebookNode:
        if folder.name == "01-adding":
            raise RuntimeError("the kernel died while it started")
        return execute(notebook, folder, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "run", breaks)
    first, second = runs.run(course, course.lessons)
    assert first.summary == "RuntimeError: the kernel died while it started"
    assert not first.passed
    assert second.passed


def test_ctrl_c_ends_kernels_and_says_that_it_goes_on(solutions: Path, tmp_path: Path) -> None:
    began = tmp_path / "began"
    add(solutions, "01-adding", f"\n\n# %%\nopen({str(began)!r}, 'w').close(){HANGING}")
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "from grader.cli import main\n"
        "main()\n"
    )
    call = [sys.executable, "-c", code, "run", "--solutions", str(solutions), "--workers", "1"]
    call += ["--cache", str(tmp_path / "cache")]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 120
        while not began.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopped." in told
    assert kernels
    assert not psutil.wait_procs(kernels, timeout=10)[1]


def test_a_figure_is_not_drawn_with_a_solution_that_fails(solutions: Path) -> None:
    path = add(solutions, "02-doubling", "\n\n# %%\n1 / 0\n")
    course = load_course(solutions)
    assert said(run_reference(course, course["01-adding"])) == "quick: 2 + 3 = 5\n"
    with pytest.raises(GraderError, match=r"doubling\.py:\d+: ZeroDivisionError.*\n.*\n1 / 0"):
        run_reference(course, course["02-doubling"])
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["01-addign"], "Did you mean 01-adding?"),
        (["--device", "gpu"], 'no device "gpu": write cpu, cuda, cuda:1 or mps'),
        (["--profile", "fast"], "Invalid value for '--profile'"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--artifacts", "{file}/out"], "nothing can be written to"),
        (["--junit", "{file}/junit.xml"], "nothing can be written to"),
        (["--cache", "{file}/cache"], "no cache can be kept in"),
    ],
)
def test_a_mistake_is_told_before_anything_is_run(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    given = [one.format(file=tmp_path / "file") for one in arguments]
    code, out, told = command("--solutions", COURSE, "--cache", tmp_path / "cache", *given)
    assert (code, out) == (2, "")
    assert message in " ".join(told.replace("│", " ").split())
    assert "passed" not in told


def test_data_that_are_not_where_they_are_said_to_be_are_a_message(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNN_COURSE_DATA", str(tmp_path / "no"))
    code, _, told = command("--solutions", COURSE, "--cache", tmp_path / "cache")
    assert code == 2
    assert "make it, or name the one that holds your data" in told


# ---- when it is run again --------------------------------------------------------------------


def digest(solutions: Path, unit: str, folder: Path, **wanted: object) -> str:
    course = load_course(solutions)
    return prepare(course, course[unit], folder / unit, wanted).digest


def test_what_a_lesson_is_made_of_is_part_of_its_key(solutions: Path, tmp_path: Path) -> None:
    keys = [
        digest(solutions, "02-doubling", tmp_path / "1"),
        digest(solutions, "02-doubling", tmp_path / "2", seed=3),  # it has no such parameter
    ]
    assert keys[0] == keys[1]
    adding = solutions / "01-adding" / "adding.py"
    text = adding.read_text(encoding="utf-8")
    adding.write_text(text.replace("summed_up", "counted_on"), encoding="utf-8")
    keys.append(digest(solutions, "02-doubling", tmp_path / "3"))  # previously.py is another
    (solutions / "02-doubling" / "figures").mkdir()
    (solutions / "02-doubling" / "figures" / "one.png").touch()
    keys.append(digest(solutions, "02-doubling", tmp_path / "4"))
    keys.append(digest(solutions, "01-adding", tmp_path / "5"))
    assert keys[-1] == digest(solutions, "01-adding", tmp_path / "0", device="cpu")  # the same
    keys.append(digest(solutions, "01-adding", tmp_path / "6", seed=3))
    keys.append(digest(solutions, "01-adding", tmp_path / "7", profile="full"))
    assert len(set(keys[1:])) == len(keys) - 1


@pytest.mark.parametrize("what", ["check", "package", "data", "library", "torch", "sets", "gpu"])
def test_a_change_around_the_lessons_is_noticed(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "gpus").mkdir()
    monkeypatch.setenv("CNN_COURSE_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("GRADER_PRETEND_GPUS", str(tmp_path / "gpus"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for package in (grader, data):
        folder = Path(package.__file__ or "").parent
        ignored = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree(folder, tmp_path / folder.name, ignore=ignored)
        monkeypatch.setattr(package, "__file__", str(Path(copy) / "__init__.py"))
    before = runs.surroundings(gpu=True)
    # What lessons do not import, and what Python writes, change nothing.
    (tmp_path / "grader" / "cli.py").write_text("", encoding="utf-8")
    (tmp_path / "data" / "__pycache__").mkdir()
    (tmp_path / "data" / "__pycache__" / "x.pyc").touch()
    assert runs.surroundings(gpu=True) == before

    def change(path: str) -> None:
        with (tmp_path / path).open("a", encoding="utf-8") as file:
            file.write("\n")

    if what == "check":
        change("grader/check/shapes.py")
    elif what == "package":
        change("grader/__init__.py")
    elif what == "data":
        change("data/results/12-residual.json")
    elif what == "library":
        other = workers.identity() | {"numpy": "1.0"}
        monkeypatch.setattr(workers, "identity", lambda: other)
    elif what == "torch":
        monkeypatch.setattr(runs, "version", lambda name: "2.13.0+cu130")
    elif what == "sets":
        change("sets/train-images.gz")
    else:
        change("gpus/one")
        assert runs.surroundings(gpu=False) == before  # a lesson that sees none does not care
    assert runs.surroundings(gpu=True) != before


# ---- the cache's files -----------------------------------------------------------------------


def test_a_damaged_file_is_a_miss(adding: tuple[Prepared, Run], tmp_path: Path) -> None:
    prepared, run = adding
    cache = Cache(tmp_path)
    cache.keep(prepared, "here", run)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    found = cache.find(prepared, "here")
    assert found is not None
    assert found.executed == run.executed
    assert cache.find(prepared, "elsewhere") is None

    other = json.loads(gzip.decompress(whole))
    other["cells"][-2]["source"] = "print('another')"
    unfinished = json.loads(gzip.decompress(whole))
    unfinished["cells"][1]["metadata"]["judged"]["status"] = "error"
    unproved = json.loads(gzip.decompress(whole))
    del unproved["cells"][1]["metadata"]["judged"]
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    documents = (other, unfinished, unproved, [], {"cells": 1})
    damaged = [gzip.compress(json.dumps(document).encode()) for document in documents]
    for content in (b"", b"PK\3\4", whole[:-9], whole[:100], flipped, *damaged):
        path.write_bytes(content)
        assert cache.find(prepared, "here") is None, content[:40]
    path.unlink()
    path.mkdir()
    assert cache.find(prepared, "here") is None
    cache.keep(prepared, "here", run)  # cannot be written: no reason to stop
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_runs_side_by_side_do_not_spoil_the_cache(
    adding: tuple[Prepared, Run], tmp_path: Path
) -> None:
    prepared, run = adding
    executed = nbformat.from_dict(run.executed)
    executed.metadata["padding"] = [f"{n * 7919 % 10007}" for n in range(50_000)]  # takes a while
    large = replace(run, executed=executed)
    cache = Cache(tmp_path)
    cache.keep(prepared, "here", large)
    found: list[Run | None] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            cache.keep(prepared, "here", large)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while len(found) < 10:
        found.append(cache.find(prepared, "here"))
    stop.set()
    for writer in writers:
        writer.join()
    assert all(one is not None for one in found)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_of_use_last_is_kept_and_the_rest_is_not(
    adding: tuple[Prepared, Run], tmp_path: Path
) -> None:
    prepared, run = adding
    cache = Cache(tmp_path)
    (tmp_path / "02-doubling.0.ipynb.gz").touch()
    for n in range(runs.KEPT):
        cache.keep(prepared, f"{n}", run)
        time.sleep(0.01)  # the clock of files is not a fine one
    assert cache.find(prepared, "0") is not None
    time.sleep(0.01)
    cache.keep(prepared, "one more", run)
    assert cache.find(prepared, "0") is not None
    assert cache.find(prepared, "1") is None
    assert cache.find(prepared, "2") is not None
    assert len(list(tmp_path.iterdir())) == runs.KEPT + 1
