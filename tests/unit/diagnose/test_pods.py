from typing import Any

from llama_operator.diagnose import events, pods
from llama_operator.diagnose.words import same_but_for_numbers

Object = dict[str, Any]


def pod(
    container: Object | None = None, conditions: list[Object] | None = None, **meta: Any
) -> Object:
    statuses = [container] if container else []
    return {
        "metadata": {"name": "p", **meta},
        "status": {"conditions": conditions or [], "containerStatuses": statuses},
    }


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def ended(code: int, reason: str = "Error", message: str = "") -> Object:
    return {
        "lastState": {"terminated": {"exitCode": code, "reason": reason, "message": message}},
        "state": {},
    }


def test_a_pod_that_no_node_can_take() -> None:
    text = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": text,
    }
    found = pods.cause(pod(conditions=[condition]))
    assert found is not None
    assert found.reason == "Unschedulable"
    assert text in found.message


def test_a_pod_that_no_node_has_free_devices_for() -> None:
    text = "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    found = pods.cause(pod(conditions=[{**condition, "message": text}]))
    assert found is not None
    assert found.reason == "Unschedulable"
    assert text in found.message
    assert "spec.gpu.deviceClassName" in found.message
    assert "kubectl get resourceslices" in found.message


def test_an_image_that_cannot_be_pulled_names_image_and_field() -> None:
    found = pods.cause(pod(waiting("ImagePullBackOff", "back-off 5m0s", image="no/such:1")))
    assert found is not None
    assert found.reason == "ImagePullFailed"
    assert "no/such:1" in found.message
    assert "spec.engine.imagePullSecrets" in found.message
    assert "5m" not in found.message, "a back-off that grows would change the message each time"


def test_a_missing_secret() -> None:
    found = pods.cause(pod(waiting("CreateContainerConfigError", 'secret "k" not found')))
    assert found is not None
    assert found.reason == "SecretMissing"
    assert 'secret "k" not found' in found.message


def test_a_volume_whose_secret_or_authorities_are_missing() -> None:
    words = 'MountVolume.SetUp failed for volume "api-keys" : secret "web-api-key" not found'
    found = events.cause([{"reason": "FailedMount", "message": words}])
    assert found is not None
    assert found.reason == "SecretMissing"
    assert "kubectl create secret generic web-api-key" in found.message
    bundle = 'MountVolume.SetUp failed for volume "ca" : configmap "corp-ca" not found'
    found = events.cause([{"reason": "FailedMount", "message": bundle}])
    assert found is not None
    assert found.reason == "SecretMissing"
    assert "kubectl create configmap corp-ca --from-file=ca.crt" in found.message
    other = events.cause([{"reason": "FailedMount", "message": words.replace("secret ", "claim ")}])
    assert other is not None
    assert other.reason == "FailedMount"


def test_out_of_memory_is_not_called_a_crash() -> None:
    found = pods.cause(pod(ended(137, "OOMKilled")))
    assert found is not None
    assert found.reason == "OutOfMemory"


def test_a_crash_shows_the_exception_and_not_its_wrapper() -> None:
    log = (
        "INFO something\n"
        "ValueError: Total number of attention heads (9) must be divisible by 2.\n"
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    found = pods.cause(pod(ended(1, message=log)))
    assert found is not None
    assert found.reason == "CrashLooping"
    assert "attention heads (9)" in found.message
    assert "initialization failed" not in found.message


def test_exit_code_zero_is_a_failure_of_the_engine() -> None:
    found = pods.cause(pod(ended(0, "Completed")))
    assert found is not None
    assert "engine died" in found.message


def test_a_container_that_recovered_has_no_cause() -> None:
    assert pods.cause(pod({**ended(1), "ready": True})) is None


def test_a_pod_on_its_way_out_is_not_judged_and_the_worst_wins() -> None:
    leaving = pod(ended(137, "OOMKilled"), deletionTimestamp="2026-01-01T00:00:00Z")
    pulling = pod(waiting("ErrImagePull", image="x"))
    crashing = pod(ended(1, message="ValueError: no"))
    found = pods.worst([leaving, pulling, crashing])
    assert found is not None
    assert found.reason == "CrashLooping"
    assert pods.worst([leaving]) is None


def test_a_container_that_is_refused_for_another_reason_is_not_called_a_missing_secret() -> None:
    text = "container has runAsNonRoot and image will run as root"
    found = pods.cause(pod(waiting("CreateContainerConfigError", text)))
    assert found is not None
    assert found.reason == "ContainerRefused"
    assert text in found.message


def test_the_order_of_pods_is_no_news() -> None:
    first, second = pod(ended(1, message="ValueError: a")), pod(ended(1, message="ValueError: b"))
    assert pods.worst([first, second]) == pods.worst([second, first])


def test_only_what_keeps_a_job_from_starting_is_told_of_it() -> None:
    assert pods.not_started([pod(ended(1))], pods.JOB_IMAGE) is None
    found = pods.not_started([pod(waiting("ErrImagePull", image="x:1"))], pods.JOB_IMAGE)
    assert found is not None
    assert "--weights-image" in found.message
    assert "spec.engine" not in found.message


# -- by the log ---------------------------------------------------------------------------------

CONTEXT = (
    "ValueError: To serve at least one request with the model's max seq len (8192), (1.0 GiB KV cache "
    "is needed, which is larger than the available KV cache memory ({free} GiB). Based on the "
    "available memory, the estimated maximum model length is {fits}."
)
KILLED = "ERROR 11-25 10:00:00 [multiproc_executor.py:9] Worker proc W-0 died unexpectedly (exit code: -9)"


def crashed(uid: str, code: int = 1, **meta: Any) -> Object:
    return pod(ended(code), uid=uid, **meta)


def test_the_log_names_the_cause_and_the_fix() -> None:
    found = pods.worst([crashed("a")], {"a": CONTEXT.format(free=0.5, fits=4096)})
    assert found is not None
    assert found.reason == "InsufficientMemoryForContext"
    assert "One request of 8192 tokens does not fit" in found.message
    assert "spec.sizing.maxModelLen: 4096" in found.message
    assert "vLLM's words: ValueError: To serve" in found.message
    assert len(found.message) < 1000


def test_a_log_is_of_its_own_pod_only() -> None:
    found = pods.worst([crashed("a")], {"b": CONTEXT})
    assert found is not None
    assert found.reason == "CrashLooping"


def test_without_a_log_the_kubelets_two_kibibytes_are_judged() -> None:
    found = pods.cause(
        pod(ended(2, message="vllm serve: error: argument --dtype: invalid choice: 'x'"))
    )
    assert found is not None
    assert found.reason == "InvalidArguments"
    assert "--dtype: invalid choice" in found.message


def test_an_engine_that_was_killed_is_a_failure_though_vllm_ends_with_0() -> None:
    found = pods.worst(
        [crashed("a", 0)], {"a": f"INFO:     Application startup complete.\n{KILLED}"}
    )
    assert found is not None
    assert found.reason == "EngineKilled"


def test_an_image_without_vllm_never_starts() -> None:
    text = 'OCI runtime create failed: exec: "vllm": executable file not found in $PATH'
    for container in (
        ended(128, "StartError", text),
        waiting("RunContainerError", text),
        waiting("CreateContainerError", text),
    ):
        found = pods.cause(pod(container))
        assert found is not None
        assert found.reason == "ImageWithoutVLLM"


def test_nothing_in_a_message_moves_by_itself_or_is_secret() -> None:
    log = (
        "(Worker pid={n}) ERROR 11-25 10:0{n}:00 [x.py:1] OSError: [Errno 98] Address already in use: "
        "('10.0.0.{n}', 80{n}) psm at /psm_ab{n} of process {n} 0x7f{n} token=hf_abcdefghijk{n}"
    )
    first, second = (
        str(pods.worst([crashed("a", name=f"web-{n}")], {"a": log.format(n=n)})) for n in (1, 2)
    )
    assert same_but_for_numbers(first, second)
    assert "PortInUse" in first
    for moving in ("10.0.0", "hf_", "0x7f", "ab1", "web-1", "10:01"):
        assert moving not in first


def test_the_root_cause_of_any_replica_is_told_before_what_follows_from_it() -> None:
    logs = {
        "a": KILLED,
        "b": "RuntimeError: NCCL error: x",
        "c": CONTEXT.format(free=1, fits=2),
        "d": "FrobnicationError: no",
    }
    order = []
    left = [crashed(uid) for uid in "dabc"] + [pod(waiting("ErrImagePull", image="x"))]
    while left:
        found = pods.worst(left, logs)
        assert found is not None
        order.append(found.reason)
        left = [each for each in left if pods.worst([each], logs) != found]
    assert order == [
        "InsufficientMemoryForContext",
        "NCCLFailed",
        "EngineKilled",
        "CrashLooping",
        "ImagePullFailed",
    ]


def test_the_container_whose_log_is_asked_for_is_the_one_that_ended() -> None:
    fine = {"name": "guard", "ready": True, "state": {"running": {}}}
    engine = {"name": "engine", "containerID": "x", **ended(1)}
    both = {"metadata": {"uid": "a"}, "status": {"containerStatuses": [fine, engine]}}
    found = pods.ended(both)
    assert found is not None
    assert (found["name"], found["ended"]["exitCode"]) == ("engine", 1)
    assert pods.ended(pod(fine)) is None
