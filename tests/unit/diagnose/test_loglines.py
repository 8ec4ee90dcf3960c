"""What stands before a message, in every version and by every way that a log is read."""

from __future__ import annotations

import pytest

from llama_operator.diagnose import loglines
from llama_operator.diagnose.judge import diagnose

MESSAGE = "ValueError: No valid attention backend found for cuda"
VLLM = "11-25 10:00:00 [x.py:1]"


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (MESSAGE, ""),
        (f"ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"ERROR 11-25 10:00:00 multiproc_worker_utils.py:229] {MESSAGE}", "ERROR"),
        (f"ERROR 2026-11-25 10:00:00,123 [x.py:1] {MESSAGE}", "ERROR"),
        (f"(APIServer pid=7) WARNING {VLLM} {MESSAGE}", "WARNING"),
        (f"(EngineCore_DP0 pid=9) (Worker_TP0_EP0 pid=71) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"(VllmWorker rank=1 pid=71) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"(RayWorkerWrapper pid=71, ip=10.0.0.9) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"[rank3]: {MESSAGE}", ""),
        (f"[rank3]:[E1125 10:00:00.123456789 ProcessGroupNCCL.cpp:632] {MESSAGE}", "ERROR"),
        (f"[W1125 10:00:00.123456789 socket.cpp:759] {MESSAGE}", "WARNING"),
        (f"[W socket.cpp:601] {MESSAGE}", "WARNING"),
        (f"W1125 10:00:00.123000 4711 torch/_library/triton.py:53] {MESSAGE}", "WARNING"),
        (f"INFO:     {MESSAGE}", "INFO"),
        (f"node-7.local:91:312 [0] {MESSAGE}", ""),
        (f"[pod/web-5d4f-x2x9k/engine] (APIServer pid=7) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"2026-11-25T10:00:00.123456789Z ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"2026-11-25T10:00:00.123+01:00 stderr F (Worker pid=7) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"\x1b[31mERROR\x1b[0m {VLLM} {MESSAGE}\x1b[0m\r", "ERROR"),
        (f"[llama] (Worker pid=7) WARNING {VLLM} {MESSAGE}", "WARNING"),
        (f"Aug 18 09:00:59 gpu-1 python3[7]: (Worker pid=7) ERROR {VLLM} {MESSAGE}", "ERROR"),
        (f"llm-1  | INFO {VLLM} {MESSAGE}", "INFO"),
        (f'{{"levelname": "ERROR", "name": "vllm", "message": "{MESSAGE}"}}', "ERROR"),
        (f'{{"level": "error", "msg": "{MESSAGE}"}}', "ERROR"),
    ],
)
def test_a_message_is_found_behind_its_prefix(line: str, level: str) -> None:
    (found,) = loglines.read([line])
    assert (found.level, found.text) == (level, MESSAGE)
    assert (diagnose([line]).cause == "AttentionUnsupported") == (level not in ("INFO", "WARNING"))


@pytest.mark.parametrize("line", ["{", "{}", "[1]", '{"message": 7}', "{'a': 1}", "[", "(", "I "])
def test_what_only_looks_like_a_prefix_is_left_alone(line: str) -> None:
    assert loglines.read([line])[0].text == line.rstrip()


def test_lines_of_code_are_told_from_messages() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/opt/x.py", line 1, in f',
        "    raise ValueError(",
        "    ^^^^^^^^^^^^^^^^^",
        '  File "/opt/y.py", line 2, in g',
        "    g()",
        "ValueError: no",
        "    indented words of the message",
    ]
    assert [line.code for line in loglines.read(lines)] == [False, *[True] * 5, False, False]
