"""Component: do the new rows look like the earlier ones, and does the champion still score?"""
