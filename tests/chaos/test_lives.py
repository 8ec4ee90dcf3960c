"""Whatever happens to calls and to the operator, a LlamaDeployment ends as in an undisturbed life.

Each life is created, edited, scaled out and in, and deleted with its copy; see tests/support/chaos.
The operator is the real program in a process of its own, the API server and the controllers are
real, and the proxy between them is what a network is; only the kubelet is played.
"""

from __future__ import annotations

import asyncio
import os
import random
import traceback
from collections.abc import Mapping

import pytest

from tests.support.chaos import fates
from tests.support.chaos.life import Fate, Life, Recorded, Site
from tests.support.chaos.operator import REAL, Pace

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="session")]

AT_ONCE = 6
KILLS = 20
# Above what a watch must last to count as healthy, or pauses would grow with each.
QUIET_SECONDS = 6.0
SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))  # noqa: S311


async def lived(
    site: Site,
    recorded: Recorded,
    kinds: Mapping[str, Fate],
    pace: Pace = REAL,
    *,
    elect: bool = False,
) -> None:
    """Live one life for each fate, some at a time; fails with the stories of all that went wrong."""
    gate, stories = asyncio.Semaphore(AT_ONCE), []

    async def one(name: str, fate: Fate) -> None:
        async with gate:
            try:
                async with Life.begun(site, name, fate, pace=pace, elect=elect) as life:
                    await life.repeat(recorded)
                    assert "Traceback" not in life.operator.told, life.operator.told
            except Exception as error:
                trace = "" if isinstance(error, AssertionError) else traceback.format_exc()
                stories.append(f"{name} (CHAOS_SEED={SEED}): {error}\n{trace}")

    await asyncio.gather(*(one(name, fate) for name, fate in kinds.items()))
    if stories:
        pytest.fail("\n\n".join(stories), pytrace=False)


async def test_killed_after_a_call(site: Site, recorded: Recorded) -> None:
    """SIGKILL right after the server has carried a call out."""
    numbers = random.Random(SEED).sample(range(1, recorded.calls + 1), KILLS)  # noqa: S311
    await lived(site, recorded, {f"kill-{n}": fates.death_after(n) for n in sorted(numbers)})


async def test_every_seventh_call_goes_wrong(site: Site, recorded: Recorded) -> None:
    """Failed, delayed, cut off before or after it was carried out, or the last one of a process."""
    await asyncio.gather(
        lived(site, recorded, every_nth(7), elect=True),
        lived(site, recorded, {"kills": fates.deaths_after_every(7)}),
    )


async def test_watches_that_break_in_every_way(site: Site, recorded: Recorded) -> None:
    """Cut, torn, garbled, expired, gone or silent after every third event."""
    await lived(site, recorded, fates.STREAMS, Pace(idle=QUIET_SECONDS))


def every_nth(count: int) -> dict[str, Fate]:
    return {name: fates.every(count, fault) for name, fault in fates.FAULTS.items()}


# -- the long form ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_killed_after_each_call(site: Site, recorded: Recorded) -> None:
    numbers = range(1, recorded.calls + 1)
    await lived(site, recorded, {f"kill-{n}": fates.death_after(n) for n in numbers})


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_each_answer_lost(site: Site, recorded: Recorded) -> None:
    """Committed, and the client sees a broken connection: each call of a life, one by one."""
    lost = fates.FAULTS["lost"]
    numbers = range(1, recorded.calls + 1)
    await lived(site, recorded, {f"lost-{n}": fates.once(n, lost) for n in numbers})


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [3, 5, 11, 13])
async def test_every_nth_call_goes_wrong(site: Site, recorded: Recorded, count: int) -> None:
    await lived(site, recorded, every_nth(count), elect=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [5, 11, 13])
async def test_killed_after_every_nth_call(site: Site, recorded: Recorded, count: int) -> None:
    await lived(site, recorded, {"kills": fates.deaths_after_every(count)})
