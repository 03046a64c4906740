"""Versions of the adapter: immutable directories, one atomic pointer, rollback, lineage."""
