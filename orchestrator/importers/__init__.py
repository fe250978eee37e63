"""Known sources turned into a manifest and images."""
