"""Names that objects in the cluster carry: labels, annotations, finalizers, field managers.

They are a contract with every object that an earlier version made: a changed value here
orphans what is already running, so they are never renamed, only added to.
"""

from __future__ import annotations

from typing import Final

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE: Final = "llama-operator"
NAME: Final = "app.kubernetes.io/name"
INSTANCE: Final = "app.kubernetes.io/instance"
COMPONENT: Final = "app.kubernetes.io/component"

# Values of COMPONENT.
SERVER: Final = "server"
# A rank of a server over several nodes that takes no requests: the first one is its SERVER.
WORKER: Final = "worker"
# The one server of a revision that is tried beside the others: what selects SERVER leaves it out.
TRIED: Final = "canary"
PREFLIGHT: Final = "preflight"
FETCH: Final = "fetch"
VERIFY: Final = "verify"
REVISION: Final = "revision"
ACTIVATOR: Final = "activator"
ADAPTER: Final = "adapter"
PULL: Final = "pull"
# What chooses the server of a request, for an InferencePool.
PICKER: Final = "picker"
# What each pod of a server claims its GPUs by.
DEVICES: Final = "devices"

# Name of the LlamaDeployment or LlamaWeights that an object belongs to.
DEPLOYMENT: Final = "llamactl.dev/deployment"
WEIGHTS: Final = "llamactl.dev/weights"

# On pods that bring images to nodes, instead of DEPLOYMENT, which Services may select by alone.
PULLS_FOR: Final = "llamactl.dev/pulls-for"

# On servers: the claim that they mount, hashed, since a claim's name may be too long for a label.
VOLUME: Final = "llamactl.dev/volume"

# On pods that the chart's PodMonitors leave alone: "false".
SCRAPED: Final = "llamactl.dev/scraped"

# Annotation: hash of what was last applied, so that an unchanged object costs no request.
INTENT_HASH: Final = "llamactl.dev/intent-hash"

# Annotation of a server's pods: the source of the API key guard, which they mount.
GUARD: Final = "llamactl.dev/guard"
# And the source of the canary, in servers over several nodes.
CANARY: Final = "llamactl.dev/canary"
# The same for what starts transformers' server.
LAUNCHER: Final = "llamactl.dev/launcher"
# The same of the warm-up request.
WARM_UP: Final = "llamactl.dev/warm-up"
# And of the keeper of the compile cache.
COMPILE_CACHE: Final = "llamactl.dev/compile-cache"
# Annotation of a server's pod: which labels it was given of spec.podMetadata while it ran.
LABELLED: Final = "llamactl.dev/pod-labels"
# On pods: when their keys were last changed, since a kubelet looks at a pod that changes at once.
KEYS_CHANGED: Final = "llamactl.dev/keys-changed"
# Annotation of a server's pods: the source of what loads LoRA adapters, which they mount.
ADAPTERS: Final = "llamactl.dev/adapters"
# Annotation of a server's pods: the spec of the ResourceClaimTemplate that they name.
DEVICE_CLAIM: Final = "llamactl.dev/device-claim"
# Annotation of a Deployment: how its pods are replaced and why, written with the template that it
# is about, so that a crash between two rollouts forgets nothing.
ROLLOUT: Final = "llamactl.dev/rollout"

# Annotation of a LlamaWeights: a time (RFC 3339) from which on its copy is to be read again, once.
VERIFY_AT: Final = "llamactl.dev/verify-at"

# Kueue's: the queue that a server, or a Job of a copy, waits in.
QUEUE: Final = "kueue.x-k8s.io/queue-name"
# What it holds a pod by: a scheduling gate.
QUEUE_GATE: Final = "kueue.x-k8s.io/admission"
# On what it looks after: all its labels begin so.
QUEUE_PREFIX: Final = "kueue.x-k8s.io/"
# On pods that it admits together, and on its Workloads: the Workload's name, and whose it is.
QUEUE_GROUP: Final = "kueue.x-k8s.io/pod-group-name"
QUEUE_OWNER: Final = "kueue.x-k8s.io/job-uid"
# LeaderWorkerSet's, on pods: the group that one is of.
GROUP_INDEX: Final = "leaderworkerset.sigs.k8s.io/group-index"

# Finalizer on a LlamaWeights that something still serves from.
FINALIZER: Final = "llamactl.dev/in-use"

# Field managers: who owns which part of an object under server-side apply.
OPERATOR_MANAGER: Final = "llama-operator"
STATUS_MANAGER: Final = "llama-operator-status"
PROGRESS_MANAGER: Final = "llama-weights"

# Prefixes of keys that users may not set on pods: our selectors and ownership hang on them.
RESERVED_PREFIXES: Final = ("llamactl.dev/", "app.kubernetes.io/")
