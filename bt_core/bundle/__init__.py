"""A bundle is a finished program for others to use: program directory, model card and manifest, in a folder or S3.

The manifest is written last, and only where there is none. So a folder without a manifest is no bundle, and a bundle
holds one program for ever.
"""

from bt_core.bundle.manifest import MANIFEST_FILE, Manifest, find_manifest
from bt_core.bundle.publish import Published, fetch, publish

__all__ = ["MANIFEST_FILE", "Manifest", "Published", "fetch", "find_manifest", "publish"]
