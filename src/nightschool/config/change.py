"""Change one setting in a file's text; comments, order and everything else stay as they are."""

from __future__ import annotations

from typing import Any

from nightschool.errors import UsageError


def assigned(text: str, key: str, value: Any) -> str:
    """`text` with `key = value`. Raises UsageError when the text is no TOML."""
    document = _parsed(text)
    section, _, name = key.rpartition(".")
    if not section:
        if name in document or not document.body:
            document[name] = value
            return str(document.as_string())
        # A bare key must stand before the first table, below the comments that open the file.
        import tomlkit

        return tomlkit.dumps({name: value}) + text
    table = document.get(section)
    if table is None:
        import tomlkit

        table = tomlkit.table()
        document[section] = table
    elif not hasattr(table, "keys"):
        raise UsageError(f"{section} is not a table there.", "Mend it: nightschool config edit")
    table[name] = value
    return str(document.as_string())


def removed(text: str, key: str) -> str:
    """`text` without `key`; its table goes too when nothing is left in it."""
    document = _parsed(text)
    section, _, name = key.rpartition(".")
    table: Any = document.get(section, {}) if section else document
    if hasattr(table, "keys") and name in table:
        del table[name]
        if section and not table.as_string().strip():
            del document[section]
    return str(document.as_string())


def _parsed(text: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise UsageError(
            f"The settings are not readable TOML: {error}.", "Mend them: nightschool config edit"
        ) from error
