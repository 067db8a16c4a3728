"""What a student runs on Windows and macOS: nothing of it needs what only Linux has.

There is no Windows here. So our modules, and nobody else's, are told that they run on it: what is
only there on POSIX systems cannot be imported by them, and is no attribute of `os` and its like.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from builders import cell, notebook

WINDOWS = """
import builtins, importlib, sys, types

GONE = "crypt fcntl grp posix pty pwd readline resource spwd syslog termios tty".split()
LESS = {
    "os": '''O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_PATH P_PIDFD WNOHANG chown chroot fchmod
        fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority
        getresuid getsid getuid killpg lchown major memfd_create minor mkfifo mknod nice openpty
        pidfd_open posix_spawn posix_spawnp pread pwrite sched_getaffinity sched_setaffinity
        sendfile setns setpgid setpriority setsid setuid statvfs sysconf uname unshare wait wait4
        waitid WEXITSTATUS WIFEXITED WIFSIGNALED WTERMSIG'''.split(),
    "signal": '''SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP SIGUSR1
        SIGUSR2 SIGXCPU SIGXFSZ ITIMER_PROF ITIMER_REAL alarm pause pthread_kill pthread_sigmask
        setitimer sigwait sigtimedwait'''.split(),
    "socket": "AF_UNIX AF_NETLINK SCM_RIGHTS CMSG_LEN recv_fds send_fds socketpair_unix".split(),
    "time": "tzset clock_gettime CLOCK_MONOTONIC".split(),
}


class Less(types.ModuleType):
    def __init__(self, whole, less, **other):
        super().__init__(whole.__name__)
        self.__dict__.update({k: v for k, v in vars(whole).items() if k not in less}, **other)


lacking = {name: Less(importlib.import_module(name), less) for name, less in LESS.items()}
lacking["os"].name = "nt"
lacking["sys"] = Less(sys, [], platform="win32")
real = builtins.__import__


def as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    if str((globals or {}).get("__name__")).partition(".")[0] in ("grader", "data"):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
        if name in lacking:
            return lacking[name]
    return real(name, globals, locals, fromlist, level)


builtins.__import__ = as_on_windows
"""


def on_windows(program: str, folder: Path) -> str:
    """Run `program` in `folder` as if it were there, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS + program],
        cwd=folder,
        env=os.environ | {"COLUMNS": "140"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_modules_are_told_that_they_run_on_windows(tmp_path: Path) -> None:
    """Or the tests below would prove nothing."""
    (tmp_path / "data").mkdir()
    seen = "import os, sys\nprint(os.name, sys.platform, hasattr(os, 'fork'))\n"
    seen += "try:\n    import fcntl\nexcept ImportError:\n    print('no fcntl')"
    (tmp_path / "data" / "__init__.py").write_text(seen)
    program = "import sys\nsys.path.insert(0, '.')\nimport data, fcntl, os\nprint(os.fork)"
    said = on_windows(program, tmp_path).splitlines()
    assert said[:2] == ["nt win32 False", "no fcntl"]
    assert said[2].startswith("<built-in function fork")


def test_grader_try_runs_a_notebook(tmp_path: Path) -> None:
    """One in which a cell even ends its kernel."""
    made = notebook(
        cell("from grader import check\nimport os", id="imports"),
        cell("def add(a, b):\n    return a + b", "add", solution=True),
        cell("check.equal(add(1, 2), 3)", "add-tests", points=2),
        cell("def end():\n    os._exit(3)", "end", solution=True),
        cell("end()", "end-tests", points=1),
    )
    made.metadata["lesson"] = {"title": "Adding", "minutes": 10, "unit": "01-adding"}
    (tmp_path / "01-adding").mkdir()
    nbformat.write(made, tmp_path / "01-adding" / "adding.ipynb")
    program = "from grader import cli\nimport sys\nsys.argv = ['grader', 'try', {}]\ncli.main()\n"
    said = on_windows(program.format("'01-adding/adding.ipynb'"), tmp_path)
    assert "01-adding: 1 of 2 exercises, 2 of 3 points (visible checks)" in said
    assert "kernel died" in said
    said = on_windows(program.format(""), tmp_path)
    assert "1 of 2 exercises, 2 of 3 points" in said


def test_what_lessons_import_and_what_jupyterlab_starts_can_be_imported(tmp_path: Path) -> None:
    program = """
import json
import data
from grader import check, lab
made = [len(data.digits()), data.glyphs(3).images.shape[0], data.photograph().ndim]
print(json.dumps([made, lab.find_units(lab.Path("."))]))
"""
    made, units = json.loads(on_windows(program, tmp_path))
    assert all(made)
    assert units == []
