"""The namespaces that a node lives in: own mounts, processes and network.

Kubelet, container runtime, proxy and every pod are descendants of one process (`pause`, process 1
of a pid namespace). Killing it ends all of them, whatever they detached; their mounts, interfaces
and iptables rules go with the namespaces. The fixed paths of the node's programs (/run, /var/lib,
/var/log) are private mounts, so that several nodes run side by side and the host's own container
runtime, if it has one, is never touched.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from . import tools
from .errors import ClusterError
from .processes import Command, Processes

HOLDER = "node"
HIDDEN = ("/run", "/var/lib", "/var/log")
# Directories of the state directory that appear at a short, fixed path: a unix socket's path may
# have 107 characters, and a test's directory can be longer than that.
BOUND = {
    "kubelet": "/var/lib/kubelet",
    "containerd": "/var/lib/containerd",
    "volumes": "/var/lib/local-volumes",
    "pod-logs": "/var/log/pods",
}
START_SECONDS = 10.0
END_SECONDS = 3.0


class Isolation:
    """Makes the namespaces and runs programs in them."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self._directory = directory
        self._processes = processes

    def start(self) -> None:
        """Make the namespaces; raises ClusterError with the reason when the kernel refuses."""
        self._refuse_hidden()
        ready = self._directory / "node-isolated"
        unshare = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
        script = self._script(ready)
        argv = (*unshare, "--propagation", "slave", "sh", "-ec", script)
        self._processes.start(Command(HOLDER, argv))
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            self._processes.require_alive()
            if time.monotonic() > deadline:
                raise ClusterError(f"no namespaces:\n{self._processes.tail(HOLDER)}")
            time.sleep(0.01)

    def end(self) -> None:
        """End everything inside. `nsenter` is given the time to reap its child, so that no zombie
        is left to an init that may be slow with them.
        """
        names = self._processes.names()
        if HOLDER not in names:
            return
        joined = [name for name in names if self._is_inside(name)]
        self._processes.stop([HOLDER])
        self._processes.wait_gone(joined, END_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether the namespaces are there."""
        return HOLDER in self._processes.names() and self._processes.alive(HOLDER)

    @property
    def pid(self) -> int:
        """Pid (on the host) of the process that holds the namespaces."""
        return self._processes.identity(HOLDER).pid

    @property
    def network_only(self) -> tuple[str, ...]:
        """Prefix of a command that joins only the network; the pid stays that of the program."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    @property
    def inside(self) -> tuple[str, ...]:
        """Prefix of a command that joins network, mounts and processes."""
        here = f"/proc/{self.pid}/ns"
        pids = f"--pid={here}/pid_for_children"
        return ("nsenter", f"--net={here}/net", f"--mount={here}/mnt", pids, "--")

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> str:
        """Output of a command run inside; raises ClusterError with its error output."""
        return run([*self.inside, *argv], timeout=timeout)

    def path(self, inner: str) -> Path:
        """A path of the node, as the host sees it while the node lives."""
        return Path(f"/proc/{self.pid}/root{inner}")

    def _is_inside(self, name: str) -> bool:
        return any(part.startswith("--pid=") for part in self._processes.command(name).argv)

    def _script(self, ready: Path) -> str:
        lines = ["mount --make-rshared /", "mount -t proc proc /proc"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in HIDDEN]
        for name, target in BOUND.items():
            source = shlex.quote(str(self._directory / name))
            lines += [f"mkdir -p {source} {target}", f"mount --bind {source} {target}"]
        pause = shlex.quote(str(tools.path_of("pause")))
        return "\n".join([*lines, f": > {shlex.quote(str(ready))}", f"exec {pause}"])

    def _refuse_hidden(self) -> None:
        for hidden in HIDDEN:
            if self._directory.is_relative_to(hidden):
                raise ClusterError(
                    f"{self._directory} lies under {hidden}, which the node hides",
                    "Choose a state directory elsewhere",
                )


def run(argv: Sequence[str], *, timeout: float = 60.0) -> str:
    """Output of a command; raises ClusterError with its error output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{shlex.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
