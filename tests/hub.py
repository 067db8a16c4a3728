"""A server that answers as GitHub's REST API does, for a class of students who push unit 01."""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class GitHub:
    """What a server that answers as GitHub does knows, and what it was asked.

    Attributes:
        files: {student: the notebook that was pushed last; None where there is no commit}.
        statuses: {student: each with its commit; without one, of that which was pushed last}.
        pages: {student: what is on the branch ``grades``}.
        asked: (method, path, token, body) of each request.
    """

    files: dict[str, bytes | None]
    statuses: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)
    branches: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> GitHub:
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

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        """Return status, content and headers."""
        path, _, query = path.partition("?")
        if path == "/orgs/autumn/repos":
            names = [f"01-adding-{student}" for student in self.files]
            every = [self._repository(name) for name in ("01-adding-template", *names, "notes")]
            page = int((re.search(r"\bpage=(\d+)", query) or [0, 1])[1])
            more = {"Link": f'<{self.address}{path}?page={page + 1}>; rel="next"'}
            return 200, every[3 * page - 3 : 3 * page], more if len(every) > 3 * page else {}
        found = re.fullmatch(r"/repos/autumn/01-adding-(\w+)/(.+)", path)
        assert found, path
        student, rest = found[1], found[2]
        commit = f"{student}{len(self.files[student] or b''):036x}"[:40]
        match method, rest.split("/"):
            case "GET", ["commits", "HEAD"]:
                if self.files[student] is None:
                    return 409, {"message": "Git Repository is empty."}, {}
                return 200, {"sha": commit}, {}
            case "GET", ["commits", _, "status"]:
                known = self.statuses.get(student, [])
                mine = [one for one in known if one.get("sha", commit) == commit]
                return 200, {"statuses": mine}, {}
            case "GET", ["contents", "adding.ipynb"]:
                file = self.files[student]
                return (200, file, {}) if file else (404, {"message": "Not Found"}, {})
            case "GET", ["contents", "01-adding.html"]:
                has_page = student in self.pages
                return (200, {"sha": "a-blob"}, {}) if has_page else (404, {}, {})
            case "GET", ["activity"]:
                moment = {"after": commit, "timestamp": "2026-01-10T09:30:00Z"}
                return 200, [{"after": "another", "timestamp": "2026-01-11T00:00:00Z"}, moment], {}
            case "GET", ["git", "ref", "heads", "grades"]:
                return (200, {}, {}) if student in self.branches else (404, {}, {})
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
                assert sha == commit
                self.statuses.setdefault(student, []).append({**body, "sha": sha})
                return 201, {}, {}
        raise AssertionError(f"{method} {path}")

    def _repository(self, name: str) -> dict[str, object]:
        return {
            "name": name,
            "full_name": f"autumn/{name}",
            "default_branch": "main",
            "is_template": name.endswith("-template"),
            "pushed_at": "2026-01-12T00:00:00Z",
        }


class Handler(BaseHTTPRequestHandler):
    """One request; whose `hub` it asks is its subclass's to say."""

    hub: GitHub

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
        status, answer, headers = self.hub.answer(self.command, self.path, plain)
        written = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(written))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
