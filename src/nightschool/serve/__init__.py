"""The local door: HTTP (OpenAI dialect, native routes, status page) and MCP behind one guard.

Nothing here does work: every route calls a `service.Service`, which the daemon provides.
"""
