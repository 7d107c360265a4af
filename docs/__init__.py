"""Documentation: written pages, and the generators of those that are made from the source."""
