"""A program for use without this project: what is saved of it, and how it answers then."""
