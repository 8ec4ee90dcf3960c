"""Takes secrets out of texts and objects, so that they can be given away. Pure.

Two nets, since each has holes: values that are known to be secret are taken out wherever they
stand, and everything that looks like a secret is, whether it is one or not. What is lost by the
second is cheaper than what is lost by a hole.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

MARK = "<redacted>"
# Shorter ones are words that logs are full of.
LEAST_LENGTH = 6

# "tokens" and "tokenizer" are what vLLM's settings are called.
_WORD = (
    r"(?:api[-_]?key|access[-_]?key|private[-_]?key|token(?!s|iz|_id)|passw(?:or)?d|secret"
    r"|credential|authorization|signature)"
)
_NAME = re.compile(rf"(?i){_WORD}")
# Names of objects and of entries: they say where a secret is, not what it is.
_REFERENCE = re.compile(r"(?i)(?:name|ref|refs|type|hash|path|file)$")
# Nothing is repeated without bound before the secret: a log may be one line of megabytes.
_Q = r"[\"'\\]{0,8}"
_IS = rf"{_Q}\s{{0,16}}(?:[=:]|%3D)\s{{0,16}}{_Q}"
_NEXT = rf"{_Q}\s{{0,16}},?\s{{0,16}}{_Q}"
_ENTRY = rf"name{_IS}[\w.-]{{0,64}}?{_WORD}[\w.-]{{0,64}}{_NEXT}value{_IS}"
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), put)
    for pattern, put in (
        (r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?", MARK),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", MARK),
        (r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|(?-i:AKIA|ASIA)(?=\w{12}))[\w-]{8,}", MARK),
        (rf"\b(bearer|authorization{_IS}basic)\s+[\w.~+/=-]{{6,}}", rf"\1 {MARK}"),
        (r"(://)[^\s/@\"'<>]{1,256}@", rf"\1{MARK}@"),
        # A signed URL is a key; which of its parameters sign is not for us to know.
        (r"(\bhttps?://[^\s?\"'<>\\]{1,2048})\?[^\s\"'<>\\]+", rf"\1?{MARK}"),
        (r"(\bpolicy|signature|key-pair-id|x-amz-[\w-]{1,64})(=|%3D)[^\s&\"'<>\\]+", rf"\1\2{MARK}"),
        # HF_TOKEN=x, "api_key": "x", 'api_key': ['x']
        (
            rf"({_WORD}[\w-]{{0,64}}{_IS}\[?{_Q})"
            rf"(?!{re.escape(MARK)}|bearer\b|basic\b|null\b|none\b)[^\s\"'\\,;&}}\]]+",
            rf"\1{MARK}",
        ),
        # --api-key x, ["--api-key", "x"]
        (rf"(--[\w-]{{0,64}}?{_WORD}[\w-]{{0,64}}(?=[\"'\\\s,]){_NEXT})(?!--)[^\s\"'\\,\]]+", rf"\1{MARK}"),
        # {"name": "MY_PASSWORD", "value": "x"}
        (rf"({_ENTRY})[^\"'\\}}]+", rf"\1{MARK}"),
    )
)  # fmt: skip


class Redactor:
    """Takes out `known` values, in plain, base64 and percent-encoded, and what looks like one."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        forms = {form for value in known for form in _forms(value)}
        self._known = sorted(forms, key=len, reverse=True)
        self.count = 0

    def text(self, text: str) -> str:
        """The text without secrets."""
        for value in self._known:
            self.count += text.count(value)
            text = text.replace(value, MARK)
        for pattern, put in _PATTERNS:
            text, found = pattern.subn(put, text)
            self.count += found
        return text

    def object(self, value: Any) -> Any:
        """A JSON value without secrets: by the names of fields, then text by text."""
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return self._list(list(value))
        return self._string(value) if isinstance(value, str) else value

    def _string(self, value: str) -> str:
        """Annotations hold whole objects as JSON, whose fields have names as well."""
        if value.startswith(("{", "[")):
            with contextlib.suppress(ValueError, RecursionError):
                return json.dumps(self.object(json.loads(value)))
        return self.text(value)

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        whole: tuple[str, ...] = ("data", "stringData") if value.get("kind") == "Secret" else ()
        # An entry of env: {"name": "HF_TOKEN", "value": ...}
        whole += ("value",) if _NAME.search(str(value.get("name", ""))) else ()
        return {
            key: self._hide(each) if key in whole or _hides(key, each) else self.object(each)
            for key, each in value.items()
        }

    def _hide(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._hide(each) for key, each in value.items()}
        self.count += 1
        return MARK

    def _list(self, values: list[Any]) -> list[Any]:
        """["--api-key", "x"]: the value of an argument stands beside it."""
        found = [self.object(each) for each in values]
        for at, flag in enumerate(values[:-1]):
            after = values[at + 1]
            is_flag = isinstance(flag, str) and re.fullmatch(r"--?[\w-]+", flag)
            if is_flag and _NAME.search(flag) and not str(after).startswith("-"):
                found[at + 1] = self._hide(after)
        return found


def _hides(key: str, value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.search(key)) and not _REFERENCE.search(key)


def _forms(value: str) -> Iterable[str]:
    for part in (value, *value.splitlines()):
        plain = part.strip()
        if len(plain) >= LEAST_LENGTH:
            yield plain
            yield quote(plain, safe="")
            yield base64.b64encode(plain.encode()).decode()
            # As it stands in the middle of a JSON text.
            yield plain.replace("/", "\\/")
