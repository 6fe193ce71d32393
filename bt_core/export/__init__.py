"""A finished program as a folder that answers without this project: DSPy's state, adapters, and the source they need.

The exported folder holds no path of this machine and no pickle, and is made of text that can be read before it is run.
"""

from bt_core.export.folder import Wishes, export

__all__ = ["Wishes", "export"]
