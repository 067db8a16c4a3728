"""solutions/ -> notebooks/: the same bytes each time, nothing secret in them, nothing stale."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from builders import CASES, COURSE, REPOSITORY
from jupytext import TextFileContentsManager

from grader import cli
from grader.course import Course, load_course, source_notebook
from grader.errors import LessonError, UsageError
from grader.lesson import load
from grader.release import build, stale

LESSON = (CASES / "lesson.py").read_text(encoding="utf-8")
LESSONS = sorted(
    path
    for root in (COURSE, REPOSITORY / "solutions")
    for path in root.glob("*/*.py")
    if path.name != "misconceptions.py"
)


@pytest.fixture(scope="module")
def built(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """notebooks/ of the case course; tests that change something take a copy."""
    folder = tmp_path_factory.mktemp("built")
    build(course, course.lessons, folder)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the case course, to be changed."""
    return Path(shutil.copytree(COURSE, tmp_path / "solutions"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command line as a person does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


# ---- the build ------------------------------------------------------------------------------


def test_two_builds_are_the_same_bytes(course: Course, built: Path, tmp_path: Path) -> None:
    build(course, course.lessons, tmp_path)
    assert files(tmp_path) == files(built)
    assert list(files(built)) == [
        "01-adding/adding.ipynb",
        "02-doubling/doubling.ipynb",
        "02-doubling/previously.py",
        "README.md",
    ]
    overview = (built / "README.md").read_text(encoding="utf-8")
    assert "| [02-doubling](02-doubling/doubling.ipynb) | Doubling | `double` | " in overview


def test_a_release_shows_neither_solutions_nor_hidden_tests(built: Path) -> None:
    text = (built / "01-adding" / "adding.ipynb").read_text(encoding="utf-8")
    for secret in ("summed_up_by_reference", "HIDDEN", "-40", "_hidden", "pebbles", "SOLUTION"):
        assert secret not in text
    for shown in ("def add(a, b):", "Return a + b.", "raise NotImplementedError()", "assert add(2"):
        assert shown in text


def test_a_built_notebook_says_what_nbgrader_needs(built: Path) -> None:
    notebook = nbformat.read(built / "01-adding" / "adding.ipynb", as_version=4)
    nbformat.validate(notebook)
    roles = {
        cell.id: {key: cell.metadata.nbgrader.get(key) for key in ("grade", "solution", "locked")}
        | {"points": cell.metadata.nbgrader.get("points")}
        for cell in notebook.cells
        if "nbgrader" in cell.metadata
    }
    assert roles["add"] == {"grade": False, "solution": True, "locked": False, "points": None}
    assert roles["add-arrays"] == {"grade": True, "solution": False, "locked": True, "points": 1}
    assert roles["why_commutes"] == {"grade": True, "solution": True, "locked": False, "points": 2}
    assert len([role for role in roles.values() if role["locked"]]) == 4  # imports, parameters
    assert not any("checksum" in cell.metadata for cell in notebook.cells)
    # A person may try another profile: what is graded is the course's own, whatever stands there.
    locked = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("locked")]
    assert ["parameters" in cell.metadata.get("tags", []) for cell in locked] == [
        cell.metadata.editable for cell in locked
    ]
    assert any(cell.metadata.editable for cell in locked)


def test_a_change_in_one_cell_renames_no_other(course: Course, copy: Path) -> None:
    before = [cell.id for cell in source_notebook(course["01-adding"]).cells]
    edit(copy / "01-adding" / "adding.py", "The smallest lesson", "The tiniest lesson")
    after = [cell.id for cell in source_notebook(load_course(copy)["01-adding"]).cells]
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert len(set(before)) == len(before)
    assert {"add", "add-tests", "add-arrays", "why_commutes"} <= set(before)


def test_cells_of_the_same_text_have_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "01-x").mkdir()
    (tmp_path / "01-x" / "x.py").write_text(LESSON + "\n# %%\nprint(1)\n" * 3, encoding="utf-8")
    ids = [cell.id for cell in source_notebook(load_course(tmp_path)["01-x"]).cells]
    assert len(set(ids)) == 5


# ---- stale ----------------------------------------------------------------------------------


def test_a_stale_build_is_told_by_the_names_of_its_files(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path(shutil.copytree(built, tmp_path / "notebooks"))
    check = ("build", "--check", "--solutions", COURSE, "--notebooks", here)
    assert run_cli(monkeypatch, *check) == 0
    edit(here / "01-adding" / "adding.ipynb", "smallest", "tiniest")
    (here / "02-doubling" / "previously.py").unlink()
    (here / "02-doubling" / "orphan.txt").write_text("?", encoding="utf-8")
    capsys.readouterr()
    assert run_cli(monkeypatch, *check) == 1
    said = capsys.readouterr().err.replace("\n", "")
    for name in ("01-adding/adding.ipynb", "02-doubling/previously.py", "02-doubling/orphan.txt"):
        assert name in said
    assert "doubling.ipynb" not in said


def test_what_people_leave_in_notebooks_is_not_stale(
    course: Course, built: Path, tmp_path: Path
) -> None:
    here = Path(shutil.copytree(built, tmp_path / "notebooks"))
    (here / "mine.md").write_text("mine", encoding="utf-8")
    for folder in (".ipynb_checkpoints", "__pycache__"):
        (here / "02-doubling" / folder).mkdir()
        (here / "02-doubling" / folder / "previously.x").write_text("", encoding="utf-8")
    (here / "02-doubling" / ".progress-02-doubling.json").write_text("{}", encoding="utf-8")
    assert stale(course, here) == []


# ---- leaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "line"),
    [
        ("01-adding/adding.py", "summed_up_by_reference = a + b"),  # its own solution
        ("01-adding/adding.py", 'assert double(-21) == -42, "double: negative numbers"'),  # a later
        ("02-doubling/doubling.py", 'assert double(-21) == -42, "double: negative numbers"'),
        ("01-adding/adding.py", "Because counting on from either heap of pebbles ends with the"),
    ],
)
def test_a_secret_line_in_the_prose_is_refused(
    copy: Path, tmp_path: Path, unit: str, line: str
) -> None:
    if line.startswith("Because"):
        line += " same heap."
    edit(copy / unit, "\n\n# %% locked", f"\n#\n# Hint: {line}\n\n# %% locked")
    course = load_course(copy)
    with pytest.raises(LessonError, match="this line of a solution or hidden test is shown"):
        build(course, course.lessons, tmp_path / "out")
    assert not (tmp_path / "out" / unit.split("/")[0]).exists()


def test_a_line_of_an_earlier_solution_is_no_secret(copy: Path, tmp_path: Path) -> None:
    edit(
        copy / "02-doubling" / "doubling.py",
        "# # Doubling",
        "# # Doubling\n#\n# Until now: summed_up_by_reference = a + b",
    )
    course = load_course(copy)
    build(course, (course["02-doubling"],), tmp_path)


def test_the_head_of_a_block_is_no_secret_and_its_body_is(copy: Path, tmp_path: Path) -> None:
    path = copy / "02-doubling" / "doubling.py"
    head, body = "for heap in (x, 2 * x, 3 * x, 4 * x):", "assert double(heap) == heap + heap"
    tests = "def _all(x):\n    " + head + "\n        " + body + "\n\n_all(5)\n"
    edit(path, "### END HIDDEN TESTS", tests + "### END HIDDEN TESTS")
    edit(path, "# # Doubling", f"# # Doubling\n#\n# Think of {head}")
    course = load_course(copy)
    build(course, (course["02-doubling"],), tmp_path)
    edit(path, f"# Think of {head}", f"# Think of {body}")
    course = load_course(copy)
    with pytest.raises(LessonError, match="this line of a solution or hidden test is shown"):
        build(course, (course["02-doubling"],), tmp_path)


# ---- the course -----------------------------------------------------------------------------


def test_an_unknown_unit_is_refused_with_the_nearest(course: Course) -> None:
    with pytest.raises(UsageError, match=r'no unit "01-addign"\. Did you mean 01-adding\?'):
        course["01-addign"]


def test_a_folder_without_lessons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no lessons in"):
        load_course(tmp_path)
    (tmp_path / "01-a").mkdir()
    for name in ("first.py", "second.py", "misconceptions.py"):
        (tmp_path / "01-a" / name).write_text("", encoding="utf-8")
    with pytest.raises(LessonError, match="2 lessons in one unit"):
        load_course(tmp_path)


def test_a_mistake_in_one_unit_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    copy = tmp_path / "solutions"
    shutil.copytree(COURSE, copy)
    [source] = (copy / "02-doubling").glob("doubling.py")
    source.write_text("no lesson", encoding="utf-8")
    course = load_course(copy)
    assert course["01-adding"].unit == "01-adding"
    assert "02-doubling" in course
    for ask in (lambda: course["02-doubling"], lambda: course.lessons):
        with pytest.raises(LessonError):
            ask()


@pytest.mark.parametrize("path", LESSONS, ids=[path.parent.name for path in LESSONS])
def test_titles_nest_and_pictures_and_columns_have_names(path: Path) -> None:
    """Whoever listens to a lesson goes by them, and so does JupyterLab's table of contents."""
    prose = "\n\n".join(cell.source for cell in load(path).cells if cell.markdown)
    prose = re.sub(r"^```.*?^```", "", prose, flags=re.MULTILINE | re.DOTALL)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level <= above + 1 for above, level in itertools.pairwise(levels))
    assert "![](" not in prose
    heads = re.findall(r"^(.*\|.*)\n\|?[-: ]+\|[-:| ]+$", prose, re.MULTILINE)
    assert [head for head in heads if re.search(r"\|\s*\|", head)] == []


@pytest.mark.parametrize("path", LESSONS, ids=[path.parent.name for path in LESSONS])
def test_a_lesson_draws_in_colours_that_everybody_tells_apart(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count('plt.style.use("petroff10")') == text.count("import matplotlib.pyplot")
    assert not re.search(r"tab:green|(?:color|c)=\"(?:green|lime)\"", text)


@pytest.mark.parametrize("path", LESSONS, ids=[path.parent.name for path in LESSONS])
def test_a_lesson_saved_in_jupyterlab_does_not_change(path: Path, tmp_path: Path) -> None:
    """Opened as a notebook and saved by jupytext, under this repository's settings."""
    for file in (path, REPOSITORY / "pyproject.toml"):
        shutil.copy(file, tmp_path)
    manager = TextFileContentsManager(root_dir=str(tmp_path))
    model = manager.get(path.name, type="notebook")
    for cell in model["content"].cells:
        cell.metadata["trusted"] = True  # as the server notes while a notebook is open
    content = nbformat.from_dict(json.loads(json.dumps(model["content"])))
    # What JupyterLab adds when the kernel answers; the header is then written anew.
    content.metadata["language_info"] = {"name": "python", "version": "3.13.0"}
    content.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    manager.save(model | {"content": content}, path.name)
    assert (tmp_path / path.name).read_text("utf-8") == path.read_text("utf-8")
