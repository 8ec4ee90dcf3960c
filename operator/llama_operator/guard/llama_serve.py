"""Runs the server of `transformers serve` with one model, one name and the guard before it.

    python3 -m llama_serve '{"path": ..., "name": ..., "device": ..., "dtype": ..., "port": ...,
                            "context": ..., "drain": ...}'

The server is transformers' own. It has no place for a middleware, calls a model by its path, lists
what lies in a cache, and reads prompts of any length: those four are set here, and so is which of
a request's fields could reach beyond the request. It has no metrics; the guard's own stand there.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

SERVING = "transformers.cli.serving"
# All other routes are taken out: they load models, unload this one, or are for audio.
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/health")


def main(text: str) -> None:
    """Serve until SIGTERM. What is raised here is the last line of the log."""
    setting = json.loads(text)
    _check_folder(Path(setting["path"]))
    # Before torch, which takes long to import: what lacks ends the start at once.
    guard, uvicorn, serve = _parts()
    _pin_model(setting)
    _load_whole()
    _bound_requests(int(setting["context"]))
    _stand_before(uvicorn, guard, int(setting["drain"]))
    import transformers

    print(f"llama_serve: transformers {transformers.__version__}, {setting['path']}", flush=True)
    serve.Serve(
        force_model=setting["name"],
        device=setting["device"],
        dtype=setting["dtype"],
        host="0.0.0.0",  # noqa: S104 - the pod's own address
        port=int(setting["port"]),
        enable_cors=False,
        trust_remote_code=False,
        # Said in full: called as a function, its defaults are those of its command line.
        continuous_batching=False,
        compile=False,
        reasoning="auto",
        model_timeout=-1,
        log_level="warning",
        non_blocking=False,
    )


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise SystemExit(f"llama_serve: there is no folder {path}")
    if not any(path.glob("*.safetensors")):
        raise SystemExit(
            f"llama_serve: there are no *.safetensors in {path}, and nothing else is read"
        )


def _parts() -> tuple[Any, Any, Any]:
    try:
        found = [
            import_module(name) for name in ("llama_guard", "uvicorn", "transformers.cli.serve")
        ]
        for name in ("fastapi", "openai", "accelerate"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"llama_serve: the image lacks the Python package {error.name}; it needs"
            " transformers[serving] and prometheus_client"
        ) from None
    if not hasattr(found[2], "Serve"):
        raise SystemExit(
            "llama_serve: this version of transformers has no transformers serve of 5.x"
        )
    return found[0], found[1], found[2]


def _pin_model(setting: dict[str, Any]) -> None:
    """Whatever a request names, no model but this one is ever read."""
    module: Any = import_module(f"{SERVING}.model_manager")
    base: Any = module.ModelManager
    name, path = setting["name"], f"{setting['path']}@main"

    class Pinned(base):  # type: ignore[misc]
        """One model, under the name that clients know."""

        @staticmethod
        def process_model_name(model_id: str) -> str:
            return model_id

        def load_model_and_processor(self, model: str, *args: Any, **more: Any) -> Any:
            if model != name:
                raise _refusal(404, f"The model {model!r} does not exist; this server has {name!r}")
            return super().load_model_and_processor(model, *args, **more)

        def _load_processor(self, _: str, **_more: Any) -> Any:
            return super()._load_processor(path)

        def _load_model(self, _: str, *args: Any, **more: Any) -> Any:
            more.pop("gguf_file", None)
            return super()._load_model(path, *args, **more)

        @staticmethod
        def get_gen_models(*_: Any) -> list[dict[str, Any]]:
            return [{"id": name, "object": "model", "created": 0, "owned_by": "llama-operator"}]

    module.ModelManager = Pinned


def _load_whole() -> None:
    """Only safetensors, and all of them: what is missing would be made up of random numbers."""
    from transformers import PreTrainedModel

    load: Any = PreTrainedModel.from_pretrained.__func__

    def from_pretrained(cls: type, *args: Any, **more: Any) -> Any:
        model, told = load(cls, *args, use_safetensors=True, output_loading_info=True, **more)
        if missing := sorted(told["missing_keys"]):
            raise SystemExit(
                f"llama_serve: the weights lack {len(missing)} tensors of the model, {missing[0]} first"
            )
        return model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)


def _bound_requests(context: int) -> None:
    module = import_module(f"{SERVING}.utils")
    handler, manager = module.BaseHandler, module.GenerateManager
    handler._validate_request = _checked(handler._validate_request)
    for name in ("generate_streaming", "generate_non_streaming"):
        setattr(manager, name, _within(getattr(manager, name), context))


def _checked(validate: Callable[..., None]) -> Callable[..., None]:
    """Neither the engine's own settings nor a template are a client's to bring, as with vLLM."""
    from transformers import PreTrainedTokenizerBase

    settings = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters

    def check(self: Any, body: dict[str, Any]) -> None:
        closed = ["generation_config"] if body.get("generation_config") is not None else []
        closed += [each for each in body.get("chat_template_kwargs") or () if each in settings]
        if closed:
            raise _refusal(400, f"{', '.join(closed)}: cannot be set by a request here")
        validate(self, body)

    return check


def _within(generate: Callable[..., Any], context: int) -> Callable[..., Any]:
    """Prompt and answer together are no longer than what memory was planned for."""

    def bounded(
        self: Any, model: Any, processor: Any, inputs: Any, config: Any, **more: Any
    ) -> Any:
        used = int(inputs["input_ids"].shape[-1])
        if used >= context:
            raise _refusal(400, f"The prompt has {used} tokens, the context {context}")
        config.max_new_tokens = min(config.max_new_tokens or context, context - used)
        return generate(self, model, processor, inputs, config, **more)

    return bounded


def _refusal(code: int, words: str) -> Exception:
    from fastapi import HTTPException

    refusal: Exception = HTTPException(code, detail=words)
    return refusal


def _stand_before(uvicorn: Any, guard: Any, drain: int) -> None:
    """The guard is the outermost of all, and a request in flight has `drain` seconds to end."""

    class Config(uvicorn.Config):  # type: ignore[misc]
        """uvicorn's, with the guard around whatever is served."""

        def __init__(self, app: Any, **given: Any) -> None:
            app.router.routes[:] = [each for each in app.router.routes if each.path in ROUTES]
            _refuse_as_openai(app)
            given |= {"timeout_graceful_shutdown": drain, "server_header": False}
            super().__init__(guard.Guard(_with_metrics(app)), **given)

    uvicorn.Config = Config


def _refuse_as_openai(app: Any) -> None:
    """FastAPI's own form of an error has no message that clients of OpenAI's API would show."""
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    async def told(_: Any, refusal: Any) -> Any:
        code = refusal.status_code
        error = {"message": str(refusal.detail), "type": "invalid_request_error", "code": code}
        return JSONResponse({"error": {**error, "param": None}}, status_code=code)

    app.add_exception_handler(HTTPException, told)


def _with_metrics(app: Any) -> Any:
    from prometheus_client import make_asgi_app

    metrics = make_asgi_app()

    async def either(scope: dict[str, Any], receive: Any, send: Any) -> None:
        shown = scope["type"] == "http" and scope["path"] == "/metrics"
        await (metrics if shown else app)(scope, receive, send)

    return either


if __name__ == "__main__":
    main(sys.argv[1])
