"""What only a GPU can show: `make test-gpu`. All else about devices is in test_devices.py."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import cell, isolates, notebook, printed, run, statuses
from nbformat import NotebookNode

from grader import engine
from grader.judge.kernel import JudgedCells
from grader.kernels import devices
from grader.kernels.devices import Device
from grader.model import Limits

REAL = [device for device in devices.devices() if not device.pretends]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not REAL, reason="NVML finds no GPU here"),
    pytest.mark.skipif(not torch.version.cuda, reason="torch is installed without CUDA"),
]
BOTH = pytest.mark.parametrize(
    "sandbox", [pytest.param(True, marks=isolates), False], ids=["sandboxed", "cold"]
)
# CUDA's own libraries are large, and loading them takes its time.
ROOMY = Limits(
    cell_seconds=120,
    submission_seconds=600,
    cell_cpu_seconds=120,
    memory_bytes=16 * 2**30,
    gpu_memory_bytes=4 * 2**30,
)
START = "import torch\nx = torch.ones(2**20, device='cuda')\nprint(x.sum().item())"


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """The slot's device: the last one, so that it is not everybody's first."""
    monkeypatch.setenv(devices.VISIBLE, REAL[-1].identifier)
    return REAL[-1]


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@BOTH
def test_torch_sees_one_device_where_one_is_asked_for(tmp_path: Path, sandbox: bool) -> None:
    look = "import torch; print([torch.cuda.is_available(), torch.cuda.device_count()])"
    for gpu, seen in ((True, [True, 1]), (False, [False, 0])):
        executed = run(look, limits=ROOMY, folder=tmp_path, sandbox=sandbox, gpu=gpu)
        assert ast.literal_eval(printed(executed.cells[0])) == seen


@isolates
def test_a_room_has_the_files_of_that_device_only(tmp_path: Path, device: Device) -> None:
    look = "import glob; print(sorted(glob.glob('/dev/nvidia*') + glob.glob('/dev/nvidia-caps/*')))"
    executed = run(look, START, limits=ROOMY, folder=tmp_path, gpu=True)
    shown = set(ast.literal_eval(printed(executed.cells[0]))) - {"/dev/nvidia-caps"}
    assert shown == set(device.nodes)
    assert statuses(executed) == ["ok", "ok"], executed.cells[1].metadata.judged.error


@BOTH
def test_the_same_seed_gives_the_same_numbers(tmp_path: Path, sandbox: bool) -> None:
    draw = (
        "import torch\ntorch.manual_seed(5)\n"
        "print(torch.rand(3, device='cuda').tolist())\n"
        "net = torch.nn.Conv2d(3, 8, 3, device='cuda')\n"
        "net(torch.rand(4, 3, 32, 32, device='cuda')).square().sum().backward()\n"
        "print(net.weight.grad.sum().item())"
    )
    said = [
        printed(run(draw, limits=ROOMY, folder=tmp_path, sandbox=sandbox, gpu=True).cells[0])
        for _ in range(2)
    ]
    assert said[0]
    assert said[0] == said[1]


@isolates
def test_a_kernel_s_seed_reaches_the_gpu(tmp_path: Path) -> None:
    draw = "import torch; print(torch.rand(3, device='cuda').tolist())"
    said = [
        printed(engine.run(notebook(draw), tmp_path, ROOMY, {}, gpu=True, seed=seed).cells[0])
        for seed in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]


@isolates
def test_convolutions_are_those_of_a_cpu(tmp_path: Path) -> None:
    """Tensor cores would round to ten bits (TF32), and what a test expects comes from a CPU."""
    compare = (
        "import torch\ntorch.manual_seed(0)\n"
        "net, x = torch.nn.Conv2d(64, 64, 3), torch.rand(8, 64, 32, 32)\n"
        "here = net(x)\nthere = net.cuda()(x.cuda()).cpu()\n"
        "print((here - there).abs().max().item() < 1e-5)"
    )
    executed = run(compare, limits=ROOMY, folder=tmp_path, gpu=True)
    assert printed(executed.cells[0]) == "True\n"


@isolates
def test_torch_refuses_what_is_over_the_share_and_the_next_cell_runs(tmp_path: Path) -> None:
    executed = run(
        "import torch\nx = torch.empty(3 * 2**30, dtype=torch.uint8, device='cuda')",
        START,
        limits=replace(ROOMY, gpu_memory_bytes=2 * 2**30),
        folder=tmp_path,
        gpu=True,
    )
    assert statuses(executed) == ["GPU memory limit", "ok"]


@isolates
def test_who_goes_around_torch_s_own_bound_is_ended_and_leaves_nothing(
    tmp_path: Path, device: Device
) -> None:
    executed = run(
        "import time, torch\ntorch.cuda.set_per_process_memory_fraction(1.0)\n"
        "x = torch.empty(3 * 2**30, dtype=torch.uint8, device='cuda')\ntime.sleep(60)",
        "print('here')",
        limits=replace(ROOMY, gpu_memory_bytes=2 * 2**30),
        folder=tmp_path,
        gpu=True,
    )
    assert statuses(executed) == ["GPU memory limit", "not run"]
    assert "2,147,483,648 bytes of GPU memory" in executed.cells[0].metadata.judged.error
    assert "device_left" not in executed.metadata
    devices.require_empty(device, 0)


@isolates
def test_a_tensor_of_the_gpu_comes_to_the_judge_on_the_cpu(tmp_path: Path) -> None:
    node = notebook(
        cell("import torch\ndef double(x):\n    return 2 * x.to('cuda')", id="double"),
        cell(
            "import torch\nassert not torch.cuda.is_available()\n"
            "made = double(torch.ones(3))\n"
            "assert made.device.type == 'cpu' and made.came_from == 'cuda:0', made.came_from\n"
            "assert made.tolist() == [2.0, 2.0, 2.0]",
            id="tests",
        ),
    )
    tests = JudgedCells(frozenset({"tests"}), ("import torch",), tmp_path)
    executed = engine.run(node, tmp_path, ROOMY, {}, gpu=True, tests=tests)
    assert statuses(executed) == ["ok", "ok"], [c.metadata.judged.error for c in executed.cells]


@isolates
def test_two_slots_share_a_device(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in devices.slots(2)[0].items():
        monkeypatch.setenv(name, value)
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    ended: list[NotebookNode] = []

    async def first() -> None:
        wait = "import time; time.sleep(60)"
        executed = run(START, wait, limits=ROOMY, folder=tmp_path / "first", gpu=True)
        ended.append(executed)

    thread = threading.Thread(target=lambda: asyncio.run(first()))
    thread.start()
    wait_for(lambda: devices.held(device))
    second = run(START, limits=ROOMY, folder=tmp_path / "second", gpu=True)
    assert statuses(second) == ["ok"]
    thread.join()
    assert statuses(ended[0]) == ["ok", "ok"]
    devices.require_empty(device)


def test_a_stranger_s_memory_is_seen(device: Device) -> None:
    hold = START + "\nimport time; time.sleep(600)"
    environment = {**os.environ, devices.VISIBLE: device.identifier}
    with subprocess.Popen([sys.executable, "-c", hold], env=environment) as stranger:
        try:
            wait_for(lambda: devices.held(device).get(stranger.pid))
            with pytest.raises(devices.DeviceError, match=f"process {stranger.pid} "):
                devices.require_empty(device, 0)
        finally:
            stranger.kill()
    devices.require_empty(device)
