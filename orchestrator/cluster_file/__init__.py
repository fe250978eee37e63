"""A Ray cluster file, read with its line numbers and judged before it costs money or opens a door."""
