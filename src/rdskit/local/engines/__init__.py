"""Real database servers as processes: found on this machine, run without root, fenced when they fail."""
