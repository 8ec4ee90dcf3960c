"""Structural schemas of the Kubernetes types that pass through a spec untouched.

They are data, not models: what a user writes here must reach the pod as written, and a typed
model would drop a field that a newer cluster knows. Each is as exact as the rest of the schema,
so that a typo is refused at admission and `kubectl explain` goes all the way down.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
# Half the range of int64 is far from any cluster; the length keeps CEL's cost estimate finite.
QUANTITY_PATTERN: Final = (
    r"^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$"
)


def text(description: str, limit: int = 253, **more: Any) -> Schema:
    """A string of at most `limit` characters."""
    return {"type": "string", "description": description, "maxLength": limit, **more}


def integer(description: str, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": description, **more}


def flag(description: str) -> Schema:
    """A boolean."""
    return {"type": "boolean", "description": description}


def obj(description: str, properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    """An object with exactly these properties."""
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def array(description: str, items: Schema, limit: int = 32, kind: str = "atomic") -> Schema:
    """A list that server-side apply replaces as a whole, unless `kind` says otherwise."""
    return {
        "type": "array",
        "description": description,
        "items": items,
        "maxItems": limit,
        "x-kubernetes-list-type": kind,
    }


def string_map(description: str, limit: int = 32, value: Schema | None = None) -> Schema:
    """Labels, annotations or a selector."""
    return {
        "type": "object",
        "description": description,
        "maxProperties": limit,
        "additionalProperties": value or {"type": "string", "maxLength": 63},
    }


def quantity(description: str) -> Schema:
    """A Kubernetes quantity, as a number or a string such as 80Gi or 500m."""
    return {
        "description": description,
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 32,
        "minimum": 0,
        "pattern": QUANTITY_PATTERN,
    }


def amounts(description: str) -> Schema:
    """Requests or limits of a container; GPUs are asked for by spec.gpu instead."""
    return obj(
        description,
        {
            "cpu": quantity("Processor cores, such as 4 or 500m."),
            "memory": quantity("Bytes of memory, such as 32Gi."),
            "ephemeral-storage": quantity("Bytes of local disk, such as 10Gi."),
        },
    )


def key_ref(what: str) -> Schema:
    """A reference to one key of a Secret or ConfigMap of the same namespace."""
    return obj(
        f"One entry of a {what} of the same namespace.",
        {
            "name": text(f"Name of the {what}.", minLength=1),
            "key": text("Name of the entry.", minLength=1),
            "optional": flag("Start without the variable where the entry is missing."),
        },
        ("name", "key"),
    )


LABEL_VALUE: Final[Schema] = {"type": "string", "maxLength": 63, "pattern": _LABEL_VALUE}
ANNOTATION_VALUE: Final[Schema] = {"type": "string", "maxLength": 16384}

RESOURCES: Final = obj(
    "Processor, memory and local disk of the container.",
    {
        "requests": amounts("What the scheduler reserves; auto: computed from the model."),
        "limits": amounts("What the container may use at most; auto: computed from the model."),
    },
)

TOLERATION: Final = obj(
    "A taint that these pods may run beside.",
    {
        "key": text("Key of the taint; empty with operator Exists means every key.", 316),
        "operator": text("Exists or Equal; default Equal.", 16, enum=["Exists", "Equal"]),
        "value": text("Value of the taint, with operator Equal.", 63),
        "effect": text(
            "NoSchedule, PreferNoSchedule or NoExecute; empty means all of them.",
            32,
            enum=["", "NoSchedule", "PreferNoSchedule", "NoExecute"],
        ),
        "tolerationSeconds": integer(
            "Seconds a pod stays after a NoExecute taint appears; auto: for ever.", format="int64"
        ),
    },
)

PULL_SECRET: Final = obj(
    "A Secret with registry credentials, in the same namespace.",
    {"name": text("Name of the Secret.", minLength=1)},
    ("name",),
)

ENV: Final = obj(
    "One environment variable of the engine.",
    {
        "name": text("Name of the variable.", minLength=1, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"),
        "value": text("Its value; $(NAME) refers to an earlier variable.", 8192),
        "valueFrom": obj(
            "Where the value is read from, instead of value: one of the two.",
            {"secretKeyRef": key_ref("Secret"), "configMapKeyRef": key_ref("ConfigMap")},
        ),
    },
    ("name",),
)
