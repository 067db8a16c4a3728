"""A submission has one GPU to itself, or a share of one, and finds it empty.

Here GPUs are files that pretend: who maps one holds its memory. On a real one: test_gpu.py.
"""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import (
    COURSE,
    QUICK,
    SOLVED,
    answered,
    assignment,
    cell,
    content,
    isolates,
    notebook,
    printed,
    run,
    source,
    statuses,
    submission,
)

from grader import engine
from grader.classroom import Classroom
from grader.course import load_course
from grader.errors import DeviceError, UsageError
from grader.grade import grade
from grader.judge.kernel import JudgedCells
from grader.kernels import devices, doctor, room, warm
from grader.kernels.devices import Device
from grader.model import Assignment, Limits, Status, Submission, on_cpu

MEMORY = 2**30
BOTH = pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "cold"])
# Maps so many bytes of the file, and says so.
HOLD = """
import mmap, sys, time
node = open(sys.argv[1], "rb")
held = mmap.mmap(node.fileno(), int(sys.argv[2]), prot=mmap.PROT_READ)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def gpus(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs; the folder that they are files in."""
    folder = tmp_path_factory.mktemp("gpus")
    for number in range(2):
        (folder / f"PRETEND-{number}").touch()
        os.truncate(folder / f"PRETEND-{number}", MEMORY)
    monkeypatch.setenv(devices.PRETEND, str(folder))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.delenv(devices.SHARE, raising=False)
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for a device to be empty."""
    for wait in (devices.require_empty, devices.strangers):
        monkeypatch.setattr(wait, "__defaults__", (0.3,))


@pytest.fixture
def stranger(gpus: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of nobody's that holds memory of the first GPU."""
    command = [sys.executable, "-c", HOLD, str(gpus / "PRETEND-0"), "5000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def holding(gpus: Path, size: int, name: str = "held") -> str:
    """Return the code of a cell that takes `size` bytes of its GPU."""
    return (
        "import mmap, os\n"
        f"{name} = open({str(gpus)!r} + '/' + os.environ['CUDA_VISIBLE_DEVICES'], 'rb')\n"
        f"{name} = mmap.mmap({name}.fileno(), {size}, prot=mmap.PROT_READ)"
    )


def names() -> list[str]:
    return [device.identifier for device in devices.devices()]


# ---- which there are ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ["PRETEND-0", "PRETEND-1"]),
        ("", []),
        ("1", ["PRETEND-1"]),
        ("PRETEND-1, 0", ["PRETEND-1", "PRETEND-0"]),
        ("0,0", ["PRETEND-0"]),
        ("0,7,1", ["PRETEND-0"]),
        ("PRETEND", ["PRETEND-0"]),
        ("-1", []),
    ],
)
def test_only_what_the_machine_s_scheduler_gave_is_used(
    monkeypatch: pytest.MonkeyPatch, named: str | None, expected: list[str]
) -> None:
    if named is not None:
        monkeypatch.setenv(devices.VISIBLE, named)
    assert names() == expected


def test_each_slot_is_told_its_device_and_its_share(
    monkeypatch: pytest.MonkeyPatch, gpus: Path
) -> None:
    slots = devices.slots(3)
    assert [slot[devices.VISIBLE] for slot in slots] == ["PRETEND-0"] * 3 + ["PRETEND-1"] * 3
    assert 0.9 * MEMORY < 3 * int(slots[0][devices.SHARE]) < MEMORY
    for name, value in slots[5].items():
        monkeypatch.setenv(name, value)
    assert names() == ["PRETEND-1"]
    share = int(slots[5][devices.SHARE])
    assert devices.capped(Limits(), devices.own()).gpu_memory_bytes == share
    low = Limits(gpu_memory_bytes=1000)
    assert devices.capped(low, devices.own()).gpu_memory_bytes == 1000
    with pytest.raises(UsageError, match="one or more"):
        devices.slots(0)


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.delenv(devices.PRETEND)
    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert devices.slots(2) == []
    with pytest.raises(DeviceError, match="no GPU is in reach"):
        devices.own()


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A driver that tells of three GPUs: a whole one, one that is lost, one in two parts."""
    import pynvml

    told = SimpleNamespace(compute=[], graphics=[], used=0)

    def handle(index: int) -> str:
        if index == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return ["GPU-aaaa", "", "GPU-cccc"][index]

    def part(gpu: str, number: int) -> str:
        if number == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return f"MIG-{number}"

    def mode(gpu: str) -> list[int]:
        if gpu == "GPU-aaaa":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def memory(device: str, version: int = 0) -> SimpleNamespace:
        return SimpleNamespace(total=8 * MEMORY, used=told.used)

    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetMinorNumber": lambda gpu: ["GPU-aaaa", "", "GPU-cccc"].index(gpu),
        "nvmlDeviceGetMigMode": mode,
        "nvmlDeviceGetMaxMigDeviceCount": lambda gpu: 3,
        "nvmlDeviceGetMigDeviceHandleByIndex": part,
        "nvmlDeviceGetGpuInstanceId": lambda part: 7,
        "nvmlDeviceGetComputeInstanceId": lambda part: 0,
        "nvmlDeviceGetUUID": lambda device: device,
        "nvmlDeviceGetName": lambda device: "NVIDIA H100",
        "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetComputeRunningProcesses": lambda device: told.compute,
        "nvmlDeviceGetGraphicsRunningProcesses": lambda device: told.graphics,
    }.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv(devices.PRETEND)
    return told


def test_a_part_of_a_gpu_is_a_device_and_a_lost_one_is_none(
    nvml: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = devices.devices()
    assert [(one.identifier, one.index) for one in found] == [
        ("GPU-aaaa", 0),
        ("MIG-0", 2),
        ("MIG-2", 2),
    ]
    assert not any(one.pretends for one in found)
    monkeypatch.setenv(devices.VISIBLE, "MIG-2")
    assert names() == ["MIG-2"]


def test_a_part_of_a_gpu_has_files_of_its_own(nvml: SimpleNamespace, tmp_path: Path) -> None:
    import pynvml

    for name, number in (("access", 66), ("ci0/access", 67)):
        path = tmp_path / "gpu2" / "mig" / "gi7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"DeviceFileMinor: {number}\nDeviceFileMode: 292\n")
    nodes = devices._capabilities(pynvml, 2, "MIG-0", str(tmp_path))
    assert nodes == ["/dev/nvidia-caps/nvidia-cap66", "/dev/nvidia-caps/nvidia-cap67"]


def process(pid: int, size: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=size)


def test_what_the_driver_tells_of_processes(nvml: SimpleNamespace) -> None:
    device = devices.own()
    me, other, nobody = os.getpid(), os.getppid(), 2**22 + 1
    nvml.compute = [process(me, 100), process(other, None), process(nobody, 7)]
    nvml.graphics = [process(1, 5000)]
    nvml.used = 5107
    assert devices.held(device) == {me: 100, other: 0, 0: 7}
    nvml.used = 5107 + MEMORY  # of whom it is the driver does not tell, as in a container
    assert devices.held(device) == {me: 100, other: 0, 0: 7 + MEMORY}
    assert devices.in_use(device, {me}) == 107 + MEMORY
    with devices.claimed(device, [me]), devices.claimed(device, [other]):
        assert devices.in_use(device, {me}) == 100  # two slots: it may be either's
    with pytest.raises(DeviceError, match="who cannot be seen from here holds 1,073,741,831 b"):
        devices.require_empty(device, 0)


def test_a_device_that_does_not_answer_is_not_an_empty_one(
    nvml: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    def lost(handle: str) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lost)
    with pytest.raises(DeviceError, match=r"GPU-aaaa .* does not answer"):
        devices.require_empty(devices.own())


# ---- pinned ---------------------------------------------------------------------------------

LOOK = """
import os
shown = os.path.isdir({0!r}) and sorted(os.listdir({0!r}))
print([os.environ.get("CUDA_VISIBLE_DEVICES"), shown])
"""
SETTINGS = """
told = [name for name in os.environ if "GRADER" in name]
print([os.environ.get("CUBLAS_WORKSPACE_CONFIG"), told])
"""


@isolates
@pytest.mark.parametrize("named", ["PRETEND-1", "1"])
def test_a_kernel_in_a_room_has_the_files_of_its_own_device_only(
    tmp_path: Path, gpus: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(devices.VISIBLE, named)
    executed = run(LOOK.format(str(gpus)), SETTINGS, folder=tmp_path, gpu=True)
    assert ast.literal_eval(printed(executed.cells[0])) == ["PRETEND-1", ["PRETEND-1"]]
    assert ast.literal_eval(printed(executed.cells[1])) == [":4096:8", []]
    executed = run(LOOK.format(str(gpus)), folder=tmp_path)
    assert ast.literal_eval(printed(executed.cells[0])) == ["", False]


def test_a_cold_kernel_is_told_its_own_device_only(
    tmp_path: Path, gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(devices.VISIBLE, "1,0")
    for gpu, seen in ((True, "PRETEND-1"), (False, ""), (None, "1,0")):
        options: Any = {"sandbox": False, "gpu": gpu}
        executed = run(LOOK.format(str(gpus)), SETTINGS, folder=tmp_path, **options)
        assert ast.literal_eval(printed(executed.cells[0]))[0] == seen
        workspace = ":4096:8" if gpu else None
        assert ast.literal_eval(printed(executed.cells[1])) == [workspace, []]


@BOTH
def test_the_judge_s_kernel_sees_no_gpu(tmp_path: Path, sandbox: bool) -> None:
    asks = "import os\nvisible = os.environ['CUDA_VISIBLE_DEVICES']\n"
    node = notebook(
        cell(asks + "assert visible == 'PRETEND-0', visible", id="theirs"),
        cell(asks + "assert visible == '', visible", id="tests"),
    )
    tests = JudgedCells(frozenset({"tests"}), ("import os",), tmp_path)
    executed = engine.run(node, tmp_path, QUICK, {}, sandbox=sandbox, gpu=True, tests=tests)
    assert statuses(executed) == ["ok", "ok"], [c.metadata.judged.error for c in executed.cells]


@isolates
def test_torch_is_told_how_much_it_may_take(tmp_path: Path) -> None:
    """It is told when CUDA starts; here the list of what is to be told is looked at."""
    limits = replace(QUICK, gpu_memory_bytes=MEMORY // 4)
    look = (
        "import torch\ntorch.cuda.set_per_process_memory_fraction = print\n"
        "for call, _ in torch.cuda._queued_calls:\n"
        "    if call.__qualname__.startswith('_tame'):\n        call()\n"
        "print(torch.backends.cudnn.deterministic)"
    )
    executed = run(look, limits=limits, folder=tmp_path, gpu=True)
    assert printed(executed.cells[0]) == "0.125\nTrue\n"
    assert printed(run(look, limits=limits, folder=tmp_path).cells[0]) == "False\n"


def test_what_torch_may_take_leaves_room_for_cuda_itself() -> None:
    device = Device("GPU-a", 0, "", 80 * 10**9, ())
    assert devices.fraction({"gpu_memory_bytes": 8_600_000_000}, device) == 0.1
    assert devices.fraction({"gpu_memory_bytes": 800_000_000}, device) == 0.005
    assert devices.fraction({"gpu_memory_bytes": 10**12}, device) == 1.0


def test_a_driver_s_libraries_are_found_where_no_loader_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver, expected in ((tmp_path, str(tmp_path)), (tmp_path / "none", None)):
        monkeypatch.setattr(warm, "DRIVER", str(driver))
        assert warm.kernel_environment().get("LD_LIBRARY_PATH") == expected


def a_device() -> str:
    """Return a file of a device that a room has not by itself."""
    return next(
        str(path)
        for path in sorted(Path("/dev").iterdir())
        if stat.S_ISCHR(path.stat().st_mode) and str(path) not in (*room.DEVICES, "/dev/console")
    )


def test_a_device_is_shown_only_to_who_asks() -> None:
    options = room.options_of_bwrap([], 3, 4, 5, nodes=[a_device()])
    assert options[options.index(a_device()) - 1] == "--dev-bind"
    assert "/proc/driver/nvidia" in options
    options = room.options_of_bwrap([], 3, 4, 5)
    assert not {a_device(), "/proc/driver/nvidia"} & set(options)


@isolates
def test_nobody_in_a_room_can_give_a_device_another_mode() -> None:
    walls = room.Room(nodes=[a_device()])
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            walls.enter(2**20, 64)
            if os.fork() == 0:
                try:
                    os.chmod(a_device(), 0o666)
                except OSError as error:
                    os.write(far, str(error.errno).encode())
        finally:
            os._exit(0)
    os.close(far)
    with open(near, encoding="ascii") as said:
        answer = said.read()
    os.waitpid(child, 0)
    walls.close()
    os.waitpid(walls.builder, 0)
    assert answer == str(errno.EROFS)


# ---- memory ---------------------------------------------------------------------------------


@isolates
@pytest.mark.parametrize(("share", "limit"), [(40_000_000, 2**40), (2**29, 40_000_000)])
def test_who_takes_more_than_the_slot_s_share_is_ended(
    tmp_path: Path, gpus: Path, monkeypatch: pytest.MonkeyPatch, share: int, limit: int
) -> None:
    monkeypatch.setenv(devices.SHARE, str(share))
    executed = run(
        holding(gpus, 30_000_000),
        "import time; time.sleep(0.6)",
        holding(gpus, 30_000_000, "more") + "\nimport time; time.sleep(9)",
        "print('here')",
        limits=replace(QUICK, gpu_memory_bytes=limit),
        folder=tmp_path,
        gpu=True,
    )
    assert statuses(executed) == ["ok", "ok", "GPU memory limit", "not run"]
    assert "40,000,000 bytes of GPU memory" in executed.cells[2].metadata["judged"]["error"]
    assert "device_left" not in executed.metadata


@isolates
def test_processes_that_a_submission_starts_count_as_its_own(tmp_path: Path, gpus: Path) -> None:
    """Their numbers inside of the room are not those outside, which a driver tells."""
    one = holding(gpus, 30_000_000)
    executed = run(
        f"import os, time\nif os.fork() == 0:\n    os.setsid()\nexec({one!r})\ntime.sleep(9)",
        limits=replace(QUICK, gpu_memory_bytes=40_000_000),
        folder=tmp_path,
        gpu=True,
    )
    assert statuses(executed) == ["GPU memory limit"]


# ---- empty ----------------------------------------------------------------------------------


def test_a_device_that_somebody_uses_is_refused_until_it_is_empty(
    gpus: Path, stranger: subprocess.Popen[str], impatient: None
) -> None:
    unit = assignment(source(cell("assert True", "t", points=1)), gpu=True)
    theirs = submission(hw=notebook(cell("assert True", "t", points=1)))
    with pytest.raises(DeviceError) as refusal:
        grade(unit, theirs)
    assert f"PRETEND-0 (pretends) is not empty: process {stranger.pid} (" in str(refusal.value)
    assert (
        f"holds 5,001,216 bytes. Nothing is graded on it until it is. End it (kill {stranger.pid})"
        in str(refusal.value)
    )
    stranger.kill()
    graded = grade(unit, theirs)
    assert (graded.status, graded.score, graded.notes) == (Status.GRADED, 1, ())
    assert graded.machine.endswith(", pretends")


def test_the_other_device_is_none_of_its_business(
    monkeypatch: pytest.MonkeyPatch, stranger: subprocess.Popen[str]
) -> None:
    monkeypatch.setenv(devices.VISIBLE, "PRETEND-1")
    devices.require_empty(devices.own(), 0)


def test_what_runs_in_another_slot_is_no_stranger(stranger: subprocess.Popen[str]) -> None:
    device = devices.own()
    with devices.claimed(device, [stranger.pid]):
        devices.require_empty(device, 0)
    with pytest.raises(DeviceError):
        devices.require_empty(device, 0)


def test_a_device_that_is_lost_while_somebody_runs_gives_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = devices.held, []

    def held(device: Device, among: Any = None) -> dict[int, int]:
        asked.append(among)
        if len(asked) > 1 and among is None:  # not before the run, and not by the watchdog
            raise DeviceError("lost")
        return real(device, among)

    monkeypatch.setattr(devices, "held", held)
    unit = assignment(source(cell("assert False", "t", points=1)), gpu=True)
    with pytest.raises(DeviceError, match="lost"):
        grade(unit, submission(hw=notebook(cell("assert False", "t", points=1))))
    assert len(asked) > 1


def test_a_claim_ends_with_who_made_it(gpus: Path, stranger: subprocess.Popen[str]) -> None:
    claim = (
        "import time\nfrom grader.kernels import devices\n"
        f"with devices.claimed(devices.own(), [{stranger.pid}]):\n"
        "    print('claimed', flush=True)\n    time.sleep(600)"
    )
    command = [sys.executable, "-c", claim]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "claimed\n"
        devices.require_empty(devices.own(), 0)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    with pytest.raises(DeviceError, match=f"process {stranger.pid} "):
        devices.require_empty(devices.own(), 0)


def test_a_board_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / f"grader-devices-{os.geteuid()}"
    board.mkdir()
    board.chmod(0o777)
    monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DeviceError, match="not a private folder"):
        devices.require_empty(devices.own(), 0)


def test_what_a_submission_leaves_is_noted_and_the_next_one_is_refused(
    gpus: Path, impatient: None
) -> None:
    """A kernel in a room leaves nothing; without a room a program can go away from its kernel."""
    arguments = [sys.executable, "-c", HOLD, str(gpus / "PRETEND-0"), "5000000"]
    leave = (
        "import subprocess\n"
        f"p = subprocess.Popen({arguments!r}, stdout=subprocess.PIPE, start_new_session=True)\n"
        "p.stdout.readline(); print(p.pid)"
    )
    unit = assignment(source(cell(leave, id="a"), cell("assert True", "t", points=1)), gpu=True)
    theirs = submission(hw=notebook(cell(leave, id="a"), cell("assert True", "t", points=1)))
    graded = grade(unit, theirs, sandbox=False)
    assert graded.score == 1  # it has been graded, and nothing had disturbed it
    (note,) = graded.notes
    assert note.startswith("after it had ended, the GPU PRETEND-0 (pretends) is not empty: process")
    left = int(note.partition("process ")[2].split()[0])
    assert "device_left" not in graded.notebooks[0].executed
    try:
        with pytest.raises(DeviceError, match=f"process {left} "):
            grade(unit, theirs, sandbox=False)
    finally:
        os.kill(left, signal.SIGKILL)
    devices.require_empty(devices.own(), 5)


@isolates
def test_two_slots_share_a_device(
    tmp_path: Path, gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second finds the memory of the first, and who it is that holds it."""
    for name, value in devices.slots(2)[0].items():
        monkeypatch.setenv(name, value)
    device, ended = devices.own(), []
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()

    async def first() -> None:
        wait = "import time; time.sleep(6)"
        ended.append(run(holding(gpus, 20_000_000), wait, folder=folders[0], gpu=True))

    thread = threading.Thread(target=lambda: asyncio.run(first()))
    thread.start()
    while not devices.held(device):
        time.sleep(0.05)
    second = run(holding(gpus, 20_000_000), folder=folders[1], gpu=True)
    thread.join()
    assert statuses(second) == ["ok"]
    assert statuses(ended[0]) == ["ok", "ok"]
    assert "device_left" not in {**second.metadata, **ended[0].metadata}
    devices.require_empty(device, 0)


# ---- where there is none --------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    """The file of a lesson that asks for a device."""
    path = tmp_path / "solutions" / "01-adding" / "adding.py"
    path.parent.mkdir(parents=True)
    text = (COURSE / "01-adding" / "adding.py").read_text(encoding="utf-8")
    text = text.replace('profile = "quick"\n', 'profile = "quick"\ndevice = "cpu"\n')
    assert text.count("device") == 1
    path.write_text(text, encoding="utf-8")
    (path.parent / "misconceptions.py").write_text(
        (COURSE / "01-adding" / "misconceptions.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return path


def assigned(lesson: Path, header: str) -> Assignment:
    text = lesson.read_text(encoding="utf-8")
    assert text.count("gpu: false") == 1
    lesson.write_text(text.replace("gpu: false", header), encoding="utf-8")
    course = load_course(lesson.parents[1])
    return Classroom(lesson.parents[2] / "class").assignment("01-adding", course)


@pytest.mark.parametrize(
    ("header", "gpu", "without", "parameters"),
    [
        ("gpu: false", False, "wait", {"profile": "quick", "seed": 0, "device": "cpu"}),
        ("gpu: true", True, "wait", {"profile": "quick", "seed": 0, "device": "cuda"}),
        (
            "gpu: optional\n#     profile: full",
            True,
            "quick",
            {"profile": "full", "seed": 0, "device": "cuda"},
        ),
    ],
)
def test_a_unit_asks_for_a_gpu_in_its_header(
    lesson: Path, header: str, gpu: bool, without: str, parameters: dict[str, str | int]
) -> None:
    unit = assigned(lesson, header)
    assert (unit.gpu, unit.without_gpu, dict(unit.parameters)) == (gpu, without, parameters)
    assert devices.here(unit) is unit
    alone = on_cpu(unit)
    assert dict(alone.parameters) == {"profile": "quick", "seed": 0, "device": "cpu"}
    assert not alone.gpu
    assert replace(alone, gpu=unit.gpu, parameters=unit.parameters) == unit


def test_a_lesson_without_a_device_is_given_none(adding: Assignment) -> None:
    assert dict(adding.parameters) == {"profile": "quick", "seed": 0}
    assert dict(on_cpu(adding).parameters) == {"profile": "quick", "seed": 0}


@pytest.mark.parametrize("there", [True, False], ids=["with a GPU", "without"])
def test_one_that_may_do_without_is_graded_on_the_cpu_and_says_so(
    lesson: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    unit = assigned(lesson, "gpu: optional\n#     profile: full")
    if not there:
        monkeypatch.setenv(devices.VISIBLE, "")
    answer = SOLVED + "\nimport os\nprint(profile, device, [os.environ['CUDA_VISIBLE_DEVICES']])"
    node = answered(unit.notebooks[0].released, add=answer)
    theirs = Submission("ada", unit.unit, (("adding", content(node)),))
    graded = grade(devices.here(unit), theirs)
    said = "full cuda ['PRETEND-0']" if there else "quick cpu ['']"
    assert said in graded.notebooks[0].executed
    expected = () if there else ("graded on the CPU, in its quick profile: no GPU was in reach",)
    assert graded.notes == expected
    assert graded.machine.endswith(", pretends") is there


def test_one_that_needs_a_gpu_waits(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = assigned(lesson, "gpu: true")
    monkeypatch.setenv(devices.VISIBLE, "")
    with pytest.raises(DeviceError, match="01-adding waits for a GPU"):
        devices.here(unit)
    with pytest.raises(DeviceError, match="no GPU is in reach"):
        grade(
            unit, Submission("ada", unit.unit, (("adding", unit.notebooks[0].released.encode()),))
        )


# ---- doctor ---------------------------------------------------------------------------------


def gpu_finding() -> doctor.Finding:
    (found,) = [one for one in doctor.examine() if one.name == "GPU"]
    return found


def test_doctor_tells_which_devices_there_are(nvml: SimpleNamespace, gpus: Path) -> None:
    found = gpu_finding()
    lines = found.detail.splitlines()
    assert lines[0] == "GPU-aaaa: GPU 0, NVIDIA H100, 8.0 GiB"
    assert lines[1] == "MIG-0: part of GPU 2, NVIDIA H100, 8.0 GiB"
    if not Path("/dev/nvidia-uvm").exists():
        assert not found.works
        assert "nvidia-modprobe" in found.advice


def test_doctor_says_which_devices_pretend() -> None:
    found = gpu_finding()
    assert found.works
    assert found.detail.splitlines()[0] == "PRETEND-0: a file that pretends, 1.0 GiB"


@pytest.mark.parametrize("nodes", [0, 1])
def test_doctor_says_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, nodes: int) -> None:
    import pynvml

    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    real = Path.glob

    def glob(self: Path, pattern: str) -> Iterator[Path]:
        shown = [Path("/dev/nvidia0")] * nodes
        return iter(shown) if pattern.startswith("nvidia") else real(self, pattern)

    monkeypatch.delenv(devices.PRETEND)
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    monkeypatch.setattr(Path, "glob", glob)
    found = gpu_finding()
    assert not found.works
    assert ("version mismatch" in found.detail) == bool(nodes)
    assert ("no NVIDIA device" in found.detail) != bool(nodes)
