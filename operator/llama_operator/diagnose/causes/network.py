"""Between the ranks of one replica: NCCL, Gloo, torch's store, ports and interfaces."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

PORT = KnownCause(
    "PortInUse",
    "A port that the server needs is taken.",
    "Change spec.endpoint.port; a host network, or VLLM_PORT and VLLM_DP_MASTER_PORT in "
    "spec.engine.env, bring servers in each other's way.",
    (
        # recorded: port-taken; source: asyncio, torch
        Signature(
            r"(?:\[Errno 98\] |EADDRINUSE|error while attempting to bind on address)"
            r"|[Aa]ddress already in use|Could not find open port after"
        ),
        # source: a Service named vllm sets VLLM_PORT to an address
        Signature(
            r"VLLM_PORT '?\S*'? appears to be a URI",
            "VLLM_PORT holds an address: Kubernetes sets it for a Service named vllm.",
        ),
    ),
    permanent=False,
)
PEERS = KnownCause(
    "PeersUnreachable",
    "The ranks of the replica do not reach each other.",
    "Pods of one replica need every port between them: check NetworkPolicies, the master's name in "
    "DNS, and that all pods of the group run.",
    (
        # source: torch's TCPStore and Gloo
        Signature(
            r"client socket has timed out after \d+m?s while trying to connect"
            r"|[Tt]imed out (?:after .* )?waiting for clients|DistNetworkError|DistStoreError: "
            r"|connectFullMesh|Gloo connect\w* failed|wait timeout after \d+ms, keys"
            r"|client socket has failed to connect to|The (?:IPv[46] )?network addresses? of .* cannot be retrieved"
            r"|Did not receive response from front-end process"
        ),
        Signature(
            r"Name or service not known|Temporary failure in name resolution|gai error|gaierror",
            "The name of the group's leader is not known in DNS.",
        ),
        # source: NCCL's sockets
        Signature(
            r"NCCL WARN .*(?:Connection refused|No route to host|Network is unreachable|connect.* timed out)",
            "NCCL does not reach another rank.",
            warnings_too=True,
        ),
    ),
    permanent=False,
    rank=Rank.GENERAL,
)
INTERFACE = KnownCause(
    "NetworkInterfaceNotFound",
    "The network interface or address that the ranks are to use is not there.",
    "Correct or remove NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME, NCCL_IB_HCA and VLLM_HOST_IP in "
    "spec.engine.env: names in a pod are not those of its node.",
    (
        # source: NCCL, Gloo, vLLM, libc
        Signature(
            r"Unable to find address for: (?P<name>\S+)",
            "There is no network interface {name}.",
        ),
        Signature(r"Neither 127\.0\.0\.1 nor ::1 are bound|Cannot assign requested address"),
        Signature(r"[Nn]o socket interface found", warnings_too=True),
    ),
)
RDMA = KnownCause(
    "RDMAUnavailable",
    "NCCL cannot use the RDMA devices.",
    "Give the pods the RDMA resource and unlimited locked memory, or set NCCL_IB_DISABLE=1 in "
    "spec.engine.env to go by TCP, which is slower.",
    (
        # source: NCCL's net_ib
        Signature(
            r"ibv_(?:create|reg|modify|open|alloc)_\w+ failed|Call to ibv_\w+ failed"
            r"|ibv_reg_mr\w* failed|NET/IB : Got completion .* with (?:status|error)"
            r"|libibverbs: .*RLIMIT_MEMLOCK",
            fix=fixes.variable("NCCL_IB_DISABLE", "1"),
            warnings_too=True,
        ),
    ),
)
PEER_TO_PEER = KnownCause(
    "PeerToPeerFailed",
    "The GPUs of the node cannot exchange data directly.",
    "Set NCCL_P2P_DISABLE=1 in spec.engine.env and --disable-custom-all-reduce in spec.engine.args; "
    "on bare machines IOMMU and ACS of the PCIe switches are what prevents it.",
    (
        # source: CUDA, NCCL, vLLM's custom all-reduce
        Signature(
            r"peer access is not supported between these two devices|peer mapping resources exhausted"
            r"|cudaErrorPeerAccessUnsupported|batch testing peer-to-peer access|cudaErrorTooManyPeers"
            r"|custom_all_reduce\.cuh?:\d+|transport/p2p\.cc.*(?:Cuda failure|invalid)",
            fix=fixes.variable("NCCL_P2P_DISABLE", "1"),
            warnings_too=True,
        ),
    ),
)
NCCL = KnownCause(
    "NCCLFailed",
    "NCCL could not set up or keep the exchange between GPUs.",
    "Set NCCL_DEBUG=INFO in spec.engine.env and read what it says before the error; usual causes are "
    "driver, /dev/shm, the interface, or a rank that died first.",
    (
        # source: torch's ProcessGroupNCCL, pynccl
        Signature(
            r"NCCL error(?: in)?: |ncclUnhandledCudaError|ncclSystemError|ncclInternalError"
            r"|ncclInvalidUsage|DistBackendError|failed to load the NCCL library"
            r"|libnccl\.so\S*: cannot open shared object file|RCCL error",
        ),
    ),
    permanent=False,
    rank=Rank.GENERAL,
)
LOST = KnownCause(
    "PeerLost",
    "Another rank of the replica is gone or does not answer.",
    "Read the logs of the other pods or ranks: the first that ended has the cause.",
    (
        # source: NCCL's watchdog, Gloo, torch's store
        Signature(
            r"Watchdog caught collective operation timeout|ncclRemoteError"
            r"|Connection (?:closed|reset) by (?:remote )?peer|[Rr]emote process has terminated"
            r"|Broken pipe|recvValue failed|Connection was likely closed"
            r"|Barrier (?:departure )?timed out after|Failed to broadcast barrier_id"
            r"|Some NCCL operations have failed or timed out"
        ),
    ),
    permanent=False,
    rank=Rank.CONSEQUENCE,
)
CAUSES = (PORT, PEERS, INTERFACE, RDMA, PEER_TO_PEER, NCCL, LOST)
