"""A stack and a real browser for the page."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack, running

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), redis_url, "", "api", "compute", CADMILL_UPLOAD_MAX_FILE_BYTES=2_000_000) as stack:
        yield stack


@pytest.fixture(scope="module")  # while it is open, no other event loop runs in its thread
def browser() -> Iterator[Any]:
    """Debian's Chromium through Playwright's library."""
    program = os.environ.get("CADMILL_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("NO BROWSER: install chromium (Debian: apt-get install chromium), or set CADMILL_CHROMIUM to the program")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


_DROP = """(trees) => {
  const made = ([name, inside]) => typeof inside === "string"
    ? { name, isFile: true, file: (give) => give(new File([Uint8Array.from(atob(inside), (c) => c.charCodeAt(0))], name)) }
    : { name, createReader: () => { const left = inside.map(made); return { readEntries: (give) => give(left.splice(0, 2)) }; } };
  const items = trees.map((tree) => ({ webkitGetAsEntry: () => made(tree) }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new Event(kind, { bubbles: true, cancelable: true });
    Object.defineProperty(event, "dataTransfer", { value: { types: ["Files"], items, files: [] } });
    document.getElementById("upload").dispatchEvent(event);
  }
}"""


def _tree(path: Path) -> list[Any]:
    """A file as its name and content, a folder as its name and what is in it."""
    if path.is_dir():
        return [path.name, [_tree(inner) for inner in sorted(path.iterdir())]]
    return [path.name, base64.b64encode(path.read_bytes()).decode()]


class Visitor:
    """A person with a browser of their own, whose every request, console line and policy violation is watched."""

    def __init__(self, browser: Any, url: str, **how: Any) -> None:
        self.url = url
        self.context = browser.new_context(viewport={"width": 1280, "height": 860}, base_url=url, **how)
        self.context.set_default_timeout(20_000)
        self.elsewhere: list[str] = []
        self.wrong: list[str] = []
        self.context.on("request", self._asked)
        self.context.expose_function("policyViolated", lambda what: self.wrong.append(f"policy: {what}"))
        self.context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => policyViolated(e.violatedDirective + ' ' + e.blockedURI), true)"
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda line: self.wrong.append(f"console: {line.text}") if line.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.elsewhere.append(request.url)

    def sign_in(self, key: str) -> None:
        self.page.goto("/sign-in")
        self.page.fill("#key", key)
        self.page.click("main button")

    def drop(self, *paths: Path) -> None:
        """Let files or folders fall on the page. The event is made by hand, entries of folders included: DevTools' own drag events
        get no answer at times on a busy machine."""
        self.page.evaluate(_DROP, [_tree(path) for path in paths])

    def looks(self) -> None:
        """Nothing went wrong until now, and nothing was asked of anybody else."""
        assert self.elsewhere == []
        assert self.wrong == []


@pytest.fixture(scope="module")
def visitor(browser: Any, stack: Stack) -> Iterator[Visitor]:
    """Signed in as the first tenant."""
    visitor = Visitor(browser, stack.url)
    visitor.sign_in(stack.key)
    visitor.page.wait_for_selector("#upload")
    yield visitor
    visitor.context.close()
