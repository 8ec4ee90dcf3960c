"""An InferenceService as the typed models of KServe's SDK: the extra `[kserve]`.

The operator renders plain data and needs none of this. It is for programs that go on with KServe's
own client, and for the test that every field of ours is one that the SDK knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llama_operator.api.errors import LlamaError

_PLAIN: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "object": (object,),
    # A quantity, or a number.
    "ResourceQuantity": (str, int, float),
}
# Names that the SDK's generator gives to types of Kubernetes.
_KUBERNETES: Final = "K8sIoApiAppsV1"


def inference_service(obj: Mapping[str, Any]) -> Any:
    """The `kserve.V1beta1InferenceService` of a rendered object.

    Raises LlamaError that names the first field which the SDK does not know, or knows otherwise, and
    ImportError without the SDK (pip install 'llama-operator[kserve]').
    """
    return _typed(obj, "V1beta1InferenceService", "InferenceService")


def _typed(value: Any, name: str, at: str) -> Any:
    if name.startswith("list["):
        _expect(value, (list,), at)
        return [_typed(each, name[5:-1], f"{at}[{i}]") for i, each in enumerate(value)]
    if name.startswith("dict("):
        _expect(value, (dict,), at)
        inner = name[5:-1].split(", ")[1]
        return {key: _typed(each, inner, f"{at}.{key}") for key, each in value.items()}
    if name in _PLAIN:
        return _expect(value, _PLAIN[name], at)
    _expect(value, (dict,), at)
    return _model(value, _class(name), at)


def _class(name: str) -> Any:
    from kubernetes import client

    import kserve

    plain = name.replace(_KUBERNETES, "V1") if name.startswith(_KUBERNETES) else name
    return getattr(kserve, plain, None) or getattr(client, plain)


def _model(value: dict[str, Any], model: Any, at: str) -> Any:
    if hasattr(model, "model_validate"):
        return _of_kubernetes(value, model, at)
    fields = {key: field for field, key in model.attribute_map.items()}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise _unfit(f"{at}.{unknown[0]}", f"{model.__name__} has no such field")
    types = model.openapi_types
    known = {
        fields[key]: _typed(each, types[fields[key]], f"{at}.{key}") for key, each in value.items()
    }
    return model(**known)


def _of_kubernetes(value: dict[str, Any], model: Any, at: str) -> Any:
    """A model of the Kubernetes client, which says by itself what it does not know."""
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, (at, *first["loc"])))
        raise _unfit(field, str(first["msg"])) from error


def _expect(value: Any, types: tuple[type, ...], at: str) -> Any:
    wrong = not isinstance(value, types) or (isinstance(value, bool) and types == (int,))
    if wrong:
        names = " or ".join(each.__name__ for each in types)
        raise _unfit(at, f"{value!r} is not of type {names}")
    return value


def _unfit(at: str, why: str) -> LlamaError:
    return LlamaError(
        f"KServe's SDK does not take this: {why}",
        field=at,
        fix="Install the SDK of a KServe that knows it",
    )
