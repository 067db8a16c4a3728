"""What students pushed, fetched and answered: ``pushes.py fetch`` and ``pushes.py deliver``.

Both talk to GitHub or GitLab, and run nothing that a student wrote. Between them a job grades that
has no token. Needs requests, and of the environment: ORGANISATION, TOKEN, UNIT, NOTEBOOK.

A student's repository is ORGANISATION/UNIT-STUDENT, as GitHub Classroom names it.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import requests

UNIT, NOTEBOOK = os.environ["UNIT"], os.environ["NOTEBOOK"]
MARK = f"grade/{UNIT}"  # the status of a commit that has been graded
BRANCH = "grades"  # of its own, so that a student's work is never touched
PAGE = f"{UNIT}.html"
MESSAGE = f"{UNIT}: graded [skip ci]"
MAX_BYTES = 20_000_000


class State(Enum):
    """What a commit's status says: its name on GitHub, and on GitLab."""

    GRADED = "success", "success"
    UNREADABLE = "failure", "failed"
    NOT_GRADED = "error", "failed"


@dataclass(frozen=True)
class Pushed:
    """The last commit in a student's repository.

    Attributes:
        repository: as the hub's API names it.
    """

    student: str
    repository: str
    sha: str


class Hub(Protocol):
    """What is asked of GitHub and of GitLab."""

    def last_commits(self, organisation: str) -> Iterator[Pushed]:
        """Yield the last commit of each student who has pushed anything."""

    def is_graded(self, pushed: Pushed) -> bool:
        """Return whether the commit has a status of ours."""

    def notebook(self, pushed: Pushed) -> bytes | None:
        """Return the notebook in the commit, if there is one."""

    def received(self, pushed: Pushed) -> str | None:
        """Return when the hub first had it. The time in a commit is its author's to choose."""

    def keep(self, pushed: Pushed, page: bytes) -> str:
        """Store a feedback page on the branch `BRANCH`; return its address."""

    def tell(self, pushed: Pushed, state: State, words: str, address: str | None) -> None:
        """Give the commit a status."""


class Api:
    """A REST API: `address` is what all its paths begin with."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(
        self, method: str, path: str, *, missing: tuple[int, ...] = (), **more: Any
    ) -> requests.Response:
        """Return the answer; it may be none of the good ones only if it is one of `missing`."""
        address = path if "://" in path else f"{self._address}{path}"
        answer = self._session.request(method, address, timeout=60, **more)
        if answer.status_code not in missing:
            answer.raise_for_status()
        return answer

    def every(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield what is listed at `path`, page by page."""
        following: str | None = path
        while following:
            answer = self("GET", following)
            yield from answer.json()
            following = answer.links.get("next", {}).get("url")


class GitHub:
    """GitHub's REST API; a repository is named by its full name."""

    def __init__(self, address: str, token: str) -> None:
        self._ask = Api(address, token)

    def last_commits(self, organisation: str) -> Iterator[Pushed]:
        for repository in self._ask.every(f"/orgs/{organisation}/repos?per_page=100&page=1"):
            student, name = student_of(repository["name"]), repository["full_name"]
            if student is None or repository["is_template"]:
                continue
            # 409: nothing has been pushed yet.
            head = self._ask("GET", f"/repos/{name}/commits/HEAD", missing=(404, 409))
            if head.ok:
                yield Pushed(student, name, head.json()["sha"])

    def is_graded(self, pushed: Pushed) -> bool:
        path = f"/repos/{pushed.repository}/commits/{pushed.sha}/status"
        return any(one["context"] == MARK for one in self._ask("GET", path).json()["statuses"])

    def notebook(self, pushed: Pushed) -> bytes | None:
        path = f"/repos/{pushed.repository}/contents/{NOTEBOOK}?ref={pushed.sha}"
        raw = {"Accept": "application/vnd.github.raw+json"}
        file = self._ask("GET", path, missing=(404,), headers=raw)
        return file.content if file.ok else None

    def received(self, pushed: Pushed) -> str | None:
        path = f"/repos/{pushed.repository}/activity?per_page=100"
        known = self._ask("GET", path).json()
        return min((one["timestamp"] for one in known if one["after"] == pushed.sha), default=None)

    def keep(self, pushed: Pushed, page: bytes) -> str:
        repository = f"/repos/{pushed.repository}"
        if not self._ask("GET", f"{repository}/git/ref/heads/{BRANCH}", missing=(404,)).ok:
            made = {"ref": f"refs/heads/{BRANCH}", "sha": pushed.sha}
            self._ask("POST", f"{repository}/git/refs", json=made)
        path = f"{repository}/contents/{PAGE}"
        before = self._ask("GET", f"{path}?ref={BRANCH}", missing=(404,))
        body = {"message": MESSAGE, "branch": BRANCH, "content": base64.b64encode(page).decode()}
        if before.ok:
            body["sha"] = before.json()["sha"]
        return str(self._ask("PUT", path, json=body).json()["content"]["html_url"])

    def tell(self, pushed: Pushed, state: State, words: str, address: str | None) -> None:
        status = {"context": MARK, "state": state.value[0], "description": words}
        status |= {"target_url": address} if address else {}
        self._ask("POST", f"/repos/{pushed.repository}/statuses/{pushed.sha}", json=status)


class GitLab:
    """GitLab's REST API; a repository is named by its project's number."""

    def __init__(self, address: str, token: str) -> None:
        self._ask = Api(address, token)

    def last_commits(self, organisation: str) -> Iterator[Pushed]:
        projects = f"/groups/{quote(organisation, safe='')}/projects"
        for project in self._ask.every(f"{projects}?per_page=100&page=1&archived=false"):
            student, branch = student_of(project["path"]), project["default_branch"]
            if student is None or branch is None:  # None: nothing has been pushed yet
                continue
            path = f"/projects/{project['id']}/repository/commits/{quote(branch, safe='')}"
            head = self._ask("GET", path, missing=(404,))
            if head.ok:
                yield Pushed(student, str(project["id"]), head.json()["id"])

    def is_graded(self, pushed: Pushed) -> bool:
        path = f"/projects/{pushed.repository}/repository/commits/{pushed.sha}/statuses"
        told = self._ask("GET", f"{path}?name={quote(MARK, safe='')}").json()
        return any(one["name"] == MARK for one in told)

    def notebook(self, pushed: Pushed) -> bytes | None:
        name = quote(NOTEBOOK, safe="")
        path = f"/projects/{pushed.repository}/repository/files/{name}/raw?ref={pushed.sha}"
        file = self._ask("GET", path, missing=(404,))
        return file.content if file.ok else None

    def received(self, pushed: Pushed) -> str | None:
        path = f"/projects/{pushed.repository}/events?action=pushed&per_page=100"
        known = self._ask("GET", path).json()
        mine = (one for one in known if one["push_data"]["commit_to"] == pushed.sha)
        return min((one["created_at"] for one in mine), default=None)

    def keep(self, pushed: Pushed, page: bytes) -> str:
        project = f"/projects/{pushed.repository}"
        repository = f"{project}/repository"
        if not self._ask("GET", f"{repository}/branches/{BRANCH}", missing=(404,)).ok:
            made = {"branch": BRANCH, "ref": pushed.sha}
            self._ask("POST", f"{repository}/branches", json=made)
        path = f"{repository}/files/{quote(PAGE, safe='')}"
        before = self._ask("GET", f"{path}?ref={BRANCH}", missing=(404,))
        body = {"branch": BRANCH, "commit_message": MESSAGE, "encoding": "base64"}
        body["content"] = base64.b64encode(page).decode()
        self._ask("PUT" if before.ok else "POST", path, json=body)
        return f"{self._ask('GET', project).json()['web_url']}/-/blob/{BRANCH}/{PAGE}"

    def tell(self, pushed: Pushed, state: State, words: str, address: str | None) -> None:
        status = {"name": MARK, "state": state.value[1], "description": words}
        status |= {"target_url": address} if address else {}
        path = f"/projects/{pushed.repository}/statuses/{pushed.sha}"
        # 400: older servers refuse a status that the commit has already.
        answer = self._ask("POST", path, json=status, missing=(400,))
        if not answer.ok and "Cannot transition" not in answer.text:
            answer.raise_for_status()


def student_of(name: str) -> str | None:
    """Return whose a repository is, by its name; None where it is nobody's of this unit."""
    found = re.fullmatch(rf"{re.escape(UNIT)}-(\w[\w-]*)", name, re.ASCII)
    return found[1] if found else None


def fetch(hub: Hub, organisation: str, to: Path) -> int:
    """Write what was pushed and is not graded yet into `to`; return from how many students."""
    (to / "submissions").mkdir(parents=True)
    times, commits = [["id", "time"]], []
    for pushed in hub.last_commits(organisation):
        if hub.is_graded(pushed):
            continue
        file = hub.notebook(pushed)
        if file is None or len(file) > MAX_BYTES:
            continue
        path = to / "submissions" / pushed.student / NOTEBOOK
        path.parent.mkdir()
        path.write_bytes(file)
        time = hub.received(pushed)
        if time is not None:
            times.append([pushed.student, time])
        commits.append(f"{pushed.student} {pushed.repository} {pushed.sha}\n")
    with (to / "times.csv").open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(times)
    (to / "commits.txt").write_text("".join(commits))
    return len(commits)


def deliver(hub: Hub, pushed: Path, graded: Path) -> None:
    """Give each student a page on the branch ``grades`` and a status at the commit."""
    known = json.loads((graded / "grades.json").read_text(encoding="utf-8"))
    results = {one["student"]: one["units"][0] for one in known["students"] if one["units"]}
    for line in (pushed / "commits.txt").read_text().splitlines():
        commit = Pushed(*line.split())
        page = graded / "feedback" / commit.student / UNIT / f"{Path(NOTEBOOK).stem}.html"
        address = hub.keep(commit, page.read_bytes()) if page.is_file() else None
        hub.tell(commit, *_verdict(results.get(commit.student, {})), address)


def _verdict(result: dict[str, Any]) -> tuple[State, str]:
    """The state of a commit, and a line on it."""
    status = result.get("status")
    if status == "unreadable":
        return State.UNREADABLE, f"{NOTEBOOK} could not be read"
    if status not in ("graded", "needs_manual"):
        return State.NOT_GRADED, "not graded: your instructor will look at it"
    points = sum(cell["points"] or 0 for cell in result["cells"])
    rest = ", and a person will read the rest" if result["state"] == "waiting" else ""
    return State.GRADED, f"{points:g} of {result['max']:g} points{rest}"


def this_hub() -> Hub:
    """Return the hub whose runner this is."""
    token = os.environ["TOKEN"]
    if "CI_API_V4_URL" in os.environ:
        return GitLab(os.environ["CI_API_V4_URL"], token)
    return GitHub(os.environ.get("GITHUB_API_URL", "https://api.github.com"), token)


def main() -> None:
    """Run one of the two."""
    if sys.argv[1:] == ["fetch"]:
        count = fetch(this_hub(), os.environ["ORGANISATION"], Path("pushed"))
        if "GITHUB_OUTPUT" in os.environ:
            with Path(os.environ["GITHUB_OUTPUT"]).open("a") as output:
                output.write(f"count={count}\n")
        print(f"{count} to grade")
    elif sys.argv[1:] == ["deliver"]:
        deliver(this_hub(), Path("pushed"), Path("graded"))
    else:
        sys.exit("pushes.py fetch, or pushes.py deliver")


if __name__ == "__main__":
    main()
