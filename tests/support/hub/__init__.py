"""An emulator of the Hugging Face hub, with a switch for every way in which the real one fails."""

from tests.support.hub.faults import Fault, parse_fault
from tests.support.hub.hub import Hub
from tests.support.hub.record import Request
from tests.support.hub.repository import Blob, Repository

__all__ = ["Blob", "Fault", "Hub", "Repository", "Request", "parse_fault"]
