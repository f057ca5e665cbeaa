"""From the target that an application names to a host that serves it and a login that it takes."""
