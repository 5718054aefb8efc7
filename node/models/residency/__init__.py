"""Which models are resident: a pure planner (``plan``), and the agent that does what it says."""
