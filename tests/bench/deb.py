"""The Debian package: built, looked at by lintian, installed, used by another user, purged.

    make bench NAME=deb [ARGS="--package dist/nightschool_0.1.0_amd64.deb"]

Needs root on a Debian with dpkg, whose Python is the one of this environment; elsewhere it says so
and fails. Installs into the running system, unless Nightschool is installed there already, and
compares every file outside the users' homes before and after. Prints progress, then one JSON line.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402
from service_harness import free_port  # noqa: E402

PLACES = ("/usr", "/etc", "/opt", "/var/lib/dpkg", "/var/lib/systemd", "/lib/systemd")
OWN = ("/var/lib/dpkg/status", "/var/lib/dpkg/lock", "/var/lib/dpkg/triggers", "/usr/share/mime",
       "/var/lib/dpkg/available", "/usr/share/icons/hicolor/icon-theme.cache",
       "/usr/share/applications/mimeinfo.cache")  # fmt: skip
"""Caches and lists that dpkg and its triggers write for every package."""
USER = "nobody"


def run(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **more
    )  # type: ignore[call-overload,no-any-return]


def seen(places: tuple[str, ...] = PLACES) -> set[str]:
    """Every path there is, but for what belongs to dpkg itself and to this clone."""
    found = set()
    for place in places:
        for here, folders, files in os.walk(place):
            folders[:] = [name for name in folders if Path(here, name) != ROOT]
            found.update(str(Path(here, name)) for name in (*folders, *files))
    return {path for path in found if not path.startswith(OWN)}


def checked(report: Report, package: Path) -> None:
    """What lintian says, if it is here."""
    if shutil.which("lintian") is None:
        report.say("lintian is not installed: not looked at")
        return
    said = run("lintian", "--fail-on", "none", "--allow-root", str(package)).stdout.splitlines()
    for line in [line for line in said if line.startswith(("E:", "W:"))][:20]:
        report.say(line)
    errors = [line for line in said if line.startswith("E:")]
    warnings = [line for line in said if line.startswith("W:")]
    report.exactly("lintian errors", len(errors), 0, len(said))
    report.say(f"{len(warnings)} warnings of lintian")


def used(report: Report) -> None:
    """Another user, an empty environment, a home of its own: ask, doctor, the unit."""
    person = pwd.getpwnam(USER)
    folder = Path(tempfile.mkdtemp(prefix="nightschool-deb-user-"))
    try:
        notes = folder / "notes"
        notes.mkdir()
        (notes / "mill.md").write_text("# Mill\n\nThe mill at Oak Weir was rebuilt by Ada Brand.\n")
        for path in (folder, notes, notes / "mill.md"):
            os.chown(path, person.pw_uid, person.pw_gid)
        variables = {
            "HOME": str(folder), "PATH": "/usr/bin:/bin",
            "NIGHTSCHOOL_SERVE_PORT": str(free_port()),
        }  # fmt: skip

        def nightschool(*words: str) -> subprocess.CompletedProcess[str]:
            return run(
                "/usr/bin/nightschool", *words, cwd=folder, env=variables, user=person.pw_uid,
                group=person.pw_gid, extra_groups=[], timeout=600,
            )  # fmt: skip

        report.say(nightschool("--version").stdout.strip())
        begun = nightschool("start", "--json")
        report.say((begun.stdout + begun.stderr).replace("\n", " ")[:200])
        report.exactly("`start`, exit code", begun.returncode, 0, 1)
        added = nightschool("watch", "add", str(notes))
        report.exactly("`watch add`, exit code", added.returncode, 0, 1)
        answer = nightschool("ask", "Who rebuilt the mill at Oak Weir?", "--json")
        report.say((answer.stdout + answer.stderr).replace("\n", " ")[:300])
        report.exactly("answers", float("Ada Brand" in answer.stdout), 1, 1)
        doctor = nightschool("doctor", "--json")
        found = json.loads(doctor.stdout) if doctor.stdout.startswith("{") else {"checks": []}
        for check in found["checks"]:
            report.say(f"  {'ok' if check['ok'] else '!!'} {check['name']}: {check['found']}")
        report.exactly("`doctor`, exit code", doctor.returncode, 0, len(found["checks"]))
        report.exactly("`stop`, exit code", nightschool("stop").returncode, 0, 1)
        if shutil.which("systemd-analyze"):
            runtime = folder / "runtime"
            runtime.mkdir(mode=0o700)
            verified = run(
                "systemd-analyze", "verify", "--user", "/usr/lib/systemd/user/nightschool.service",
                env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
            )  # fmt: skip
            report.say(verified.stderr.strip()[:200])
            report.exactly("systemd-analyze verify, exit code", verified.returncode, 0, 1)
        if shutil.which("man"):
            page = run("man", "--warnings", "nightschool")
            report.exactly("complaints about the manual", float(bool(page.stderr)), 0, 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--package", type=Path, help="a finished package instead of a new one")
    parser.add_argument("--llama-wheel", type=Path, help="a finished build of llama-cpp-python")
    options = parser.parse_args()
    report = Report(options.quick)
    if shutil.which("dpkg") is None or os.geteuid() != 0:
        raise SystemExit("This needs root on a Debian.")
    if Path("/usr/bin/nightschool").exists():
        raise SystemExit("Nightschool is installed here already: purge it first.")
    with tempfile.TemporaryDirectory(prefix="nightschool-deb-out-") as folder:
        package = options.package
        if package is None:
            script = str(ROOT / "packaging/debian/build.py")
            more = ["--llama-wheel", str(options.llama_wheel)] if options.llama_wheel else []
            made = run(sys.executable, script, folder, *more)
            report.say((made.stdout + made.stderr).strip()[-300:])
            report.exactly("build, exit code", made.returncode, 0, 1)
            package = next(Path(folder).glob("*.deb"))
        report.say(f"{package.name}: {package.stat().st_size / 1e6:.0f} MB")
        if not options.quick:
            checked(report, package)
        before = seen()
        installed = run("dpkg", "-i", str(package))
        try:
            report.say((installed.stdout + installed.stderr).strip()[-300:])
            report.exactly("dpkg -i, exit code", installed.returncode, 0, 1)
            used(report)
        finally:
            purged = run("dpkg", "--purge", "nightschool")
        report.exactly("dpkg --purge, exit code", purged.returncode, 0, 1)
        left = sorted(seen() - before)
        for path in left[:10]:
            report.say(f"left: {path}")
        report.exactly("files left after the purge", len(left), 0, len(before))
    report.finish()


if __name__ == "__main__":
    main()
