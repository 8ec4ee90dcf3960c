"""The API keys of an endpoint: in which Secret they are, new ones, and old ones for a while.

The guard in each server reads the mounted Secret again when it changes. Servers that were made
before the guard have the entry `default` as a variable of their container, and go on with the key
that they started with; they are named.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from llama_operator.api import labels
from llamactl import changing, keyentries, output, view
from llamactl.errors import BadValueError, CliError
from llamactl.keyentries import DEFAULT, Entry
from llamactl.kube import Kube, Object
from llamactl.near import or_list
from llamactl.resources import DEPLOYMENTS, PODS, SECRETS

RESTART_FIELD = "podMetadata.annotations.key-rotated-at"
# Kubelets look at a Secret every minute, and some of their caches add one.
SOON = "within two minutes, without a restart"


class Found(NamedTuple):
    """A key, and the entry of the Secret that holds it."""

    secret: str
    entry: str
    key: str


class Keys(NamedTuple):
    """The Secret of a deployment, with its version, and its entries."""

    secret: str
    version: str
    entries: list[Entry]

    def of(self, name: str) -> Entry:
        """The entry of that name. Raises CliError."""
        for each in self.entries:
            if each.name == name:
                return each
        there = or_list(each.name for each in self.entries) or "none"
        raise CliError(
            f"Secret {self.secret} has no entry {name!r}", fix=f"Its entries are: {there}"
        )


def is_asked_for(obj: Mapping[str, Any]) -> bool:
    """Does the deployment's endpoint ask for a key?"""
    return bool(view.path(obj, "spec", "auth", "mode") != "None")


def secret_name(obj: Mapping[str, Any]) -> str:
    """The Secret with the keys of a deployment: what its status says, else what its spec means."""
    said = view.path(obj, "status", "endpoint", "secretName")
    return str(
        said or view.path(obj, "spec", "auth", "secretName") or f"{view.name_of(obj)}-api-key"
    )


def read(kube: Kube, obj: Mapping[str, Any], entry: str = "") -> Found:
    """The key that requests are sent with. Raises CliError for an endpoint or a Secret without."""
    keys = entries(kube, obj)
    found = keys.of(entry) if entry else keyentries.chosen(keys.entries, now())
    if found is None or not found.key:
        raise CliError(
            f"Secret {keys.secret} holds no key{f' in {entry}' if entry else ''}",
            fix=f"Its entry {entry or DEFAULT} is the key; make one",
            next=_llamactl(kube, obj, "rotate"),
        )
    return Found(keys.secret, found.name, found.key)


def entries(kube: Kube, obj: Mapping[str, Any]) -> Keys:
    """What the Secret holds. Raises CliError for an endpoint that asks for no key."""
    _check(kube, obj)
    name = secret_name(obj)
    secret = kube.get(SECRETS, name)
    version = str(view.path(secret, "metadata", "resourceVersion") or "")
    return Keys(name, version, keyentries.read(secret))


def rotate(
    kube: Kube, obj: Mapping[str, Any], entry: str, overlap: float, *, restart: bool, dry: bool
) -> str:
    """Put a new key beside the old one and say what follows; returns the Secret's name."""
    keys = entries(kube, obj)
    there = [each for each in keys.entries if each.of == keyentries.check_name(entry)]
    if not there and entry != DEFAULT:
        keys.of(entry)
    until = now() + timedelta(seconds=overlap)
    data: dict[str, str | None] = {entry: _new_key()}
    for each in there:
        if each.until and not (overlap and each.counts(now())):
            data[each.name] = None  # ended, or none is to count on
        elif each.name == entry and overlap and each.key:
            data[keyentries.old_name(entry, until)] = _encoded(each.key)
    _write(kube, keys, data, dry=dry)
    if not dry:
        if there:
            old = [name for name, text in data.items() if text and name != entry]
            _tell_old(kube, obj, entry, old)
        _follow_all(kube, keys.secret, obj, restart=restart)
    return keys.secret


def add(kube: Kube, obj: Mapping[str, Any], entry: str, *, dry: bool) -> str:
    """Put a key for somebody else into the Secret; returns its name."""
    keys = entries(kube, obj)
    if any(each.name == keyentries.check_name(entry) for each in keys.entries):
        raise CliError(
            f"Secret {keys.secret} has an entry {entry!r} already",
            fix="Take another name, or give it a new key",
            next=_llamactl(kube, obj, "rotate", "--entry", entry),
        )
    _write(kube, keys, {entry: _new_key()}, dry=dry)
    if not dry:
        _follow_all(kube, keys.secret, obj, restart=False)
    return keys.secret


def revoke(kube: Kube, obj: Mapping[str, Any], entry: str, *, dry: bool) -> str:
    """Take a key out of the Secret; returns its name. Raises CliError for one that is needed."""
    keys = entries(kube, obj)
    gone = keys.of(entry)
    others = [each for each in keys.entries if each.name != entry and each.counts(now())]
    if gone.counts(now()) and not others:
        raise CliError(
            f"{entry} is the last key of Secret {keys.secret}, and no server starts without one",
            fix="Put a new one in its place, and end this one at once",
            next=_llamactl(kube, obj, "rotate", "--entry", entry, "--overlap", "0s"),
        )
    if entry == DEFAULT and any(map(_is_old, _servers(kube, keys.secret, obj))):
        raise CliError(
            f"servers that were made before keys could rotate read {DEFAULT} when they start",
            fix="Put a new one in its place, and restart them",
            next=_llamactl(kube, obj, "rotate", "--overlap", "0s", "--restart"),
        )
    _write(kube, keys, {entry: None}, dry=dry)
    if not dry:
        _follow_all(kube, keys.secret, obj, restart=False)
    return keys.secret


def check_overlap(seconds: float) -> None:
    """Raises BadValueError for a time that has no date."""
    if seconds > 366 * 86400:
        raise BadValueError(
            "the old key cannot count for more than 366 days",
            field="--overlap",
            fix="Give it as long as your clients need to take the new one, such as 1h or 7d",
        )


def now() -> datetime:
    """The present, to the second, as it stands in names of entries."""
    return datetime.now(UTC).replace(microsecond=0)


def _new_key() -> str:
    return _encoded(f"sk-{secrets.token_urlsafe(32)}")


def _encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _llamactl(kube: Kube, obj: Mapping[str, Any], verb: str, *more: str) -> str:
    return kube.settings.llamactl("key", verb, view.name_of(obj), *more)


def _write(kube: Kube, keys: Keys, data: Mapping[str, str | None], *, dry: bool) -> None:
    # Of the version that was read: of two rotations at once, one would lose a key.
    body = {"metadata": {"resourceVersion": keys.version or None}, "data": data}
    kube.patch(SECRETS, keys.secret, body, dry=dry)


def _check(kube: Kube, obj: Mapping[str, Any]) -> None:
    if not is_asked_for(obj):
        raise CliError(
            f"{view.name_of(obj)} asks for no API key (spec.auth.mode is None)",
            fix="With auth.mode=APIKey it does; that restarts its servers",
            next=kube.settings.llamactl("set", view.name_of(obj), "auth.mode=APIKey"),
        )


def _tell_old(kube: Kube, obj: Mapping[str, Any], entry: str, old: list[str]) -> None:
    if not old:
        output.talk(f"The old key of {entry} ends when the servers have seen the change.")
    for name in old:
        _, until = name.rsplit("-", 1)
        told = keyentries.clock(keyentries.parse(until))
        output.talk(
            f"The old key counts until {told}, as entry {name}. It ends by itself; now with:"
        )
        output.hint(_llamactl(kube, obj, "revoke", name))


# -- the servers that use it ---------------------------------------------------------------------


def _users(kube: Kube, secret: str, obj: Mapping[str, Any]) -> list[str]:
    """Deployments whose keys are in the Secret: one that the user named may serve several."""
    if not view.path(obj, "spec", "auth", "secretName"):
        return [view.name_of(obj)]
    return sorted(
        view.name_of(each)
        for each in kube.list(DEPLOYMENTS)
        if is_asked_for(each) and secret_name(each) == secret
    )


def _servers(kube: Kube, secret: str, obj: Mapping[str, Any]) -> list[Object]:
    return [pod for name in _users(kube, secret, obj) for pod in _pods(kube, name)]


def _pods(kube: Kube, name: str) -> list[Object]:
    return kube.list(PODS, selector=view.servers_selector(name))


def _is_old(pod: Object) -> bool:
    return labels.GUARD not in (view.path(pod, "metadata", "annotations") or {})


def _follow_all(kube: Kube, secret: str, obj: Mapping[str, Any], *, restart: bool) -> None:
    for name in _users(kube, secret, obj):
        _follow(kube, name, restart=restart)


def _follow(kube: Kube, name: str, *, restart: bool) -> None:
    pods = _pods(kube, name)
    old = [pod for pod in pods if _is_old(pod)]
    if not pods:
        output.talk(f"{name}: no server runs; the next one starts with the keys as they are.")
    if len(pods) > len(old):
        output.talk(f"{name}: {_count(len(pods) - len(old), 'see', 'sees')} the change {SOON}.")
        _wake(kube, [pod for pod in pods if not _is_old(pod)])
    if old:
        _follow_old(kube, name, len(old), restart=restart)


def _wake(kube: Kube, pods: list[Object]) -> None:
    """A kubelet mounts a pod's volumes anew as soon as the pod changes; without the right it waits."""
    # To the microsecond, or the second change of a second would be none.
    moment = datetime.now(UTC).isoformat()
    for pod in pods:
        body = {"metadata": {"annotations": {labels.KEYS_CHANGED: moment}}}
        try:
            kube.patch(PODS, view.name_of(pod), body)
        except CliError:
            return


def _follow_old(kube: Kube, name: str, count: int, *, restart: bool) -> None:
    change = f"{RESTART_FIELD}={now().strftime('%Y%m%dT%H%M%SZ')}"
    if restart:
        changing.run(kube, name, [change], dry=False)
        return
    output.talk(
        f"{name}: {_count(count, 'were', 'was')} made before keys could change while a server runs, "
        f"and know{'' if count > 1 else 's'} the key that {DEFAULT} had at the start. Restart one after "
        "another:"
    )
    output.hint(kube.settings.llamactl("set", name, change))


def _count(count: int, many: str, one: str) -> str:
    return f"1 server {one}" if count == 1 else f"{count} servers {many}"
