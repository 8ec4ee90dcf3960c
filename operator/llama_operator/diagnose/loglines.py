"""A log as lines without what loggers, containers and kubectl put before them.

A log of a server that is well has errors in it too: of clients, of caches that cannot be written,
of what was tried and left. So a line can tell of a failure only if its level allows it, and if
the server did not go on to serve after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# Some lines list all that vLLM knows.
LINE_LIMIT = 4096
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LEVEL = r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)"
# What vLLM's own line begins with, whatever somebody else has put before it.
_STAMP = r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL) (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d"
# What may stand before a message, outermost first; each at most a few times in a row.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # VLLM_LOGGING_PREFIX, the journal, compose, Ray and other wrappers
        rf"(?!{_STAMP}).{{1,160}}?(?={_STAMP})",
        # kubectl logs --prefix, and --timestamps or a runtime's own file
        r"\[pod/[^\]]+\] ",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d) (?:std(?:out|err) [FP] )?",
        r"\[rank\d+\]:\s?",
        # (APIServer pid=7), (Worker_TP0 pid=7), (RayWorkerWrapper pid=7, ip=10.0.0.1)
        r"\([A-Za-z][\w.-]*(?: [\w=]+)*(?:,? (?:pid|ip|rank|tid)=[\w.:]+)+\) ",
        # INFO 11-23 16:43:38 [launcher.py:279], and without brackets in older versions
        rf"{_LEVEL} (?:\d{{4}}-)?\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? "
        r"(?P<place>\[[^\]]*:\d+\]|[\w./-]+:\d+\]?) ?",
        # uvicorn
        rf"{_LEVEL}:\s{{2,}}",
        # torch and other glog writers: [W1123 16:55:14.469 socket.cpp:29] [c10d]
        r"\[?(?P<glog>[IWEF])(?:\d{3,4} \d\d:\d\d:\d\d[.\d]*(?: \d+)?)? [\w./-]+:\d+\] ?",
        # NCCL: host:123:456 [0]
        r"(?:\[[\d :.-]+\] )?[\w.-]+:\d+:\d+ \[\d+\] ",
    )
)
_GLOG = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
_QUIET = {"DEBUG", "INFO"}
# Python's warnings and NCCL's own levels.
_WARNING = re.compile(r"^\S+:\d+: \w*Warning: |\bNCCL WARN\b")
_NCCL_INFO = re.compile(r"^(?:\S+ )?NCCL (?:INFO|TRACE)\b")
_FRAME = re.compile(r'\s+File "[^"]*", line \d+')
_EXCEPTION = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z_]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Refused))"
    r"(?::\s*(?P<text>.*))?$"
)
# Told of a failure elsewhere, never the failure itself.
# Said to be an error, with a traceback, by a server that goes on.
_HARMLESS = re.compile(
    r"^Error (?:saving model info cache|retrieving|parsing config)|, retrying \d+ of \d+"
)
_WRAPPERS = re.compile(
    r"See root cause above|See stack trace|EngineDeadError|EngineGenerateError|WorkerProc initialization failed"
    r"|check the stack trace|Executor failed|^RuntimeError: cancelled|^SystemExit|BrokenPipeError"
    r"|^(?:\w+\.)*CancelledError|^KeyboardInterrupt"
)
_SERVES = re.compile(
    r"Application startup complete|Uvicorn running on|Avg prompt throughput: "
    r'|"POST /(?:v1|v2|inference|invocations)\S* HTTP/[\d.]+" 200'
)


@dataclass(frozen=True)
class LogLine:
    """A message and its level; "" where the line names none, as in a traceback.

    `code`: a line of source in a traceback. It may hold the very words of a message.
    """

    level: str
    text: str
    code: bool = False
    # The line of vLLM's source that wrote it; a traceback has that of its heading throughout.
    place: str = ""

    @property
    def quiet(self) -> bool:
        """Whether it says itself that nothing is wrong."""
        return self.level in _QUIET

    @property
    def exception(self) -> bool:
        """Whether it is the last line of a traceback."""
        return _EXCEPTION.match(self.text) is not None

    @property
    def wrapper(self) -> bool:
        """Whether it only tells of a failure elsewhere."""
        return _WRAPPERS.search(self.text) is not None


def read(lines: Iterable[str]) -> list[LogLine]:
    """The lines of a log, in their order."""
    found = []
    in_frame = False
    harmless: set[str] = set()
    for line in map(_read, lines):
        is_frame = _FRAME.match(line.text) is not None
        code = in_frame and line.text.startswith("    ")
        in_frame = is_frame or code
        if line.place and _HARMLESS.search(line.text):
            harmless.add(line.place)
        level = "INFO" if line.place in harmless else line.level
        found.append(replace(line, code=code or is_frame, level=level))
    return found


def _read(line: str) -> LogLine:
    text = _ANSI.sub("", line[:LINE_LIMIT].replace("\0", "")).rstrip()
    level = place = ""
    for pattern in _PREFIXES:
        # Twice: a container's timestamp, then a logger's.
        for _ in range(2):
            match = pattern.match(text)
            if match is None:
                break
            found = match.groupdict()
            level = found.get("level") or _GLOG.get(found.get("glog") or "", "") or level
            place = found.get("place") or place
            text = text[match.end() :]
    return _of_json(text) or LogLine(level or _implied(text), text, place=place)


def _implied(text: str) -> str:
    if _WARNING.search(text):
        return "WARNING"
    return "INFO" if _NCCL_INFO.match(text) else ""


def _of_json(text: str) -> LogLine | None:
    """A line of a JSON logger: vLLM's VLLM_LOGGING_CONFIG_PATH names one."""
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    message = fields.get("message") or fields.get("msg") if isinstance(fields, dict) else None
    if not isinstance(message, str):
        return None
    level = str(fields.get("levelname") or fields.get("level") or "").upper()
    return LogLine(level, message)


def unserved(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines after the last sign that the server served."""
    last = max((i for i, line in enumerate(lines) if _SERVES.search(line.text)), default=-1)
    return lines[last + 1 :]


def served(lines: Iterable[LogLine]) -> bool:
    """Whether the server came so far as to serve."""
    return any(_SERVES.search(line.text) for line in lines)


def telling(lines: Sequence[LogLine]) -> str:
    """The line that tells most of the last exception that is no wrapper; "" without any.

    pydantic has its message on the line after; of an exception without a text, as an assertion
    mostly is, the code that failed tells more, and stands before it.
    """
    raised = [
        number
        for number, line in enumerate(lines)
        if line.exception and not line.quiet and not line.wrapper
    ]
    return _message(lines, raised[-1]) if raised else ""


def _message(lines: Sequence[LogLine], number: int) -> str:
    text = lines[number].text.strip()
    after = lines[number + 1].text if number + 1 < len(lines) else ""
    if after.startswith("  ") and "validation error" in text:
        return after.strip()
    if ":" in text:
        return text
    before = (each for each in reversed(lines[max(0, number - 3) : number]) if each.code)
    code = (each.text.strip() for each in before)
    return next((each for each in code if set(each) - set("^~ ") and "File " not in each), text)
