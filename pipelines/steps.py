"""Steps and flows with Prefect where a server is set up, and without one where none is.

A flow of `pipelines/` is an ordinary Prefect flow: serve it, deploy it, or call it under a running server.
Started by hand without a server, the same function runs directly: Prefect would first start a server of its
own, which takes longer than the work of a night (`benchmarks/prefect_cost.py` measures it).
"""

import copy
import functools
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect import Flow, task
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_attempt, wait_fixed

from pipelines import logs

P = ParamSpec("P")
T = TypeVar("T")

_REFUSALS = (httpx.HTTPError, ObjectNotFound, RuntimeError, ValueError)
"""What Prefect raises where its server cannot be used: errors of HTTP, another version, an answer that is no JSON."""

log = logging.getLogger(__name__)

logs.take_back()  # prefect was imported above

RETRIES = 3
WAIT_SECONDS = 10

PATIENCE = 3.0
"""How long a server may take to say that it is there [s]."""


def step(function: Callable[P, T]) -> Callable[P, T]:
    """`function` as a task of the running Prefect flow, or as it is where no flow runs.

    Either way, what the outside world does to it (an `OSError`: a share that is away, a disk that is full) is
    tried again three times, ten seconds apart. Other errors are not: they would come again.
    """

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if FlowRunContext.get() is None:
            again = Retrying(
                retry=retry_if_exception(from_outside),
                stop=stop_after_attempt(1 + RETRIES),
                wait=wait_fixed(WAIT_SECONDS),
                before_sleep=before_sleep_log(log, logging.WARNING),
                reraise=True,
            )
            return again(function, *args, **kwargs)
        as_task = task(
            retries=RETRIES,
            retry_delay_seconds=WAIT_SECONDS,
            retry_condition_fn=_failed_outside,
            persist_result=False,  # no stored result decides what is right
        )(function)
        return as_task(*args, **kwargs)

    return call


def from_outside(error: BaseException | None) -> bool:
    """Whether an error is an `OSError`, or was raised because of one."""
    return error is not None and (isinstance(error, OSError) or from_outside(error.__cause__))


def _failed_outside(_task: Any, _run: Any, state: Any) -> bool:
    try:
        state.result()
    except BaseException as error:  # only looked at: Prefect raises it again
        return from_outside(error)
    return False


def run(flow: Flow[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a flow under the Prefect server that is set up, or directly where none is, or where it cannot be used.

    The flow's work is done once: if Prefect fails after it has begun, what it returned or raised counts.
    """
    url = PREFECT_API_URL.value()
    if url is None:
        return flow.fn(*args, **kwargs)
    if not answers(url):
        log.warning("%s: the Prefect server does not answer, so that it is done without (PREFECT_API_URL)", url)
        return flow.fn(*args, **kwargs)
    watched, work = _watched(flow)
    try:
        return watched(*args, **kwargs)
    except _REFUSALS as error:
        if work.done():
            if error is not work.exception():
                log.warning("%s: the Prefect server does not know how the run ended: %s", url, error)
            return work.result()
        if _interrupted(error):
            raise
        log.warning("%s: the Prefect server cannot be used, so that it is done without: %s", url, error)
    return flow.fn(*args, **kwargs)


def _watched(flow: Flow[P, T]) -> tuple[Flow[P, T], "Future[T]"]:
    """Return the flow, and what becomes of its own work, whatever Prefect does around it."""
    work: Future[T] = Future()

    @functools.wraps(flow.fn)
    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            work.set_result(flow.fn(*args, **kwargs))
        except BaseException as error:
            work.set_exception(error)
        return work.result()

    watched = copy.copy(flow)
    watched.fn = done
    return watched, work


def _interrupted(error: BaseException | None) -> bool:
    """Whether somebody ended the run, and Prefect failed to tell its server."""
    return error is not None and (not isinstance(error, Exception) or _interrupted(error.__context__))


def answers(url: str) -> bool:
    """Whether a Prefect server at this URL says that it is there, within three seconds."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=PATIENCE):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # one that asks who we are is there
    except (OSError, ValueError, http.client.HTTPException):
        return False
