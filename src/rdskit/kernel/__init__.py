"""Pure values and policies: no clock, no I/O, no driver. Everything a decision needs comes in as an argument."""
