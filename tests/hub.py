"""Servers that answer as the REST APIs of GitHub and GitLab do, for a class who push unit 01."""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import unquote

Answer = tuple[int, Any, dict[str, str]]  # status, content, headers

FIRST, AGAIN = "2026-01-10T09:30:00Z", "2026-01-12T18:00:00Z"  # pushed, and to another branch
NONE: Answer = (404, {"message": "Not Found"}, {})


@dataclass
class Hub:
    """What the server knows, and what it was asked.

    Attributes:
        files: {student: the notebook that was pushed last; None where there is no commit}.
        statuses: {student: each with its commit; without one, of that which was pushed last}.
            They are kept in GitHub's words.
        pages: {student: what is on the branch ``grades``}.
        asked: (method, path, token, body) of each request.
    """

    files: dict[str, bytes | None]
    statuses: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)
    branches: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    address: str = ""
    variable: ClassVar[str]  # in which a runner is told the address

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Mine", (Handler,), {"hub": self})
        )
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, query: str, body: Any) -> Answer:
        """Return what the server says."""
        raise NotImplementedError

    def commit(self, student: str) -> str:
        """Return the name of what was pushed last."""
        return f"{student}{len(self.files[student] or b''):036x}"[:40]

    def told(self, student: str) -> list[dict[str, str]]:
        """Return the statuses of what was pushed last."""
        commit = self.commit(student)
        return [one for one in self.statuses.get(student, []) if one.get("sha", commit) == commit]

    def _three(self, path: str, query: str, every: list[Any]) -> Answer:
        """A page of `every`, and where the next one is."""
        page = int((re.search(r"\bpage=(\d+)", query) or [0, 1])[1])
        more = {"Link": f'<{self.address}{path}?page={page + 1}>; rel="next"'}
        return 200, every[3 * page - 3 : 3 * page], more if len(every) > 3 * page else {}

    def _pushes(self, commit: str) -> list[tuple[str, str]]:
        """What was pushed and when, the newest first."""
        return [(commit, AGAIN), ("another", "2026-01-11T00:00:00Z"), (commit, FIRST)]

    def _tell(self, student: str, sha: str, status: dict[str, str]) -> Answer:
        assert sha == self.commit(student)
        self.statuses.setdefault(student, []).append({**status, "sha": sha})
        return 201, {}, {}


class GitHub(Hub):
    """A server that answers as GitHub does."""

    variable = "GITHUB_API_URL"

    def answer(self, method: str, path: str, query: str, body: Any) -> Answer:
        """Return what GitHub says."""
        if path == "/orgs/autumn/repos":
            names = [f"01-adding-{student}" for student in self.files]
            every = [self._repository(name) for name in ("01-adding-template", *names, "notes")]
            return self._three(path, query, every)
        found = re.fullmatch(r"/repos/autumn/01-adding-(\w+)/(.+)", path)
        assert found, path
        student, rest = found[1], found[2]
        commit = self.commit(student)
        match method, rest.split("/"):
            case "GET", ["commits", "HEAD"]:
                if self.files[student] is None:
                    return 409, {"message": "Git Repository is empty."}, {}
                return 200, {"sha": commit}, {}
            case "GET", ["commits", _, "status"]:
                return 200, {"statuses": self.told(student)}, {}
            case "GET", ["contents", "adding.ipynb"]:
                file = self.files[student]
                return (200, file, {}) if file else NONE
            case "GET", ["contents", "01-adding.html"]:
                return (200, {"sha": "a-blob"}, {}) if student in self.pages else NONE
            case "GET", ["activity"]:
                pushes = self._pushes(commit)
                return 200, [{"after": sha, "timestamp": time} for sha, time in pushes], {}
            case "GET", ["git", "ref", "heads", "grades"]:
                return (200, {}, {}) if student in self.branches else NONE
            case "POST", ["git", "refs"]:
                assert body == {"ref": "refs/heads/grades", "sha": commit}
                self.branches.add(student)
                return 201, {}, {}
            case "PUT", ["contents", "01-adding.html"]:
                assert body["branch"] == "grades"
                assert student in self.branches
                assert body.get("sha") == ("a-blob" if student in self.pages else None)
                self.pages[student] = base64.b64decode(body["content"])
                return 200, {"content": {"html_url": f"https://pages.example/{student}"}}, {}
            case "POST", ["statuses", sha]:
                return self._tell(student, sha, body)
        raise AssertionError(f"{method} {path}")

    def _repository(self, name: str) -> dict[str, object]:
        return {
            "name": name,
            "full_name": f"autumn/{name}",
            "default_branch": "main",
            "is_template": name.endswith("-template"),
            "pushed_at": "2026-01-12T00:00:00Z",
        }


class GitLab(Hub):
    """A server that answers as GitLab does, as one that refuses a status which it has."""

    variable = "CI_API_V4_URL"

    def answer(self, method: str, path: str, query: str, body: Any) -> Answer:
        """Return what GitLab says."""
        if path == "/groups/courses%2Fautumn/projects":
            names = ["01-adding", *(f"01-adding-{student}" for student in self.files), "notes"]
            return self._three(path, query, [self._project(name) for name in names])
        found = re.fullmatch(r"/projects/(\d+)(?:/(.+))?", path)
        assert found, path
        student = list(self.files)[int(found[1]) - 100]
        commit = self.commit(student)
        match method, [unquote(part) for part in (found[2] or "").split("/")]:
            case "GET", [""]:
                return 200, self._project(f"01-adding-{student}"), {}
            case "GET", ["repository", "commits", "main/one"]:
                return 200, {"id": commit}, {}
            case "GET", ["repository", "commits", sha, "statuses"]:
                assert (sha, query) == (commit, "name=grade%2F01-adding")
                mine = [one for one in self.told(student) if one["context"] == "grade/01-adding"]
                return 200, [{"name": one["context"], "sha": sha} for one in mine], {}
            case "GET", ["repository", "files", "adding.ipynb", "raw"]:
                file = self.files[student]
                return (200, file, {}) if file else NONE
            case "GET", ["events"]:
                assert "action=pushed" in query
                pushes = self._pushes(commit)
                made = [{"push_data": {"commit_to": to}, "created_at": at} for to, at in pushes]
                return 200, made, {}
            case "GET", ["repository", "branches", "grades"]:
                return (200, {}, {}) if student in self.branches else NONE
            case "POST", ["repository", "branches"]:
                assert body == {"branch": "grades", "ref": commit}
                self.branches.add(student)
                return 201, {}, {}
            case "GET", ["repository", "files", "01-adding.html"]:
                assert query == "ref=grades"
                return (200, {"blob_id": "a-blob"}, {}) if student in self.pages else NONE
            case "POST" | "PUT", ["repository", "files", "01-adding.html"]:
                assert (body["branch"], body["encoding"]) == ("grades", "base64")
                assert student in self.branches
                assert body["commit_message"]
                assert (method == "PUT") == (student in self.pages)
                self.pages[student] = base64.b64decode(body["content"])
                return 200, {"branch": "grades"}, {}
            case "POST", ["statuses", sha]:
                assert body["state"] in ("pending", "running", "success", "failed", "canceled")
                if self.told(student) and self.told(student)[-1]["state"] == body["state"]:
                    return 400, {"message": "Cannot transition status via :succeed"}, {}
                return self._tell(student, sha, body | {"context": body["name"]})
        raise AssertionError(f"{method} {path}")

    def _project(self, name: str) -> dict[str, object]:
        student = name.removeprefix("01-adding-")
        known = student in self.files
        empty = known and self.files[student] is None
        return {
            "id": 100 + list(self.files).index(student) if known else 1,
            "path": name,
            "name": f"Adding ({student})",
            "default_branch": None if empty else "main/one",
            "web_url": f"https://pages.example/{student}",
        }


class Handler(BaseHTTPRequestHandler):
    """One request; whose `hub` it asks is its subclass's to say."""

    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        plain = json.loads(body) if body else None
        self.hub.asked.append((self.command, self.path, self.headers["Authorization"], plain))
        path, _, query = self.path.partition("?")
        status, answer, headers = self.hub.answer(self.command, path, query, plain)
        written = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(written))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
