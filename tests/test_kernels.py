"""Kernels come warm from a zygote, live in rooms of their own, and leave nothing behind."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import papermill
import psutil
import pytest
from builders import (
    COURSE,
    QUICK,
    SOLVED,
    answered,
    cell,
    content,
    hand_in,
    isolates,
    notebook,
    printed,
    run,
    statuses,
    strangers,
    wait_until_gone,
)
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_async_kernel
from typer.testing import CliRunner

from grader import cli, engine, launch
from grader.classroom import Classroom
from grader.errors import SandboxError
from grader.kernels import doctor, groups, room, warm
from grader.kernels.warm import Warm, WarmError
from grader.model import Assignment, Limits

HERE = Path(__file__).parent


def zygotes() -> list[psutil.Process]:
    """Return the zygotes that this process has started and that still live."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and "zygote.main" in " ".join(child.cmdline())
        and child.name() != "bwrap"
        and child.pid not in strangers()
    ]


@pytest.fixture
def without_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels be counted by the watchdog alone, as where no control group can be made."""
    manager = launch.manager

    def ungrouped(*args: Any, **options: Any) -> launch.JudgedManager:
        made = manager(*args, **options)
        if made.warm is not None:
            made.warm["control_groups"] = False
        return made

    monkeypatch.setattr(launch, "manager", ungrouped)


def test_on_the_machine_that_decides_kernels_are_isolated() -> None:
    """Elsewhere these tests are skipped; in CI a skip would hide that nothing was tested."""
    if "CI" not in os.environ:
        pytest.skip("not in CI")
    assert doctor.obstacle() is None


# ---- warm ------------------------------------------------------------------------------------


@isolates
def test_a_zygote_that_died_is_replaced(tmp_path: Path) -> None:
    assert statuses(run("import numpy", folder=tmp_path)) == ["ok"]
    (first,) = zygotes()
    first.send_signal(signal.SIGKILL)
    psutil.wait_procs([first], timeout=10)
    assert statuses(run("import numpy", folder=tmp_path)) == ["ok"]
    (second,) = zygotes()
    assert second.pid != first.pid


@isolates
def test_what_lessons_need_is_imported_already_and_each_kernel_is_its_own(tmp_path: Path) -> None:
    cells = (
        "import random, sys\nprint('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)",
        "import numpy as np, torch\nprint(random.random(), np.random.rand(), torch.initial_seed())",
        "print(sorted(name for name in sys.modules if name.startswith('grader')))",
        "print(sorted(name for name in dir() if not name.startswith('_')))",
        "import threading\nprint([t.name for t in threading.enumerate()].count('MainThread'))",
    )
    one, two = (run(*cells, folder=tmp_path) for _ in range(2))
    assert statuses(one) == ["ok"] * 5
    assert printed(one.cells[0]) == "True True\n"
    ours, theirs = (printed(node.cells[1]).split() for node in (one, two))
    assert not set(ours) & set(theirs)
    assert printed(one.cells[2]) == "[]\n"
    own = {"In", "Out", "exit", "get_ipython", "open", "quit"}  # IPython's
    assert set(ast.literal_eval(printed(one.cells[3]))) == own | {"np", "random", "sys", "torch"}
    assert printed(one.cells[4]) == "1\n"


@isolates
def test_who_trains_waits_for_no_import_of_torch(tmp_path: Path) -> None:
    """torch imports 800 modules with the first optimizer: once for all who name torch."""
    look = "import os, sys\nprint(*sorted(os.environ))"
    there = "print('torch._dynamo' in sys.modules)"
    train = (
        "import torch\nw = torch.ones(1, requires_grad=True)\nsgd = torch.optim.SGD([w], lr=0.1)\n"
        "(3 * w).sum().backward()\nsgd.step()\nprint(w.item())"
    )
    plain, trained = (run(*cells, folder=tmp_path) for cells in ((look,), (look, there, train)))
    assert statuses(trained) == ["ok", "ok", "ok"]
    assert printed(trained.cells[1]) == "True\n"
    assert float(printed(trained.cells[2])) == pytest.approx(0.7)
    assert printed(plain.cells[0]) == printed(trained.cells[0]), "what was set for it is gone"


@isolates
def test_figures_are_shown_as_in_any_kernel(tmp_path: Path) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    executed = run(plot, "plt.get_fignums()", plot + "\nplt.show()", folder=tmp_path)
    kinds = [[o.output_type for o in c.outputs] for c in executed.cells]
    assert kinds == [["display_data"], ["execute_result"], ["display_data"]]
    assert "image/png" in executed.cells[0].outputs[0].data
    assert executed.cells[1].outputs[0].data["text/plain"] == "[]"


@isolates
def test_objects_from_before_the_fork_close_no_file_of_the_kernel(tmp_path: Path) -> None:
    """Formulas are kept with their fonts, and the fonts with their files: fifty, then they go."""
    draw = """
import os
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
before = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]}
for n in range(60):
    FigureCanvasAgg(figure := Figure()).figure.suptitle(f"$x_{{{n}}}$")
    figure.canvas.draw()
"""
    look = """
changed = []
for fd, was in before.items():
    if not was.startswith(("/dev/null", "/")):
        if not os.path.exists(f"/proc/self/fd/{fd}") or os.readlink(f"/proc/self/fd/{fd}") != was:
            changed.append(was)
print(len(before) > 20, changed)
"""
    executed = run(draw, look, folder=tmp_path)
    assert statuses(executed) == ["ok", "ok"]
    assert printed(executed.cells[1]) == "True []\n"


@isolates
def test_kernels_side_by_side_do_not_meet(tmp_path: Path) -> None:
    async def both() -> list[Any]:
        started = []
        for name in ("one", "two"):
            manager = launch.manager("python3", Limits(), sandbox=True)
            (tmp_path / name).mkdir()
            await manager.start_kernel(cwd=str(tmp_path / name))
            client = manager.client()
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            started.append((manager, client))
        replies = []
        for number, (_, client) in enumerate(started):
            client.execute(f"open('mine', 'w').write('{number}'); secret = {number}")
        for manager, client in started:
            reply = await client.execute_interactive(
                "import os; pids = [p for p in os.listdir('/proc') if p.isdigit()]",
                allow_stdin=False,
                user_expressions={"n": "len(pids)", "secret": "secret", "seen": "os.listdir()"},
            )
            replies.append(reply["content"]["user_expressions"])
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
        return replies

    replies = asyncio.run(both())
    assert [r["secret"]["data"]["text/plain"] for r in replies] == ["0", "1"]
    assert [r["seen"]["data"]["text/plain"] for r in replies] == ["['mine']"] * 2
    assert [r["n"]["data"]["text/plain"] for r in replies] == ["3", "3"]
    assert [(tmp_path / name / "mine").read_text() for name in ("one", "two")] == ["0", "1"]


@isolates
def test_jupyter_s_own_programs_can_ask_for_a_warm_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "warm",
        "language": "python",
        "metadata": {"kernel_provisioner": {"provisioner_name": "warm", "config": {}}},
    }
    (tmp_path / "warm").mkdir()
    (tmp_path / "warm" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    KernelSpecManager().install_kernel_spec(
        str(tmp_path / "warm"), "warm", prefix=str(tmp_path / "share")
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "share" / "jupyter"))
    monkeypatch.chdir(tmp_path)

    async def ask() -> Any:
        manager, client = await start_new_async_kernel(kernel_name="warm")
        reply = await client.execute_interactive(
            "", user_expressions={"cwd": "__import__('os').getcwd()"}
        )
        beats = client.hb_channel.is_beating()
        client.stop_channels()
        await manager.shutdown_kernel()
        return reply["content"]["user_expressions"]["cwd"]["data"]["text/plain"], beats

    assert asyncio.run(ask()) == (repr(room.HOME), True)


@isolates
@pytest.mark.parametrize("name", ["judged", "judged-no-sandbox"])
def test_papermill_runs_a_notebook_with_our_engine(tmp_path: Path, name: str) -> None:
    node = notebook("import os", "print(os.getcwd())")
    (tmp_path / "in.ipynb").write_bytes(content(node))
    papermill.execute_notebook(
        tmp_path / "in.ipynb",
        tmp_path / "out.ipynb",
        engine_name=name,
        cwd=str(tmp_path),
        progress_bar=False,
    )
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    place = room.HOME if name == "judged" else str(tmp_path)
    assert printed(executed.cells[1]) == f"{place}\n"


def test_an_interpreter_without_ipykernel_says_so(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    mine = Warm(warm.short_folder())
    with pytest.raises(WarmError, match="No module named"):
        mine.request(str(bare / "bin" / "python"), {}, [])
    mine.close()


@isolates
def test_a_kernel_of_another_language_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(language="R")
    monkeypatch.setattr(launch.AsyncKernelManager, "kernel_spec", spec)
    with pytest.raises(SandboxError, match="speaks r; only Python"):
        launch.manager("ir", Limits(), sandbox=True)


# ---- files -----------------------------------------------------------------------------------


@isolates
def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "given.txt").write_text("given")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    before = (tmp_path / "sub" / "given.txt").stat().st_mtime_ns
    executed = run(
        "import os; print(sorted(os.listdir()), open('sub/given.txt').read())",
        "os.makedirs('new/deep')\nopen('new/deep/made.txt', 'w').write('made')",
        "open('sub/changed.txt', 'w').write('first')",
        "os.symlink('/etc/shadow', 'out'); os.mkfifo('p'); os.symlink('/etc', 'sub/etc')",
        "os.makedirs('/'.join('d' * 50)); open('/'.join('d' * 50) + '/far', 'w').write('x')",
        "os.remove('sub/given.txt')",
        folder=tmp_path,
    )
    assert statuses(executed) == ["ok"] * 6
    assert printed(executed.cells[0]) == "['sub'] given\n"
    assert (tmp_path / "new" / "deep" / "made.txt").read_text() == "made"
    assert (tmp_path / "sub" / "given.txt").read_text() == "given"
    assert (tmp_path / "sub" / "given.txt").stat().st_mtime_ns == before
    assert not (tmp_path / "out").is_symlink()
    assert not (tmp_path / "p").exists()
    assert not (tmp_path / "sub" / "etc").is_symlink()
    assert not list(tmp_path.rglob("far"))


@isolates
def test_what_a_kernel_wrote_does_not_go_through_a_link_of_ours(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "folder" / "result").symlink_to(tmp_path / "elsewhere")
    run("open('result', 'w').write('mine')", folder=tmp_path / "folder")
    assert (tmp_path / "elsewhere").read_text() == "untouched"


# ---- limits ----------------------------------------------------------------------------------

SMALL = replace(QUICK, memory_bytes=300_000_000, processes=40, cell_seconds=60)


@isolates
def test_after_too_much_memory_in_one_process_the_next_cell_runs(tmp_path: Path) -> None:
    executed = run(
        "import numpy as np\nx = np.ones(60_000_000)",
        "print('here')",
        limits=SMALL,
        folder=tmp_path,
    )
    assert statuses(executed) == ["memory limit", "ok"]
    assert "300,000,000 bytes of memory" in executed.cells[0].metadata["judged"]["error"]


@isolates
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (
            "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
            "        hold = bytearray(200_000_000)\n        time.sleep(60)\ntime.sleep(60)",
            "memory limit",
        ),
        (
            "import os, time\nfor _ in range(100):\n"
            "    if os.fork() == 0:\n        time.sleep(60)\ntime.sleep(60)",
            "process limit",
        ),
    ],
)
def test_without_control_groups_a_watchdog_adds_up(
    tmp_path: Path, without_groups: None, code: str, status: str
) -> None:
    before = strangers()
    executed = run(code, "1", limits=SMALL, folder=tmp_path)
    assert statuses(executed) == [status, "not run"]
    assert wait_until_gone(before)


@isolates
@pytest.mark.parametrize("grouped", [True, False], ids=["control groups", "watchdog"])
def test_cpu_time_of_all_threads_is_counted(
    tmp_path: Path, grouped: bool, request: pytest.FixtureRequest
) -> None:
    if not grouped:
        request.getfixturevalue("without_groups")
    # A child process counts as much as a thread.
    code = "import os\nos.fork()\nwhile True:\n    pass"
    limits = replace(QUICK, cell_cpu_seconds=1, cell_seconds=30)
    began = time.monotonic()
    executed = run(code, limits=limits, folder=tmp_path)
    assert statuses(executed) == ["CPU time limit"]
    assert time.monotonic() - began < 25


# ---- control groups ---------------------------------------------------------------------------


def test_a_group_of_version_2_is_made_where_groups_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a tree of plain files: this test needs no such machine, and shows no more than paths."""
    monkeypatch.setattr(groups, "_own_path", lambda controller: "/user.slice/app/mine.scope")
    mine = tmp_path / "user.slice" / "app" / "mine.scope"
    mine.mkdir(parents=True)
    for folder in (tmp_path, mine, mine.parent, mine.parent.parent):
        (folder / "cgroup.subtree_control").write_text("cpu\n")
    (mine.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    group = groups.make("kernel-1", 1000, 7, root=tmp_path)
    assert group is not None
    made = mine.parent / "kernel-1"
    assert (group.version, set(group.folders.values())) == (2, {str(made)})
    assert (made / "memory.max").read_text() == "1000"
    assert (made / "pids.max").read_text() == "7"
    group.add(123)
    assert (made / "cgroup.procs").read_text() == "123"
    (made / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (made / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (made / "pids.events").write_text("max 0\n")
    assert group.usage() == groups.Usage(2.5, killed=("memory",))


def test_no_group_is_made_where_none_may_be(tmp_path: Path) -> None:
    assert groups.make("kernel-1", 1000, 7, root=tmp_path) is None
    assert not list(tmp_path.iterdir())


# ---- rooms -----------------------------------------------------------------------------------

AS_A_USER = """
import json, os, sys, tempfile
from pathlib import Path
from builders import run, statuses, printed, notebook
from grader.kernels import doctor
names = {one.name: one.works for one in doctor.examine()}
look = '''import os
print(os.getuid(), os.listdir('/home'), [p for p in os.listdir('/proc') if p.isdigit()])'''
folder = Path(tempfile.mkdtemp())
executed = run(look, "open('made', 'w').write('x')", folder=folder)
seen = printed(executed.cells[0])
print(json.dumps([os.getuid(), names["rooms"], statuses(executed), seen, os.listdir(folder)]))
"""


@isolates
def test_rooms_need_no_root(tmp_path: Path) -> None:
    """In a user namespace without a capability, whoever runs this is an ordinary user."""
    unshare = ["unshare", "--user", "--map-user=1234", "--map-group=1234"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare (util-linux) cannot map a user here")
    said = subprocess.run(
        [*unshare, sys.executable, "-c", AS_A_USER],
        env=os.environ | {"PYTHONPATH": str(HERE), "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    uid, works, ran, seen, made = json.loads(said.stdout.splitlines()[-1])
    assert (uid, works, ran, made) == (1234, True, ["ok", "ok"], ["made"])
    assert seen == "1000 ['student'] ['1', '2', '3']\n"


def test_a_room_that_cannot_be_built_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BWRAP", "bwrap-that-is-not-there")
    with pytest.raises(room.RoomError, match="No such file"):
        room.Room()


# ---- where nothing can be isolated -----------------------------------------------------------


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that lacks it."""
    monkeypatch.setattr(room, "BWRAP", "bwrap-that-is-not-there")
    launch.require_sandbox.cache_clear()
    yield
    launch.require_sandbox.cache_clear()


def test_grading_refuses_and_says_what_to_do(
    no_bubblewrap: None, classroom: Classroom, adding: Assignment
) -> None:
    folder = classroom.root
    node = answered(adding.notebooks[0].released, add=SOLVED)
    hand_in(classroom, "ada", "01-adding", "adding", node)
    command = ["grade", "01-adding", "--class", str(folder), "--solutions", str(COURSE)]
    refused = CliRunner().invoke(cli.app, [*command, "--workers", "0"])
    assert isinstance(refused.exception, SandboxError)
    assert "apt install bubblewrap" in str(refused.exception)
    assert "--no-sandbox" in str(refused.exception)
    assert not (folder / "autograded").exists()
    done = CliRunner().invoke(cli.app, [*command, "--workers", "0", "--no-sandbox"])
    assert done.exit_code == 0, done.output
    assert classroom.record("ada", "01-adding").is_file()


def test_doctor_says_what_is_missing(no_bubblewrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(cli.app, ["doctor"])
    assert said.exit_code == 1
    assert "bubblewrap" in said.output
    assert "cannot be isolated here" in said.output


@isolates
def test_doctor_says_that_all_is_well() -> None:
    said = CliRunner().invoke(cli.app, ["doctor"])
    assert said.exit_code == 0, said.output
    assert "Submissions are isolated here." in said.output


def test_an_old_bubblewrap_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.6.2\n")
    old.chmod(0o755)
    monkeypatch.setattr(room, "BWRAP", str(old))
    found = doctor.obstacle()
    assert found is not None
    assert "0.6.2" in found.detail


@isolates
def test_every_limit_is_one_that_a_room_needs() -> None:
    """`room.settle` and the zygote take them by name."""
    needed = {"submission_cpu_seconds", "memory_bytes", "processes", "open_files", "file_bytes"}
    assert needed | {"disk_bytes", "inodes"} <= asdict(Limits()).keys()


def test_a_cell_s_own_limits_are_in_its_lesson_s_header(tmp_path: Path) -> None:
    executed = engine.run(
        notebook(cell("while True: pass", id="a")), tmp_path, replace(QUICK, cell_seconds=1), {}
    )
    assert statuses(executed) == ["time limit"]
