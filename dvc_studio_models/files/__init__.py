"""The local file system, safely: paths, folders, placing, receipts."""
