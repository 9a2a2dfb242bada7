"""The dashboard's page: safe whatever clients call their models, and in headless Chromium what people see and hear."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gateway.telemetry.boards import CLOSED, LOADS, MadeUp, busy, row
from wattshed.gateway.telemetry.board import event_of
from wattshed.gateway.telemetry.dashboard import read_page
from wattshed.gateway.wire.http import Request
from wattshed.gateway.wire.reply import Reply
from wattshed.gateway.wire.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
LIVE_MS = 8000
STEP_S = 0.2
TAB_STOPS = """() => [...document.querySelectorAll('a, button, input, summary')]
    .filter(one => one.checkVisibility() && !one.classList.contains('skip')).map(one => one.getBoundingClientRect())"""
UNLABELLED = """() => [...document.querySelectorAll('button, input, summary, svg[role=img], section, [role=group]')]
    .filter(one => !one.textContent.trim() && !one.ariaLabel && !one.getAttribute('aria-labelledby')
        && !one.labels?.length).length"""
CONTRASTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const linear = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const light = text => {
    const [r, g, b] = numbers(text).map(value => linear(value / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = one => {
    const own = getComputedStyle(one).backgroundColor;
    return numbers(own).length === 4 && numbers(own)[3] === 0 ? behind(one.parentElement) : own;
  };
  const ratio = one => {
    const [most, least] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
    return (most + .05) / (least + .05);
  };
  const all = names => [...document.querySelectorAll(names)].filter(one => one.checkVisibility());
  const texts = all('p, dt, dd, h1, h2, h3, span, button, th, td, caption, time').filter(one => one.textContent.trim());
  return [texts, all('.mark')].map(found => Math.min(...found.map(ratio)));
}"""


@dataclass
class Stage:
    """A server of the page with made-up states, in a thread; the test changes `key` and `silent` while it runs."""

    made_up: MadeUp = field(default_factory=lambda: MadeUp(time.monotonic))
    key: str | None = None
    silent: bool = False
    streams: int = 0
    url: str = ""

    async def answer(self, request: Request, reply: Reply) -> None:
        """The three addresses of the dashboard."""
        page = read_page()
        if request.path == "/dashboard":
            await reply.whole(200, page.headers, page.body)
        elif self.silent or (self.key is not None and request.header("authorization") != f"Bearer {self.key}"):
            await reply.whole(503 if self.silent else 401, (), b"")
        elif request.path == "/dashboard/state":
            await reply.whole(200, ((b"content-type", b"application/json"),), self.made_up.state())
        else:
            await self._stream(reply)

    async def _stream(self, reply: Reply) -> None:
        self.streams += 1
        await reply.start(200, ((b"content-type", b"text/event-stream"),))
        while not self.silent:
            event = event_of(self.made_up.state())
            await reply.send(event[:100])  # halves of events are whole events to the page
            await reply.send(event[100:])
            await asyncio.sleep(STEP_S)
        await reply.end()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage that is up, with 302 requests served."""
    stage, started, loop = Stage(), threading.Event(), asyncio.new_event_loop()
    busy(stage.made_up)

    async def play() -> None:
        server = Server(stage.answer)
        stage.url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}/dashboard"
        started.set()
        await ended.wait()
        await server.drain(0.0)

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(play(),))
    thread.start()
    started.wait()
    yield stage
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which make test-slow installs")
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: apt install chromium")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser", stage: Stage) -> Iterator["Page"]:
    """A tab; no script may have failed and nothing may have been blocked when the test ends."""
    faults: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Failed to load resource" not in line.text else None)
    yield page
    page.close()
    assert faults == []


def test_the_page_stands_alone() -> None:
    """It asks for nothing from elsewhere, and never makes HTML of text."""
    text = read_page().body.decode()

    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=| style=", text) == []


def test_the_headers_allow_its_own_script_alone() -> None:
    """Script and style are allowed by their hashes; nothing is by default."""
    policy = dict(read_page().headers)[b"content-security-policy"].decode()

    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)
    assert re.search(r"style-src 'sha256-[\w+/]{43}='", policy)
    assert "unsafe" not in policy


@pytest.mark.slow
def test_it_shows_the_fleet_and_its_energy(page: "Page", stage: Stage) -> None:
    """Health, power, occupancy, savings with their interval, the plane and the decisions with their reasons."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)

    text = page.inner_text("main")
    for words in ("443 W", "7 of 8 slots busy, 3 waiting", "✕ Down", "last: connect failed", "no meter", "95 %:"):
        assert words in text
    assert page.locator("#plane path.points").count() == 2
    page.locator("#recent summary").nth(2).click()
    assert "against" in page.locator("#recent details").nth(2).inner_text()
    assert not re.search(r"undefined|NaN|null|\[object", page.inner_text("body"))


@pytest.mark.slow
def test_drift_is_said_in_words(page: "Page", stage: Stage) -> None:
    """What has left its prediction says so in words beside a sign and a colour, and is spoken; what has not, too."""
    page.goto(stage.url)
    page.wait_for_selector("#drift li", timeout=LIVE_MS)

    mac, a100 = (page.locator("#drift li").nth(at).inner_text() for at in (0, 1))
    assert "m1-pro" in mac
    assert "✕ Drifted above its prediction: 5 of 5 checks outside" in mac
    assert "✓ As predicted: all 5 checks inside" in a100
    assert "drifted: m1-pro" in page.inner_text("#spoken")
    assert page.locator("#drift-none").is_hidden()


@pytest.mark.slow
def test_a_system_that_sleeps_says_so(page: "Page", stage: Stage) -> None:
    """A system that is asleep but may be asked is neither up nor down."""
    stage.made_up.loads = (replace(LOADS[0], asleep=True), *LOADS[1:])
    page.goto(stage.url)

    page.wait_for_selector("text=☾ Asleep, the next request wakes it", timeout=LIVE_MS)


@pytest.mark.slow
def test_it_goes_on_by_itself(page: "Page", stage: Stage) -> None:
    """What happens in the gateway shows without a reload, and what was opened stays open."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    page.locator("#recent summary").nth(3).click()
    stage.made_up.tell(row(900, 77, 99))
    stage.made_up.conditions[2] = CLOSED

    page.wait_for_selector("text=77 → 99 tokens", timeout=LIVE_MS)
    page.wait_for_selector("text=Up, but takes none now", timeout=LIVE_MS)

    assert page.locator("#recent details[open]").count() == 1
    assert page.locator("#recent li").count() == 50


@pytest.mark.slow
def test_pausing_stops_the_stream(page: "Page", stage: Stage) -> None:
    """The button stops what moves, and says so; pressed again, all comes back."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    page.click("#pause")
    stage.made_up.tell(row(900, 77, 99))
    page.wait_for_selector("#status:text('Paused')")
    page.wait_for_timeout(6 * STEP_S * 1000)
    assert page.locator("text=77 → 99 tokens").count() == 0

    page.click("#pause")

    page.wait_for_selector("text=77 → 99 tokens", timeout=LIVE_MS)
    assert page.inner_text("#status") == "Live"


@pytest.mark.slow
def test_it_says_when_it_is_stale_and_comes_back(page: "Page", stage: Stage) -> None:
    """While the gateway answers nobody the page says so; it connects again by itself."""
    page.goto(stage.url)
    page.wait_for_selector("#status:text('Live')", timeout=LIVE_MS)

    stage.silent = True
    page.wait_for_selector("#status:text('Stale')", timeout=2 * LIVE_MS)
    stage.silent = False

    page.wait_for_selector("#status:text('Live')", timeout=2 * LIVE_MS)
    assert stage.streams >= 2


@pytest.mark.slow
def test_it_asks_for_a_key(page: "Page", stage: Stage) -> None:
    """Where the gateway has keys the page asks, tries again after a wrong one, and keeps the right one in its tab."""
    stage.key = "ws-right"
    page.goto(stage.url)
    page.wait_for_selector("#ask:visible", timeout=LIVE_MS)
    assert not page.is_visible("main")

    for key in ("ws-wrong", "ws-right"):
        page.wait_for_selector("#key:focus")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=not accepted" if key == "ws-wrong" else "main:visible", timeout=LIVE_MS)

    assert not page.is_visible("#ask")
    assert page.evaluate("Object.values(sessionStorage).length + Object.values(localStorage).length") == 1
    page.reload()
    page.wait_for_selector("main:visible", timeout=LIVE_MS)
    page.click("#forget")
    page.wait_for_selector("#ask:visible", timeout=LIVE_MS)


@pytest.mark.slow
def test_a_model_s_name_is_text(page: "Page", stage: Stage) -> None:
    """HTML in what a client sends shows as it is and does nothing."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    page.locator("#recent summary").first.click()

    assert "<img src=x onerror=alert(1)>" in page.locator("#recent details").first.inner_text()
    assert page.locator("main img").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1180, 1280])
def test_it_fits_a_phone(page: "Page", stage: Stage, width: int) -> None:
    """Nothing scrolls sideways, no number is torn over many lines, and whatever is pressed is 44 px high."""
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    page.locator("#recent summary").nth(2).click()
    page.wait_for_timeout(300)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert max(page.locator("#fleet dd").evaluate_all("all => all.map(one => one.clientHeight)")) < 60
    assert min(box["height"] for box in page.evaluate(TAB_STOPS)) >= 44


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(page: "Page", stage: Stage, scheme: str) -> None:
    """Contrast is at least 4.5 for text and 3 for marks (WCAG 2.2, 1.4.3 and 1.4.11), by day and night."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)

    text, marks = page.evaluate(CONTRASTS)

    assert text >= 4.5
    assert marks >= 3.0


@pytest.mark.slow
def test_a_keyboard_is_enough(page: "Page", stage: Stage) -> None:
    """From the top: the link that skips, the button, the plane's table, then the decisions, each opened by Enter."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    page.click("#pause")
    page.evaluate("document.activeElement.blur()")
    page.mouse.click(1, 1)  # where the next Tab starts from

    stops = []
    for _ in range(5):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.innerText.split('\\n')[0]"))
    page.keyboard.press("Enter")

    assert stops[:3] == ["Skip to the numbers", "pause", "The same as a table"]
    assert page.locator("#recent details[open]").count() >= 1


@pytest.mark.slow
def test_a_screen_reader_hears_what_is_seen(page: "Page", stage: Stage) -> None:
    """Landmarks, headings and names are there; totals are spoken politely, and at most every 10 s."""
    page.goto(stage.url)
    page.wait_for_selector("#recent details", timeout=LIVE_MS)
    spoken = page.inner_text("#spoken")
    stage.made_up.tell(row(900, 77, 99))
    page.wait_for_selector("text=77 → 99 tokens", timeout=LIVE_MS)

    assert spoken.startswith("302 requests, power 443 W, saved")
    assert "down: spare" in spoken
    assert page.inner_text("#spoken") == spoken
    assert page.evaluate(UNLABELLED) == 0
    tree = page.locator("body").aria_snapshot()
    for words in ("banner", "main", 'heading "Fleet" [level=2]', 'region "Energy"', "img", "status: Live"):
        assert words in tree
