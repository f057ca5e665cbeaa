"""Pure values and policies, without a clock, I/O or a driver: every input of a decision is an argument."""
