"""Lessons executed side by side; what has passed is kept by content, and not run again.

A lesson is run again when anything has changed that its outputs could depend on: `surroundings`.
"""

from __future__ import annotations

import contextlib
import contextvars
import gzip
import hashlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from importlib.metadata import version
from pathlib import Path

import nbformat
import psutil
from jupyter_core.utils import ensure_event_loop
from nbformat import NotebookNode

import data
import grader
from data import DataError
from data.local import cache_folder, data_folder
from grader import workers
from grader.course import Course
from grader.errors import DeviceError, UsageError
from grader.kernels import devices
from grader.lesson import Lesson
from grader.model import Limits
from grader.reference import LIMITS, Prepared, Run, digest_of, execute, failures, files, prepare

# Not in the cache of data sets, which students' kernels may read: here are solutions.
CACHE = Path(".grader_cache")
KEPT = 8  # runs of one unit: profiles, devices, branches


def run(
    course: Course,
    lessons: Sequence[Lesson],
    wanted: Mapping[str, object] | None = None,
    *,
    limits: Limits | None = None,
    count: int | None = None,
    cache: Cache | None = None,
    artifacts: Path | None = None,
    on_done: Callable[[Run], None] = lambda run: None,
) -> list[Run]:
    """Execute `lessons` and return what became of each, in order.

    Args:
        wanted: papermill's parameters.
        limits: of a cell and of a notebook; by default those of the profile.
        count: notebooks at a time; by default as many as cores and memory allow.
        cache: where what passed is kept, and looked for first.
        artifacts: each is put there, <unit>/<notebook>.ipynb, also where it failed.
        on_done: is told each of them as it comes, those that are unchanged first.

    Raises:
        DeviceError: a GPU was asked for, and there is none.
        LessonError: see `grader.reference.prepare`.
    """
    wanted = wanted or {}
    if str(wanted.get("device", "")).startswith("cuda") and not devices.devices():
        raise DeviceError("no GPU is in reach of this process: grader doctor tells more")
    limits = limits or LIMITS[str(wanted.get("profile", "quick"))]
    done: dict[str, Run] = {}

    def tell(one: Run) -> None:
        done[one.unit] = one
        if artifacts is not None:
            _store(one, ready[one.unit].folder, artifacts / one.unit)
        on_done(one)

    with tempfile.TemporaryDirectory() as name:
        ready = {one.unit: prepare(course, one, Path(name) / one.unit, wanted) for one in lessons}
        before = {unit: surroundings(gpu=one.sees_gpu) for unit, one in ready.items()}
        for unit, prepared in ready.items():
            found = cache.find(prepared, before[unit]) if cache else None
            if found is not None:
                tell(found)
        left = [prepared for unit, prepared in ready.items() if unit not in done]
        for one in _side_by_side(left, limits, count):
            prepared = ready[one.unit]
            is_as_before = surroundings(gpu=prepared.sees_gpu) == before[one.unit]
            if cache and one.passed and is_as_before:
                cache.keep(prepared, before[one.unit], one)
            tell(one)
    return [done[unit] for unit in ready]


def _side_by_side(prepared: Sequence[Prepared], limits: Limits, count: int | None) -> Iterator[Run]:
    """Yield each as it ends. Threads will do: the work is done in the kernels' own processes."""
    if not prepared:
        return
    count = count or workers.slots(max(one.lesson.limits.memory_bytes for one in prepared))
    with ThreadPoolExecutor(count) as pool:
        jobs = [pool.submit(contextvars.Context().run, _alone, one, limits) for one in prepared]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            _end(jobs)


def _alone(prepared: Prepared, limits: Limits) -> Run:
    """Execute with an event loop that is nobody else's, and that is closed."""
    try:
        return execute(prepared, limits)
    finally:
        ensure_event_loop().close()


def _end(jobs: Sequence[Future[Run]]) -> None:
    """After Ctrl-C: nothing more is begun, and what runs loses its kernel, and so ends."""
    for job in jobs:
        job.cancel()
    while not all(job.done() for job in jobs):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        wait(jobs, timeout=0.5)


def _store(one: Run, folder: Path, target: Path) -> None:
    """Put an executed notebook where a person will look, with the figures that its text shows."""
    ignored = shutil.ignore_patterns("*.ipynb", "__pycache__")
    shutil.copytree(folder, target, ignore=ignored, dirs_exist_ok=True)
    nbformat.write(one.executed, target / f"{one.notebook}.ipynb")


# ---- what has passed before ------------------------------------------------------------------


def surroundings(*, gpu: bool) -> str:
    """Return a digest of all beside its own folder that a lesson's outputs can depend on.

    What lessons import of ours; which data sets are on this machine, by the names and sizes of
    their files, since loaders know their checksums; Python and libraries; the kind of machine, and
    with `gpu` its GPUs.

    Raises:
        UsageError: the folder of data that was asked for does not exist.
    """
    ours = Path(grader.__file__).parent
    try:
        sets = [folder for folder in (data_folder(None), cache_folder(None)) if folder]
    except DataError as error:
        raise UsageError(str(error)) from None
    versions = {name: what for name, what in workers.identity().items() if name != "grader"}
    facts = [
        hashlib.sha256((ours / "__init__.py").read_bytes()).hexdigest(),
        digest_of(ours / "check"),
        digest_of(Path(data.__file__).parent),
        *(line for top in sets for line in _sizes(top)),
        *(f"{name} {what}" for name, what in versions.items()),
        f"torch {version('torch')}",  # with +cpu or +cu128
        f"{platform.system()} {platform.machine()}",
        *(one.name for one in (devices.devices() if gpu else ())),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _sizes(folder: Path) -> Iterator[str]:
    for path in files(folder):
        with contextlib.suppress(FileNotFoundError):  # a download has just ended
            yield f"{path.relative_to(folder)} {path.stat().st_size}"


class Cache:
    """Executed notebooks that passed, by what went into them.

    Several may use one folder at a time: a file appears there as a whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            UsageError: that cannot be done.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"no cache can be kept in {folder}: {error.strerror}") from None

    def find(self, prepared: Prepared, around: str) -> Run | None:
        """Return what an earlier run gave; None where there was none, or its file is damaged."""
        path, lesson = self._path(prepared, around), prepared.lesson
        try:
            executed = nbformat.reads(gzip.decompress(path.read_bytes()), as_version=4)
            is_whole = _sources(executed) == _sources(prepared.notebook)
            if is_whole and not list(failures(prepared, executed)):
                with contextlib.suppress(OSError):
                    path.touch()  # what was of use last is kept longest
                return Run(lesson.unit, lesson.notebook, executed, unchanged=True)
        except Exception:  # whatever is the matter with a file here, the lesson can be run again
            return None
        return None

    def keep(self, prepared: Prepared, around: str, run: Run) -> None:
        """Keep what passed; where that cannot be written it is run again the next time."""
        path, unit = self._path(prepared, around), f"{run.unit}."
        with contextlib.suppress(OSError):
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=unit, delete=False) as file:
                part = Path(file.name)
                try:
                    file.write(gzip.compress(nbformat.writes(run.executed).encode()))
                    file.flush()
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
            mine = [one for one in self.folder.iterdir() if one.name.startswith(unit)]
            for one in sorted(mine, key=lambda one: one.stat().st_mtime)[:-KEPT]:
                one.unlink(missing_ok=True)

    def _path(self, prepared: Prepared, around: str) -> Path:
        key = hashlib.sha256(f"{prepared.digest} {around}".encode()).hexdigest()[:32]
        return self.folder / f"{prepared.lesson.unit}.{key}.ipynb.gz"


def _sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.id, cell.source) for cell in notebook.cells]
