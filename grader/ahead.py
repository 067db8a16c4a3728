"""Starts ahead of time what a class needs for seconds: the workers' imports and the zygote's."""

from __future__ import annotations

import contextlib
import os
from multiprocessing import forkserver

from grader.kernels.warm import WarmError, warm

PRELOAD = ["grader.workers", "distributed.nanny"]  # what every worker imports: once for all


def begin(*, sandbox: bool) -> None:
    """Let both begin, and do not wait for them."""
    forkserver.set_forkserver_preload(PRELOAD)
    # It would look for modules in the current folder first, where submissions may be.
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
    if sandbox:
        with contextlib.suppress(WarmError):  # whoever asks for a kernel will be told
            warm().prepare()
