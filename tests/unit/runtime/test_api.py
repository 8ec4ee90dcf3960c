from __future__ import annotations

import asyncio
import time

import pytest
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import THINGS, THINGS_PATH

from llama_operator.runtime import (
    PODS,
    AlreadyExists,
    Api,
    ApiError,
    Conflict,
    FakeClock,
    NotFound,
    NotLeader,
    ServerError,
    TooManyRequests,
    TransportError,
    credentials,
)
from llama_operator.runtime.hooks import NoHooks

THING = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "a", "namespace": "ns"},
    "spec": {"size": 1},
}


class Seen(NoHooks):
    def __init__(self) -> None:
        self.codes: list[tuple[str, str, str]] = []

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:  # noqa: ARG002
        self.codes.append((verb, resource, code))


async def test_apply_says_who_owns_and_sends_what_is_wanted(server: FakeApi, api: Api) -> None:
    made = await api.apply(THINGS, THING, manager="me")
    assert made["metadata"]["uid"]
    method, path, query = server.requests[-1]
    assert (method, path) == ("PATCH", f"{THINGS_PATH}/a")
    assert query == {"fieldManager": "me", "force": "true"}
    assert server.get(f"{THINGS_PATH}/a") == made


async def test_status_is_applied_to_the_subresource(server: FakeApi, api: Api) -> None:
    with pytest.raises(NotFound):
        await api.apply(THINGS, THING, manager="me", force=False, subresource="status")
    _, path, query = server.requests[-1]
    assert path == f"{THINGS_PATH}/a/status"
    assert query["force"] == "false"


async def test_a_dead_uid_resurrects_nothing(server: FakeApi, api: Api) -> None:
    server.put(THINGS_PATH, name="a")
    dead = {**THING, "metadata": {"name": "a", "namespace": "ns", "uid": "dead"}}
    with pytest.raises(Conflict):
        await api.apply(THINGS, dead, manager="me")


async def test_delete_with_preconditions(server: FakeApi, api: Api) -> None:
    made = server.put(THINGS_PATH, name="a")
    with pytest.raises(Conflict):
        await api.delete(THINGS, "ns", "a", uid="other")
    assert server.get(f"{THINGS_PATH}/a")
    await api.delete(THINGS, "ns", "a", uid=made["metadata"]["uid"])
    assert server.get(f"{THINGS_PATH}/a") is None
    with pytest.raises(NotFound):
        await api.delete(THINGS, "ns", "a")


async def test_create_twice(server: FakeApi, api: Api) -> None:
    await api.create(THINGS, THING)
    with pytest.raises(AlreadyExists) as caught:
        await api.create(THINGS, THING)
    assert not isinstance(caught.value, Conflict)
    assert caught.value.message == "a already exists"


async def test_a_list_is_whole_however_many_pages(server: FakeApi, api: Api) -> None:
    for number in range(1201):
        server.put(THINGS_PATH, name=f"t{number:05}")
    found = await api.list(THINGS)
    assert len({obj["metadata"]["name"] for obj in found}) == 1201
    assert found.resource_version == str(server.version)
    assert found[0]["kind"] == "Thing"
    assert server.verbs() == {"GET": 3}


async def test_a_list_survives_the_end_of_its_snapshot(server: FakeApi, api: Api) -> None:
    for number in range(700):
        server.put(THINGS_PATH, name=f"t{number:05}")

    def expire(request: object) -> None:
        if len(server.requests) == 2:
            server.put(THINGS_PATH, name="late")
            server.expire()

    server.fault = expire
    assert len(await api.list(THINGS)) == 701


async def test_retry_after_is_waited_for_and_the_call_succeeds(server: FakeApi, api: Api) -> None:
    faults = [Fault(status=429, reason="TooManyRequests", headers={"Retry-After": "1"})]
    server.fault = lambda _: faults.pop() if faults else None
    started = time.monotonic()
    await api.apply(THINGS, THING, manager="me")
    assert 1.0 <= time.monotonic() - started < 1.6
    assert len(server.requests) == 2


async def test_retries_are_bounded_and_only_on_request(server: FakeApi, api: Api) -> None:
    server.fault = lambda _: Fault(status=503, headers={"Retry-After": "0"})
    with pytest.raises(ServerError):
        await api.get(THINGS, "ns", "a")
    assert len(server.requests) == 6
    server.fault = lambda _: Fault(
        status=500, message="etcd has a bad day", headers={"Retry-After": "0"}
    )
    with pytest.raises(ServerError, match="etcd has a bad day"):
        await api.get(THINGS, "ns", "a")
    server.fault = lambda _: Fault(status=429, reason="TooManyRequests", message="budget")
    with pytest.raises(TooManyRequests, match="budget"):
        await api.get(THINGS, "ns", "a")
    assert len(server.requests) == 8


async def test_a_hanging_server_is_a_transport_error_in_time(server: FakeApi) -> None:
    api = server.api(seconds=0.2)
    server.thawed.clear()
    started = time.monotonic()
    with pytest.raises(TransportError):
        await api.get(THINGS, "ns", "a")
    assert time.monotonic() - started < 1.0
    server.thawed.set()
    await api.close()


@pytest.mark.parametrize(
    "fault", [Fault(cut=True), Fault(raw=b'{"kind": "Thi'), Fault(raw=b"[1]"), Fault(raw=b"")]
)
async def test_no_usable_answer_is_a_transport_error(
    server: FakeApi, api: Api, fault: Fault
) -> None:
    server.fault = lambda _: fault
    with pytest.raises(TransportError):
        await api.get(THINGS, "ns", "a")


async def test_a_write_without_an_answer_may_have_landed(server: FakeApi, api: Api) -> None:
    server.fault = lambda _: Fault(cut_after_commit=True)
    with pytest.raises(TransportError):
        await api.apply(THINGS, THING, manager="me")
    assert server.get(f"{THINGS_PATH}/a")


async def test_refused_connections_are_transport_errors(server: FakeApi, api: Api) -> None:
    await server.stop()
    with pytest.raises(TransportError):
        await api.get(THINGS, "ns", "a")


async def test_plain_text_errors_of_proxies_keep_their_text(server: FakeApi, api: Api) -> None:
    server.fault = lambda _: Fault(status=502, raw=b"upstream is away")
    with pytest.raises(ServerError, match="upstream is away") as caught:
        await api.get(THINGS, "ns", "a")
    assert caught.value.status == 502


async def test_the_fence_stops_writes_before_they_leave(server: FakeApi, api: Api) -> None:
    def closed() -> None:
        raise NotLeader("lost")

    api.fence = closed
    for write in (
        api.apply(THINGS, THING, manager="me"),
        api.create(THINGS, THING),
        api.patch(THINGS, "ns", "a", {}),
        api.delete(THINGS, "ns", "a"),
    ):
        with pytest.raises(NotLeader):
            await write
    assert server.requests == []
    await api.list(THINGS)


async def test_the_limiter_spreads_a_burst(server: FakeApi) -> None:
    api = server.api(qps=50, burst=5)
    started = time.monotonic()
    await asyncio.gather(*(api.list(THINGS) for _ in range(15)))
    assert time.monotonic() - started >= 10 / 50 - 0.02
    await api.close()


async def test_hooks_tell_answers_from_silence(server: FakeApi) -> None:
    seen = Seen()
    api = server.api(hooks=seen)
    with pytest.raises(ApiError):
        await api.get(THINGS, "ns", "a")
    server.fault = lambda _: Fault(cut=True)
    with pytest.raises(TransportError):
        await api.get(THINGS, "ns", "a")
    assert seen.codes == [("get", "things", "404"), ("get", "things", "transport")]
    await api.close()


async def test_logs_are_text_and_bounded(server: FakeApi, api: Api) -> None:
    server.fault = lambda _: Fault(raw=b"line 1\n\xffline 2\n")
    text = await api.logs("ns", "pod-0", "vllm", tail_lines=7, previous=True)
    assert text == "line 1\n\ufffdline 2\n"
    _, path, query = server.requests[-1]
    assert path == PODS.path("ns", "pod-0", "log")
    assert query == {
        "container": "vllm",
        "tailLines": "7",
        "previous": "true",
        "limitBytes": "1048576",
    }


async def test_causes_of_a_refusal_are_kept(server: FakeApi, api: Api) -> None:
    body = (
        b'{"kind":"Status","code":422,"reason":"Invalid","message":"Thing \\"a\\" is invalid",'
        b'"details":{"causes":[{"reason":"FieldValueInvalid","message":"no","field":"spec.x"}]}}'
    )
    server.fault = lambda _: Fault(status=422, raw=body)
    with pytest.raises(ApiError) as caught:
        await api.apply(THINGS, THING, manager="me")
    assert caught.value.causes[0]["field"] == "spec.x"
    assert 'Thing "a" is invalid' in str(caught.value)


async def test_names_cannot_leave_their_path(server: FakeApi, api: Api) -> None:
    with pytest.raises(NotFound):
        await api.get(THINGS, "ns", "../../secrets/x")
    assert "/secrets/" not in THINGS.path("ns", "../../secrets/x")


@pytest.mark.parametrize(
    ("token", "told"), [("a\r\nX-Other: b", "a line break"), ("clé", "a character beyond ASCII")]
)
async def test_a_token_cannot_become_a_header(server: FakeApi, token: str, told: str) -> None:
    """One that was read from a file with a line break in it, or of another encoding."""
    api = server.api()
    api.transport._client.configuration.api_key["BearerToken"] = token
    with pytest.raises(TransportError, match=f"a token holds {told}"):
        await api.get(THINGS, "ns", "a")
    assert not server.requests
    await api.close()


async def test_a_new_token_is_sent_within_a_moment(server: FakeApi) -> None:
    clock = FakeClock()
    api = server.api(clock=clock)
    keys = api.transport._client.configuration.api_key
    keys["BearerToken"] = "Bearer first"
    assert await api.transport._credentials.headers() == {"authorization": "Bearer first"}
    keys["BearerToken"] = "Bearer second"
    clock.advance(credentials.FRESH_SECONDS)
    assert await api.transport._credentials.headers() == {"authorization": "Bearer second"}
    await api.close()
