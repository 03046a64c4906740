"""garak itself against a served home: installed apart, its own probes, its own detectors.

It lives in `.rivals/garak`, a virtual environment that may be deleted at any time and that sees the
packages of the one that runs the benchmark (torch above all, which is not installed twice). Only
what the probes below import is installed: the clients of other people's services, which make up
most of what garak asks for, are left out. What it keeps goes into a folder of the caller.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_report import Report

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".rivals" / "garak"
VERSION = "0.17.1"
NEEDS = ("mikeshardmind-base2048", "colorama", "backoff", "nltk", "avidtools==0.1.2", "stdlibs",
         "cmd2==2.4.3", "markdown", "zalgolib", "ecoji", "jsonpath-ng", "python-magic",
         "lorem==0.1.1", "xdg-base-dirs", "wn==0.9.5", "langdetect==1.0.9", "tiktoken", "ftfy",
         "websockets", "py-markdown-table", "pyperclip", "wcwidth", "attrs", "aiohttp",
         "aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl",
         "six")  # fmt: skip
PROBES = ("promptinject.HijackHateHumans", "promptinject.HijackLongPrompt",
          "latentinjection.LatentInjectionReport", "latentinjection.LatentInjectionResume",
          "encoding.InjectBase64", "encoding.InjectROT13", "ansiescape.AnsiEscaped",
          "ansiescape.AnsiRaw", "web_injection.MarkdownImageExfil", "web_injection.TaskXSS",
          "apikey.GetKey", "apikey.CompleteKey", "leakreplay.LiteratureCloze",
          "exploitation.SQLInjectionEcho", "exploitation.JinjaTemplatePythonInjection",
          "divergence.Repeat", "dan.DAN_Jailbreak")  # fmt: skip
"""Those whose prompts come with garak and whose detectors look for strings."""
INSTALL_S, SCAN_S = 900, 7200
Scan = dict[tuple[str, str], tuple[int, int]]
"""By probe and detector: hits, and answers that were judged."""


class Absent(Exception):
    """garak could not be installed or did not run here; its text is the reason."""


def python() -> Path:
    """The environment's interpreter; it need not exist yet."""
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(report: Report) -> None:
    """Install what is missing. Raises Absent with pip's reason."""
    told = FOLDER / "installed.txt"
    if told.exists():
        return
    if not python().exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    theirs = next(FOLDER.rglob("site-packages"))
    (theirs / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    report.say(f"installing garak {VERSION}")
    command = [
        str(python()),
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        f"garak=={VERSION}",
        *NEEDS,
    ]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Absent(f"it was not installed within {INSTALL_S} s") from None
    if made.returncode:
        lines = [line for line in made.stderr.splitlines() if line.startswith("ERROR")]
        raise Absent(f"it could not be installed: {' '.join(lines[-2:])[:300]}")
    told.write_text(VERSION)


def scan(
    url: str, token: str, model: str, place: Path, most: int, probes: Sequence[str] = PROBES
) -> Scan:
    """What garak finds of one model behind the OpenAI door: `most` prompts a probe, one answer
    each, greedy. Finished scans in `place` are read. Raises Absent with garak's own words."""
    name = re.sub(r"\W+", "-", model)
    done = place / f"{name}.report.jsonl"
    if not done.exists():
        _run(url, token, model, place, name, most, probes)
        found = next(place.rglob(f"running-{name}.report.jsonl"), None)
        if found is None:
            raise Absent("it left no report")
        found.replace(done)
    return dict(_findings(done))


def _run(
    url: str, token: str, model: str, place: Path, name: str, most: int, probes: Sequence[str]
) -> None:
    generator = {
        "uri": f"{url}/v1/", "max_tokens": 60, "temperature": 0.0, "seed": 1,
        "stop": None,  # its default ends an answer at the first `#` or `;`
        "suppressed_params": ["n", "timeout", "top_p", "frequency_penalty", "presence_penalty"],
    }  # fmt: skip
    settings: dict[str, Any] = {
        "system": {"lite": True, "parallel_attempts": False, "max_workers": 1},
        "run": {"generations": 1, "soft_probe_prompt_cap": most, "seed": 1,
                "spec": {"include": [f"probes.{probe}" for probe in probes]}},
        "plugins": {
            "extended_detectors": False,  # they need a judge, or count what a small model is not
            "target_type": "openai.OpenAICompatible", "target_name": model,
            "generators": {"openai": {"OpenAICompatible": generator}},
        },
        "reporting": {"report_dir": str(place), "report_prefix": f"running-{name}"},
    }  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    config = place / f"{name}.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    homes = {f"XDG_{kind}_HOME": str(place / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE")}
    told = place / f"{name}.log"
    environment = {**os.environ, **homes, "OPENAICOMPATIBLE_API_KEY": token, "HF_HUB_OFFLINE": "1"}
    with told.open("w") as log:
        try:
            ended = subprocess.run(
                [str(python()), "-m", "garak", "--config", str(config)],
                env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=SCAN_S, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Absent(f"it had not ended after {SCAN_S} s") from None
    if ended:
        last = told.read_text(errors="replace").strip().splitlines()[-1:]
        raise Absent(f"it ended with {ended}: {' '.join(last)[:300]}")


def _findings(path: Path) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("entry_type") == "eval" and entry["total_evaluated"]:
            key = entry["probe"], entry["detector"].removeprefix("detector.")
            yield key, (int(entry["fails"]), int(entry["total_evaluated"]))
