"""Starts ahead of time what a class needs for seconds: the workers' imports and the zygote's."""

from __future__ import annotations

import contextlib
from multiprocessing import forkserver

from grader.kernels.warm import WarmError, warm

PRELOAD = ["grader.grade"]  # what every worker imports: once for all


def begin(*, sandbox: bool) -> None:
    """Let both begin, and do not wait for them."""
    forkserver.set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()
    if sandbox:
        with contextlib.suppress(WarmError):  # whoever asks for a kernel will be told
            warm().prepare()
