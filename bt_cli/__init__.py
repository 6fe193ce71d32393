"""The `bt` command. Every module here imports in milliseconds; heavy libraries wait until a command needs them."""
