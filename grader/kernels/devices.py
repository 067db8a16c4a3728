"""GPUs: which there are, what a slot may use of one, and who holds memory on it.

A slot is a worker process that grades one submission at a time. Its environment (`slots`) names one
device in CUDA_VISIBLE_DEVICES, and in GRADER_GPU_MEMORY how many bytes of it are the slot's.

Devices are found with NVML. Where GRADER_PRETEND_GPUS names a folder, its files are the devices,
as large as they are: a process that maps one holds as much of its memory as it maps, until it
ends. All but CUDA itself happens there as on a GPU.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from grader.errors import DeviceError, UsageError
from grader.kernels import groups
from grader.model import Assignment, Limits, on_cpu

VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARE = "GRADER_GPU_MEMORY"
PRETEND = "GRADER_PRETEND_GPUS"
RESERVE = 32  # one part in so many of a device is the driver's, and nobody is asked about it
CONTEXT = 600_000_000  # bytes that CUDA itself takes in each process, beside its tensors
PATIENCE = 5.0  # seconds that a driver may take to free what a process has left
CONTROLS = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
# The same sums on every run and on every generation of GPUs: the values that a test expects come
# from a CPU. Compiled kernels would be kept in a home that is thrown away.
FIXED = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "NVIDIA_TF32_OVERRIDE": "0",
    "CUDA_CACHE_DISABLE": "1",
}


@dataclass(frozen=True)
class Device:
    """A GPU, or a part of one (MIG) that is a device of its own.

    Attributes:
        identifier: ``GPU-...``, ``MIG-...``, or the name of a file that pretends.
        index: NVML's number of the GPU, from 0.
        memory_bytes: all that it has.
        nodes: the files through which a program reaches it, and no other device.
        pretends: it is a file.
    """

    identifier: str
    index: int
    name: str
    memory_bytes: int
    nodes: tuple[str, ...]
    pretends: bool = False


# ---- which there are ------------------------------------------------------------------------


def devices() -> tuple[Device, ...]:
    """Return the devices that this process may use: none without a driver.

    Where CUDA_VISIBLE_DEVICES is set (Slurm does), those that it names, in its order.
    """
    folder = os.environ.get(PRETEND)
    found = _pretending(Path(folder)) if folder else _real()
    named = os.environ.get(VISIBLE)
    return found if named is None else _visible(found, named)


def own() -> Device:
    """Return the device of this process's kernels: the first that it may use.

    Raises:
        DeviceError: there is none.
    """
    found = devices()
    if not found:
        named = os.environ.get(VISIBLE)
        why = f"none that {VISIBLE}={named} names" if named else "grader doctor tells more"
        raise DeviceError(f"no GPU is in reach of this process: {why}")
    return found[0]


def slots(per_device: int = 1) -> list[dict[str, str]]:
    """Return the environment of each slot of this machine: a worker process is to have it.

    Args:
        per_device: slots that share one device.

    Raises:
        UsageError: that is not one or more.
    """
    if per_device < 1:
        raise UsageError(f"{per_device} slots per GPU: there must be one or more")
    pretending = {PRETEND: os.environ[PRETEND]} if os.environ.get(PRETEND) else {}
    return [
        {VISIBLE: device.identifier, SHARE: str(_usable(device) // per_device), **pretending}
        for device in devices()
        for _ in range(per_device)
    ]


def here(assignment: Assignment) -> Assignment:
    """Return `assignment` as it can be run on this machine.

    Raises:
        DeviceError: it needs a GPU, and there is none.
    """
    if not assignment.gpu or devices():
        return assignment
    if assignment.without_gpu == "quick":
        return on_cpu(assignment)
    raise DeviceError(
        f"{assignment.unit} waits for a GPU: its header says gpu: true, and none is in reach. "
        "grader doctor tells what was found."
    )


def _real() -> tuple[Device, ...]:
    found: list[Device] = []
    import pynvml  # it loads the driver's library

    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(pynvml.NVMLError):  # one that is lost costs no other
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                found += _parts(pynvml, handle, index) or [_device(pynvml, handle, index)]
    return tuple(found)


def _parts(nvml: Any, gpu: Any, index: int) -> list[Device]:
    """Return the devices that a GPU is cut into (MIG); none where it is whole."""
    found = []
    with contextlib.suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(gpu)[0]:
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
                with contextlib.suppress(nvml.NVMLError):  # a place that is not taken
                    part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
                    found.append(_device(nvml, gpu, index, part))
    return found


def _device(nvml: Any, gpu: Any, index: int, part: Any = None) -> Device:
    minor = nvml.nvmlDeviceGetMinorNumber(gpu)
    nodes = [f"/dev/nvidia{minor}", *(f"/dev/{name}" for name in CONTROLS)]
    if part is not None:
        nodes += _capabilities(nvml, minor, part)
    handle = gpu if part is None else part
    return Device(
        nvml.nvmlDeviceGetUUID(handle),
        index,
        nvml.nvmlDeviceGetName(handle),
        nvml.nvmlDeviceGetMemoryInfo(handle).total,
        tuple(node for node in nodes if os.path.exists(node)),
    )


def _capabilities(
    nvml: Any, minor: int, part: Any, root: str = "/proc/driver/nvidia/capabilities"
) -> list[str]:
    """Return the files that let a program use one part of a GPU."""
    instance = nvml.nvmlDeviceGetGpuInstanceId(part)
    compute = nvml.nvmlDeviceGetComputeInstanceId(part)
    folder = Path(root, f"gpu{minor}", "mig", f"gi{instance}")
    nodes = []
    for access in (folder / "access", folder / f"ci{compute}" / "access"):
        with contextlib.suppress(OSError):
            told = re.search(r"DeviceFileMinor: (\d+)", access.read_text(encoding="ascii"))
            nodes += [f"/dev/nvidia-caps/nvidia-cap{told[1]}"] if told else []
    return nodes


def _pretending(folder: Path) -> tuple[Device, ...]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(
        Device(file.name, index, "pretends", file.stat().st_size, (str(file),), True)
        for index, file in enumerate(files)
    )


def _visible(found: Iterable[Device], named: str) -> tuple[Device, ...]:
    """Choose as CUDA does: numbers, or how an identifier begins; an unknown one ends the list."""
    known = list(found)
    chosen: list[Device] = []
    for entry in (part.strip() for part in named.split(",")):
        some = [one for one in known if entry in (one.identifier, str(one.index))]
        some = some or [one for one in known if entry and one.identifier.startswith(entry)][:1]
        if not some:
            break
        chosen += [one for one in some if one not in chosen]
    return tuple(chosen)


# ---- what a kernel gets ---------------------------------------------------------------------


def environment(device: Device | None) -> dict[str, str]:
    """Return the variables of a kernel that sees `device` alone; of one that sees none."""
    return {VISIBLE: ""} if device is None else {VISIBLE: device.identifier, **FIXED}


def capped(limits: Limits, device: Device) -> Limits:
    """Return `limits` with no more of the device's memory than is this slot's."""
    share = int(os.environ.get(SHARE) or _usable(device))
    return replace(limits, gpu_memory_bytes=min(limits.gpu_memory_bytes, share))


def fraction(limits: Mapping[str, float], device: Device) -> float:
    """Return the part of the device that torch may fill; the rest of the limit is for CUDA."""
    limit = limits["gpu_memory_bytes"]
    return min(1.0, max(limit - CONTEXT, limit / 2) / device.memory_bytes)


def _usable(device: Device) -> int:
    return device.memory_bytes - device.memory_bytes // RESERVE


# ---- who holds memory -----------------------------------------------------------------------


def held(device: Device, among: Collection[int] | None = None) -> dict[int, int]:
    """Return {pid: bytes} of the processes that hold memory of `device`.

    The process 0 is nobody that can be seen from here: who lives in another container, or has
    died and left something.

    Args:
        among: the processes that are asked about, where asking about all takes long.

    Raises:
        DeviceError: the device does not answer.
    """
    if device.pretends:
        return _mapped(device.nodes[0], psutil.pids() if among is None else among)
    import pynvml

    found: dict[int, int] = {}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(device.identifier)
        known = 0
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            size = process.usedGpuMemory or 0  # None where the driver does not tell
            pid = process.pid if psutil.pid_exists(process.pid) else 0
            found[pid] = found.get(pid, 0) + size
            known += size
        with contextlib.suppress(pynvml.NVMLError):  # not every driver tells these
            # What draws the desktop is no submission's.
            graphics = pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
            known += sum(one.usedGpuMemory or 0 for one in graphics if one.pid not in found)
            used = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2).used
            if used - known > device.memory_bytes // RESERVE:
                found[0] = found.get(0, 0) + used - known
    except pynvml.NVMLError as error:
        raise DeviceError(f"{_called(device)} does not answer: {error}") from None
    return found


def in_use(device: Device, pids: Collection[int]) -> int:
    """Return the bytes of `device` that the processes `pids` hold, one slot's kernel.

    Raises:
        DeviceError: the device does not answer.
    """
    found = held(device, pids)
    mine = sum(size for pid, size in found.items() if pid in pids)
    # Whose that is cannot be seen; with nobody else there it is ours.
    nobodys = found.get(0, 0)
    return mine + (nobodys if nobodys and len(_claims(device)) <= 1 else 0)


def _mapped(path: str, pids: Iterable[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
                if line.endswith(f" {path}"):
                    start, _, end = line.partition(" ")[0].partition("-")
                    found[pid] = found.get(pid, 0) + int(end, 16) - int(start, 16)
    return found


# ---- one submission after the other ---------------------------------------------------------


@contextlib.contextmanager
def claimed(device: Device, pids: Collection[int]) -> Iterator[None]:
    """Tell the other slots of `device` that `pids` and all below them may hold its memory now.

    Raises:
        DeviceError: there is no private place to tell it.
    """
    import fcntl  # Windows has none, and imports this module for `grader try`

    with tempfile.NamedTemporaryFile("w", dir=_board(device), prefix=".", delete=False) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # while we live
        json.dump(list(pids), file)
        file.flush()
        hidden = Path(file.name)
        path = hidden.rename(hidden.with_name(hidden.name[1:]))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def require_empty(device: Device, patience: float = PATIENCE) -> None:
    """Do nothing where nobody holds memory of `device` but what runs in its slots now.

    Raises:
        DeviceError: what `strangers` returns or raises.
    """
    left = strangers(device, patience)
    if left:
        raise DeviceError(left)


def strangers(device: Device, patience: float = PATIENCE) -> str:
    """Return who else than its slots holds how much of `device`, and what to do; empty if nobody.

    Args:
        patience: seconds to wait until it is nobody.

    Raises:
        DeviceError: the device does not answer.
    """
    end = time.monotonic() + patience
    while True:
        left = held(device)
        claims = _claims(device)  # after that look: who held memory by then had said so
        for pid in set().union(*claims):
            left.pop(pid, None)
        if claims:
            left.pop(0, None)  # of whom it is cannot be told
        if not left:
            return ""
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    whose = ", ".join(f"{_process(pid)} holds {size:,} bytes" for pid, size in left.items())
    pids = " ".join(str(pid) for pid in left if pid)
    advice = f"End it (kill {pids})" if pids else "Find it with nvidia-smi on the machine itself"
    return (
        f"{_called(device)} is not empty: {whose}. Nothing is graded on it until it is. "
        f"{advice}, or leave that device out of {VISIBLE}."
    )


def _claims(device: Device) -> list[set[int]]:
    """Return the processes of each kernel that runs on `device` now, in any slot."""
    import fcntl

    found = []
    for path in _board(device).glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError), path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append({one.pid for one in groups.family(json.load(file))})
            else:
                path.unlink()  # whoever wrote it was killed
    return found


def _board(device: Device) -> Path:
    """Make the folder in which the slots of `device` tell each other what they run."""
    top = Path(tempfile.gettempdir(), f"grader-devices-{os.geteuid()}")
    top.mkdir(mode=0o700, exist_ok=True)
    status = top.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    if not is_private or status.st_uid != os.geteuid():
        raise DeviceError(f"{top} is not a private folder of yours: remove it")
    (top / device.identifier).mkdir(exist_ok=True)
    return top / device.identifier


def _called(device: Device) -> str:
    return f"the GPU {device.identifier} ({device.name})"


def _process(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        if pid:
            return f"process {pid} ({psutil.Process(pid).name()})"
    return f"process {pid}" if pid else "somebody who cannot be seen from here"
