"""A chat front end, unmodified, in a real browser against a running service: Open WebUI.

python tests/bench/front_end.py --venv DIR [--quick] [--shot PICTURE.png]

DIR is a virtual environment with the packages open-webui and playwright (apart from ours: they pin
hundreds of others); Chromium comes from the system. Open WebUI lists our models, embeds with them,
and a person's clicks and keys ask a question of the files and read the answer with its source.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402
from local_server import answering  # noqa: E402
from service_harness import Service, copy_vault, free_port, service  # noqa: E402

START_S = 300.0
QUESTIONS = (
    ("When was the boiler serviced?", "6 March 2025"),
    ("Who does the paperwork for the heating engineer?", ""),
)
DRIVE = """
import json, sys
from playwright.sync_api import sync_playwright
url, browser, shot, questions = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
found = {"answers": [], "models": [], "errors": []}
with sync_playwright() as p:
    opened = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    page = opened.new_page(viewport={"width": 1280, "height": 900})
    page.on("pageerror", lambda error: found["errors"].append(str(error)[:200]))
    page.goto(url, timeout=120000)
    page.wait_for_selector("#chat-input", timeout=120000)
    for words in ("Okay, Let's Go!", "Okay", "Got it"):
        button = page.get_by_role("button", name=words)
        if button.count():
            button.first.click()
            break
    page.get_by_role("button", name="Select a model").or_(
        page.locator("[id^=model-selector]")).first.click()
    page.wait_for_timeout(1000)
    found["models"] = page.get_by_role("option").all_inner_texts() or page.locator(
        "[aria-label=model-item]").all_inner_texts() or page.locator(
        "button[data-value]").all_inner_texts()
    page.keyboard.press("Escape")
    for number, question in enumerate(questions):
        page.click("#chat-input")
        page.keyboard.type(question, delay=5)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "n => document.querySelectorAll('.chat-assistant').length > n", arg=number,
            timeout=120000)
        page.wait_for_function(
            "n => { const t = document.querySelectorAll('.chat-assistant')[n].innerText;"
            " return /\\\\[1\\\\]|know|words|Error|error|refus/.test(t) && t.length > 8; }",
            arg=number, timeout=120000)
        page.wait_for_timeout(1500)
        found["answers"].append(page.locator(".chat-assistant").nth(number).inner_text())
    if shot:
        page.screenshot(path=shot)
    found["images"] = page.eval_on_selector_all(
        ".chat-assistant img", "all => all.map(one => one.src)")
    opened.close()
print(json.dumps(found))
"""


@contextlib.contextmanager
def webui(venv: Path, door: Service, data: Path) -> Iterator[str]:
    """Open WebUI's address, set up to know our service alone and to call nobody else."""
    port = free_port()
    settings = {
        **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
        "DATA_DIR": str(data), "WEBUI_AUTH": "False", "WEBUI_SECRET_KEY": "bench",
        "OPENAI_API_BASE_URLS": f"{door.url}/v1", "OPENAI_API_KEYS": door.token,
        "ENABLE_OLLAMA_API": "False", "DEFAULT_MODELS": "nightschool",
        "RAG_EMBEDDING_ENGINE": "openai", "RAG_OPENAI_API_BASE_URL": f"{door.url}/v1",
        "RAG_OPENAI_API_KEY": door.token, "RAG_EMBEDDING_MODEL": "nightschool",
        "OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "ENABLE_VERSION_UPDATE_CHECK": "False",
        "ENABLE_TITLE_GENERATION": "False", "ENABLE_TAGS_GENERATION": "False",
        "ENABLE_FOLLOW_UP_GENERATION": "False", "ENABLE_AUTOCOMPLETE_GENERATION": "False",
        "ANONYMIZED_TELEMETRY": "False", "DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true",
    }  # fmt: skip
    log = (data / "webui.log").open("wb")
    process = subprocess.Popen(
        [str(venv / "bin" / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port)],
        env=settings, cwd=data, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip

    def said() -> str:
        return (data / "webui.log").read_text(errors="replace")[-3000:]

    with (
        log,
        answering(process, port, "/health", seconds=START_S, name="Open WebUI", last_words=said),
    ):
        yield f"http://127.0.0.1:{port}"


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--venv", type=Path, required=True, help="has open-webui and playwright")
    parser.add_argument("--shot", default="", help="where to put a picture of the page")
    options = parser.parse_args()
    report = Report(options.quick)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "no Chromium here"
    questions = QUESTIONS[:1] if options.quick else QUESTIONS
    with service() as door, tempfile.TemporaryDirectory() as folder:
        door.watch(copy_vault(Path(folder)))
        data = Path(folder) / "webui"
        data.mkdir()
        with webui(options.venv, door, data) as url:
            report.say(f"Open WebUI serves {url}")
            done = subprocess.run(
                [str(options.venv / "bin" / "python"), "-c", DRIVE, url, browser, options.shot,
                 json.dumps([question for question, _ in questions])],
                capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            log = (data / "webui.log").read_text(errors="replace")
            assert done.returncode == 0, done.stderr[-2500:] + log[-1500:]
        found = json.loads(done.stdout.splitlines()[-1])
    report.say(f"models shown: {found['models']}; page errors: {found['errors']}")
    for answer in found["answers"]:
        report.say(f"answer on the page: {answer!r}")
    listed = " ".join(found["models"])
    report.at_least("models_listed", float("nightschool" in listed), 1, len(found["models"]))
    right = sum(
        want in answer and "[1]" in answer
        for answer, (_, want) in zip(found["answers"], questions, strict=True)
    )
    report.exactly("answers_with_their_source_on_the_page", right, len(questions), len(questions))
    away = [src for src in found["images"] if not src.startswith((url, "data:", "blob:"))]
    report.exactly("foreign_images_in_answers", len(away), 0, len(found["images"]))
    report.finish()


if __name__ == "__main__":
    main()
