"""One sentence for each command of ``dvc models``, in the order of their list."""

SUMMARIES = {
    "pull": "Download registered models to their paths in the workspace and "
    "verify them.",
    "list": "List this repo's models and the versions in the workspace.",
    "status": "Check whether the workspace matches what Studio currently serves.",
    "show": "Show a model's versions, their history, and what of it is here.",
    "diff": "Show which files differ between two versions of a model.",
    "update": "Update the lock file to what its stages and the latest versions are "
    "now.",
    "which": "Show which model and version a file is, by its hash.",
    "cache": "List, remove or verify versions of models in the cache.",
    "serve": "Serve Studio's model registry API from local repos.",
    "token": "Make a token for 'dvc models serve'.",
}
