"""How the probes and the rehearsal of the product were made (`make.py`)."""
