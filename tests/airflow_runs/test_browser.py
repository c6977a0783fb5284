"""The pages in a browser, as a person uses them: watched, settled, cleared, approved, and open to everybody."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, FrameLocator, Locator, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = {"the browser": CHROMIUM, **{name: find_spec(name) for name in ("playwright", "axe_playwright_python")}}
MISSING = [name for name, found in NEEDED.items() if not found]

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.timeout(4 * PATIENCE_SECONDS),
    pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3"),
    pytest.mark.skipif(bool(MISSING), reason=f"Chromium: {', '.join(MISSING)} not on this machine"),
]

# A page follows within seconds; several such waits end before pytest's own limit, and say what did not come.
PAGE_SECONDS = PATIENCE_SECONDS / 4
SENT = 60
# The first try ends here, and its next one leaves doubts: two went out, one did not.
ENDINGS = (*["ok"] * 20, "429-retry-after:3600", *["ok"] * 10, "500-after", "500-after", "500-before")
WHY = "delivery report in the portal"
THEMES = ("light", "dark")
# What is behind a frame, once its colours have changed: axe-core does not see it.
BEHIND = """async (frame) => {
    const changes = document.getAnimations().filter((each) => each instanceof CSSTransition);
    await Promise.all(changes.map((each) => each.finished.catch(() => null)));
    for (let element = frame; element; element = element.parentElement) {
        const { backgroundColor } = getComputedStyle(element);
        if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
    }
    return "";
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_SECONDS * 1000)
    with sync_playwright() as playwright:
        # Chromium's own sandbox takes no root, as whom containers run.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=options, timeout=PAGE_SECONDS * 1000)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(PAGE_SECONDS * 1000)
    yield context.new_page()
    context.close()


def people(deployment: Airflow) -> None:
    made = [{"to": f"+4179444{i:04}", "name": f"P{i}", "customer_id": f"C-{i}"} for i in range(SENT)]
    (deployment.marks / "browsed.jsonl").write_text("".join(json.dumps(each) + "\n" for each in made))


def says(where: Page | FrameLocator, *patterns: str) -> None:
    """Wait until a page says all of this."""
    from playwright.sync_api import expect

    for pattern in patterns:
        expect(where.locator("body"), f"the page says {pattern}").to_contain_text(re.compile(pattern))


def is_gone(what: Locator) -> None:
    from playwright.sync_api import expect

    expect(what).to_have_count(0)


def axe_finds_nothing(root: Locator, theme: str) -> None:
    """Fail with what axe-core finds in a page."""
    axe = find_spec("axe_playwright_python")
    assert axe is not None
    assert axe.origin is not None
    root.evaluate(Path(axe.origin).with_name("axe.min.js").read_text())
    found: dict[str, Any] = root.evaluate("() => axe.run()")
    wrong = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]
    assert wrong == [], theme
    assert found["passes"], "axe-core has looked at something"


def is_open_to_everybody(page: Page) -> None:
    """Fail with what axe-core finds in our frame, in both themes."""
    from playwright.sync_api import expect

    frame = page.locator("iframe")
    root = frame.content_frame.locator("html")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # the words of a Literal
        follows = expect(root, f"the frame follows Airflow to {theme}")
        (follows.to_have_class if theme == "dark" else follows.not_to_have_class)("dark")
        root.evaluate("(root, color) => { root.style.background = color; }", frame.evaluate(BEHIND))
        axe_finds_nothing(root, theme)
    page.emulate_media(color_scheme="light")


def test_a_campaign_is_watched_through_a_retry_settled_and_cleared(
    deployment: Airflow, sandbox: Sandbox, page: Page
) -> None:
    people(deployment)
    sandbox.script(*["ok"] * 20)
    sandbox.set_faults(["503-retry-after:1"])  # to all others, until it has been looked at
    run_id = deployment.trigger("browsed")
    run = f"{deployment.url}/dags/browsed/runs/{run_id}"
    page.goto(f"{run}/tasks/send/plugin/invites")
    tab = page.frame_locator("iframe")
    says(tab, r"\b[1-9]\d*\s+accepted", "Nothing to do while the task is at work")
    is_open_to_everybody(page)
    sandbox.script(*ENDINGS)
    sandbox.set_faults([])

    # The page is not loaded again until the campaign is done: it follows by itself.
    assert deployment.wait_for_run("browsed", run_id) == "failed"
    assert deployment.tries("browsed", run_id, "send")[-1] == ("failed", 2)
    says(tab, r"try 2\b.* · ended", r"\b3\s+in doubt", "3 in doubt: settle them below")
    is_open_to_everybody(page)

    doubts = {f"C-{int(sms.to[-4:])}": sms.accepted for sms in sandbox.outbox if sms.http_status == 500}
    *sent, lost = sorted(doubts, key=lambda key: not doubts[key])
    assert [doubts[key] for key in (*sent, lost)] == [True, True, False]
    tab.get_by_label("How do you know?").fill(WHY)
    for key in sent:
        tab.get_by_role("checkbox", name=f"Choose {key}", exact=True).check()
    tab.get_by_role("button", name="chosen were sent").click()
    says(tab, "2 settled as sent", "1 in doubt: settle")
    was_lost = tab.get_by_role("button", name=f"{lost} was not sent", exact=True)
    was_lost.click()
    says(tab, "1 settled as not sent")
    is_gone(was_lost)
    is_open_to_everybody(page)
    tab.get_by_role("button", name=f"Undo: {lost} is in doubt again").click()
    says(tab, "1 in doubt again", "1 in doubt: settle")
    tab.get_by_label("How do you know?").fill(WHY)
    was_lost.click()
    is_gone(was_lost)
    says(tab, "1 was not sent: Clear sends only these")

    deployment.clear("browsed", run_id)
    assert deployment.wait_for_run("browsed", run_id) == "success"
    assert deployment.tries("browsed", run_id, "send")[-1] == ("success", 3)
    assert Counter(sms.to for sms in sandbox.accepted) == {f"4179444{i:04}": 1 for i in range(SENT)}
    says(tab, r"try 3\b.* · ended", rf"\b{SENT}\s+accepted", "Nothing to do")
    is_open_to_everybody(page)

    page.goto(f"{run}/plugin/run-invites")
    says(tab, f"{SENT} rows of 1 task", rf"\b{SENT}\s+accepted")
    is_open_to_everybody(page)
    page.goto(f"{deployment.url}/plugin/invite-campaigns")
    says(tab, f"browsed {re.escape(run_id)}")
    is_open_to_everybody(page)


def test_a_dry_run_is_approved_by_a_person_and_then_sent(deployment: Airflow, sandbox: Sandbox, page: Page) -> None:
    people(deployment)
    deployment.start_triggerer()
    run_id = deployment.trigger("browsed_approval")
    deployment.wait_until_at_rest("browsed_approval", run_id, "approve")
    run = f"{deployment.url}/dags/browsed_approval/runs/{run_id}"
    page.goto(f"{run}/tasks/preview/plugin/invites")
    tab = page.frame_locator("iframe")
    says(tab, "Dry run: nothing was sent", f"{SENT} people", "waits for an answer")
    is_open_to_everybody(page)
    assert sandbox.requests_seen == 0

    page.goto(f"{run}/tasks/approve/required_actions")
    says(page, f"{SENT} people")
    page.get_by_role("button", name="Approve").first.click()
    assert deployment.wait_for_run("browsed_approval", run_id) == "success"
    page.goto(f"{run}/tasks/send/plugin/invites")
    says(tab, rf"\b{SENT}\s+accepted", "Nothing to do", "Approve by")
    assert len(sandbox.accepted) == SENT
    is_open_to_everybody(page)


def test_the_sandboxs_page_is_searched_and_asks_before_it_clears(sandbox: Sandbox, page: Page) -> None:
    ours = sandbox.credentials
    for last in range(3):
        body = {"to": f"4179444000{last}", "message": f"Hi {last} <link>", "linkPlaceholder": "<link>"}
        sent = requests.post(sandbox.invite_url(), json=body, auth=(ours.user, ours.password), timeout=PATIENCE_SECONDS)
        assert sent.status_code == 200
    page.goto(sandbox.url)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # the words of a Literal
        axe_finds_nothing(page.locator("html"), theme)
    page.get_by_role("searchbox").fill("hi 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=*")
    says(page, "Hi 1")
    is_gone(page.get_by_text(re.compile(r"^Hi [02]")))
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    page.get_by_role("button", name="Clear").click()
    assert len(asked) == 1
    assert sandbox.requests_seen == 3
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Clear").click()
    says(page, "Nothing has arrived yet")
    assert sandbox.requests_seen == 0
