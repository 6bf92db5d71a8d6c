"""The console in a real browser: by keyboard, without scripts, on a phone, with hostile text."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from starter.api.console.session import TOKEN
from starter.callers import Scope
from tests.console.harness import FAILURE, MARKUP, Owner, Stack

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATIENCE = 60_000
"""Milliseconds: other tests may keep the machine busy."""
expect.set_options(timeout=PATIENCE)


@dataclass
class Window:
    """A browser's window, and all that it complained of or asked others for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str = "", status: int = 200) -> None:
        """A page below /console. Browsers complain of each that is an error."""
        answer = await self.page.goto(f"{self.url}/console{path}")
        assert answer
        assert answer.status == status
        if status >= 400:
            [complaint] = self.complaints
            assert f"status of {status}" in complaint
            self.complaints.clear()

    async def sign_in(self, owner: Owner) -> None:
        """As if by the form: the cookie that it leaves."""
        await self.page.context.clear_cookies()
        cookie = {"name": TOKEN, "value": owner.token, "url": f"{self.url}/console"}
        await self.page.context.add_cookies([cookie])  # type: ignore[list-item]

    async def press_to(self, name: str) -> None:
        """Tab until something of this name has the focus, which must be seen to have it."""
        for _ in range(40):
            await self.page.keyboard.press("Tab")
            said, outline = await self.page.evaluate(_FOCUSED)
            if said.strip().startswith(name):
                assert outline != "0px", f"{name} does not show that it has the focus"
                return
        raise AssertionError(f"nothing called {name} can be reached by Tab")


_FOCUSED = """() => {
  const e = document.activeElement;
  return [e.innerText || e.labels?.[0]?.innerText || "", getComputedStyle(e).outlineWidth];
}"""

Opens = Callable[..., Awaitable[Window]]


@pytest.fixture
async def opens(console: Stack, chromium: Browser) -> AsyncIterator[Opens]:
    """Opens windows; at the end none may have complained of anything."""
    windows: list[Window] = []
    async with AsyncExitStack() as exits:

        async def open_one(**options: Any) -> Window:
            size = {"width": 800, "height": 600}
            context: BrowserContext = await chromium.new_context(**{"viewport": size} | options)
            exits.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = await context.new_page()
            window = Window(page, console.url)
            note = window.complaints.append
            page.on("console", lambda said: note(f"{said.type}: {said.text}"))
            page.on("pageerror", lambda error: note(f"error: {error}"))
            page.on("dialog", lambda dialog: note(f"dialog: {dialog.message}"))
            page.on(
                "request",
                lambda request: (
                    None if request.url.startswith(console.url) else note(f"asked: {request.url}")
                ),
            )
            windows.append(window)
            return window

        yield open_one
    for window in windows:
        assert window.complaints == []


async def test_a_task_is_paused_resumed_and_triggered_by_keyboard_alone(
    ann: Owner, opens: Opens
) -> None:
    """From signing in to the run, with Tab and Enter; each focus is seen."""
    await ann.register()
    window = await opens()
    page, keyboard = window.page, window.page.keyboard
    await window.open("/tasks/report", 401)
    await expect(page.get_by_label("Token")).to_be_focused()
    await keyboard.type(ann.token)
    await keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Signed in.")
    await window.press_to("Skip to the content")
    await keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await window.press_to("Pause")
    await keyboard.press("Enter")
    await window.press_to("Why")
    await keyboard.type("until the fix")
    await window.press_to("Pause report")
    await keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Paused")
    await expect(page.locator("main")).to_contain_text("until the fix")
    await window.press_to("Resume")
    await keyboard.press("Enter")
    await window.press_to("Resume report")
    await keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Resumed")
    await window.press_to("Trigger")
    await keyboard.press("Enter")
    await window.press_to("Start a run now")
    await keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("A run was started")
    await expect(page).to_have_url(re.compile(r"/console/runs/run/"))


async def test_pages_work_without_scripts_and_who_may_only_look_has_no_buttons(
    console: Stack, ann: Owner, opens: Opens
) -> None:
    """The forms are plain forms."""
    await ann.register()
    window = await opens(java_script_enabled=False)
    await window.sign_in(ann)
    await window.open("/tasks/report")
    await window.page.locator("summary", has_text="Pause").click()
    await window.page.get_by_role("button", name="Pause report").click()
    await expect(window.page.get_by_role("status")).to_contain_text("Paused")
    await window.sign_in(console.owner(ann.tenant, Scope.TASK_READ))
    await window.open("/tasks/report")
    await expect(window.page.locator("h1")).to_contain_text("paused")
    await expect(window.page.get_by_role("button")).to_have_count(1)
    await expect(window.page.get_by_role("button")).to_have_text("Sign out")


async def test_a_link_from_another_site_opens_its_page_for_who_is_signed_in(
    ann: Owner, opens: Opens
) -> None:
    """Such as that of an alert."""
    await ann.register()
    window = await opens(java_script_enabled=False)
    await window.page.context.add_cookies(
        [
            {
                "name": TOKEN,
                "value": ann.token,
                "url": f"{window.url}/console",
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    await window.page.set_content(f'<a href="{window.url}/console/tasks/report">runbook</a>')
    await window.page.get_by_role("link").click()
    await expect(window.page.locator("h1")).to_contain_text("report")


async def test_hostile_text_is_shown_and_never_run(
    console: Stack, ann: Owner, opens: Opens
) -> None:
    """Of a description, of parameters, of a reason, of a plugin's error; in the picture too."""
    said: dict[str, Any] = {"description": MARKUP, "params": {"html": MARKUP}}
    await ann.register(**said, triggers=[{"every": "10m"}])
    console.plugin.answer = FAILURE
    run_id = await ann.ran(status="FAILED")
    window = await opens()
    await window.sign_in(ann)
    await window.open("/tasks/report")
    await window.page.locator("summary", has_text="Pause").click()
    await window.page.get_by_label("Why").fill(MARKUP)
    await window.page.get_by_role("button", name="Pause report").click()
    main = window.page.locator("main")
    await expect(main.locator(".note")).to_contain_text(MARKUP)
    await expect(main.locator(".lead")).to_have_text(MARKUP)
    await expect(main.locator("pre")).to_contain_text(MARKUP)
    assert await main.locator("img, script").count() == 0
    for path in ("", f"/runs/{run_id}", "/tasks/report/runs"):
        await window.open(path)
        await expect(main).to_contain_text(f"no {MARKUP}")
        assert await main.locator("img, script").count() == 0


async def test_pages_fit_a_phone_and_can_be_read_in_light_and_dark(
    ann: Owner, opens: Opens
) -> None:
    """Nothing is wider than the screen, and text differs enough from what is behind it."""
    await ann.register(triggers=[{"every": "10m"}])
    run_id = await ann.ran()
    window = await opens(viewport={"width": 360, "height": 740}, reduced_motion="reduce")
    await window.sign_in(ann)
    for path in ("", "/tasks", "/tasks/report", f"/runs/{run_id}", "/nowhere"):
        await window.open(path, 404 if path == "/nowhere" else 200)
        width = await window.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
        behind = set()
        for scheme in SCHEMES:
            await window.page.emulate_media(color_scheme=scheme)
            behind.add(await window.page.evaluate("getComputedStyle(document.body).background"))
            assert await window.page.evaluate(_LEAST_CONTRAST) >= 4.5, (path, scheme)
        assert len(behind) == 2


async def test_the_overview_refreshes_itself_unless_motion_is_not_wanted(
    ann: Owner, opens: Opens
) -> None:
    """A run shows up without a reload, and a button stops that."""
    await ann.register(triggers=[{"every": "10m"}])
    window = await opens()
    await window.sign_in(ann)
    await window.page.clock.install()
    await window.open()
    button = window.page.get_by_role("button", name="Refresh by itself")
    await expect(button).to_have_attribute("aria-pressed", "true")
    run_id = await ann.ran()
    await window.page.evaluate("document.activeElement.blur()")
    await window.page.clock.fast_forward(15_000)
    link = window.page.locator(f'main a[href="/console/runs/{run_id}"]')
    await expect(link.first).to_be_attached()
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "false")
    await window.page.evaluate("sessionStorage.clear()")
    await window.page.emulate_media(reduced_motion="reduce")
    await window.open(f"/runs/{run_id}")
    await expect(button).to_have_attribute("aria-pressed", "false")


_LEAST_CONTRAST = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const line = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => line(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest("svg") || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
}"""
"""Of all text on the page, as WCAG 2 reckons it; 4.5 is its AA."""
