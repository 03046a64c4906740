"""The Python door: the same verbs as the command, in this process.

    from nightschool import Nightschool

    with Nightschool() as school:
        school.watch("~/Notes")
        print(school.ask("When is the boiler serviced?").text)
        school.learn()

Light: the heavy work happens in children that are started when needed and ended on `close`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nightschool import config, paths
from nightschool.children.child import Child
from nightschool.errors import Interrupted, NotFound, Refused, SourceError, UsageError
from nightschool.models import abilities, catalogue, sitting
from nightschool.models.abilities import Abilities
from nightschool.models.catalogue import ModelInfo
from nightschool.night import Night
from nightschool.ports import Progress, silent
from nightschool.records import (
    Answer,
    Chunk,
    Document,
    FactItem,
    Feedback,
    FileStatus,
    Hit,
    Pair,
    PairKind,
    Receipt,
    Root,
    Run,
    Split,
    Version,
)
from nightschool.registry import erase, forget, moving, pointer, versions
from nightschool.registry.request import Forgetting, request
from nightschool.report import shelf
from nightschool.sources import kinds
from nightschool.sources.roots import require_folder
from nightschool.store import documents, feedback, pairs, receipts, review, runs, schedule
from nightschool.store.db import Store, open_store

ENGINE = "nightschool.engine.main"
INTAKE = "nightschool.intake"
LEARNER = "nightschool.cycle"
LEARNER_NICE = 5
CHECKPOINT_S = 12.0
"""Seconds the learner gets to write its checkpoint before it is ended."""

__all__ = ["Night", "Nightschool"]


class Nightschool:
    """One home: its folders, answers, nights and versions.

    `home` overrides `NIGHTSCHOOL_HOME` and the platform's data directory; `model` names the base
    model instead of the chosen one. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        model: str = "",
        settings: config.Config | None = None,
    ) -> None:
        self.home = moving.opened(paths.home(home))
        self.settings = settings or config.load(self.home.config)
        self._model = model or self.settings.model
        self.store: Store = open_store(self.home.database)
        self._engine: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children and close the database. Idempotent."""
        self.rest()
        self.store.close()

    def rest(self) -> None:
        """End the engine, which gives the model's memory back; the next question starts it."""
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    # -- folders and files ----------------------------------------------------------------------

    def watch(
        self, folder: str | os.PathLike[str], *, learn: bool = True, progress: Progress = silent
    ) -> dict[str, Any]:
        """Watch `folder` and index it now. `learn=False` means search only, never learn.

        Returns the intake's report (see `intake.IntakeReport`). Raises NotFound when there is no
        such folder, SourceError when it cannot be read, and then changes nothing.
        """
        path = self.folder(folder)
        source = kinds.recognise(path).name
        root = documents.add_root(self.store, str(path), learn=learn, source=source)
        return self._take_in(root, progress)

    def folder(self, given: str | os.PathLike[str]) -> Path:
        """The folder to watch, resolved. Raises NotFound, UsageError or SourceError."""
        return require_folder(given, self.home)

    def unwatch(self, folder: str | os.PathLike[str]) -> Root:
        """Stop watching; its files leave index and practice at once. Raises NotFound."""
        root = self.root(folder)
        documents.remove_root(self.store, root.id)
        return root

    def root(self, folder: str | os.PathLike[str]) -> Root:
        """The watched folder at this path (or with this id). Raises NotFound."""
        given = Path(folder).expanduser().absolute()
        for root in self.roots():
            if root.path in (str(given), str(given.resolve())) or str(root.id) == str(folder):
                return root
        known = ", ".join(root.path for root in self.roots()) or "none"
        raise NotFound(f"{folder} is not watched.", f"Watched folders: {known}.")

    def roots(self) -> list[Root]:
        """The watched folders, oldest first."""
        return documents.roots(self.store)

    def refresh(self, progress: Progress = silent) -> list[dict[str, Any]]:
        """Compare every watched folder with the index and take in what changed.

        One report a folder. Folders that are missing do not stop the others: the first such
        SourceError is raised after all were tried.
        """
        self._need_roots()
        reports: list[dict[str, Any]] = []
        failed: SourceError | None = None
        for root in self.roots():
            try:
                reports.append(self._take_in(root, progress))
            except SourceError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return reports

    def files(
        self,
        folder: str | os.PathLike[str] | None = None,
        status: FileStatus | str | None = None,
    ) -> list[Document]:
        """Where each file stands, and why, by path."""
        root_id = None if folder is None else self.root(folder).id
        found = documents.documents(self.store, root_id)
        if status is None:
            return found
        if status not in list(FileStatus):
            raise UsageError(f"{status!r} is no file status.", f"One of: {', '.join(FileStatus)}.")
        return [item for item in found if item.status == status]

    # -- forgetting -----------------------------------------------------------------------------

    def forget(self, what: str, *, confirmed: bool = False, dry_run: bool = False) -> Forgetting:
        """Forget a file (path, `#12`); when `confirmed`, a folder or all files that hold words.

        The receipt says what went and until when it can be undone. Raises NotFound.
        """
        rules = self.settings.forget
        return request(self.home, self.store, what, rules, confirmed=confirmed, dry_run=dry_run)

    def undo(self, number: int, *, progress: Progress = silent) -> Receipt:
        """Take a `forget` back within its grace period, and read its files again."""
        receipt = forget.undo(self.home, self.store, number)
        self.refresh(progress)
        return receipt

    def receipts(self, limit: int = 100) -> list[Receipt]:
        """What was forgotten or deleted, newest first."""
        return receipts.receipts(self.store, limit)

    def vacuum(self, *, now: bool = False) -> erase.Vacuum:
        """Leave no bytes of what was forgotten; `now` does not wait for the grace periods."""
        return erase.vacuum(self.home, self.store, now=now)

    # -- answers --------------------------------------------------------------------------------

    def search(
        self, query: str, k: int = 8, *, rerank: str = "", progress: Progress = silent
    ) -> list[Hit]:
        """The best `k` passages for `query`, best first.

        `rerank` names what orders them, in the place of the setting `search.rerank`. Raises
        UsageError, NotFound or ModelError when that cannot be had.
        """
        self._need_index(progress)
        wish = self.settings.search.wish(rerank)
        found = self.engine().call("search", {"query": query, "k": k, **wish})
        return [Hit.of(item) for item in found]

    def ask(
        self,
        question: str,
        *,
        version: int | None = None,
        mode: str = "auto",
        on_text: Callable[[str], None] | None = None,
        progress: Progress = silent,
    ) -> Answer:
        """Answer with citations from the watched folders; `mode="raw"` asks the weights alone.

        `version` answers as another version than the served one (0 = the base). `on_text` gets the
        answer piece by piece.
        """
        if mode not in ("auto", "raw"):
            raise UsageError(f"{mode!r} is no mode.", "Use auto or raw.")
        if mode == "auto":
            self._need_index(progress)
        params: dict[str, Any] = {"question": question, "mode": mode}
        if version is not None:
            params["version"] = version
        result: dict[str, Any] = {}
        for message in self.engine().stream("ask", params):
            if on_text is not None and "delta" in message.get("event", {}):
                on_text(message["event"]["delta"])
            if "result" in message:
                result = message["result"]
        return Answer.of(result)

    def engine(self) -> Child:
        """The engine child, started at the first question."""
        if self._engine is None or not self._engine.alive:
            child = self._start(ENGINE, "engine.log")
            child.wait_ready()
            self._engine = child
        return self._engine

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
        """One night now: practise, examine, and promote, hold or reject.

        `minutes` bounds the training itself (exams come on top), `recipe` says how to train
        (default: `learn.recipe`). `dry_run` plans and counts, and changes nothing. Raises
        TooLittle when there is too little to learn or to examine.
        """
        self.check_minutes(minutes)
        self._need_index(progress)
        given = {"seed": seed, "recipe": recipe}
        plan: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if minutes is not None:
            plan["budget_s"] = minutes * 60.0
        self.rest()
        child = self._start(LEARNER, "learner.log", nice=LEARNER_NICE)
        try:
            child.wait_ready()
            result: dict[str, Any] = {}
            for message in child.stream("learn", {"plan": plan, "dry_run": dry_run}):
                _report(message, progress, on_note)
                if "result" in message:
                    result = message["result"]
        except KeyboardInterrupt:
            raise Interrupted(
                "The night was interrupted.", "`nightschool learn` goes on where it stopped."
            ) from None
        finally:
            child.stop(CHECKPOINT_S)
        return Night.of(result)

    @staticmethod
    def check_minutes(minutes: float | None) -> None:
        """Raises UsageError when a night of so many minutes makes no sense."""
        if minutes is not None and minutes <= 0:
            raise UsageError("A night of no minutes teaches nothing.", "Give --minutes above 0.")

    def nights_allowed(self) -> bool:
        """Whether the service may start nights by itself."""
        setting = self.settings.learn.automatic
        return setting == "yes" or (setting == "ask" and schedule.allowed(self.store))

    def allow_nights(self, yes: bool) -> None:
        """Say whether the service may start nights. Raises Refused when the settings say it."""
        setting = self.settings.learn.automatic
        if setting != "ask":
            raise Refused(
                f"The settings decide that: learn.automatic is {setting!r}.",
                f'Set it to "ask" in {self.home.config}, or remove it.',
            )
        schedule.allow(self.store, yes)

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest nights first."""
        return runs.runs(self.store, limit)

    def run(self, number: int) -> Run:
        """One night with its plan and score card. Raises NotFound."""
        found = runs.run(self.store, number)
        if found is None:
            raise NotFound(f"There is no night {number}.", "See `nightschool runs`.")
        return found

    def report(self, number: int | None = None) -> tuple[Path, dict[str, Any]]:
        """The page of a night (without a number: of the newest), made now where it is missing, and
        all that it says. 0 is the last night that ended before it began. Raises NotFound."""
        chosen = shelf.newest(self.store) if number is None else number
        return shelf.look(self.home, self.store, chosen)

    def versions(self) -> list[Version]:
        """All versions, newest first, the base (0) last; the served one is `current`."""
        return versions.describe(self.home, self.store)

    def use(self, number: int) -> Version:
        """Serve version `number` (0 = the base) from the next question on."""
        base = self.model()
        return versions.use(self.home, self.store, number, base_sha=base.sha256)

    def rollback(self) -> Version:
        """Serve what was served before. Raises Refused when there is nothing to go back to."""
        return versions.rollback(self.home, self.store)

    # -- models ---------------------------------------------------------------------------------

    def model(self, name: str = "") -> ModelInfo:
        """The base model called `name`, or the one in use."""
        return catalogue.resolve(self.home, self.store, name or self._model)

    def models(self) -> list[ModelInfo]:
        """All base models that are known here."""
        return catalogue.models(self.home, self.store)

    def add_model(
        self, source: str, *, name: str = "", copy: bool = False, progress: Progress = silent
    ) -> ModelInfo:
        """Add a GGUF file, `ollama:NAME`, `lmstudio:PATH` or `hf:OWNER/REPO[/FILE]`."""
        return catalogue.add(self.home, self.store, source, name=name, copy=copy, progress=progress)

    def use_model(self, name: str) -> ModelInfo:
        """Make `name` the base model. Adapters of another base are not served on it."""
        if self.settings.model:
            raise Refused(
                f"The settings fix the base model to {self.settings.model!r}.",
                f"Remove `model` from {self.home.config} or NIGHTSCHOOL_MODEL first.",
            )
        self.rest()
        return catalogue.use(self.home, self.store, name)

    def abilities(self, name: str = "") -> Abilities:
        """What the exam found for a base model; the cautious default before it was sat."""
        return abilities.load(self.store, self.model(name).sha256)

    def examine(self, name: str = "", progress: Progress = silent) -> Abilities:
        """Set a base model's exam: whether it reads, abstains and chats. Minutes for a large one.

        Until then the reader leads its answers. Raises ModelError when it cannot be loaded.
        """
        threads = self.settings.engine.threads
        info = self.model(name)
        return sitting.sit(self.home, self.store, info, threads=threads, progress=progress)

    # -- practice -------------------------------------------------------------------------------

    def pairs(self, split: Split | None = None, kind: PairKind | None = None) -> list[Pair]:
        """The practice pairs that are written, by id."""
        return pairs.all_pairs(self.store, split=split, kind=kind)

    def facts(self, status: str = "", limit: int = 1000) -> list[FactItem]:
        """The review queue: facts with their status, those that wait first."""
        return review.facts(self.store, status, limit)

    def decide(self, ids: Iterable[int], status: str) -> list[FactItem]:
        """The facts of these pairs are `approved`, or `rejected` (also when read again)."""
        return review.decide(self.store, list(ids), status)

    def edit(self, number: int, *, question: str = "", answer: str = "") -> FactItem:
        """Reword a pair, or mend its fact's answer with words of the passage; approves it."""
        return review.edit(self.store, number, question=question, answer=answer)

    def feedback(self, answer: str, verdict: str, correction: str = "") -> Feedback:
        """Judge an answer (`Answer.id`): `up`, `down`, or `correct` with the right one."""
        return feedback.give(self.store, answer, verdict, correction)

    def judged(self) -> list[Feedback]:
        """What was said of answers, newest first."""
        return feedback.given(self.store)

    def passages(self, ids: Iterable[int]) -> dict[int, Chunk]:
        """Passages by id, as citations name them."""
        return documents.chunks(self.store, ids)

    # -- overview -------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Counts, what is served, and the last night, as plain JSON values."""
        found = documents.documents(self.store)
        counts = {status.value: 0 for status in FileStatus}
        for item in found:
            counts[item.status.value] += 1
        base = self.model()
        present = pointer.read(self.home)
        last = next(iter(self.runs(1)), None)
        unfinished = runs.unfinished(self.store)
        return {
            "home": str(self.home.root),
            "model": base.name,
            "can_learn": base.can_learn,
            "version": present.version if present.base_sha in ("", base.sha256) else 0,
            "folders": len(self.roots()),
            "files": counts,
            "passages": sum(item.chunks for item in found),
            "pairs": pairs.counts(self.store),
            "last_night": None if last is None else {
                "run": last.id, "outcome": last.outcome.value, "started_at": last.started_at,
                "message": last.message,
            },
            "unfinished_night": None if unfinished is None else unfinished.id,
        }  # fmt: skip

    # -- inside ---------------------------------------------------------------------------------

    def _start(self, module: str, log: str, *, nice: int = 0) -> Child:
        environment = {paths.HOME_VARIABLE: str(self.home.root)}
        if self._model:
            environment["NIGHTSCHOOL_MODEL"] = self._model
        return Child(
            module,
            [str(self.home.root)],
            log=self.home.logs / log,
            nice=nice,
            environment=environment,
        )

    def _take_in(self, root: Root, progress: Progress) -> dict[str, Any]:
        child = self._start(INTAKE, "intake.log")
        try:
            child.wait_ready()
            result: dict[str, Any] = {}
            for message in child.stream("intake", {"root": root.id, "paths": None}):
                _report(message, progress, None)
                if "result" in message:
                    result = message["result"]
        finally:
            child.stop()
        return {"root": root.path, **result}

    def _need_roots(self) -> None:
        if not self.roots():
            raise UsageError("No folder is watched yet.", "Add one: nightschool watch add FOLDER")

    def _need_index(self, progress: Progress) -> None:
        """Index what was never indexed; a folder that was is left as it is (see `refresh`)."""
        self._need_roots()
        for root in self.roots():
            if not documents.any_file(self.store, root.id):
                self._take_in(root, progress)


def _report(
    message: Mapping[str, Any], progress: Progress, on_note: Callable[[str], None] | None
) -> None:
    event = message.get("event")
    if not event:
        return
    if "stage" in event:
        progress(str(event["stage"]), int(event.get("done", 0)), int(event.get("total", 0)))
    if on_note is not None and event.get("note"):
        on_note(str(event["note"]))
