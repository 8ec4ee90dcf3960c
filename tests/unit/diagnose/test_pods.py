from typing import Any

from llama_operator.diagnose import pods

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
