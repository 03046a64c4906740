"""Many nights in a row on invented notes: what is learned, kept, forgotten, changed and deleted.

`world` invents the notes, `learners` are the ways to learn them (arms), `exam` asks, `figures`
computes ACC, BWT, FWT and forgetting of the matrix R, `page` draws them, `run` is the table of
contents and the process that `nightschool eval stream` starts.
"""
