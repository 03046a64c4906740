"""The `nightschool` command: one file per group of verbs, all on top of the Python door (`api`)."""
