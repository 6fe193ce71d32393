"""Readers of one file each, by its kind: nothing that it says is guessed."""
