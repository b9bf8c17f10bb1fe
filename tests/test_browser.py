"""The page in a real browser: nothing is loaded or refused, and everything can be used.

Chromium opens the file with the network off and under the page's own policy, which is never
bypassed for its scripts; what the tests ask of the page goes through the driver.
"""

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

import pytest
from simulated_results import plans, rename, write_results

from report.__main__ import main
from report.charts import explore_data
from report.document import Interactive, Report
from report.latex import latex
from report.page import render_html

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the driver's own sockets
]

WIDE, PHONE = (1280, 900), (390, 844)
HOSTILE = (
    "</script><script>window.hurt=1</script>",
    '"><img src=x onerror=window.hurt=1>',
    "line\u2028separator\u202eknurd",
    "'); window.hurt=1; ('",
    "datum.constructor",
    "${window.hurt=1}",
    "[x](javascript:window.hurt=1)",
    "=HYPERLINK(1)",
    "--><!--<script>",
)


@pytest.fixture(scope="module")
def browser():
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("needs chromium and its driver: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="chromium is driven by selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--disable-background-networking",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    opened.execute_cdp_cmd("Network.enable", {})
    opened.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield opened
    opened.quit()


def made(folder, studies, spoiled=()):
    write_results(folder, studies=studies, spoiled=spoiled)
    assert main(["--results", str(folder)]) == 0
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    chosen = {"activation": ("spiral", "wave", "digits"), "crossed": ("spiral",)}
    studies = [replace(p, tasks=chosen[p.name]) for p in plans() if p.name in chosen]
    return made(tmp_path_factory.mktemp("browser"), studies, ("activation",))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    [plan] = [plan for plan in plans() if plan.name == "activation"]
    levels = dict(zip(plan.factors["activation"], HOSTILE, strict=True))
    plan = replace(rename(plan, levels.__getitem__), name="<img src=x onerror=window.hurt=1>")
    return made(tmp_path_factory.mktemp("hostile"), [replace(plan, tasks=("spiral", "wave"))])


@pytest.fixture
def visit(browser):
    """Open a page as if for the first time; afterwards its console must be empty."""

    def opened(path, address="", *, size=WIDE, dark=False, script=True):
        width, height = size
        browser.get("about:blank")
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        media(browser, dark=dark)
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(f"{path.as_uri()}{address}")
        if script:
            until(browser, "return document.documentElement.dataset.ready")
        return browser

    yield opened
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def media(browser, *, dark=False, kind=""):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": [scheme]})


def until(browser, question, *arguments, seconds=10):
    """Ask until the answer is true, and return it."""
    start = monotonic()
    while monotonic() - start < seconds:
        if answer := browser.execute_script(question, *arguments):
            return answer
        sleep(0.05)
    pytest.fail(f"not within {seconds} s: {question}")


def find(browser, selector):
    return browser.find_element("css selector", selector)


def choose(browser, part, label, value):
    """Choose an option by its value in the list of this label."""
    browser.execute_script(
        """const [part, label, value] = arguments;
        const own = [...document.querySelectorAll(`#${part} .choice`)]
          .find((choice) => choice.firstChild.textContent.toLowerCase() === label.toLowerCase());
        const list = own.querySelector("select");
        list.value = value;
        list.dispatchEvent(new Event("change"));""",
        *(part, label, value),
    )


def count(browser, selector):
    return browser.execute_script(f"return document.querySelectorAll({selector!r}).length")


DOTS = "#explore .dots .mark-symbol.role-mark path"
TILES = "#playground .tile"


# Loading


def test_the_page_loads_offline_without_a_request_or_a_refusal(visit, page):
    browser = visit(page)
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in sent
        if message["method"] == "Network.requestWillBeSent"
    }
    assert page.as_uri() in urls, "is this test looking in the right place?"
    assert all(url == page.as_uri() or url.startswith("data:image/png") for url in urls)


def test_the_policy_forbids_eval_inline_handlers_and_requests(visit, page):
    browser = visit(page)
    evaluated = browser.execute_async_script(  # later, because the driver's own calls are exempt
        """const done = arguments[0];
        setTimeout(() => {
          try { (0, eval)("1"); done("ran"); } catch (error) { done(error.name); }
        });"""
    )
    assert evaluated == "EvalError"
    browser.execute_script(
        """const button = document.createElement("button");
        button.setAttribute("onclick", "window.hurt = 1");
        document.body.append(button); button.click(); button.remove();"""
    )
    fetched = browser.execute_async_script(
        "fetch('https://example.org').then(() => arguments[0]('sent'), () => arguments[0]('no'))"
    )
    assert fetched == "no"
    assert browser.execute_script("return window.hurt") is None
    refused = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert refused.count("Content Security Policy") >= 2, refused


def seconds_to_use(visit, path):
    """The best of three openings: from the first byte until everything is drawn."""
    return min(int(find(visit(path), "html").get_attribute("data-ready")) / 1000 for _ in range(3))


def test_the_page_is_usable_within_two_seconds(visit, page):
    assert seconds_to_use(visit, page) < 2


def test_the_charts_of_a_hundred_thousand_trials_are_usable_within_two_seconds(visit, tmp_path):
    study = pytest.importorskip("test_scale").large_study()
    data = Interactive(explore=explore_data([study]), playground={})
    told = {"title": "Large", "notices": (), "subtitle": "", "facts": (), "findings": ()}
    path = tmp_path / "index.html"
    path.write_text(render_html(Report(**told, interactive=data)), encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    assert seconds_to_use(visit, path) < 2
    assert count(visit(path), DOTS) in (149, 150), "of 250 cells"


def test_without_scripts_text_tables_and_figures_stand_and_nothing_is_empty(visit, page):
    browser = visit(page, script=False)
    assert not find(browser, "#playground").is_displayed()
    assert not find(browser, "#explore").is_displayed()
    assert find(browser, "figure svg").is_displayed()
    assert find(browser, TABLE).is_displayed()


# Explore


def test_filters_narrow_the_cells_and_change_study_task_and_response(visit, page):
    browser = visit(page)
    until(browser, f"return document.querySelectorAll({DOTS!r}).length === 9")
    choose(browser, "explore", "Study", "crossed")
    whole = until(
        browser, f"const n = document.querySelectorAll({DOTS!r}).length; return n > 9 && n"
    )
    choose(browser, "explore", "Activation", "tanh")
    until(browser, f"return document.querySelectorAll({DOTS!r}).length < {whole}")
    assert count(browser, DOTS) * levels(browser, "Activation") == whole
    choose(browser, "explore", "Response", "test_loss")
    until(browser, "return document.querySelector('#explore .dots').textContent.includes('loss')")


def levels(browser, label):
    """How many levels the list of this factor offers."""
    return browser.execute_script(
        """return [...document.querySelectorAll("#explore .choice")]
          .find((choice) => choice.firstChild.textContent === arguments[0].toLowerCase())
          .querySelectorAll("option").length - 1;""",
        label,
    )


def test_pointing_at_a_cell_highlights_its_learning_curve(visit, page):
    from selenium.webdriver import ActionChains  # noqa: PLC0415 - only where there is a browser

    browser = visit(page)
    dot = find(browser, DOTS)
    browser.execute_script("document.getElementById('explore').scrollIntoView()")
    ActionChains(browser).move_to_element(dot).perform()
    picked = until(browser, "return document.querySelector('#explore').dataset.picked")
    said = find(browser, "#explore .picked").text
    assert said.startswith(f"{picked}: test accuracy ")
    assert re.search(r"95% t interval [\d.]+% to [\d.]+%, n = 10 seeds", said)
    thick = until(
        browser,
        """const lines = [...document.querySelectorAll("#explore .lines .mark-line path")];
        return lines.filter((line) => Number(line.getAttribute("stroke-width")) === 3).length""",
    )
    assert thick == 1
    tip = find(browser, ".tip")
    assert picked in tip.text
    assert "95% t interval" in tip.text


def test_the_list_of_cells_highlights_without_a_pointer(visit, page):
    browser = visit(page)
    choose(browser, "explore", "Highlight", "tanh")
    until(browser, "return document.querySelector('#explore').dataset.picked === 'tanh'")
    until(browser, "return document.querySelector('#explore .lines .mark-area path') !== null")
    assert find(browser, "#explore .picked").get_attribute("aria-live") == "polite"


# Tables


def column(browser, table, place):
    return browser.execute_script(
        """return [...document.querySelector(arguments[0]).tBodies[0].rows]
          .filter((row) => !row.hidden).map((row) => row.cells[arguments[1]].textContent.trim())""",
        *(table, place),
    )


TABLE = "#activation-spiral .table table"


def test_a_heading_sorts_its_column_by_keyboard_and_says_so(visit, page):
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    browser = visit(page)
    first = column(browser, TABLE, 1)
    heading = browser.find_elements("css selector", f"{TABLE} th button")[1]
    heading.send_keys(Keys.ENTER)
    numbers = [float(text) for text in column(browser, TABLE, 1)]
    assert len(numbers) == 9
    assert numbers == sorted(numbers)
    assert sort_of(browser) == "ascending"
    heading.send_keys(Keys.SPACE)
    assert [float(text) for text in column(browser, TABLE, 1)] == numbers[::-1]
    assert sort_of(browser) == "descending"
    heading.send_keys(Keys.ENTER)
    assert column(browser, TABLE, 1) == first
    assert sort_of(browser) == "none"


def sort_of(browser):
    return find(browser, f"{TABLE} thead th:nth-child(2)").get_attribute("aria-sort")


def test_search_leaves_the_rows_that_hold_every_word(visit, page):
    browser = visit(page)
    names = column(browser, TABLE, 0)
    field = find(browser, "#activation-spiral .tools input")
    field.send_keys("relu")
    left = column(browser, TABLE, 0)
    assert left == [name for name in names if "relu" in name] != names
    assert find(browser, "#activation-spiral .tools .status").text == (
        f"{len(left)} of {len(names)} rows"
    )


def copied(browser, place):
    origin = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", origin)
    browser.find_elements("css selector", "#activation-spiral .tools button")[place].click()
    until(
        browser,
        "const { textContent } = document.querySelector('#activation-spiral .status');"
        "return textContent.includes('Copied')",
    )
    return browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")


def test_a_table_is_copied_as_csv_and_as_latex(visit, page):
    browser = visit(page)
    csv, tex = copied(browser, 0), copied(browser, 1)
    names = column(browser, TABLE, 0)
    assert [line.split(",")[0] for line in csv.splitlines()[1:]] == names
    assert all(float(line.split(",")[1]) for line in csv.splitlines()[1:])
    rows = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [row.split(" & ")[0].replace("\\_", "_") for row in rows] == names
    assert all(row.endswith(r" \\") for row in rows)


def test_what_is_copied_cannot_act_in_a_spreadsheet_or_in_latex(visit, page):
    browser = visit(page)
    cells = ["=1+1", "+2", "−2.5", "-x", "@a", 'a,"b"', r"50% & $x$ \input{y} #_^~{}"]
    browser.execute_script(
        """const rows = document.querySelector(arguments[0]).tBodies[0].rows;
        arguments[1].forEach((text, i) => { rows[i].cells[0].textContent = text; });""",
        *(TABLE, cells),
    )
    csv, tex = copied(browser, 0), copied(browser, 1)
    told = csv.splitlines()[1:]
    starts = ["'=1+1,", "+2,", "-2.5,", "'-x,", "'@a,", '"a,""b""",']
    assert [line[: len(start)] for line, start in zip(told, starts, strict=False)] == starts
    assert r"50\% \& \$x\$ \textbackslash{}input\{y\} \#\_\textasciicircum{}" in tex


def test_what_is_copied_as_latex_is_what_the_export_writes(visit, page):
    browser = visit(page)
    cells = ["[x] * -- “a” …", "«þ» é ł ⁿ√³", "a|b <c> `d`", "95% & $x$ \\y {z} #_^~ −µ×±≥≤†·–"]
    browser.execute_script(
        """const rows = document.querySelector(arguments[0]).tBodies[0].rows;
        arguments[1].forEach((text, i) => { rows[i].cells[0].textContent = text; });""",
        *(TABLE, cells),
    )
    rows = copied(browser, 1).split(r"\midrule")[1].strip().splitlines()
    assert [row.split(" & ")[0] for row in rows[:3]] == [latex(cell) for cell in cells[:3]]
    assert rows[3].startswith(f"{latex(cells[3])} & ")


def test_of_two_headings_of_one_name_the_one_that_is_pressed_sorts(visit, page):
    browser = visit(page)
    sorts = browser.execute_script(
        """const rows = document.querySelectorAll("div.table thead tr");
        const heads = [...rows].map((row) => [...row.cells]);
        const twice = (row) => row.findIndex((head, i) =>
          row.findIndex((other) => other.textContent === head.textContent) < i);
        const row = heads.find((cells) => twice(cells) > 0), at = twice(row);
        row[at].querySelector("button").click();
        return row.map((head, i) => [i === at, head.getAttribute("aria-sort")]);"""
    )
    assert [pressed for pressed, order in sorts if order == "ascending"] == [True]


# The playground


def painted(browser, selector=f"{TILES}:nth-child(4) canvas"):
    return browser.execute_script(f"return document.querySelector({selector!r}).toDataURL()")


def test_the_slider_scrubs_every_picture_through_training(visit, page):
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    browser = visit(page)
    slider = find(browser, "#playground .moment")
    end = painted(browser)
    slider.send_keys(Keys.HOME)
    assert find(browser, "#playground").get_attribute("data-step") == "0"
    assert slider.get_attribute("aria-valuetext").startswith("step 0 of ")
    assert painted(browser) != end
    assert "at step 0" in find(browser, "#playground .compared thead").text
    slider.send_keys(Keys.END)
    assert painted(browser) == end


def test_play_runs_to_the_end_and_stops(visit, page):
    browser = visit(page)
    button = find(browser, "#playground .play")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    until(browser, "return document.querySelector('#playground .play').ariaPressed === 'false'")
    slider = find(browser, "#playground .moment")
    assert slider.get_attribute("value") == slider.get_attribute("max")


def test_two_cells_stand_side_by_side_with_their_numbers(visit, page):
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    browser = visit(page)
    tiles = browser.find_elements("css selector", TILES)
    assert len(tiles) == 9
    tiles[2].send_keys(Keys.ENTER)
    tiles[3].send_keys(Keys.ENTER)
    pressed = [tile.get_attribute("aria-pressed") for tile in tiles]
    assert [i for i, value in enumerate(pressed) if value == "true"] == [2, 3]
    tiles[3].send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == tiles[4]
    names = [tile.get_attribute("title") for tile in tiles[2:4]]
    spoken = find(browser, "#playground .spoken").get_attribute("textContent")
    assert all(f"{name}: " in spoken for name in names)
    reached = [tile.find_element("css selector", ".reached").text for tile in tiles[2:4]]
    rows = browser.find_elements("css selector", "#playground .compared tbody tr")
    [row] = [r.text for r in rows if r.text.startswith("validation accuracy ")]
    assert row.endswith(" ".join(reached))
    assert count(browser, "#playground .curve polyline") >= 4


@pytest.mark.parametrize(("task", "kind"), [("wave", "curve"), ("digits", "confusion")])
def test_every_kind_of_picture_is_painted(task, kind, visit, page):
    browser = visit(page, f"#playground?study=activation&task={task}")
    assert find(browser, "#playground .wall").get_attribute("data-kind") == kind
    pictures = {painted(browser, f"{TILES}:nth-child({i}) canvas") for i in range(1, 6)}
    assert len(pictures) == 5, "cells differ"


# Deep links


def test_a_link_opens_a_view_of_the_playground(visit, page):
    browser = visit(page, "#playground?study=activation&task=wave&step=100&a=tanh&b=gelu")
    assert find(browser, "#playground").get_attribute("data-step") == "100"
    chosen = [find(browser, f"#playground-{slot}").get_attribute("value") for slot in "ab"]
    assert chosen == ["tanh", "gelu"]
    top = browser.execute_script(
        "return document.querySelector('#playground').getBoundingClientRect().top"
    )
    assert abs(top) < 100


def test_a_link_opens_a_view_of_the_charts(visit, page):
    link = (
        "#explore?study=crossed&task=spiral&response=test_loss&f.activation=tanh&colour=optimizer"
    )
    browser = visit(page, link)
    assert "loss" in find(browser, "#explore .dots").text
    shown = [
        find(browser, f"#explore .choice:nth-child({i}) select").get_attribute("value")
        for i in (1, 2, 3)
    ]
    assert shown == ["crossed", "spiral", "test_loss"]
    assert count(browser, DOTS) == int(find(browser, "#explore").get_attribute("data-cells"))


def test_what_is_chosen_stands_in_the_address_and_opens_again(visit, page):
    browser = visit(page)
    choose(browser, "explore", "Task", "wave")
    choose(browser, "explore", "Highlight", "tanh")
    until(browser, "return document.querySelector('#explore').dataset.picked === 'tanh'")
    address = browser.execute_script("return location.hash")
    assert address.startswith("#explore?")
    browser = visit(page, address)
    assert find(browser, "#explore").get_attribute("data-picked") == "tanh"
    assert "R²" in find(browser, "#explore .dots").text


def test_a_link_opens_a_sorted_and_searched_table_in_its_fold(visit, page):
    browser = visit(page)
    fold = "#activation-spiral details"
    name = find(browser, f"{fold} .table").get_attribute("id")
    browser = visit(page, f"#{name}?sort={quote('cell')}&down=1&search=u")
    table = f"#{name} table"
    assert find(browser, fold).get_attribute("open")
    names = column(browser, table, 0)
    assert names == sorted(names, reverse=True)
    assert names
    assert all("u" in " ".join(names) for names in names)


@pytest.mark.parametrize("place", ["playground", "explore", "activation-spiral", "throughput"])
def test_a_link_to_a_place_leads_there(place, visit, page):
    """Playground and charts appear after the browser has looked for the place by itself."""
    browser = visit(page, f"#{place}")
    top = f"document.getElementById({place!r}).getBoundingClientRect().top"
    until(browser, f"return Math.abs({top}) < 100")


@pytest.mark.parametrize(
    "address",
    [
        "#playground?study=nothing&task=none&step=abc&a=x&b=y&f.activation=z",
        "#explore?study=%3Cscript%3E&task=&response=constructor&colour=__proto__&cell=x&f.depth=9",
        "#nothing?x=1",
        "#table-?sort=1",
        "#?=&&",
        "#explore?%E0%A4%A",
    ],
)
def test_a_link_to_what_is_not_there_opens_the_page_as_it_is(address, visit, page):
    browser = visit(page, address)
    assert count(browser, TILES) > 0
    until(browser, f"return document.querySelectorAll({DOTS!r}).length > 0")


# Sizes, colours, paper


@pytest.mark.parametrize("size", [PHONE, (320, 640), WIDE], ids=["phone", "small phone", "wide"])
def test_nothing_makes_the_page_scroll_sideways(size, visit, page):
    browser = visit(page, size=size)
    for address in ("", "#explore?study=crossed", "#playground?study=crossed"):
        browser.execute_script("location.hash = arguments[0]", address)
        sleep(0.3)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= size[0], address


def test_the_page_turns_dark_with_its_charts_and_pictures(visit, page):
    browser = visit(page)
    light = [background(browser), painted(browser), dot_colour(browser)]
    media(browser, dark=True)
    until(browser, "return matchMedia('(prefers-color-scheme: dark)').matches")
    sleep(0.2)
    dark = [background(browser), painted(browser), dot_colour(browser)]
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert luminance(dark[0]) < 0.2
    assert luminance(light[0]) > 0.9


def background(browser):
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def dot_colour(browser):
    return browser.execute_script(f"return getComputedStyle(document.querySelector({DOTS!r})).fill")


def luminance(colour):
    return sum(int(c) for c in re.findall(r"\d+", colour)[:3]) / 765


def test_print_gives_whole_figures_and_leaves_the_controls_out(visit, page):
    browser = visit(page, size=(718, 1000))  # A4 less its margins, at 96 pixels an inch
    media(browser, kind="print")
    assert not find(browser, "#playground").is_displayed()
    assert not find(browser, ".tools").is_displayed()
    breaks = browser.execute_script(
        """return [...document.querySelectorAll("figure, article.trial, tr")]
          .map((figure) => getComputedStyle(figure).breakInside)"""
    )
    assert set(breaks) == {"avoid"}
    heights = browser.execute_script(
        "return [...document.querySelectorAll('figure')].map((f) => f.offsetHeight)"
    )
    assert max(heights) < 1000, "a figure is no higher than a page"
    media(browser)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", base64.b64decode(printed["data"]))
    assert len(pages) > 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_serious(size, dark, visit, page):
    axe = pytest.importorskip("axe_core_python", reason="axe-core checks the page in chromium")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    browser = visit(page, size=size, dark=dark)
    browser.set_script_timeout(120)
    browser.execute_script(script)
    found = browser.execute_async_script(
        """const done = arguments[0];
        axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(violations
          .map(({ id, impact, nodes }) => [id, impact, nodes.map(({ html }) => html)])));"""
    )
    assert [v for v in found if v[1] in ("serious", "critical")] == []


# Hostile names


@pytest.mark.parametrize("part", ["explore", "playground"])
def test_hostile_names_stay_text_in_charts_lists_and_pictures(part, visit, hostile):
    from selenium.webdriver import ActionChains  # noqa: PLC0415

    browser = visit(hostile, f"#{part}")
    shown = browser.execute_script("return document.getElementById(arguments[0]).textContent", part)
    assert "<script>window.hurt=1</script>" in shown
    assert "\\u2028" in shown
    assert "\u202e" not in shown
    for dot in browser.find_elements("css selector", DOTS)[:9]:
        ActionChains(browser).move_to_element(dot).perform()
    for tile in browser.find_elements("css selector", TILES):
        tile.click()
    for cell in HOSTILE[:2]:
        choose(browser, "explore", "Highlight", cell)
    assert browser.execute_script("return window.hurt") is None
    assert count(browser, "main img, .tip img, iframe") == 0
    assert count(browser, "script") == 4
