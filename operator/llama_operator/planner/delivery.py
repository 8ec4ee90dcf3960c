"""How long a checkpoint is on its way: the volume it needs, the download, the load.

Plain divisions, on purpose: what a user doubts is the bandwidth, so that is named and given by
the user. A load from a disk of 1.2 GB/s took 15.0 s for 16 GB where the division says 13.4.
"""

from __future__ import annotations

from typing import NamedTuple

# File systems keep some of a volume for themselves: ext4 about 2 % for its tables and 5 % for root.
HEADROOM = 1.1
SMALLEST_VOLUME = 1 << 30
# One gigabit a second, and a volume that reads a gigabyte a second (a cloud disk that is paid for).
DEFAULT_BANDWIDTH = 125_000_000.0
DEFAULT_READ_SPEED = 1_000_000_000.0


class Delivery(NamedTuple):
    """Bytes of the files and of the volume for them; bytes per second that were assumed.

    Every node reads the whole checkpoint once: the ranks of a node share what was read.
    """

    file_bytes: int
    bandwidth: float = DEFAULT_BANDWIDTH
    read_speed: float = DEFAULT_READ_SPEED

    @property
    def volume_bytes(self) -> int:
        """What the operator asks for: the files with head-room for the file system."""
        return volume_bytes(self.file_bytes)

    @property
    def download_seconds(self) -> float:
        """Bytes / bandwidth."""
        return self.file_bytes / self.bandwidth

    @property
    def load_seconds(self) -> float:
        """Bytes / read speed; compiling and capturing CUDA graphs come on top."""
        return self.file_bytes / self.read_speed


def volume_bytes(file_bytes: int) -> int:
    """Bytes of the volume for files of so many bytes, at least 1 GiB."""
    return max(SMALLEST_VOLUME, int(file_bytes * HEADROOM))
