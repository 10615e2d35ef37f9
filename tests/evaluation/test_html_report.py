"""The HTML page: complete, self-contained, escaped, and without errors in a browser."""

import math
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from analysis_cases import annotations, detections, random_rows

from x3d_det.errors import X3DDetError
from x3d_det.evaluation.analysis import explain_evaluation, html_report, write_html_report
from x3d_det.io.label_map import LabelMap

NASTY = '<script>alert("1")</script> & </style>'
NAMES = LabelMap({1: "bend", 2: "crawl", 3: NASTY, 4: "dance", 9: "never seen"})
VOID = {"meta", "path", "line", "img", "br", "link", "input", "hr"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class _Page(HTMLParser):
    """Collects tags, addresses and text; refuses tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "xlink:href")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def evaluation():
    truth, found = random_rows(7, num_keyframes=12)
    truth.append((NASTY, 902, 0, 0, 0.5, 0.5, 3))
    return explain_evaluation(annotations(truth), detections(found), label_map=NAMES)


def test_the_page_fetches_nothing_and_escapes_everything(evaluation):
    report, analysis = evaluation
    pictures = {analysis.worst[0].keyframe: b"\xff\xd8jpeg"}
    text = html_report(report, analysis, pictures=pictures, title=NASTY)
    page = _Page(text)
    assert page.addresses == ["data:image/jpeg;base64,/9hqcGVn"]
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    seen = "\n".join(page.texts)
    for name in NAMES.names.values():
        assert name in seen
    assert seen.count(NASTY) > 3  # as title, action and film, each as text
    for kind in analysis.errors:
        assert kind.title in seen
        assert f"{kind.mean_ap_alone:.4f}" in seen
    assert f"{analysis.mean_ap:.4f}" in seen
    annotated = sum(not math.isnan(result.ap) for result in analysis.classes)
    assert page.tags.count("svg") == annotated == 4
    for worst in analysis.worst:
        assert all(reason in seen for reason in worst.reasons)


def test_notes_of_the_report_are_told(tmp_path):
    report, analysis = explain_evaluation(
        annotations([("v", 902, 0, 0, 0.5, 0.5, 1)]), detections([]), label_map=NAMES
    )
    page = _Page(write_html_report(report, analysis, tmp_path / "made").read_text())
    assert report.notes[0] in "".join(page.texts)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["report.html"]


def test_nothing_annotated_is_a_page_too():
    report, analysis = explain_evaluation(
        annotations([]), detections([("v", 902, 0, 0, 1, 1, 1, 0.5)]), label_map=NAMES
    )
    seen = "".join(_Page(html_report(report, analysis)).texts)
    assert "The score is not defined" in seen
    assert "nan" not in seen


def test_a_folder_that_cannot_be_made(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(X3DDetError, match="file: "):
        write_html_report(*evaluation, tmp_path / "file")


@pytest.fixture
def browse(tmp_path):
    """Run headless Chromium on a page; return what it prints and its console."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser to open the page with: none of {', '.join(BROWSERS)} is installed")

    def run(path, *options):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}"]
        command += ["--enable-logging=stderr", "--virtual-time-budget=2000", *options]
        done = subprocess.run(
            [*command, path.resolve().as_uri()],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            env={"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_the_page_opens_without_an_error(evaluation, browse, tmp_path):
    path = write_html_report(*evaluation, tmp_path)
    dom, console = browse(path, "--dump-dom")
    assert console == []
    # Headings become buttons by the page's own script: it ran to its end.
    assert dom.count('<button type="button">') == dom.count("<th>") + dom.count("<th ")

    picture_path = tmp_path / "page.png"
    _, console = browse(path, "--window-size=390,1200", f"--screenshot={picture_path}")
    assert console == []
    from PIL import Image

    with Image.open(picture_path) as picture:
        assert picture.width >= 390  # some versions have a least width
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_an_error_in_a_page_would_be_seen(browse, tmp_path):
    path = tmp_path / "broken.html"
    path.write_text("<script>nothing.there()</script>")
    _, console = browse(path, "--dump-dom")
    assert "nothing is not defined" in "".join(console)
