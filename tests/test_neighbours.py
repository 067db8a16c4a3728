"""Who is graded beside an attacker, or after one, is graded as if alone."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from builders import (
    SOLVED,
    answered,
    cell,
    hand_in,
    isolates,
    notebook,
    printed,
    source,
    submission,
)
from builders import assignment as unit_of
from nbformat import NotebookNode

from grader import engine
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import Course
from grader.grade import grade
from grader.kernels import warm
from grader.model import Graded, Limits, Status

UNIT = "01-adding"
LIMITS = Limits(
    cell_seconds=10,
    submission_seconds=40,
    memory_bytes=400_000_000,
    disk_bytes=20_000_000,
    file_bytes=2_000_000,
    inodes=500,
    processes=64,
)

pytestmark = isolates

HONEST = {
    "ada": SOLVED,
    "bob": "def add(a, b):\n    return a - b",
    "cy": "def add(a, b):\n    return int(a) + int(b)",
    "dee": "def add(a, b):\n    return undefined",
}
ATTACKERS = {
    "fork-bomb": "import os\nwhile True:\n    os.fork()",
    "memory-bomb": "held = []\nwhile True:\n    held.append(bytearray(10_000_000))",
    "killer": "import os, time\nos.kill(-1, 9)\ntime.sleep(9)",
    "disk-fill": """
import itertools
for folder in (".", "/tmp", "/dev/shm"):
    for n in itertools.count():
        try:
            with open(f"{folder}/{n}", "wb") as file:
                file.write(b"x" * 1_000_000)
        except OSError:
            break
""",
    "reader": """
import os
found = []
for folder, folders, files in os.walk("/"):
    if folder.startswith(("/proc", "/usr")) or "site-packages" in folder:
        folders.clear()
        continue
    found += [name for name in (*folders, *files) if name.endswith("-of-the-class")]
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            for way in ("", "..", "../..", "../../..", "../../../.."):
                path = f"/proc/{pid}/fd/{name}/{way}"
                found += [(path, os.listdir(path))] if os.path.isdir(path) else []
    except OSError:
        pass
print("a reader found", found)
""",
}


def alone(limits: Limits, code: str, folder: Path, **variables: str) -> NotebookNode:
    """Return a notebook of one cell, executed in a kernel of its own."""
    folder.mkdir(exist_ok=True)
    return engine.run(notebook(code), folder, limits, variables)


def says(code: str, folder: Path, **variables: str) -> str:
    """Return what one cell printed in a kernel of its own; it must have run well."""
    executed = alone(LIMITS, code, folder, **variables)
    [only] = executed.cells
    assert only.metadata["judged"]["status"] == "ok", only.metadata["judged"]
    return printed(only)


def marks(graded: Graded) -> list[tuple[str, float | None, str]]:
    """Return what counts of a result."""
    return [(one.grade_id, one.points, str(one.verdict)) for one in graded.cells]


def test_neighbours_of_attackers_get_the_marks_that_they_get_alone(
    classroom: Classroom, course: Course
) -> None:
    unit = replace(classroom.assignment(UNIT, course), limits=LIMITS)
    [adding] = unit.notebooks
    answers = HONEST | {name: f"{SOLVED}\n{code}" for name, code in ATTACKERS.items()}
    for student, answer in answers.items():
        hand_in(classroom, student, UNIT, "adding", answered(adding.released, add=answer))
    (classroom.root / "secret-of-the-class").touch()
    lone = {name: grade(unit, classroom.submission(name, unit)) for name in HONEST}
    assert len({one.score for one in lone.values()}) == 3  # they can be told apart

    # Each attacker stands between two who are honest.
    mixed = [n for pair in zip(ATTACKERS, [*HONEST, "ada"], strict=True) for n in pair][:-1]
    together = {one.student: one for one in grade_class(classroom, unit, mixed, where=2)}

    assert {n: marks(together[n]) for n in HONEST} == {n: marks(lone[n]) for n in HONEST}
    assert {n: together[n].status for n in HONEST} == {n: lone[n].status for n in HONEST}
    assert all(together[name].status is not Status.BROKEN for name in ATTACKERS)
    assert {name: together[name].score for name in ("fork-bomb", "killer")} == {
        "fork-bomb": 0,
        "killer": 0,
    }
    assert "a reader found []" in together["reader"].notebooks[0].executed


REACH = """
import socket

addresses = {addresses!r}
for family, kind, address in addresses:
    with socket.socket(family, kind) as one:
        one.settimeout(1)
        try:
            one.connect(address)
            one.send(b"the hidden tests")
            print("sent to", address)
        except OSError as error:
            print("refused", address, error)
"""


def test_no_service_of_this_machine_hears_a_submission(tmp_path: Path) -> None:
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    path = str(Path(os.path.relpath(tmp_path), "service"))
    path = path if len(path) < 100 else f"/tmp/service-{os.getpid()}"
    wanted: list[tuple[int, int, tuple[str, int] | str]] = [
        (socket.AF_INET, stream, ("127.0.0.1", 0)),
        (socket.AF_INET, datagram, ("127.0.0.1", 0)),
        (socket.AF_UNIX, stream, f"\0abstract-{os.getpid()}"),
        (socket.AF_UNIX, datagram, f"\0abstract-datagram-{os.getpid()}"),
        (socket.AF_UNIX, stream, os.path.abspath(path)),
    ]
    with ExitStack() as stack:
        services = []
        for family, kind, address in wanted:
            service = stack.enter_context(socket.socket(family, kind))
            service.bind(address)
            service.setblocking(False)
            if kind == stream:
                service.listen()
            services.append(service)
        if not path.startswith(str(tmp_path)):
            stack.callback(lambda: Path(path).unlink(missing_ok=True))
        addresses = [(int(s.family), int(s.type), s.getsockname()) for s in services]
        code = REACH.format(addresses=addresses)
        said = says(code, tmp_path / "room")
        assert len(re.findall("^(?:refused|sent)", said, re.MULTILINE)) == len(services), said
        for service in services:
            with pytest.raises(BlockingIOError):
                service.accept() if service.type == stream else service.recv(100)
        exec(compile(code, "here", "exec"), {})  # the same from here: the services are there
        assert [s for s in services if s.type == datagram and s.recv(100)]


@pytest.fixture
def own_zygote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A zygote that is started in this test, by this process as it then is."""
    folder = warm.short_folder()
    own = warm.Warm(folder)
    monkeypatch.setattr(warm, "_warm", own)
    yield folder
    own.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_secrets_of_the_grader_are_not_in_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_zygote: Path
) -> None:
    start = tmp_path / "start.py"
    start.write_text("import builtins; builtins.started = True", encoding="utf-8")
    secret = "ab".join(("correct", "horse", "staple"))
    variables = ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NBGRADER_X", "GRADER_X", "CI", "X")
    for name in variables:
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("PYTHONSTARTUP", str(start))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = f"""
import builtins, glob, os, re
text = b""
for path in glob.glob("/proc/[0-9]*/environ"):
    with open(path, "rb") as file:
        text += file.read()
print("variables:", sorted(set(os.environ) & {set(variables)!r}), hasattr(builtins, "started"))
pattern = re.compile(b"correcta[b]horseabstaple")
held = bool(pattern.search(text))
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for where, mode, *_ in (line.split() for line in maps if "[v" not in line):
        start, end = (int(number, 16) for number in where.split("-"))
        if mode.startswith("rw"):
            memory.seek(start)
            held = held or bool(pattern.search(memory.read(end - start)))
print("text:", len(text) > 100, "secret:", held)
"""
    assert says(code, tmp_path / "room") == "variables: [] False\ntext: True secret: False\n"
    # That this search can find: a variable that the kernel was given.
    given = code.replace("print(", "mine = os.environ['MINE']\nprint(", 1)
    assert "secret: True" in says(given, tmp_path / "room", MINE=secret)


def test_what_the_zygote_reads_when_it_starts_is_nobody_else_s(
    tmp_path: Path,
) -> None:
    """It stands outside of all rooms: a start-up file of IPython's there runs with our rights."""
    says("1", tmp_path / "room")
    own = warm.warm().folder
    log = str(own / warm.LOG)
    seen = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "fd" / "2") != log:
                continue
            given = (process / "environ").read_bytes().decode().split("\0")
            variables = dict(one.split("=", 1) for one in given if one)
            for name in {"HOME", "IPYTHONDIR"} & variables.keys():
                seen += 1
                place = Path(variables[name])
                for folder in () if own in (place, *place.parents) else place.parents:
                    assert not folder.exists() or not folder.stat().st_mode & stat.S_IWOTH, (
                        f"anybody can make {name} ({place}) in {folder}"
                    )
    assert seen >= 2


LEAVES = """
import builtins, ctypes, glob, os, pathlib, random, site, sys, time
import numpy, torch

print("random:", random.random(), numpy.random.rand(), time.time())
print("torch:", torch.get_default_dtype(), torch.initial_seed() == 7)
print("left:", sorted(
    [name for name in ("LETTER",) if name in os.environ]
    + [f"numpy.{name}" for name in ("letter",) if hasattr(numpy, name)]
    + [name for name in ("letter",) if hasattr(builtins, name) or name in globals()]
    + [name for name in ("letter", "sitecustomize") if name in sys.modules]
    # An environment that lies below /tmp is there, too.
    + [path for path in glob.glob("/tmp/*") if not sys.prefix.startswith(f"{path}/")]
    + [path for path in glob.glob("/dev/shm/*") + glob.glob("/home/*/*")]
    + [path for path in glob.glob("/tmp/.*") + glob.glob("/home/student/.*")]
    + open("/proc/sysvipc/shm").readlines()[1:]
))
os.environ["LETTER"] = numpy.letter = builtins.letter = letter = "from the first"
sys.modules["letter"] = sys
random.seed(7), numpy.random.seed(7), torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
numpy.random.rand = lambda: 0.5
for folder in ("/tmp", "/dev/shm", "/home/student", site.getusersitepackages(),
               "/tmp/.ipython/profile_default/startup", "/home/student/.config/matplotlib"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for name in ("letter", "sitecustomize.py", "usercustomize.py", "letter.pth", "matplotlibrc"):
        pathlib.Path(folder, name).write_text("import builtins; builtins.letter = 1")
ctypes.CDLL(None).shmget(0x1E77E4, 4096, 0o1666)
"""


def test_what_a_kernel_leaves_is_not_in_the_next(tmp_path: Path) -> None:
    said = [says(LEAVES, tmp_path / name) for name in ("first", "second", "third")]
    found = [re.search("random: (.*)\ntorch: (.*)\nleft: (.*)", text) for text in said]
    assert [one[3] for one in found if one] == ["[]"] * 3, said
    numbers = [number for one in found if one for number in one[1].split()]
    assert len(set(numbers)) == 9  # its own random numbers and clock
    assert {one[2] for one in found if one} == {"torch.float32 False"}  # nor the seed that was set


WRITES_LETTERS = """
import ctypes, mmap, os, socket, time
libc = ctypes.CDLL(None)
add_key, keyctl = (248, 250) if os.uname().machine == "x86_64" else (217, 219)
open("/tmp/letter", "w").close(), open("/dev/shm/letter", "w").close()
libc.shmget(0x1E77E4, 4096, 0o1666), libc.msgget(0x1E77E4, 0o1666)
for ring in (-3, -4, -5):
    key = libc.syscall(add_key, b"user", b"letter", b"the tests are ...", 17, ring)
    libc.syscall(keyctl, 5, key, 0x3F3F3F3F)
sockets = []
everywhere = ((1, "\\0letter"), (1, "/tmp/socket"), (2, ("", 4321)), (40, (2**32 - 1, 4321)))
for family, address in everywhere:
    try:
        sockets.append(socket.socket(family))
        sockets[-1].bind(address), sockets[-1].listen()
    except OSError:
        pass
time.sleep(4)
"""
READS_LETTERS = """
import ctypes, os, socket, time
libc = ctypes.CDLL(None)
found = set()


def look():
    yield from (path for path in ("/tmp/letter", "/dev/shm/letter") if os.path.exists(path))
    for name in ("shm", "msg", "sem"):
        yield from open(f"/proc/sysvipc/{name}").readlines()[1:]
    try:
        yield from (line for line in open("/proc/keys") if "letter" in line)
    except OSError:
        pass
    for family, address in ((1, "\\0letter"), (1, "/tmp/socket"), (2, ("127.0.0.1", 4321)),
                            (40, (1, 4321))):
        try:
            with socket.socket(family) as one:
                one.settimeout(0.2)
                one.connect(address)
                yield address
        except OSError:
            pass


end = time.monotonic() + 0.5
while time.monotonic() < end:
    found |= set(look())
print("found:", found)
"""


def leave_letters(zygotes: Path, folder: Path) -> None:
    """Run `WRITES_LETTERS`, in a process of its own."""
    warm.share(zygotes)
    says(WRITES_LETTERS, folder)


def test_two_kernels_at_a_time_do_not_hear_of_each_other(tmp_path: Path) -> None:
    given = (warm.warm().folder, tmp_path / "writer")
    writer = multiprocessing.get_context("forkserver").Process(target=leave_letters, args=given)
    writer.start()
    heard, looks = set(), 0
    while writer.is_alive():  # it stays for longer than a look takes: one falls into its time
        heard.add(says(READS_LETTERS, tmp_path / "reader"))
        looks += 1
    writer.join()
    assert writer.exitcode == 0  # its letters lay there
    assert looks > 1
    assert heard == {"found: set()\n"}


BRINGS_OUT = """
import os, socket

open("kept.txt", "w").write("mine")
os.makedirs("a/b"), open("a/b/deep.txt", "w").write("deep")
os.symlink({secret!r}, "link"), os.symlink({folder!r}, "folder"), os.symlink("/", "root")
os.symlink("/proc/self/environ", "environ"), os.symlink("link", "chain")
os.mkfifo("fifo"), socket.socket(socket.AF_UNIX).bind("socket")
for name in (".hidden", "graded.json", "hw.ipynb", "timestamp.txt", "conftest.py"):
    open(name, "w").write("planted")
open(b"\\xff\\n", "w").write("no name"), open("x" * 255, "w").write("long")
os.makedirs("/".join("d" * 60)), open("/".join("d" * 60) + "/f", "w").close()
print("done")
"""


def test_only_plain_files_come_out_and_no_link_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another", encoding="utf-8")
    code = BRINGS_OUT.format(secret=str(secret), folder=str(tmp_path))
    graded = grade(unit_of(source(cell("1", "t", points=1))), submission(hw=notebook(code)))

    assert "done" in graded.notebooks[0].executed
    files = dict(graded.files)
    assert files["kept.txt"] == b"mine"
    assert files["a/b/deep.txt"] == b"deep"
    outside = {"link", "folder", "root", "environ", "chain", "fifo", "socket", ".hidden"}
    assert not outside & {name.split("/")[0] for name in files}
    assert not [content for content in files.values() if b"of another" in content]


def test_planted_files_replace_nothing_of_the_class(classroom: Classroom, course: Course) -> None:
    unit = classroom.assignment(UNIT, course)
    code = BRINGS_OUT.format(secret="/etc/passwd", folder="/etc").replace("hw.", "adding.")
    node = answered(unit.notebooks[0].released, add=f"{SOLVED}\n{code}")
    hand_in(classroom, "ada", UNIT, "adding", node)
    [graded] = grade_class(classroom, unit, ["ada"], where=0)

    assert graded.score == 3, graded.to_dict()
    folder = classroom.autograded("ada", UNIT)
    assert "planted" not in classroom.record("ada", UNIT).read_text(encoding="utf-8")
    assert (folder / "adding.ipynb").read_text(encoding="utf-8").startswith("{")
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_no_folder_that_is_a_link_leads_what_comes_out_elsewhere(tmp_path: Path) -> None:
    outside, room = tmp_path / "outside", tmp_path / "room"
    outside.mkdir(), room.mkdir()
    (outside / "marks.csv").write_text("ada,1", encoding="utf-8")
    (room / "data").symlink_to(outside)
    code = "import os; os.mkdir('data'); open('data/marks.csv', 'w').write('ada,9'); open('f', 'w')"
    says(code, room)
    assert (room / "f").exists()
    assert (outside / "marks.csv").read_text(encoding="utf-8") == "ada,1"


HOLES = """
import os
open("sparse", "wb").truncate(2_000_000)
for n in range(60):
    os.link("sparse", f"link{n}")
print("takes up", sum(os.stat(name).st_blocks for name in os.listdir(".")))
"""


def test_files_with_holes_and_many_names_do_not_fill_the_grader_s_disk(tmp_path: Path) -> None:
    room = tmp_path / "room"
    assert says(HOLES, room) == "takes up 0\n"
    brought = sum(path.stat().st_size for path in room.rglob("*") if path.is_file())
    assert brought <= LIMITS.disk_bytes


def test_no_file_beside_the_notebook_shadows_a_module(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "grader").mkdir(parents=True)
    for name in ("grader/__init__.py", "grader/check.py", "data.py", "numpy.py", "colorsys.py"):
        (room / name).write_text("close = print", encoding="utf-8")
    (room / "sitecustomize.py").write_text("import os; os.environ['RAN'] = '1'", encoding="utf-8")
    (room / "helper.py").write_text("answer = 42", encoding="utf-8")
    code = """
import os, grader, data, numpy, colorsys, plistlib, helper
from grader import check
for module in (grader, check, data, numpy, colorsys):
    print(module.__name__, module.__file__.startswith("/home/student"))
print("ran", "RAN" in os.environ, helper.answer)
"""
    said = says(code, room)
    assert "True" not in said, said
    assert said.endswith("ran False 42\n")  # what a notebook brings of its own is found
