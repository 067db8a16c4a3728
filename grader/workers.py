"""What a worker is: a process that grades one submission at a time, on this machine or another.

Workers are Dask's, each with one thread. What they have is told to Dask as resources: one that
names their code and libraries, so that nothing is ever given to a worker that would grade
otherwise; and one more where a GPU is theirs.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import platform
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

import grader
from grader import ahead
from grader.grade import grade_with
from grader.kernels import devices
from grader.kernels.warm import share, warm
from grader.launch import require_sandbox
from grader.model import Assignment, Graded, Submission

if TYPE_CHECKING:
    from distributed import Nanny

PACKAGE = "cnn-course"
ZYGOTES = "GRADER_ZYGOTES"  # variable: the folder of the zygotes that workers share
SLACK = 120.0  # seconds beyond its limits after which a grading is taken for stuck

# Of Dask's, for what we do: few long tasks, of which none may wait behind another. What a user has
# set in Dask's own configuration counts more.
SETTINGS = {
    "distributed": {
        "worker": {
            "multiprocessing-method": "forkserver",
            "profile": {"enabled": False},  # a sampling thread in every worker
            "http": {"routes": []},  # nothing is shown to whoever asks
            # Kernels have limits of their own; Dask would end a worker for what a neighbour uses.
            "memory": {"pause": False, "terminate": False, "spill": False, "target": False},
        },
        "scheduler": {"work-stealing-interval": "100ms", "http": {"routes": []}},
        "admin": {"tick": {"limit": "1h"}},  # a busy machine is no news
        "diagnostics": {"nvml": False},
    },
    # What is worth hearing of workers is said by us; one elsewhere keeps its own log: see serve.
    "logging": {"distributed": "critical"},
}
# Before distributed is imported, which reads them then. Not update_defaults: its own come later.
dask.config.update(dask.config.config, SETTINGS, priority="old")


# ---- which worker may grade ------------------------------------------------------------------


@cache
def identity() -> dict[str, str]:
    """Return what must be the same wherever one class is graded: our code, Python, libraries."""
    code = hashlib.sha256()
    for folder in (Path(grader.__file__).parent, Path(grader.__file__).parents[1] / "data"):
        for path in sorted(folder.rglob("*.py")):
            code.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    found = {"grader": code.hexdigest()[:12], "python": platform.python_version()}
    for line in requires(PACKAGE) or ():
        name, extra = re.match(r"[\w.-]+", line), "extra ==" in line
        if name and not extra:
            try:
                # Without "+cpu" or "+cu128": a machine with GPUs has another build of torch.
                found[name[0]] = version(name[0]).partition("+")[0]
            except PackageNotFoundError:
                found[name[0]] = "missing"
    return found


def resource(*, gpu: bool = False) -> str:
    """Return the name of what a worker must have to grade what this process would grade alike."""
    text = "\n".join(f"{name} {what}" for name, what in identity().items())
    name = f"course-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return f"{name}-gpu" if gpu else name


def differences(theirs: Mapping[str, str]) -> str:
    """Return in words how a worker of this identity differs from this process."""
    ours = identity()
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return ", ".join(
        f"{name} {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here"
        for name in names
    )


# ---- slots -----------------------------------------------------------------------------------


def slots(memory: int) -> int:
    """Return how many submissions this machine can grade side by side.

    Args:
        memory: bytes that one of them may use.
    """
    from dask.system import CPU_COUNT  # both know of control groups
    from distributed.system import MEMORY_LIMIT

    return max(1, min(int(CPU_COUNT), int(MEMORY_LIMIT * 0.9) // memory))


def options(number: int, zygotes: Path | None, gpus: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what Dask's nanny of worker `number` of this machine is told of it.

    Args:
        gpus: slots on this machine's GPUs; the first workers have one each.
    """
    environment = {ZYGOTES: str(zygotes or "")}
    if number >= len(gpus):
        return {"env": environment, "resources": {resource(): 1}}
    return {
        "env": {**environment, **gpus[number]},
        "resources": {resource(): 1, resource(gpu=True): 1},
    }


_numbers = itertools.count()  # of the nannies of this process
_gpus: list[dict[str, str]] = []  # slots that they share out


def dask_setup(nanny: Nanny) -> None:
    """Make a worker of ours of each that `serve` starts: Dask calls this.

    Raises:
        SandboxError: this machine cannot isolate submissions.
    """
    require_sandbox()
    warm().prepare()
    told = options(next(_numbers), warm().folder, _gpus)
    nanny.env |= told["env"]
    nanny.resources = {**(nanny.resources or {}), **told["resources"]}
    nanny.nthreads = 1


def serve(arguments: Sequence[str], gpu_slots: int) -> None:
    """Be what ``dask worker`` with these arguments is, with workers that grade, until it ends.

    Args:
        gpu_slots: submissions that share a GPU.

    Raises:
        SandboxError: this machine cannot isolate submissions.
    """
    require_sandbox()
    _gpus.extend(devices.slots(gpu_slots))
    logging = {"distributed": "info"}
    dask.config.set({"logging": logging})  # here, and in the processes that are started
    os.environ["DASK_LOGGING"] = repr(logging)
    ahead.begin(sandbox=True)
    from distributed.cli.dask_worker import main

    ours = ["--preload-nanny", "grader.workers", "--memory-limit", "0", "--no-dashboard"]
    main([*arguments, *ours], prog_name="grader worker")


# ---- what a worker does ----------------------------------------------------------------------


def packed(assignment: Assignment) -> bytes:
    """Return `assignment` as it travels with each submission."""
    return pickle.dumps(assignment, protocol=pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=4)
def _unpacked(assignment: bytes) -> Assignment:
    # By our own workers only, who got it from the coordinator as Dask gets everything.
    return pickle.loads(assignment)  # type: ignore[no-any-return]


def work(assignment: bytes, submission: Submission, sandbox: bool, seeds: Sequence[int]) -> Graded:
    """Grade in a worker; see `grader.grade.grade_with`."""
    if os.environ.get(ZYGOTES):
        _share(os.environ[ZYGOTES])
    unpacked = _unpacked(assignment)
    notebooks = len(unpacked.notebooks) * len(seeds)
    with _ends_within(notebooks * 2 * unpacked.limits.submission_seconds + SLACK):
        return grade_with(unpacked, submission, sandbox=sandbox, seeds=seeds)


@cache
def _share(zygotes: str) -> None:
    if Path(zygotes).is_dir():
        share(Path(zygotes))


@contextmanager
def _ends_within(seconds: float) -> Iterator[None]:
    """End this process if what is done in it does not end: the submission is tried elsewhere."""
    alarm = threading.Timer(seconds, os._exit, (1,))
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
