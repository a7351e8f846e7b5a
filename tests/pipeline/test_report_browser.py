"""The page in a real browser, offline: Chromium from the system, driven by playwright."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.manifest import SCHEMA
from pipeline.report.page import write_report
from pipeline.report.pictures import sha256_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with two restored photos, one of them with a hostile name, and a failure."""
    folder = tmp_path_factory.mktemp("report")
    names = ("<img src=http://localhost:9/x onerror=console.error(1)>.jpg", "albums/1927/a.jpg")
    rows: list[dict[str, Any]] = [
        {
            "uri": f"in/{name}",
            "path": name,
            "status": "restored",
            "result_uri": f"out/{name}",
            "sha256": sha256_of(shade(f"in/{name}")),
            "result_sha256": sha256_of(shade(f"out/{name}")),
            "faces": [
                {"index": 0, "page": 0, "status": "restored", "box": [60.0, 40.0, 80.0, 90.0], "method": "classic"}
            ],
        }
        for name in names
    ]
    rows.append({"uri": "in/b", "path": "b", "status": "failed", "error": {"stage": "read", "class": "empty"}})
    batches = pa.Table.from_pylist(rows, schema=SCHEMA).to_batches()
    with (folder / "report.html").open("wb") as html, (folder / "report.csv").open("wb") as listing:
        write_report(batches, [], shade, html, listing)
    return Path(folder / "report.html").as_uri()


def shade(uri: str) -> bytes:
    """Dark sources and light results."""
    file = BytesIO()
    Image.new("RGB", (300, 200), (40, 40, 40) if uri.startswith("in") else (220, 220, 220)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def noise() -> list[str]:
    """What the page says or asks for and should not."""
    return []


@pytest.fixture(params=[1200, 400])
def page(request: pytest.FixtureRequest, browser: Browser, address: str, noise: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda sent: noise.append(sent.url) if sent.url.startswith(("http", "ws", "ftp")) else None)
    page.goto(address)
    yield page
    context.close()


def clip(page: Page) -> float:
    """How much of the first earlier picture is cut off at its right, as a share of its width."""
    pixel = "image => getComputedStyle(image).clipPath.match(/calc\\(100% - ([\\d.]+)%\\)|([\\d.]+)%/)"
    found = page.locator(".compare .before").first.evaluate(pixel)
    return 1 - float(found[1]) / 100 if found[1] else float(found[2]) / 100


def test_slider_moves_the_clip_by_keyboard(page: Page, noise: list[str]) -> None:
    slider = page.get_by_role("slider").first
    assert clip(page) == pytest.approx(0.5)
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert clip(page) == pytest.approx(0.45)
    page.keyboard.press("Home")
    assert clip(page) == pytest.approx(1)
    assert slider.get_attribute("aria-valuetext") == "0 % before, 100 % after"
    assert noise == []


def test_slider_follows_the_pointer(page: Page) -> None:
    frame = page.locator(".compare").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    assert clip(page) == pytest.approx(0.2, abs=0.04)
    left, right = (shot_level(page, share) for share in (0.7, 0.9))
    assert left < 100 < right


def shot_level(page: Page, share: float) -> float:
    """Grey level of the first picture at ``share`` of its width, a tenth below its top."""
    with Image.open(BytesIO(page.locator(".compare").first.screenshot())) as shot:
        level = shot.convert("L").getpixel((int(share * shot.width), shot.height // 10))
    return float(level) if isinstance(level, int | float) else 0.0


def test_frames_can_be_hidden(page: Page) -> None:
    marks = page.locator(".marks").first
    assert marks.is_visible()
    page.get_by_label("Frame the faces").uncheck()
    assert not marks.is_visible()


def test_nothing_runs_that_is_not_ours_and_nothing_is_asked_for(page: Page, noise: list[str]) -> None:
    page.locator("summary").first.click()
    page.wait_for_timeout(200)
    assert noise == []
    assert page.locator("img[src^=http]").count() == 0
    assert page.evaluate("document.images.length && [...document.images].every(image => image.naturalWidth > 0)")


def test_no_sideways_scrolling(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_policy_forbids_other_scripts(page: Page) -> None:
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.evil = 1'}))")
    assert page.evaluate("window.evil") is None


def test_dark_and_light_differ(browser: Browser, address: str) -> None:
    grounds: set[str] = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert len(grounds) == 2
