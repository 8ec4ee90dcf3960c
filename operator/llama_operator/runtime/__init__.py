"""A small level-triggered controller runtime on asyncio, for any operator.

    configuration = await load_configuration()
    api = Api(configuration)
    things = Informer(api, THINGS)
    controller = Controller("thing", reconcile)
    manager = Manager(api, [things], [controller], LeaderElector(api, "ns", "thing-operator"))
    manager.watch(things, controller)
    await manager.run(stop_on_signals())

Names and behaviour follow client-go and controller-runtime where they have a counterpart there.
"""

from .api import Api, ObjectList
from .breaker import Breaker
from .clock import Clock, FakeClock, SystemClock
from .compact import Compact
from .config import load_configuration
from .controller import Controller, Result
from .errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    MethodNotAllowed,
    NotFound,
    NotLeader,
    ServerError,
    TerminalError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from .events import EventRecorder
from .informer import Informer, drop_managed_fields
from .leader import LeaderElector
from .manager import LeadershipLost, Manager, stop_on_signals
from .mapping import changed_generation, controller_of, owner_uids, to_controller, to_label, to_self
from .resource import EVENTS, LEASES, PODS, Key, Object, Resource, key_of, version_of
from .store import Store
from .workqueue import LOW, NORMAL, ShutDown, WorkQueue

__all__ = [
    "EVENTS",
    "LEASES",
    "LOW",
    "NORMAL",
    "PODS",
    "AlreadyExists",
    "Api",
    "ApiError",
    "BadRequest",
    "Breaker",
    "Clock",
    "ClusterError",
    "Compact",
    "Conflict",
    "Controller",
    "EventRecorder",
    "FakeClock",
    "Forbidden",
    "Gone",
    "Informer",
    "Invalid",
    "Key",
    "LeaderElector",
    "LeadershipLost",
    "Manager",
    "MethodNotAllowed",
    "NotFound",
    "NotLeader",
    "Object",
    "ObjectList",
    "Resource",
    "Result",
    "ServerError",
    "ShutDown",
    "Store",
    "SystemClock",
    "TerminalError",
    "TooManyRequests",
    "TransportError",
    "Unauthorized",
    "WorkQueue",
    "changed_generation",
    "controller_of",
    "drop_managed_fields",
    "key_of",
    "load_configuration",
    "owner_uids",
    "stop_on_signals",
    "to_controller",
    "to_label",
    "to_self",
    "version_of",
]
