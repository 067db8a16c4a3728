"""What students pushed, fetched and answered: ``pushes.py fetch`` and ``pushes.py deliver``.

Both talk to GitHub, and run nothing that a student wrote. Between them grade.yml grades, in a job
that has no token. Needs requests, and of the environment: ORGANISATION, TOKEN, UNIT, NOTEBOOK.

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
from pathlib import Path
from typing import Any

import requests

API = os.environ.get("GITHUB_API_URL", "https://api.github.com")
UNIT, NOTEBOOK = os.environ["UNIT"], os.environ["NOTEBOOK"]
MARK = f"grade/{UNIT}"  # the status of a commit that has been graded
PAGE = f"{UNIT}.html"  # on a branch of its own, so that a student's work is never touched
MAX_BYTES = 20_000_000


class GitHub:
    """The part of GitHub's REST API that is needed here."""

    def __init__(self, token: str) -> None:
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(
        self, method: str, path: str, *, missing: tuple[int, ...] = (), **more: Any
    ) -> requests.Response:
        """Return the answer; it may be none of the good ones only if it is one of `missing`."""
        address = path if "://" in path else f"{API}{path}"
        answer = self._session.request(method, address, timeout=60, **more)
        if answer.status_code not in missing:
            answer.raise_for_status()
        return answer

    def repositories(self, organisation: str) -> Iterator[dict[str, Any]]:
        """Yield each of them, page by page."""
        path: str | None = f"/orgs/{organisation}/repos?per_page=100&page=1"
        while path:
            answer = self.ask("GET", path)
            yield from answer.json()
            path = answer.links.get("next", {}).get("url")


def fetch(github: GitHub, organisation: str, to: Path) -> int:
    """Write what was pushed and is not graded yet into `to`; return from how many students."""
    to.mkdir()
    times, commits = [["id", "time"]], []
    for repository in github.repositories(organisation):
        found = re.fullmatch(rf"{re.escape(UNIT)}-(\w[\w-]*)", repository["name"], re.ASCII)
        if found is None or repository["is_template"]:
            continue
        name, student = repository["full_name"], found[1]
        # 409: nothing has been pushed yet.
        head = github.ask("GET", f"/repos/{name}/commits/HEAD", missing=(404, 409))
        if not head.ok:
            continue
        sha = head.json()["sha"]
        told = github.ask("GET", f"/repos/{name}/commits/{sha}/status").json()["statuses"]
        if any(one["context"] == MARK for one in told):
            continue
        raw = {"Accept": "application/vnd.github.raw+json"}
        file = github.ask(
            "GET", f"/repos/{name}/contents/{NOTEBOOK}?ref={sha}", missing=(404,), headers=raw
        )
        if not file.ok or len(file.content) > MAX_BYTES:
            continue
        path = to / "submissions" / student / NOTEBOOK
        path.parent.mkdir(parents=True)
        path.write_bytes(file.content)
        # When GitHub received it: the time in a commit is its author's to choose.
        for one in github.ask("GET", f"/repos/{name}/activity?per_page=100").json():
            if one["after"] == sha:
                times.append([student, one["timestamp"]])
                break
        commits.append(f"{student} {name} {sha}\n")
    with (to / "times.csv").open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(times)
    (to / "commits.txt").write_text("".join(commits))
    return len(commits)


def deliver(github: GitHub, pushed: Path, graded: Path) -> None:
    """Give each student a page on the branch ``grades`` and a status at the commit."""
    known = json.loads((graded / "grades.json").read_text(encoding="utf-8"))
    results = {one["student"]: one["units"][0] for one in known["students"] if one["units"]}
    for line in (pushed / "commits.txt").read_text().splitlines():
        student, name, sha = line.split()
        status = {"context": MARK, **_words(results.get(student, {}))}
        page = graded / "feedback" / student / UNIT / f"{Path(NOTEBOOK).stem}.html"
        if page.is_file():
            status["target_url"] = _put(github, name, sha, page.read_bytes())
        github.ask("POST", f"/repos/{name}/statuses/{sha}", json=status)


def _words(result: dict[str, Any]) -> dict[str, str]:
    """The state of a commit, and a line on it."""
    status = result.get("status")
    if status == "unreadable":
        return {"state": "failure", "description": f"{NOTEBOOK} could not be read"}
    if status not in ("graded", "needs_manual"):
        return {"state": "error", "description": "not graded: your instructor will look at it"}
    points = sum(cell["points"] or 0 for cell in result["cells"])
    rest = ", and a person will read the rest" if result["state"] == "waiting" else ""
    return {"state": "success", "description": f"{points:g} of {result['max']:g} points{rest}"}


def _put(github: GitHub, name: str, sha: str, page: bytes) -> str:
    """Store a page on the branch ``grades``; return its address."""
    if not github.ask("GET", f"/repos/{name}/git/ref/heads/grades", missing=(404,)).ok:
        made = {"ref": "refs/heads/grades", "sha": sha}
        github.ask("POST", f"/repos/{name}/git/refs", json=made)
    path = f"/repos/{name}/contents/{PAGE}"
    before = github.ask("GET", f"{path}?ref=grades", missing=(404,))
    body = {"message": f"{UNIT}: graded", "branch": "grades"}
    body["content"] = base64.b64encode(page).decode()
    if before.ok:
        body["sha"] = before.json()["sha"]
    answer = github.ask("PUT", path, json=body)
    return str(answer.json()["content"]["html_url"])


def main() -> None:
    """Run one of the two."""
    github = GitHub(os.environ["TOKEN"])
    if sys.argv[1:] == ["fetch"]:
        count = fetch(github, os.environ["ORGANISATION"], Path("pushed"))
        with Path(os.environ["GITHUB_OUTPUT"]).open("a") as output:
            output.write(f"count={count}\n")
        print(f"{count} to grade")
    elif sys.argv[1:] == ["deliver"]:
        deliver(github, Path("pushed"), Path("graded"))
    else:
        sys.exit("pushes.py fetch, or pushes.py deliver")


if __name__ == "__main__":
    main()
