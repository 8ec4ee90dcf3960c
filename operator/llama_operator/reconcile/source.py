"""Where a copy comes from, whose credential goes there, and where the copy lies."""

from __future__ import annotations

import re
from dataclasses import replace

from llama_operator.api.conditions import Condition
from llama_operator.api.quantity import parse_bytes
from llama_operator.api.signed_url import UrlRefused
from llama_operator.api.v1alpha1 import HuggingFaceSource
from llama_operator.api.v1alpha1_source import MetaSource
from llama_operator.catalog import entry, meta_files
from llama_operator.catalog.catalog import Model
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.render import claim, origins
from llama_operator.render.claim import users_claim
from llama_operator.render.inputs import Fetching
from llama_operator.render.meta import digest
from llama_operator.render.origins import Hub, MetaUrl, Origin, Placed

_URL = "spec.source.meta.urlSecretRef"
# The status says so after the look; the Job's word decides no more than which of two Jobs follows.
_TO_CONVERT = "meta"


class UnusableSourceError(Exception):
    """The source cannot be fetched from; `condition` says why.

    `waits`: what is missing may come without any event, such as a Secret.
    """

    def __init__(self, condition: Condition, *, waits: bool = False) -> None:
        super().__init__(condition.message)
        self.condition, self.waits = condition, waits


def fetching(view: WeightsView) -> Fetching:
    """What the Jobs of this LlamaWeights need.

    Raises UnusableSourceError for a source that nothing can be fetched from.
    """
    source = view.spec.source
    if source is not None and source.meta is not None:
        return _located(view, _meta(view, source.meta))
    if source is not None and source.claim is not None and view.spec.adapter:
        place = source.claim
        return _located(view, Placed(place.name, place.path, converts=True, adapter=True))
    if source is not None and source.claim is not None:
        known = view.world.catalog.find(view.spec.model)
        told = entry.dumps(known) if known else ""
        converts = _converts(view)
        model = known.id if known else view.spec.model
        placed = Placed(source.claim.name, source.claim.path, told, model, converts)
        return _located(view, placed)
    return _located(view, _hub(view))


def finished(view: WeightsView) -> Fetching:
    """Where a finished copy lies, for a Job that reads it: no credential goes with it."""
    source = view.spec.source
    placed = source.claim if source else None
    origin = Placed(placed.name, placed.path) if placed and _in_place(view) else Hub("")
    base = Fetching(view.owner, view.spec, origin, queue=view.queue, settings=view.world.settings)
    claim_name = "" if isinstance(origin, Placed) else _own_claim(view)
    return replace(base, path=str(view.status.get("path", "")), claim=claim_name)


# -- Hugging Face ---------------------------------------------------------------------------------


def hugging_face(view: WeightsView) -> HuggingFaceSource | None:
    """The Hugging Face source, where the spec has one."""
    return view.spec.source.hugging_face if view.spec.source else None


def _hub(view: WeightsView) -> Hub:
    source, settings = hugging_face(view), view.world.settings
    repo = _repo(view)
    if not repo and view.spec.adapter:
        raise UnusableSourceError(_refused("NotFound", _NO_ADAPTER))
    if not repo:
        raise UnusableSourceError(_no_repo(view.spec.model))
    reference = source.token_secret_ref if source else None
    return Hub(
        repo,
        revision=source.revision if source else "main",
        endpoint=(source.endpoint or "") if source else "",
        default_endpoint=settings.hf_endpoint,
        token_secret=reference.name if reference else _shared_token(view),
        token_key=reference.key if reference else "token",
        token_optional=reference is None,
        adapter=view.spec.adapter,
    )


_NO_ADAPTER = "source.huggingFace.repo: name the adapter's repository, org/name"


def _no_repo(model: str) -> Condition:
    return _refused(
        "NotFound",
        f"spec.model: {model} has no known Hugging Face repository; set spec.source.huggingFace.repo",
    )


def _repo(view: WeightsView) -> str:
    source = hugging_face(view)
    if source and source.repo:
        return source.repo
    if view.spec.adapter:
        return ""
    model = view.world.catalog.find(view.spec.model)
    if model is not None:
        return model.hf_repo or ""
    return view.spec.model if "/" in view.spec.model else ""


def _shared_token(view: WeightsView) -> str:
    # A token that nobody named for this source goes to the operator's own endpoint only, by https.
    source, settings = hugging_face(view), view.world.settings
    elsewhere = bool(source and source.endpoint) or settings.hf_endpoint.startswith("http:")
    return "" if elsewhere else settings.hf_token_secret


def token_problem(view: WeightsView) -> str:
    """What is wrong with the Secret that the source names; empty when nothing is."""
    source, token = hugging_face(view), view.token
    if source is None or source.token_secret_ref is None or token is None:
        return ""
    where, key = "spec.source.huggingFace.tokenSecretRef", source.token_secret_ref.key
    if not token.exists:
        return (
            f"{where}: there is no Secret {token.name!r}; make it, with your token as entry {key!r}"
        )
    if key not in token.entries:
        return f"{where}: Secret {token.name!r} has no entry {key!r}; add it, or set {where}.key"
    return ""


# -- Meta -----------------------------------------------------------------------------------------


def _meta(view: WeightsView, source: MetaSource) -> MetaUrl:
    model = view.world.catalog.find(view.spec.model)
    if model is None:
        raise UnusableSourceError(
            _refused(
                "NotFound",
                f"spec.model: {view.spec.model} is not in the catalogue, so its files on Meta's "
                "server are not known; name a catalogue id (llamactl models)",
            )
        )
    reference = source.url_secret_ref
    return MetaUrl(
        model.id,
        entry.dumps(model),
        reference.name,
        reference.key,
        _version(view, source, model),
        source.folder or "",
        view.spec.keep_originals,
    )


def _version(view: WeightsView, source: MetaSource, model: Model) -> str:
    """What tells the URL from others. A Job that has one is not disturbed by what is wrong now."""
    try:
        meta_files.listing(model, source.folder or "")
        return _usable_version(view, source, model)
    except UrlRefused as refused:
        running = _running_version(view)
        if running and refused.reason != "FormatUnsupported":
            return running
        kind = "Converted" if refused.reason == "FormatUnsupported" else "Accessible"
        field = "spec.source.meta" if kind == "Converted" else _URL
        condition = Condition(kind, "False", refused.reason, f"{field}: {refused}")
        raise UnusableSourceError(condition, waits=kind == "Accessible") from None


def _usable_version(view: WeightsView, source: MetaSource, model: Model) -> str:
    found, reference = view.url, source.url_secret_ref
    if found is None or not found.exists:
        raise _no_secret(f"there is no Secret {reference.name!r}", reference.key)
    if reference.key not in found.entries:
        raise _no_secret(f"Secret {reference.name!r} has no entry {reference.key!r}", reference.key)
    if found.url is None:
        raise found.refused or _no_secret("nothing is in it", reference.key)
    meta_files.check_family(found.url, model)
    found.url.check_time(view.world.now.timestamp())
    return found.url.version


def _no_secret(what: str, key: str) -> UrlRefused:
    return UrlRefused(
        "SecretMissing", what, fix=f"Make it, with the URL of Meta's e-mail as entry {key!r}"
    )


def _running_version(view: WeightsView) -> str:
    """Of the Job that is under way; "" where there is none."""
    for (kind, _), obj in view.children.items():
        if kind == "Job" and not ended(obj):
            pod = obj.get("spec", {}).get("template", {}).get("spec", {})
            variables = [each for box in pod.get("containers", ()) for each in box.get("env", ())]
            for each in variables:
                if each["name"] == origins.URL_VERSION:
                    return str(each.get("value", ""))
    return ""


def ended(job: Object) -> bool:
    """Whether a Job is over, well or not."""
    conditions = job.get("status", {}).get("conditions", ())
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _refused(reason: str, message: str) -> Condition:
    return Condition("Accessible", "False", reason, message)


# -- where it lies --------------------------------------------------------------------------------


def claim_of(view: WeightsView) -> str:
    """The claim that holds a finished copy: where its files were placed, or where we put them."""
    return placed_claim(view) if _in_place(view) else _own_claim(view)


def placed_claim(view: WeightsView) -> str:
    """The claim of a source that is one; "" for others."""
    origin = view.spec.source.claim if view.spec.source else None
    return origin.name if origin else ""


def missing_claim(view: WeightsView) -> Condition | None:
    """`VolumeReady`, where the claim of the source is not there."""
    name = placed_claim(view)
    if not name or view.source_claim is not None:
        return None
    return Condition(
        "VolumeReady",
        "False",
        "ClaimMissing",
        f"spec.source.claim.name: there is no PersistentVolumeClaim {name!r} in this namespace",
    )


def _own_claim(view: WeightsView) -> str:
    return users_claim(view.spec.storage) or view.owner.name


def _converts(view: WeightsView) -> bool:
    if view.status.get("digest"):
        return not _in_place(view)
    return view.status.get("format") == _TO_CONVERT


def _in_place(view: WeightsView) -> bool:
    origin = view.spec.source.claim if view.spec.source else None
    return origin is not None and view.status.get("path") == origin.path


def _located(view: WeightsView, origin: Origin) -> Fetching:
    base = Fetching(view.owner, view.spec, origin, queue=view.queue, settings=view.world.settings)
    commit = view.status.get("commit", "")
    if isinstance(origin, Placed) and not origin.converts:
        return replace(base, commit=commit, path=origin.directory)
    storage, name = view.spec.storage, _own_claim(view)
    size = storage.size if storage else ""
    needed = _needed(int(view.status.get("bytes", 0)), origin)
    wanted = claim.claim_bytes(str(size or ""), needed)
    return replace(
        base,
        commit=commit,
        path=copy_path(view.spec.model, {**origin.identity, "commit": commit}) if commit else "",
        claim=name,
        # Somebody may have enlarged it by hand; a claim cannot shrink.
        claim_bytes=max(wanted, _asked_for(view.children.get(("PersistentVolumeClaim", name)))),
        needed=needed,
    )


def _needed(size: int, origin: Origin) -> int:
    """Meta's files stay until the last of them is converted."""
    return 2 * size if isinstance(origin, MetaUrl) else size


def _asked_for(found: Object | None) -> int:
    requests = (found or {}).get("spec", {}).get("resources", {}).get("requests", {})
    return parse_bytes(requests.get("storage", "0"))


def copy_path(model: str, identity: Object) -> str:
    """The directory of one commit of one source on the claim: <model>/<digest>."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", model.rsplit("/", 1)[-1].lower()).strip("-.")
    return f"{slug}/{digest(identity, 16)}"
