"""Draw the pictures of docs/page.md: `python -m tests.pages.screenshots`. Starts a stack of its own and ends it."""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.pages.conftest import FLAGS, Visitor
from tests.stack import ROOT, SAMPLES, RedisServer, running, wait_until

OUT = ROOT / "docs" / "page"


def files() -> list[Path]:
    good = [path for folder in ("dxf", "step", "iges", "stl") for path in sorted((SAMPLES / folder).iterdir())]
    return [*good, SAMPLES / "bad" / "self_insert.dxf", SAMPLES / "bad" / "truncated.dxf"]


def keep(page: Any, name: str) -> None:
    """A picture of 256 colours: half the bytes, and nobody sees the difference."""
    seen = "[...document.images].every((i) => i.complete || i.getBoundingClientRect().top > innerHeight)"
    wait_until(lambda: page.evaluate(seen), pause=0.3)  # the page's policy forbids what Playwright would wait with
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(OUT / f"{name}.png", optimize=True)
    print(f"{name}.png  {(OUT / f'{name}.png').stat().st_size // 1000} kB")


def draw(browser: Any, url: str, key: str) -> None:
    visitor = Visitor(browser, url)
    visitor.context.set_default_timeout(120_000)
    page = visitor.page
    page.set_viewport_size({"width": 1440, "height": 900})
    visitor.sign_in(key)
    page.wait_for_selector("#upload")
    page.fill("#labels", "project=alpha")
    page.set_input_files("#upload input[name=files]", [str(path) for path in files()])
    page.wait_for_url(re.compile("/jobs/job_"))
    wait_until(lambda: page.locator(".counts b").first.inner_text() != "0", pause=0.3)
    keep(page, "progress")
    page.wait_for_selector("#job:not([hx-get])")
    page.click(".tabs a:has-text('failed')")
    keep(page, "errors-of-a-job")
    page.goto("/parts?q=plate_holes")
    page.click(".card")
    keep(page, "part")
    page.goto("/parts?q=ae.r2000a")
    page.click(".card")
    page.click("text=Find similar parts")
    page.wait_for_selector("#hits:not([hx-get]) .pair")
    keep(page, "similar")
    page.goto("/duplicates")
    page.click("text=Compare all parts")
    page.wait_for_selector(".group")
    keep(page, "duplicates")
    page.goto("/parts")
    keep(page, "parts")
    page.goto("/")
    keep(page, "home")
    visitor.context.add_cookies([{"name": "cadmill_theme", "value": "dark", "url": url}])
    for path, name in (("/parts", "parts-dark"), ("/duplicates", "duplicates-dark")):
        page.goto(path)
        keep(page, name)
    page.set_viewport_size({"width": 360, "height": 740})
    for path, name in (("/", "home-phone"), ("/duplicates", "duplicates-phone")):
        page.goto(path)
        keep(page, name)
    visitor.looks()


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cadmill-") as place:
        redis = RedisServer(Path(place) / "redis").start()
        try:
            with running(Path(place) / "stack", redis.url, "", "api", "compute") as stack, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
                draw(browser, stack.url, stack.key)
                browser.close()
        finally:
            redis.kill()
