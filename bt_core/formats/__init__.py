"""The JSON files that a finished run or sweep leaves behind: one strict model each, which every writer and reader uses.

docs/formats.md lists their keys, made from these models by `make docs`.
"""
