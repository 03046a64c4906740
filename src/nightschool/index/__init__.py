"""Search: full text and vectors, fused.

`search.Search` is the `Retriever`; `embed` makes vectors, `vectors` keeps FAISS in step with the
store, `lexical` asks FTS5, `fuse` merges the two rankings.
"""
