"""Where a copy comes from, and whose token goes there."""

from __future__ import annotations

import re
from dataclasses import replace

from llama_operator.api.conditions import Condition
from llama_operator.api.quantity import parse_bytes
from llama_operator.api.v1alpha1 import HuggingFaceSource
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.render import claim
from llama_operator.render.inputs import Fetching
from llama_operator.render.meta import digest


class UnusableSourceError(Exception):
    """The source cannot be fetched from; `condition` says why."""

    def __init__(self, condition: Condition) -> None:
        super().__init__(condition.message)
        self.condition = condition


def fetching(view: WeightsView) -> Fetching:
    """What the Jobs of this LlamaWeights need.

    Raises UnusableSourceError for a source that this version cannot fetch, or a model without a repository.
    """
    if view.spec.source is not None and view.spec.source.meta is not None:
        raise UnusableSourceError(_unsupported())
    repo = _repo(view)
    if not repo:
        raise UnusableSourceError(_no_repo(view.spec.model))
    return _located(_base(view, repo), view)


def _unsupported() -> Condition:
    return Condition(
        "Converted",
        "False",
        "FormatUnsupported",
        "spec.source.meta: Meta's own files cannot be fetched and converted by this version; "
        "use spec.source.huggingFace",
    )


def _no_repo(model: str) -> Condition:
    return Condition(
        "Accessible",
        "False",
        "NotFound",
        f"spec.model: {model} has no known Hugging Face repository; set spec.source.huggingFace.repo",
    )


def hugging_face(view: WeightsView) -> HuggingFaceSource | None:
    """The Hugging Face source, where the spec has one."""
    return view.spec.source.hugging_face if view.spec.source else None


def _repo(view: WeightsView) -> str:
    source = hugging_face(view)
    if source and source.repo:
        return source.repo
    model = view.world.catalog.find(view.spec.model)
    if model is not None:
        return model.hf_repo or ""
    return view.spec.model if "/" in view.spec.model else ""


def _base(view: WeightsView, repo: str) -> Fetching:
    source, settings = hugging_face(view), view.world.settings
    reference = source.token_secret_ref if source else None
    return Fetching(
        owner=view.owner,
        spec=view.spec,
        repo=repo,
        endpoint=(source.endpoint or "") if source else "",
        token_secret=reference.name if reference else _shared_token(view),
        token_key=reference.key if reference else "token",
        token_optional=reference is None,
        settings=settings,
    )


def _shared_token(view: WeightsView) -> str:
    # A token that nobody named for this source goes to the operator's own endpoint only, by https.
    source, settings = hugging_face(view), view.world.settings
    elsewhere = bool(source and source.endpoint) or settings.hf_endpoint.startswith("http:")
    return "" if elsewhere else settings.hf_token_secret


def claim_of(view: WeightsView) -> str:
    """The claim that holds the copy: the user's, or one named like the LlamaWeights."""
    storage = view.spec.storage
    return (storage.claim_name if storage else "") or view.owner.name


def _located(base: Fetching, view: WeightsView) -> Fetching:
    commit, name = view.status.get("commit", ""), claim_of(view)
    size = base.spec.storage.size if base.spec.storage else ""
    wanted = claim.claim_bytes(str(size or ""), int(view.status.get("bytes", 0)))
    return replace(
        base,
        commit=commit,
        path=copy_path(base.spec.model, base.repo, commit, base.endpoint) if commit else "",
        claim=name,
        # Somebody may have enlarged it by hand; a claim cannot shrink.
        claim_bytes=max(wanted, _asked_for(view.children.get(("PersistentVolumeClaim", name)))),
    )


def _asked_for(found: Object | None) -> int:
    requests = (found or {}).get("spec", {}).get("resources", {}).get("requests", {})
    return parse_bytes(requests.get("storage", "0"))


def copy_path(model: str, repo: str, commit: str, endpoint: str = "") -> str:
    """The directory of one commit on the claim: <model>/<digest>.

    A commit of another hub is another directory: a mirror that lies must not provide the copy
    of somebody who asked Hugging Face.
    """
    slug = re.sub(r"[^a-z0-9.-]+", "-", model.rsplit("/", 1)[-1].lower()).strip("-.")
    origin = {"repo": repo, "commit": commit, **({"endpoint": endpoint} if endpoint else {})}
    return f"{slug}/{digest(origin, 16)}"


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
