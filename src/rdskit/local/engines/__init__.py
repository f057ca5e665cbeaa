"""Run real database servers as processes: find their programs, run them without root, fence them when they fail."""
