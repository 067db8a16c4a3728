"""Grading on workers that are elsewhere: real schedulers and workers, on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from builders import SOLVED, answered, content, isolates
from distributed import Client
from distributed.security import Security

from grader import workers
from grader.cluster import Pool, Where
from grader.errors import ClusterError, DeviceError, GraderError, UsageError
from grader.kernels import devices
from grader.model import Assignment, Graded, Limits, Submission
from grader.slurm import Jobs

UNIT = "01-adding"
SLEEPS = f"import time\ntime.sleep({{}})\n{SOLVED}"
PATIENCE = 120.0  # seconds: a loaded machine is slow, and that is no bug


def submission(unit: Assignment, student: str, answer: str = SOLVED) -> Submission:
    node = answered(unit.notebooks[0].released, add=answer)
    return Submission(student, UNIT, (("adding", content(node)),))


def grades(pool: Pool, unit: Assignment, answers: dict[str, str]) -> Iterator[Graded]:
    tasks = [(unit, submission(unit, name, answer), (0,)) for name, answer in answers.items()]
    for place, graded in pool.grade(tasks):
        assert graded.student == list(answers)[place]
        yield graded


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


# ---- this machine ----------------------------------------------------------------------------


@isolates
def test_a_slow_submission_holds_nobody_up(adding: Assignment) -> None:
    # Three are given out for two slots: one of the quick ones waits behind it at first.
    answers = {"slow": SLEEPS.format(12)} | {f"quick-{n}": SOLVED for n in range(3)}
    with Pool(2) as pool:
        order = [graded.student for graded in grades(pool, adding, answers)]
    assert order[-1] == "slow"
    assert len(order) == len(answers)


@isolates
def test_who_was_graded_by_a_worker_that_dies_is_graded_by_another(adding: Assignment) -> None:
    answers = {"ada": SLEEPS.format(4)} | {f"quick-{n}": SOLVED for n in range(3)}

    with Pool(2) as pool:
        client = pool._connected(adding)
        first = grades(pool, adding, answers)
        found = [next(first)]
        # Ada is under way in one of them, whoever comes first.
        busy = next(worker for worker, keys in client.processing().items() if keys)
        os.kill(client.run(os.getpid, workers=[busy])[busy], signal.SIGKILL)
        found += first
    assert {one.student: (one.score, one.notes) for one in found} == dict.fromkeys(
        answers, (3.0, ())
    )


@isolates
def test_workers_of_this_machine_talk_to_nobody_else(adding: Assignment) -> None:
    with Pool(1) as pool:
        address = pool._connected(adding).scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises((OSError, TimeoutError)):
            Client(address, security=Security.temporary(), timeout=3, set_as_default=False)


def test_slots_are_what_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask.system.CPU_COUNT", 16)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 16 * 2**30)
    assert workers.slots(2**20) == 16
    assert workers.slots(2 * 2**30) == 7  # a tenth is left to everything else
    assert workers.slots(2**40) == 1


# ---- GPUs ------------------------------------------------------------------------------------

LOOKS = f"import os\nprint('I see', os.environ['CUDA_VISIBLE_DEVICES'])\n{SOLVED}"


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs, that pretend."""
    folder = tmp_path / "gpus"
    folder.mkdir()
    for number in range(2):
        (folder / f"PRETEND-{number}").touch()
        os.truncate(folder / f"PRETEND-{number}", 2**30)
    monkeypatch.setenv(devices.PRETEND, str(folder))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    return folder


def seen(graded: Graded) -> list[str]:
    return re.findall(r"I see ([\w-]*)", graded.notebooks[0].executed)


@isolates
@pytest.mark.usefixtures("gpus")
def test_each_gpu_slot_grades_on_its_own_device(adding: Assignment) -> None:
    unit = replace(adding, gpu=True)
    answers = {f"student-{n}": LOOKS for n in range(4)}
    with Pool(3) as pool:
        assert pool.slots(unit) == 2
        assert pool.slots(adding) == 3
        found = list(grades(pool, unit, answers))
        [other] = grades(pool, adding, {"ada": LOOKS})
    assert [one.score for one in found] == [3.0] * 4
    assert {name for one in found for name in seen(one)} == {"PRETEND-0", "PRETEND-1"}
    assert "pretends" in found[0].machine
    assert seen(other) in ([], [""])


@isolates
def test_a_gpu_that_a_stranger_holds_grades_nothing(
    adding: Assignment, gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(devices.VISIBLE, "PRETEND-0")
    monkeypatch.setattr("grader.cluster.LOOK", 0.1)
    holds = "import mmap, sys, time\nf = open(sys.argv[1], 'rb')\n"
    holds += "held = mmap.mmap(f.fileno(), 5000000, prot=mmap.PROT_READ)\nprint()\ntime.sleep(600)"
    command = [sys.executable, "-uc", holds, str(gpus / "PRETEND-0")]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        with (
            Pool(1, say=said.append) as pool,
            pytest.raises(DeviceError, match=f"{stranger.pid}"),
        ):
            list(grades(pool, replace(adding, gpu=True), {"ada": SOLVED}))
        stranger.kill()
    assert said
    with Pool(1) as pool:
        [graded] = grades(pool, replace(adding, gpu=True), {"ada": SOLVED})
    assert graded.score == 3.0


@isolates
@pytest.mark.parametrize("elsewhere", [False, True])
def test_without_a_gpu_a_unit_waits_or_runs_on_the_cpu(
    adding: Assignment, elsewhere: bool, request: pytest.FixtureRequest
) -> None:
    if devices.devices():
        pytest.skip("this machine has one")
    where = Where(1)
    if elsewhere:
        cluster = request.getfixturevalue("cluster")
        cluster.start()
        cluster.worker()
        where = cluster.where()
    said: list[str] = []
    with Pool(where, say=said.append) as pool:
        optional = replace(adding, gpu=True, without_gpu="quick")
        [graded] = grades(pool, optional, {"ada": SOLVED})
        assert graded.score == 3.0
        assert any("on the CPU, in its quick profile" in note for note in graded.notes)
        pool.where = replace(where, wait=8)
        with pytest.raises(GraderError, match=r"waits for a GPU|no worker for 8 seconds"):
            list(grades(pool, replace(adding, gpu=True), {"ada": SOLVED}))
    assert said[-1:] == (["waiting for a worker with a GPU"] if elsewhere else [])


# ---- a scheduler -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    made = Security.temporary().get_tls_config_for_role("client")
    for name in ("ca_file", "cert", "key"):
        (folder / name).write_text(str(made[name]), encoding="ascii")
    return folder


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, keys: Path, folder: Path) -> None:
        self.keys = keys
        self.folder = folder
        self.address = ""
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, host: str = "127.0.0.1", **variables: str) -> None:
        file = self.folder / "scheduler.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host]
        command += ["--port", "0", "--protocol", "tls", "--no-dashboard"]
        command += ["--dashboard-address", "127.0.0.1:0"]
        self._run([*command, *self._keys("--tls-ca-file"), "--scheduler-file", file], variables)
        until(file.is_file)
        self.address = json.loads(file.read_text())["address"]

    def worker(self, slots: int = 1, *before: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "grader.cli", "worker", self.address]
        return self._run([*before, *command, "--slots", f"{slots}", *self._keys("--tls-ca")], {})

    def plain_worker(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address]
        command += ["--nthreads", "1", "--no-dashboard", *options]
        return self._run([*command, *self._keys("--tls-ca-file")], variables)

    def where(self, wait: float = PATIENCE) -> Where:
        files = (self.keys / name for name in ("ca_file", "cert", "key"))
        return Where(None, self.address, *files, wait=wait)

    def _keys(self, ca: str) -> list[str]:
        names = {ca: "ca_file", "--tls-cert": "cert", "--tls-key": "key"}
        return [part for name, file in names.items() for part in (name, f"{self.keys / file}")]

    def _run(self, command: list[object], more: dict[str, str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log-{len(self.processes)}").open("wb")
        with log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **more},
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(keys: Path, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(keys, tmp_path)
    try:
        yield made
    finally:
        made.stop()


@isolates
def test_a_cluster_gives_the_marks_of_this_machine_and_no_others_grade(
    adding: Assignment, cluster: Cluster, tmp_path: Path
) -> None:
    other = tmp_path / "other.py"
    other.write_text(
        "from grader import workers\n"
        "theirs = {**workers.identity(), 'numpy': '1.0'}\n"
        "workers.identity = lambda: theirs\n"
        "def dask_setup(nanny):\n"
        "    workers.dask_setup(nanny) if hasattr(nanny, 'env') else None\n",
        encoding="utf-8",
    )
    cluster.start()
    cluster.plain_worker("--name", "plain")
    cluster.plain_worker("--name", "old", "--preload", f"{other}", "--preload-nanny", f"{other}")
    said: list[str] = []
    threading.Timer(15, cluster.worker, (2,)).start()  # it joins while we wait
    answers = {"ada": SOLVED, "bob": "def add(a, b):\n    return a - b", "eve": SOLVED}
    with Pool(cluster.where(), say=said.append) as pool:
        found = {one.student: one for one in grades(pool, adding, answers)}
        pids = {process.pid for process in cluster.processes}
    assert {name: one.score for name, one in found.items()} == {"ada": 3.0, "bob": 0.0, "eve": 3.0}
    with Pool(0) as pool:
        for one in grades(pool, adding, answers):
            there = found[one.student]
            assert [(c.grade_id, c.points, c.message) for c in one.cells] == [
                (c.grade_id, c.points, c.message) for c in there.cells
            ]
    assert len(pids) == 4
    assert any("worker plain: it was not started by grader worker" in text for text in said)
    assert any("worker old: numpy 1.0 there and" in text for text in said)


@isolates
def test_a_scheduler_that_goes_stops_the_run_and_the_next_one_goes_on(
    adding: Assignment, cluster: Cluster
) -> None:
    cluster.start()
    cluster.worker()
    answers = {"ada": SOLVED, "bob": SLEEPS.format(9), "eve": SOLVED}
    with Pool(cluster.where()) as pool:
        found = grades(pool, adding, answers)
        next(found)
        cluster.processes[0].kill()
        with pytest.raises(ClusterError, match="it goes on"):
            list(found)


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, Callable[..., None]]]:
    """A network of its own: its name, and what runs ``ip`` in it; ours is 10.213.77.1 there."""
    name = f"g{os.getpid() % 100_000}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network of its own can be made here")
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("address", "add", "10.213.77.1/30", "dev", name)
        ip("link", "set", name, "up")
        for device in ("lo", "eth0"):
            ip("-n", name, "link", "set", device, "up")
        ip("-n", name, "address", "add", "10.213.77.2/30", "dev", "eth0")
        yield name, ip
    finally:
        ip("netns", "delete", name)


@isolates
def test_a_worker_behind_a_cut_network_is_replaced(
    adding: Assignment, cluster: Cluster, elsewhere: tuple[str, Callable[..., None]]
) -> None:
    network, ip = elsewhere
    cluster.start("10.213.77.1", DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP="12s")
    cluster.worker(1, "ip", "netns", "exec", network)
    answers = {"ada": SOLVED, "bob": SLEEPS.format(5), "eve": SOLVED}
    with Pool(cluster.where()) as pool:
        found = grades(pool, adding, answers)
        first = next(found)
        ip("link", "set", network, "down")
        cluster.worker()
        others = list(found)
    assert {one.student: (one.score, one.notes) for one in (first, *others)} == dict.fromkeys(
        answers, (3.0, ())
    )


def test_nobody_comes(adding: Assignment, cluster: Cluster) -> None:
    cluster.start()
    said: list[str] = []
    with (
        Pool(cluster.where(wait=2), say=said.append) as pool,
        pytest.raises(ClusterError, match="no worker for 2 seconds"),
    ):
        list(grades(pool, adding, {"ada": SOLVED}))
    assert said == ["waiting for a worker"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://10.1.2.3:8786", "write tls://HOST:PORT"),
        ("10.1.2.3:8786", "write tls://HOST:PORT"),
        ("tls://127.0.0.1:1", "cannot be reached"),
        ("tcp://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_a_scheduler_that_cannot_be_used(
    adding: Assignment, address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grader.cluster.CONNECT", 2.0)
    with Pool(Where(scheduler=address)) as pool, pytest.raises(ClusterError, match=message):
        list(grades(pool, adding, {"ada": SOLVED}))


def test_strangers_programs_run_on_other_machines_in_rooms_only() -> None:
    with pytest.raises(ClusterError, match="--no-sandbox is for this machine"):
        Pool(Where(scheduler="tls://10.1.2.3:8786"), sandbox=False)


# ---- Slurm -----------------------------------------------------------------------------------

JOBS = 'jobs = 2\ntime = "01:30:00"\ncores = 4\nmemory = "8GB"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = ", "Invalid value"),
        ('jobs = "many"', "jobs must be of type int"),
        (JOBS + 'partiton = "gpu"', "Did you mean partition?"),
        ('jobs = 1\ntime = "01:00:00"', "cores, memory: not set"),
        (JOBS.replace("2", "0"), "are 1 at least"),
        (JOBS.replace("01:30:00", "90"), "write hours"),
        (JOBS.replace("8GB", "much"), 'write it as "64GB"'),
    ],
)
def test_a_file_of_jobs_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        Jobs.read(path)


def test_a_job_ends_before_its_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text(JOBS, encoding="utf-8")
    jobs = Jobs.read(path)
    assert jobs.slots(Limits(memory_bytes=3 * 2**30)) == 2
    assert jobs.lifetime(Limits(submission_seconds=300)) == 90 * 60 - 300 - 120
    with pytest.raises(UsageError, match="too short"):
        jobs.lifetime(Limits(submission_seconds=90 * 60))


SBATCH = """#!/bin/sh
# A cluster of one machine: what is submitted runs at once.
cp "$1" {folder}/script
setsid sh {folder}/script > {folder}/out 2>&1 &
echo $! >> {folder}/pids
echo "Submitted batch job $!"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Jobs]:
    """A cluster of one machine that runs what is submitted at once; makes a file of jobs."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, text in {
        "sbatch": SBATCH.format(folder=tmp_path),
        "scancel": "#!/bin/sh\nkill -- -$1\n",
    }.items():
        (bin_ / name).write_text(text, encoding="utf-8")
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")

    def jobs(text: str) -> Jobs:
        path = tmp_path / "slurm.toml"
        shared = f'shared = "{tmp_path}"\ninterface = "lo"\n'
        path.write_text(text.replace("jobs = 2", "jobs = 1") + shared, encoding="utf-8")
        return Jobs.read(path)

    return jobs


@isolates
def test_jobs_grade(adding: Assignment, tmp_path: Path, slurm: Callable[[str], Jobs]) -> None:
    jobs = slurm(JOBS + 'partition = "gpu"\ngres = "gpu:1"\n')
    ctrl_c = signal.getsignal(signal.SIGINT)
    with Pool(Where(slurm=jobs, wait=PATIENCE)) as pool:
        found = list(grades(pool, adding, {"ada": SOLVED, "bob": SOLVED}))
    assert signal.getsignal(signal.SIGINT) is ctrl_c  # dask-jobqueue's import takes it
    assert [one.score for one in found] == [3.0, 3.0]
    script = (tmp_path / "script").read_text(encoding="utf-8")
    wanted = ("#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "#SBATCH -t 01:30:00", "--lifetime 5220s")
    assert all(line in script for line in wanted)
    assert "-m grader.cli worker tls://" in script
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


@isolates
def test_where_a_job_s_time_is_over_another_goes_on(
    adding: Assignment, tmp_path: Path, slurm: Callable[[str], Jobs]
) -> None:
    # Less the unit's limit of a minute, and two minutes: twenty seconds are left.
    jobs = slurm(JOBS.replace("cores = 4", "cores = 1").replace("01:30:00", "00:03:20"))
    answers = {f"student-{n}": SLEEPS.format(4) for n in range(8)}
    with Pool(Where(slurm=jobs, wait=PATIENCE)) as pool:
        found = list(grades(pool, adding, answers))
    assert {one.student: (one.score, one.notes) for one in found} == dict.fromkeys(
        answers, (3.0, ())
    )
    assert len((tmp_path / "pids").read_text().split()) > 1
