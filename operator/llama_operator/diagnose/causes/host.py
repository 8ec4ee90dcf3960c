"""The container and its node: files, users, limits."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Rank, Signature

DISK = KnownCause(
    "DiskFull",
    "A volume or the node's disk is full, or a quota is used up.",
    "Raise spec.engine.resources.limits of ephemeral-storage, or free or enlarge the volume.",
    (
        # source: the kernel, Python, safetensors
        Signature(
            r"\[Errno 28\]|No space left on device|os error 28\)|\[Errno 122\]|Disk quota exceeded"
        ),
    ),
    rank=Rank.GENERAL,  # of /dev/shm it is SharedMemoryTooSmall
)
TEMPORARY = KnownCause(
    "TemporaryDirectoryMissing",
    "There is no directory for temporary files that can be written.",
    "Mount an emptyDir on /tmp, as the operator's own pods have it, and remove TMPDIR from "
    "spec.engine.env.",
    (
        # recorded in the project's facts, of a root that is read-only throughout
        Signature(r"No usable temporary directory found"),
        Signature(
            r"No such file or directory.*ipc:///|zmq\.error\.ZMQError: (?:No such file|Permission)"
        ),
    ),
)
READ_ONLY = KnownCause(
    "FilesystemReadOnly",
    "The server writes where it may not: the root of its container is read-only.",
    "Point the variable that names the directory to /tmp or /cache with spec.engine.env; weights are "
    "mounted read-only on purpose.",
    (
        # source: the kernel, Python
        Signature(
            r"\[Errno 30\] Read-only file system: '(?P<path>[^']*)'",
            "The server writes to {path}, which is read-only.",
        ),
        Signature(r"Read-only file system|os error 30\)"),
        Signature(
            r"PermissionError: \[Errno 13\] Permission denied: '(?P<path>/[^']*)'",
            "The server's user may not use {path}.",
        ),
    ),
    rank=Rank.GENERAL,
)
USER = KnownCause(
    "UserUnknown",
    "The server's user id has no name in the image, and something asks for it.",
    "Set HOME and USER in spec.engine.env, as the operator does, and do not remove them.",
    (
        # source: Python's pwd, torch's inductor
        Signature(r"getpwuid\(\): uid not found|Could not determine home"),
    ),
)
LIMITS = KnownCause(
    "LimitReached",
    "A limit of the container is reached: open files, threads or processes.",
    "Raise the limit of processes of the kubelet (podPidsLimit) or of open files of the container "
    "runtime, or set OMP_NUM_THREADS in spec.engine.env.",
    (
        # source: Python, OpenBLAS, the kernel
        Signature(
            r"can't start new thread|pthread_create failed|Resource temporarily unavailable"
            r"|\[Errno 24\] Too many open files|\[Errno 11\]|libgomp: Thread creation failed"
        ),
    ),
)
CAUSES = (DISK, TEMPORARY, READ_ONLY, USER, LIMITS)
