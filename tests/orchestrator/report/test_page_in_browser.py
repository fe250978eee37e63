"""The page in a real browser: what is seen first, that nothing is cut, and that it is accessible, valid and offline."""

import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.cli import main
from orchestrator.driver.run import RunOutcome
from orchestrator.experiment.settings import Noninferiority, StatisticsSettings
from orchestrator.report.export import export
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.records import Report, RunTables
from orchestrator.report.run_extracts import extracts_of

PACKAGES = Path(os.environ.get("POLARMAP_BROWSER_PACKAGES", ".browser")) / "node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path], run: Callable[..., RunOutcome]
) -> dict[str, Path]:
    """Every page that the commands write, of a small run of two repeats that was opened and explained."""
    folder = tmp_path_factory.mktemp("pages")
    experiment = make_tiny(folder, patients=96, test_patients=48)
    settings = ["folds.repeats=2", 'cohort.inputs=["stress", "rest", "dual"]', "training.epochs=1"]
    run(experiment, *settings, open_test=True)
    root, found = str(folder / "runs/tiny"), {"run": folder / "runs/tiny/report/report.html"}
    found |= {name: folder / f"{name}.html" for name in ("patients", "cohort", "checklist")}
    chosen = [word for setting in settings for word in ("--set", setting)]
    for words in (
        ["explain", root, "--cells", "--runner", "inline", "--progress", "none"],
        ["report", root, "--patients", str(found["patients"])],
        ["check", str(experiment), *chosen, "--html", str(found["cohort"])],
        ["report", root, "--checklist", "tripod-ai", "--format", "html", "--out", str(found["checklist"])],
    ):
        assert main(words) == 0
    return found


def page_called(name: str, request: pytest.FixtureRequest) -> Path:
    """`report` is the page made without any network; the others are the commands' own."""
    found: Path = request.getfixturevalue("page") if name == "report" else request.getfixturevalue("pages")[name]
    return found


EVERY = ("report", "run", "patients", "cohort", "checklist")
REPORTS = ("report", "run")


@pytest.fixture(scope="module")
def page(finished_run: RunTables, summary: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with two tracers, three input configurations, repeats and subgroups, as a file."""
    settings = StatisticsSettings(noninferiority=Noninferiority(pair="stress-dual", margin=0.05))
    report = Report(
        name="thessaly <pilot>",
        summary=summary,
        cells=finished_run.cells,
        facts={"calibration": "none", "fold plan": "3f9a", "device": "cpu"},
        exclusions=(("development", "no rest map", 7),),
        openings=1,
        statistics=settings,
        extracts=extracts_of(finished_run, summary),
        figures=figures_of(replace(finished_run), summary, settings),
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(export(report, "html"), encoding="utf-8")
    return path


def browse(page: Path, *options: str, script: str = "") -> str:
    """Open the page and return the document after a script has run in it, which writes to `<pre id="said">`."""
    shown = page
    if script:
        # The page forbids scripts; the copy that is measured allows the test's own.
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
        shown = page.with_name(f"measured-{abs(hash(script)) % 10**8}.html")
        shown.write_text(text.replace("</body>", f'<pre id="said" hidden></pre><script>{script}</script></body>'))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *options]
    done = subprocess.run([*command, shown.as_uri()], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def said(document: str) -> object:
    found = re.search(r'<pre id="said"[^>]*>(.*?)</pre>', document, flags=re.S)
    assert found
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&"))


MEASURE = """
const forest = document.querySelector('#answer figure svg');
const drawn = [...document.querySelectorAll('main svg, main img')].map(one => one.getBoundingClientRect());
document.getElementById('said').textContent = JSON.stringify({
  width: document.documentElement.scrollWidth, window: innerWidth,
  bottom: forest ? forest.getBoundingClientRect().bottom : 0,
  cut: drawn.filter(one => one.right > innerWidth || one.width < 1).length,
  requests: performance.getEntriesByType('resource').filter(one => !one.name.startsWith('data:')).length});
"""


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_answer_is_seen_first_and_nothing_is_cut(name: str, width: int, request: pytest.FixtureRequest) -> None:
    """The answer and its forest end within 900 pixels; no page scrolls sideways, loads anything or is large."""
    page = page_called(name, request)
    assert page.stat().st_size < 3_000_000
    # A window cannot be narrower than 500 pixels; a frame can.
    frame = page.with_name(f"frame-{width}.html")
    measured = page.with_name(f"inside-{width}.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    measured.write_text(text.replace("</body>", f'<pre id="said" hidden></pre><script>{MEASURE}</script></body>'))
    inner = escape(measured.read_text(encoding="utf-8"), quote=True)
    frame.write_text(
        f'<!doctype html><body style="margin:0"><iframe id="f" style="border:0;width:{width}px;height:900px" '
        f'srcdoc="{inner}"></iframe><pre id="said"></pre><script>document.getElementById("f").onload = () => '
        '{document.getElementById("said").textContent = '
        'document.getElementById("f").contentDocument.getElementById("said").textContent}</script></body>'
    )
    document = browse(frame, "--dump-dom", f"--window-size={max(width, 600)},900")
    found = said(document.rpartition("</iframe>")[2])
    assert isinstance(found, dict)
    assert found["bottom"] <= 900
    assert found["width"] <= found["window"] == width
    assert found["cut"] == 0
    assert found["requests"] == 0


@pytest.mark.parametrize("name", REPORTS)
def test_printed_it_has_ten_pages_at_most(name: str, request: pytest.FixtureRequest) -> None:
    """As A4 without the folded tables, also of a run with two repeats that was explained."""
    page = page_called(name, request)
    target = page.with_name("page.pdf")
    browse(page, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    content = target.read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", content))

    assert 1 <= pages <= 10
    box = re.search(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", content)
    assert box
    assert (float(box[1]), float(box[2])) == pytest.approx((595, 842), abs=1)


@pytest.mark.parametrize(
    ("name", "scheme"), [*((name, "light") for name in EVERY), *((name, "dark") for name in REPORTS)]
)
def test_axe_finds_nothing_serious(name: str, scheme: str, request: pytest.FixtureRequest) -> None:
    """axe-core's rules, WCAG AA contrast among them, in the light and in the dark scheme."""
    page = page_called(name, request)
    axe = PACKAGES / "axe-core" / "axe.min.js"
    if not axe.exists():
        pytest.skip("needs npm's axe-core: make test-browser")
    script = axe.read_text(encoding="utf-8").replace("</script", "<\\/script") + """
    ;axe.run(document, {resultTypes: ['violations']}).then(found => {document.getElementById('said').textContent =
      JSON.stringify(found.violations.map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(n => n.target[0])]))});
    """  # fmt: skip
    options = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    violations = said(browse(page, "--dump-dom", "--window-size=1280,900", *options, script=script))

    assert isinstance(violations, list)
    assert [one for one in violations if one[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", EVERY)
def test_the_validator_is_content(name: str, request: pytest.FixtureRequest) -> None:
    """html-validate's rules of the HTML standard."""
    page = page_called(name, request)
    validator = PACKAGES / ".bin" / "html-validate"
    if not validator.exists():
        pytest.skip("needs npm's html-validate: make test-browser")
    rules = page.with_name(".htmlvalidate.json")
    rules.write_text(json.dumps({"extends": ["html-validate:standard"], "rules": {"no-inline-style": "off"}}))
    done = subprocess.run(
        [str(validator.resolve()), "--formatter", "json", "--config", str(rules), str(page)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    messages = [message for file in json.loads(done.stdout) for message in file["messages"]]

    assert [(one["ruleId"], one["line"], one["message"]) for one in messages if one["severity"] == 2] == []


def test_a_screenshot_is_not_empty(page: Path) -> None:
    """The page is drawn: a PNG of the size asked for, with more in it than one colour compresses to."""
    target = page.with_name("page.png")
    browse(page, f"--screenshot={target}", "--window-size=1280,900", "--hide-scrollbars")
    content = target.read_bytes()

    assert struct.unpack(">II", content[16:24]) == (1280, 900)
    assert len(content) > 40_000
