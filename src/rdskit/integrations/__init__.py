"""rdskit inside other people's frameworks. Each module needs its framework, and nothing here is imported without it."""
