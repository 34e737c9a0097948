"""The page on which a person talks to the model, in a headless Chromium, where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.report import chromium
from tests.report.chromium import Page
from tests.serve.site import Site

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on this machine")

READY = "document.getElementById('text')?.disabled === false"
LINES = "[...document.querySelectorAll('.line')].map((line) => line.querySelector('b').textContent)"
ROLES = [("doctor", "patient"), ("patient", "doctor")]  # the person's, the model's
CONTRASTS = """(() => {
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const ground = (one) => {
    const [r, g, b, a] = rgba(getComputedStyle(one).backgroundColor);
    return a || !one.parentElement ? [r, g, b] : ground(one.parentElement);
  };
  const light = (colour) => colour.slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const all = [...document.querySelectorAll("body *:not(option)")]
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((one) => one.checkVisibility());
  return all.map((one) => [
    `${one.tagName} ${one.className}: ${one.textContent.slice(0, 30)}`,
    ratio(light(rgba(getComputedStyle(one).color)), light(ground(one))),
  ]);
})()"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium.browser() as page:
        yield page


@pytest.fixture(autouse=True)
def no_errors(page: Page) -> Iterator[None]:
    page.size(1280, 800)
    yield
    assert page.errors == []


def talk(page: Page, site: Site, person: str, model: str) -> None:
    """A message of the person's to the model, and its answer."""
    page.open(f"{site.client.base_url}/#{model}-3", READY)
    before = page.js(f"{LINES}.length")
    page.write("Good morning. How long has this been going on?")
    page.press("Enter")
    page.until(f"{READY} && {LINES}.length === {before + 2}")
    assert page.js(LINES)[-2:] == [f"you, the {person}", model]


@pytest.mark.parametrize(("person", "model"), ROLES)
def test_a_message_is_answered_and_the_rubric_fills(page: Page, site: Site, person: str, model: str):
    talk(page, site, person, model)
    signs = page.js("[...document.querySelectorAll('#marks li .sign')].map((sign) => sign.textContent)")
    assert len(signs) > 3 and set(signs) <= {"✓", "✗", "?"}
    good, decided = signs.count("✓"), len(signs) - signs.count("?")
    assert f"{good} of {decided} criteria as they should be" in page.js("document.getElementById('score').textContent")
    units = page.js("[...document.querySelectorAll('#units dt')].map((name) => name.textContent)")
    assert ("gate" in units) == (model == "patient")
    page.js("document.getElementById('end').click()")
    page.until("document.getElementById('said').textContent.includes('The diagnosis: ') && !busy")
    assert page.js("document.getElementById('send').disabled")


def test_the_side_is_chosen_and_the_address_brings_it_back(page: Page, site: Site):
    page.open(f"{site.client.base_url}/#patient-3", READY)
    page.js("document.getElementById('who').value = 'doctor'")
    page.js("document.getElementById('who').dispatchEvent(new Event('change'))")
    page.until(f"document.getElementById('said').textContent.includes('You play this patient') && {READY}")
    assert page.js("location.hash") == "#doctor-3"
    page.open(page.js("location.href"), READY)
    assert page.js("document.getElementById('who').value + document.getElementById('seed').value") == "doctor3"


@pytest.mark.parametrize(("person", "model"), ROLES)
def test_a_phone_is_wide_enough(page: Page, site: Site, person: str, model: str):
    page.size(360, 740, phone=True)
    talk(page, site, person, model)
    page.js("document.getElementById('details').open = true")
    for part in ("documentElement", "querySelector('main')", "querySelector('aside')"):
        assert page.js(f"document.{part}.scrollWidth <= document.{part}.clientWidth"), part


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(page: Page, site: Site, dark: bool):
    """WCAG's 4.5 to 1 for all text that is shown."""
    page.size(1280, 800, dark=dark)
    talk(page, site, "doctor", "patient")
    page.js("document.getElementById('details').open = true")
    background = page.js("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
    ratios = page.js(CONTRASTS)
    assert len(ratios) > 30 and all(ratio >= 4.5 for _, ratio in ratios), min(ratios, key=lambda row: row[1])
