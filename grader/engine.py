"""The papermill engine ``judged``: every cell runs, past errors, within limits.

papermill's own engine stops at the first error, and nbgrader pays every test cell that shows
none. Here each code cell is run and leaves proof of what happened in ``cell.metadata.judged``:

    status    ok, error, time limit, output limit, kernel died, no reply, not run
    seconds   wall clock
    error     "NameError: name 'x' is not defined", empty when all went well

``ok`` and ``error`` are what the kernel replied to the request to execute the cell; all others
say that it did not reply.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import subprocess
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import nbformat
import zmq
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager, papermill_engines

from grader.model import Limits

log = logging.getLogger(__name__)

GRACE = 3.0  # seconds: for an interrupted kernel to answer, and for late messages to arrive
START_SECONDS = 90.0  # a cold start of a kernel on a loaded machine
MAX_MESSAGE = 32_000_000  # bytes: a larger message is not even received
MAX_ERROR = 2_000  # characters of an error that are kept

# A student's program has no business with these, and some would tell it that it is being graded.
HIDDEN_PREFIXES = ("NBGRADER_", "PAPERMILL_", "PYTEST_")
HIDDEN_VARIABLES = {"CI", "PYTHONPATH", "PYTHONSTARTUP"}


class Proof(StrEnum):
    """What is known of the run of one cell."""

    OK = "ok"
    ERROR = "error"
    TIME = "time limit"
    OUTPUT = "output limit"
    DIED = "kernel died"
    SILENT = "no reply"
    NOT_RUN = "not run"


class JudgedManager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client is Any to mypy
    """jupyter_client's, whose clients do not take messages of any size into memory."""

    def client(self, **options: Any) -> Any:
        """Return a client; libzmq breaks a connection over which too large a message comes."""
        client = super().client(**options)
        client.context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        return client


class JudgedClient(NotebookClient):  # type: ignore[misc]  # nbclient ships no types
    """nbclient, but a cell's end is a proof and never an exception."""

    def __init__(self, notebook: NotebookNode, limits: Limits, **options: Any) -> None:
        super().__init__(
            notebook, record_timing=False, kernel_manager_class=JudgedManager, **options
        )
        self.limits = limits
        self._bytes = 0  # of output of the current cell
        self._dead = False

    async def run(self, environment: dict[str, str], progress: NotebookExecutionManager) -> None:
        """Start a kernel, run every code cell, stop the kernel."""
        self.reset_execution_trackers()
        # What a kernel writes past its channels (warnings of its own, C code) is nobody's output.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            async with self.async_setup_kernel(env=environment, **quiet):
                deadline = time.monotonic() + self.limits.submission_seconds
                for index, cell in enumerate(self.nb.cells):
                    progress.cell_start(cell, index)
                    if cell.cell_type == "code":
                        await self._run_cell(cell, index, deadline)
                        if cell.metadata["judged"]["status"] != Proof.OK:
                            progress.cell_exception(cell, cell_index=index)
                    progress.cell_complete(cell, cell_index=index)
        finally:
            # Where no kernel could be started, nbclient leaves its clean-up to the end of the
            # process, which then shows a traceback of nobody's.
            atexit.unregister(self._cleanup_kernel)

    async def _run_cell(self, cell: NotebookNode, index: int, deadline: float) -> None:
        cell.outputs = []
        began = time.monotonic()
        if self._dead or began >= deadline:
            proof, error = Proof.NOT_RUN, "the time for the whole notebook is over"
            if self._dead:
                error = "the kernel had died before"
        elif not cell.source.strip():
            proof, error = Proof.OK, ""
        else:
            seconds = min(self.limits.cell_seconds, deadline - began)
            proof, error = await self._execute(cell, index, seconds)
        cell.metadata["judged"] = {
            "status": str(proof),
            "seconds": round(time.monotonic() - began, 4),
            "error": error,
        }
        if proof is not Proof.OK and not any(o.output_type == "error" for o in cell.outputs):
            cell.outputs.append(_error_output(proof, error))

    async def _execute(self, cell: NotebookNode, index: int, seconds: float) -> tuple[Proof, str]:
        self._bytes = 0
        self.clear_before_next_output = False
        request = self.kc.execute(cell.source, store_history=True, stop_on_error=False)
        output = asyncio.ensure_future(self._async_poll_output_msg(request, cell, index))
        reply = asyncio.ensure_future(self._reply(request))
        try:
            limit = await self._wait(reply, output, seconds)
            if limit is None and not reply.done():
                return await self._give_up()
            if reply.done():
                # The last words may still be on their way on the other channel.
                await asyncio.wait({output}, timeout=GRACE)
                if not output.done():
                    await self._listen_anew()
                return self._read(reply.result(), limit)
            return await self._give_up(limit)
        finally:
            for task in (output, reply):
                task.cancel()
            await asyncio.gather(output, reply, return_exceptions=True)

    async def _listen_anew(self) -> None:
        """Open the output's connection again, which too large a message has broken."""
        self.kc.iopub_channel.stop()
        self.kc._iopub_channel = None  # the next look at iopub_channel makes a new one
        self.kc.iopub_channel.start()
        await asyncio.sleep(0.3)  # what comes before it is connected is lost

    async def _wait(
        self, reply: asyncio.Future[Any], output: asyncio.Future[Any], seconds: float
    ) -> Proof | None:
        """Wait for the reply; return the limit that was met, or None."""
        end = time.monotonic() + seconds
        limit: Proof | None = None
        idle_since: float | None = None
        while not reply.done():
            await asyncio.wait({reply}, timeout=0.25)
            now = time.monotonic()
            if reply.done() or not await self.km.is_alive():
                return limit
            if output.done():
                # Idle and no reply: the student's code broke what writes replies.
                idle_since = idle_since or now
                if now - idle_since > GRACE:
                    return limit
            if limit is not None and now > end:
                return limit  # interrupted, and it does not stop
            over = self._bytes > self.limits.output_bytes
            if limit is None and (now > end or over):
                limit = Proof.OUTPUT if over else Proof.TIME
                end = now + GRACE
                await self.km.interrupt_kernel()
        return limit

    async def _reply(self, request: str) -> dict[str, Any]:
        while True:
            try:
                message = await self.kc.get_shell_msg(timeout=None)
                if message["parent_header"].get("msg_id") == request:
                    return dict(message["content"])
            except Exception as error:  # a message that a student forged: not worth a crash
                log.info("reply dropped: %s", error)
                await asyncio.sleep(0.01)

    def _read(self, reply: dict[str, Any], limit: Proof | None) -> tuple[Proof, str]:
        if limit is Proof.TIME:
            return limit, "stopped after the time that a cell may take"
        if limit is Proof.OUTPUT:
            return limit, f"stopped after {self.limits.output_bytes:,} bytes of output"
        if reply.get("status") == "ok":
            return Proof.OK, ""
        name, value = str(reply.get("ename", "error")), str(reply.get("evalue", ""))
        error = f"{name}: {value}" if value else name
        return Proof.ERROR, error if len(error) <= MAX_ERROR else f"{error[:MAX_ERROR]} ..."

    async def _give_up(self, limit: Proof | None = None) -> tuple[Proof, str]:
        """The kernel is dead or will not be reached any more: end it, and say which."""
        alive = await self.km.is_alive()
        self._dead = True
        if alive:
            await self.km.shutdown_kernel(now=True)
        if limit is not None:
            return limit, "it could not be interrupted, and its kernel was ended"
        if alive:
            return Proof.SILENT, "the cell changed what the kernel answers with"
        return Proof.DIED, "the cell ended its own kernel (os._exit, a crash, or out of memory)"

    async def _async_poll_output_msg(self, request: str, cell: NotebookNode, index: int) -> None:
        while True:
            try:
                message = await self.kc.get_iopub_msg(timeout=None)
                if message["parent_header"].get("msg_id") != request:
                    continue
                self._bytes += _size(message)
                idle = message["content"].get("execution_state") == "idle"
                if self._bytes > self.limits.output_bytes and not idle:
                    continue  # dropped: the grader's memory stays flat
                self.process_message(message, cell, index)
            except CellExecutionComplete:
                return
            except Exception as error:  # a message that a student forged: not worth a crash
                log.info("message dropped: %s", error)
                await asyncio.sleep(0.01)


def _size(message: dict[str, Any]) -> int:
    if message["msg_type"] == "execute_input":
        return 0  # the cell's own text, sent back
    return sum(
        len(value) if isinstance(value, str) else len(repr(value))
        for value in message["content"].values()
    )


def _error_output(proof: Proof, error: str) -> NotebookNode:
    name = {Proof.ERROR: "Error"}.get(proof, str(proof).capitalize().replace(" ", ""))
    line = error if proof is Proof.ERROR else f"{proof}: {error}"
    return nbformat.v4.new_output("error", ename=name, evalue=error, traceback=[line])


def kernel_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the environment of a student's kernel: this one, less what is not its business."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(HIDDEN_PREFIXES) and name not in HIDDEN_VARIABLES
    }
    # One thread a kernel: as many kernels run side by side as there are cores.
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | fixed | extra


def kernel_name(notebook: NotebookNode) -> str:
    """Return an installed kernel for `notebook`: its own, or python3 for any Python notebook."""
    spec = notebook.metadata.get("kernelspec", {})
    name = str(spec.get("name") or "python3")
    if name in KernelSpecManager().find_kernel_specs():
        return name
    return "python3"


def execute(
    progress: NotebookExecutionManager,
    kernel_name: str,
    limits: Limits,
    environment: dict[str, str],
    folder: Path,
) -> None:
    """Run the notebook that `progress` holds; what `grader.judged` gives to papermill."""
    client = JudgedClient(
        progress.nb,
        limits,
        kernel_name=kernel_name,
        startup_timeout=START_SECONDS,
        resources={"metadata": {"path": str(folder)}},
    )
    # Not asyncio.run: papermill may be called from a notebook, where a loop is running already.
    run_sync(client.run)(kernel_environment(environment), progress)


def run(
    notebook: NotebookNode, folder: Path, limits: Limits, environment: dict[str, str]
) -> NotebookNode:
    """Execute `notebook` in `folder` and return it, with a proof in each code cell.

    A cell that nothing is known of (the kernel did not even start) is ``not run``.
    """
    notebook.metadata.setdefault("papermill", {})
    try:
        papermill_engines.execute_notebook_with_engine(
            "judged",
            notebook,
            kernel_name(notebook),
            progress_bar=False,
            limits=limits,
            environment=environment,
            cwd=folder,
        )
    finally:
        notebook.metadata.pop("papermill", None)
        for cell in notebook.cells:
            cell.metadata.pop("papermill", None)
            if cell.cell_type == "code" and "judged" not in cell.metadata:
                cell.metadata["judged"] = {
                    "status": str(Proof.NOT_RUN),
                    "seconds": 0.0,
                    "error": "",
                }
    return notebook
