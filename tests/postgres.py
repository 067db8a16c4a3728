"""A PostgreSQL of the tests' own, from the system's packages; it leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy as sa

from grader import database
from grader.classroom import Classroom
from grader.journal import Journal

PASSWORD = "not a secret"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "timezone": "Asia/Kathmandu",  # whoever forgets a zone is off by a quarter of an hour
}


def programs() -> Path | None:
    """Return the folder of the newest server's programs; None where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def _version() -> int:
    said = subprocess.run([f"{programs()}/initdb", "--version"], capture_output=True, text=True)
    return int(re.findall(r"\d+", said.stdout)[0])


def missing() -> str:
    """Return why no server can be started here; empty if one can."""
    if programs() is None:
        return "no PostgreSQL is installed (apt install postgresql)"
    if os.getuid() == 0 and not _user():
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    return ""


def _user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


class Server:
    """A server on a socket in a folder of its own, and on a free port of 127.0.0.1.

    Whoever comes through the socket is believed; through the port a password is asked for.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        # It may not run as root, and pytest's folders are closed to others.
        self._user = _user() if os.getuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._numbers = itertools.count()
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        os.chmod(secret, 0o644)
        # By the rules of a language, in which a < B: whoever sorts in SQL is found out.
        order = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        if _version() < 15:
            order = order[:1]
        self._run(
            "initdb", "--pgdata", self.data, "--username=grader", f"--pwfile={secret}", "--no-sync",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", *order,
        )  # fmt: skip
        self.port = _free_port()
        lines = [f"{name} = '{value}'" for name, value in SETTINGS.items()]
        lines += [f"port = {self.port}", f"unix_socket_directories = '{self.folder}'"]
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.start()
        template = self.database("template_of_classes")
        database.ensure_tables(template)
        with tempfile.TemporaryDirectory() as folder:
            classroom = Classroom(Path(folder))
            classroom.use_database(template)
            Journal(classroom).__exit__()

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("start", "--log", self.folder / "log")

    def stop(self) -> None:
        """Stop it; whoever is connected is thrown out."""
        self._control("stop", "--mode=fast")

    def end(self) -> None:
        """Stop it, and leave nothing."""
        self._control("stop", "--mode=immediate")
        shutil.rmtree(self.folder)

    def database(self, name: str = "", template: str = "template0") -> str:
        """Make a database, and return its address."""
        name = name or f"class_{next(self._numbers)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://grader@/{name}?host={self.folder}&port={self.port}"

    def with_tables(self) -> str:
        """Make a database in which the tables are, and return its address."""
        return self.database(template="template_of_classes")

    def drop(self, address: str) -> None:
        """Drop a database, whoever is connected."""
        self.sql(f'DROP DATABASE IF EXISTS "{sa.make_url(address).database}" WITH (FORCE)')

    def sql(self, statement: str, name: str = "postgres") -> None:
        """Execute a statement in a database, as the one who may do all."""
        address = database.normal(
            f"postgresql://grader@/{name}?host={self.folder}&port={self.port}"
        )
        engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))

    def _control(self, *arguments: str | Path) -> None:
        self._run("pg_ctl", "--pgdata", self.data, "--wait", "--silent", *arguments)

    def _run(self, program: str, *arguments: str | Path) -> None:
        folder = programs()
        assert folder is not None
        command = [str(folder / program), *map(str, arguments)]
        if self._user is not None:
            ids = (f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}")
            command = ["setpriv", *ids, "--clear-groups", *command]
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
