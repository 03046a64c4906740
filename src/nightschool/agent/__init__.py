"""Who plans the night: situation → plan. The first planner is a set of rules."""
