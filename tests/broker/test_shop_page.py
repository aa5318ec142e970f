"""The shop page in a real browser, with a real worker, on the embedded broker.

Playwright drives the system's Chromium and never downloads one of its own. Where either is missing the tests that need
a browser are skipped, and say what to install.
"""

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from confluent_kafka import Producer

from model.bundle import Bundle
from stream import topics
from stream.demo.broker import free_port
from stream.demo.parts import Child, shop_page
from stream.errors import NotAllowed
from stream.page.hub import Hub
from tests.brokers import Embedded
from tests.eventually import eventually
from tests.fleet import Fleet, Worker
from tests.page import EVENT_ID, YOU, sent
from tests.shop import COLOURS, THEMES, make_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_S = 40.0  # A second on two idle cores.
WAIT_MS = WAIT_S * 1000
PHONE = {"width": 390, "height": 844}
MARKUP = "boots boots boots <img> boots boots boots"  # The small encoder knows few words: enough of them that it fits.
# A server that is away, and one that is back and has not read its shelf: the page tries again.
SERVER_AWAY = (
    "Failed to load resource: net::ERR",
    "Failed to load resource: the server responded with a status of 503",
)
WATCH_STAGES = """() => {
    const place = document.querySelector("#stage");
    window.stages = [];
    new MutationObserver(() => window.stages.push(place.dataset.stage)).observe(place, { attributes: true });
}"""
ITEMS = {f"{colour} {word}": theme for theme, words in THEMES.items() for word in words for colour in COLOURS}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("shop-page"))


@pytest.fixture(scope="module")
def frozen_at_will() -> Iterator[Embedded]:
    """A broker for this file, which freezes it."""
    with Embedded() as made:
        yield made


def filled(broker: Embedded, bundle: Bundle, folder: Path) -> Fleet:
    """The small shop on the topics."""
    made = Fleet(broker.bootstrap, bundle.path, folder)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random", "log_level": 0})
    for title, theme in ITEMS.items():
        value = {"title": title, "category": theme, "price": 2.5}
        producer.produce(topics.ITEMS, orjson.dumps(value), title.encode())
    assert producer.flush(20) == 0
    producer.close()
    return made


def refilled(broker: Embedded, bundle: Bundle, folder: Path) -> Fleet:
    """The small shop on the broker, which has lost everything. It lets anybody make topics: a page that still runs may
    have asked for one before us, and it then has too few partitions."""

    def tried() -> Fleet | None:
        broker.clear()
        try:
            return filled(broker, bundle, folder)
        except NotAllowed:
            return None

    return eventually(tried, WAIT_S, "topics of ours on an empty broker")


@pytest.fixture(scope="module")
def fleet(frozen_at_will: Embedded, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with closing(filled(frozen_at_will, bundle, tmp_path_factory.mktemp("logs"))) as made:
        yield made


@pytest.fixture(scope="module")
def address(fleet: Fleet, bundle: Bundle) -> Iterator[str]:
    """Where the page is: `firstclick shop` as a process, with a worker behind it."""
    fleet.start("first").await_ready(len(ITEMS))
    with shop_page(fleet.bootstrap, ("--bundle", str(bundle.path))) as child:
        child.wait_ready()
        yield child.web


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no Playwright: pip install 'firstclick[dev]'")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium to drive: apt-get install chromium")
    with sync_playwright() as driver:
        # Its sandbox refuses to run as root, as continuous integration does; all that it loads here is ours.
        made = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@contextmanager
def visit(browser: "Browser", address: str, bears: tuple[str, ...] = ()) -> Iterator["Page"]:
    """A new visitor. Whatever the browser complains of fails the test: a broken script, a breach of the policy.

    Args:
        bears: how that begins which it may complain of.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    made = context.new_page()
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    made.goto(address)
    made.wait_for_selector(".card")
    made.wait_for_selector("#list li")
    yield made
    context.close()
    assert [said for said in complaints if not said.startswith(bears)] == []


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    with visit(browser, address) as made:
        yield made


def titles(page: "Page") -> list[str]:
    """The list for you."""
    return page.locator("#list .title").all_inner_texts()


def click_on(page: "Page", title: str) -> None:
    """Finds a product by its words, and opens it."""
    category = ITEMS.get(title, "shoes")
    page.goto(re.sub("#.*", "", page.url) + "#/category/" + category)
    # The shelf before it stands until this one has come: its "Show more" must not be taken for this one's.
    page.get_by_role("heading", level=1, name=category, exact=True).wait_for()
    card = page.locator(".card", has=page.get_by_role("link", name=title, exact=True))
    more = page.get_by_role("button", name="Show more")
    card.or_(more).first.wait_for()
    while not card.count():
        before = page.locator(".card").count()
        more.click()
        page.locator(".card").nth(before).wait_for()
        card.or_(more).first.wait_for()
    card.get_by_role("link").click()
    page.get_by_role("heading", level=1, name=title).wait_for()


def user_id(page: "Page") -> str | None:
    """Who the page says that the visitor is."""
    return page.locator("#panel-system dd").first.text_content()


def stage(page: "Page", name: str) -> None:
    """Waits for a list of this stage."""
    page.wait_for_selector(f"#stage[data-stage={name}]")


def test_the_first_click_of_a_new_visitor_changes_the_list_and_is_timed(page: "Page", bundle: Bundle) -> None:
    before = titles(page)
    assert page.locator("#stage").inner_text() == "no events yet"
    click_on(page, "red boots")
    stage(page, "cold")
    assert titles(page) != before
    assert all(title.split()[1] in THEMES["shoes"] for title in titles(page)[:5])
    assert page.locator("#list .because").first.inner_text() == "because you looked at red boots"
    assert bundle.model in page.locator("#model").inner_text()
    page.wait_for_selector("#latency:not([hidden])")
    told = page.locator("#latency").inner_text()
    assert re.search(r"\d ms\s+click to list, \d+ in Kafka and worker", told), told
    assert page.locator("#announce").text_content().startswith("The list for you has changed, cold: ")  # type: ignore[union-attr]


def test_what_is_bought_disappears_from_the_list(page: "Page") -> None:
    click_on(page, "red boots")
    stage(page, "cold")
    wanted = titles(page)[0]
    page.locator("#list").get_by_role("link", name=wanted, exact=True).click()
    page.get_by_role("heading", level=1, name=wanted).wait_for()
    page.get_by_role("button", name="Buy now").click()
    page.locator("#list").get_by_role("link", name=wanted, exact=True).wait_for(state="detached")
    assert len(titles(page)) == 10


def test_a_new_product_reaches_a_fitting_visitors_list_and_stays_text(page: "Page") -> None:
    click_on(page, "red boots")
    stage(page, "cold")
    page.get_by_role("tab", name="New product").click()
    page.get_by_label("Title").fill(MARKUP)
    page.get_by_label("Category").fill("shoes")
    page.get_by_label("Price").fill("9.5")
    page.get_by_role("button", name="Put it on the shelf").click()
    added = page.locator("#added article").first
    added.get_by_role("link", name=MARKUP).wait_for()  # It is a link once it stands on the shelf.
    click_on(page, "blue boots")
    added.locator(".you").wait_for()
    page.get_by_role("tab", name="For you").click()
    assert MARKUP in titles(page)
    assert page.locator("img").count() == 0


def test_a_reload_keeps_the_visitor_and_a_button_makes_a_new_one(page: "Page") -> None:
    click_on(page, "red guitar")
    stage(page, "cold")
    page.get_by_role("button", name="Put into basket").click()
    page.reload()
    stage(page, "cold")
    assert page.locator("#basket-count").inner_text() == "1"
    page.get_by_role("tab", name="How it sees you").click()
    system = page.locator("#panel-system")
    system.get_by_text("you looked at red guitar").first.wait_for()
    system.get_by_text("music", exact=True).wait_for()
    page.get_by_role("button", name="New visitor").click()
    page.get_by_text("No event of yours has been taken in yet.").wait_for()
    assert page.locator("#basket-count").inner_text() == "0"


def test_the_page_survives_a_workers_restart_and_says_so(page: "Page", fleet: Fleet) -> None:
    click_on(page, "red boots")
    stage(page, "cold")
    for worker in [each for each in fleet.workers if each.process.poll() is None]:
        worker.terminate()
    standing, older, before = page.locator("#standing"), page.locator("#older"), titles(page)
    standing.filter(has_text="no worker is in the group firstclick").wait_for()  # Before anybody waits for it.
    assert older.is_hidden(), "the list answers all that was done"
    click_on(page, "red jam")
    older.wait_for()
    standing.filter(has_text=re.compile(r"[12] of your events wait")).wait_for()
    assert titles(page) == before
    restarted: Worker = fleet.start("second")
    standing.filter(has_text="All is back").wait_for()
    restarted.await_ready(len(ITEMS))
    page.locator("#list .because", has_text="you looked at red jam").first.wait_for()
    older.wait_for(state="hidden")


def test_the_page_survives_its_own_servers_restart_keeps_the_visitor_and_says_so(
    browser: "Browser", fleet: Fleet, bundle: Bundle, address: str
) -> None:
    port = str(free_port())
    command = "shop", "--bootstrap", fleet.bootstrap, "--bundle", str(bundle.path), "--port", port
    server = Child("shop page", f"http://127.0.0.1:{port}", *command)
    with ExitStack() as after:
        with server:
            server.wait_ready()
            page = after.enter_context(visit(browser, server.web, SERVER_AWAY))
            click_on(page, "red boots")
            stage(page, "cold")
            before, visitor = titles(page), user_id(page)
            page.evaluate(WATCH_STAGES)
        standing, older = page.locator("#standing"), page.locator("#older")
        standing.filter(has_text="The page's server does not answer").wait_for()
        page.get_by_role("button", name="Put into basket").click()
        older.wait_for()
        assert titles(page) == before
        page.evaluate("location.hash = '#/search/jam'")
        page.get_by_text("the page's server does not answer", exact=True).wait_for()
        after.enter_context(Child("shop page", server.web, *command))
        standing.filter(has_text="All is back").wait_for()
        page.get_by_role("tab", name="How it sees you").click()
        page.locator("#panel-system").get_by_text("you put red boots into the basket").wait_for()
        older.wait_for(state="hidden")
        assert user_id(page) == visitor
        assert set(page.evaluate("() => window.stages")) == {"cold"}, "the list stood until there was a newer one"


def test_where_kafka_was_emptied_the_visitor_goes_on_with_the_new_one(
    browser: "Browser", bundle: Bundle, tmp_path: Path
) -> None:
    with Embedded() as broker, ExitStack() as after:
        with closing(filled(broker, bundle, tmp_path)) as first:
            first.start("first").await_ready(len(ITEMS))
            server = after.enter_context(shop_page(broker.bootstrap, ("--bundle", str(bundle.path))))
            server.wait_ready()
            page = after.enter_context(visit(browser, server.web))
            for title in ("red boots", "blue boots"):
                click_on(page, title)
                page.locator("#list .because", has_text=f"you looked at {title}").first.wait_for()
            visitor = user_id(page)
        second = after.enter_context(closing(refilled(broker, bundle, tmp_path)))
        second.start("second").await_ready(len(ITEMS))
        stage(page, "none")
        page.locator("#standing").filter(has_text="All is back").wait_for()
        click_on(page, "red jam")
        # A list may come before it: on the way the page of blue boots is left, and how long it was looked at is told.
        page.locator("#list .because", has_text="you looked at red jam").first.wait_for()
        stage(page, "cold")
        assert user_id(page) == visitor


def test_the_page_says_that_kafka_is_away_and_then_that_it_is_back(page: "Page", frozen_at_will: Embedded) -> None:
    click_on(page, "red boots")
    stage(page, "cold")
    standing = page.locator("#standing")
    process = frozen_at_will.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        standing.filter(has_text="Kafka does not answer.").wait_for()
        click_on(page, "red jam")
    finally:
        process.send_signal(signal.SIGCONT)
    standing.filter(has_text="All is back").wait_for()
    page.locator("#list .because", has_text="you looked at red jam").first.wait_for()


def test_all_of_it_works_by_keyboard_and_shows_the_focus(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.locator(".card h2 a").first.focus()
    name = page.locator(".card h2 a").first.inner_text()
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name=name).wait_for()
    stage(page, "cold")
    page.get_by_role("tab", name="For you").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="How it sees you").get_attribute("aria-selected") == "true"
    assert page.locator("#panel-list").is_hidden()
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_phone_shows_all_of_it_without_sideways_scrolling(page: "Page") -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for address in ("#/", "#/category/shoes", "#/basket", "#/product/red%20boots"):
        page.goto(re.sub("#.*", "", page.url) + address)
        page.locator("h1").wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"]
    page.locator("#peek").click()
    assert page.evaluate("() => document.activeElement.id") == "beside"


def test_a_broker_that_is_away_is_told_and_what_was_done_meanwhile_is_sent(bundle: Bundle, tmp_path: Path) -> None:
    with Embedded() as broker, closing(Fleet(broker.bootstrap, bundle.path, tmp_path)):
        process = broker.process
        assert process is not None
        with Hub({"bootstrap.servers": broker.bootstrap}, bundle) as hub:

            def standing() -> Any:
                return orjson.loads(hub.part(YOU, "standing"))

            hub.act(YOU, sent(1, "search", query="boots"))
            eventually(lambda: hub.visitor(YOU).acts[EVENT_ID % 1].offset is not None, WAIT_S, "the first is delivered")
            process.send_signal(signal.SIGSTOP)
            try:
                eventually(lambda: not standing()["kafka"], WAIT_S, "told that it is away")
                hub.act(YOU, sent(2, "search", query="sandals"))
                assert hub.visitor(YOU).acts[EVENT_ID % 2].offset is None
            finally:
                process.send_signal(signal.SIGCONT)
            eventually(lambda: standing()["kafka"], WAIT_S, "told that it is back")
            eventually(lambda: hub.visitor(YOU).acts[EVENT_ID % 2].offset is not None, WAIT_S, "what waited is sent")
