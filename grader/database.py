"""A class's database: its address, nbgrader's tables, and in plain words what is wrong with it.

SQLite in the class folder, or PostgreSQL. An address is SQLAlchemy's; one with a password is never
printed: `shown` is.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from grader.errors import GraderError, UsageError

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

WAIT = 60  # seconds for which others may keep something locked
DRIVER = "postgresql+psycopg"  # SQLAlchemy 2.0 takes another one where none is named
SECRETS = ("password", "sslpassword")  # libpq takes them behind the question mark, too
LOCK = 0x6E_62_67_72  # PostgreSQL's locks are numbers: of who grades, and + 1 of who makes tables
OWN = {"alembic_version", "grader_alembic_version", "course"}  # tables that are never empty


# ---- its address ----------------------------------------------------------------------------


def normal(address: str) -> str:
    """Return `address` as everybody who opens it understands it: with PostgreSQL's driver.

    Raises:
        UsageError: it is none, or of a system that is neither SQLite nor PostgreSQL.
    """
    try:
        url = make_url(re.sub("^postgres:", "postgresql:", address))
    except (ArgumentError, ValueError):  # whose message may quote it, with a password
        raise UsageError(
            "that is no database's address; one is postgresql://USER@HOST/NAME"
        ) from None
    system = url.get_backend_name()
    if system not in ("sqlite", "postgresql"):
        raise UsageError(f"a class is kept in SQLite or PostgreSQL, and not in {system}")
    if url.drivername == "postgresql":
        url = url.set(drivername=DRIVER)
    return url.render_as_string(hide_password=False)


def shown(address: str) -> str:
    """Return `address` for people to read: without a password."""
    url = make_url(address)
    hidden = {name: "***" for name in SECRETS if name in url.query}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def without_password(address: str) -> str:
    """Return `address` as it may be written down: the same database, and no password."""
    url = make_url(address).difference_update_query(SECRETS)
    if url.password is not None:
        url = url._replace(password=None)
    return url.render_as_string(hide_password=False)


def patient(address: str) -> str:
    """Return the address by which others are waited for, who may click through it: not forever."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and "timeout" not in url.query:
        url = url.update_query_dict({"timeout": f"{WAIT}"})
    if url.get_backend_name() == "postgresql" and "options" not in url.query:
        url = url.update_query_dict({"options": f"-c lock_timeout={WAIT}s"})
    return url.render_as_string(hide_password=False)


def is_there(address: str) -> bool:
    """Whether there is anything to open: where SQLite has no file, it would make one."""
    url = make_url(address)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


# ---- what is wrong with it ------------------------------------------------------------------

ADVICE = {
    r'database ".*" does not exist': "make it: createdb {database}",
    r'authentication failed|no password supplied|role ".*" does not exist': "see to the user's "
    "name, and to the password: in ~/.pgpass, or where PGPASSFILE or PGPASSWORD say",
    r"permission denied": "let {user} own it: ALTER DATABASE {database} OWNER TO {user}",
    r"refused|No such file|resolve|translate host|timeout|timed out|unreachable": "is the server "
    "at work, and does it listen there?",
}


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Say in one message what is wrong with the database, and what to do about it.

    Raises:
        GraderError: instead of what SQLAlchemy raises, or Python where a driver is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("psycopg", "psycopg2"):
            raise
        raise GraderError(
            "PostgreSQL needs the driver psycopg: pip install 'psycopg[binary]', and an address "
            f"that begins with {DRIVER}:"
        ) from None
    except SQLAlchemyError as error:
        said = reason(error)
        url = make_url(address)
        for pattern, advice in ADVICE.items():
            if re.search(pattern, said):
                words = {"database": url.database, "user": url.username or "its user"}
                said += f"\n    {advice.format(**words)}"
                break
        raise GraderError(f"the database {shown(address)} cannot be used: {said}") from error


def reason(error: Exception) -> str:
    """Return what a database said, in one line, without the statement that it was asked."""
    return " ".join(str(getattr(error, "orig", None) or error).partition("\n[SQL:")[0].split())


# ---- nbgrader's tables in it ----------------------------------------------------------------


def one_at_a_time(connection: Connection) -> None:
    """Let nobody else make tables before the end of the transaction; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK + 1)))


def ensure_tables(address: str) -> None:
    """Create nbgrader's tables and stamp their version, unless they are there.

    nbgrader's own `Gradebook` runs the program ``alembic`` for the version and fails where it is
    not on PATH; here alembic is a library.

    Raises:
        GraderError: the database cannot be used.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from nbgrader.api import Base
    from nbgrader.dbutil import ALEMBIC_DIR

    with explained(address):
        engine = sa.create_engine(patient(address))
        try:
            with engine.begin() as connection:
                one_at_a_time(connection)
                if sa.inspect(connection).has_table("student"):
                    return
                config = Config()
                config.set_main_option("script_location", ALEMBIC_DIR.replace("%", "%%"))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # on options that nbgrader's scripts leave out
                    head = ScriptDirectory.from_config(config).get_current_head()
                Base.metadata.create_all(bind=connection)
                made = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
                connection.execute(sa.text(made))
                stamp = sa.text("INSERT INTO alembic_version VALUES (:head)")
                connection.execute(stamp, {"head": head})
        finally:
            engine.dispose()


def is_empty(address: str) -> bool:
    """Whether nobody has kept a class in it yet; nbgrader's tables are made there.

    Raises:
        GraderError: the database cannot be used.
    """
    ensure_tables(address)
    with explained(address):
        engine = sa.create_engine(patient(address))
        try:
            with engine.connect() as connection:
                names = set(sa.inspect(connection).get_table_names()) - OWN
                rows = (sa.select(sa.literal(1)).select_from(sa.table(name)) for name in names)
                return not any(connection.execute(one.limit(1)).first() for one in rows)
        finally:
            engine.dispose()


@contextlib.contextmanager
def gradebook(address: str) -> Iterator[Gradebook]:
    """Open nbgrader's gradebook.

    Raises:
        GraderError: the database cannot be used.
    """
    from nbgrader.api import Gradebook

    ensure_tables(address)
    with explained(address), Gradebook(patient(address), "cnn-course") as opened:
        yield opened
