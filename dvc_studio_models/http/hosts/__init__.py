"""Hosts other than Studio and storage: Git hosts, and issuers of tokens.

client   asks any host, in the words of errors that may be logged
job      the token of the CI job that this process runs in
"""
