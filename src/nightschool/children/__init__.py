"""Start, watch, talk to and end the heavy processes: engine, intake, learner.

The parent's side is `child.py`, the child's side `worker.py`; between them goes one JSON object
a line over the child's stdin and stdout (see `protocol.py`). Nothing here imports heavy code:
a child is started by module name.
"""
