"""How the run of a cell ended: what the kernel replied, or which limit was met.

A limit is known in three ways: the engine saw it (time, output, what the room uses), Linux ended
the kernel for it, or it refused something and the student's code ended with that error.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from grader.kernels.groups import Usage
from grader.model import Limits

MAX_ERROR = 2_000  # characters of an error that are kept
XCPU = getattr(signal, "SIGXCPU", 24)  # Windows has no name for it, and never sends it


class Proof(StrEnum):
    """What is known of the run of one cell."""

    OK = "ok"
    ERROR = "error"
    TIME = "time limit"
    CPU = "CPU time limit"
    MEMORY = "memory limit"
    GPU_MEMORY = "GPU memory limit"
    PROCESSES = "process limit"
    OPEN_FILES = "open files limit"
    FILE = "file size limit"
    DISK = "disk limit"
    OUTPUT = "output limit"
    PICTURES = "picture limit"
    DIED = "kernel died"
    SILENT = "no reply"
    NOT_RUN = "not run"
    NOT_NEEDED = "not needed"  # nobody asked for it: no mark can depend on it


# What a note on the attempt is written of: the cell did not come to its end by itself.
LIMITS = frozenset(Proof) - {Proof.OK, Proof.ERROR, Proof.NOT_RUN, Proof.NOT_NEEDED}

# An interrupt would come too late, or reach only one of many.
FATAL = {Proof.MEMORY, Proof.GPU_MEMORY, Proof.PROCESSES}

# What Python and its libraries say when Linux refuses. A student who raises such an error
# himself has a failed cell all the same.
REFUSALS = (
    (Proof.MEMORY, r"_?(Array)?MemoryError\b|.*can't allocate memory|.*bad_alloc|.*\[Errno 12\]"),
    (Proof.PROCESSES, r"BlockingIOError: \[Errno 11\]|.*can't start new thread"),
    (Proof.OPEN_FILES, r".*\[Errno 24\]"),
    (Proof.FILE, r".*\[Errno 27\]"),
    (Proof.DISK, r".*\[Errno 28\]"),
    (Proof.GPU_MEMORY, r".*CUDA out of memory"),
)


@dataclass
class Shown:
    """What a cell has shown until now: bytes of output, pictures, bytes of the largest one."""

    output: int = 0
    pictures: int = 0
    largest: int = 0

    def limit(self, limits: Limits) -> Proof | None:
        """Return the limit that this is over."""
        if self.output > limits.output_bytes:
            return Proof.OUTPUT
        if self.pictures > limits.pictures or self.largest > limits.picture_bytes:
            return Proof.PICTURES
        return None


def from_usage(limits: Limits, usage: Usage, cell_cpu: float) -> Proof | None:
    """Return the limit that a room is over.

    Args:
        cell_cpu: CPU seconds since the cell began.
    """
    if "memory" in usage.killed:  # of one of its processes, which is not the end of the others
        return Proof.MEMORY
    if usage.memory_bytes is not None and usage.memory_bytes > limits.memory_bytes:
        return Proof.MEMORY
    if usage.gpu_bytes > limits.gpu_memory_bytes:
        return Proof.GPU_MEMORY
    if usage.processes is not None and usage.processes > limits.processes:
        return Proof.PROCESSES
    if cell_cpu > limits.cell_cpu_seconds or usage.cpu_seconds > limits.submission_cpu_seconds:
        return Proof.CPU
    return None


def from_reply(reply: dict[str, Any], limits: Limits) -> tuple[Proof, str]:
    """Return what the kernel's reply to a cell proves, and the error if there was one."""
    if reply.get("status") == "ok":
        return Proof.OK, ""
    name, value = str(reply.get("ename", "error")), str(reply.get("evalue", ""))
    error = f"{name}: {value}" if value else name
    error = error if len(error) <= MAX_ERROR else f"{error[:MAX_ERROR]} ..."
    for proof, pattern in REFUSALS:
        if re.match(pattern, error):
            return proof, f"{error} ({bound(proof, limits)})"
    return Proof.ERROR, error


def from_death(exit_code: int | None, usage: Usage, limits: Limits) -> tuple[Proof, str]:
    """Return why a kernel has died, and the sentence that says it."""
    if "memory" in usage.killed:
        return Proof.MEMORY, f"its kernel was ended: {bound(Proof.MEMORY, limits)}"
    if exit_code == -XCPU or usage.cpu_seconds > limits.submission_cpu_seconds:
        return Proof.CPU, f"its kernel was ended: {bound(Proof.CPU, limits)}"
    return Proof.DIED, "the cell ended its own kernel (os._exit, a crash, or out of memory)"


def bound(proof: Proof, limits: Limits) -> str:
    """Return a sentence that states a limit."""
    return {
        Proof.TIME: f"a cell may take {limits.cell_seconds:g} seconds",
        Proof.CPU: f"a cell may use {limits.cell_cpu_seconds:g} seconds of CPU time, "
        f"a notebook {limits.submission_cpu_seconds:g}",
        Proof.MEMORY: f"a notebook may use {limits.memory_bytes:,} bytes of memory",
        Proof.GPU_MEMORY: f"a notebook may use {limits.gpu_memory_bytes:,} bytes of GPU memory",
        Proof.PROCESSES: f"a notebook may have {limits.processes} processes and threads",
        Proof.OPEN_FILES: f"a notebook may have {limits.open_files} open files",
        Proof.FILE: f"a file may have {limits.file_bytes:,} bytes",
        Proof.DISK: f"a notebook may write {limits.disk_bytes:,} bytes in {limits.inodes:,} files",
        Proof.OUTPUT: f"a cell may show {limits.output_bytes:,} bytes of output",
        Proof.PICTURES: f"a cell may show {limits.pictures} pictures "
        f"of {limits.picture_bytes:,} bytes",
    }.get(proof, "")


def note(proof: Proof, cell: str, error: str) -> str:
    """Return what is noted of an attempt where `cell` met a limit."""
    return f"{proof} in {cell}: {error.removeprefix('stopped: ')}"


def noted(line: str) -> tuple[Proof, str] | None:
    """Return the limit and the cell that a note names; None where it is another note."""
    match = re.match(rf"({'|'.join(sorted(LIMITS))}) in (.+?): ", line)
    return (Proof(match.group(1)), match.group(2)) if match else None
