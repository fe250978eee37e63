"""What a person sees: progress on standard error, tables on standard output; the only place that knows rich."""
