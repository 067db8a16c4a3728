"""Where submissions are graded: in worker processes of this machine, or of a cluster.

The scheduling is Dask's. Ours is what it must never lose or get wrong: a worker that differs is
given nothing, a submission that ends its worker is tried elsewhere a few times and then alone, and
whoever waits is told for what.
"""

from __future__ import annotations

import ipaddress
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from grader import ahead, workers
from grader.errors import ClusterError, DeviceError
from grader.grade import grade_with, set_aside
from grader.kernels import devices
from grader.kernels.warm import warm
from grader.launch import require_sandbox
from grader.model import Assignment, Graded, Submission, on_cpu
from grader.slurm import Jobs, Running

if TYPE_CHECKING:
    from distributed import Client, Future

TRIES = 3  # workers that a submission may end before it is tried alone
LOOK = 1.0  # seconds between two looks at who is there
CONNECT = 20.0  # seconds to reach a scheduler
ENDED = "it ended the process that graded it, again and again"

Task = tuple[Assignment, Submission, Sequence[int]]  # the last: seeds


@dataclass(frozen=True)
class Where:
    """Where submissions are graded.

    Attributes:
        workers: processes on this machine; None for as many as its cores and memory allow, 0 for
            none but this process. Not with a scheduler or Slurm.
        scheduler: address of a running Dask scheduler.
        ca, certificate, key: PEM files for TLS; by default those in Dask's own configuration.
        slurm: jobs of workers, submitted for this run.
        gpu_slots: submissions that share a GPU of this machine.
        wait: seconds without any worker that may grade, after which it is given up.
    """

    workers: int | None = None
    scheduler: str | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    slurm: Jobs | None = None
    gpu_slots: int = 1
    wait: float = 600.0

    @property
    def is_here(self) -> bool:
        """Whether all of it is on this machine."""
        return self.scheduler is None and self.slurm is None


class Pool:
    """Workers, from the first task on until the end of the ``with`` block."""

    def __init__(
        self,
        where: Where | int | None = None,
        *,
        sandbox: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Check, and start nothing.

        Args:
            where: a number is that many processes of this machine.
            sandbox: isolate every submission from its machine and from the others.
            say: is told what there is to wait for, once for each reason.

        Raises:
            SandboxError: this machine is to grade, and cannot isolate.
            ClusterError: strangers' programs would run on other machines as they are.
        """
        self.where = where if isinstance(where, Where) else Where(where)
        self._sandbox = sandbox
        self._say = say
        self._stack = ExitStack()
        self._client: Client | None = None
        self._jobs: Running | None = None
        self._workers: tuple[float, dict[str, Any]] = (-LOOK, {})
        self._differing: dict[str, str] = {}  # workers that are given nothing, and why
        self._said = ""
        self._idle_since: float | None = None
        self._gpus: list[dict[str, str]] = []  # slots on this machine's
        self._travels: tuple[Assignment, bytes] | None = None  # what was packed last
        self._on_cpu: tuple[Assignment, Assignment] | None = None  # what was changed last
        if self.where.is_here and sandbox:
            require_sandbox()
        if self.where.is_here:
            self._gpus = devices.slots(self.where.gpu_slots)
        if not (self.where.is_here or sandbox):
            raise ClusterError("--no-sandbox is for this machine; others run submissions in rooms")

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._client = None
        self._stack.close()

    def slots(self, assignment: Assignment) -> int:
        """Return how many submissions of `assignment` are graded side by side, as it is now."""
        if not self.where.is_here:
            self._connected(assignment)
            return max(1, len(self._mine(gpu=assignment.gpu)))
        count = self.where.workers
        count = workers.slots(assignment.limits.memory_bytes) if count is None else count or 1
        return min(count, len(self._gpus) or count) if assignment.gpu else count

    def grade(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Graded]]:
        """Grade `tasks` side by side; yield (its place, outcome) of each as it is done.

        A task is taken when there is soon a worker for it.

        Raises:
            ClusterError: there is nobody who grades, any longer or for too long.
            DeviceError: there is no GPU, or none that is empty.
        """
        numbered = enumerate(tasks)
        if self.where.workers == 0:
            for place, (assignment, submission, seeds) in numbered:
                here = devices.here(assignment)
                yield place, grade_with(here, submission, sandbox=self._sandbox, seeds=seeds)
            return
        suspects: list[tuple[int, Task]] = []
        for place, task, graded in self._side_by_side(numbered):
            if graded is None:
                suspects.append((place, task))
            else:
                yield place, graded
        # Who was under way beside the one that did it is not to blame: each of them alone.
        for suspect in suspects:
            for place, task, graded in self._side_by_side(iter([suspect])):
                yield place, graded or _aside(task)

    def _side_by_side(
        self, numbered: Iterator[tuple[int, Task]]
    ) -> Iterator[tuple[int, Task, Graded | None]]:
        """Yield each task as it is done; with None where it has ended too many workers."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        done: Queue[Future[Graded]] = Queue()
        waiting: dict[str, tuple[int, Task, Future[Graded]]] = {}
        refused: Counter[int] = Counter()  # by a GPU that was not empty

        def give(place: int, task: Task) -> None:
            future = self._submit(task)
            waiting[future.key] = (place, task, future)
            future.add_done_callback(done.put)

        upcoming = next(numbered, None)
        try:
            while upcoming is not None or waiting:
                while upcoming is not None and len(waiting) < self._wanted(upcoming[1][0]):
                    give(*upcoming)
                    upcoming = next(numbered, None)
                try:
                    future = done.get(timeout=LOOK)
                except Empty:
                    # All that wait are of one unit, as good as always.
                    _, (assignment, _, _), _ = next(iter(waiting.values()))
                    self._look(gpu=self._fitting(assignment).gpu)
                    continue
                place, task, _ = waiting.pop(future.key)
                self._idle_since = None
                graded: Graded | None = None
                try:
                    graded = future.result()
                except KilledWorker:
                    pass
                except DeviceError as error:
                    refused[place] += 1
                    if refused[place] == TRIES:
                        raise
                    self._tell(str(error))
                    time.sleep(LOOK)
                    give(place, task)
                    continue
                except FutureCancelledError:
                    raise _gone() from None
                except Exception as error:  # a worker's machine, out of memory or of disk
                    graded = _broken(task, f"its worker failed: {error!r:.500}")
                yield place, task, graded
        finally:
            for _, _, future in waiting.values():
                future.release()

    def _submit(self, task: Task) -> Future[Graded]:
        assignment, submission, seeds = task
        client = self._connected(assignment)
        fitting = self._fitting(assignment)
        if self._travels is None or self._travels[0] is not fitting:
            self._travels = (fitting, workers.packed(fitting))
        return client.submit(
            workers.work,
            self._travels[1],
            submission,
            self._sandbox,
            tuple(seeds),
            # All of one prefix, or Dask would keep a record of each for ever.
            key=f"grade-{uuid.uuid4().hex}",
            resources={workers.resource(gpu=fitting.gpu): 1},
        )

    def _fitting(self, assignment: Assignment) -> Assignment:
        """Return `assignment` as the workers can grade it: without a GPU where they have none.

        Raises:
            DeviceError: it needs one, and this machine has none.
        """
        if not assignment.gpu or (self.where.is_here and self._gpus):
            return assignment
        if self.where.is_here:
            fitting = devices.here(assignment)
        elif assignment.without_gpu == "wait":
            return assignment  # for a worker with a GPU, that may still come
        else:
            self._connected(assignment)
            while not self._mine():  # whoever comes first tells what workers there are
                self._look(gpu=False)
                time.sleep(LOOK)
            if self._mine(gpu=True):
                return assignment
            fitting = on_cpu(assignment)
        if self._on_cpu is None or self._on_cpu[0] is not assignment:
            self._on_cpu = (assignment, fitting)
        return self._on_cpu[1]

    def _wanted(self, assignment: Assignment) -> int:
        """Return how many tasks are given out: a little more than there are slots."""
        slots = self.slots(self._fitting(assignment))
        return slots + 1 + slots // 8

    # ---- who is there

    def _connected(self, assignment: Assignment) -> Client:
        """Return the connection to the workers, which are started when first asked for."""
        if self._client is None:
            if self.where.is_here:
                self._client = self._start_here(assignment)
            elif self.where.slurm is not None:
                self._client = self._start_jobs(self.where.slurm, assignment)
            else:
                self._client = self._join()
        return self._client

    def _start_here(self, assignment: Assignment) -> Client:
        ahead.begin(sandbox=self._sandbox)
        from distributed import Client, Nanny, Scheduler, SpecCluster
        from distributed.security import Security

        # Another user of this machine could connect, and run what he likes as who grades here.
        keys = Security.temporary()
        scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="grader-"))
        common = {
            "nthreads": 1,
            "memory_limit": 0,
            "local_directory": scratch,
            "host": "127.0.0.1",
            "dashboard": False,
            "security": keys,
        }
        # All of them ask one zygote: its imports are paid for once.
        zygotes = warm().folder if self._sandbox else None
        try:
            cluster = SpecCluster(
                scheduler={
                    "cls": Scheduler,
                    "options": {
                        "host": "127.0.0.1",
                        "port": 0,
                        "protocol": "tls://",
                        "dashboard": False,
                        "dashboard_address": "127.0.0.1:0",
                        "security": keys,
                        "allowed_failures": TRIES - 1,
                    },
                },
                workers={
                    number: {
                        "cls": Nanny,
                        "options": common | workers.options(number, zygotes, self._gpus),
                    }
                    for number in range(self.slots(replace(assignment, gpu=False)))
                },
                security=keys,
                silence_logs=False,
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            reason = error.__cause__ or error
            raise ClusterError(f"no workers could be started here: {reason}") from error
        self._stack.callback(cluster.close, timeout=10)
        return self._stack.enter_context(Client(cluster, security=keys, set_as_default=False))

    def _start_jobs(self, jobs: Jobs, assignment: Assignment) -> Client:
        from distributed import Client

        self._jobs = self._stack.enter_context(jobs.running(assignment.limits, TRIES))
        return self._stack.enter_context(Client(self._jobs.cluster, set_as_default=False))

    def _join(self) -> Client:
        from distributed import Client
        from distributed.security import Security

        address = self.where.scheduler or ""
        must_be_encrypted(address)
        files = {
            "tls_ca_file": self.where.ca,
            "tls_client_cert": self.where.certificate,
            "tls_client_key": self.where.key,
        }
        keys = Security(**{name: str(path) for name, path in files.items() if path is not None})
        try:
            client = Client(address, security=keys, set_as_default=False, timeout=CONNECT)
        except (OSError, TimeoutError, RuntimeError, ValueError, TypeError) as error:
            raise ClusterError(
                f"the scheduler {address} cannot be reached: {error}\n"
                "Is it running? Do --tls-ca, --tls-cert and --tls-key name its files?"
            ) from None
        self._stack.enter_context(client)
        found = client.run_on_scheduler(_identity)
        if found != workers.identity():
            raise ClusterError(
                f"the scheduler {address} is of another version: {workers.differences(found)}"
            )
        return client

    def _mine(self, *, gpu: bool = False) -> list[str]:
        """Return the addresses of the workers that may grade; with `gpu`, on one of theirs."""
        wanted = workers.resource(gpu=gpu)
        return [where for where, one in self._there().items() if wanted in one["resources"]]

    def _there(self) -> dict[str, Any]:
        """Return what the scheduler knows of each worker, as it was not long ago."""
        asked, known = self._workers
        if self._client is not None and time.monotonic() - asked > LOOK:
            try:
                known = self._client.scheduler_info(n_workers=-1)["workers"]
            except OSError:  # Dask's are, too
                raise _gone() from None
            self._workers = (time.monotonic(), known)
            if self._jobs is not None:
                self._jobs.renew({str(one["name"]) for one in known.values()})
        return known

    def _look(self, *, gpu: bool) -> None:
        """See who is there, and say what is waited for.

        Args:
            gpu: a worker is of use only if it has one.

        Raises:
            ClusterError: nobody came for so long, or the scheduler has gone.
        """
        client = self._client
        if client is None:
            return
        if client.status not in ("running", "connecting"):
            raise _gone()
        known = self._there()
        for address in set(known) - set(self._mine()) - set(self._differing):
            self._differing[address] = self._why(client, address)
            self._tell(f"left out: worker {known[address]['name']}: {self._differing[address]}")
        if self._mine(gpu=gpu):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        self._tell("waiting for a worker with a GPU" if gpu else "waiting for a worker")
        if time.monotonic() - self._idle_since > self.where.wait:
            left_out = "".join(f"\nleft out: {why}" for why in self._differing.values())
            raise ClusterError(
                f"no worker for {self.where.wait:.0f} seconds{left_out}\n"
                "Nothing is lost. Run it again when there are workers: it goes on."
            )

    def _why(self, client: Client, address: str) -> str:
        """Return why a worker is given nothing."""
        answer = client.run(_identity, workers=[address], on_error="return").get(address)
        if not isinstance(answer, dict):
            return f"it does not have this grader ({answer!r:.200})"
        return workers.differences(answer) or (
            "it was not started by grader worker, or cannot isolate submissions"
        )

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)


def run(
    tasks: Iterable[Task], where: Where | int | None = None, *, sandbox: bool = True
) -> Iterator[tuple[int, Graded]]:
    """Grade `tasks` in a pool of their own; see `Pool.grade`.

    Raises:
        SandboxError: this machine cannot isolate kernels.
        ClusterError: see `Pool`.
    """
    with Pool(where, sandbox=sandbox) as pool:
        yield from pool.grade(tasks)


def _identity() -> dict[str, str]:  # by this name it is found, or not, on the other machine
    return workers.identity()


def _aside(task: Task) -> Graded:
    return replace(_broken(task, ENDED), aside=True)


def _broken(task: Task, reason: str) -> Graded:
    assignment, submission, seeds = task
    return replace(set_aside(assignment, submission, reason), seed=seeds[0])


def _gone() -> ClusterError:
    return ClusterError(
        "the connection to the scheduler is gone\n"
        "Nothing is lost. Run it again when it is back: it goes on."
    )


def must_be_encrypted(address: str) -> None:
    """See that nobody on the way can read submissions, or run programs as a worker.

    Raises:
        ClusterError: they could.
    """
    protocol, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if protocol == "tls" or (protocol == "tcp" and is_here):
        return
    raise ClusterError(
        f"{address}: write tls://HOST:PORT. Without TLS whoever can reach the "
        "scheduler can run programs on every worker (docs/deploy tells how to make the keys)."
    )
