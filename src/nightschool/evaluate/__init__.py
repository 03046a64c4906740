"""Stage 6: exams on the served artefact, and the gate that decides.

`statistics` and `gate` are pure; `probes/` put questions to the model in llama.cpp; `text` says
when an answer counts as right.
"""
