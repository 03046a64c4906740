"""Stage 1: what changed in the watched folders.

`reconcile.reconcile` compares a folder with the store (the truth); `kinds` says what kind of place
it is; `ignore` says which files are passed over in silence, `files` which are listed but not read,
and how a stored path is found on the disk again.
"""
