"""JupyterLab in a real browser: a server on loopback, and Chromium without a window."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TOKEN = "not-a-secret"
SECONDS = 90.0  # that a busy machine may need for what takes one or two
START_SECONDS = 180.0  # the same for Chromium itself
LAPTOP: Any = {"width": 1366, "height": 768}


def missing() -> str:
    """Return why there is no browser here; empty if there is one."""
    return "" if _program() else "no Chromium is installed (apt install chromium)"


def _program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_program(), timeout=1000 * START_SECONDS
        )
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """Open a page of a patient person with a small laptop."""
    expect.set_options(timeout=1000 * SECONDS)
    page = browser.new_context(viewport=LAPTOP).new_page()
    page.context.set_default_timeout(1000 * SECONDS)
    return page


def barriers(page: Page, part: str = "html") -> list[str]:
    """Return what axe finds that keeps people from reading the elements `part` of a page."""
    context: Any = {"include": [part]}
    found = Axe().run(page, context).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


class Server:
    """`jupyter lab` in a folder, as a person starts it who has never used it before.

    Attributes:
        address: http://127.0.0.1:PORT
        opens_on: the path that it would open a browser on.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if "JUPYTER" not in name}
        options = [
            "--no-browser",
            "--ip=127.0.0.1",
            "--port=0",
            f"--IdentityProvider.token={TOKEN}",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--allow-root", *options],
            cwd=folder,
            env=kept | {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            found = re.search(r"(http://127\.0\.0\.1:\d+)(/\S*)\?token=", line)
            if found:
                break
        else:
            raise AssertionError("".join(said))
        self.address, self.opens_on = found[1], found[2]
        # Nobody reads what else it says, and it must not have to wait for that.
        self._reader = threading.Thread(target=self._process.stderr.read)
        self._reader.start()

    def url(self, path: str) -> str:
        """Return the address of `path` for somebody who may enter."""
        return f"{self.address}{path}?token={TOKEN}"

    def end(self) -> None:
        """Stop it, its kernels too."""
        self._process.terminate()
        self._process.wait(SECONDS)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
