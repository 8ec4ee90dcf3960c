"""A lease is no fence: a write of the last leader may land when the next one has long led.

The leader is stopped (SIGSTOP) with a write on its way, the user goes on, the next one leads and
comes to rest; then the write lands. It is refused, or, where nothing can be refused, undone without
a server being touched; and the one that wakes up writes nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.support.chaos.life import NAME, STEPS, Life, Site
from tests.support.chaos.proxy import Call
from tests.support.chaos.rivals import AT_ONCE, Rivals

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="session")]

CREATE, EDIT, SCALE_OUT, SCALE_IN, *_ = STEPS
CONFLICT, MADE, DELETED = 409, 201, 200


async def nothing(_: Life) -> None:
    pass


async def edit_again(life: Life) -> None:
    await life.patch({"podMetadata": {"annotations": {"edited": "twice"}}})


def named(method: str, end: str) -> Callable[[Call], bool]:
    return lambda call: call.method == method and call.path.endswith(end)


def made(plural: str) -> Callable[[Call], bool]:
    """A child is applied under its own name, or posted to its collection."""
    return lambda call: call.write and f"/{plural}" in call.path and "/status" not in call.path


@dataclass(frozen=True)
class Scene:
    """What the first leader is at when it is stopped, and what the user does meanwhile."""

    name: str
    held: Callable[[Call], bool]
    act: Callable[[Life], Awaitable[None]]
    meanwhile: Callable[[Life], Awaitable[None]] = nothing
    before: tuple[Callable[[Life], Awaitable[None]], ...] = ()
    answer: int = CONFLICT


SCENES = [
    Scene("key", made("secrets"), CREATE.act),
    Scene("copy", named("POST", "/llamaweights"), CREATE.act),
    # By then the next one's Job has ended and is gone: this one is made, and removed again.
    Scene("job", made("jobs"), CREATE.act, answer=MADE),
    Scene("service", named("PATCH", f"/services/{NAME}"), CREATE.act),
    Scene("server", named("PATCH", f"/deployments/{NAME}"), CREATE.act),
    Scene("template", named("PATCH", f"/deployments/{NAME}"), EDIT.act, edit_again, (CREATE.act,)),
    Scene(
        "status", named("PATCH", f"/llamadeployments/{NAME}/status"), EDIT.act, edit_again,
        (CREATE.act,),
    ),
    # Nothing says that somebody wants it again: it is deleted, and made again at once.
    Scene(
        "prune", made("poddisruptionbudgets"), SCALE_IN.act, SCALE_OUT.act,
        (CREATE.act, SCALE_OUT.act), DELETED,
    ),
]  # fmt: skip


async def play(site: Site, scene: Scene) -> None:
    async with Rivals.begun(site, scene.name) as rivals:
        life = rivals.life
        for act in scene.before:
            await act(life)
            await rivals.until(lambda: EDIT.over(life), "the first one to serve")
        async with rivals.second:
            rivals.hold(scene.held)
            await scene.act(life)
            await rivals.stop_first()
            await scene.meanwhile(life)
            await rivals.succeed()
            await rivals.until(lambda: EDIT.over(life), "the second one to serve")
            await rivals.other.quiet(1.0)
            wanted = life.picture()
            answer = await rivals.land()
            assert answer == scene.answer, f"{scene.name}: the write of the past got {answer}"
            await rivals.same(wanted)
            await rivals.wake_first()
            await rivals.same(wanted)


@pytest.mark.timeout(600)
async def test_a_write_of_the_last_leader_changes_nothing(site: Site) -> None:
    stage = asyncio.Semaphore(AT_ONCE)

    async def turn(scene: Scene) -> None:
        async with stage:
            await play(site, scene)

    done = await asyncio.gather(*map(turn, SCENES), return_exceptions=True)
    stories = [
        f"{scene.name}: {error!r}"
        for scene, error in zip(SCENES, done, strict=True)
        if isinstance(error, BaseException)
    ]
    if stories:
        pytest.fail("\n\n".join(stories), pytrace=False)
