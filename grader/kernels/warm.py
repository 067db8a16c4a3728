"""The way to a zygote: start it, find it, and ask it for kernels."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import site
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from grader.kernels import room

TRIES = 3  # to start a zygote
START_SECONDS = 120.0  # imports on a loaded machine with a cold disk
LOG = "zygote.log"
LISTENING = 3  # the zygote's descriptor
DRIVER = "/usr/local/nvidia/lib64"  # of a GPU in Kubernetes; else it is where libraries are

# What runs in the zygote's interpreter, which may be another environment's than ours. There our
# package may be missing, or be another copy's, which no room shows.
STARTER = """
import os, sys
os.chdir("/")
sys.path.insert(0, {root!r})
from grader.kernels import zygote
sys.path.append(sys.path.pop(0))
zygote.main({listening})
"""


class WarmError(Exception):
    """There is no zygote, or it has no kernel for us."""


class Warm:
    """The zygotes of one folder: one for each interpreter, shared by all who know the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._leases: dict[str, socket.socket] = {}

    def close(self) -> None:
        """Let go of the zygotes; they end when nobody holds them."""
        for lease in self._leases.values():
            lease.close()
        self._leases.clear()

    def prepare(self, python: str = sys.executable) -> None:
        """Let the zygote of the interpreter `python` begin its imports; do not wait for it."""
        with contextlib.suppress(OSError):  # whoever asks for a kernel will be told
            self._connect(python).close()

    def request(self, python: str, message: dict[str, Any], descriptors: list[int]) -> Any:
        """Return (reply, [home, proc], connection) for a new kernel of the interpreter `python`.

        Raises:
            WarmError: no zygote could be started, or it has no kernel for us.
        """
        for attempt in range(TRIES):
            try:
                connection = self._connect(python)
                try:
                    socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
                    data, folders, _, _ = socket.recv_fds(connection, 2**16, 2)
                    if data:
                        reply = json.loads(data)
                        if "error" in reply:
                            raise WarmError(reply["error"])
                        return reply, folders, connection
                except BaseException:
                    connection.close()
                    raise
                connection.close()
            except OSError as error:
                if attempt == TRIES - 1 and not isinstance(error, ConnectionError):
                    raise
            # The zygote is gone: somebody killed it, or it ended as we came.
            if python in self._leases:
                self._leases.pop(python).close()
        raise WarmError(f"the zygote ends as soon as it is asked: {self._last_words()}")

    def _connect(self, python: str) -> socket.socket:
        if python not in self._leases:
            self._leases[python] = self._reach(python)  # while we live, it lives
        return self._reach(python)

    def _reach(self, python: str) -> socket.socket:
        import fcntl  # Windows has none, and imports this module for `grader try`

        address = self._address(python)
        with contextlib.suppress(OSError):
            return _connected(address)
        with open(f"{address}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(OSError):
                return _connected(address)
            self._start(python, address)
            return _connected(address)

    def _start(self, python: str, address: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        root = str(Path(__file__).parents[2])
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with listening, open(self.folder / LOG, "ab") as log:
            listening.bind(address)
            listening.listen(128)
            # Not a Popen: nobody waits for it, and it may outlive us if others use it.
            # Read only: /proc/self/exe of every kernel leads back to where the zygote was started.
            walls = ["--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev"]
            walls += ["--bind", "/proc", "/proc"]
            walls += ["--bind-try", "/sys/fs/cgroup", "/sys/fs/cgroup"]
            walls += ["--bind", str(self.folder), str(self.folder)]
            walls += ["--cap-add", "ALL"] if os.geteuid() == 0 else []
            starter = STARTER.format(root=root, listening=LISTENING)
            os.posix_spawnp(
                room.BWRAP,
                [room.BWRAP, *walls, "--", python, "-P", "-c", starter],
                # Its start-up files would be anybody's in /tmp.
                kernel_environment(python)
                | {"IPYTHONDIR": f"{self.folder}/ipython", "HOME": str(self.folder)},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                    (os.POSIX_SPAWN_DUP2, listening.fileno(), LISTENING),
                ],
                setsid=True,  # Ctrl-C is for us alone
            )

    def _address(self, python: str) -> str:
        return str(self.folder / hashlib.sha256(python.encode()).hexdigest()[:12])

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, IndexError):
            return (self.folder / LOG).read_text(errors="replace").strip().splitlines()[-1]
        return "it left no word"


def _connected(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    connection.settimeout(START_SECONDS)
    return connection


def kernel_environment(python: str = sys.executable) -> dict[str, str]:
    """Return the variables of every kernel in a room: nothing of the grader's own environment.

    They are the zygote's from its start, for a process can read what it was started with.
    """
    here = str(Path(python).parent)
    variables = {
        "PATH": f"{here}:/usr/local/bin:/usr/bin:/bin",
        "HOME": room.HOME,
        "USER": "student",
        "LOGNAME": "student",
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp",
        "IPYTHONDIR": "/tmp/.ipython",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        # One thread a kernel: as many kernels run side by side as there are cores.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    if os.path.isdir(DRIVER):
        variables["LD_LIBRARY_PATH"] = DRIVER
    if site.ENABLE_USER_SITE and site.USER_BASE:
        variables["PYTHONUSERBASE"] = site.USER_BASE
    return variables


_warm: Warm | None = None


def warm() -> Warm:
    """Return this process's zygotes; their folder is made when first asked for."""
    if _warm is None:
        folder = short_folder()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        share(folder)
    assert _warm is not None
    return _warm


def share(folder: Path) -> None:
    """Use the zygotes of `folder`, which another process has made, in this process too."""
    global _warm
    _warm = Warm(folder)
    atexit.register(_warm.close)


def short_folder() -> Path:
    """Make a private folder in which the path of a socket stays under Linux's 107 bytes."""
    for parent in (tempfile.gettempdir(), "/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="warm-", dir=parent))
        if len(os.fsencode(folder)) < 80:
            return folder
        folder.rmdir()
    raise WarmError("no folder for sockets: TMPDIR is too long")
