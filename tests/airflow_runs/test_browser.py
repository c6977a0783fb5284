"""The tab *Invites* in a browser, as a person uses it: watched, settled, cleared, approved, and open to everybody."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
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
    from playwright.sync_api import Browser, Dialog, Frame, FrameLocator, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = {"the browser": CHROMIUM, **{name: find_spec(name) for name in ("playwright", "axe_playwright_python")}}
MISSING = [name for name, found in NEEDED.items() if not found]

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.proof,
    pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3"),
    pytest.mark.skipif(bool(MISSING), reason=f"Chromium: {', '.join(MISSING)} not on this machine"),
]

SENT = 60
# The first try sends fifty and is refused one; the second leaves doubts: two went out, one did not.
ENDINGS = (*["ok"] * 40, "429", *["ok"] * 10, "500-after", "500-after", "500-before")
THEMES = ("light", "dark")
BEHIND = """(element) => {
    const colours = [];
    for (; element; element = element.parentElement) colours.push(getComputedStyle(element).backgroundColor);
    return colours.find((colour) => colour !== "rgba(0, 0, 0, 0)") ?? "";
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        # Chromium's own sandbox takes no root, as whom containers run.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, deployment: Airflow) -> Iterator[Page]:
    context = browser.new_context(base_url=deployment.url, viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context.new_page()
    context.close()


def people(deployment: Airflow) -> None:
    made = [{"to": f"+4179444{i:04}", "name": f"P{i}", "customer_id": f"C-{i}"} for i in range(SENT)]
    (deployment.marks / "browsed.jsonl").write_text("".join(json.dumps(each) + "\n" for each in made))


def tab(page: Page, dag_id: str, run_id: str, task_id: str) -> FrameLocator:
    page.goto(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/plugin/invites")
    return page.frame_locator("iframe")


def says(frame: FrameLocator, pattern: str) -> None:
    from playwright.sync_api import expect

    expect(frame.locator("body")).to_contain_text(re.compile(pattern))


def axe_of(frame: Page | Frame) -> dict[str, Any]:
    axe = find_spec("axe_playwright_python")
    assert axe is not None
    assert axe.origin is not None
    frame.evaluate(Path(axe.origin).with_name("axe.min.js").read_text())
    found: dict[str, Any] = frame.evaluate("axe.run()")
    return found


def finds_nothing(found: dict[str, Any], theme: str) -> None:
    wrong = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]
    assert wrong == [], theme
    assert found["passes"], "axe-core has looked at something"


def is_open_to_everybody(page: Page) -> None:
    """Fail with what axe-core finds in our page, in both themes."""
    from playwright.sync_api import Error

    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # the words of a Literal
        found: dict[str, Any] | None = None
        while found is None:
            frame = page.locator("iframe").element_handle().content_frame()
            assert frame is not None
            with suppress(Error):  # the page has loaded itself anew
                dark = f"document.documentElement.classList.contains('dark') === {str(theme == 'dark').lower()}"
                frame.wait_for_function(dark)
                # axe-core does not see what is behind the frame.
                behind = page.locator("iframe").evaluate(BEHIND)
                frame.evaluate("(color) => { document.documentElement.style.background = color; }", behind)
                found = axe_of(frame)
        finds_nothing(found, theme)
    page.emulate_media(color_scheme="light")


def settle(frame: FrameLocator, sent: list[str], lost: list[str]) -> None:
    """Say what became of doubts, by their keys: several at once if the page can do that."""
    from playwright.sync_api import expect

    frame.get_by_label("How do you know?").fill("delivery report in the portal")
    for keys, words in ((sent, "sent"), (lost, "not sent")):
        boxes = [frame.get_by_role("checkbox", name=re.compile(rf"\b{key}$")) for key in keys]
        if len(keys) > 1 and all(box.count() for box in boxes):
            for box in boxes:
                box.check()
            frame.get_by_role("button", name=re.compile(rf"were {words}$")).click()
        for key in keys:
            button = frame.get_by_role("button", name=f"{key} was {words}", exact=True)
            if len(keys) == 1 or not boxes[0].count():
                button.click()
            expect(button).to_have_count(0)


def test_a_campaign_is_watched_through_a_retry_settled_and_cleared(
    deployment: Airflow, sandbox: Sandbox, page: Page
) -> None:
    people(deployment)
    sandbox.script(*ENDINGS)
    run_id = deployment.trigger("browsed")
    frame = tab(page, "browsed", run_id, "send")
    says(frame, r"\b[1-9]\d*\s+accepted")  # under way
    is_open_to_everybody(page)

    deployment.wait_for_run("browsed", run_id)
    assert deployment.tries("browsed", run_id, "send")[-1] == ("failed", 2)
    frame = tab(page, "browsed", run_id, "send")
    says(frame, r"try 2")
    says(frame, r"\b3\s+in doubt")
    is_open_to_everybody(page)

    doubts = {f"C-{int(sms.to[-4:])}": sms.accepted for sms in sandbox.outbox if sms.http_status == 500}
    assert Counter(doubts.values()) == {True: 2, False: 1}
    settle(frame, [key for key in doubts if doubts[key]], [key for key in doubts if not doubts[key]])
    is_open_to_everybody(page)

    deployment.clear("browsed", run_id)
    deployment.wait_for_run("browsed", run_id)
    frame = tab(page, "browsed", run_id, "send")
    says(frame, rf"\b{SENT}\s+accepted")
    assert deployment.tries("browsed", run_id, "send")[-1] == ("success", 3)
    assert Counter(sms.to for sms in sandbox.accepted) == {f"4179444{i:04}": 1 for i in range(SENT)}
    is_open_to_everybody(page)

    page.goto("/plugin/invite-campaigns")
    says(page.frame_locator("iframe"), f"browsed/{re.escape(run_id)}/send")
    is_open_to_everybody(page)


def test_a_dry_run_is_approved_by_a_person_and_then_sent(deployment: Airflow, sandbox: Sandbox, page: Page) -> None:
    people(deployment)
    deployment.start_triggerer()
    run_id = deployment.trigger("browsed_approval")
    deployment.wait_until_at_rest("browsed_approval", run_id, "approve")
    tab(page, "browsed_approval", run_id, "preview")
    is_open_to_everybody(page)
    assert sandbox.requests_seen == 0

    page.goto(f"/dags/browsed_approval/runs/{run_id}/tasks/approve/required_actions")
    page.get_by_text(f"{SENT} people", exact=False).first.wait_for()
    page.get_by_role("button", name="Approve").first.click()
    assert deployment.wait_for_run("browsed_approval", run_id) == "success"
    says(tab(page, "browsed_approval", run_id, "send"), rf"\b{SENT}\s+accepted")
    assert len(sandbox.accepted) == SENT
    is_open_to_everybody(page)


def test_the_sandboxs_page_is_searched_and_asks_before_it_clears(browser: Browser, sandbox: Sandbox) -> None:
    ours = sandbox.credentials
    for last in range(3):
        body = {"to": f"4179444000{last}", "message": f"Hi {last} <link>", "linkPlaceholder": "<link>"}
        sent = requests.post(sandbox.invite_url(), json=body, auth=(ours.user, ours.password), timeout=PATIENCE_SECONDS)
        assert sent.status_code == 200
    page = browser.new_page()
    page.goto(sandbox.url)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # the words of a Literal
        finds_nothing(axe_of(page), theme)
    page.get_by_role("searchbox").fill("hi 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=*")
    assert page.get_by_text(re.compile(r"^Hi \d")).all_inner_texts() == [
        page.get_by_text(re.compile(r"^Hi 1")).inner_text()
    ]
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
    page.get_by_text("Nothing has arrived yet").wait_for()
    assert sandbox.requests_seen == 0
    page.close()
