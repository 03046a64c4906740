"""What is always on is light: importing it loads no heavy library, and `--help` is quick."""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import subprocess
import sys

HEAVY = (
    "torch", "transformers", "peft", "sentence_transformers", "faiss", "llama_cpp", "gguf",
    "numpy", "pandas", "nightschool.lab", "nightschool.cycle", "nightschool.intake",
    "nightschool.syllabus", "nightschool.diary", "nightschool.engine", "nightschool.agent",
    "nightschool.train", "nightschool.index", "nightschool.ingest", "nightschool.pairs",
    "nightschool.evaluate",
)  # fmt: skip
LIGHT = (
    "api", "children", "cli", "clock", "config", "daemon", "device", "errors", "examples",
    "paths", "ports", "records", "registry", "report", "serve", "sources", "store", "tray",
)  # fmt: skip
SCRIPTS = {"nightschool.examples.make_pdfs"}
"""Run by hand with tools of their own."""
_PROBE = """
import importlib, json, sys
heavy, found = set(json.loads(sys.argv[2])), {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    loaded = sorted(heavy & set(sys.modules))
    if loaded:
        found[name] = loaded
        break
print(json.dumps(found))
"""
HELP_S = 0.5


def modules() -> list[str]:
    """Every light module by name, packages before what is in them."""
    found = ["nightschool", "nightschool.models.catalogue"]
    for name in LIGHT:
        full = f"nightschool.{name}"
        spec = importlib.util.find_spec(full)
        if spec is None or spec.origin is None:
            continue
        found.append(full)
        places = spec.submodule_search_locations or ()
        found += [item.name for item in pkgutil.walk_packages(places, f"{full}.")]
    return [name for name in found if name not in SCRIPTS]


def test_importing_the_light_modules_loads_nothing_heavy() -> None:
    names = modules()
    assert "nightschool.cli.main" in names
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(names), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout) == {}


def test_the_probe_sees_a_heavy_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(["numpy"]), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == {"numpy": ["numpy"]}


def test_help_costs_less_than_half_a_second_of_a_core() -> None:
    """Processor time, the best of three: what else runs on the machine must not decide.

    0.13 s on an idle machine, where the wall shows 0.2 s.
    """
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "nightschool", "--help"],
            capture_output=True,
            timeout=60,
            check=True,
        )
        after = os.times()
        spent.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    assert min(spent) <= HELP_S
