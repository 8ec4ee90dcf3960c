"""The hub: servers of the operator run offline, so these are of images and flags of the user's own."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Rank, Signature

_OFFLINE = "Let a LlamaWeights fetch the model: servers run offline. In a server of your own, "
DENIED = KnownCause(
    "HubAccessDenied",
    "The hub does not let this server read the repository.",
    _OFFLINE
    + "accept the licence on the model's page and give it HF_TOKEN of a token with read access.",
    (
        # source: huggingface_hub/utils/_http.py, transformers/utils/hub.py
        Signature(
            r"GatedRepoError|trying to access a gated repo|is a gated repository|Access to model \S+ is restricted",
            "The repository is gated, and the token's owner has not been let in, or there is no token.",
        ),
        Signature(
            r"(?:401|403) Client Error|Invalid (?:user token|username or password|credentials in Authorization)"
            r"|LocalTokenNotFoundError|DisabledRepoError"
        ),
    ),
)
LIMITED = KnownCause(
    "HubRateLimited",
    "The hub answers 429: too many requests.",
    _OFFLINE + "give it a token, or wait.",
    (
        # source: huggingface_hub
        Signature(r"429 Client Error|Too Many Requests for url"),
    ),
    permanent=False,
)
DOWN = KnownCause(
    "HubUnreachable",
    "The hub cannot be reached or fails.",
    _OFFLINE + "check DNS, the proxy, egress policies and HF_ENDPOINT.",
    (
        # source: huggingface_hub, transformers, requests, httpx
        Signature(
            r"[Cc]ouldn't connect to '?https?://|Max retries exceeded with url"
            r"|An error happened while trying to locate the files? on the Hub"
            r"|There was a specific connection error when trying to load"
            r"|(?:Failed to resolve|NameResolutionError|ProxyError|SSLCertVerificationError|SSLError).*"
            r"|does not seem to be served by a Hugging Face Hub endpoint"
            r"|50[0234] Server Error|Consistency check failed: file should be of size"
            r"|CAS service error"
        ),
        Signature(
            r"^(?:httpx2?\.|httpcore\.|requests\.exceptions\.)\w*(?:Error|Timeout)\b",
            near=r"huggingface|hf_hub|repo_utils",
        ),
    ),
    permanent=False,
    # With the copy at hand the hub is not missed; that there is none is the better answer.
    rank=Rank.GENERAL,
)
CAUSES = (DENIED, LIMITED, DOWN)
