"""Served repos, their models, and where the files of each version are stored.

repos          a request's ``repo`` -> a served repo
index          name, version or stage -> stored files
recorded       what a commit records -> stored files
refs           whether tags or branches have changed
configs        the DVC config of each project, as it is now
remotes        name of a DVC remote -> where its objects are
presence       whether objects are on their remote
single_flight  results computed once for all threads that need them
waiting        how long a request waits, and for what
errors         all error replies
"""
