"""The URL of Meta's e-mail: what can be mended, what is read in it, what is refused."""

from __future__ import annotations

import base64
import html
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_operator.api import signed_url
from llama_operator.api.signed_url import UrlRefused

EXPIRES = 1_800_000_000
SIGNATURE = "c2lnbmF0dXJlLXRoYXQtbm9ib2R5LW1heS1zZWU~"


def policy(resource: str = "https://llama3-1.llamameta.net/*", expires: Any = EXPIRES) -> str:
    statement = {"Resource": resource, "Condition": {"DateLessThan": {"AWS:EpochTime": expires}}}
    data = base64.b64encode(json.dumps({"Statement": [statement]}).encode()).decode()
    return data.translate(str.maketrans("+=/", "-_~"))


def url(path: str = "/*", host: str = "llama3-1.llamameta.net", **parts: str) -> str:
    values = {"Policy": policy(), "Signature": SIGNATURE, "Key-Pair-Id": "K15QRJLYKIFSLZ"} | parts
    query = "&".join(f"{name}={value}" for name, value in values.items() if value)
    return f"https://{host}{path}?{query}&Download-Request-ID=7"


GOOD = url()
ADDRESS = GOOD.replace("*", "Llama-3.1-8B/params.json")


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f"<{GOOD}>",
        f'"{GOOD}"',
        html.escape(GOOD),
        GOOD.replace("/*?", "/?"),
        GOOD.replace("/*?", "?"),
        GOOD.replace("/*?", "/Llama-3.1-8B/params.json?"),
        GOOD[:200] + "\r\n " + GOOD[200:],
        f"https://l.facebook.com/l.php?u={quote(GOOD, safe='')}&h=AT0abc",
        html.escape(f"https://l.facebook.com/l.php?h=AT0abc&u={quote(GOOD, safe='')}"),
    ],
    ids=[
        "as it is", "spaces", "angle brackets", "quotes", "escaped", "lost star", "lost path",
        "filled in", "two lines", "facebook", "facebook escaped",
    ],
)  # fmt: skip
def test_what_mail_programs_do_is_undone(text: str) -> None:
    found = signed_url.read(text)
    assert found.address("Llama-3.1-8B/params.json") == ADDRESS
    assert (found.host, found.expires) == ("llama3-1.llamameta.net", EXPIRES)
    assert found.expires_at == "2027-01-15T08:00:00Z"
    assert found.version == signed_url.read(GOOD).version


def test_a_path_before_the_star_is_kept() -> None:
    found = signed_url.read(url("/files/*"))
    assert found.address("a/b").startswith("https://llama3-1.llamameta.net/files/a/b?Policy=")


def test_another_signature_is_another_version() -> None:
    assert signed_url.read(url(Signature="x" * 40)).version != signed_url.read(GOOD).version


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not an https address"),
        ("hf_abc", "not an https address"),
        (GOOD.replace("https", "http"), "not an https address"),
        ("https://user:pass@" + GOOD.removeprefix("https://"), "not an https address"),
        ("https://llama3-1.llamameta.net/*", "lacks Policy, Signature, Key-Pair-Id"),
        (GOOD.partition("&Key-Pair-Id")[0], "lacks Key-Pair-Id"),
        (url(Policy="e30_"), "Policy that cannot be read"),
        (url(Policy="!!!"), "Policy that cannot be read"),
        (url(Policy=policy()[:60]), "Policy that cannot be read"),
        (url(Policy=policy(expires="soon")), "Policy that cannot be read"),
        (url(Policy=policy(expires=-1)), "Policy that cannot be read"),
        (url(host="evil.example.com"), "names 'evil.example.com'"),
        ("https://[::1" + GOOD, "not an https address"),
        ("x" * 9000, "9000 characters"),
    ],
)
def test_what_is_no_such_url(text: str, word: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        signed_url.read(text)
    assert refused.value.reason == "URLInvalid"
    assert word in str(refused.value)
    assert SIGNATURE not in str(refused.value)
    assert "e-mail" in refused.value.fix


def test_a_policy_for_many_hosts() -> None:
    wide = url(host="llama3-3.llamameta.net", Policy=policy("http*://*.llamameta.net/*"))
    assert signed_url.read(wide).host == "llama3-3.llamameta.net"


def test_the_time_is_read_in_the_url_itself() -> None:
    found = signed_url.read(GOOD)
    found.check_time(EXPIRES - 1)
    with pytest.raises(UrlRefused, match="2027-01-15T08:00:00Z") as refused:
        found.check_time(EXPIRES)
    assert refused.value.reason == "URLExpired"


def test_it_is_not_printed() -> None:
    assert SIGNATURE not in repr(signed_url.read(GOOD))


@given(st.text(max_size=200), st.integers(0, len(GOOD)))
def test_anything_is_read_or_refused(text: str, place: int) -> None:
    for candidate in (text, GOOD[:place] + text, GOOD[:place] + text + GOOD[place:]):
        try:
            signed_url.read(candidate)
        except UrlRefused as refused:
            assert refused.reason == "URLInvalid"
