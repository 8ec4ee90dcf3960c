"""What a cluster lacks of an optional kind, in words, with the command that brings it: pure."""

from __future__ import annotations

from llama_operator.runtime.resource import Resource


def serves(versions: tuple[str, ...] | None, wanted: Resource) -> bool:
    """Whether ours is among the versions that are served; None: the kind is not installed."""
    return wanted.version in (versions or ())


def lacking(
    versions: tuple[str, ...] | None, wanted: Resource, command: str, name: str = ""
) -> str:
    """Why objects of the kind cannot be made; "" where they can. `name`: of what brings the kind."""
    if serves(versions, wanted):
        return ""
    if versions is None:
        return f"{name or wanted.kind} is not installed; install it: {command}"
    there = ", ".join(versions) or "no version"
    return (
        f"the {wanted.kind} that is installed serves {there} and not {wanted.version}; install this "
        f"one: {command}"
    )
