"""A log, an exit code and a container's reason -> what failed, why, and what mends it.

The root cause may stand 150 lines before the end: a failed worker is told of again by the engine
and by the server, each with a traceback of its own. So every line counts that says it is wrong
and after which nothing was served, and the cause of the lowest rank wins, of equals the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from llama_operator.diagnose import facts, loglines
from llama_operator.diagnose.causes import CAUSES
from llama_operator.diagnose.facts import Facts
from llama_operator.diagnose.known import NEAR_LINES, KnownCause, Patch, Rank, Signature
from llama_operator.diagnose.loglines import LogLine
from llama_operator.diagnose.words import clip

UNKNOWN = "Unknown"
LINE_LIMIT = 400
GROUP_LIMIT = 120
_OUTLINED = 3
_SIGNALS = 128


@dataclass(frozen=True)
class Diagnosis:
    """A verdict. `cause` is a name of the table or Unknown; `evidence` a line of the log, or "".

    `fix` is a patch of the LlamaDeployment, {} where no field mends it; `advice` says it in
    words. `permanent`: starting again does not help.
    """

    cause: str
    evidence: str = ""
    explanation: str = ""
    advice: str = ""
    fix: Patch = field(default_factory=dict)
    permanent: bool = False
    rank: Rank = Rank.CONSEQUENCE

    @property
    def known(self) -> bool:
        """Whether the table has it."""
        return self.cause != UNKNOWN


@dataclass(frozen=True)
class _Hit:
    cause: KnownCause
    signature: Signature
    match: re.Match[str]
    line: LogLine


def diagnose(log: Iterable[str], exit_code: int | None = None, reason: str = "") -> Diagnosis:
    """Judge the end of a log (some hundred lines) and how its container ended, where known.

    A log of a server that is well has the cause Unknown and no evidence.
    """
    lines = loglines.read(log)
    ended = _by_ending(exit_code, reason)
    if ended is not None and reason in ended.reasons:
        return _plain(ended)
    best, rest = _root(lines)
    if best is not None:
        return _told(best, facts.read(line.text for line in lines))
    if ended is not None and (_by_signal(exit_code) or not _strange(rest)):
        return _plain(ended)
    return _unknown(rest, exit_code)


def _by_signal(exit_code: int | None) -> bool:
    # Whatever was raised before, no exception ends a process so.
    return exit_code is not None and exit_code > _SIGNALS


def _root(lines: Sequence[LogLine]) -> tuple[_Hit | None, Sequence[LogLine]]:
    """The hit that is the cause, and the lines that no signature has met."""
    hits = list(_hits(lines))
    best = _best(hits)
    met = {id(hit.line) for hit in hits}
    rest = [line for line in lines if id(line) not in met]
    if best is not None and best.cause.rank is Rank.CONSEQUENCE and _strange(rest):
        # Of what? An exception that no signature knows is nearer to the cause.
        best = None
    return best, rest


def _strange(lines: Sequence[LogLine]) -> bool:
    return bool(loglines.telling(loglines.unserved(lines)))


def _by_ending(exit_code: int | None, reason: str) -> KnownCause | None:
    by_reason = (cause for cause in CAUSES if reason and reason in cause.reasons)
    by_code = (cause for cause in CAUSES if exit_code in cause.exit_codes)
    return next(by_reason, None) or next(by_code, None)


def _hits(lines: Sequence[LogLine]) -> Iterable[_Hit]:
    late = loglines.unserved(lines)
    start = len(lines) - len(late)
    failed = any(line.exception and not line.quiet for line in late)
    for number, line in enumerate(late, start):
        if line.quiet or (line.level == "WARNING" and not failed) or not line.text.strip():
            continue
        for cause in CAUSES:
            hit = _hit(cause, line, lines[max(0, number - NEAR_LINES) : number])
            if hit is not None:
                yield hit


def _hit(cause: KnownCause, line: LogLine, before: Sequence[LogLine]) -> _Hit | None:
    for signature in cause.signatures:
        if line.code != signature.code or (line.level == "WARNING" and not signature.warnings_too):
            continue
        match = _compiled(signature.pattern).search(line.text.strip())
        if match and (not signature.near or _near(signature.near, before)):
            return _Hit(cause, signature, match, line)
    return None


def _best(hits: Sequence[_Hit]) -> _Hit | None:
    """Of the first cause of the lowest rank, the line that tells most: signatures go from exact to vague."""
    if not hits:
        return None
    cause = min(hits, key=lambda hit: hit.cause.rank).cause
    return min(
        (hit for hit in hits if hit.cause is cause),
        key=lambda hit: cause.signatures.index(hit.signature),
    )


def _near(pattern: str, before: Sequence[LogLine]) -> bool:
    return any(_compiled(pattern).search(line.text) for line in before)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _told(hit: _Hit, told: Facts) -> Diagnosis:
    groups = {name: text for name, text in hit.match.groupdict().items() if text is not None}
    explanation = hit.signature.explanation or hit.cause.meaning
    try:
        explanation = explanation.format_map({k: clip(v, GROUP_LIMIT) for k, v in groups.items()})
    except KeyError:  # another branch of the pattern matched
        explanation = hit.cause.meaning
    return Diagnosis(
        hit.cause.name,
        hit.line.text.strip(),
        explanation,
        hit.cause.advice,
        hit.signature.fix(groups, told),
        hit.cause.permanent,
        hit.cause.rank,
    )


def _plain(cause: KnownCause) -> Diagnosis:
    return Diagnosis(
        cause.name,
        explanation=cause.meaning,
        advice=cause.advice,
        permanent=cause.permanent,
        rank=cause.rank,
    )


def _unknown(lines: Sequence[LogLine], exit_code: int | None) -> Diagnosis:
    late = loglines.unserved(lines)
    evidence = loglines.telling(late)
    if evidence:
        return Diagnosis(UNKNOWN, evidence, _outline(late, evidence))
    if exit_code:
        return Diagnosis(
            UNKNOWN, explanation=f"vLLM ended with exit code {exit_code} and no word why."
        )
    if not any(line.text.strip() for line in lines):
        return Diagnosis(UNKNOWN, explanation="The log is empty.")
    serves = (
        "the server came to serve" if loglines.served(lines) else "it ends before the server serves"
    )
    return Diagnosis(UNKNOWN, explanation=f"The log shows no failure: {serves}.")


def _outline(lines: Sequence[LogLine], evidence: str) -> str:
    """What else was raised, so that a person sees the chain."""
    raised = (line for line in lines if line.exception and not line.quiet and not line.wrapper)
    texts = dict.fromkeys(clip(line.text.strip(), LINE_LIMIT) for line in raised)
    others = [text for text in texts if not evidence.startswith(text)][-_OUTLINED:]
    words = "No known cause fits."
    return f"{words} Raised as well: {'; '.join(others)}" if others else words
