"""Values that between them set everything once."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
MODEL = {
    "id": "mine-1b",
    "params": 361821120,
    "weights_bytes": 723642240,
    "hf": {"repo": "me/mine-1b"},
    "shape": {
        "num_layers": 32, "hidden_size": 960, "num_attention_heads": 15, "num_kv_heads": 5,
        "head_dim": 64, "intermediate_size": 2560, "vocab_size": 49152, "max_position": 8192,
        "tied_embeddings": True,
    },
}  # fmt: skip
EVERYTHING: Object = {
    "fullnameOverride": "ops",
    "commonLabels": {"team": "ml"},
    "image": {"repository": "registry.example.com:5000/llm/op", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "imageRegistry": "mirror.example.com/hub",
    "workers": 8,
    "log": {"format": "text", "level": "debug"},
    "podUserId": 2147483647,
    "weights": {
        "image": {"tag": "v9"},
        "runtimeClassName": "kata",
        "hubEndpoint": "https://hub.example.com",
        "tokenSecret": "token",
    },
    "extraModels": [MODEL],
    "proxy": {
        "http": "http://proxy:3128",
        "https": "http://proxy:3129",
        "noProxy": ["10.0.0.0/8", ".corp.example"],
    },
    "caBundle": {"configMapName": "corp-ca", "key": "bundle.pem"},
    "autoscaling": {"prometheusAddress": "http://prom.prom.svc:9090", "kedaNamespace": "scalers"},
    "routing": {"pickerImage": {"tag": "v9"}, "gatewayNamespaces": ["edge"]},
    "severalNodes": {"env": {"NCCL_IB_HCA": "mlx5"}, "resources": {"rdma/ib": "1"}},
    "serviceAccount": {"name": "robot", "annotations": {"a": "b"}},
    "operator": {
        "replicas": 3,
        "listenAddress": "::",
        "port": 9000,
        "extraArgs": ["--context="],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "labels": {"tier": "control"},
        "annotations": {"note": "1"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "system-cluster-critical",
    },
    "networkPolicy": {
        "from": [{"podSelector": {"matchLabels": {"app": "curl"}}}],
        "egress": [{"ports": [{"port": 443}]}],
    },
    "metrics": {
        "service": {"port": 80, "annotations": {"x": "y"}},
        "monitoringNamespaces": ["prom", "prom2"],
        "serviceMonitor": {"enabled": True, "labels": {"release": "p"}},
        "podMonitors": {"enabled": True},
        "rules": {"enabled": True, "runbookUrl": "https://wiki.example/runbooks"},
        "dashboards": {"enabled": True, "namespace": "grafana"},
        "tls": {
            "secretName": "op-tls",
            "serverName": "ops.example.com",
            "caSecretName": "corp-ca",
            "caKey": "root.pem",
            "clientCaSecretName": "scrapers",
            "clientSecretName": "prom-tls",
            "certManager": {
                "enabled": True, "issuerRef": {"name": "corp", "kind": "ClusterIssuer"},
            },
        },
    },
    "traces": {"otlpEndpoint": "http://collector.otel.svc:4318/v1/traces"},
    "admissionPolicy": {
        "enabled": True, "images": ["vllm/*"], "endpoints": [], "claims": ["llama-*", "x"],
        "secrets": ["hf-token"], "collectors": ["http://otel.svc:4317"],
        "namespaceSelector": {"matchLabels": {"team": "ml"}},
    },
}  # fmt: skip
VARIANTS: dict[str, Object] = {
    "default": {},
    "everything": EVERYTHING,
    "one-namespace": {"watchNamespace": "team-a", "operator": {"replicas": 1}},
    "openshift": {"podUserId": 0},
    "least": {
        "crds": {"enabled": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "given"},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "metrics": {"monitoringNamespaces": []},
        "test": {"enabled": False},
        "operator": {"nodeSelector": {"kubernetes.io/os": None}, "topologySpreadConstraints": []},
    },
}
