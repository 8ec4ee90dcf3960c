from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_operator.api import quantity
from llama_operator.api.errors import LlamaError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80Gi", 80 * 2**30),
        ("500m", Decimal("0.5")),
        ("1e3", 1000),
        ("1.5k", 1500),
        (7, 7),
        ("0", 0),
    ],
)
def test_parse_gives_the_exact_value(text: str | int, value: int | Decimal) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "80 Gi", "80GB", "1,5Gi", "0x10"])
def test_what_is_no_quantity_is_refused_by_field(text: str) -> None:
    with pytest.raises(LlamaError) as caught:
        quantity.parse(text, "spec.gpu.memory")
    assert str(caught.value).startswith("spec.gpu.memory: ")


@given(st.integers(0, 2**52))
def test_formatted_bytes_are_enough_and_canonical(value: int) -> None:
    text = quantity.format_bytes(value)
    assert 0 <= quantity.parse_bytes(text) - value < quantity.MIB
    number = text.rstrip("KMGTPEi")
    assert number == "0" or int(number) % 1024 or text == number


@pytest.mark.parametrize(("millis", "text"), [(2000, "2"), (1500, "1500m"), (0, "0")])
def test_cpu_is_written_as_the_api_server_keeps_it(millis: int, text: str) -> None:
    assert quantity.format_cpu(millis) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert quantity.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "s", "1h 30m", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(LlamaError, match="duration"):
        quantity.parse_duration(text)
