"""What this machine can isolate, found out by doing it, and what to do for the rest."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from grader.kernels import devices, groups, room

BWRAP_NEEDED = (0, 8)  # --disable-userns


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        needed: without it nothing can be sandboxed.
        advice: what to do where it is not there.
    """

    name: str
    works: bool
    detail: str
    needed: bool = True
    advice: str = ""


def examine() -> list[Finding]:
    """Return what was found here, in an order in which the first failure explains the others."""
    findings = [_linux()]
    if findings[0].works:
        findings += [_bubblewrap()]
        if findings[-1].works:
            findings += [_room()]
        findings += [_group(), _gpu()]
    return findings


def obstacle() -> Finding | None:
    """Return the first finding for which nothing can be sandboxed here, or None."""
    return next((one for one in examine() if one.needed and not one.works), None)


def _linux() -> Finding:
    return Finding(
        "Linux",
        sys.platform == "linux",
        f"{os.uname().sysname} {os.uname().release}" if hasattr(os, "uname") else sys.platform,
        advice="Grade on Linux, in a virtual machine or WSL 2; the lessons run anywhere.",
    )


def _bubblewrap() -> Finding:
    advice = "Install it: apt install bubblewrap, dnf install bubblewrap, pacman -S bubblewrap."
    path = shutil.which(room.BWRAP)
    if path is None:
        return Finding("bubblewrap", False, "there is no bwrap on PATH", advice=advice)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = tuple(int(n) for n in re.findall(r"\d+", said)[:2])
    if numbers < BWRAP_NEEDED:
        return Finding(
            "bubblewrap", False, f"{said.strip()} at {path} is older than 0.8", True, advice
        )
    return Finding("bubblewrap", True, f"{said.strip()} at {path}")


def _room() -> Finding:
    """Build a room, go in, and look."""
    advice = (
        "User namespaces are needed. Debian: sysctl kernel.unprivileged_userns_clone=1. Ubuntu "
        "24.04: give bwrap and python an AppArmor profile with userns, or sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0. Docker: --security-opt seccomp=... that "
        "allows unshare, clone, mount and setns, and --security-opt systempaths=unconfined."
    )
    try:
        walls = room.Room()
    except room.RoomError as error:
        return Finding("rooms", False, str(error), advice=advice)
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            walls.enter(2**20, 64)
            if os.fork() == 0:
                seen = sorted(name for name in os.listdir("/proc") if name.isdigit())
                links = [name for _, name in socket.if_nameindex()]
                os.write(far, f"{len(seen)} processes, network: {' '.join(links)}".encode())
            os._exit(0)
        except BaseException as error:
            os.write(far, f"!{error}".encode())
            os._exit(1)
    os.close(far)
    said = b""
    while part := os.read(near, 4096):
        said += part
    os.close(near)
    os.waitpid(child, 0)
    walls.close()
    os.waitpid(walls.builder, 0)
    text = said.decode()
    if text.startswith("!") or not text:
        return Finding("rooms", False, text[1:] or "a process could not go in", advice=advice)
    return Finding("rooms", True, f"a process in a room of its own sees {text}")


def _group() -> Finding:
    group = groups.make(f"doctor-{uuid.uuid4().hex[:8]}", 2**26, 16)
    if group is None:
        return Finding(
            "control groups",
            False,
            "none can be made: limits are those of single processes, and a watchdog adds them up",
            needed=False,
            advice="Run it in a scope of its own: systemd-run --user --scope -p Delegate=yes "
            "grader grade ... Without, a submission can hold memory that the watchdog does not "
            "see (memory files that are mapped nowhere).",
        )
    group.remove()
    return Finding("control groups", True, f"version {group.version}: memory, processes, CPU time")


def _gpu() -> Finding:
    found = devices.devices()
    if found:
        problems = _problems(found)
        listed = "\n".join(_line(one) for one in found)
        return Finding("GPU", not problems, listed, needed=False, advice="\n".join(problems))
    advice = "Units that need a GPU wait, those that may do without are graded on the CPU."
    why = "no NVIDIA device"
    if any(Path("/dev").glob("nvidia[0-9]*")):
        why = f"there are devices, but {_refusal() or f'{devices.VISIBLE} names none of them'}"
        advice = "nvidia-smi must work here: install the driver's library of its own version."
    return Finding("GPU", False, why, needed=False, advice=advice)


def _line(one: devices.Device) -> str:
    kind = "part of GPU" if one.identifier.startswith("MIG-") else "GPU"
    what = "a file that pretends" if one.pretends else f"{kind} {one.index}, {one.name}"
    return f"{one.identifier}: {what}, {one.memory_bytes / 2**30:.1f} GiB"


def _problems(found: tuple[devices.Device, ...]) -> list[str]:
    problems = []
    real = [one for one in found if not one.pretends]
    if any("/dev/nvidia-uvm" not in one.nodes for one in real):
        problems.append("There is no /dev/nvidia-uvm: run nvidia-modprobe -u -c 0.")
    if real and version("torch").endswith("+cpu"):
        problems.append("torch is installed without CUDA: install another build of it.")
    return problems


def _refusal() -> str:
    """Return why NVML cannot be used; nothing where it can."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"NVML says: {error}"
    return ""
