"""What becomes of written values where no document tells: blanks, empty texts, and digits beyond a column's."""

from typing import Any

import pytest

from dynamics_emulator.testing_client import Client

LEAD = "leads(00000000-0000-4000-8000-000000000001)"
JSON = {"Content-Type": "application/json"}


def written(client: Client, column: str, value: str, path: str = LEAD) -> str:
    """A value as it is read after it was written as this JSON; both as text, so that no digit is lost."""
    body = f'{{"{column}": {value}}}'
    answer = client.call("PATCH", path, data=body.encode(), headers={**JSON, "Prefer": "return=representation"})
    assert answer.ok, answer.text
    _, _, rest = answer.text.partition(f'"{column}":')
    return rest.partition(",")[0].removesuffix("}")


@pytest.mark.parametrize(
    ("trims", "expected"),
    [("nothing", '" Ngozi  Ada "'), ("end", '" Ngozi  Ada"'), ("both", '"Ngozi  Ada"')],
)
@pytest.mark.parametrize("column", ["lastname", "description"])
def test_blanks_around_a_text(client: Client, trims: str, expected: str, column: str) -> None:
    client.emulator.control.change_settings(trims_text=trims)

    assert written(client, column, '" Ngozi  Ada "') == expected
    assert written(client, column, '"Ada"') == '"Ada"'


@pytest.mark.parametrize(
    ("trims", "empty", "of_empty", "of_blank"),
    [
        ("nothing", "null", "null", '" "'),
        ("nothing", "kept", '""', '" "'),
        ("end", "null", "null", "null"),
        ("both", "kept", '""', '""'),
    ],
)
def test_empty_and_blank_texts(client: Client, trims: str, empty: str, of_empty: str, of_blank: str) -> None:
    client.emulator.control.change_settings(trims_text=trims, empty_text=empty)

    assert written(client, "companyname", '""') == of_empty
    assert written(client, "companyname", '" "') == of_blank
    assert written(client, "companyname", "null") == "null"


def test_single_property_is_written_alike(client: Client) -> None:
    client.emulator.control.change_settings(trims_text="both")
    client.call("PATCH", LEAD, json={"lastname": "x"})
    client.call("PUT", f"{LEAD}/lastname", json={"value": " Okafor "})

    assert client.get(LEAD).json()["lastname"] == "Okafor"


def test_length_is_that_of_the_text_as_sent(client: Client) -> None:
    client.emulator.control.change_settings(trims_text="both")

    assert client.error("PATCH", LEAD, json={"lastname": "x" * 50 + " "}) == (400, "0x80044331")


@pytest.mark.parametrize(
    ("choice", "cases"),
    [
        ("half_even", {"1.00005": "1.0000", "1.00015": "1.0002", "1.00006": "1.0001", "1.00004999": "1.0000"}),
        ("half_up", {"1.00005": "1.0001", "1.00015": "1.0002", "1.00006": "1.0001", "1.00004999": "1.0000"}),
        (
            "cut",
            {"1.00005": "1.0000", "1.00015": "1.0001", "1.00006": "1.0000", "922337203685.47759": "922337203685.4775"},
        ),
    ],
)
def test_money_beyond_four_decimals(client: Client, choice: str, cases: dict[str, str]) -> None:
    client.emulator.control.change_settings(extra_digits=choice)

    assert {sent: written(client, "estimatedamount", sent) for sent in cases} == cases
    assert written(client, "estimatedamount", "12") == "12.0000"


@pytest.mark.parametrize(("choice", "expected"), [("half_even", "-2.12"), ("half_up", "-2.13"), ("cut", "-2.12")])
def test_decimals_beyond_those_of_the_column(client: Client, choice: str, expected: str) -> None:
    client.emulator.control.change_settings(extra_digits=choice)
    path = "acme_eventattendanceset(00000000-0000-4000-8000-000000000001)"

    assert written(client, "acme_rating", "-2.125", path) == expected
    assert written(client, "acme_rating", "-0.004", path) == "0.00"


def test_decimal_column_without_decimals(client: Client) -> None:
    client.emulator.control.add_column("lead", "acme_seats", "Decimal", precision=0)

    assert written(client, "acme_seats", "41.7") == "42"


@pytest.mark.parametrize(("rounds", "expected"), [(False, "0.12345"), (True, "0.123")])
def test_floating_point_beyond_the_columns_decimals(client: Client, rounds: bool, expected: str) -> None:
    client.emulator.control.change_settings(rounds_doubles=rounds)
    path = "acme_interests(00000000-0000-4000-8000-000000000001)"

    assert written(client, "acme_weight", "0.12345", path) == expected
    assert written(client, "acme_weight", "0.5", path) == "0.5"


def test_settings_hold_for_bodies_and_not_for_conditions(client: Client) -> None:
    """A text in a key or a filter is compared as it is sent."""
    client.create("leads", lastname="x", acme_extid=" M-7")
    client.emulator.control.change_settings(trims_text="both")

    assert client.get("leads(acme_extid=' M-7')").status_code == 200
    found: list[dict[str, Any]] = client.rows("leads?$filter=acme_extid eq ' M-7'")
    assert len(found) == 1
