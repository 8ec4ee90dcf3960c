"""A socket to a port of a pod, through the API server, with no kubectl and no local port.

The `kubernetes` package opens the WebSocket (TLS, client certificate, proxy); the frames are
read here, since the package's own forwarder runs a thread whose exceptions end as a traceback
on the terminal and hides why a port refused. In the protocol v4.channel.k8s.io each port has a
data channel (0) and an error channel (1), and each opens with a frame that names the port.
"""

from __future__ import annotations

import io
from typing import Any

from llamactl.errors import CliError
from llamactl.kube import Kube
from llamactl.resources import PODS

DATA, ERROR = 0, 1
FRAME_BYTES = 32 * 1024
PROTOCOL = "v4.channel.k8s.io"


class ForwardError(CliError):
    """The tunnel to the pod could not be opened, or broke."""


class PodStream(io.RawIOBase):
    """The reading half of a forwarded port, as a file."""

    def __init__(self, websocket: Any) -> None:
        super().__init__()
        self._websocket = websocket
        self._rest = b""
        self._opened: set[int] = set()
        self._ended = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def close(self) -> None:
        """End the tunnel: whoever reads is the last to need it."""
        if not self.closed:
            self._websocket.close(timeout=1)
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what has arrived; 0 at the end. Raises ForwardError."""
        while not self._rest and not self._ended:
            self._receive()
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def _receive(self) -> None:
        from websocket import ABNF, WebSocketConnectionClosedException, WebSocketTimeoutException

        try:
            kind, frame = self._websocket.recv_data_frame(True)
        except WebSocketConnectionClosedException:
            self._ended = True
            return
        except WebSocketTimeoutException as error:
            raise TimeoutError("the server sent nothing for too long") from error
        if kind == ABNF.OPCODE_CLOSE:
            self._ended = True
        elif kind == ABNF.OPCODE_BINARY and frame.data:
            self._take(frame.data[0], frame.data[1:])

    def _take(self, channel: int, data: bytes) -> None:
        if channel not in self._opened:
            self._opened.add(channel)
        elif channel == DATA:
            self._rest += data
        elif data:
            raise ForwardError(
                f"the pod does not take connections: {data.decode(errors='replace').strip()}",
                fix="The server may be starting or ending",
            )


class PodSocket:
    """As much of a socket as `http.client` uses."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._stream = PodStream(websocket)
        self._read = False

    def sendall(self, data: bytes) -> None:
        """Send all bytes, in frames."""
        view = memoryview(data)
        for start in range(0, len(view), FRAME_BYTES):
            self._websocket.send_binary(bytes([DATA]) + bytes(view[start : start + FRAME_BYTES]))

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        """The answer as a file."""
        if mode != "rb":
            raise ValueError(f"a forwarded port is read as rb, not {mode!r}")
        self._read = True
        return io.BufferedReader(self._stream)

    def close(self) -> None:
        """End the tunnel, unless the answer is still being read.

        As with real sockets: `http.client` closes its socket as soon as an answer says
        "Connection: close", and goes on reading the file.
        """
        if not self._read:
            self._stream.close()


def connect(kube: Kube, pod: str, port: int, read_seconds: float) -> PodSocket:
    """A tunnel to a port of a pod. Raises ForwardError."""
    from kubernetes.stream.ws_client import create_websocket, get_websocket_url

    url = f"{kube.host}{PODS.path(kube.namespace, pod, 'portforward')}"
    headers = {**kube.headers(), "sec-websocket-protocol": PROTOCOL}
    address = get_websocket_url(url, [("ports", str(port))])
    try:
        websocket = create_websocket(kube.connection.configuration, address, headers)
    except Exception as error:  # the package raises what websocket, ssl and socket raise
        raise _refused(kube, pod, error) from error
    websocket.settimeout(read_seconds)
    return PodSocket(websocket)


def _refused(kube: Kube, pod: str, error: Exception) -> ForwardError:
    status = getattr(error, "status_code", 0)
    if status == 403:
        return ForwardError(
            f'you may not forward ports of pods in namespace "{kube.namespace}" (403)',
            fix='Ask for a role with this rule: {apiGroups: [""], resources: '
            "[pods/portforward], verbs: [create, get]}",
            next=kube.settings.kubectl("auth", "can-i", "create", "pods/portforward"),
        )
    text = (str(error) or type(error).__name__).splitlines()[0]
    return ForwardError(
        f"no way to pod {pod} through the API server: {text}",
        fix="Is the pod still there?",
        next=kube.settings.kubectl("get", "pod", pod),
    )
