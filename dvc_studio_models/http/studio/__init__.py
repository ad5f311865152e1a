"""Studio's API: ``request`` sends requests, ``reply`` reads what came.

``client`` asks for the files of models, with signed URLs, and ``listing`` which models
there are.
"""
