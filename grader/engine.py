"""The papermill engine ``judged``: every cell runs, past errors, within limits.

papermill's own engine stops at the first error, and nbgrader pays every test cell that shows
none. Here each code cell is run and leaves proof of what happened in ``cell.metadata.judged``:

    status    ok, error, time limit, memory limit, kernel died, not run, ...: `grader.proof.Proof`
    seconds   wall clock
    error     "NameError: name 'x' is not defined", empty when all went well

``ok`` and ``error`` are what the kernel replied to the request to execute the cell; all others
say that it did not reply. Test cells may be given to a kernel of their own: see `grader.judge`.
"""

from __future__ import annotations

import ast
import asyncio
import atexit
import contextlib
import logging
import subprocess
import time
from collections.abc import AsyncIterator, Collection
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import psutil
import zmq
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager, papermill_engines
from zmq.utils.monitor import parse_monitor_message

from grader import launch
from grader.errors import SandboxError
from grader.judge.kernel import ANSWER, FIND_ANSWER, JudgedCells, JudgeKernel
from grader.kernels import devices
from grader.kernels.groups import Usage
from grader.kernels.warm import WarmError
from grader.model import Limits
from grader.proof import FATAL, Proof, Shown, bound, from_death, from_reply, from_usage

log = logging.getLogger(__name__)

GRACE = 3.0  # seconds: for an interrupted kernel to answer, and for late messages to arrive
RETRY = 0.5  # seconds: in which libzmq begins to connect anew, if it does at all
MAX_GROWTH = 400_000_000  # bytes of our own memory: what is received before it can be counted
EXPLAIN_SECONDS = 120.0  # of trying known mistakes on one failed test; each has limits of its own
WATCH = 0.25  # seconds between two looks at what a cell uses


class JudgedClient(NotebookClient):  # type: ignore[misc]  # nbclient ships no types
    """nbclient, but a cell's end is a proof and never an exception."""

    def __init__(
        self,
        notebook: NotebookNode,
        manager: launch.JudgedManager,
        limits: Limits,
        skip: Collection[str],
        judge: JudgeKernel | None,
        device: devices.Device | None,
        **options: Any,
    ) -> None:
        super().__init__(notebook, manager, record_timing=False, **options)
        self.owns_km = True  # it shuts the kernel down
        self.limits = limits
        self._shown = Shown()
        self._cpu_before = 0.0  # when the current cell began
        self._dead = False
        self._resident = psutil.Process().memory_info().rss
        self._skip = skip
        self._judge = judge
        self._device = device

    async def run(self, environment: dict[str, str], progress: NotebookExecutionManager) -> None:
        """Start a kernel, run every code cell, stop the kernel."""
        self.reset_execution_trackers()
        # What a kernel writes past its channels (warnings of its own, C code) is nobody's output.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        claim = contextlib.ExitStack()  # until the kernel has ended
        try:
            lent = launch.lend(self.km, self._judge.far.fileno()) if self._judge else {}
            kernel = self.async_setup_kernel(env=environment, **quiet, **lent)
            async with kernel, self._watching():
                if self._device is not None:
                    provisioner = self.km.provisioner
                    pids = getattr(provisioner, "pids", None) or (provisioner.pid,)
                    claim.enter_context(devices.claimed(self._device, pids))
                self._environment = environment
                if self._judge is not None:
                    await self._must_find_answer()
                    # When the student's kernel has gone, nobody may hold its end.
                    self._serve = ANSWER.format(launch.lent(self.km, self._judge.far.fileno()))
                    self._judge.far.close()
                deadline = time.monotonic() + self.limits.submission_seconds
                for index, cell in enumerate(self.nb.cells):
                    progress.cell_start(cell, index)
                    if cell.cell_type == "code":
                        await self._run_cell(cell, index, deadline)
                        if cell.metadata["judged"]["error"]:
                            progress.cell_exception(cell, cell_index=index)
                    progress.cell_complete(cell, cell_index=index)
        finally:
            # Where no kernel could be started, nbclient leaves its clean-up to the end of the
            # process, which then shows a traceback of nobody's.
            atexit.unregister(self._cleanup_kernel)
            claim.close()
            if self._judge is not None:
                await self._judge.end()

    async def _must_find_answer(self) -> None:
        """See that the kernel can answer tests, before anybody's code has run in it.

        Raises:
            SandboxError: it cannot, and no student is to blame.
        """
        request = self.kc.execute(FIND_ANSWER, silent=True, store_history=False)
        reply = await asyncio.wait_for(self._reply(self.kc, request), launch.START_SECONDS)
        if reply["status"] != "ok":
            why = f"{reply.get('ename')}: {reply.get('evalue')}"
            raise SandboxError(f"kernels here cannot import grader.answer: {why}")

    async def _run_cell(self, cell: NotebookNode, index: int, deadline: float) -> None:
        cell.outputs = []
        began = time.monotonic()
        if cell.get("id") in self._skip:
            proof, error = Proof.NOT_NEEDED, ""
        elif self._dead or began >= deadline:
            proof, error = Proof.NOT_RUN, "the time for the whole notebook is over"
            if self._dead:
                error = "the kernel had died before"
        elif not cell.source.strip():
            proof, error = Proof.OK, ""
        else:
            seconds = min(self.limits.cell_seconds, deadline - began)
            is_test = self._judge is not None and cell.get("id") in self._judge.tests.cells
            run = self._try if is_test else self._execute
            proof, error = await run(cell, index, seconds)
        cell.metadata["judged"] = {
            "status": str(proof),
            "seconds": round(time.monotonic() - began, 4),
            "error": error,
        }
        if proof in (Proof.OK, Proof.NOT_NEEDED):
            return
        if not any(o.output_type == "error" for o in cell.outputs):
            cell.outputs.append(_error_output(proof, error))

    async def _execute(self, cell: NotebookNode, index: int, seconds: float) -> tuple[Proof, str]:
        self._begin()
        request = self.kc.execute(cell.source, store_history=True, stop_on_error=False)
        output = asyncio.ensure_future(self._async_poll_output_msg(request, cell, index))
        reply = asyncio.ensure_future(self._reply(self.kc, request))
        try:
            limit = await self._wait(reply, output, seconds)
            if limit is None and not reply.done():
                return await self._give_up()
            if reply.done():
                # The last words may still be on their way on the other channel.
                await asyncio.wait({output}, timeout=GRACE)
                if not output.done() and await self.km.is_alive():
                    await self._listen_anew()
                    limit = Proof.OUTPUT  # too large a message has broken the connection
                # A quick cell has ended before anybody looked.
                limit = limit or self._shown.limit(self.limits)
                return self._read(reply.result(), limit)
            return await self._give_up(limit)
        finally:
            await _cancel(output, reply)

    def _begin(self) -> None:
        self._shown = Shown()
        self._cpu_before = self._usage().cpu_seconds
        self.clear_before_next_output = False

    async def _try(self, cell: NotebookNode, index: int, seconds: float) -> tuple[Proof, str]:
        """Run a test cell in the judge's kernel, while the student's kernel answers."""
        judge = self._judge
        assert judge is not None
        if judge.over:
            return Proof.NOT_RUN, "the judge's kernel had ended before"
        # On the CPU: what a test expects must not depend on the device, nor take of its memory.
        await judge.start(self._environment | devices.environment(None))
        self._begin()
        options = {"silent": True, "store_history": False, "stop_on_error": False}
        serving = self.kc.execute(self._serve, **options)
        request = judge.hear(cell.source)
        outputs = [
            asyncio.ensure_future(self._show_own(serving, cell, index)),
            asyncio.ensure_future(self._show(judge.client, request, cell, index)),
        ]
        served = asyncio.ensure_future(self._reply(self.kc, serving))
        reply = asyncio.ensure_future(self._reply(judge.client, request))
        try:
            limit = await self._wait_for_test(judge, reply, served, seconds)
            if reply.done() and not self._dead:
                await self._free(served)
            if not reply.done():
                await judge.end()
                return limit or Proof.NOT_RUN, "the judge's kernel was ended"
            # Who has died sends nothing any more, not even that he is idle.
            await asyncio.wait(set(outputs[self._dead :]), timeout=GRACE)
            if not self._dead and not outputs[0].done():
                await self._listen_anew()
                limit = Proof.OUTPUT  # too large a message has broken the connection
            limit = limit or self._shown.limit(self.limits)
            self._note(reply.result())
            proof, error = self._read(reply.result(), limit)
            if proof is Proof.SILENT and served.done():
                why = served.result()
                told = f": {why['ename']}: {why.get('evalue')}" if why.get("ename") else ""
                error = f"your kernel would not answer{told}"
            if proof is Proof.ERROR and not self._dead:
                cell.metadata["explained"] = await self._explain(judge, cell)
            if proof is Proof.ERROR and self._dead and limit is None:
                return from_death(await self.km.provisioner.poll(), self._usage(), self.limits)
            return proof, error
        finally:
            await _cancel(*outputs, served, reply)

    async def _wait_for_test(
        self,
        judge: JudgeKernel,
        reply: asyncio.Future[Any],
        served: asyncio.Future[Any],
        seconds: float,
    ) -> Proof | None:
        """Wait for the judge's reply; return the limit that was met, or None."""
        end = time.monotonic() + seconds
        limit: Proof | None = None
        served_at: float | None = None
        steps = iter((self._interrupt, self._end_kernel, judge.manager.interrupt_kernel))
        while not reply.done():
            await asyncio.wait({reply}, timeout=WATCH)
            now = time.monotonic()
            if served.done():
                served_at = served_at or now
            if reply.done() or not await judge.manager.is_alive():
                break
            # The judge notices by itself when the student's kernel has died.
            self._dead = self._dead or not await self.km.is_alive()
            # It serves until the judge says that the test has ended, and that is soon over.
            refuses = served.done() and served.result().get("status") != "ok"
            if limit is None and (refuses or (served_at and now - served_at > GRACE)):
                limit, end = Proof.SILENT, now  # the judge would wait for nobody
            if limit is None:
                limit = await self._limit(now > end)
                if limit in FATAL:
                    await self._end_kernel()
                end = now if limit is not None else end
            if limit is not None and now >= end:
                step = next(steps, None)
                if step is None:
                    break
                await step()
                end = now + GRACE
        return limit

    async def _free(self, served: asyncio.Future[Any]) -> None:
        """See to it that the student's kernel can run the next cell, or end it."""
        for interrupts, patience in ((False, 3 * GRACE), (True, GRACE)):
            if interrupts:
                await self._interrupt()
            end = time.monotonic() + patience
            while time.monotonic() < end and await self.km.is_alive():
                await asyncio.wait({served}, timeout=WATCH)
                if served.done():
                    return
        await self._end_kernel()

    async def _interrupt(self) -> None:
        if not self._dead and await self.km.is_alive():
            await self.km.interrupt_kernel()

    async def _end_kernel(self) -> None:
        self._dead = True
        if await self.km.is_alive():
            await self.km.shutdown_kernel(now=True)

    def _note(self, reply: dict[str, Any]) -> None:
        """Keep what the judge has noted of the submission."""
        notes = _expression(reply, "notes")
        if notes:
            self.nb.metadata["evidence"] = notes

    async def _explain(self, judge: JudgeKernel, cell: NotebookNode) -> list[str]:
        """Return the names of the known mistakes that explain why a test failed."""
        request = judge.explain(cell.id, cell.source)
        if request is None:
            return []
        reply = asyncio.ensure_future(self._reply(judge.client, request))
        await asyncio.wait({reply}, timeout=EXPLAIN_SECONDS)
        if not reply.done():
            await judge.manager.interrupt_kernel()
            await asyncio.wait({reply}, timeout=GRACE)
        found = _expression(reply.result(), "explained") if reply.done() else []
        await _cancel(reply)
        return found

    async def _listen_anew(self) -> None:
        """Open the output's connection again, which too large a message has broken."""
        self._unwatch_connection()
        self.kc.iopub_channel.stop()
        self.kc._iopub_channel = None  # the next look at iopub_channel makes a new one
        self.kc.iopub_channel.start()
        self._watch_connection()
        await asyncio.sleep(0.3)  # what comes before it is connected is lost

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        self._watch_connection()
        try:
            yield
        finally:
            self._unwatch_connection()

    def _watch_connection(self) -> None:
        """Have libzmq tell what becomes of the connection that the kernel's output comes over."""
        self._watched = self.kc.iopub_channel.socket
        events = zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED
        self._events = self._watched.get_monitor_socket(events, f"inproc://{uuid4()}")
        self._cut_at: float | None = None

    def _unwatch_connection(self) -> None:
        self._watched.disable_monitor()
        self._events.close()

    async def _is_cut_off(self) -> bool:
        """Whether too large a message has broken the connection: libzmq then tries no other.

        (It does where the kernel has died or closed its end.) Who prints without end and does
        nothing else fills one such message after the other, and none of them is ever counted.
        """
        while self._events.get(zmq.EVENTS) & zmq.POLLIN:
            event = parse_monitor_message(await self._events.recv_multipart())["event"]
            self._cut_at = time.monotonic() if event == zmq.EVENT_DISCONNECTED else None
        return self._cut_at is not None and time.monotonic() - self._cut_at > RETRY

    async def _wait(
        self, reply: asyncio.Future[Any], output: asyncio.Future[Any], seconds: float
    ) -> Proof | None:
        """Wait for the reply; return the limit that was met, or None."""
        end = time.monotonic() + seconds
        limit: Proof | None = None
        idle_since: float | None = None
        while not reply.done():
            await asyncio.wait({reply}, timeout=WATCH)
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
            if psutil.Process().memory_info().rss > self._resident + MAX_GROWTH:
                return Proof.OUTPUT
            if limit is None:
                limit = await self._limit(now > end)
                if limit in FATAL:
                    return limit
                if limit is not None:
                    end = now + GRACE
                    await self.km.interrupt_kernel()
        return limit

    async def _limit(self, late: bool) -> Proof | None:
        """Return the limit that the current cell is over."""
        usage = self._usage()
        met = from_usage(self.limits, usage, usage.cpu_seconds - self._cpu_before)
        met = met or self._shown.limit(self.limits) or (Proof.TIME if late else None)
        return met or (Proof.OUTPUT if await self._is_cut_off() else None)

    def _usage(self) -> Usage:
        """Return what the kernel uses, as far as its provisioner counts."""
        counts = getattr(self.km.provisioner, "usage", None)
        return counts() if counts else Usage()

    async def _reply(self, client: Any, request: str) -> dict[str, Any]:
        while True:
            try:
                message = await client.get_shell_msg(timeout=None)
                if message["parent_header"].get("msg_id") == request:
                    return dict(message["content"])
            except Exception as error:  # a message that a student forged: not worth a crash
                log.info("reply dropped: %s", error)
                await asyncio.sleep(0.01)

    def _read(self, reply: dict[str, Any], limit: Proof | None) -> tuple[Proof, str]:
        if limit is not None:
            return limit, f"stopped: {bound(limit, self.limits)}"
        return from_reply(reply, self.limits)

    async def _give_up(self, limit: Proof | None = None) -> tuple[Proof, str]:
        """The kernel is dead or will not be reached any more: end it, and say which."""
        alive = await self.km.is_alive()
        self._dead = True
        if alive:
            await self.km.shutdown_kernel(now=True)
        if limit in FATAL:
            return limit, f"its kernel was ended: {bound(limit, self.limits)}"
        if limit is not None:
            return limit, "it could not be interrupted, and its kernel was ended"
        if alive:
            return Proof.SILENT, "the cell changed what the kernel answers with"
        return from_death(await self.km.provisioner.poll(), self._usage(), self.limits)

    async def _async_poll_output_msg(self, request: str, cell: NotebookNode, index: int) -> None:
        await self._show(self.kc, request, cell, index)

    async def _show_own(self, request: str, cell: NotebookNode, index: int) -> None:
        """Show what the student's code prints and draws while a test calls it, and no more."""
        await self._show(self.kc, request, cell, index, ("stream", "display_data", "status"))

    async def _show(
        self, client: Any, request: str, cell: NotebookNode, index: int, kinds: Collection[str] = ()
    ) -> None:
        while True:
            try:
                message = await client.get_iopub_msg(timeout=None)
                if message["parent_header"].get("msg_id") != request:
                    continue
                if kinds and message["msg_type"] not in kinds:
                    continue
                _tame(message)
                self._count(message)
                idle = message["content"].get("execution_state") == "idle"
                if self._shown.limit(self.limits) and not idle:
                    continue  # dropped: the grader's memory stays flat
                self.process_message(message, cell, index)
            except CellExecutionComplete:
                return
            except Exception as error:  # a message that a student forged: not worth a crash
                log.info("message dropped: %s", error)
                await asyncio.sleep(0.01)

    def handle_comm_msg(self, outs: list[NotebookNode], msg: dict[str, Any], index: int) -> None:
        """Do nothing: an output widget would take a test's output, and answer at length."""

    def _count(self, message: dict[str, Any]) -> None:
        shown = self._shown
        # One update is written to every place where its display is shown.
        display = (message["content"].get("transient") or {}).get("display_id")
        places = self._display_id_map.get(display, {}) if display else {}
        count = sum(len(indices) for indices in places.values())
        shown.output += _size(message) * max(1, count)
        for kind, content in (message["content"].get("data") or {}).items():
            if kind.startswith("image/"):
                shown.pictures += 1
                shown.largest = max(shown.largest, len(content))


def _expression(reply: dict[str, Any], name: str) -> list[str]:
    """Return the list that the judge's kernel was asked for beside a cell."""
    answer = (reply.get("user_expressions") or {}).get(name, {})
    with contextlib.suppress(ValueError, SyntaxError):
        return list(ast.literal_eval(answer.get("data", {}).get("text/plain", "[]")))
    return []


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tame(message: dict[str, Any]) -> None:
    """Take out of a message what nbclient would store without a look."""
    count = message["content"].get("execution_count")
    if count is not None and not (isinstance(count, int) and 0 <= count < 1_000_000):
        message["content"]["execution_count"] = None


def _size(message: dict[str, Any]) -> int:
    if message["msg_type"] == "execute_input":
        return 0  # the cell's own text, sent back
    beside = sum(memoryview(buffer).nbytes for buffer in message.get("buffers") or [])
    return beside + sum(
        len(value) if isinstance(value, str) else len(repr(value))
        for value in message["content"].values()
    )


def _error_output(proof: Proof, error: str) -> NotebookNode:
    name = {Proof.ERROR: "Error"}.get(proof, str(proof).capitalize().replace(" ", ""))
    line = error if proof is Proof.ERROR else f"{proof}: {error}"
    return nbformat.v4.new_output("error", ename=name, evalue=error, traceback=[line])


def execute(
    progress: NotebookExecutionManager,
    kernel_name: str,
    limits: Limits,
    environment: dict[str, str],
    folder: Path,
    *,
    sandbox: bool,
    gpu: bool | None = False,
    skip: Collection[str] = (),
    tests: JudgedCells | None = None,
    seed: int | None = None,
) -> None:
    """Run the notebook that `progress` holds; what `grader.judged` gives to papermill."""
    variables = launch.warm_environment if sandbox else launch.cold_environment
    device = devices.own() if gpu else None
    if device is not None:
        devices.require_empty(device)
        limits = devices.capped(limits, device)
    if gpu is not None:
        environment = environment | devices.environment(device)
    trains = any("torch" in cell.source for cell in progress.nb.cells if cell.cell_type == "code")
    kernel = partial(launch.manager, kernel_name, sandbox=sandbox, seed=seed, trains=trains)
    judge = JudgeKernel(tests, kernel(Limits(), judge=True)) if tests is not None else None
    client = JudgedClient(
        progress.nb,
        kernel(limits, device=device),
        limits,
        skip,
        judge,
        device,
        startup_timeout=launch.START_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        # In a room nothing has to be put in order before the end.
        shutdown_kernel="immediate" if sandbox else "graceful",
    )
    try:
        # Not asyncio.run: papermill may be called from a notebook, where a loop runs already.
        run_sync(client.run)(variables(environment), progress)
    except WarmError as error:
        raise SandboxError(f"no sandboxed kernel: {error}") from error
    if device is not None:
        # One that does not answer any more may have spoilt this run. One that is not empty has
        # not, and whoever comes next is refused.
        left = devices.strangers(device)
        if left:
            progress.nb.metadata["device_left"] = [f"after it had ended, {left}"]


def run(
    notebook: NotebookNode,
    folder: Path,
    limits: Limits,
    environment: dict[str, str],
    *,
    sandbox: bool = True,
    gpu: bool | None = False,
    skip: Collection[str] = (),
    tests: JudgedCells | None = None,
    seed: int | None = None,
) -> NotebookNode:
    """Execute `notebook` in `folder` and return it, with a proof in each code cell.

    A cell that nothing is known of (the kernel did not even start) is ``not run``.

    Args:
        gpu: run it on this process's GPU, which nobody else uses but its other slots; None for
            an author's own run in an ordinary kernel, which sees what he sees.
        skip: ids of cells that are left out.
        tests: the cells that a judge's kernel runs; by default the student's kernel runs all.
        seed: of the random numbers of Python, NumPy and torch; None for new ones.

    Raises:
        SandboxError: the kernel was to be isolated, and cannot be.
        DeviceError: there is no GPU for it, or it is not empty, or it does not answer any more.
    """
    notebook.metadata.setdefault("papermill", {})
    try:
        papermill_engines.execute_notebook_with_engine(
            "judged" if sandbox else "judged-no-sandbox",
            notebook,
            launch.kernel_name(notebook),
            progress_bar=False,
            limits=limits,
            environment=environment,
            cwd=folder,
            gpu=gpu,
            skip=skip,
            tests=tests,
            seed=seed,
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
