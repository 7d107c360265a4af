"""One file a system: `build(given, variant)` makes the two calls that are timed, in a process of its own."""
