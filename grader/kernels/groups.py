"""Control groups: what all processes of one kernel use together, counted and bounded by Linux.

Version 2 where a folder of it can be written (root, or a user's own session under systemd), else
version 1 (root). Where there is neither, `make` returns None: then limits are those of single
processes, and a watchdog adds up what `usage` sees.

Stands on the standard library and psutil, which every IPython kernel has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
NEEDED = ("memory", "pids")
PREFIX = "kernel-"


@dataclass(frozen=True)
class Usage:
    """What the processes of one kernel use together.

    Attributes:
        cpu_seconds: of all of them, user and system, since the kernel was forked.
        memory_bytes: None where the control group takes care of it.
        processes: threads included; None likewise.
        gpu_bytes: on its GPU, see `grader.kernels.devices`.
        killed: the limits that Linux itself has enforced by now: "memory", "processes".
    """

    cpu_seconds: float = 0.0
    memory_bytes: int | None = None
    processes: int | None = None
    gpu_bytes: int = 0
    killed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """One control group: a folder in version 2, one for each controller in version 1.

    Attributes:
        folders: by controller; in version 2 all are the same.
    """

    version: int
    folders: dict[str, str]

    def add(self, pid: int) -> None:
        """Move the process `pid` in; its children are born inside."""
        for folder in set(self.folders.values()):
            Path(folder, "cgroup.procs").write_text(str(pid), encoding="ascii")

    def usage(self) -> Usage:
        """Return what was used until now; zeros when the group has gone."""
        killed = []
        with contextlib.suppress(OSError):
            name = "memory.events" if self.version == 2 else "memory.oom_control"
            if _field(self.folders["memory"], name, "oom_kill"):
                killed.append("memory")
            if _field(self.folders["pids"], "pids.events", "max"):
                killed.append("processes")
        return Usage(self._cpu_seconds(), killed=tuple(killed))

    def _cpu_seconds(self) -> float:
        with contextlib.suppress(OSError, KeyError):
            if self.version == 2:
                return _field(self.folders["memory"], "cpu.stat", "usage_usec") / 1e6
            text = Path(self.folders["cpuacct"], "cpuacct.usage").read_text(encoding="ascii")
            return int(text) / 1e9
        return 0.0

    def remove(self, patience: float = 1.0) -> None:
        """Remove the folders; their processes must have been killed and may still be leaving."""
        end = time.monotonic() + patience
        for folder in set(self.folders.values()):
            while True:
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > end:
                        break
                    time.sleep(0.002)
                else:
                    break


def name(owner: int, number: int) -> str:
    """Return the name of the group `number` of the process `owner`."""
    return f"{PREFIX}{owner}-{number}"


def sweep(root: Path = ROOT) -> None:
    """Remove empty groups whose owner was killed before it could do so."""
    for controller in ("", *NEEDED, "cpuacct"):
        own = _own_path(controller)
        if own is None:
            continue
        here = root / controller / own.lstrip("/")
        for folder in (here, *here.parents):
            for left in folder.glob(f"{PREFIX}*"):
                owner = left.name.removeprefix(PREFIX).partition("-")[0]
                if owner.isdigit() and not psutil.pid_exists(int(owner)):
                    with contextlib.suppress(OSError):
                        left.rmdir()
            if folder == root:
                break


def make(name: str, memory: int, processes: int, root: Path = ROOT) -> Group | None:
    """Return a new group `name` with these bounds, or None where this user can make none.

    Args:
        memory: bytes, what the processes share with the zygote not counted.
        processes: at a time, threads included.
    """
    for maker in (_version_2, _version_1):
        group = None
        try:
            group = maker(name, root)
            if group is None:
                continue
            bounds = [("pids", "pids.max", processes)]
            if group.version == 2:
                bounds += [("memory", "memory.max", memory), ("memory", "memory.swap.max", 0)]
            else:
                bounds += [("memory", "memory.limit_in_bytes", memory)]
                bounds += [("memory", "memory.memsw.limit_in_bytes", memory)]
            for controller, file, value in bounds:
                path = Path(group.folders[controller], file)
                if path.exists() or "sw" not in file:  # a kernel without swap has no file for it
                    path.write_text(str(value), encoding="ascii")
        except OSError:
            if group is not None:
                group.remove()
            continue
        return group
    return None


def family(pids: Iterable[int]) -> list[psutil.Process]:
    """Return the processes `pids` and all below them, as far as they still live."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(pid)
            for process in (top, *top.children(recursive=True)):
                found.setdefault(process.pid, process)
    return list(found.values())


def usage(pids: Iterable[int]) -> Usage:
    """Add up what the processes `pids` and all below them use, where there is no group.

    Memory is the proportional set size: what is shared with the zygote counts in part.
    """
    cpu, memory, threads = 0.0, 0, 0
    for process in family(pids):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            threads += process.num_threads()
            memory += process.memory_full_info().pss
    return Usage(cpu, memory, threads)


def _version_2(name: str, root: Path) -> Group | None:
    """In the nearest folder above us that may have groups below it: it holds no process itself."""
    own = _own_path("")
    if own is None or not (root / "cgroup.controllers").exists():
        return None
    here = root / own.lstrip("/")
    for folder in (here, *here.parents):
        given = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
        if all(controller in given for controller in NEEDED):
            path = folder / name
            path.mkdir()
            return Group(2, dict.fromkeys((*NEEDED, "cpuacct"), str(path)))
        if folder == root:
            break
    return None


def _version_1(name: str, root: Path) -> Group | None:
    folders = {}
    try:
        for controller in (*NEEDED, "cpuacct"):
            own = _own_path(controller)
            if own is None:
                raise FileNotFoundError(controller)
            path = root / controller / own.lstrip("/") / name
            path.mkdir()
            folders[controller] = str(path)
    except OSError:
        Group(1, folders).remove()
        return None
    return Group(1, folders)


def _own_path(controller: str) -> str | None:
    """The path of this process's group; `controller` is empty for version 2."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return None


def _field(folder: str, file: str, key: str) -> int:
    for line in Path(folder, file).read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0
