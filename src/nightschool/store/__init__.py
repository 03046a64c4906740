"""SQLite through sqlite-utils: the only place with SQL. One file per noun.

`db.open_store(path)` opens (and migrates) the database; the functions of `documents`, `pairs`,
`runs`, `versions` and `state` take that `Store`.
"""
