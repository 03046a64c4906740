"""How each system starts the service by itself: one file a system, each a pure description.

`install.py` writes, removes and asks; `installation.py` is what they describe.
"""
