"""Take the picture of the studio for the README, with drawings in place of photos.

.venv/bin/triptych serve --committee lite --port 5000
.venv/bin/python tools/take_screenshots.py http://127.0.0.1:5000/
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Ask about two drawings and write docs/images/studio.png."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        subprocess.run([sys.executable, ROOT / "tests" / "drawings.py", folder], check=True)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.goto(sys.argv[1])
        names = ("analog clock.png", "umbrella.png")
        page.set_input_files("input[type=file]", [Path(folder) / name for name in names])
        page.locator("button[type=submit]").first.click()
        page.get_by_text("umbrella").last.wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=ROOT / "docs" / "images" / "studio.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
