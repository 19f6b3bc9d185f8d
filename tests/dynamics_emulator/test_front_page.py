"""The page at ``/``, in a real browser and as text."""

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.overview import TableCounts
from dynamics_emulator.settings import Settings
from dynamics_emulator.testing_client import Client, open_session


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "apt-get install chromium"
    switches = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=switches.split())
        yield opened
        opened.close()


def show(browser: Browser, client: Client, *, path: str = "/", **options: Any) -> Page:
    """Open the page as a person does, who clicks the warning about the unknown authority away."""
    page = browser.new_context(ignore_https_errors=True, **options).new_page()
    page.goto(client.emulator.url + path)
    return page


def test_shows_what_is_there(browser: Browser, client: Client) -> None:
    client.create("leads", lastname="Okafor", emailaddress1="okafor@example.com")
    client.get("leads?$filter=lastname eq 'Okafor'&$select=lastname")
    client.emulator.control.add_fault("status-503", probability=0.25, match="/contacts")
    client.emulator.control.change_settings(page_size=77)

    page = show(browser, client)
    text = page.inner_text("body")

    row = page.locator("#tables .columns > div", has_text=re.compile(r"^\s*lead\s"))
    assert row.locator("b").inner_text() == "1"
    assert "/api/data/v9.2/leads?$filter&$select" in page.inner_text("#requests")
    assert "with probability 0.25" in page.inner_text("#faults")
    assert page.locator("#settings .mark").first.inner_text() == "77"
    assert client.emulator.client_secret in text
    assert str(client.emulator.ca_file.resolve()) in text
    assert "Okafor" not in page.content()


def test_names_each_fault_and_each_setting(client: Client) -> None:
    text = client.session.get(f"{client.emulator.url}/", timeout=10).text

    for fault in Fault:
        assert fault.value in text
        assert fault.description in text
    for name in Settings.model_fields:
        assert name in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read_in_light_and_in_the_dark(browser: Browser, client: Client, scheme: Any) -> None:
    page = show(browser, client, color_scheme=scheme)

    def brightness(what: str) -> int:
        colour = page.evaluate(f"getComputedStyle(document.body).{what}")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    ink, paper = brightness("color"), brightness("backgroundColor")
    assert abs(ink - paper) > 400
    assert (ink < paper) == (scheme == "light")


def test_fits_a_phone_and_asks_nobody_else(browser: Browser, client: Client) -> None:
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(client.emulator.url)

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert [url for url in asked if not url.startswith("data:")] == [f"{client.emulator.url}/"]


def test_loads_itself_again_only_when_asked_to(client: Client) -> None:
    with open_session(client.emulator) as anybody:
        pages = [anybody.get(f"{client.emulator.url}/{query}", timeout=10).text for query in ("", "?refresh=5")]
        foreign = anybody.get(f"{client.emulator.url}/?refresh=0;url=https://elsewhere.example", timeout=10).text

    assert ['http-equiv="refresh" content="5"' in text for text in pages] == [False, True]
    assert "elsewhere" not in foreign


def test_rows_are_counted_anew_only_now_and_then(client: Client) -> None:
    now = [100.0]
    counts = TableCounts(client.emulator.organisation, lambda: now[0])

    seen = []
    for seconds in (0, 1, 1, 2):
        now[0] += seconds
        seen.append(counts.read()["lead"])
        client.create("leads", lastname="x")

    assert seen == [0, 0, 0, 3]


def test_says_that_the_environment_is_closed(client: Client) -> None:
    organisation = client.emulator.organisation
    organisation.closed_until = organisation.clock.now() + timedelta(minutes=5)

    text = client.session.get(f"{client.emulator.url}/", timeout=10).text

    assert "in administration mode until" in text
    assert client.error("GET", "leads") == (503, "0x8006088a")
