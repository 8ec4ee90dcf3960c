"""What a Gateway says of the address under which a route is reached: pure.

A route knows its hosts, its Gateway knows the rest: port, TLS, and the hosts of each listener.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec

Object = dict[str, Any]
# Namespace and name of a Gateway.
Parent = tuple[str, str]
_LISTENER = ("name", "hostname", "port", "protocol")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Address:
    """Where a listener takes requests; `host` is "" where no name of one host is known."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Without a path; "" where there is no host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS[self.scheme]
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}" if host else ""


def slim(gateway: Object) -> Object:
    """Of a Gateway its listeners and its addresses, which change seldom."""
    meta = {n: gateway["metadata"][n] for n in ("name", "namespace", "uid", "resourceVersion")}
    found = gateway.get("spec", {}).get("listeners") or ()
    return {
        "metadata": meta,
        "listeners": [{n: each[n] for n in _LISTENER if n in each} for each in found],
        "addresses": [
            str(each.get("value", "")) for each in gateway.get("status", {}).get("addresses") or ()
        ],
    }


def changed(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for a Gateway that only counts its routes anew."""
    if old is None or new is None:
        return True
    return any(old[name] != new[name] for name in ("listeners", "addresses"))


def parents(spec: LlamaDeploymentSpec, namespace: str) -> list[Parent]:
    """The Gateways that a spec names."""
    wanted = spec.endpoint.http_route
    return (
        [(each.namespace or namespace, each.name) for each in wanted.parent_refs] if wanted else []
    )


def addresses(gateway: Object, reference: Object, hosts: list[str]) -> Iterator[Address]:
    """Where the listeners that `reference` means take requests for `hosts`; [] is any host."""
    given = next(iter(gateway["addresses"]), "")
    for listener in gateway["listeners"]:
        scheme = str(listener.get("protocol", "")).lower()
        if scheme in _PORTS and _meant(listener, reference):
            host = _host(hosts, listener.get("hostname", ""), given)
            yield Address(scheme, host, int(listener["port"]))


def unseen(reference: Object, hosts: list[str]) -> Address:
    """The same of a Gateway that we may not read: by the port that the spec names, else plain."""
    port = int(reference.get("port") or _PORTS["http"])
    scheme = "https" if port == _PORTS["https"] else "http"
    return Address(scheme, _host(hosts, "", ""), port)


def _meant(listener: Object, reference: Object) -> bool:
    wanted = {"name": reference.get("sectionName"), "port": reference.get("port")}
    return all(value is None or listener.get(name) == value for name, value in wanted.items())


def _host(hosts: Iterable[str], own: str, given: str) -> str:
    """One host that is both of the route's and of the listener's; `given` where both take any."""
    wanted = list(hosts)
    if not wanted:
        return own if own and not own.startswith("*") else "" if own else given
    if own and not own.startswith("*"):
        return own if any(_fits(own, each) for each in wanted) else ""
    named = [each for each in wanted if not each.startswith("*")]
    return next((each for each in named if not own or _fits(each, own)), "")


def _fits(host: str, pattern: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))
