"""A transfer over HTTP that goes on where it broke off."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response

CHUNK = 1 << 16  # bytes
TIMEOUT = (10, 30)  # seconds: to connect, between two packets


class Resuming:
    """A downloader for pooch that goes on where a broken transfer stopped.

    What has come so far lies in `part`, and beside it (.json) which address it came from and the
    ETag or Last-Modified of the file. The next call asks for the rest with Range and If-Range; a
    server that knows no ranges, or whose file has changed, sends the whole file and it starts
    again. A transfer that breaks is taken up again at once as long as each try brings bytes.

    Raises requests.RequestException where the file cannot be had; `part` stays.
    """

    def __init__(
        self, part: Path, *, progress: bool = True, attempts: int = 5, pause: float = 1.0
    ) -> None:
        self.part = part
        self.note = part.with_name(f"{part.name}.json")
        self.progress = progress
        self.attempts = attempts
        self.pause = pause  # seconds before the next attempt
        self._received = 0  # bytes in this attempt

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Download url to output_file (pooch's protocol for downloaders)."""
        import requests

        for attempt in range(1, self.attempts + 1):
            self._received = 0
            try:
                self._transfer(url)
                break
            except (requests.ConnectionError, requests.Timeout):
                if not self._received or attempt == self.attempts:
                    raise
                time.sleep(self.pause)
        os.replace(self.part, output_file)
        self.note.unlink(missing_ok=True)

    def begun_at(self) -> str | None:
        """The address that the part file came from, None where there is none to go on with."""
        return self._read_note()[0]

    def _read_note(self) -> tuple[str | None, str]:
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            url, validator = str(note["url"]), str(note["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, ""
        return (url, validator) if self.part.is_file() and validator else (None, "")

    def _discard(self) -> None:
        self.note.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _transfer(self, url: str) -> None:
        """One request, to the end of the file or of the connection."""
        import requests

        begun_at, validator = self._read_note()
        start = self.part.stat().st_size if begun_at == url else 0
        headers = {"Accept-Encoding": "identity"}  # the .gz itself, not packed once more
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if start and response.status_code in (206, 416):
                first, total = _content_range(response)
                if response.status_code == 416 and total == start:
                    return  # all of it had come before
                # Some servers know Range, but not If-Range: the file may have changed.
                changed = _validator(response) not in ("", validator)
                if response.status_code == 416 or first != start or changed:
                    self._discard()
                    return self._transfer(url)
            else:
                start = 0
            response.raise_for_status()
            self._save(response, url, start)

    def _save(self, response: Response, url: str, start: int) -> None:
        import requests
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]  # types are optional
        from urllib3.exceptions import HTTPError

        if not start:
            note = {"url": url, "validator": _validator(response)}
            self.note.write_text(json.dumps(note), encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        name = self.part.name.removesuffix(".part")
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(
                desc=name,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                disable=not self.progress,
            ) as bar,
        ):
            try:
                # The bytes as sent: requests would unpack them where a server labels them gzip.
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    self._received += len(chunk)
                    bar.update(len(chunk))
            except HTTPError as error:
                got = start + self._received
                raise requests.ConnectionError(f"broke off after {got} bytes") from error


def _validator(response: Response) -> str:
    """What If-Range may hold: a strong ETag, else the date; "" for neither, so no resuming."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _content_range(response: Response) -> tuple[int | None, int | None]:
    """First byte and total length of a Content-Range, "bytes 5-9/10" or "bytes */10"."""
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", header.strip())
    first, total = match.groups() if match else (None, None)
    return (
        int(first) if first else None,
        int(total) if total and total != "*" else None,
    )


def reason(error: Exception) -> str:
    """A line for people: pooch's and urllib3's messages run over several."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        text = str(error)
        return text if text.startswith("broke off") else "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what came has the wrong checksum and was thrown away"
    return str(error)
