"""Meta's server and a user's claim as sources: what the Jobs get, and what is refused before any."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import COMMIT, DIGEST, NOW, deployment, deployment_view, weights
from tests.support.builders import weights_view as plain_view
from tests.unit.reconcile.test_decide_weights import (
    ENDED,
    accessible,
    applied,
    ended,
    job_of,
    kinds,
    pod,
)

from llama_operator.api import signed_url
from llama_operator.api.quantity import parse_bytes
from llama_operator.api.signed_url import SignedUrl, UrlRefused
from llama_operator.reconcile import decide as servers
from llama_operator.reconcile import mounts, status_weights
from llama_operator.reconcile.copies import copy_of
from llama_operator.reconcile.decide_weights import decide
from llama_operator.reconcile.findings import WeightsDecision
from llama_operator.reconcile.outcome import SECRET_POLL_SECONDS
from llama_operator.reconcile.snapshot import UrlView, WeightsView

Object = dict[str, Any]
META: Object = {"meta": {"urlSecretRef": {"name": "mail", "key": "url"}}}
PLACED: Object = {"claim": {"name": "mine", "path": "models/8b"}}
CLAIM: Object = {"kind": "PersistentVolumeClaim", "metadata": {"name": "mine"}}


def url(
    host: str = "llama3-1.llamameta.net", hours: float = 20, signature: str = "s" * 20
) -> SignedUrl:
    expires = int((NOW + timedelta(hours=hours)).timestamp())
    statement = {
        "Resource": f"https://{host}/*",
        "Condition": {"DateLessThan": {"AWS:EpochTime": expires}},
    }
    policy = base64.b64encode(json.dumps({"Statement": [statement]}).encode()).decode()
    text = f"https://{host}/*?Policy={policy}&Signature={signature}&Key-Pair-Id=K"
    return signed_url.read(text)


def secret(found: SignedUrl | None = None, refused: UrlRefused | None = None) -> UrlView:
    return UrlView("mail", True, frozenset({"url"}), found, refused)


def meta_view(
    status: Object | None = None, children: list[Object] | None = None, **change: Any
) -> WeightsView:
    spec = {"source": META, **change.pop("spec", {})}
    change.setdefault("url", secret(url()))
    return plain_view(weights(status=status, **spec), children, **change)


def placed_view(
    status: Object | None = None, children: list[Object] | None = None, **change: Any
) -> WeightsView:
    spec = {"source": PLACED, **change.pop("spec", {})}
    change.setdefault("source_claim", CLAIM)
    return plain_view(weights(status=status, **spec), children, **change)


def container(decision: WeightsDecision) -> Object:
    found: Object = job_of(decision)["spec"]["template"]["spec"]["containers"][0]
    return found


def volumes(decision: WeightsDecision) -> dict[str, Object]:
    found = job_of(decision)["spec"]["template"]["spec"]["volumes"]
    return {each["name"]: each for each in found}


def status_of(view: WeightsView, decision: WeightsDecision) -> dict[str, tuple[str, str]]:
    built = status_weights.build(view, decision, None, ENDED)
    return {each["type"]: (each["status"], each["reason"]) for each in built["conditions"]}


# -- Meta -----------------------------------------------------------------------------------------


def test_the_url_is_a_reference_and_never_an_argument() -> None:
    for status in (None, accessible()):
        decision = decide(meta_view(status))
        made = container(decision)
        client.V1Job.model_validate(job_of(decision))
        assert made["args"][1] == "--source=meta"
        reference = next(each for each in made["env"] if each["name"] == "META_URL")
        assert reference["valueFrom"] == {
            "secretKeyRef": {"name": "mail", "key": "url", "optional": False}
        }
        assert "s" * 20 not in json.dumps(applied(decision))


def test_the_expiry_is_in_the_status_before_anything_is_asked() -> None:
    decision = decide(meta_view())
    assert decision.facts["urlExpiresAt"] == "2026-01-02T08:00:00Z"
    assert kinds(decision) == ["Job"]


def test_the_claim_has_room_for_the_originals_and_the_copy() -> None:
    size = 16_000_000_000
    claim = next(obj for obj in applied(decide(meta_view(accessible()))) if "Volume" in obj["kind"])
    asked = parse_bytes(claim["spec"]["resources"]["requests"]["storage"])
    assert 2 * size < asked < 2.5 * size


@pytest.mark.parametrize(
    ("view", "reason", "words"),
    [
        (UrlView("mail"), "SecretMissing", ("no Secret 'mail'", "entry 'url'")),
        (UrlView("mail", True, frozenset({"uri"})), "SecretMissing", ("no entry 'url'",)),
        (secret(url(hours=-1)), "URLExpired", ("expired at 2026-01-01T11:00:00Z", "e-mail")),
        (secret(url("llama3-2.llamameta.net")), "URLWrongFamily", ("Llama 3.2", "Llama 3.1")),
        (secret(refused=UrlRefused("URLInvalid", "the URL is bad")), "URLInvalid", ("is bad",)),
    ],
)
def test_a_url_of_no_use_is_refused_at_once_and_asked_for_again(
    view: UrlView, reason: str, words: tuple[str, ...]
) -> None:
    snapshot = meta_view(url=view)
    decision = decide(snapshot)
    assert decision.actions == []
    assert status_of(snapshot, decision)["Ready"] == ("False", reason)
    message = decision.conditions["Accessible"].message
    assert message.startswith("spec.source.meta.urlSecretRef: ")
    assert all(word in message for word in words), message
    assert decision.requeue_after == SECRET_POLL_SECONDS


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("llama-3.1-405b-fp8", "meta-llama/Llama-3.1-405B-FP8"),
        ("llama-4-scout-instruct", "meta-llama/Llama-4-Scout-17B-16E-Instruct"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_what_can_be_used(model: str, word: str) -> None:
    snapshot = meta_view(spec={"model": model})
    decision = decide(snapshot)
    assert status_of(snapshot, decision)["Ready"] == ("False", "FormatUnsupported")
    assert word in decision.conditions["Converted"].message
    assert (decision.actions, decision.requeue_after) == ([], None)


def test_a_model_outside_the_catalogue_has_no_files_there() -> None:
    decision = decide(meta_view(spec={"model": "org/own"}))
    assert "catalogue" in decision.conditions["Accessible"].message
    assert decision.actions == []


def test_another_url_is_another_job_that_goes_on() -> None:
    first, second = url(signature="a" * 20), url(signature="b" * 20)
    one = decide(meta_view(accessible(), url=secret(first)))
    two = decide(meta_view(accessible(), [ended(job_of(one), "Failed")], url=secret(second)))
    assert job_of(two)["metadata"]["name"] != job_of(one)["metadata"]["name"]
    paths = [
        next(arg for arg in container(each)["args"] if arg.startswith("--dest="))
        for each in (one, two)
    ]
    assert paths[0] == paths[1]


@pytest.mark.parametrize("reason", ["URLExpired", "URLExhausted"])
def test_a_refused_url_is_not_tried_again_until_there_is_another(reason: str) -> None:
    job = job_of(decide(meta_view(accessible())))
    said = {"ok": False, "condition": "Accessible", "reason": reason, "message": "403"}
    late = timedelta(hours=1)
    snapshot = meta_view(accessible(), [ended(job, "Failed")], pods=(pod(said, 1),))
    decision = decide(snapshot)
    assert decision.actions == [], "the Job stands for the URL that was refused"
    assert status_of(snapshot, decision)["Downloaded"] == ("False", "WaitingForURL")
    assert status_of(snapshot, decision)["Accessible"] == ("False", reason)
    assert decision.requeue_after == SECRET_POLL_SECONDS
    assert late > timedelta(seconds=SECRET_POLL_SECONDS)


def test_a_job_under_way_is_not_disturbed_by_a_url_that_has_expired_meanwhile() -> None:
    job = job_of(decide(meta_view(accessible())))
    running = {**job, "metadata": {**job["metadata"], "uid": "uid-job"}}
    for gone in (secret(url(hours=-1)), UrlView("mail")):
        decision = decide(meta_view(accessible(), [running], url=gone))
        assert decision.actions == []
        assert decision.conditions["Downloaded"].reason == "Downloading"


def test_a_converted_copy_says_so() -> None:
    job = job_of(decide(meta_view(accessible())))
    result = {"ok": True, "digest": DIGEST, "bytes": 5, "files": 4, "format": "safetensors"}
    snapshot = meta_view(accessible(), [ended(job)], pods=(pod(result),))
    decision = decide(snapshot)
    assert status_of(snapshot, decision)["Converted"] == ("True", "Complete")
    assert status_of(snapshot, decision)["Ready"] == ("True", "Published")
    assert decision.facts["lastVerifiedAt"] == "2026-01-01T12:00:00Z"
    assert "urlExpiresAt" not in decision.facts


def test_originals_are_kept_where_the_spec_says_so() -> None:
    assert "--keep-originals" not in container(decide(meta_view(accessible())))["args"]
    kept = decide(meta_view(accessible(), spec={"keepOriginals": True}))
    assert "--keep-originals" in container(kept)["args"]


def test_authorities_are_mounted_and_named() -> None:
    bundle = {"configMapName": "authorities", "key": "root.pem"}
    decision = decide(meta_view(spec={"caBundle": bundle}))
    assert volumes(decision)["ca"]["configMap"] == {
        "name": "authorities",
        "items": [{"key": "root.pem", "path": "ca.crt"}],
    }
    variables = {each["name"]: each.get("value") for each in container(decision)["env"]}
    mounts_ = {each["name"]: each["mountPath"] for each in container(decision)["volumeMounts"]}
    assert variables["SSL_CERT_FILE"] == f"{mounts_['ca']}/ca.crt"


# -- a claim of the user --------------------------------------------------------------------------


def looked(kind: str = "safetensors") -> Object:
    return {**accessible(), "format": kind}


def test_the_users_claim_is_only_ever_read() -> None:
    for status in (None, looked()):
        decision = decide(placed_view(status))
        client.V1Job.model_validate(job_of(decision))
        assert volumes(decision)["source"]["persistentVolumeClaim"] == {
            "claimName": "mine",
            "readOnly": True,
        }
        mounted = [each for each in container(decision)["volumeMounts"] if each["name"] != "tmp"]
        assert mounted == [{"name": "source", "mountPath": "/source", "readOnly": True}]
        assert "PersistentVolumeClaim" not in kinds(decision)
    assert container(decision)["args"][:2] == ["adopt", "/source/models/8b"]
    assert decision.facts["claimName"] == "mine"


def test_servers_mount_what_was_found_there() -> None:
    done = {**looked(), "digest": DIGEST, "path": "models/8b", "claimName": "mine"}
    snapshot = placed_view(done)
    decision = decide(snapshot)
    assert status_of(snapshot, decision)["Converted"] == ("True", "NotNeeded")
    assert decision.facts["claimName"] == "mine"
    found = copy_of({**snapshot.raw, "status": done})
    assert (found.claim, found.path) == ("mine", "models/8b")


def test_files_at_the_root_of_a_claim_count_as_used() -> None:
    raw = weights(
        source={"claim": {"name": "mine"}},
        status={**looked(), "digest": DIGEST, "path": "", "claimName": "mine"},
    )
    assert mounts.of_weights(raw) == "default/mine/"
    assert copy_of(raw).path == ""


def test_metas_files_there_are_converted_into_a_claim_of_ours() -> None:
    decision = decide(placed_view(looked("meta")))
    args = container(decision)["args"]
    assert args[:2] == ["convert", "/source/models/8b"]
    assert args[2].startswith("/weights/llama-3.1-8b-instruct/")
    assert "--model=llama-3.1-8b-instruct" in args
    assert set(volumes(decision)) == {"tmp", "source", "weights"}
    done = {**looked(), "digest": DIGEST, "path": args[2].removeprefix("/weights/")}
    snapshot = placed_view(done, [{"kind": "PersistentVolumeClaim", "metadata": {"name": "w"}}])
    after = decide(snapshot)
    assert after.facts["claimName"] == "w"
    assert status_of(snapshot, after)["Converted"] == ("True", "Complete")
    assert copy_of({**snapshot.raw, "status": done}).claim == "w"


def test_a_claim_that_is_not_there() -> None:
    snapshot = placed_view(source_claim=None)
    decision = decide(snapshot)
    assert decision.actions == []
    assert status_of(snapshot, decision)["VolumeReady"] == ("False", "ClaimMissing")
    assert "spec.source.claim.name" in decision.conditions["VolumeReady"].message


def test_a_plan_waits_until_the_files_were_looked_at() -> None:
    raw = deployment(source=PLACED)
    waiting = servers.decide(deployment_view(raw))
    assert waiting.judgement.condition.reason == "WaitingForShape"
    made = weights("x", status=looked(), source=PLACED)
    assert servers.decide(deployment_view(raw, weights=made)).judgement.plan is not None


def test_a_lying_job_cannot_make_servers_mount_another_path() -> None:
    raw = weights(
        source=PLACED, status={**looked(), "digest": DIGEST, "path": "models", "claimName": "mine"}
    )
    refused = servers.decide(deployment_view(deployment(weightsRef={"name": "w"}), weights=raw))
    assert refused.weights_ready.status == "False"
    assert "not of our making" in refused.weights_ready.message


# -- read again by schedule -----------------------------------------------------------------------


def published(since: str, **more: Any) -> Object:
    return {
        **looked(),
        "digest": DIGEST,
        "path": "llama/0123456789abcdef",
        "lastVerifiedAt": since,
        **more,
    }


OWN: Object = {"kind": "PersistentVolumeClaim", "metadata": {"name": "w"}}
DAILY: Object = {"verify": {"schedule": "Daily"}}


def again(status: Object, *children: Object, **change: Any) -> tuple[WeightsView, WeightsDecision]:
    view = plain_view(weights(status=status, **DAILY), [OWN, *children], **change)
    return view, decide(view)


def test_nothing_is_read_again_unless_asked_for() -> None:
    decision = decide(plain_view(weights(status=published("2020-01-01T00:00:00Z")), [OWN]))
    assert (applied(decision), decision.requeue_after) == ([], None)


def test_a_round_begins_when_it_is_due() -> None:
    _, early = again(published("2025-12-31T13:00:00Z"))
    assert (applied(early), early.requeue_after) == ([], 3600)
    _, due = again(published("2025-12-31T12:00:00Z"))
    assert kinds(due) == ["ServiceAccount", "Role", "RoleBinding", "Job"]
    assert container(due)["args"][:2] == ["verify", "/weights/llama/0123456789abcdef"]
    assert [each["name"] for each in container(due)["env"]] == ["HOME"], "no credential goes along"
    mount = next(each for each in container(due)["volumeMounts"] if each["name"] == "weights")
    assert mount["readOnly"] is True


def test_a_good_round_moves_the_date_and_nothing_else() -> None:
    _, due = again(published("2025-12-31T12:00:00Z"))
    job = ended(job_of(due))
    view, over = again(
        published("2025-12-31T12:00:00Z"), job, pods=(pod({"ok": True, "digest": DIGEST}),)
    )
    assert over.facts["lastVerifiedAt"] == "2026-01-01T12:00:00Z"
    assert status_of(view, over)["Ready"] == ("True", "Published")
    _, after = again(published("2026-01-01T12:00:00Z"), job)
    assert [action.name for action in after.actions] == [job["metadata"]["name"]]  # type: ignore[union-attr]


def test_a_bad_round_is_said_until_a_good_one() -> None:
    _, due = again(published("2025-12-31T12:00:00Z"))
    said = {
        "ok": False,
        "condition": "Verified",
        "reason": "ChecksumMismatch",
        "message": "model.safetensors",
    }
    view, over = again(
        published("2025-12-31T12:00:00Z"), ended(job_of(due), "Failed"), pods=(pod(said, 1),)
    )
    assert status_of(view, over)["Ready"] == ("False", "ChecksumMismatch")
    assert over.facts["lastVerifiedAt"] == "2026-01-01T12:00:00Z"
    built = status_weights.build(view, over, None, ENDED)
    view, later = again({**published("2026-01-01T12:00:00Z"), "conditions": built["conditions"]})
    assert status_of(view, later)["Verified"] == ("False", "ChecksumMismatch")


def asked(at: str, status: Object, *children: Object, **change: Any) -> WeightsDecision:
    raw = weights(status=status, meta={"annotations": {"llamactl.dev/verify-at": at}})
    return decide(plain_view(raw, [OWN, *children], **change))


def test_a_round_that_is_asked_for_begins_at_once_and_once() -> None:
    before = published("2026-01-01T11:00:00Z")
    due = asked("2026-01-01T11:59:00Z", before)
    assert kinds(due) == ["ServiceAccount", "Role", "RoleBinding", "Job"]
    job = ended(job_of(due))
    over = asked("2026-01-01T11:59:00Z", before, job, pods=(pod({"ok": True, "digest": DIGEST}),))
    assert (over.facts["lastVerifiedAt"], over.actions) == ("2026-01-01T12:00:00Z", [])
    after = asked("2026-01-01T11:59:00Z", published("2026-01-01T12:00:00Z"), job)
    assert [action.name for action in after.actions] == [job["metadata"]["name"]]  # type: ignore[union-attr]
    assert after.requeue_after is None


def test_a_round_that_is_asked_for_later_waits_and_a_text_that_is_no_time_does_nothing() -> None:
    later = asked("2026-01-01T13:00:00Z", published("2026-01-01T11:00:00Z"))
    assert (applied(later), later.requeue_after) == ([], 3600)
    for text in ("soon", "", "2026-01-01T11:59:00"):
        ignored = asked(text, published("2026-01-01T11:00:00Z"))
        assert (applied(ignored), ignored.requeue_after) == ([], None)


def test_a_copy_of_an_older_version_can_be_asked_for_too() -> None:
    status = published("")
    del status["lastVerifiedAt"]
    assert kinds(asked("2026-01-01T11:59:00Z", status))[-1] == "Job"


def test_another_manifest_is_no_good_round() -> None:
    _, due = again(published("2025-12-31T12:00:00Z"))
    other = {"ok": True, "digest": "sha256:" + "e" * 64}
    view, over = again(published("2025-12-31T12:00:00Z"), ended(job_of(due)), pods=(pod(other),))
    assert status_of(view, over)["Verified"] == ("False", "ChecksumMismatch")


def test_files_of_the_user_are_held_against_their_first_digest() -> None:
    status = published("2025-12-31T12:00:00Z", path="models/8b", claimName="mine")
    decision = decide(placed_view(status, spec=DAILY))
    assert container(decision)["args"][:3] == ["adopt", "/source/models/8b", f"--digest={DIGEST}"]
    assert COMMIT in json.dumps(status)
