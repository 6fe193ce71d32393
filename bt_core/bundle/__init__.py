"""A finished program to hand on: the program directory, a model card and a manifest, in a folder or in S3.

The manifest is written last and only where there is none, so that a bundle is whole or is none, and holds one
program for ever.
"""

from bt_core.bundle.manifest import MANIFEST_FILE, Manifest, find_manifest
from bt_core.bundle.publish import Published, fetch, publish

__all__ = ["MANIFEST_FILE", "Manifest", "Published", "fetch", "find_manifest", "publish"]
