"""The kinds of objects that llamactl reads and writes, and their paths at the API server."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """A kind as its URL spells it; an empty group is the core API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apiVersion` of an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """plural.group, as RBAC and kubectl name it."""
        return self.named()

    def named(self, part: str = "") -> str:
        """The same of a subresource: pods/log."""
        plural = f"{self.plural}/{part}" if part else self.plural
        return f"{plural}.{self.group}" if self.group else plural

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL path; an empty namespace means all of them."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        parts = ["namespaces", namespace] if namespace else []
        parts += [self.plural, *filter(None, (name, subresource))]
        return "/".join([root, *(quote(part, safe="") for part in parts)])


DEPLOYMENTS = Resource("llamactl.dev", "v1alpha1", "llamadeployments", "LlamaDeployment")
WEIGHTS = Resource("llamactl.dev", "v1alpha1", "llamaweights", "LlamaWeights")
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NODES = Resource("", "v1", "nodes", "Node")
EVENTS = Resource("", "v1", "events", "Event")
SERVERS = Resource("apps", "v1", "deployments", "Deployment")
GROUPS = Resource("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet")
INFERENCES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
LLM_INFERENCES = Resource(
    "serving.kserve.io", "v1alpha2", "llminferenceservices", "LLMInferenceService"
)
REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = Resource("batch", "v1", "jobs", "Job")
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"
)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass")
DEVICE_CLASSES = Resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass")
DEVICE_SLICES = Resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
RULES_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview"
)
