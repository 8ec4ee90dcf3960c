"""The words of an error, and the exit code that goes with it."""

import pytest

from llama_operator.api.conditions import DEPLOYMENT_REASONS
from llama_operator.api.errors import (
    LlamaError,
    NotReadyError,
    PlanRefused,
    UnknownModel,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LlamaError("it broke"), "it broke"),
        (LlamaError("it broke", field="spec.x"), "spec.x: it broke"),
        (LlamaError("it broke.", field="spec.x", fix="Mend it"), "spec.x: it broke. Mend it"),
        (LlamaError("it broke", fix="Mend it"), "it broke. Mend it"),
        (
            PlanRefused(
                "InvalidParallelism", "9 heads on 2 GPUs", ["1", "3"], field="spec.gpu.count"
            ),
            "spec.gpu.count: 9 heads on 2 GPUs. Nearest choices: 1, 3",
        ),
        (PlanRefused("Fits", "no", ["1"], fix="Take 1"), "no. Take 1"),
        (UnknownModel("no model 70b"), "spec.model: no model 70b"),
    ],
)
def test_text_names_field_fault_and_way_out(error: LlamaError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LlamaError("x"), 1),
        (UsageError("x"), 2),
        (NotReadyError("x"), 3),
        (PlanRefused("GPUUnknown", "x"), 1),
        (UnknownModel("x"), 1),
    ],
)
def test_exit_codes(error: LlamaError, code: int) -> None:
    assert error.exit_code == code


def test_unknown_model_is_a_refusal_with_a_reason_of_the_condition() -> None:
    error = UnknownModel("no model 70b", ["llama-3.3-70b-instruct"])
    assert isinstance(error, PlanRefused)
    assert error.reason in DEPLOYMENT_REASONS["Planned"]
    assert error.choices == ("llama-3.3-70b-instruct",)
