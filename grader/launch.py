"""How a kernel is started: cold, by jupyter_client, or warm and in a room, by `grader.kernels`.

The only place that starts a kernel. Cold kernels can do what the user who started them can do:
they are for the author's and the student's own work, and for who typed ``--no-sandbox``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client import AsyncKernelManager
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbformat import NotebookNode
from traitlets import Type

import data
import grader
from data.local import CACHE_VARIABLE, DATA_VARIABLE, cache_folder, data_folder
from grader.errors import SandboxError
from grader.kernels import devices, doctor
from grader.kernels.warm import short_folder
from grader.model import Limits

MAX_MESSAGE = 32_000_000  # bytes: a larger message is not even received
START_SECONDS = 90.0  # a cold start of a kernel on a loaded machine

# A student's program has no business with these, and some would tell it that it is being graded.
HIDDEN_PREFIXES = ("GRADER_", "NBGRADER_", "PAPERMILL_", "PYTEST_")
# By the last one a kernel knows a person's notebook (`grader.check.session`), which this is not.
HIDDEN_VARIABLES = {"CI", "PYTHONPATH", "PYTHONSTARTUP", "JPY_SESSION_NAME"}


class JudgedKernelClient(AsyncKernelClient):  # type: ignore[misc]  # jupyter_client is Any to mypy
    """jupyter_client's, but ready as soon as kernel and outputs have been heard."""

    def start_channels(self, **_: Any) -> None:
        """Open the two that are read: what comes on another would pile up in our memory."""
        super().start_channels(stdin=False, hb=False, control=False)

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait for the kernel's reply and for its first output: that channel connects by itself.

        Raises:
            RuntimeError: it died, or `timeout` seconds have passed.
        """
        end = time.monotonic() + (timeout or 60.0)
        while True:
            self.kernel_info()
            # Messages of before are left where they are: the engine knows its own by their parent.
            with contextlib.suppress(Empty):
                await self.shell_channel.get_msg(timeout=1)
                await self.iopub_channel.get_msg(timeout=0.2)
                return
            if not await self.parent.is_alive():
                raise RuntimeError("the kernel died while it started")
            if time.monotonic() > end:
                raise RuntimeError(f"the kernel did not answer in {timeout} seconds")


class JudgedManager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client is Any to mypy
    """jupyter_client's, whose clients do not take messages of any size into memory.

    Traits:
        warm: settings for the provisioner ``warm``; None for a cold kernel.
    """

    client_factory = Type(JudgedKernelClient)
    warm: dict[str, Any] | None = None
    sockets: Path | None = None

    def use_files(self) -> None:
        """Talk to a cold kernel through files of its own.

        A port of a machine's that one kernel has left is the next one's, and whoever still
        tries to reach the first one then talks to the second.
        """
        self.sockets = short_folder()
        self.transport, self.ip = "ipc", str(self.sockets / "k")

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        if self.sockets is not None and not restart:
            shutil.rmtree(self.sockets, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources

    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The installed one; for a warm kernel its provisioner is ours."""
        spec = super().kernel_spec
        if self.warm is None or spec is None:
            return spec
        chosen = {"provisioner_name": "warm", "config": self.warm}
        return KernelSpec(**{**spec.to_dict(), "metadata": {"kernel_provisioner": chosen}})

    def client(self, **options: Any) -> Any:
        """Return a client; libzmq breaks a connection over which too large a message comes."""
        client = super().client(**options)
        client.context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        return client


def kernel_name(notebook: NotebookNode) -> str:
    """Return an installed kernel for `notebook`: its own, or python3 for any Python notebook."""
    spec = notebook.metadata.get("kernelspec", {})
    name = str(spec.get("name") or "python3")
    if name in KernelSpecManager().find_kernel_specs():
        return name
    return "python3"


def manager(
    name: str,
    limits: Limits,
    *,
    sandbox: bool,
    device: devices.Device | None = None,
    judge: bool = False,
    seed: int | None = None,
    trains: bool = False,
) -> JudgedManager:
    """Return a manager for one kernel of the spec `name`.

    Args:
        device: the GPU of a kernel that is isolated; None for none.
        judge: it is the judge's, which sees more of ours.
        seed: of its random numbers, where it is isolated; None for new ones.
        trains: have ready what torch's optimizers import, where it is isolated.

    Raises:
        SandboxError: a room was asked for, and cannot be built here, or not for this kernel.
    """
    made = JudgedManager(kernel_name=name)
    if sandbox:
        require_sandbox()
        spec = made.kernel_spec
        language = str(spec.language).lower() if spec else "nothing"
        if language != "python":
            raise SandboxError(f'the kernel "{name}" speaks {language}; only Python is sandboxed')
        made.warm = {
            "limits": asdict(limits),
            "show": [str(path) for path in shown(judge=judge)],
            "device": asdict(device) if device is not None else {},
            "judge": judge,
            "seed": seed,
            "trains": trains,
        }
    elif os.name == "posix":
        made.use_files()
    return made


def lend(manager: JudgedManager, descriptor: int) -> dict[str, Any]:
    """Let the kernel that `manager` will start have `descriptor`; return options for its start."""
    if manager.warm is None:
        return {"pass_fds": (descriptor,)}
    manager.warm["lend"] = descriptor
    return {}


def lent(manager: JudgedManager, descriptor: int) -> int:
    """Return the number that a lent descriptor has in the kernel."""
    return descriptor if manager.warm is None else int(manager.provisioner.lent)


@cache
def require_sandbox() -> None:
    """Do nothing where kernels can be isolated.

    Raises:
        SandboxError: what is missing here, and what to do.
    """
    found = doctor.obstacle()
    if found is not None:
        raise SandboxError(
            f"submissions cannot be isolated on this machine: {found.name}: {found.detail}\n"
            f"{found.advice}\ngrader doctor tells more. To run strangers' programs with all that "
            "you may do yourself, type --no-sandbox."
        )


def shown(*, judge: bool = False) -> list[Path]:
    """Return what a kernel in a room may read of ours: what lessons import, and their data."""
    here = Path(grader.__file__).parent
    names = ["__init__.py", "check", "answer", *(["judge"] if judge else [])]
    paths = [*(here / name for name in names), Path(data.__file__).parent]
    paths += [folder for folder in (data_folder(None), cache_folder(None)) if folder is not None]
    return [path.resolve() for path in paths if path.exists()]


def cold_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the environment of a cold kernel: this one, less what is not its business."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(HIDDEN_PREFIXES) and name not in HIDDEN_VARIABLES
    }
    # One thread a kernel: as many kernels run side by side as there are cores.
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | fixed | extra


def warm_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return what a kernel in a room is given besides its own few variables."""
    folder = data_folder(None)
    places = {CACHE_VARIABLE: str(cache_folder(None).resolve())}
    if folder is not None:
        places[DATA_VARIABLE] = str(folder.resolve())
    return places | extra
