"""The steps of `deploy`: judge, show the plan, send, wait, tell.

Nothing is sent before everything that can be judged without sending has been judged, and the
token's Secret is written only after the API server would take the deployment: a refusal leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl import credentials, manifest, metaurl, naming, output, readiness, view
from llamactl.errors import CliError
from llamactl.kube import Kube, Object, open_cluster
from llamactl.modelname import Resolved
from llamactl.resources import DEPLOYMENTS
from llamactl.settings import Settings, current


class Deploying:
    """One run of the command."""

    def __init__(self, resolved: Resolved, given: Mapping[str, Any], fmt: str) -> None:
        self.resolved = resolved
        self.given = given
        self.fmt = fmt
        self.name = naming.check(given["name"] or naming.from_model(resolved.model))
        self.url = metaurl.take(given["meta_url_file"], resolved) if given["meta_url_file"] else ""

    def run(self) -> None:
        """Do as the options say."""
        if self.given["dry_run"] == "client":
            self._print_only()
            return
        kube = open_cluster()
        wanted = self._manifest(kube.namespace)
        self._show_plan(wanted)
        there = kube.find(DEPLOYMENTS, self.name)
        judged = kube.apply(DEPLOYMENTS, wanted, dry=True, force=True)
        changes = self._changes(there, judged, kube.settings)
        if self.given["dry_run"] == "server":
            self._report(judged, manifest.verb(there, changes) + " (server dry run)")
            return
        self._store_token(kube)
        self._store_url(kube)
        stored = kube.apply(DEPLOYMENTS, wanted, force=self.given["overwrite"])
        self._report_start(stored, manifest.verb(there, changes))
        if self.given["wait"]:
            stored = self._wait(kube, stored)
        if self.fmt in ("json", "yaml"):
            output.document(output.clean(stored), self.fmt)

    def _print_only(self) -> None:
        namespace = current().namespace
        wanted = self._manifest(namespace)
        if not namespace:
            del wanted["metadata"]["namespace"]
        self._show_plan(wanted)
        output.document(wanted, "json" if self.fmt == "json" else "yaml")

    def _manifest(self, namespace: str) -> Object:
        return manifest.build(
            manifest.Wanted(
                model=self.resolved.model,
                name=self.name,
                namespace=namespace,
                options=self.given,
                token_secret=self.given["hf_token_secret"],
                url_secret=self._url_secret if self.url else "",
                assignments=tuple(self.given["assignments"]),
            )
        )

    def _show_plan(self, wanted: Object) -> None:
        from llamactl.offline import preview

        line = preview(self.resolved, wanted["spec"])
        if line:
            output.talk(line)

    def _changes(self, there: Object | None, judged: Object, settings: Settings) -> list[str]:
        if there is None:
            return []
        changes = manifest.differences(there.get("spec"), judged.get("spec"))
        if changes and not self.given["overwrite"]:
            model = view.path(there, "spec", "model")
            raise CliError(
                f"{self.name} exists already, for {model}, and this would change it "
                f"({'; '.join(changes[:4])}{'; ...' if len(changes) > 4 else ''})",
                fix="Choose another --name, or run the same command with --overwrite to change it",
                next=settings.llamactl("status", self.name),
            )
        return changes

    def _store_token(self, kube: Kube) -> None:
        if self.given["hf_token_file"]:
            credentials.store_token(
                kube, self.given["hf_token_file"], overwrite=self.given["overwrite"]
            )

    @property
    def _url_secret(self) -> str:
        return credentials.url_secret_name(self.name)

    def _store_url(self, kube: Kube) -> None:
        if self.url:
            credentials.store_url(kube, self._url_secret, self.url)

    def _report(self, obj: Object, verb: str) -> None:
        if self.fmt in ("json", "yaml"):
            output.document(output.clean(obj), self.fmt)
        else:
            self._report_start(obj, verb)

    def _report_start(self, obj: Object, verb: str) -> None:
        if self.fmt == "name":
            output.data(view.full_name(obj))
        elif self.fmt == "text":
            output.data(f"{view.full_name(obj)} {verb}")

    def _wait(self, kube: Kube, stored: Object) -> Object:
        ready = readiness.wait(kube, stored, self.given["timeout"])
        if ready is None:
            return stored
        self._tell(ready, kube.settings)
        return ready

    def _tell(self, obj: Mapping[str, Any], settings: Settings) -> None:
        url = view.path(obj, "status", "endpoint", "url")
        secret = view.path(obj, "status", "endpoint", "secretName")
        if view.path(obj, "spec", "replicas") == 0:
            output.talk("Ready, with no replicas.")
            return
        outside = view.path(obj, "status", "endpoint", "externalURL")
        key = f", API key in Secret {secret}" if secret else ", no API key"
        also = f", {outside} from outside" if outside else ""
        output.talk(f"Ready: {url} (inside the cluster){also}{key}. Ask it:")
        output.hint(settings.llamactl("chat", self.name, "What is the capital of France?"))
