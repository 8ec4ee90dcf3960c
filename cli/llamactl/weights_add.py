"""The steps of `weights add`: judge, have the server judge, store credentials, send, wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llamactl import (
    checking,
    credentials,
    manifest,
    metaurl,
    modelname,
    naming,
    outcome,
    output,
    setpath,
    weights_wait,
)
from llamactl.errors import BadValueError, CliError
from llamactl.kube import Kube, Object, open_cluster
from llamactl.resources import WEIGHTS
from llamactl.settings import current

_CLAIM = re.compile(r"([a-z0-9][-a-z0-9.]*)(?:/(.+))?")
_REPO = re.compile(r"([^@/]+/[^@/]+)(?:@(.+))?")
_STORAGE = {"storage_class": "storageClassName", "size": "size", "claim": "claimName"}


class Adding:
    """One run of the command."""

    def __init__(self, model: str, given: Mapping[str, Any], fmt: str) -> None:
        credentials.refuse_two(given)
        self.resolved = modelname.resolve(model)
        if self.resolved.said(model):
            output.talk(self.resolved.said(model))
        self.given = given
        self.fmt = fmt
        self.name = naming.check(given["name"] or naming.from_model(self.resolved.model))
        self.source, detail = _split(given["source"])
        self._check_credentials()
        self.spec = self._spec(detail)
        self.url = (
            metaurl.take(given["meta_url_file"], self.resolved) if given["meta_url_file"] else ""
        )

    def run(self) -> None:
        """Do as the options say."""
        if self.given["dry_run"] == "client":
            wanted = self._manifest(current().namespace)
            output.document(wanted, "json" if self.fmt == "json" else "yaml")
            return
        kube = open_cluster()
        wanted = self._manifest(kube.namespace)
        there = kube.find(WEIGHTS, self.name)
        judged = kube.apply(WEIGHTS, wanted, dry=True, force=True)
        changes = manifest.differences(there.get("spec"), judged.get("spec")) if there else []
        if changes:
            raise self._taken(kube, changes)
        verb = manifest.verb(there, changes)
        if self.given["dry_run"] == "server":
            outcome.line(judged, f"{verb} (server dry run)", self.fmt, WEIGHTS)
            self._document(judged)
            return
        stored = self._write(kube, wanted)
        outcome.line(stored, verb, self.fmt, WEIGHTS)
        if self.given["wait"]:
            stored = weights_wait.until_ready(kube, self.name, self.given["timeout"])
        self._tell(kube)
        self._document(stored)

    def _document(self, obj: Object) -> None:
        if self.fmt in ("json", "yaml"):
            output.document(output.clean(obj), self.fmt)

    def _write(self, kube: Kube, wanted: Object) -> Object:
        if self.given["hf_token_file"]:
            credentials.store_token(kube, self.given["hf_token_file"], overwrite=False)
        if self.url:
            credentials.store_url(kube, credentials.url_secret_name(self.name), self.url)
        return kube.apply(WEIGHTS, wanted)

    def _tell(self, kube: Kube) -> None:
        output.talk("Follow it, and serve it:")
        output.hint(
            kube.settings.llamactl("weights", "ls", "--watch"),
            kube.settings.llamactl(
                "deploy", self.resolved.model, "--set", f"weightsRef.name={self.name}"
            ),
        )

    def _check_credentials(self) -> None:
        for option, source in (
            ("hf_token_file", "hf"),
            ("hf_token_secret", "hf"),
            ("meta_url_file", "meta"),
        ):
            if self.given[option] and self.source != source:
                raise BadValueError(
                    f"it is of no use for --source {self.source}",
                    field=f"--{option.replace('_', '-')}",
                    fix=f"Leave it out, or use --source {source}",
                )

    def _spec(self, detail: dict[str, Any]) -> dict[str, Any]:
        spec: dict[str, Any] = {"model": self.resolved.model}
        if self.source == "meta":
            secret = credentials.url_secret_name(self.name)
            detail = {"urlSecretRef": {"name": secret}}
        if self.given["hf_token_secret"]:
            detail["tokenSecretRef"] = manifest.token_reference(self.given["hf_token_secret"])
        if detail:
            spec["source"] = {_FIELDS[self.source]: detail}
        for option, field in _STORAGE.items():
            if self.given[option]:
                manifest.put(spec, ("storage", field), self.given[option])
        setpath.apply(spec, self.given["assignments"], kind=WEIGHTS.kind)
        checking.whole(WEIGHTS.kind, spec)
        if self.source == "meta" and not self.given["meta_url_file"]:
            output.talk(
                f"It waits until Secret {secret} holds the URL; `llamactl weights rotate-url` "
                "puts it there."
            )
        return spec

    def _manifest(self, namespace: str) -> Object:
        return {
            "apiVersion": WEIGHTS.api_version,
            "kind": WEIGHTS.kind,
            "metadata": {"name": self.name, **({"namespace": namespace} if namespace else {})},
            "spec": self.spec,
        }

    def _taken(self, kube: Kube, changes: list[str]) -> CliError:
        return CliError(
            f"{self.name} exists already, and this would change it ({'; '.join(changes[:4])})",
            fix="Choose another --name; what identifies a copy cannot change",
            next=kube.settings.llamactl("weights", "ls", "-o", "wide"),
        )


_FIELDS = {"hf": "huggingFace", "meta": "meta", "claim": "claim"}


def _split(text: str) -> tuple[str, dict[str, Any]]:
    """("hf", {...}) of "hf:org/repo@main", likewise "claim:name/path" and "meta"."""
    kind, colon, rest = text.partition(":")
    if kind in ("hf", "meta") and not colon:
        return kind, {}
    repo = _REPO.fullmatch(rest) if kind == "hf" else None
    if repo:
        return "hf", {"repo": repo[1], **({"revision": repo[2]} if repo[2] else {})}
    claim = _CLAIM.fullmatch(rest) if kind == "claim" else None
    if claim:
        return "claim", {"name": claim[1], **({"path": claim[2].strip("/")} if claim[2] else {})}
    raise BadValueError(
        f"{text!r} is no source",
        field="--source",
        fix="Write hf, hf:ORG/REPO[@REVISION], meta, or claim:NAME[/PATH]",
    )
