"""The report in a real browser: no complaint, nothing from the network, a working list of incidents, no overflow."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.audit_folder import AuditFolder
from pipeline.incidents import find_incidents
from pipeline.report import write_report
from pipeline.schema import INCIDENTS
from tests.audits import BARE, INCORRECT, MadeSource, walk, write_audit

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

N_BARE, N_INCORRECT = 30, 10


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with chromedriver on this machine")
    options = Options()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--force-prefers-reduced-motion"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    session = webdriver.Chrome(options=options, service=Service(driver))
    yield session
    session.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit with forty incidents on two cameras, some frames carried over; the first incident has a picture."""
    start = datetime(2024, 1, 31, 8, tzinfo=timezone.utc)
    bare = [seen for k in range(N_BARE) for seen in walk(20 * k, 20 * k + 3 + k % 5, probabilities=BARE)]
    incorrect = [s for k in range(N_INCORRECT) for s in walk(20 * k, 20 * k + 3, probabilities=INCORRECT)]
    sources = [
        MadeSource("gate/1.mp4", [*bare, *walk(605, 620)], 620, camera="gate", start=start, carried_over=range(9)),
        MadeSource("ward/1.mp4", [*incorrect, *walk(205, 220)], 220, camera="ward & <hall>"),
    ]
    folder = write_audit(tmp_path_factory.mktemp("browser") / "audit", sources)
    find_incidents(folder)
    picture = folder / "evidence" / "gate_ü 1_face.jpg"
    picture.parent.mkdir()
    Image.fromarray(np.full((160, 160, 3), (200, 30, 30), dtype=np.uint8)).save(picture)
    audit = AuditFolder(folder)
    rows = audit.incidents().to_pylist()
    rows[0] |= {"thumbnail": f"evidence/{picture.name}", "frame_picture": f"evidence/{picture.name}"}
    audit.write_table("incidents.parquet", type(audit.incidents()).from_pylist(rows, schema=INCIDENTS))
    write_report(folder)
    write_report(folder, "id", folder / "report-id.html")
    return folder


@pytest.fixture(params=["report.html", "report-id.html"])
def page(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Any:
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get((folder / request.param).as_uri())
    return browser


def cards(page: Any) -> list[Any]:
    return list(page.find_elements(By.CSS_SELECTOR, "#incident-list > li"))


def choose(page: Any, name: str, text_or_place: str | int) -> None:
    select = Select(page.find_element(By.NAME, name))
    if isinstance(text_or_place, int):
        select.select_by_index(text_or_place)
    else:
        select.select_by_visible_text(text_or_place)


def count(page: Any) -> int:
    return int(page.find_element(By.ID, "incident-count").text.split()[0])


def test_the_browser_has_nothing_to_complain_about_and_asks_for_nothing(page: Any) -> None:
    assert page.get_log("browser") == []
    requests = [entry["message"] for entry in page.get_log("performance") if "requestWillBeSent" in entry["message"]]
    assert requests
    assert not [message for message in requests if '"url":"http' in message]


def test_incidents_are_paged(page: Any) -> None:
    assert count(page) == N_BARE + N_INCORRECT
    assert len(cards(page)) == 24
    following = page.find_element(By.ID, "page-next")
    following.send_keys(Keys.ENTER)  # with the keyboard alone
    assert len(cards(page)) == 16
    assert not following.is_enabled()
    page.find_element(By.ID, "page-previous").click()
    assert cards(page)[0].get_attribute("id") == "incident-1"


def test_filters_and_order(page: Any) -> None:
    choose(page, "camera", "ward & <hall>")
    assert count(page) == N_INCORRECT
    assert all("ward & <hall>" in card.text for card in cards(page))
    choose(page, "camera", 0)
    choose(page, "label", 1)
    assert count(page) in (N_BARE, N_INCORRECT)
    page.find_element(By.CSS_SELECTOR, "form.filter button[type=reset]").click()
    text = page.find_element(By.NAME, "text")
    text.send_keys("GATE/")
    assert count(page) == N_BARE
    choose(page, "sort", 3)  # longest first
    first = page.find_element(By.CSS_SELECTOR, "#incident-list > li")
    assert first.get_attribute("id") == "incident-5"
    page.execute_script(
        "const f = document.forms[0]; f.reset(); f.elements.confidence.value = 92;"
        "f.elements.confidence.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    assert count(page) == N_BARE  # 0.94 against 0.90
    page.execute_script(
        "const f = document.forms[0]; f.elements.confidence.value = 0; f.elements.from.value = '2024-01-31T08:05';"
        "f.elements.from.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    assert count(page) == N_BARE - 15


def test_pictures_are_inside_the_page_and_described(page: Any) -> None:
    image = page.find_element(By.CSS_SELECTOR, "#incident-1 img")
    assert image.get_attribute("src").startswith("data:image/jpeg;base64,")
    page.execute_script("arguments[0].scrollIntoView()", image)
    assert page.execute_async_script("const d = arguments[1]; arguments[0].decode().then(() => d(true))", image)
    assert "gate" in image.get_attribute("alt")
    link = page.find_element(By.CSS_SELECTOR, "#incident-1 a").get_attribute("href")
    assert link.endswith("evidence/gate_%C3%BC%201_face.jpg")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_screen_is_too_narrow(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextlib.contextmanager
def on_screen(page: Any, width: int, *, medium: str = "screen") -> Iterator[None]:
    """The page as it is laid out at that width; A4 within the page's margins is 688 pixels wide."""
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium})
    try:
        yield
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("width", "medium"), [(360, "screen"), (1280, "screen"), (688, "print")])
def test_no_text_is_cut_off_or_lies_upon_another(page: Any, width: int, medium: str) -> None:
    """Where words are, by their own boxes: inside the page or a part that scrolls, and none over the other."""
    with on_screen(page, width, medium=medium):
        found = page.execute_script(
            """
            const words = [], hidden = "script,style,noscript,select,svg,details:not([open]) > :not(summary)";
            const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
            for (let n = walker.nextNode(); n; n = walker.nextNode()) {
              const e = n.parentElement;
              if (!n.data.trim() || e.closest(hidden) || !e.checkVisibility()) continue;
              const range = document.createRange();
              range.selectNodeContents(n);
              for (const r of range.getClientRects()) if (r.width > 1)
                words.push({x1: r.left, y1: r.top, x2: r.right, y2: r.bottom, text: n.data.trim().slice(0, 60),
                            scrolls: getComputedStyle(e.closest(".scroll") || e).overflowX === "auto"});
            }
            const outside = words.filter((w) => !w.scrolls && (w.x2 > innerWidth + 1 || w.x1 < -1));
            const upon = [];
            words.sort((a, b) => a.y1 - b.y1);
            words.forEach((a, place) => { for (let k = place + 1; k < words.length && words[k].y1 < a.y2 - 3; k++) {
              const b = words[k];
              const [wide, high] = [Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1), Math.min(a.y2, b.y2) - b.y1];
              if (wide > 2 && high > 3) upon.push([a.text, b.text]);
            } });
            return {n: words.length, outside: outside.map((w) => w.text), upon};
            """
        )
    assert found["n"] > 100
    assert (found["outside"], found["upon"]) == ([], [])


def test_the_chart_of_a_day_is_painted_in_its_colours(page: Any) -> None:
    """The cells of the heat map on a screenshot: red where nobody complied, light where everybody did, else white."""
    rate_of_hour = {8: 1 / (N_BARE + 1)}  # one of all who were seen at the gate in that hour had a mask
    with on_screen(page, 1280):
        page.execute_script("document.querySelector('.heat').scrollIntoView()")
        boxes = page.execute_script(
            "return [...document.querySelectorAll('.heat svg rect')].slice(0, 24)"
            ".map(r => r.getBoundingClientRect()).map(r => [r.left, r.top, r.width, r.height])"
        )
        picture = np.asarray(Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")).astype(int)
    assert len(boxes) == 24
    for hour, (left, top, width, height) in enumerate(boxes):
        corner = picture[round(top + height * 0.15), round(left + width * 0.15)]
        if hour in rate_of_hour:
            assert corner[0] - corner[2] > 80, (hour, corner)
        else:
            assert corner.min() > 245, (hour, corner)


def test_headings_images_and_controls_have_names(page: Any) -> None:
    levels = page.execute_script("return [...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('svg:not([aria-hidden=true])')]"
        ".filter(s => s.getAttribute('role') !== 'img' || !s.getAttribute('aria-label')).length"
        " + [...document.querySelectorAll('img')].filter(i => !i.alt).length"
        " + [...document.querySelectorAll('select,input')].filter(c => !c.labels.length).length"
    )
    assert unnamed == 0
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") in ("en", "id")


def test_text_stands_out_from_its_background(page: Any) -> None:
    """At least 4.5 to 1 (WCAG 2.1, 1.4.3) for all text outside of charts, against the nearest painted background."""
    worst = page.execute_script(
        """
        const parse = (c) => c.match(/[\\d.]+/g).map(Number);
        const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        const behind = (e) => { for (; e; e = e.parentElement) {
          const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
          return [255, 255, 255]; };
        let worst = [99, ""];
        for (const e of document.querySelectorAll("body *:not(svg *):not(script):not(style)")) {
          if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.disabled) continue;
          const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
          const ratio = (a + 0.05) / (b + 0.05);
          if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
        }
        return worst;
        """
    )
    assert worst[0] >= 4.5, worst[1]


def test_it_prints_with_all_incidents_and_details(page: Any) -> None:
    page.execute_script(
        "addEventListener('beforeprint', () => {"
        " window.shown = document.querySelectorAll('#incident-list > li').length; })"
    )
    printed = page.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF")
    assert page.execute_script("return [...document.querySelectorAll('details')].every(d => d.open)")
    assert page.execute_script("return window.shown") == N_BARE + N_INCORRECT
    assert len(cards(page)) == 24
