"""A room: the namespaces in which one kernel lives.

bubblewrap builds it (5 ms), and the forked kernel walks in with setns(2) (3 ms), so that a warm
process gets walls that a well-kept program made. Inside there are the Python environment, read
only, a home and a /tmp of limited size, no network, no other process, and no way to make
namespaces of one's own.

Stands on the standard library alone: it also runs in the interpreter of another environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import site
import stat
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from grader.kernels import filters

with contextlib.suppress(ImportError):  # Windows has no rooms, but `grader try` imports this, too
    import fcntl
    import resource

BWRAP = "bwrap"
HOME = "/home/student"
USER = 1000  # inside; outside it is whoever grades
MAX_DEPTH = 8  # folders within folders that are brought out

# Of the system: what programs and libraries are made of, and nothing that belongs to a person.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store")
SETTINGS = ("alternatives", "fonts", "ld.so.cache", "localtime", "nsswitch.conf", "ssl/certs")
# Of /proc: what Linux shows to root only, who may be the one that grades, or to all of one user.
MASKED = (
    *("kcore", "keys", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats"),
    *("pagetypeinfo", "sched_debug", "slabinfo", "sysrq-trigger", "timer_list", "vmallocinfo"),
)
# Of bubblewrap's /dev.
DEVICES = tuple(f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero"))
NVIDIA = ("/proc/driver/nvidia", "/sys/bus/pci", "/sys/devices", "/sys/module/nvidia")

PASSWD = f"student:x:{USER}:{USER}::{HOME}:/bin/sh\n".encode()
GROUP = f"student:x:{USER}:\n".encode()

# From the kernel's headers: <linux/nsfs.h>, <linux/prctl.h>, <linux/capability.h>, <sys/mount.h>.
NS_GET_USERNS = 0xB701
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND = 1, 2, 4, 32, 4096
KEYCTL_JOIN_SESSION_KEYRING = 1
SYS_KEYCTL = 250 if platform.machine() == "x86_64" else 219  # 219: every newer architecture

_libc = ctypes.CDLL(None, use_errno=True)


class RoomError(Exception):
    """This machine did not let us build a room."""


class Room:
    """Namespaces with nobody in them but a process that waits; see the module.

    Attributes:
        pid: of the room's first process, as seen from outside. When it ends, all end.
        builder: of the bubblewrap process that must be reaped by who made the room.

    Raises:
        RoomError: bubblewrap is not there or was refused what it needs.
    """

    def __init__(self, show: Iterable[str] = (), nodes: Iterable[str] = ()) -> None:
        self.pid = 0
        self._nodes = [path for path in nodes if _is_device(path)]
        info, info_w = os.pipe()
        said, said_w = os.pipe()
        hear, self._door = os.pipe()
        passwd, group, refused = _holding(PASSWD), _holding(GROUP), _holding(filters.program())
        filtered = refused if filters.program() else -1  # -1: an unknown kind of processor
        options = _holding(
            b"".join(
                os.fsencode(part) + b"\0"
                for part in options_of_bwrap(show, passwd, group, info_w, filtered, nodes)
            )
        )
        keep = (info_w, passwd, group, refused, options)
        _close_on_exec()
        try:
            # A spawn, not a fork: a fork copies the page tables of everything that is warm.
            self.builder = os.posix_spawnp(
                BWRAP,
                [BWRAP, "--args", str(options), "--", "/bin/cat"],
                {"PATH": "/usr/bin:/bin"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, hear, 0),
                    (os.POSIX_SPAWN_DUP2, said_w, 1),
                    (os.POSIX_SPAWN_DUP2, said_w, 2),
                    *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in keep),
                ],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
            )
        except OSError as error:
            raise RoomError(f"{BWRAP}: {error.strerror}") from None
        finally:
            for fd in (*keep, hear, said_w):
                os.close(fd)
        try:
            text = b""
            while part := os.read(info, 4096):
                text += part
            # cat's echo is the proof that every wall stands.
            with contextlib.suppress(BrokenPipeError):
                os.write(self._door, b".")
            answer = os.read(said, 4096)
            if answer != b".":
                reason = answer.decode(errors="replace").strip()
                raise RoomError(f"bubblewrap could not build a room here: {reason}")
            self.pid = int(json.loads(text)["child-pid"])
        except BaseException:
            os.close(self._door)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.builder, 0)
            raise
        finally:
            os.close(info)
            os.close(said)

    def enter(self, disk: int, inodes: int) -> None:
        """Move this process in, for good; its next child is wholly inside.

        Args:
            disk: bytes that the home, /tmp and /dev/shm may hold, each.
            inodes: files and folders, each.
        """
        names = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
        spaces = [os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY) for name in names]
        user = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY)
        # There are two user namespaces, one in the other. The outer owns the mounts.
        outer = fcntl.ioctl(spaces[0], NS_GET_USERNS)
        _check(_libc.setns(outer, 0), "setns")
        for space in spaces:
            _check(_libc.setns(space, 0), "setns")
        for path in (HOME, "/tmp", "/dev/shm"):
            size = f"size={disk},nr_inodes={inodes}".encode()
            flags = MS_REMOUNT | MS_NOSUID | MS_NODEV
            _check(_libc.mount(None, path.encode(), None, flags, size), f"mount {path}")
        # What is mounted for writing can be given another mode by its owner, for all the machine.
        for path in (*DEVICES, *self._nodes):
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID
            _check(_libc.mount(None, os.fsencode(path), None, flags, None), f"mount {path}")
        _check(_libc.setns(user, 0), "setns")
        nothing = ctypes.create_string_buffer(24)
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        _check(_libc.capset(header, nothing), "capset")
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        for fd in (*spaces, outer, user):
            os.close(fd)
        # Keys would be a letter box between kernels.
        _libc.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
        filters.apply()

    def close(self) -> None:
        """End every process inside; a second call does nothing."""
        if self._door < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.close(self._door)
        self._door = -1


def confine(limits: Mapping[str, float], pid: int = 0) -> None:
    """Give the process `pid` (0: this one) the limits that Linux counts by process."""
    cpu = int(limits["submission_cpu_seconds"]) + 1
    # Of all that is mapped for writing, beyond what the zygote had: malloc then fails, and a cell
    # ends with MemoryError where a limit on the whole room could only kill.
    held = int(_status("VmData").split()[0]) * 1024 if pid == 0 else 0
    for name, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_DATA, held + int(limits["memory_bytes"])),
        (resource.RLIMIT_NPROC, int(limits["processes"])),
        (resource.RLIMIT_NOFILE, int(limits["open_files"])),
        (resource.RLIMIT_FSIZE, int(limits["file_bytes"])),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.prlimit(pid, name)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.prlimit(pid, name, (bound, bound))


def settle(limits: Mapping[str, float]) -> None:
    """Give this process its limits, now that it is inside."""
    confine(limits)
    # Entering made us undumpable: our own /proc/self would not open.
    _check(_libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def be_reaper() -> None:
    """Make this process the parent of its children's orphans: it learns when they end."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def options_of_bwrap(
    show: Iterable[str],
    passwd: int,
    group: int,
    info: int,
    refused: int = -1,
    nodes: Iterable[str] = (),
) -> list[str]:
    """Return bubblewrap's arguments: what is seen inside.

    Args:
        show: paths besides the system's and this interpreter's own.
        passwd, group: descriptors that hold /etc/passwd and /etc/group.
        info: the descriptor that bubblewrap writes its child's pid to.
        refused: the descriptor that holds the filter of system calls, if there is one.
        nodes: files of the GPU that a program in the room may use.
    """
    options = (
        "--unshare-all --unshare-user --disable-userns --die-with-parent --new-session "
        f"--uid {USER} --gid {USER} --hostname localhost --cap-drop ALL --clearenv --proc /proc "
        f"--dev /dev --tmpfs /dev/shm --perms 1777 --tmpfs /tmp --info-fd {info} "
        f"--ro-bind-data {passwd} /etc/passwd --ro-bind-data {group} /etc/group"
    ).split()
    for name in SETTINGS:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in SYSTEM:
        if os.path.islink(path):  # /bin -> usr/bin
            options += ["--symlink", os.readlink(path), path]
        else:
            options += ["--ro-bind-try", path, path]
    for path in sorted({*environment_paths(), *show}):
        if not path.startswith(("/usr/", "/nix/")):
            options += ["--ro-bind-try", path, path]
    for node in nodes:
        options += ["--dev-bind" if _is_device(node) else "--ro-bind", node, node]
    for path in NVIDIA if any(_is_device(node) for node in nodes) else ():
        options += ["--ro-bind-try", path, path]
    for name in MASKED:
        if os.path.exists(f"/proc/{name}"):
            options += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    if refused >= 0:
        options += ["--seccomp", str(refused)]
    options += ["--tmpfs", HOME, "--chdir", HOME]
    # /proc/sys is writable for whoever is root outside.
    return [*options, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]


def environment_paths() -> set[str]:
    """Return the folders that this interpreter and its packages are in."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    if site.ENABLE_USER_SITE:
        paths.add(site.getusersitepackages())
    return {path for path in paths if Path(path).is_dir()}


def copy_in(folder: int) -> None:
    """Copy the plain files of the open `folder`, and its folders', into the current one."""
    for path, _, files, here in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        Path(path).mkdir(exist_ok=True)
        for name in files:
            source = _open_plain(name, here)
            if source is not None:
                with open(source, "rb") as given, Path(path, name).open("wb") as ours:
                    shutil.copyfileobj(given, ours)
                    when = os.fstat(source)
                os.utime(Path(path, name), ns=(when.st_atime_ns, when.st_mtime_ns))


def copy_out(home: int, folder: Path, bound: int = 2**62) -> None:
    """Copy what is new or changed in a room's `home`, an open folder, into `folder`.

    Only plain files: a link would lead the reader to a file of ours. To be called when nobody is
    in the room any more. What cannot be written is left out, and so is what comes after `bound`
    bytes: files with holes, and with many names, are longer than what they take up.
    """
    for path, folders, files, here in os.fwalk(".", dir_fd=home, follow_symlinks=False):
        if len(Path(path).parts) >= MAX_DEPTH:
            folders.clear()
        # A folder of ours that is a link leads elsewhere.
        folders[:] = [name for name in folders if not (folder / path / name).is_symlink()]
        for name in files:
            with contextlib.suppress(OSError):
                source = _open_plain(name, here)
                if source is None:
                    continue
                target = folder / path / name
                with open(source, "rb") as theirs:
                    when = os.fstat(source)
                    if target.is_symlink() or _unchanged(target, when):
                        continue
                    bound -= when.st_size
                    if bound < 0:
                        return
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as ours:
                        shutil.copyfileobj(theirs, ours)


def _is_device(path: str) -> bool:
    """Whether it is one of the driver's files; what pretends to be a GPU is a plain one."""
    return stat.S_ISCHR(os.stat(path).st_mode)


def _unchanged(target: Path, when: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        before = target.stat()
        return (before.st_size, before.st_mtime_ns) == (when.st_size, when.st_mtime_ns)
    return False


def _open_plain(name: str, folder: int) -> int | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def _close_on_exec() -> None:
    """Let no program inherit what is open here, of us or of who started us."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _holding(content: bytes) -> int:
    fd = os.memfd_create("room")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _status(key: str) -> str:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return line.split(":")[1]
    return "0"


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
