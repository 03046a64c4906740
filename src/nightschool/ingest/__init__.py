"""Stage 2: the bytes of one file become passages with locators, secrets redacted.

`reading.read` does it in this process; `sandbox.Sandbox` does the same in a limited child, which
is what everything outside this folder uses: files are hostile.
"""
