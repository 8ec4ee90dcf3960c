"""The end of the log of containers that ended, read once for each run of a container.

The kubelet keeps two kibibytes of a log in the pod's status, and the root cause of a failed
worker stands ten before the end. What was read is kept, so that a server in a crash loop costs
one request for each crash and none for each event of its pod. Not being able to read is no
failure: the two kibibytes are still there.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from llama_operator.diagnose import runlog
from llama_operator.diagnose.pods import LOG_BYTES, TAIL_LINES, before_restart, ended
from llama_operator.reconcile.recent import keep
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import (
    ApiError,
    BadRequest,
    ServerError,
    TooManyRequests,
    TransportError,
)

Object = dict[str, Any]
Run = tuple[str, str]

# Of one deployment: replicas of one template mostly fail alike.
PODS_AT_ONCE = 4
# A node that does not answer must not hold up the deployment.
SECONDS = 5.0
# And not at each event of its pods.
RETRY_SECONDS = 30.0
# Compressed they take some 10 KiB each.
KEPT = 256

log = logging.getLogger(__name__)


class PodLogs:
    """Reads and keeps the ends of logs."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kept: OrderedDict[Run, bytes] = OrderedDict()
        # Runs whose log did not come, and when it may be asked for again.
        self._later: OrderedDict[Run, float] = OrderedDict()

    async def of(self, pods: Iterable[Object]) -> dict[str, str]:
        """Pod UID -> the end of the log of its container that ended; pods without one are absent."""
        alive = (pod for pod in pods if not pod["metadata"].get("deletionTimestamp"))
        failed = sorted(
            (pod for pod in alive if ended(pod) is not None),
            key=lambda pod: str(pod["metadata"].get("uid", "")),
        )[:PODS_AT_ONCE]
        texts = await asyncio.gather(*(self._tail(pod) for pod in failed))
        return {
            pod["metadata"]["uid"]: text for pod, text in zip(failed, texts, strict=True) if text
        }

    async def _tail(self, pod: Object) -> str:
        container = ended(pod)
        if container is None:
            return ""
        run = _run(pod, container)
        if run not in self._kept and not await self._fetched(run, pod["metadata"], container):
            return ""
        self._kept.move_to_end(run)
        return zlib.decompress(self._kept[run]).decode()

    async def _fetched(self, run: Run, meta: Object, container: Object) -> bool:
        """Whether there was an answer, kept from now on; a refusal is one, without a text."""
        now = self._api.clock.monotonic()
        if now < self._later.get(run, now):
            return False
        text = ""
        try:
            text = await self._read(meta, container)
        except (TransportError, TimeoutError, ServerError, TooManyRequests) as error:
            log.info("the log of %s cannot be read now: %r", meta["name"], error)
            keep(self._later, run, now + RETRY_SECONDS, KEPT)
            return False
        except ApiError as error:
            log.info("the log of %s cannot be read: %s", meta["name"], error)
        keep(self._kept, run, zlib.compress(text.encode()), KEPT)
        return True

    async def _read(self, meta: Object, container: Object) -> str:
        # Until the next run begins, the run that ended is the present one.
        previous, how = before_restart(container), container["ended"]
        async with asyncio.timeout(SECONDS):
            texts = [await self._ask(meta, container, previous)]
            if not previous and not runlog.surely(texts[0], how):
                texts.append(await self._before(meta, container))
        return runlog.of_run(texts, how)

    async def _before(self, meta: Object, container: Object) -> str:
        try:
            return await self._ask(meta, container, previous=True)
        except BadRequest:  # there was no run before
            return ""

    async def _ask(self, meta: Object, container: Object, previous: bool) -> str:
        return await self._api.logs(
            meta["namespace"],
            meta["name"],
            container["name"],
            tail_lines=TAIL_LINES,
            limit_bytes=LOG_BYTES,
            previous=previous,
            timestamps=True,
        )


def _run(pod: Object, container: Object) -> Run:
    how = container["ended"]
    # Before the restart and after it, it is the same run that ended.
    name = how.get("containerID") or f"{container.get('restartCount', 0)} {how.get('finishedAt')}"
    return str(pod["metadata"]["uid"]), str(name)
