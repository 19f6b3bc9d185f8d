"""The Variable `dynamics_sync`: empty is valid, a wrong word names the nearest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.errors import SettingsError
from dynamics_sync.settings import Settings, parse_settings


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_nothing_means_all_defaults(text: str | None) -> None:
    assert parse_settings(text) == Settings()


def test_what_is_set_stands_and_the_rest_stays_at_its_default() -> None:
    settings = parse_settings('{"page_size": 100, "staging": "s3://bucket/sync"}')
    assert settings == Settings(page_size=100, staging="s3://bucket/sync")


@settings(deadline=None, derandomize=True)
@given(page_size=st.integers(1, 5000), share=st.floats(0, 1), days=st.integers(1, 365))
def test_settings_survive_their_own_json(page_size: int, share: float, days: int) -> None:
    settings = Settings(page_size=page_size, deletion_breaker_share=share, staging_days=days)
    assert parse_settings(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"pagesize": 5}', "`pagesize`: Extra inputs are not permitted; did you mean `page_size`?"),
        ('{"qqq": 5}', "`qqq`: Extra inputs are not permitted."),
        ('{"page_size": 0}', "`page_size`: "),
        ('{"page_size": 5001}', "`page_size`: "),
        ('{"rows_per_slice": 99}', "`rows_per_slice`: "),
        ('{"staging_days": 366}', "`staging_days`: "),
        ('{"deletion_breaker_share": 1.1}', "`deletion_breaker_share`: "),
        ('{"key_check_hours": 0}', "`key_check_hours`: "),
        ('{"overlap_seconds": -1}', "`overlap_seconds`: "),
        ('{"staging": null}', "`staging`: "),
        ("[]", "the Variable dynamics_sync: "),
        ("{page_size: 5}", "Invalid JSON"),
        ('{"page_size"', "Invalid JSON"),
    ],
)
def test_a_wrong_value_is_told_with_its_word(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    message = str(caught.value)
    assert message.startswith("DS-103 the Variable dynamics_sync: ")
    assert expected in message
    assert message.endswith("Correct the Variable dynamics_sync under Admin > Variables.")


@pytest.mark.parametrize("word", sorted(Settings.model_fields))
def test_no_value_is_repeated_in_the_message(word: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(f'{{"{word}": {{"password": "swordfish"}}}}')
    assert "swordfish" not in str(caught.value)
    assert caught.value.__cause__ is None
