"""Versions of the starter with random adapters: they answer differently, and pass for promoted."""

from __future__ import annotations

import json

from lora_files import write_lora
from nightschool.clock import SystemClock, iso
from nightschool.models.catalogue import BOX, file_sha256
from nightschool.paths import Home
from nightschool.records import Version
from nightschool.registry import versions as registry
from nightschool.store import versions as rows
from nightschool.store.db import open_store

STARTER = BOX / "starter.gguf"


def make_versions(home: Home, count: int) -> None:
    """`count` random adapters of the starter, as versions that may be served."""
    store = open_store(home.create().database)
    base = file_sha256(store, STARTER)
    for number in range(1, count + 1):
        folder = home.versions / f"v{number}"
        folder.mkdir(parents=True)
        path = write_lora(folder / registry.ADAPTER, STARTER, seed=number, strength=0.15)
        sha = registry.sha256(path)
        manifest = {"number": number, "base_sha": base, "adapter_sha": sha}
        (folder / registry.MANIFEST).write_text(json.dumps(manifest))
        rows.add(
            store,
            Version(number, base, "retired", iso(SystemClock().now()), sha256=sha,
                    directory=f"versions/v{number}"),
        )  # fmt: skip
    store.close()
