"""TLS of the operator's port: who mounts what, who looks for which name, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llama_operator.chart.generate import CHART
from tests.chart.helm import MONITORING, Refused, arguments, helm, kinds, of, pod, rendered
from tests.chart.kinds import validate
from tests.chart.variants import EVERYTHING
from tests.support.podsecurity import findings

Object = dict[str, Any]
HOST = "llama-operator.llama-system.svc"
CERT_MANAGER = "--api-versions=cert-manager.io/v1/Certificate"


def secured(*args: str, **tls: Any) -> list[Object]:
    return rendered({"metrics": {"tls": {"secretName": "op-tls", **tls}}}, *MONITORING, *args)


def endpoint(objects: list[Object]) -> Object:
    (found,) = of("ServiceMonitor", objects)["spec"]["endpoints"]
    return dict(found)


def mounts(spec: Object) -> dict[str, Object]:
    """The volume of each path of a pod's container."""
    volumes = {each["name"]: each for each in spec["volumes"]}
    (container,) = spec["containers"]
    return {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}


def option(objects: list[Object], name: str) -> list[str]:
    return [each.partition("=")[2] for each in arguments(objects) if each.startswith(name)]


def test_without_a_secret_nothing_is_secured() -> None:
    objects = rendered({}, *MONITORING, CERT_MANAGER)
    assert not option(objects, "--metrics-tls-dir") + option(objects, "--metrics-client-ca")
    assert endpoint(objects).keys() == {"port", "path", "interval", "honorLabels"}
    (container,) = pod(objects)["containers"]
    assert "scheme" not in container["livenessProbe"]["httpGet"]
    assert set(mounts(pod(objects))) == {"/tmp"}
    test = of("Pod", objects)["spec"]
    assert "volumes" not in test
    assert "wrap_socket" not in test["containers"][0]["args"][0]
    assert "Certificate" not in kinds(objects)


def test_a_secret_is_mounted_served_probed_and_scraped() -> None:
    objects = secured()
    (directory,) = option(objects, "--metrics-tls-dir")
    assert mounts(pod(objects))[directory]["secret"] == {"secretName": "op-tls"}
    (container,) = pod(objects)["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    found = endpoint(objects)
    assert found["scheme"] == "https"
    assert found["tlsConfig"] == {
        "serverName": HOST,
        "ca": {"secret": {"name": "op-tls", "key": "ca.crt"}},
    }
    assert findings(pod(objects)) == []


def test_who_may_connect_and_what_is_alerted_stays_as_it_is() -> None:
    def same(objects: list[Object]) -> list[Object]:
        wanted = ("NetworkPolicy", "PrometheusRule", "PodMonitor", "Service")
        return [each for each in objects if each["kind"] in wanted]

    assert same(secured()) == same(rendered({}, *MONITORING))


def test_names_and_authorities_are_those_of_the_values() -> None:
    objects = rendered(EVERYTHING)
    found = endpoint(objects)
    assert found["tlsConfig"] == {
        "serverName": "ops.example.com",
        "ca": {"secret": {"name": "corp-ca", "key": "root.pem"}},
        "cert": {"secret": {"name": "prom-tls", "key": "tls.crt"}},
        "keySecret": {"name": "prom-tls", "key": "tls.key"},
    }
    (file,) = option(objects, "--metrics-client-ca")
    directory, _, entry = file.rpartition("/")
    clients = mounts(pod(objects))[directory]["secret"]
    assert clients == {"secretName": "scrapers", "items": [{"key": "ca.crt", "path": entry}]}


def test_authorities_that_are_known_anyway_or_not_asked_for() -> None:
    assert endpoint(secured(caKey=""))["tlsConfig"] == {"serverName": HOST}
    blind = secured(insecureSkipVerify=True)
    assert endpoint(blind)["tlsConfig"] == {"serverName": HOST, "insecureSkipVerify": True}
    for objects in (secured(caKey=""), blind):
        spec = of("Pod", objects)["spec"]
        assert "volumes" not in spec
        assert "CERT_NONE" in spec["containers"][0]["args"][0]


def test_helm_test_verifies_as_prometheus_does_and_sees_no_key() -> None:
    spec = of("Pod", rendered(EVERYTHING))["spec"]
    program = spec["containers"][0]["args"][0]
    compile(program, "test", "exec")
    assert 'server_hostname="ops.example.com"' in program
    assert "CERT_NONE" not in program
    (path,) = [path for path in mounts(spec) if f'cafile="{path}/ca.crt"' in program]
    volume = mounts(spec)[path]["secret"]
    assert volume == {"secretName": "corp-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}
    assert findings(spec) == []


# -- cert-manager -----------------------------------------------------------------------------


def by(**manager: Any) -> Object:
    return {"metrics": {"tls": {"certManager": manager}}}


def test_cert_manager_makes_the_secret_that_is_served() -> None:
    objects = rendered(by(issuerRef={"name": "corp"}), *MONITORING, CERT_MANAGER)
    made = of("Certificate", objects)
    validate(made)
    assert made["spec"]["issuerRef"] == {
        "name": "corp", "kind": "Issuer", "group": "cert-manager.io",
    }  # fmt: skip
    assert made["spec"]["dnsNames"] == [HOST, f"{HOST}.cluster.local"]
    (directory,) = option(objects, "--metrics-tls-dir")
    secret = mounts(pod(objects))[directory]["secret"]["secretName"]
    assert secret == made["spec"]["secretName"] == "llama-operator-metrics"
    assert endpoint(objects)["tlsConfig"]["ca"]["secret"]["name"] == secret
    named = of("Certificate", rendered(EVERYTHING))["spec"]
    assert named["secretName"] == "op-tls"
    assert named["dnsNames"][0] == endpoint(rendered(EVERYTHING))["tlsConfig"]["serverName"]


def test_an_issuer_without_cert_manager_is_refused_unless_it_is_meant() -> None:
    with pytest.raises(
        Refused, match="corp is an issuer of cert-manager, and this cluster does not"
    ):
        rendered(by(issuerRef={"name": "corp"}))
    assert "Certificate" in kinds(rendered(by(enabled=True, issuerRef={"name": "corp"})))
    off = rendered(by(enabled=False, issuerRef={"name": "corp"}), CERT_MANAGER)
    assert "Certificate" not in kinds(off)
    assert not option(off, "--metrics-tls-dir")


# -- what cannot be ---------------------------------------------------------------------------


def test_clients_without_tls_and_a_prometheus_without_a_certificate_are_refused() -> None:
    with pytest.raises(Refused, match="clientCaSecretName: scrapers is of no use without TLS"):
        rendered({"metrics": {"tls": {"clientCaSecretName": "scrapers"}}})
    with pytest.raises(Refused, match=r"clientSecretName: with metrics\.tls\.clientCaSecretName"):
        secured(clientCaSecretName="scrapers")
    tls = {"secretName": "a", "clientCaSecretName": "scrapers"}
    without = {"serviceMonitor": {"enabled": False}, "tls": tls}
    assert option(rendered({"metrics": without}, *MONITORING), "--metrics-client-ca")


def test_notes_name_the_scheme_and_what_is_given_up() -> None:
    def notes(*args: str) -> str:
        command = ("install", "llama", str(CHART), "--dry-run=client", "--namespace=sys")
        return helm(*command, *args).split("NOTES:")[1]

    assert "scrape http://llama-llama-operator.sys.svc:8081/metrics; metrics.perObject=true" in (
        notes()
    )
    said = notes(
        "--set=metrics.tls.secretName=a,metrics.tls.insecureSkipVerify=true,metrics.perObject=true"
    )
    assert "scrape https://llama-llama-operator.sys.svc:8081/metrics." in said
    assert "takes any certificate" in said


# -- series of each object --------------------------------------------------------------------


def per_object(metrics: Object, *args: str) -> bool:
    return "--metrics-per-object" in arguments(rendered({"metrics": metrics}, *args))


def test_series_of_each_object_are_there_where_something_reads_them() -> None:
    assert not per_object({})
    assert per_object({}, *MONITORING)
    assert not per_object({"rules": {"enabled": False}}, *MONITORING)
    assert per_object({"rules": {"enabled": True}})
    assert per_object({"dashboards": {"enabled": True}})
    assert per_object({"perObject": True})
    assert not per_object({"perObject": False})
    assert not per_object({"perObject": False, "rules": {"enabled": False}}, *MONITORING)


def test_alerts_and_dashboards_that_would_show_nothing_are_refused() -> None:
    with pytest.raises(
        Refused, match=r"perObject: false takes away .* set metrics.rules.enabled=fal"
    ):
        per_object({"perObject": False}, *MONITORING)
    with pytest.raises(Refused, match=r"set metrics\.dashboards.enabled=false as well"):
        per_object({"perObject": False, "dashboards": {"enabled": True}})
    both = {"perObject": False, "dashboards": {"enabled": True}, "rules": {"enabled": True}}
    with pytest.raises(
        Refused, match=r"rules\.enabled=false and metrics.dashboards.enabled=false as"
    ):
        per_object(both)
