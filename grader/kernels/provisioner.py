"""``warm``: a jupyter_client provisioner whose kernels a zygote forks into rooms of their own.

A kernelspec asks for it by name::

    {"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
     "metadata": {"kernel_provisioner": {"provisioner_name": "warm", "config": {}}}}

The kernel's folder is a copy: what is there when it starts is brought in, and the plain files
that it wrote are brought out when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Bool, Dict, Integer, List

from grader.kernels import devices, groups, room
from grader.kernels.warm import short_folder, warm
from grader.model import Limits

CHANNELS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


class WarmProvisioner(KernelProvisionerBase):  # type: ignore[misc]  # jupyter_client is Any to mypy
    """See the module.

    Traits:
        limits: fields of `grader.model.Limits` that are not the default's, by name.
        show: paths that the kernel may read, besides its environment and its folder.
        device: fields of the `devices.Device` that it may use; by default none.
        judge: it is a judge's and not a student's: what the grader has imported stays.
        lend: a descriptor of this process that the kernel is to have too; -1 for none.
        seed: of Python's, NumPy's and torch's random numbers; None for a new one.
        trains: its notebook may make an optimizer of torch's: have ready what that imports.
        control_groups: use them where they can be made.
    """

    limits = Dict().tag(config=True)
    show = List().tag(config=True)
    device = Dict().tag(config=True)
    judge = Bool(False).tag(config=True)
    lend = Integer(-1).tag(config=True)
    seed = Integer(None, allow_none=True).tag(config=True)
    trains = Bool(False).tag(config=True)
    control_groups = Bool(True).tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pid = 0
        self.lent = -1  # the number of the lent descriptor in the kernel
        self._room = 0
        self._device: devices.Device | None = None
        self._group: groups.Group | None = None
        self._connection: socket.socket | None = None
        self._ended: int | None = None
        self._used: groups.Usage | None = None  # when it had ended
        self._home = self._proc = -1  # open folders of the room
        self._folder: Path | None = None  # where the kernel's files came from
        self._sockets: Path | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel to be waited for."""
        return self._connection is not None

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes above all that are the kernel's, as seen from outside."""
        return self._room, self.pid

    async def pre_launch(self, **options: Any) -> dict[str, Any]:
        """Choose the kernel's sockets: a folder of its own, on the file system."""
        manager = self.parent
        self._sockets = short_folder()
        manager.transport = "ipc"
        manager.ip = str(self._sockets / "k")
        for port, channel in enumerate(CHANNELS, 1):
            setattr(manager, channel, port)
        options.pop("extra_arguments", None)
        return dict(await super().pre_launch(cmd=self.kernel_spec.argv, **options))

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        """Ask the zygote for a kernel.

        Raises:
            WarmError: there is none to be had; the message says why.
        """
        connection = self.parent.get_connection_info(session=False)
        self._folder = Path(options.get("cwd") or Path.cwd())
        given = {"JPY_PARENT_PID"}  # nbclient's and jupyter_client's own, of no use in a room
        environment = {
            name: value
            for name, value in (options.get("env") or {}).items()
            if name not in given and os.environ.get(name) != value
        }
        limits = asdict(Limits()) | self.limits
        if self.device:
            self._device = devices.Device(**{**self.device, "nodes": tuple(self.device["nodes"])})
        environment |= devices.environment(self._device)
        message = {
            "connection": {**connection, "key": connection["key"].decode()},
            "environment": environment,
            "limits": limits,
            "show": self.show,
            "nodes": self._device.nodes if self._device else [],
            "gpu_fraction": devices.fraction(limits, self._device) if self._device else None,
            "judge": self.judge,
            "seed": self.seed,
            "trains": self.trains,
            "control_groups": self.control_groups,
        }
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)  # first: it may not be there
        listening = [_listen(f"{connection['ip']}-{connection[name]}") for name in CHANNELS]
        try:
            descriptors = [*(one.fileno() for one in listening), folder]
            descriptors += [self.lend] if self.lend >= 0 else []
            python = shutil.which(cmd[0]) if not cmd[0].startswith("python") else sys.executable
            reply, folders, self._connection = await asyncio.to_thread(
                warm().request, python or cmd[0], message, descriptors
            )
            self._home, self._proc = folders
        finally:
            os.close(folder)
            for one in listening:
                one.close()
        self._connection.setblocking(False)
        self.pid, self._room, self.lent = reply["pid"], reply["room"], reply["lent"]
        self._group = groups.Group(**reply["group"]) if reply["group"] else None
        return dict(connection)

    def usage(self) -> groups.Usage:
        """Return what the kernel and all it has started use, or have used."""
        if self._used is not None:
            return self._used
        if self._group is not None:
            used = self._group.usage()
        else:
            # The cheap look first: who has far too many processes leaves no time for another.
            processes = sum(name.isdigit() for name in os.listdir(self._proc))
            if processes > (asdict(Limits()) | self.limits)["processes"]:
                return groups.Usage(processes=processes)
            used = groups.usage(self.pids)
        if self._device is not None:
            pids = {one.pid for one in groups.family(self.pids)}
            used = replace(used, gpu_bytes=devices.in_use(self._device, pids))
        return used

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its exit code (negative: a signal)."""
        if self._ended is None and self._connection is not None:
            try:
                data = self._connection.recv(4096)
                last: dict[str, Any] = {"ended": signal.SIGKILL, "used": {}}
                last |= json.loads(data or "{}")
                self._used = groups.Usage(**last["used"])
                self._ended = os.waitstatus_to_exitcode(last["ended"])
            except BlockingIOError:
                return None
            except OSError:
                self._ended = -signal.SIGKILL
        return self._ended

    async def wait(self) -> int | None:
        """Wait until the kernel has ended."""
        while (code := await self.poll()) is None and self.has_process:
            await asyncio.sleep(0.005)
        await self._leave()
        return code

    async def send_signal(self, signum: int) -> None:
        """Send `signum` to the kernel, or end the whole room."""
        if await self.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._room if signum == signal.SIGKILL else self.pid, signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and every process it has started, and wait until they are gone."""
        await self.send_signal(signal.SIGKILL)
        while await self.poll() is None:
            await asyncio.sleep(0.002)

    async def terminate(self, restart: bool = False) -> None:
        """End it: a kernel has nothing to say in this."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Bring out what the kernel wrote, and remove its sockets."""
        await self._leave()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    async def _leave(self) -> None:
        if self._connection is None:
            return
        await self.kill()
        self._connection.close()
        self._connection = None
        try:
            if self._folder is not None:
                bound = int((asdict(Limits()) | self.limits)["disk_bytes"])
                await asyncio.to_thread(room.copy_out, self._home, self._folder, bound)
        finally:
            os.close(self._home)
            os.close(self._proc)


def _listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(100)
    listening.setblocking(False)
    return listening
