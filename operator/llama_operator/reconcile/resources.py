"""The kinds that the operator reads and writes."""

from __future__ import annotations

from llama_operator.api.v1alpha1 import GROUP, VERSION
from llama_operator.runtime.resource import Resource

DEPLOYMENTS = Resource(GROUP, VERSION, "llamadeployments", "LlamaDeployment")
WEIGHTS = Resource(GROUP, VERSION, "llamaweights", "LlamaWeights")
SERVERS = Resource("apps", "v1", "deployments", "Deployment")
GROUPS = Resource("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet")
INFERENCES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
LLM_INFERENCES = Resource(
    "serving.kserve.io", "v1alpha2", "llminferenceservices", "LLMInferenceService"
)
WORKLOADS = Resource("kueue.x-k8s.io", "v1beta2", "workloads", "Workload")
SERVICES = Resource("", "v1", "services", "Service")
POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
JOBS = Resource("batch", "v1", "jobs", "Job")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
SECRETS = Resource("", "v1", "secrets", "Secret")
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
POOLS = Resource("inference.networking.k8s.io", "v1", "inferencepools", "InferencePool")
CLAIM_TEMPLATES = Resource(
    "resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"
)
DEVICE_CLAIMS = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
DEVICE_CLASSES = Resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", namespaced=False)
DEVICE_SLICES = Resource(
    "resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False
)
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)

# Watched with our label only. What is not watched would be asked for again in each pass, and an
# operator that is cut off after a few calls would never get past it.
SERVING_CHILDREN = (SERVERS, SERVICES, POLICIES, BUDGETS, REVISIONS, CONFIG_MAPS, INGRESSES)
WEIGHTS_CHILDREN = (JOBS, CLAIMS, ACCOUNTS, ROLES, BINDINGS)
# Of what a LlamaDeployment owns, kinds that are not watched for it alone, or may be missing.
SCALING_CHILDREN = (HPAS, SCALED_OBJECTS)
OPTIONAL_SERVERS = (GROUPS, INFERENCES, LLM_INFERENCES)
ROUTE_CHILDREN = (ROUTES, POOLS)
SHARED_CHILDREN = (ACCOUNTS, ROLES, BINDINGS, CLAIMS, JOBS)

BY_KIND = {
    resource.kind: resource
    for resource in (
        *SERVING_CHILDREN,
        *WEIGHTS_CHILDREN,
        *SCALING_CHILDREN,
        *OPTIONAL_SERVERS,
        *ROUTE_CHILDREN,
        CLAIM_TEMPLATES,
        DEPLOYMENTS,
        WEIGHTS,
        SECRETS,
        PODS,
    )
}
