"""The ways in which a hub fails, each a value that says where, for which file and how often.

status     answer with an HTTP status (401, 403, 404, 429, 500, ...)
hang       accept the request and never answer
stall      send `after` bytes of the body, then nothing more
cut        send `after` bytes of the body, then close the connection
html       a web page with status 200
corrupt    flip one bit of every body
slow       at most `rate` bytes per second and answer
norange    ignore the Range header
redirect   302 to `host` (a stranger), whatever was asked
shrink     the file is `after` bytes long by now
garble     status 200 and bytes that are not JSON
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fnmatch import fnmatch

KINDS = (
    *("status", "hang", "stall", "cut", "html", "corrupt", "slow", "norange", "redirect"),
    *("shrink", "garble"),
)
PLACES = ("any", "info", "tree", "resolve", "cdn", "file")


@dataclass
class Fault:
    """One fault. `times` < 0 means always; `skip` requests are answered well before it starts."""

    kind: str
    on: str = "any"
    match: str = "*"
    times: int = -1
    skip: int = 0
    status: int = 500
    code: str = ""
    message: str = ""
    after: int = 0
    rate: int = 0
    host: str = ""
    retry_after: str = ""
    ratelimit: str = ""
    hits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.on not in PLACES:
            raise ValueError(f"no fault {self.kind!r} on {self.on!r}; kinds: {', '.join(KINDS)}")

    def applies(self, place: str, name: str) -> bool:
        """Whether it hits this request; counts it when it does."""
        here = self.on in ("any", place) or (self.on == "file" and place in ("resolve", "cdn"))
        if not here or not fnmatch(name, self.match):
            return False
        self.hits += 1
        over = self.times >= 0 and self.hits > self.skip + self.times
        return self.hits > self.skip and not over


def parse_fault(text: str) -> Fault:
    """`kind[:key=value,...]`, where a number stands for a status: "429:times=2,retry_after=1"."""
    kind, _, rest = text.partition(":")
    values = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    if kind.isdigit():
        values["status"], kind = kind, "status"
    known = {entry.name: entry.type for entry in fields(Fault) if entry.init}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{text!r}: no such setting {unknown[0]!r}; known: {', '.join(known)}")
    typed = {key: int(value) if known[key] == "int" else value for key, value in values.items()}
    return Fault(kind, **typed)  # type: ignore[arg-type]
