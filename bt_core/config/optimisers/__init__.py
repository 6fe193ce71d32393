"""The built-in step kinds: a file each, with the settings of the kind and its registration."""
