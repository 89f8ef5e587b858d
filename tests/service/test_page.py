"""The page in a browser: live, compared, dark, on a phone, by keyboard, without a word in the console."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fedsim.metrics import Evaluated, RoundDone, RunEnded
from fedsim.service.guard import Access
from fedsim.store.database import Store
from tests.service.conftest import TOKEN, begun, listening

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken over'\">"
CLIENTS = 40


def browser_program() -> str:
    found = [path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()]
    return os.environ.get("FEDSIM_TEST_CHROMIUM") or (found[0] if found else "/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser_program(), args=[*OPTIONS])
        yield opened
        opened.close()


@pytest.fixture(params=[WIDE, PHONE], ids=["1280", "390"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """A page that must not complain, ask anything of another host, or be wider than its window."""
    assert address.startswith(LOCAL)
    context = browser.new_context(viewport=request.param, color_scheme="light")
    opened = context.new_page()
    complaints: list[str] = []
    elsewhere: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(LOCAL) else None)
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert complaints == []
    assert elsewhere == []


expect.set_options(timeout=30_000)  # a busy machine may take its time to load a chart
LOCAL = ("http://127.0.0.1:", "data:", "blob:")


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Callable[[str], None]:
    """Keep a picture of the page, in FEDSIM_TEST_SCREENSHOTS or beside the test's other files."""
    folder = Path(os.environ.get("FEDSIM_TEST_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(name: str) -> None:
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)

    return shoot


def rounds(run: str, first: int, last: int, *, seed: int = 1, gain: float = 1.0) -> list[RoundDone | Evaluated]:
    """Return plausible rounds: learning that levels off, and noise."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(400, 3))
    there = rng.random((400, CLIENTS)) < np.linspace(0.08, 0.45, CLIENTS)
    events: list[RoundDone | Evaluated] = []
    for r in range(first, last + 1):
        clients = np.flatnonzero(there[r])
        loss = 2.3 * np.exp(-r * gain / 30) + 0.15 + 0.04 * noise[r, 0] ** 2
        values = {
            "train_loss": float(loss), "update_variance": float(np.exp(0.4 * noise[r, 1]) / (1 + r / 20)),
            "cohort_size": float(len(clients)), "num_invited": float(len(clients)), "round_s": 0.011,
            "memory_age_mean": 5 + 0.02 * r, "memory_age_max": 12 + 0.1 * r, "train_s": 0.008, "step_s": 0.001,
            "bytes_down": 1e4, "bytes_up": 1e4, "objective_tv": float(0.5 / (1 + r / 40)),
        }  # fmt: skip
        vectors = {"participants": clients}
        events.append(RoundDone(run=run, round=r, values=values, vectors=vectors))
        if r % 5 == 0 or r == last:
            accuracy = float(0.95 - 0.85 * np.exp(-r * gain / 35) + 0.01 * noise[r, 2])
            held_out = {"test_accuracy": accuracy, "test_loss": float(loss) + 0.1}
            events.append(Evaluated(run=run, round=r, values=held_out))
    return events


@pytest.fixture
def filled(store: Store) -> Store:
    """Three finished runs of two strategies each, and one that goes on."""
    about = {"num_clients": CLIENTS, "rounds": 120, "wall_time": time.time()}
    for seed in (1, 2, 3):
        for strategy, gain in (("fedavg", 1.0), ("fedstale", 1.5)):
            run = f"{strategy}-{seed}"
            store.write([begun(run, name=f"digits {strategy}", strategy=strategy, seed=seed, **about)])
            store.write(rounds(run, 1, 120, seed=seed, gain=gain))
            store.write([RunEnded(run=run, status="completed")])
    store.write([begun("live", name="digits live", strategy="fedvarp", **about), *rounds("live", 1, 60, seed=7)])
    return store


def test_a_new_round_appears_without_reload(
    page: Page, address: str, filled: Store, shoot: Callable[[str], None]
) -> None:
    page.goto(address)
    page.get_by_role("link", name="digits live").click()
    expect(page.locator("#round")).to_have_text("60")
    page.evaluate("window.stayed = true")
    expect(page.locator("section[aria-label='Accuracy'] .scatterlayer .trace")).to_have_count(1)
    filled.write(rounds("live", 61, 75, seed=7))
    expect(page.locator("#round")).to_have_text("75")
    assert page.evaluate("window.stayed")
    last = "document.querySelector(\"section[aria-label='Accuracy'] .plot\").data[0].x.at(-1)"
    page.wait_for_function(f"{last} === 75")
    expect(page.locator("section[aria-label='Participation'] .heatmaplayer image")).to_have_count(1)
    shoot("run")


def test_a_run_that_ends_is_shown_as_ended(page: Page, address: str, filled: Store) -> None:
    page.goto(f"{address}/#/runs/live")
    expect(page.locator("#round")).to_have_text("60")
    filled.write([RunEnded(run="live", status="completed")])
    expect(page.locator(".title .state")).to_have_text("completed")


def test_a_new_run_appears_in_the_list(page: Page, address: str, filled: Store, shoot: Callable[[str], None]) -> None:
    page.goto(address)
    expect(page.locator("tr[data-run]")).to_have_count(7)
    filled.write([begun("new", name=SCRIPT)])
    expect(page.locator("tr[data-run]")).to_have_count(8)
    expect(page.get_by_role("link", name=SCRIPT)).to_have_count(1)
    shoot("list")


def test_markup_in_a_name_stays_text(page: Page, address: str, store: Store) -> None:
    for run, strategy in (("one", "<b>x</b>"), ("two", "<img src=x onerror=alert(1)>")):
        store.write([begun(run, name=f"{SCRIPT} {run}", strategy=strategy), *rounds(run, 1, 20)])
    for place in ("", "#/runs/one", "#/compare?run=one&run=two"):
        page.goto(f"{address}/{place}")
        expect(page.locator("main")).to_contain_text("onerror=")
        if place:
            page.wait_for_selector(".scatterlayer .trace")
        assert page.locator("main script, main img, main b > b").count() == 0
        assert page.title() != "taken over"


def test_two_runs_are_overlaid_and_the_axis_switches(
    page: Page, address: str, filled: Store, shoot: Callable[[str], None]
) -> None:
    page.goto(address)
    for strategy in ("fedavg", "fedstale"):
        page.get_by_label(f"Compare digits {strategy}, seed 1").check()
    page.get_by_role("button", name="Compare 2 runs").click()
    plot = page.locator("section[aria-label='Overlay'] .plot")
    expect(plot.locator(".scatterlayer .trace")).to_have_count(2)
    expect(plot.locator(".xtitle")).to_have_text("rounds")
    for axis, title in (("bytes", "bytes exchanged"), ("wall", "training time (s)"), ("round", "rounds")):
        page.locator("#choose-x").select_option(axis)
        expect(plot.locator(".xtitle")).to_have_text(title)
        expect(plot.locator(".scatterlayer .trace")).to_have_count(2)
    page.locator("#choose-x").select_option("virtual")
    expect(page.locator("section[aria-label='Overlay'] .hint")).to_contain_text("choose another")
    page.locator("#choose-x").select_option("bytes")
    page.get_by_role("button", name="log").click()
    page.wait_for_function("document.querySelector('.tall .plot').layout.yaxis.type === 'log'")
    expect(page.locator("#differences tbody tr")).to_have_count(2)
    shoot("overlay")


def test_seeds_become_a_band_and_differences_are_paired(
    page: Page, address: str, filled: Store, shoot: Callable[[str], None]
) -> None:
    ids = [row.run for row in filled.runs() if row.run != "live"]
    page.goto(f"{address}/#/compare?{'&'.join(f'run={run}' for run in ids)}")
    plot = page.locator("section[aria-label='Overlay'] .plot")
    expect(plot.locator(".scatterlayer .trace")).to_have_count(4)  # two bands, two lines
    expect(page.locator("#differences")).to_contain_text("digits fedstale")
    shoot("compare")
    page.locator("#choose-seeds").uncheck()
    expect(plot.locator(".scatterlayer .trace")).to_have_count(6)
    page.locator("#choose-seeds").check()
    page.get_by_label("Leave out digits fedavg").click()
    expect(page.locator("#differences tbody tr")).to_have_count(1)


def test_dark_mode_is_a_button_and_is_remembered(
    page: Page, address: str, filled: Store, shoot: Callable[[str], None]
) -> None:
    page.goto(f"{address}/#/runs/fedstale-1")
    page.wait_for_selector(".scatterlayer .trace")
    ground = "getComputedStyle(document.body.parentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark mode").click()
    assert page.evaluate(ground) != light
    page.wait_for_function("document.querySelector('.plot').layout.paper_bgcolor === '#171c23'")
    page.reload()
    page.wait_for_selector(".scatterlayer .trace")
    expect(page.get_by_role("button", name="Dark mode")).to_have_attribute("aria-pressed", "true")
    shoot("dark")
    page.keyboard.press("d")
    assert page.evaluate(ground) == light


def test_the_keyboard_is_enough(page: Page, address: str, filled: Store) -> None:
    page.goto(address)
    expect(page.locator("tr[data-run]")).to_have_count(7)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("live")
    expect(page.locator("tr[data-run]")).to_have_count(1)
    page.locator("tr[data-run] input").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Compare 1 run")).to_be_enabled()
    page.get_by_role("link", name="digits live").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#round")).to_have_text("60")


def test_numbers_and_pictures_can_be_taken_along(page: Page, address: str, filled: Store) -> None:
    page.goto(f"{address}/#/runs/fedavg-1")
    panel = page.locator("section[aria-label='Loss']")
    expect(panel.locator(".scatterlayer .trace")).to_have_count(2)
    with page.expect_download() as table:
        panel.get_by_role("button", name="CSV").click()
    text = table.value.path().read_text()
    assert text.startswith("metric,round,value\n")
    assert len(re.findall("^train_loss,", text, re.MULTILINE)) == 120
    with page.expect_download() as picture:
        panel.get_by_role("button", name="PNG").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")


def test_an_empty_store_says_what_to_do(page: Page, address: str, shoot: Callable[[str], None]) -> None:
    page.goto(address)
    expect(page.locator("main")).to_contain_text("No runs yet")
    expect(page.locator("main")).to_contain_text("fedsim new mine")
    shoot("empty")
    page.goto(f"{address}/#/compare")
    expect(page.locator("main")).to_contain_text("Nothing to compare yet")
    page.goto(f"{address}/#/nowhere")
    expect(page.locator("main")).to_contain_text("There is no such page")


def test_a_token_is_asked_for_once(browser: Browser, filled: Store) -> None:
    with listening(filled, Access(token=TOKEN)) as address:
        page = browser.new_page()
        page.goto(address)
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        expect(page.locator("tr[data-run]")).to_have_count(7)
        page.close()


def test_an_unknown_run_is_told_in_words(browser: Browser, address: str, filled: Store) -> None:
    page = browser.new_page()  # the browser itself notes the 404
    page.goto(f"{address}/#/runs/0000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no such run in this store.")
    page.close()
