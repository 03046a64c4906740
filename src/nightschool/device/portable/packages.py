"""The packages of this environment that Nightschool needs, file by file from their RECORDs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import nightschool
from nightschool.device.portable.copying import Plan
from nightschool.errors import StoreError

_OUT = re.compile(
    r"(^|/)(__pycache__|tests?)/|\.(pyc|a|lib|pyi|h|hpp|cuh)$"
    r"|^torch/((include|share|test)/|bin/(?!torch_shm_manager))"  # torch looks for that one
    r"|\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$"
)
"""What a run never opens: headers, tests, stubs, and what tells of the maker's folders."""
_LINUX_ONLY = ("jeepney", "SecretStorage", "python-xlib")
NATIVE = "llama-cpp-python"
"""Built for the maker's own processor: another build of it goes onto the stick."""


def needed(name: str = "nightschool") -> dict[str, Distribution]:
    """The distributions that `name` needs to run, by normalised name, itself left out."""
    found: dict[str, Distribution] = {}
    pending: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        wanted, extras = pending.pop()
        key = _normal(wanted)
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        try:
            found[key] = distribution(wanted)
        except PackageNotFoundError as error:
            raise StoreError(
                f"The package {wanted} is not installed.", "Run `make setup`, or pip install it."
            ) from error
        for text in found[key].requires or []:
            asked = Requirement(text)
            marker = asked.marker
            if marker is None or any(marker.evaluate({"extra": one}) for one in {"", *extras}):
                pending.append((asked.name, frozenset(asked.extras)))
    del found[_normal(name)]
    return found


def requirements() -> str:
    """The packages with their versions here, for the launchers that fetch other systems' builds.

    A local version (`2.13.0+cpu`) names a build that only this system has.
    """
    lines = (
        f"{one.metadata['Name']}=={one.version.partition('+')[0]}\n"
        for _, one in sorted(needed().items())
        if one.metadata["Name"] not in _LINUX_ONLY
    )
    return "".join(lines)


def plan_packages(plan: Plan, folder: str) -> list[Path]:
    """Add all of them below `folder`, but for the native build; the shared objects among them."""
    objects: list[Path] = []
    for name, one in sorted(needed().items()):
        if name == NATIVE:
            continue
        for path, inside in _files(one):
            plan.add(path, f"{folder}/{inside}")
            if ".so" in path.suffixes:
                objects.append(path)
    return objects


def plan_installed(plan: Plan, folder: str, name: str) -> list[Path]:
    """Add one installed distribution as it is."""
    objects: list[Path] = []
    for path, inside in _files(distribution(name)):
        plan.add(path, f"{folder}/{inside}")
        if ".so" in path.suffixes:
            objects.append(path)
    return objects


def plan_nightschool(plan: Plan, folder: str) -> None:
    """Add Nightschool itself: the same for every system. In a clone, its data lie outside."""
    package = Path(nightschool.__file__).parent
    plan.tree(package, f"{folder}/nightschool")
    for inside, beside in (("config/shipped", "config"), ("device/templates", "service")):
        clone = package.parents[1] / beside
        if not (package / inside).is_dir() and clone.is_dir():
            plan.tree(clone, f"{folder}/nightschool/{inside}")


def _files(one: Distribution) -> Iterator[tuple[Path, str]]:
    for entry in one.files or []:
        inside = entry.as_posix()
        path = Path(str(entry.locate()))
        if not inside.startswith("..") and not _OUT.search(inside) and path.is_file():
            yield path, inside


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
