"""What loads adapters in an engine: as the list says, before the port opens, and never in the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.adapters import load

llama_adapters = load()
Message = dict[str, Any]
SQL, OTHER = "llama/" + "a" * 16, "llama/" + "b" * 16
LIFESPAN: Message = {"type": "lifespan", "app": "the application", "state": {}}


@dataclass
class Engine:
    """vLLM's routes for adapters, played; `refuse` names adapters that it cannot load."""

    refuse: set[str] = field(default_factory=set)
    loaded: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        assert scope["app"] == "the application"
        body = json.loads((await receive())["body"])
        self.calls.append((scope["path"], body["lora_name"]))
        status, text = self._answer(scope["path"], body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": text})

    def _answer(self, path: str, body: Message) -> tuple[int, bytes]:
        name = body["lora_name"]
        if path == "/v1/unload_lora_adapter":
            return (200, b"") if self.loaded.pop(name, None) else (404, b"{}")
        if name in self.refuse:
            return 500, json.dumps({"error": {"message": "LoRA rank 64\n is too high"}}).encode()
        if name in self.loaded:
            return 400, b'{"error": {"message": "loaded already"}}'
        self.loaded[name] = body["lora_path"]
        return 200, b"Success"


@dataclass
class Pod:
    """An engine with its mounts."""

    root: Path
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        self.list = self.root / "adapters.json"
        self.files = self.root / "files"
        self.middleware = llama_adapters.Adapters(self.engine, self.list, self.files)

    def publish(self, *places: str) -> None:
        for place in places:
            (self.files / place).mkdir(parents=True)
            (self.files / place / "adapter_config.json").write_text("{}")

    def say(self, text: Any) -> None:
        self.list.write_text(json.dumps(text))

    async def start(self) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append({**message, "loaded": dict(self.engine.loaded)})

        await self.middleware(LIFESPAN, None, send)
        self.middleware._watch.cancel()
        return sent

    async def look(self) -> None:
        self.middleware._next = 0.0
        await self.middleware.once(LIFESPAN)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


async def test_the_port_opens_after_what_is_listed_was_loaded(pod: Pod) -> None:
    pod.publish(SQL)
    pod.say({"sql": SQL})
    [message] = await pod.start()
    assert message["type"] == "lifespan.startup.complete"
    assert message["loaded"] == {"sql": str(pod.files / SQL)}


async def test_what_cannot_be_loaded_keeps_nobody_from_answering(
    pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pod.engine.refuse.add("bad")
    pod.publish(SQL, OTHER)
    pod.say({"bad": SQL, "gone": "llama/" + "0" * 16, "out": "../../etc", "sql": OTHER})
    [message] = await pod.start()
    assert set(message["loaded"]) == {"sql"}
    said = json.loads(caplog.messages[-1].removeprefix("llama_adapters: "))
    assert said["loaded"] == {"sql": OTHER}
    assert said["failed"] == {
        "bad": "the engine refused it (500): LoRA rank 64 is too high",
        "gone": "its files are not on the volume at llama/0000000000000000",
        "out": "the list names a directory that is not of the operator's making",
    }
    pod.engine.refuse.clear()
    await pod.look()
    assert set(pod.engine.loaded) == {"sql", "bad"}, "it is tried again"


async def test_a_changed_list_loads_unloads_and_replaces(pod: Pod) -> None:
    pod.publish(SQL, OTHER)
    pod.say({"sql": SQL, "gone": SQL})
    await pod.start()
    pod.say({"sql": OTHER})
    await pod.look()
    assert pod.engine.loaded == {"sql": str(pod.files / OTHER)}
    pod.list.unlink()
    await pod.look()
    assert pod.engine.loaded == {}


async def test_at_rest_the_engine_is_not_asked_and_nothing_is_said(
    pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    pod.publish(SQL)
    pod.say({"sql": SQL})
    await pod.start()
    asked, caplog_length = list(pod.engine.calls), len(caplog.messages)
    for _ in range(5):
        await pod.look()
    assert pod.engine.calls == asked
    assert len(caplog.messages) == caplog_length


async def test_a_failure_is_not_tried_at_every_look(pod: Pod) -> None:
    pod.engine.refuse.add("bad")
    pod.publish(SQL)
    pod.say({"bad": SQL})
    await pod.start()
    for _ in range(5):
        await pod.middleware.once(LIFESPAN)
    assert len(pod.engine.calls) == 1


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"a": 1}'])
async def test_a_broken_list_leaves_what_is_loaded(pod: Pod, text: str) -> None:
    pod.publish(SQL)
    pod.say({"sql": SQL})
    await pod.start()
    if text != '{"a": 1}':
        pod.list.write_text(text)
        await pod.look()
        assert set(pod.engine.loaded) == {"sql"}
    else:
        pod.list.write_text(text)
        await pod.look()
        assert pod.engine.loaded == {}, "a list that can be read is followed"


async def test_requests_pass_untouched(pod: Pod) -> None:
    seen: list[Message] = []

    async def app(scope: Message, *_: Any) -> None:
        seen.append(scope)

    scope = {"type": "http", "path": "/v1/models"}
    await llama_adapters.Adapters(app)(scope, None, None)
    assert seen == [scope]
