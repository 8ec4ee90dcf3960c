"""What a checkpoint's pickle says, read as data: nothing in it is ever called or imported.

A pickle is a program, and loading one runs it. Here its opcodes are decoded by the standard
library and interpreted on a stack of our own, which knows three names: an ordered dictionary,
torch's "tensor from storage" and the storages of plain floats. Everything else ends the reading.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_weights.convert.refusal import corrupt, shown, unsupported

# torch's storage class -> its name in safetensors, bytes per number
STORAGES = {
    "torch BFloat16Storage": ("BF16", 2),
    "torch HalfStorage": ("F16", 2),
    "torch FloatStorage": ("F32", 4),
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_ALLOWED = {_DICT, _TENSOR, *STORAGES}
_STEPS, _LARGEST = 2_000_000, 1 << 48
_OPCODES = {each.code: each for each in pickletools.opcodes}


@dataclass(frozen=True)
class Global:
    """A name of the whitelist; only ever compared."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers: the zip entry `key`, in numbers of `width` bytes."""

    dtype: str
    width: int
    key: str
    count: int


@dataclass(frozen=True)
class Pickled:
    """A tensor as the pickle describes it; offset and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Mark:
    """Where a tuple or a run of items begins on the stack."""


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """What was met, in words."""


def read(path: Path, data: bytes) -> dict[str, Any]:
    """The dictionary that the pickle describes: names to Pickled tensors (or other plain data).

    Raises FormatError: FormatUnsupported for quantised storages, CorruptCheckpoint otherwise.
    """
    machine = _Machine()
    try:
        found = machine.run(data)
    except _Refused as refused:
        raise _explained(path, str(refused)) from None
    # pickletools and the stack meet garbage in these ways.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error):
        raise corrupt(path, f"its pickle is damaged at opcode {machine.step}") from None
    if not isinstance(found, dict):
        raise corrupt(path, f"its pickle holds a {type(found).__name__}, not named tensors")
    return found


def _explained(path: Path, what: str) -> Exception:
    if "float8" in what.lower() or "_rebuild_tensor_v3" in what or "quint" in what.lower():
        return unsupported(
            path,
            f"holds quantised tensors ({what})",
            "Use the checkpoint in Hugging Face format, such as "
            "meta-llama/Llama-3.1-405B-Instruct-FP8",
        )
    return corrupt(path, f"its pickle {what}; nothing was run", "Use a file from Meta itself")


class _Machine:
    """A pickle machine whose only values are texts, numbers, containers and descriptions."""

    def __init__(self) -> None:
        self.step = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._actions: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), self._nothing),
            **dict.fromkeys(
                ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"),
                self._stack.append,
            ),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self._get),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "MARK": lambda _: self._stack.append(_Mark),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "TUPLE": lambda _: self._stack.append(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "APPEND": lambda _: self._extend([self._stack.pop()]),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "SETITEM": lambda _: self._set([self._stack.pop(-2), self._stack.pop()]),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "GLOBAL": self._global,
            "STACK_GLOBAL": lambda _: self._stack_global(),
            "BINPERSID": lambda _: self._stack.append(_storage(self._stack.pop())),
            "REDUCE": lambda _: self._reduce(),
            "BUILD": lambda _: self._build(),
        }

    def run(self, data: bytes) -> Any:
        """The value left at the end."""
        stream = io.BytesIO(data)
        while self.step < _STEPS:
            self.step += 1
            opcode = _opcode(stream.read(1))
            if opcode.name == "STOP":
                return self._stack.pop()
            # Looked up before its argument is decoded: old opcodes hold Python literals.
            action = self._actions.get(opcode.name)
            if action is None:
                raise _Refused(f"uses the opcode {opcode.name} at step {self.step}")
            action(opcode.arg.reader(stream) if opcode.arg else None)
        raise _Refused(f"has more than {_STEPS} steps")

    def _nothing(self, _argument: Any) -> None:
        """Framing carries no meaning here."""

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _tuple(self, count: int) -> None:
        values = tuple(self._stack[-count:])
        if len(values) != count:
            raise IndexError
        del self._stack[-count:]
        self._stack.append(values)

    def _since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _Mark:
            place -= 1
            if place < 0:
                raise IndexError
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(values)

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A key of nested tuples could bring the interpreter down while it is hashed.
            if not isinstance(target, dict) or not isinstance(key, str):
                raise _Refused(f"has a key that is a {type(key).__name__}, not a name")
            target[key] = value

    def _global(self, name: str) -> None:
        if name not in _ALLOWED:
            raise _Refused(f"names {shown(name.replace(' ', '.'))}")
        self._stack.append(Global(name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self._global(f"{module} {name}")

    def _reduce(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if called == Global(_DICT) and arguments == ():
            self._stack.append({})
        elif called == Global(_TENSOR):
            self._stack.append(_tensor(arguments))
        else:
            what = called.name if isinstance(called, Global) else type(called).__name__
            raise _Refused(f"calls {shown(what)} with arguments that are not read")

    def _build(self) -> None:
        # A module's state_dict carries its versions as an attribute; they mean nothing to us.
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, dict) or not isinstance(state, dict | tuple):
            raise _Refused(f"sets attributes of a {type(target).__name__}")


def _opcode(code: bytes) -> pickletools.OpcodeInfo:
    if not code:
        raise _Refused("has no end")
    return _OPCODES[code.decode("latin-1")]


def _storage(found: Any) -> Storage:
    if not isinstance(found, tuple) or len(found) != 5 or found[0] != "storage":
        raise _Refused("refers to something that is not a storage")
    _kind, called, key, _device, count = found
    dtype, width = STORAGES.get(called.name if isinstance(called, Global) else "", ("", 0))
    if not dtype or not isinstance(key, str) or not _number(count):
        raise _Refused("refers to a storage of no known kind")
    return Storage(dtype, width, key, count)


def _tensor(arguments: Any) -> Pickled:
    # storage, offset, size, stride, requires_grad, hooks[, metadata]
    if not isinstance(arguments, tuple) or len(arguments) not in (6, 7):
        raise _Refused("makes a tensor of the wrong arguments")
    storage, offset, shape, stride = arguments[:4]
    sound = isinstance(storage, Storage) and _number(offset) and _numbers(shape)
    if not (sound and _numbers(stride) and len(shape) == len(stride)):
        raise _Refused("makes a tensor of the wrong arguments")
    return Pickled(storage, offset, shape, stride)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _numbers(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 8 and all(_number(each) for each in value)
