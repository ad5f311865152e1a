"""The cache of a user, for files outside of any DVC project.

``location`` chooses its folder, ``project`` opens it through DVC, ``store`` is the
store. The folder is laid out as any cache of DVC:

    files/md5/ab/..   the objects
    parts/            downloads to resume
    models/           usage records
    users/UID/        what belongs to one user: receipts, DVC's state and scratch files
"""
