"""The resident process: watches, schedules nights, supervises the heavy children, serves.

`app.Daemon` puts it together. It holds no tensors: engine, intake and learner are children.
"""
