"""Starts ahead of time what a class needs for seconds: the workers' imports and the zygote's."""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing import forkserver, resource_tracker

from grader.kernels.warm import WarmError, warm

PRELOAD = ["grader.workers", "distributed.nanny"]  # what every worker imports: once for all


def begin(*, sandbox: bool) -> None:
    """Let both begin, and do not wait for them."""
    forkserver.set_forkserver_preload(PRELOAD)
    # It would look for modules in the current folder first, where submissions may be.
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    # Ctrl-C is for this process, which ends its workers: they inherit that they never hear of it.
    resource_tracker.ensure_running()  # which would let it hear again
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
    if sandbox:
        with contextlib.suppress(WarmError):  # whoever asks for a kernel will be told
            warm().prepare()
