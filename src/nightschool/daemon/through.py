"""The command's door while the service runs: the same verbs, done by the service.

So no second engine is loaded, no second night can start, and what one of them changes the other
sees at once. What is only read comes from the database, which both share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from nightschool.api import Night, Nightschool
from nightschool.daemon.client import Client
from nightschool.errors import Interrupted, SourceError, by_code
from nightschool.ports import Progress, silent
from nightschool.records import Answer, FileStatus, Hit, Outcome, Root, Scorecard, Verdict, Version

LOOK_S = 0.2
"""Seconds between two looks at how far the service is with reading files."""
LOOK_NIGHT_S = 1.0


class ThroughService(Nightschool):
    """One home whose service runs. Raises the service's own errors, ChildError when it has gone."""

    def __init__(self, home: str | os.PathLike[str] | None, service: Client) -> None:
        super().__init__(home)
        self._service = service

    # -- folders and files ----------------------------------------------------------------------

    def watch(
        self, folder: str | os.PathLike[str], *, learn: bool = True, progress: Progress = silent
    ) -> dict[str, Any]:
        """Watch `folder`; returns when the service has read it all: its files by status."""
        path = self.folder(folder)
        self._service.post("/ns/watch", {"path": str(path), "learn": learn})
        return self._settled(str(path), progress)

    def unwatch(self, folder: str | os.PathLike[str]) -> Root:
        root = self.root(folder)
        self._service.post("/ns/unwatch", {"path": root.path})
        return root

    def refresh(self, progress: Progress = silent) -> list[dict[str, Any]]:
        """Let the service compare every folder now; their files by status."""
        self._need_roots()
        self._service.post("/ns/refresh")
        reports: list[dict[str, Any]] = []
        failed: SourceError | None = None
        for root in self.roots():
            try:
                reports.append(self._settled(root.path, progress))
            except SourceError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return reports

    def _settled(self, path: str, progress: Progress) -> dict[str, Any]:
        """Wait until the service has read a folder. Raises SourceError when it cannot."""
        while True:
            found = self._service.get("/ns/status")["watching"]
            root = next((item for item in found["roots"] if item["path"] == path), None)
            if root is None:
                raise SourceError(f"{path} is not watched any more.", "Add it again.")
            if root["state"] in ("problem", "missing"):
                raise SourceError(root["reason"] or f"{path} is missing.", "")
            if not root["busy"]:
                break
            if found["progress"]:
                at = found["progress"]
                progress(str(at["stage"]), int(at.get("done", 0)), int(at.get("total", 0)))
            time.sleep(LOOK_S)
        counts = {status.value: 0 for status in FileStatus}
        for item in self.files(path):
            counts[item.status.value] += 1
        return {"root": path, **counts}

    # -- answers --------------------------------------------------------------------------------

    def search(
        self, query: str, k: int = 8, *, rerank: str = "", progress: Progress = silent
    ) -> list[Hit]:
        body = {"query": query, "k": k} | ({"rerank": rerank} if rerank else {})
        found = self._service.post("/ns/search", body)["hits"]
        return [Hit.of({name: item[name] for name in item if name != "place"}) for item in found]

    def ask(
        self,
        question: str,
        *,
        version: int | None = None,
        mode: str = "auto",
        on_text: Callable[[str], None] | None = None,
        progress: Progress = silent,
    ) -> Answer:
        body: dict[str, Any] = {"question": question, "mode": mode, "stream": True}
        if version is not None:
            body["version"] = version
        result: dict[str, Any] = {}
        for message in self._service.stream("/ns/ask", body):
            if on_text is not None and "delta" in message:
                on_text(message["delta"])
            if "result" in message:
                result = message["result"]
        return Answer.of(result)

    # -- nights and versions --------------------------------------------------------------------

    def learn(
        self,
        *,
        dry_run: bool = False,
        seed: int | None = None,
        minutes: float | None = None,
        recipe: str | None = None,
        progress: Progress = silent,
        on_note: Callable[[str], None] | None = None,
    ) -> Night:
        """One night in the service. Leaving early leaves it running; a dry run is done here."""
        if dry_run:
            return super().learn(
                dry_run=True,
                seed=seed,
                minutes=minutes,
                recipe=recipe,
                progress=progress,
                on_note=on_note,
            )
        self.check_minutes(minutes)
        wishes = {"seed": seed, "minutes": minutes, "recipe": recipe}
        self._service.post("/ns/learn", {k: v for k, v in wishes.items() if v is not None})
        try:
            return self._follow(progress)
        except KeyboardInterrupt:
            raise Interrupted(
                "The night goes on in the service.",
                "See `nightschool status`; `nightschool stop` ends both, and the next start "
                "resumes it.",
            ) from None

    def _follow(self, progress: Progress) -> Night:
        while (night := self._service.get("/ns/status")["night"])["state"] == "running":
            at = night["progress"] or {}
            progress(str(at.get("stage", "")), int(at.get("done") or 0), int(at.get("total") or 0))
            time.sleep(LOOK_NIGHT_S)
        last = night["last"]
        if last.get("error"):
            raise by_code(last["error"], last["message"], last.get("remedy", ""))
        card = self.run(last["run_id"]).scorecard if last.get("run_id") else None
        return Night(
            run_id=int(last.get("run_id") or 0),
            outcome=Outcome(last["outcome"]),
            message=str(last.get("message", "")),
            verdict=Verdict(last["verdict"]) if last.get("verdict") else None,
            version=last.get("version"),
            scorecard=Scorecard.of(card) if card else None,
            facts=int(last.get("facts") or 0),
            available=int(last.get("available") or 0),
            pairs=last.get("pairs"),
        )

    def allow_nights(self, yes: bool) -> None:
        self._service.post("/ns/nights", {"allowed": yes})

    def use(self, number: int) -> Version:
        return Version(**self._service.post("/ns/use", {"version": number}))

    def rollback(self) -> Version:
        return Version(**self._service.post("/ns/rollback"))
