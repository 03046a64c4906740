"""What happens to versions, pairs and learning when another base model is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from nightschool.models import catalogue
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import Home
from nightschool.store import documents, pairs
from nightschool.store import versions as rows
from nightschool.store.db import Store


@dataclass(frozen=True, slots=True)
class Change:
    """From one base model to another, before it is done.

    `resting` versions were fitted to the old base and are not served on the new one; `waking` ones
    were fitted to the new one before. Files, passages and pairs (`pairs` of them) stay.
    """

    old: ModelInfo
    new: ModelInfo
    resting: tuple[int, ...]
    waking: tuple[int, ...]
    files: int
    pairs: int

    @property
    def same(self) -> bool:
        """Whether both are the same bytes, so that nothing changes for the versions."""
        return self.old.sha256 == self.new.sha256

    def lines(self) -> list[str]:
        """What happens, in sentences."""
        if self.same:
            return [f"{self.new.name} is the same file as {self.old.name}: all versions stay."]
        found = []
        if self.resting:
            found.append(
                f"{_versions(self.resting)} fitted to {self.old.name} and will not be served on "
                f"{self.new.name}. Nothing is deleted: going back brings them back."
            )
        if self.waking:
            found.append(f"{_versions(self.waking)} fitted to {self.new.name} and can be used.")
        found.append(
            f"{self.files} files and {self.pairs} practice pairs stay as they are."
            + ("" if self.waking else " The plain model answers until the next night.")
        )
        if self.new.can_learn:
            found.append(f"It learns here, in about {self.new.learn_bytes / 2**30:.1f} GiB.")
        else:
            found.append(f"It will not learn here: {self.new.why_not}")
        return found


def between(home: Home, store: Store, old: str, new: str) -> Change:
    """The change from the model `old` to `new`. Raises as `catalogue.resolve` does."""
    before, after = (catalogue.resolve(home, store, name) for name in (old, new))
    made = [row for row in rows.versions(store) if row.status in ("promoted", "retired")]
    return Change(
        before,
        after,
        tuple(row.number for row in made if row.base_sha == before.sha256 != after.sha256),
        tuple(row.number for row in made if row.base_sha == after.sha256),
        documents.counts(store)["indexed"],
        sum(count for name, count in pairs.counts(store).items() if name != "documents"),
    )


def _versions(numbers: tuple[int, ...]) -> str:
    names = ", ".join(f"v{number}" for number in sorted(numbers))
    return f"Version {names} was" if len(numbers) == 1 else f"Versions {names} were"
