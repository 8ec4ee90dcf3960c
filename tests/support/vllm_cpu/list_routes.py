"""Run by vLLM's own Python: every route of vLLM, whatever model and settings it takes to have it.

Prints "METHOD path" lines: those of a server with all tasks and in development mode, and those of
every router of the package.
"""

# mypy: ignore-errors
from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, get_args

os.environ |= {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}

from fastapi import APIRouter
from vllm import entrypoints, tasks
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser


def app() -> Any:
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", "x"])
    args.enable_fault_tolerance = args.enable_tokenizer_info_endpoint = True
    kinds = get_args(tasks.SupportedTask)
    return build_app(args, tuple(each for kind in kinds for each in get_args(kind) or (kind,)))


def routers() -> Iterator[APIRouter]:
    for found in pkgutil.walk_packages(entrypoints.__path__, f"{entrypoints.__name__}."):
        if found.name.endswith("api_router"):
            module = importlib.import_module(found.name)
            yield from (each for each in vars(module).values() if isinstance(each, APIRouter))


def lines(routes: Iterable[Any]) -> Iterator[str]:
    for route in routes:
        path = getattr(route, "path", None)
        if path is None:
            yield from lines(getattr(route, "routes", ()))
        elif "WebSocket" in type(route).__name__:
            yield f"WEBSOCKET {path}"
        else:
            yield from (f"{each} {path}" for each in getattr(route, "methods", None) or ("GET",))


def main() -> None:
    built = app()
    told = {f"{m.upper()} {path}" for path, how in built.openapi()["paths"].items() for m in how}
    of_routers = {line for each in routers() for line in lines(each.routes)}
    everything = told | of_routers | set(lines(built.routes))
    print("\n".join(sorted(everything, key=lambda line: line.split()[::-1])))


if __name__ == "__main__":
    main()
