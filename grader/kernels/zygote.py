"""The zygote: a process that has imported what lessons need, and forks a kernel when asked.

Started by `grader.kernels.warm` with a listening Unix socket (SOCK_SEQPACKET). It ends when nobody
is connected any more. A connection that sends a request

    {"connection": {...}, "environment": {...}, "limits": {...}, "show": [...],
     "nodes": [files of its GPU], "gpu_fraction": of its memory, or null, "control_groups": bool,
     "judge": bool, "seed": int or null, "trains": bool}

with descriptors (the listening sockets for shell, iopub, stdin, control and heartbeat, and the
kernel's folder) gets a kernel::

    {"pid": ..., "room": pid of the room's first process, "group": ...}

with descriptors of the kernel's home and of its /proc, and ``{"ended": wait status, "used": ...}``
when it has ended; or else ``{"error": "why there is no kernel"}``. The kernel lives no longer than
the connection.

One thread, and never a GPU: a fork copies no threads, and CUDA does not survive it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import zmq
from ipykernel.heartbeat import Heartbeat
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core.application import BaseIPythonApplication
from traitlets.config import Config

from grader.kernels import groups, room

PRELOAD = (
    "numpy",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "torch",
    "sklearn.datasets",
    "ipywidgets",
    "PIL.Image",
    "grader.judge.trial",  # which a judge's kernel alone keeps
)
OPTIMIZERS = "torch._dynamo"  # imported for who trains, and for nobody else
SETTINGS = {
    # Nobody reads the history, and it is a database and a thread.
    "HistoryManager": {"enabled": False},
    # A tip of the day is drawn with the random numbers that a student has seeded.
    "InteractiveShell": {"enable_tip": False},
    "Application": {"log_level": "CRITICAL"},
}
ENDS = 5  # frames of a recursion that are shown of where it begins, and of where it ends
PATIENCE = 60.0  # seconds without anybody, before the first one comes
CHANNELS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
SLACK = 256 * 2**20  # bytes: what the walls of a room and shared pages add to a kernel's memory


# ---- the kernel -----------------------------------------------------------------------------


def _done(*_: Any) -> None:
    """Do nothing: it was done before the fork."""


class WarmKernel(IPythonKernel):  # type: ignore[misc]  # Any to mypy
    """ipykernel's, made before the fork and given its sockets and streams after it."""

    @classmethod
    def instance(cls, *args: Any, **given: Any) -> WarmKernel:
        """Return the one kernel; `given` goes into it also when it has been made before."""
        made_before = cls.initialized()
        kernel: WarmKernel = super().instance(*args, **given)
        if made_before:
            for name, value in given.items():
                setattr(kernel, name, value)
            kernel._stdout, kernel._stderr = sys.stdout, sys.stderr
            shell: Any = kernel.shell
            for hook in (shell.displayhook, shell.display_pub):
                hook.session, hook.pub_socket = kernel.session, kernel.iopub_socket
            shell.displayhook.topic = kernel._topic("execute_result")
        return kernel


class WarmHeartbeat(Heartbeat):  # type: ignore[misc]  # Any to mypy
    """ipykernel's, on a socket that listens already."""

    listening = -1

    def _try_bind_socket(self) -> Any:
        self.socket.setsockopt(zmq.USE_FD, self.listening)
        return super()._try_bind_socket()


class WarmKernelApp(IPKernelApp):  # type: ignore[misc]  # Any to mypy
    """ipykernel's, without files of its own, on sockets that were opened outside of the room."""

    kernel_class = WarmKernel
    listening: dict[int, int]

    def prepare(self) -> None:
        """Do before the fork what needs no socket, and leave it out after the fork."""
        BaseIPythonApplication.initialize(self, [])
        self.kernel = self.kernel_class.instance(
            parent=self, session=self.session, profile_dir=self.profile_dir, user_ns=self.user_ns
        )
        self.init_shell()
        self.shell.set_custom_exc((RecursionError,), _show_recursion)
        # exit() stops the kernel 0.1 s later, in whatever cell runs by then: marks by luck.
        self.shell.unobserve_all("exit_now")
        for step in ("init_pdb", "init_path", "init_gui_pylab", "init_extensions", "init_code"):
            getattr(self, step)()
            setattr(self, step, _done)
        for step in (
            "parse_command_line",
            "init_profile_dir",
            "init_config_files",
            "load_config_file",
            "init_shell",
        ):
            setattr(self, step, _done)

    def init_connection_file(self) -> None:
        """Do nothing: all was handed over."""

    def write_connection_file(self, **_: Any) -> None:
        """Do nothing: nobody could read it."""

    def init_crash_handler(self) -> None:
        """Do nothing: stderr is not kept."""

    def _try_bind_socket(self, s: Any, port: int) -> int:
        s.setsockopt(zmq.USE_FD, self.listening[port])
        bound: int = super()._try_bind_socket(s, port)
        return bound

    def _apply_curve_client_options(self, socket: Any) -> None:
        # The debugger's way back to the shell: a path that does not exist inside of the room. It
        # would be tried ten times a second.
        socket.reconnect_ivl = -1

    def init_heartbeat(self) -> None:
        """Start it on its own context, as ipykernel does."""
        address = (self.transport, self.ip, self.hb_port)
        self.heartbeat = WarmHeartbeat(zmq.Context(), address)
        self.heartbeat.listening = self.listening[self.hb_port]
        self.heartbeat.start()


def become_kernel(request: dict[str, Any], listening: list[int]) -> None:
    """Be an IPython kernel in this forked process until it ends."""
    log = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        os.close(nowhere)
        os.environ.update(HOME=room.HOME, IPYTHONDIR="/tmp/.ipython")
        os.environ.update(request["environment"])
        asyncio.set_event_loop(asyncio.new_event_loop())  # the one before waits on what is closed
        os.chdir(room.HOME)
        room.settle(request["limits"])
        _reseed(request["seed"])
        _tame(request["gpu_fraction"])
        importlib.invalidate_caches()
        if not request["judge"]:
            for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
                del sys.modules[name]
        connection = request["connection"]
        sys.path.append("")  # the kernel's own folder, last: nothing there shadows a module
        app = WarmKernelApp.instance()
        app.listening = {connection[c]: fd for c, fd in zip(CHANNELS, listening, strict=True)}
        app.load_connection_info(connection)
        app.session.pid = os.getpid()  # it refuses to speak in a fork
        app.initialize([])
        # What the output's thread opens at its first message must not wait until a student's
        # code has left no descriptor for it: the thread would end, and with it every answer.
        app.iopub_thread.schedule(lambda: app.iopub_thread._event_pipe)
        os.close(log)
    except BaseException:
        with contextlib.suppress(OSError):
            os.write(log, traceback.format_exc().encode())
        os._exit(1)
    app.start()


def _reseed(seed: int | None) -> None:
    """Start the random numbers of this process; without a seed as a fresh start of Python would."""
    import random

    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(None if seed is None else seed % 2**32)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        # torch.seed() asks every kind of device at once; manual_seed() tells them when they start.
        torch.default_generator.seed() if seed is None else torch.manual_seed(seed)


def _tame(fraction: float | None) -> None:
    """Let torch take no more than this part of its GPU's memory: a cell can then end with an error.

    A limit on the whole room could only kill. Nothing here touches the GPU: torch keeps it until
    it does so itself.
    """
    if fraction is not None and "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.cuda._lazy_call(lambda: torch.cuda.set_per_process_memory_fraction(fraction))
        torch.backends.cudnn.deterministic = True


def _show_recursion(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    """Show `error` without the middle of its traceback.

    For every frame IPython looks through all modules that are imported, some thousands here: the
    thousand frames of a function that calls itself would take twenty seconds.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = [link.__traceback__] if link.__traceback__ else []
        while frames and frames[-1].tb_next:
            frames.append(frames[-1].tb_next)
        if len(frames) > 2 * ENDS:
            frames[ENDS - 1].tb_next = frames[-ENDS]
            link.add_note(f"({len(frames) - 2 * ENDS} calls in between are not shown)")
        link = link.__cause__ or link.__context__
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


# ---- the zygote -----------------------------------------------------------------------------


@dataclass
class Kernel:
    """A kernel that has been forked."""

    room: room.Room
    connection: socket.socket


class Zygote:
    """Answers requests, reaps what has ended; see the module."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._kernels: dict[int, Kernel] = {}
        # By the room's builder: when that is reaped, nobody is in the room any more.
        self._rooms: dict[int, groups.Group | None] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ, self._accept)
        woken, wake = os.pipe()
        for fd in (woken, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(woken, selectors.EVENT_READ, lambda: self._reap(woken))
        self._connections = 0
        self._made = 0  # groups

    def serve(self) -> None:
        """Work until everybody has gone."""
        last = time.monotonic() + PATIENCE
        while self._connections or time.monotonic() < last:
            for key, _ in self._selector.select(timeout=5.0):
                key.data()
                if self._connections:
                    last = 0.0
        for kernel in list(self._kernels.values()):
            kernel.room.close()

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        self._connections += 1
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._answer(connection))

    def _answer(self, connection: socket.socket) -> None:
        descriptors: list[int] = []
        try:
            data, descriptors, _, _ = socket.recv_fds(
                connection, 2**20, len(CHANNELS) + 2, socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            data = b""
        if not data:
            self._forget(connection)
            return
        try:
            reply, folders = self._start(json.loads(data), descriptors, connection)
            descriptors += folders
            socket.send_fds(connection, [json.dumps(reply).encode()], folders)
        except Exception as error:
            with contextlib.suppress(OSError):
                connection.send(json.dumps({"error": f"{error}"}).encode())
            if not isinstance(error, (room.RoomError, OSError)):
                traceback.print_exc()
        finally:
            for fd in descriptors:
                os.close(fd)

    def _start(
        self, request: dict[str, Any], descriptors: list[int], connection: socket.socket
    ) -> tuple[dict[str, Any], list[int]]:
        if request["trains"]:
            _ready_to_train()
        limits = request["limits"]
        memory = int(limits["memory_bytes"]) + SLACK
        walls = room.Room(request["show"], request["nodes"])
        group = None
        if request["control_groups"]:
            self._made += 1
            name = groups.name(os.getpid(), self._made)
            group = groups.make(name, memory, int(limits["processes"]))
        self._rooms[walls.builder] = group
        try:
            # The room's first processes too: who is inside can write into their memory.
            for process in groups.family([walls.pid]):
                if group is not None:
                    group.add(process.pid)
                room.confine(limits, process.pid)
            pid, folders = self._fork(request, descriptors, walls, group)
        except BaseException:
            walls.close()
            raise
        self._kernels[pid] = Kernel(walls, connection)
        lent = descriptors[len(CHANNELS) + 1 :]
        reply = {
            "pid": pid,
            "room": walls.pid,
            "group": group and asdict(group),
            "lent": lent[0] if lent else -1,
        }
        return reply, folders

    def _fork(
        self,
        request: dict[str, Any],
        descriptors: list[int],
        walls: room.Room,
        group: groups.Group | None,
    ) -> tuple[int, list[int]]:
        """Fork a process that goes into the room and forks the kernel.

        Return the kernel's pid, and its home and /proc, opened.
        """
        # What is lent beside them keeps its number in the kernel.
        listening, folder = descriptors[: len(CHANNELS)], descriptors[len(CHANNELS)]
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        doorman = os.fork()
        if doorman == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                foreign = _foreign({0, 1, 2, far.fileno(), *descriptors})
                os.setsid()
                if group is not None:
                    group.add(os.getpid())
                walls.enter(int(request["limits"]["disk_bytes"]), int(request["limits"]["inodes"]))
                _disown(foreign)
                os.chdir(room.HOME)
                room.copy_in(folder)
                os.close(folder)
                pid = os.fork()
                if pid == 0:
                    far.close()
                    become_kernel(request, listening)
                    os._exit(0)
                folders = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (".", "/proc")]
                socket.send_fds(far, [str(pid).encode()], folders)
                os._exit(0)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    far.send(f"!{error}".encode())
                os._exit(1)
        far.close()
        with near:
            data, folders, _, _ = socket.recv_fds(near, 4096, 2)
        if not folders:
            reason = data[1:].decode(errors="replace") or "it was killed"
            raise room.RoomError(f"no kernel in the room: {reason}")
        return int(data), folders

    def _reap(self, woken: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._kernels:
                kernel = self._kernels.pop(pid)
                group = self._rooms.get(kernel.room.builder)
                used = asdict(group.usage()) if group is not None else {}
                kernel.room.close()
                last = {"ended": status, "used": used}
                with contextlib.suppress(OSError):
                    kernel.connection.send(json.dumps(last).encode())
            group = self._rooms.pop(pid, None)
            if group is not None:
                group.remove()

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()
        self._connections -= 1
        for kernel in self._kernels.values():
            if kernel.connection is connection:
                kernel.room.close()


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _foreign(own: set[int]) -> dict[int, tuple[str, int]]:
    """Return {descriptor: (path, place in it)} of all that this process shares; but for `own`.

    The path of a file to read; of all else that of nothing.
    """
    found = {}
    for fd in {int(name) for name in os.listdir("/proc/self/fd")} - own:
        with contextlib.suppress(OSError):  # the listing's own
            is_read_only = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            if is_read_only and stat.S_ISREG(os.fstat(fd).st_mode):
                found[fd] = (os.readlink(f"/proc/self/fd/{fd}"), os.lseek(fd, 0, os.SEEK_CUR))
            else:
                found[fd] = (os.devnull, 0)
    return found


def _disown(foreign: dict[int, tuple[str, int]]) -> None:
    """Share no open file with the process that forked this one, now that it is in its room.

    Objects from before the fork still believe in their numbers, and close them when they are
    collected: a font of matplotlib's, in the middle of a lesson. A number that was free by then
    would be somebody else's. So they stay taken: files to read are opened once more, as they are
    seen in the room (from outside they could be written), and all else is nothing.
    """
    for fd, (path, place) in foreign.items():
        try:
            try:
                own = os.open(path, os.O_RDONLY)
            except OSError:
                own = os.open(os.devnull, os.O_RDONLY)
            os.lseek(own, place, os.SEEK_SET)
            os.dup2(own, fd, inheritable=False)
            os.close(own)
        except OSError:
            os.close(fd)


def _warm_up() -> None:
    # pyplot asks for its backend when it is imported, and the backend for IPython's shell.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    with _without("debugpy"):
        WarmKernelApp.instance(config=Config(SETTINGS)).prepare()
    for name in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if "matplotlib" in sys.modules:
        _draw_once()
    gc.collect()
    gc.freeze()


def _ready_to_train() -> None:
    """Import what torch imports with the first optimizer: 800 modules, 1.5 s and 70 MB."""
    if OPTIMIZERS in sys.modules:
        return
    tempfile.tempdir = os.environ["HOME"]  # it makes a folder, and nothing else is writable here
    before = set(os.environ)
    with contextlib.suppress(Exception):  # the kernel would then find out by itself
        importlib.import_module(OPTIMIZERS)
    tempfile.tempdir = None
    for name in set(os.environ) - before:  # the path of that folder, which no room has
        del os.environ[name]
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Let `module` seem not to be installed: nobody debugs here, and it takes 0.1 s a kernel."""
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def _draw_once() -> None:
    """Draw a figure: fonts and the parser of formulas are then known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().set_title("$x^2$ and text")
    FigureCanvasAgg(figure).print_png(io.BytesIO())


def main(descriptor: int) -> None:
    """Serve on the listening socket `descriptor`."""
    _close_all_but({0, 1, 2, descriptor})
    listening = socket.socket(fileno=descriptor)
    room.be_reaper()
    groups.sweep()
    _warm_up()
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        print(f"{threads} threads after the imports: a fork would lose them", file=sys.stderr)
    Zygote(listening).serve()
