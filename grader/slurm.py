"""Workers as jobs of Slurm, as a small TOML file describes them.

jobs = 4                        # at a time
time = "02:00:00"               # of one job: hours, minutes, seconds
cores = 16
memory = "64GB"
partition = "gpu"               # these are optional
account = "cs231n"
gres = "gpu:2"
interface = "ib0"               # network between the login node and the jobs
shared = "/scratch/me"          # a folder that all machines see, for keys and logs
                                # (by default one in the home folder)
directives = ["--exclusive"]    # more #SBATCH lines
setup = ["module load cuda"]    # shell lines before the worker starts
"""

from __future__ import annotations

import re
import signal
import sys
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from grader.errors import UsageError, nearest
from grader.model import Limits

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

MARGIN = 120.0  # seconds before its time is over in which a job takes nothing new


@dataclass(frozen=True)
class Jobs:
    """What is asked of Slurm; see the module.

    Attributes:
        jobs: at a time; where one ends, another is submitted.
        time: of one job; its workers leave before it is over, and what they had is graded again.
    """

    jobs: int
    time: str
    cores: int
    memory: str
    partition: str | None = None
    account: str | None = None
    gres: str | None = None
    gpu_slots: int = 1
    interface: str | None = None
    shared: str = "~/.grader-slurm"
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Jobs:
        """Read such a file.

        Raises:
            UsageError: what is wrong in it.
        """
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path}: {error}") from None
        known = {one.name: str(one.type) for one in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise UsageError(f'{path}: no setting "{name}".{nearest(name, known)}')
            wanted = int if known[name] == "int" else list if "tuple" in known[name] else str
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"{path}: {name} must be of type {wanted.__name__}")
            given[name] = tuple(map(str, value)) if isinstance(value, list) else value
        missing = [name for name in ("jobs", "time", "cores", "memory") if name not in given]
        if missing:
            raise UsageError(f"{path}: {', '.join(missing)}: not set")
        made = cls(**given)
        if min(made.jobs, made.cores, made.gpu_slots) < 1:
            raise UsageError(f"{path}: jobs, cores and gpu_slots are 1 at least")
        made.seconds()
        made.slots(Limits())
        return made

    def seconds(self) -> int:
        """Return `time` in seconds.

        Raises:
            UsageError: it is not Slurm's [days-]hours:minutes:seconds.
        """
        found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", self.time)
        if not found:
            raise UsageError(f'time = "{self.time}": write hours, as in "02:00:00"')
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def slots(self, limits: Limits) -> int:
        """Return how many submissions one job grades side by side.

        Raises:
            UsageError: `memory` is no number of bytes.
        """
        from dask.utils import parse_bytes

        try:
            memory = int(parse_bytes(self.memory))
        except ValueError:
            raise UsageError(f'memory = "{self.memory}": write it as "64GB"') from None
        return max(1, min(self.cores, int(memory * 0.9) // limits.memory_bytes))

    def lifetime(self, limits: Limits) -> int:
        """Return after how many seconds a worker leaves, so that its job ends with nothing begun.

        Raises:
            UsageError: a job is too short for one submission.
        """
        left = self.seconds() - limits.submission_seconds - MARGIN
        if left <= 0:
            raise UsageError(
                f'time = "{self.time}" is too short: one submission may take '
                f"{limits.submission_seconds:.0f} seconds, and a worker needs {MARGIN:.0f}"
            )
        return int(left)

    @contextmanager
    def running(self, limits: Limits, tries: int) -> Iterator[Running]:
        """Submit the jobs; at the end of the block they are cancelled.

        Args:
            limits: of what they grade.
            tries: workers that a submission may end.

        Raises:
            UsageError: the jobs cannot be as the file says.
        """
        handler = signal.getsignal(signal.SIGINT)
        from dask_jobqueue import SLURMCluster
        from distributed.security import Security

        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)  # its import made Ctrl-C a silent exit, code 0
        slots, lifetime = self.slots(limits), self.lifetime(limits)
        shared = Path(self.shared).expanduser()
        try:
            (shared / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
            keys = TemporaryDirectory(prefix=".keys-", dir=shared)
        except OSError as error:
            raise UsageError(f'shared = "{self.shared}": {error}') from None
        made = Security.temporary().get_tls_config_for_role("worker")  # for this run alone
        files = {name: Path(keys.name) / name for name in ("ca_file", "cert", "key")}
        for name, path in files.items():
            path.write_text(str(made[name]), encoding="ascii")
        roles = [
            f"tls_{role}_{name}"
            for role in ("scheduler", "worker", "client")
            for name in ("cert", "key")
        ]
        security = Security(
            require_encryption=True,
            tls_ca_file=str(files["ca_file"]),
            **{role: str(files[role.rpartition("_")[2]]) for role in roles},
        )
        with (
            keys,
            SLURMCluster(
                queue=self.partition,
                account=self.account,
                walltime=self.time,
                cores=slots,  # Dask's word for threads: one a worker
                processes=slots,
                job_cpu=self.cores,
                memory=self.memory,
                job_extra_directives=[
                    *([f"--gres={self.gres}"] if self.gres else []),
                    *self.directives,
                ],
                job_script_prologue=[*self.setup, "export PYTHONSAFEPATH=1"],
                worker_command="grader.cli worker",
                worker_extra_args=[
                    *("--gpu-slots", f"{self.gpu_slots}"),
                    *("--lifetime", f"{lifetime}s"),
                    *("--lifetime-stagger", f"{min(30, lifetime // 10)}s"),
                ],
                python=sys.executable,
                security=security,
                scheduler_options={
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",  # else 8787, which somebody else has
                    "allowed_failures": tries - 1,
                },
                silence_logs=False,
                interface=self.interface,
                shared_temp_directory=str(shared),
                log_directory=str(shared / "logs"),
            ) as cluster,
        ):
            cluster.scale(jobs=self.jobs)
            yield Running(cluster, self.jobs)


class Running:
    """Jobs that have been submitted."""

    def __init__(self, cluster: SLURMCluster, count: int) -> None:
        self.cluster = cluster
        self._count = count
        self._seen: set[str] = set()

    def renew(self, names: Collection[str]) -> None:
        """Submit another job for each whose workers have come and gone: its time was over.

        Dask's own ways (`adapt`) leave it at that where a job has several workers.

        Args:
            names: of the workers that are there.
        """
        known = self.cluster.worker_spec
        here = {job for job in known if any(f"{name}-".startswith(f"{job}-") for name in names)}
        gone = (self._seen & known.keys()) - here
        self._seen |= here
        for job in gone:
            known.update(self.cluster.new_worker_spec())  # first: it would get the same name
            del known[job]
        if gone:
            self.cluster.scale(jobs=self._count)
