"""Objects that the API server must accept, near misses of the rules, and misspelt ones."""

from __future__ import annotations

from tests.integration.crd_cases import SIZES, deployment, hugging_face, weights

ACCEPTED = {
    "org-repo": deployment(model="meta-llama/Llama-3.1-8B-Instruct"),
    "name-50": deployment("a" * 50),
    "http-without-token": weights(**hugging_face(endpoint="http://127.0.0.1:8080/hub")),
    "https-with-token": weights(
        **hugging_face(endpoint="https://hub.example", tokenSecretRef={"name": "t"})
    ),
    "meta": weights(source={"meta": {"urlSecretRef": {"name": "u"}, "folder": "Llama-3.1-8B"}}),
    "claim": weights(source={"claim": {"name": "c", "path": "models/Llama-3.1-8B"}}),
    "claim-root": weights(
        source={"claim": {"name": "c"}},
        caBundle={"configMapName": "authorities"},
        keepOriginals=True,
        verify={"schedule": "Monthly"},
    ),
    "empty-means-auto": deployment(
        engine={"image": "", "version": ""},
        gpu={"product": "", "resourceName": ""},
        storage={"claimName": "", "storageClassName": "", "size": 0},
        runtimeClassName="",
    ),
    "weights-ref": deployment(weightsRef={"name": "w"}),
    "count-fits": deployment(gpu={"count": 8}, sizing=SIZES),
    "count-and-one-pin": deployment(gpu={"count": 3}, sizing={"tensorParallel": 4}),
    "stopped": deployment(replicas=0, paused=True),
    "room-for-adapters": deployment(lora={"enabled": True, "maxRank": 512}),
    "adapters": deployment(
        lora={"enabled": True, "maxAdapters": 2},
        adapters=[
            {"name": "sql_v2", "source": {"huggingFace": {"repo": "o/a"}}},
            {"name": "Mine", "source": {"claim": {"name": "c", "path": "a/b"}}},
        ],
    ),
    "adapter": weights(**hugging_face(repo="o/a"), adapter=True, storage={"claimName": "c"}),
    "autoscaling": deployment(autoscaling={}),
    "autoscaling-whole": deployment(
        replicas=0,
        autoscaling={
            "minReplicas": 0,
            "maxReplicas": 1,
            "idleAfter": "1h30m",
            "targets": [
                {"metric": "KVCacheUsage", "value": 100},
                {"metric": "TimeToFirstToken", "value": 101},
            ],
        },
    ),
    "quantities": deployment(
        gpu={"memory": "80Gi"},
        storage={"size": 42949672960, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]},
        engine={"resources": {"requests": {"cpu": 4, "memory": "32Gi"}, "limits": {"cpu": "500m"}}},
    ),
    "cpu": deployment(
        engine={"device": "cpu", "enforceEager": True, "args": ["--seed", "7", "-O3"]},
        gpu={"count": 2, "resourceName": "nvidia.com/gpu"},
        runtimeClassName="host-python",
    ),
    "device-class": deployment(gpu={"deviceClassName": "gpu.nvidia.com", "resourceName": ""}),
    "mig": deployment(gpu={"resourceName": "nvidia.com/mig-1g.10gb"}),
    "env": deployment(
        engine={
            "env": [
                {"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"},
                {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}},
            ]
        }
    ),
    "pod-metadata": deployment(
        podMetadata={"labels": {"team": "x"}, "annotations": {"example.com/a": "any text: 1"}}
    ),
    "scheduling": deployment(
        scheduling={
            "nodeSelector": {"kubernetes.io/hostname": "n1"},
            "tolerations": [
                {"operator": "Exists"},
                {"key": "k", "value": "v", "effect": "NoExecute", "tolerationSeconds": 5},
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "z", "operator": "In", "values": ["a"]}]}
                        ]
                    }
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                    ]
                },
            },
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "priorityClassName": "high",
        }
    ),
    "network-peers": deployment(
        endpoint={
            "networkPolicy": {
                "from": [
                    {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ]
            }
        }
    ),
    "percent": deployment(disruption={"maxUnavailable": "25%"}),
    # Everything at its bound: the rules must stay within the cost that the server allows at run time.
    "largest": deployment(
        "z" * 50,
        model="m" * 200,
        engine={
            "args": ["--" + "_" * 4094] * 64,
            "env": [{"name": f"E{i:0252d}", "value": "v" * 8192} for i in range(64)],
        },
        podMetadata={
            "labels": {f"{'d' * 250}/{i:063d}": "v" * 63 for i in range(64)},
            "annotations": {f"{'d' * 250}/{i:063d}": "v" * 1000 for i in range(64)},
        },
    ),
    "kserve": deployment(
        backend="kserve",
        rollout={"canaryPercent": 100},
        sizing={"nodes": 1},
        autoscaling={"minReplicas": 1},
    ),
    "kserve's other resource": deployment(
        backend="kserve", kserve={"resource": "LLMInferenceService"}, endpoint={"port": 80}
    ),
    "kserve's resource beside native": deployment(kserve={"resource": "InferenceService"}),
    "native-to-zero": deployment(
        backend="native", autoscaling={"minReplicas": 0}, rollout={"canaryPercent": 0}
    ),
    "rollout": deployment(rollout={"strategy": "Surge", "allowDowntime": False}),
    "compile cache": deployment(compileCache={"storage": {}}, startup={"warmUp": False}),
    "compile cache of a size": deployment(
        compileCache={"storage": {"accessModes": ["ReadWriteMany"], "size": "9Gi"}}
    ),
    "durations": deployment(drain={"timeout": "1h30m"}, startup={"budget": "45m"}),
}

# Misspelt or belonging elsewhere: a strict client must be told, at any depth.
UNKNOWN = {
    "spec": deployment(modle="x"),
    "gpu": deployment(gpu={"counts": 8}),
    "toleration": deployment(scheduling={"tolerations": [{"keys": "x"}]}),
    "affinity": deployment(scheduling={"affinity": {"nodeAffinty": {}}}),
    "gpus-as-resources": deployment(engine={"resources": {"limits": {"nvidia.com/gpu": 1}}}),
    "of-the-other-kind": weights(replicas=2),
}
