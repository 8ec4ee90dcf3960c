"""The hub's HTTP routes: model info, tree with pages, resolve, and the CDN behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from aiohttp import web

from tests.support.hub import answers
from tests.support.hub.faults import Fault
from tests.support.hub.record import Request
from tests.support.hub.repository import Blob, Repository

if TYPE_CHECKING:
    from tests.support.hub.hub import Hub

_HIDING = ("status", "hang", "html", "garble", "redirect")


class Routes:
    """Handlers of one hub; every request passes `_enter`, which records it and finds its fault."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def hub(self) -> web.Application:
        """The API and the files."""
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/_requests", self._requests)
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        return app

    def cdn(self) -> web.Application:
        """Files by their digest, behind a signed address, without any authorization."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._cdn)
        return app

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def _requests(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._hub.listing())

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        # Split by hand: file names and branches may hold any character, quoted.
        parts = request.rel_url.raw_path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            parts = parts[2:]
            kind = parts[2] if len(parts) > 2 else "info"
            handler = self._tree if kind == "tree" else self._info
            revision = unquote(parts[3]) if len(parts) > 3 else "main"
            return await handler(request, "/".join(parts[:2]), revision)
        if len(parts) > 4 and parts[2] == "resolve":
            name = "/".join(unquote(part) for part in parts[4:])
            return await self._resolve(request, "/".join(parts[:2]), unquote(parts[3]), name)
        return _error(404, "EntryNotFound", "Not found")

    async def _info(self, request: web.Request, repo: str, revision: str) -> web.StreamResponse:
        record, fault = self._enter(request, "info", repo)
        if fault:
            return await self._fail(request, fault, record)
        found = self._repository(request, repo, revision)
        if isinstance(found, web.Response):
            return _noted(record, found)
        siblings = [{"rfilename": path} for path in sorted(found.blobs)]
        body = {"id": repo, "sha": found.commit, "gated": found.gated, "siblings": siblings}
        return _noted(record, web.json_response(body))

    async def _tree(self, request: web.Request, repo: str, revision: str) -> web.StreamResponse:
        record, fault = self._enter(request, "tree", repo)
        if fault:
            return await self._fail(request, fault, record)
        found = self._repository(request, repo, revision)
        if isinstance(found, web.Response):
            return _noted(record, found)
        return _noted(record, self._page(request, found))

    def _page(self, request: web.Request, repository: Repository) -> web.Response:
        start = int(request.query.get("cursor", "0"))
        names = sorted(repository.blobs)
        stop = start + repository.page_size
        entries = [repository.blobs[name].entry() for name in names[start:stop]]
        folders = sorted({name.rsplit("/", 1)[0] for name in names[start:stop] if "/" in name})
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        response = web.json_response(entries)
        if stop < len(names):
            query = {**request.query, "cursor": str(stop)}
            url = f"{self._hub.url}{request.rel_url.with_query(query)}"
            response.headers["Link"] = f'<{url}>; rel="next"'
        return response

    async def _resolve(
        self, request: web.Request, repo: str, revision: str, name: str
    ) -> web.StreamResponse:
        record, fault = self._enter(request, "resolve", name)
        if fault and fault.kind in _HIDING:
            return await self._fail(request, fault, record)
        found = self._repository(request, repo, revision)
        if isinstance(found, web.Response):
            return _noted(record, found)
        refusal = _gate(request, found)
        if refusal is not None:
            return _noted(record, refusal)
        blob = found.blobs.get(name)
        if blob is None:
            return _noted(record, _error(404, "EntryNotFound", f"Entry not found: {name}"))
        return await self._file(request, found, blob, fault, record)

    async def _file(
        self,
        request: web.Request,
        repository: Repository,
        blob: Blob,
        fault: Fault | None,
        record: Request,
    ) -> web.StreamResponse:
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{blob.etag}"'}
        if not blob.lfs:
            return await answers.send(request, blob, fault, record, headers)
        headers |= {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
        signed = f"{self._hub.cdn_url}/{quote(repository.id)}/{blob.sha256}?Signature=emulated"
        return _noted(record, web.Response(status=302, headers={**headers, "Location": signed}))

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        repo, _, digest = request.match_info["path"].rpartition("/")
        repository = self._hub.repositories.get(repo)
        blobs = repository.blobs.values() if repository else ()
        blob = next((each for each in blobs if each.sha256 == digest), None)
        record, fault = self._enter(request, "cdn", blob.path if blob else digest)
        if fault and fault.kind in _HIDING:
            return await self._fail(request, fault, record)
        if blob is None:
            return _noted(record, _error(404, "", "no such object"))
        return await answers.send(request, blob, fault, record, {"ETag": f'"{blob.sha256}"'})

    def _enter(self, request: web.Request, place: str, name: str) -> tuple[Request, Fault | None]:
        header = request.headers.get
        record = Request(
            place,
            request.method,
            request.host,
            request.path_qs,
            name,
            header("Range", ""),
            header("Authorization", ""),
        )
        self._hub.requests.append(record)
        fault = next((each for each in self._hub.faults if each.applies(place, name)), None)
        return record, fault

    async def _fail(
        self, request: web.Request, fault: Fault, record: Request
    ) -> web.StreamResponse:
        if fault.kind not in _HIDING:  # a fault of bodies has no meaning for the API
            raise ValueError(f"the fault {fault.kind!r} works on files; set on=file")
        return _noted(record, await FAILURES[fault.kind](request, fault))

    def _repository(
        self, request: web.Request, repo: str, revision: str
    ) -> Repository | web.Response:
        repository = self._hub.repositories.get(repo)
        header = request.headers.get("Authorization", "")
        known = {f"Bearer {each.token}" for each in self._hub.repositories.values() if each.token}
        if header and known and header not in known:
            return _error(401, "", "Invalid credentials in Authorization header")
        if repository is None:
            return _error(404 if header else 401, "RepoNotFound", "Repository not found")
        if repository.token and not repository.gated and header != f"Bearer {repository.token}":
            return _error(401, "RepoNotFound", "Repository not found")
        if not repository.has_revision(revision):
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository


def _gate(request: web.Request, repository: Repository) -> web.Response | None:
    if not repository.gated:
        return None
    header = request.headers.get("Authorization", "")
    if not header:
        return _error(401, "GatedRepo", f"Access to model {repository.id} is restricted")
    if header == f"Bearer {repository.token}":
        return None
    return _error(
        403,
        "GatedRepo",
        f"Access to model {repository.id} is restricted and you are not in the authorized list",
    )


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return web.json_response({"error": message}, status=status, headers=headers)


def _noted(record: Request, response: web.StreamResponse) -> web.StreamResponse:
    record.status = response.status
    return response


async def _status(_: web.Request, fault: Fault) -> web.StreamResponse:
    response = _error(fault.status, fault.code, fault.message or f"emulated {fault.status}")
    extra = {"Retry-After": fault.retry_after, "RateLimit": fault.ratelimit}
    response.headers.update({key: value for key, value in extra.items() if value})
    return response


async def _hang(_request: web.Request, _fault: Fault) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def _html(_request: web.Request, _fault: Fault) -> web.StreamResponse:
    return web.Response(body=answers.PAGE, content_type="text/html")


async def _garble(_request: web.Request, _fault: Fault) -> web.StreamResponse:
    return web.Response(body=b'{"sha": tru', content_type="application/json")


async def _redirect(request: web.Request, fault: Fault) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": f"{fault.host}{request.path_qs}"})


FAILURES: dict[str, Callable[[web.Request, Fault], Any]] = {
    "status": _status,
    "hang": _hang,
    "html": _html,
    "garble": _garble,
    "redirect": _redirect,
}
