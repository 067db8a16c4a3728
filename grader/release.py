"""Build what students open: solutions/NN-name/ -> notebooks/NN-name/, by nbgrader's own step."""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from grader import interop
from grader.course import Course, exports, previously, source_notebook
from grader.errors import GraderError, LessonError
from grader.lesson import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    END_HIDDEN,
    END_SOLUTION,
    Lesson,
    Role,
)

# A shorter line ("return y", "for n in range(N):") says nothing about a solution.
TELLING = 24

OVERVIEW = (
    "# The lessons",
    "",
    "In this order: each uses what those before it have built, and finds it in `previously.py`.",
    "",
    "| unit | | what you build | minutes | points |",
    "|---|---|---|---|---|",
)

# Of 255: a picture that its palette misses by more, on average, shows bands.
VISIBLE = 1.0


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write `notebook` so that the same content is always the same bytes."""
    nbformat.validate(notebook)
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def write_source(course: Course, lesson: Lesson, folder: Path) -> None:
    """Write `lesson` as an nbgrader source folder: notebook, previously.py, figures/."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_notebook(source_notebook(lesson), folder / f"{lesson.notebook}.ipynb")
    earlier = course.before(lesson)
    if earlier:
        (folder / "previously.py").write_text(previously(earlier), encoding="utf-8")
    figures = lesson.path.parent / "figures"
    if figures.is_dir():
        shutil.copytree(figures, folder / "figures")


def build(course: Course, lessons: tuple[Lesson, ...], out: Path) -> None:
    """Build the releases of `lessons` into `out`/<unit>/.

    Raises:
        LessonError: a release would show a line of a solution or a hidden test.
        AssignmentError: nbgrader refused a source notebook.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        config = Config()
        config.CourseDirectory.root = str(root)
        for lesson in lessons:
            write_source(course, lesson, root / "source" / lesson.unit)
            interop.generate_assignment(config, lesson.unit, database=None)
            made = root / "release" / lesson.unit
            notebook = made / f"{lesson.notebook}.ipynb"
            write_notebook(_for_a_person(nbformat.read(notebook, as_version=4)), notebook)
            check_leaks(course, lesson, made)
            target = out / lesson.unit
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(made, target)
    (out / "README.md").write_text(overview(course), encoding="utf-8")


def overview(course: Course) -> str:
    """Return the page beside the units, in Markdown: what each of them builds."""
    rows = [
        f"| [{lesson.unit}]({lesson.unit}/{lesson.notebook}.ipynb) | {lesson.title} "
        f"| {', '.join(f'`{name}`' for name in exports(lesson))} "
        f"| {lesson.minutes} | {lesson.points:g} |"
        for lesson in course.lessons
    ]
    return "\n".join([*OVERVIEW, *rows, ""])


def _for_a_person(notebook: NotebookNode) -> NotebookNode:
    """Make a released notebook comfortable.

    `profile`, `seed` and `device` may be edited, which nbgrader has locked for grading. Where it
    has taken hidden tests out of a cell, no empty lines remain.
    """
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata["editable"] = True
    return notebook


def stale(course: Course, built: Path) -> list[str]:
    """Return what differs between `built` (notebooks/) and a fresh build, as relative paths."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        build(course, course.lessons, fresh)
        units = {lesson.unit for lesson in course.lessons}
        here = _files(built) if built.is_dir() else set()
        here = {path for path in here if not _is_left_over(path)}
        there = _files(fresh)
        changed = {
            path
            for path in here & there
            if not filecmp.cmp(built / path, fresh / path, shallow=False)
        }
        orphans = {path for path in here - there if path.parts[0] in units or len(path.parts) > 1}
        return sorted(str(path) for path in changed | (there - here) | orphans)


def _is_left_over(path: Path) -> bool:
    """Whether it comes from working in there: checkpoints, progress, compiled modules."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


# ---- leaks ----------------------------------------------------------------------------------


def secret_lines(lesson: Lesson) -> dict[str, int]:
    """Return {line: its place in the lesson's file} for telling lines of solutions and tests."""
    secrets: dict[str, int] = {}
    for cell in lesson.cells:
        if cell.role not in (Role.EXERCISE, Role.TESTS, Role.MANUAL):
            continue
        inside = False
        for offset, line in enumerate(cell.source.splitlines(), 1):
            if BEGIN_SOLUTION in line or BEGIN_HIDDEN in line:
                inside = True
            elif END_SOLUTION in line or END_HIDDEN in line:
                inside = False
            elif line.lstrip().startswith(("import ", "from ")):
                continue  # which module is used tells little, and many cells say it
            elif line.rstrip().endswith(":"):
                continue  # the head of a block is an idiom; what the block does is looked for
            elif inside and len(line.replace(" ", "")) >= TELLING:
                secrets.setdefault(line.strip(), cell.line + offset)
    return secrets


def check_leaks(course: Course, lesson: Lesson, release: Path) -> None:
    """Refuse a release that shows a telling line of its own or a later unit's secrets."""
    texts = [
        json.dumps(nbformat.read(path, as_version=4), ensure_ascii=False)
        if path.suffix == ".ipynb"
        else path.read_text(encoding="utf-8")
        for path in sorted(release.rglob("*"))
        if path.suffix in (".ipynb", ".py", ".md")
    ]
    public = {line for other in course.before(lesson) for line in secret_lines(other)}
    for other in course.lessons:
        if other.unit < lesson.unit:
            continue
        for secret, line in secret_lines(other).items():
            quoted = json.dumps(secret, ensure_ascii=False)[1:-1]
            if secret not in public and any(secret in text or quoted in text for text in texts):
                raise LessonError(
                    other.path,
                    line,
                    f"this line of a solution or hidden test is shown in {lesson.unit}: {secret}",
                    "say it in other words in the text, or write the solution differently",
                )


# ---- expected figures -----------------------------------------------------------------------


def save_figures(lesson: Lesson, executed: NotebookNode) -> list[Path]:
    """Save the pictures of cells marked ``figure="name"`` as light PNG files in figures/.

    A picture is reduced to a palette, as large as fits. The palette is chosen for coverage (the
    usual median cut turns a colour bar, few pixels of many colours, grey), and then moved to the
    means of what it stands for, or the greys of a photograph would be tinted. Where it is still
    too small, neighbouring pixels share the error (dithering), or a sky would show bands.

    Raises:
        GraderError: a marked cell drew nothing, or a picture is 60 kB or more.
    """
    import base64
    import io

    from PIL import Image, ImageChops, ImageStat

    folder = lesson.path.parent / "figures"
    folder.mkdir(exist_ok=True)
    saved = []
    for cell in executed.cells:
        name = cell.metadata.get("figure")
        if not name:
            continue
        images = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        if not images:
            raise GraderError(f'{lesson.unit}: the cell figure="{name}" drew no picture')
        picture = Image.open(io.BytesIO(base64.b64decode(images[-1]))).convert("RGB")
        path = folder / f"{name}.png"
        for colours in (256, 128, 64, 32):
            reduced = picture.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=1)
            error = ImageStat.Stat(ImageChops.difference(picture, reduced.convert("RGB"))).mean
            if max(error) > VISIBLE:
                reduced = picture.quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
            reduced.save(path, optimize=True)
            if path.stat().st_size < 60_000:
                break
        else:
            raise GraderError(f"{path} takes {path.stat().st_size:,} bytes; draw it smaller")
        saved.append(path)
    for orphan in set(folder.glob("*.png")) - set(saved):
        orphan.unlink()
    return saved
