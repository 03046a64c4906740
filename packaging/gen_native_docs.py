"""Writes docs/native.md from the table of verbs and routes. Run it after changing either.

.venv/bin/python packaging/gen_native_docs.py
"""

from __future__ import annotations

from pathlib import Path

from nightschool.serve import verbs
from nightschool.serve.native import OPERATIONS

TARGET = Path(__file__).resolve().parents[1] / "docs" / "native.md"
HEAD = """# The native routes: everything the command does

Made from `serve/verbs.py` and `serve/native.py` by `packaging/gen_native_docs.py`; a test keeps
them in step with the command. Fields and shapes are at `/ns/openapi.json`; the guard, errors and
streams are those of [http.md](http.md).

**Jobs.** What answers 202 with a `number` (and is not `learn`, `refresh` or `stop`) is a job: the
command itself with `--json`, in a process of its own, one at a time (409 while another one runs).
`GET /ns/job?number=N` says its `state` (running, done, failed, cancelled), its `progress`
(`stage`, `done`, `total`), then the command's own JSON as `result`, or its `error` in the shape
of all errors. `exit_code` 1 with a result means that something was found wanting (`doctor`,
`eval`). `POST /ns/job/cancel` ends it as Ctrl-C would. The newest 20 are remembered until the
service ends.

**Settings.** `POST /ns/config` writes the file that `config set` writes, and the service takes it
in at once. Settings of the door itself (`serve.*`: port, origins, socket) are refused: who has
come in must not be able to open the door further.

"""


def render() -> str:
    """The whole page."""
    rows = ["", "| route | operation | what it does |", "|---|---|---|"]
    rows += [f"| {o.method} `{o.path}` | `{o.name}` | {o.about} |" for o in OPERATIONS]
    rows += [
        "| POST `/ns/ask` | `ask` | Answer a question from your files. |",
        "| GET `/ns/runs/{number}` | `run` | One night with its score card. |",
        "| GET `/ns/receipts/{number}` | `receipt` | What was forgotten, and what that did. |",
    ]
    return HEAD + verbs.page() + "\n".join(rows) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
