"""The API key guard, which ends the engine rather than let it serve without one."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Signature

NO_KEY = KnownCause(
    "APIKeyMissing",
    "The Secret with the API keys has no entry that holds one, and the server is not started open.",
    "Make a key with `llamactl key rotate NAME`, or put one into the Secret that spec.auth.secretName "
    "names; the next start reads it. spec.auth.mode: None serves without keys.",
    (
        # recorded: api-key-missing
        Signature(
            r"llama_guard: no API key in the Secret at (?P<path>\S+): (?P<why>.+)",
            "The Secret with the API keys gives none: {why}.",
        ),
    ),
    permanent=False,
)
NOT_LOADED = KnownCause(
    "GuardNotLoaded",
    "vLLM could not load the API key guard, and does not start without it.",
    "Use an image whose Python reads PYTHONPATH and has prometheus_client, as vLLM's own images do "
    "(spec.engine.image).",
    (
        # source: Python, llama_guard.py
        Signature(r"No module named '?llama_guard'?|llama_guard: LLAMA_GUARD_KEYS names no"),
    ),
)
CAUSES = (NO_KEY, NOT_LOADED)
